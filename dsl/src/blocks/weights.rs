//! Which stored tensors make which parameters.
//!
//! [`plan_weights`] proves the mapping one-to-one from names and shapes alone: every
//! parameter is made by exactly one entry, every stored tensor is used, copied or ignored
//! by exactly one. Whatever is missing, left over or of another shape is listed, all of it
//! at once. A parameter that no entry mentions is stored under its own name.
//!
//! Several stored names are laid end to end; several parameters are parts of one tensor in
//! the same sense; both along the file's axis that holds the parameters' first axis. A
//! wildcard on one side only counts: `"experts.{e}.w" = w` stacks along a new first axis,
//! `"w" = experts.{e}.w` takes such a stack apart.

mod cut;
mod plan;
mod report;

use std::collections::BTreeMap;
use std::ops::Range;

use girih_graph::{AxisTable, DType};

use super::{Arrangement, Stored};
use crate::ast::{ItemKind, WeightsBlock};
use crate::diag::Sink;
use crate::model::{ParamInfo, Static};
use crate::program::Program;

/// How all parameters are made.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WeightPlan {
    /// One for each parameter, in their order.
    pub loads: Vec<LoadStep>,
    /// Stored tensors that say again what another one says: tied weights.
    pub copies: Vec<LoadStep>,
    /// Stored tensors that are ignored on purpose.
    pub ignored: Vec<String>,
    /// Sizes that only the file tells, by symbol.
    pub sizes: BTreeMap<String, i64>,
}

/// How one parameter is made: its parts laid end to end along `axis`, then arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadStep {
    /// Its path.
    pub param: String,
    /// Its dtype.
    pub dtype: DType,
    /// Never empty.
    pub parts: Vec<Part>,
    /// Along which axis of the parts.
    pub axis: usize,
    /// From the joined parts, seen as `arrangement.stored`, to the parameter.
    pub arrangement: Arrangement,
}

/// A piece of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The stored tensor.
    pub stored: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// The shape under which it is cut and joined.
    pub view: Vec<usize>,
    /// Which positions of the step's axis are taken.
    pub range: Range<usize>,
}

/// How one stored tensor is made of parameters: its pieces laid end to end along `axis`,
/// seen as `shape`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStep {
    /// The stored tensor.
    pub stored: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// Along which axis of the pieces.
    pub axis: usize,
    /// In order.
    pub pieces: Vec<Piece>,
}

/// A piece of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The parameter's path.
    pub param: String,
    /// Taken backwards: from the parameter to what `view` says.
    pub arrangement: Arrangement,
    /// The shape under which it is cut and joined.
    pub view: Vec<usize>,
    /// Which positions of the axis are taken.
    pub range: Range<usize>,
    /// Where they go.
    pub at: usize,
}

/// The `weights` blocks of the entry file, in order.
pub fn weights_blocks(program: &Program) -> Vec<WeightsBlock> {
    let ast = program.ast(program.entry());
    let blocks = ast.items.iter().filter_map(|item| match &item.kind {
        ItemKind::Weights(block) => Some(block.clone()),
        _ => None,
    });
    blocks.collect()
}

/// The `weights` blocks for a module in the file that declares it, in order.
pub fn weights_blocks_for(program: &Program, module: &str) -> Vec<WeightsBlock> {
    let Some(place) = program.find(program.entry(), module) else {
        return Vec::new();
    };
    let ast = program.ast(place.file);
    let blocks = ast.items.iter().filter_map(|item| match &item.kind {
        ItemKind::Weights(block) if block.model.text == module => Some(block.clone()),
        _ => None,
    });
    blocks.collect()
}

/// Proves that `stored` holds exactly the parameters, and says how each is made. Mistakes go
/// to the sink; `None` if there was one.
///
/// `statics` are the names that a path's brackets may use as sizes:
/// `q.weight[(heads, 2, e), d]`. Without a block every parameter has its own name.
pub fn plan_weights(
    block: Option<&WeightsBlock>,
    table: &AxisTable,
    params: &[ParamInfo],
    statics: &[(String, Static)],
    stored: &[Stored],
    sink: &mut Sink,
) -> Option<WeightPlan> {
    let mut planner = plan::Planner::new(table, params, statics, stored);
    for entry in block
        .map(|block| block.entries.as_slice())
        .unwrap_or_default()
    {
        planner.take_entry(entry);
    }
    planner.take_own_names();
    planner.check_sizes();
    planner.finish(block, sink)
}

/// The same plan backwards: how each stored tensor is made. Ignored ones are left out.
pub fn plan_export(plan: &WeightPlan) -> Vec<StoreStep> {
    let mut steps: Vec<StoreStep> = Vec::new();
    for load in &plan.loads {
        add_pieces(load, &mut steps);
    }
    let made = steps.len();
    for load in &plan.copies {
        let fresh = |part: &Part| steps[..made].iter().all(|step| step.stored != part.stored);
        if load.parts.iter().all(fresh) {
            add_pieces(load, &mut steps);
        }
    }
    for step in &mut steps {
        step.pieces.sort_by_key(|piece| piece.at);
    }
    steps
}

fn add_pieces(load: &LoadStep, steps: &mut Vec<StoreStep>) {
    let length = load.parts.iter().map(|part| part.range.len()).sum();
    let mut offset = 0;
    for part in &load.parts {
        let mut view = part.view.clone();
        if let Some(extent) = view.get_mut(load.axis) {
            *extent = length;
        }
        let piece = Piece {
            param: load.param.clone(),
            arrangement: load.arrangement.clone(),
            view,
            range: offset..offset + part.range.len(),
            at: part.range.start,
        };
        offset += part.range.len();
        match steps.iter_mut().find(|step| step.stored == part.stored) {
            Some(step) => step.pieces.push(piece),
            None => steps.push(StoreStep {
                stored: part.stored.clone(),
                shape: part.shape.clone(),
                axis: load.axis,
                pieces: vec![piece],
            }),
        }
    }
}

#[cfg(test)]
mod tests;
