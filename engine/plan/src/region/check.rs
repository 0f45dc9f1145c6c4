//! Whether everything that a region refers to exists. Texts come from outside.

use std::collections::BTreeSet;
use std::sync::Arc;

use girih_graph::{AxisId, Extent};

use super::visit::{self, Visit};
use super::{Region, draw_symbol};
use crate::kernel::{Access, Affine, Kernel, LoopKind, StepOp};
use crate::plan::{
    Attention, BufferId, BufferKind, KernelLaunch, Launch, RecurrenceLaunch, Section, TensorId,
    Work, tile,
};

pub(super) fn region(region: &Region) -> Result<(), String> {
    let mut known: BTreeSet<Arc<str>> = region.symbols.iter().cloned().collect();
    for launch in &region.section.launches {
        define(launch, &mut known);
    }
    for (number, kernel) in region.kernels.iter().enumerate() {
        indices(kernel)
            .and_then(|()| kernel.check())
            .map_err(|why| format!("kernel {number}: {why}"))?;
        let mut kernel = kernel.clone();
        let mut unknown = None;
        visit::kernel(&mut kernel, &mut |extent| {
            unknown = unknown.take().or_else(|| foreign(extent, &known));
        });
        if let Some(symbol) = unknown {
            return Err(format!(
                "kernel {number} uses the size `{symbol}`, which nobody gives"
            ));
        }
    }
    let given = |kind: &BufferKind| matches!(kind, BufferKind::Bound);
    if !region.section.buffers.iter().all(|own| given(&own.kind)) {
        return Err("a buffer of its section is not given".to_owned());
    }
    draws(region)?;
    section(region, &region.section, &known)
}

/// The words that draws begin with are among the symbols.
fn draws(region: &Region) -> Result<(), String> {
    let mut unknown = None;
    for launch in &region.section.launches {
        launch.work.visit_draws(&mut |key| {
            let word = draw_symbol(key);
            if !region.symbols.iter().any(|own| **own == *word) {
                unknown.get_or_insert_with(|| key.to_owned());
            }
        });
    }
    unknown.map_or(Ok(()), |key| {
        Err(format!(
            "nobody gives the word that draws of `{key}` begin with"
        ))
    })
}

/// Symbols that a launch defines for what it holds.
fn define(launch: &Launch, known: &mut BTreeSet<Arc<str>>) {
    let mut inside: Vec<&Section> = Vec::new();
    match &launch.work {
        Work::Attention(own) => {
            known.extend(tile::symbols(own.points.len()).map(Arc::from));
        }
        Work::Recurrence(own) => {
            known.extend(own.part.iter().map(|part| Arc::clone(&part.symbol)));
            inside.push(&own.body);
        }
        Work::Route(own) => {
            known.insert(Arc::clone(&own.symbol));
            inside.extend(own.branches.iter().map(|branch| &branch.section));
        }
        Work::Kernel(_) | Work::Contract(_) | Work::Routine(_) | Work::Native(_) => {}
    }
    for launch in inside.iter().flat_map(|section| &section.launches) {
        define(launch, known);
    }
}

fn foreign(extent: &Extent, known: &BTreeSet<Arc<str>>) -> Option<Arc<str>> {
    extent
        .symbols()
        .into_iter()
        .find(|own| !known.contains(own))
}

fn section(region: &Region, own: &Section, known: &BTreeSet<Arc<str>>) -> Result<(), String> {
    for tensor in &own.tensors {
        let buffer = own.buffers.get(tensor.buffer.index());
        let buffer = buffer.ok_or("a tensor lies in no buffer")?;
        if buffer.dtype != tensor.dtype {
            return Err("a tensor has another dtype than its buffer".to_owned());
        }
    }
    for tensor in own.params.iter().chain(&own.results) {
        if tensor.index() >= own.tensors.len() {
            return Err("a section is given a tensor that it lacks".to_owned());
        }
    }
    let mut found = Found {
        region,
        section: own,
        known,
        wrong: None,
    };
    let mut copy = own.clone();
    visit::memory(&mut copy, &mut found);
    for launch in &mut copy.launches {
        visit::launch(launch, &mut found);
        if let Some(wrong) = found.wrong {
            return Err(wrong);
        }
        lists(region, own, launch)?;
    }
    found.wrong.map_or(Ok(()), Err)
}

