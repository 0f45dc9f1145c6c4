//! Golden blocks as streams: the same numbers, position after position.

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_dsl::blocks::Named;
use girih_runtime::backend::{Data, Outputs, silent};
use girih_runtime::session::{Opening, Session, StreamModel};
use girih_runtime::tensor::Tensor;
use girih_transform::{stream, time_axis};

use super::block::Block;
use super::compare::Row;
use super::{Case, refused};
use crate::failure::Failure;

/// Positions that are taken at once.
pub(super) const PIECE: usize = 3;

impl Case<'_> {
    /// The block as a stream, if it is one.
    pub(super) fn streaming(&self, block: &Block) -> Result<Option<Arc<StreamModel>>, Failure> {
        let own = time_axis(&block.graph).and_then(|axis| stream(&block.graph, &axis).ok());
        let Some(own) = own.filter(|own| !own.inputs.is_empty()) else {
            return Ok(None);
        };
        let mut model = StreamModel::compile(self.backend, own).map_err(refused)?;
        model.share(&block.params);
        Ok(Some(Arc::new(model)))
    }

    /// A session before the first position of the file's tensors, and what its steps take.
    pub(super) fn session(
        &self,
        block: &Block,
        model: &Arc<StreamModel>,
    ) -> Result<(Session, BTreeMap<String, Data>), Failure> {
        let bindings = self.bindings(block)?;
        let mut opening = Opening {
            states: bindings.states,
            seed: bindings.seed,
            ..Opening::default()
        };
        opening.symbols = bindings.symbols;
        opening.symbols.remove(&model.stream().new);
        let at_start = model.opening_inputs();
        let mut steps = BTreeMap::new();
        for (name, data) in bindings.inputs {
            if model.stream().inputs.iter().any(|(own, _)| *own == name) {
                steps.insert(name, data);
            } else if at_start.contains(&name.as_str()) {
                opening.inputs.insert(name, data);
            }
        }
        Ok((Session::open(model, opening).map_err(refused)?, steps))
    }

    /// What the block gives for the file's tensors, in pieces.
    pub(super) fn outputs_in_pieces(
        &self,
        block: &Block,
        model: &Arc<StreamModel>,
        piece: usize,
    ) -> Result<Outputs, Failure> {
        let (mut session, steps) = self.session(block, model)?;
        let failed = |error| {
            refused(format!(
                "golden block `{}` as a stream: {error}",
                block.golden.name
            ))
        };
        session
            .run_to_end(&steps, piece, &mut silent)
            .map_err(failed)
    }

    /// Compares all values that a block names with what its stream gives.
    pub(super) fn stream_rows(
        &self,
        block: &Block,
        model: &Arc<StreamModel>,
    ) -> Result<Vec<Row>, Failure> {
        let outputs = self.outputs_in_pieces(block, model, PIECE)?;
        let mask = self.mask_of(block)?;
        let lines = block.lines.values.iter();
        lines
            .map(|named| {
                self.compare_line(block, &outputs, named, &named.path, "stream", mask.as_ref())
            })
            .collect()
    }

    /// The logits after the prompt, and after each token that they choose: greedy, with one
    /// position for each step. `None` if a step takes more than tokens, or gives its logits late.
    pub(super) fn greedy(
        &self,
        block: &Block,
        model: &Arc<StreamModel>,
        (tokens, count): (&Named, usize),
        choose: &dyn Fn(&Outputs) -> Result<Tensor, Failure>,
    ) -> Result<Option<Vec<Tensor>>, Failure> {
        if model.stream().latency() > 0 {
            return Ok(None);
        }
        let (mut session, steps) = self.session(block, model)?;
        let (Some(value), true) = (
            block.graph.inputs().get(tokens.path.as_str()).copied(),
            steps.len() == 1 && steps.contains_key(&tokens.path),
        ) else {
            return Ok(None);
        };
        let mut chosen = Vec::new();
        let mut outputs = session
            .prefill(&steps, PIECE, &mut silent)
            .map_err(refused)?;
        while chosen.len() < count {
            let next = choose(&outputs)?;
            if chosen.len() + 1 < count {
                let leaf = block.leaf(tokens, value, &next)?;
                let inputs = BTreeMap::from([(tokens.path.clone(), Data::Host(leaf))]);
                outputs = session.step(&inputs, &mut silent).map_err(refused)?;
            }
            chosen.push(next);
        }
        Ok(Some(chosen))
    }
}
