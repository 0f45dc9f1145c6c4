//! Sequences of unequal lengths: many sessions of one model, and a padded batch, give each sequence what
//! it gives alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_dsl::diag::Sink;
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::program::Program;
use girih_graph::stream::Source;
use girih_runtime::backend::{Data, Outputs, silent};
use girih_runtime::session::{Session, StreamModel};
use girih_runtime::tensor::Tensor;

use super::{LENGTH, Trial, differs, rows, text};

/// Lengths of the sequences: a whole one, others, and a single position.
const LENGTHS: [usize; 4] = [LENGTH as usize, 41, 8, 1];

/// One sequence and what it gives alone.
struct Lane {
    length: usize,
    alone: Outputs,
    session: Session,
    steps: BTreeMap<String, Data>,
}

impl Trial<'_> {
    /// Sessions of unequal lengths go on in turns, and give what each gives alone.
    pub(super) fn check_sessions(&self, model: &Arc<StreamModel>) -> Result<(), String> {
        let mut lanes = Vec::new();
        for length in LENGTHS {
            let (session, steps) = self.begin(model)?;
            let first = session.first_piece().map_err(text)?;
            // A model may refuse lengths, and positions that read one another come together.
            let Ok(alone) = self.run_whole(&self.cut(length)?) else {
                continue;
            };
            if first <= length as u64 {
                lanes.push(Lane {
                    length,
                    alone,
                    session,
                    steps,
                });
            }
        }
        let mut begun = Vec::new();
        for lane in &mut lanes {
            let first = lane.session.first_piece().map_err(text)?;
            let half = (lane.length / 2).max(usize::try_from(first).unwrap_or(usize::MAX));
            let outputs = match half {
                0 => None,
                half => {
                    let piece = self.positions(&lane.steps, 0..half)?;
                    let outputs = lane.session.run_all(&piece, 3, &mut silent);
                    Some(outputs.map_err(text)?)
                }
            };
            begun.push((half, outputs));
        }
        for (lane, (half, begun)) in lanes.iter_mut().zip(begun) {
            let rest = if half == lane.length {
                lane.session.flush(&mut silent)
            } else {
                let piece = self.positions(&lane.steps, half..lane.length)?;
                lane.session.run_to_end(&piece, 5, &mut silent)
            };
            let rest = rest.map_err(text)?;
            for result in &self.stream.results {
                let parts = [begun.as_ref(), Some(&rest)].into_iter().flatten();
                let parts = parts.filter(|part| part.results.contains_key(&result.name));
                let parts: Result<Vec<Tensor>, String> = parts
                    .map(|part| part.tensor(&result.name).map_err(text))
                    .collect();
                let mut parts = parts?;
                let own = match (result.source, parts.pop()) {
                    (_, None) => return Err(format!("`{}` is not given", result.name)),
                    (Source::Positions(place), Some(last)) => {
                        let all: Vec<&Tensor> = parts.iter().chain([&last]).collect();
                        Tensor::concat(&all, place).map_err(text)?
                    }
                    (_, Some(last)) => last,
                };
                let alone = lane.alone.tensor(&result.name).map_err(text)?;
                if let Some(difference) = differs(&own, &alone) {
                    return Err(format!(
                        "`{}` of {} positions beside other sessions is not that of the sequence alone: {difference}",
                        result.name, lane.length
                    ));
                }
            }
        }
        Ok(())
    }

    /// A batch whose sequences end at unequal places, with something else behind: up to their ends
    /// all give what they give alone.
    pub(super) fn check_padded(&self, program: &Program, request: &Request) -> Result<(), String> {
        const ROWS: &str = "contract sequences";
        // Positions of a prefix read one another, and draws differ between the elements of a batch.
        let graph = &self.model.graph;
        let draws =
            |(_, node): (_, &girih_graph::Node)| matches!(node.op, girih_graph::Op::Random(..));
        if !self.stream.prefixes.is_empty() || graph.root.nodes().any(draws) {
            return Ok(());
        }
        let streamed = self.stream.inputs.iter().map(|(name, _)| name.clone());
        let mut request = request.clone();
        let axes = || vec![ROWS.to_owned()];
        request.lifted = streamed.map(|name| (name, axes())).collect();
        let mut sink = Sink::new();
        let Some(model) = elaborate(program, &request, &mut sink) else {
            return Err("it cannot be mapped over a batch".to_owned());
        };
        let mut inputs = self.inputs.clone();
        for (name, place) in &self.stream.inputs {
            let Some(tensor) = self.inputs.get(name) else {
                continue;
            };
            let mut shape = vec![1];
            shape.extend_from_slice(tensor.shape());
            let mut lanes = Vec::new();
            for length in LENGTHS {
                let kept = tensor.slice(*place, 0..length).map_err(text)?;
                // What is behind the end is the beginning once more.
                let padding = tensor.slice(*place, 0..LENGTH as usize - length);
                let padding = padding.map_err(text)?;
                let lane = Tensor::concat(&[&kept, &padding], *place).map_err(text)?;
                lanes.push(lane.reshape(shape.clone()).map_err(text)?);
            }
            let lanes: Vec<&Tensor> = lanes.iter().collect();
            inputs.insert(name.clone(), Tensor::concat(&lanes, 0).map_err(text)?);
        }
        let batch = Trial {
            model: &model,
            whole: Outputs::default(),
            inputs: BTreeMap::new(),
            params: self.params.clone(),
            sizes: self.sizes.clone(),
            ..*self
        };
        let outputs = batch.run_whole(&inputs)?;
        for (lane, length) in LENGTHS.into_iter().enumerate() {
            let Ok(alone) = self.run_whole(&self.cut(length)?) else {
                continue;
            };
            for result in &self.stream.results {
                let Source::Positions(place) = result.source else {
                    continue;
                };
                let Some(output) = outputs.results.get(&result.name) else {
                    continue;
                };
                // One sequence, with its axes as they are alone.
                let names = [ROWS]
                    .into_iter()
                    .chain(result.axes.iter().map(String::as_str));
                let place_of = |name: &str| output.axes.iter().position(|own| own == name);
                let order: Option<Vec<usize>> = names.map(place_of).collect();
                let Some(order) = order.filter(|order| order.len() == output.axes.len()) else {
                    continue;
                };
                let all = output.data.to_host().map_err(text)?;
                let all = all.permute(&order).map_err(text)?;
                let one = all.slice(0, lane..lane + 1).map_err(text)?;
                let one = one.reshape(&all.shape()[1..]).map_err(text)?;
                let late = usize::try_from(result.latency).unwrap_or(usize::MAX);
                let known = 0..length.saturating_sub(late);
                let one = one.slice(place, known.clone()).map_err(text)?;
                if let Some(difference) = differs(&one, &rows(&alone, result, place, known)?) {
                    return Err(format!(
                        "`{}` of {length} positions in a padded batch is not that of the sequence alone: {difference}",
                        result.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// The inputs of a shorter sequence.
    fn cut(&self, length: usize) -> Result<BTreeMap<String, Tensor>, String> {
        let mut inputs = self.inputs.clone();
        for (name, place) in &self.stream.inputs {
            if let Some(tensor) = inputs.get(name) {
                let cut = tensor.slice(*place, 0..length).map_err(text)?;
                inputs.insert(name.clone(), cut);
            }
        }
        Ok(inputs)
    }

    /// Positions of what steps take.
    fn positions(
        &self,
        steps: &BTreeMap<String, Data>,
        range: std::ops::Range<usize>,
    ) -> Result<BTreeMap<String, Data>, String> {
        let mut piece = BTreeMap::new();
        for (name, place) in &self.stream.inputs {
            if let Some(data) = steps.get(name) {
                let part = data.to_host().map_err(text)?.slice(*place, range.clone());
                piece.insert(name.clone(), Data::Host(part.map_err(text)?));
            }
        }
        Ok(piece)
    }
}