/// Lists that belong together.
fn lists(region: &Region, section: &Section, launch: &Launch) -> Result<(), String> {
    match &launch.work {
        Work::Kernel(own) => buffers(region, section, own, 0),
        Work::Attention(own) => {
            let Attention {
                interior,
                edge,
                mask,
                ..
            } = &**own;
            let mut kernels = interior.iter().chain(edge).chain(mask);
            kernels.try_for_each(|kernel| buffers(region, section, kernel, 1))
        }
        Work::Recurrence(own) => {
            let RecurrenceLaunch {
                body,
                carried,
                in_place,
                finals,
                sequences,
                invariants,
                outputs,
                ..
            } = &**own;
            let params = carried.len() + sequences.len() + invariants.len();
            let equal = body.params.len() == params
                && body.results.len() == carried.len() + outputs.len()
                && in_place.len() == carried.len()
                && finals.len() == carried.len();
            equal
                .then_some(())
                .ok_or_else(|| "a recurrence has other values than its body".to_owned())
        }
        Work::Route(own) => {
            let mut branches = own.branches.iter();
            let equal = branches.all(|branch| {
                branch.section.params.len() == branch.inputs.len()
                    && branch.section.results.len() == 1
            });
            equal
                .then_some(())
                .ok_or_else(|| "a branch has other values than its section".to_owned())
        }
        Work::Contract(_) | Work::Routine(_) => Ok(()),
        Work::Native(_) => Err("it holds an operation of a plugin".to_owned()),
    }
}

/// The buffers of a launch are those of its kernel; the first `skipped` are in no section.
fn buffers(
    region: &Region,
    section: &Section,
    launch: &KernelLaunch,
    skipped: usize,
) -> Result<(), String> {
    let kernel = &region.kernels[launch.kernel];
    let number = format!("kernel {}", launch.kernel);
    if kernel.buffers.len() != launch.buffers.len() || launch.writes.len() != launch.buffers.len() {
        return Err(format!(
            "{number} has another number of buffers than its launch"
        ));
    }
    let pairs = kernel.buffers.iter().zip(&launch.buffers).skip(skipped);
    for (dtype, buffer) in pairs {
        if section.buffers[buffer.index()].dtype != *dtype {
            return Err(format!(
                "{number} has a buffer of another dtype than its launch"
            ));
        }
    }
    Ok(())
}

/// What [`Kernel::check`] takes for granted.
fn indices(kernel: &Kernel) -> Result<(), String> {
    let affine = |own: &Affine, before: usize| {
        let loops = own.loops.iter().all(|(id, _)| *id < kernel.loops.len());
        loops && own.steps.iter().all(|(id, _)| *id < before)
    };
    let access = |own: &Access, before: usize| {
        own.buffer < kernel.buffers.len()
            && affine(&own.address, before)
            && own.guards.iter().all(|guard| affine(&guard.index, before))
    };
    for (id, step) in kernel.steps.iter().enumerate() {
        let reads = match &step.op {
            StepOp::Load(own) => access(own, id),
            StepOp::Position(own) => affine(own, id),
            StepOp::Reduce(_, operand, kind) => {
                let walked = *kind != LoopKind::Outer;
                *operand < id && walked && kernel.loops.iter().any(|own| own.kind == *kind)
            }
            _ => step.operands().iter().all(|operand| *operand < id),
        };
        if !reads {
            return Err(format!("step {id} reads what there is not"));
        }
    }
    let count = kernel.steps.len();
    let mut stores = kernel.stores.iter();
    if stores.all(|store| store.step < count && access(&store.access, count)) {
        Ok(())
    } else {
        Err("a store writes what there is not".to_owned())
    }
}

/// Looks everything up that a section refers to.
struct Found<'a> {
    region: &'a Region,
    section: &'a Section,
    known: &'a BTreeSet<Arc<str>>,
    wrong: Option<String>,
}

impl Found<'_> {
    fn wants(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            self.wrong.get_or_insert_with(wrong);
        }
    }
}

impl Visit for Found<'_> {
    fn tensor(&mut self, id: &mut TensorId) {
        let holds = id.index() < self.section.tensors.len();
        self.wants(holds, || format!("there is no tensor {}", id.0));
    }

    fn buffer(&mut self, id: &mut BufferId) {
        let holds = id.index() < self.section.buffers.len();
        self.wants(holds, || format!("there is no buffer {}", id.0));
    }

    fn axis(&mut self, _: &mut AxisId) {}

    fn kernel(&mut self, id: &mut usize) {
        let holds = *id < self.region.kernels.len();
        self.wants(holds, || format!("there is no kernel {id}"));
    }

    fn extent(&mut self, extent: &mut Extent) {
        let unknown = foreign(extent, self.known);
        let shown = unknown.clone().unwrap_or_default();
        self.wants(unknown.is_none(), || {
            format!("nobody gives the size `{shown}`")
        });
    }

    fn inside(&mut self, own: &mut Section) {
        if let Err(wrong) = section(self.region, own, self.known) {
            self.wrong.get_or_insert(wrong);
        }
    }
}
