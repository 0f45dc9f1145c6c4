//! The schedule of a region: which nodes run, in which order, and when values go.
//!
//! Made once per graph. Nodes whose results nobody needs do not run. Inside a
//! loop, nodes that depend on nothing that changes run once, before the first step.

use girih_graph::{NodeId, Op, Region, ValueId};

/// The schedule of a region.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Run before the first step of a loop; empty elsewhere.
    pub(super) once: Vec<Step>,
    /// Run in order, at every step of a loop.
    pub(super) steps: Vec<Step>,
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) node: NodeId,
    /// Schedules of the node's regions.
    pub(super) inner: Vec<Program>,
    /// Values that nothing needs after it.
    pub(super) gone: Vec<ValueId>,
}

impl Program {
    /// The schedule of a region that runs once.
    pub(super) fn of(region: &Region) -> Self {
        Self::new(region, &vec![true; region.params().len()], false)
    }

    /// The schedule of a loop's body, whose first `changing` parameters are given anew at
    /// every step.
    fn of_loop(region: &Region, changing: usize) -> Self {
        let params = 0..region.params().len();
        let changes: Vec<bool> = params.map(|param| param < changing).collect();
        Self::new(region, &changes, true)
    }

    fn new(region: &Region, param_changes: &[bool], hoists: bool) -> Self {
        let needed = needed(region);
        let mut changes = vec![!hoists; region.value_count()];
        for (param, change) in region.params().iter().zip(param_changes) {
            changes[param.index()] = *change;
        }
        let (mut once, mut steps) = (Vec::new(), Vec::new());
        for (id, node) in region.nodes() {
            if !node.results.iter().any(|result| needed[result.index()]) {
                continue;
            }
            let changing = !hoists || node.operands.iter().any(|value| changes[value.index()]);
            for result in &node.results {
                changes[result.index()] = changing;
            }
            let step = Step {
                node: id,
                inner: inner(&node.op),
                gone: Vec::new(),
            };
            if changing {
                steps.push(step);
            } else {
                once.push(step);
            }
        }
        let mut live = vec![false; region.value_count()];
        for result in region.results() {
            live[result.index()] = true;
        }
        for step in steps.iter_mut().rev() {
            let node = region.node(step.node);
            for value in node.results.iter().chain(&node.operands) {
                // What does not change stays for the next step.
                if changes[value.index()] && !live[value.index()] {
                    live[value.index()] = true;
                    step.gone.push(*value);
                }
            }
        }
        Self { once, steps }
    }

    /// The parameters and inputs that this schedule reads.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.once.iter().chain(&self.steps).map(|step| step.node)
    }
}

fn needed(region: &Region) -> Vec<bool> {
    let mut needed = vec![false; region.value_count()];
    for result in region.results() {
        needed[result.index()] = true;
    }
    let nodes: Vec<_> = region.nodes().collect();
    for (_, node) in nodes.into_iter().rev() {
        if node.results.iter().any(|result| needed[result.index()]) {
            for operand in &node.operands {
                needed[operand.index()] = true;
            }
        }
    }
    needed
}

fn inner(op: &Op) -> Vec<Program> {
    match op {
        Op::Recurrence(recurrence) => {
            let changing = recurrence.carried + recurrence.sequences;
            vec![Program::of_loop(&recurrence.body, changing)]
        }
        Op::Route(route) => route.branches.iter().map(Program::of).collect(),
        Op::Call(call) => call.body().map(Program::of).into_iter().collect(),
        Op::Input(..)
        | Op::Param(..)
        | Op::State(..)
        | Op::Const(..)
        | Op::Table(..)
        | Op::Index(..)
        | Op::Size(..)
        | Op::Random(..)
        | Op::Unary(..)
        | Op::Binary(..)
        | Op::Select
        | Op::Cast(..)
        | Op::Contract(..)
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::Cumulate { .. }
        | Op::Order { .. }
        | Op::Gather { .. }
        | Op::Scatter { .. }
        | Op::Window { .. }
        | Op::Fold { .. }
        | Op::Split(..)
        | Op::Merge(..)
        | Op::Concat(..)
        | Op::Rename(..)
        | Op::Expand(..)
        | Op::GradAs => Vec::new(),
    }
}
