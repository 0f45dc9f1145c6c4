//! Who computes every launch of a plan: the device, the walk of a loop, or the processor.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use girih_cpu::Alone;
use girih_graph::DType;
use girih_plan::plan::{BufferId, BufferKind, Plan, ReadFailure, Routine, Section, Work};
use girih_plan::region::Region;
use girih_runtime::backend::RunError;
use girih_runtime::device::{Code, Memory};
use girih_runtime::tensor::Tensor;

use crate::array::written;
use crate::context::Context;
use crate::route;

/// A section's launches in order.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) stages: Vec<Stage>,
}

/// One launch.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) how: How,
    /// Why the device does not compute it.
    pub(crate) refused: Option<String>,
}

/// Who computes a launch.
#[derive(Debug)]
pub(crate) enum How {
    /// The device.
    Region(OnDevice),
    /// A loop, step by step.
    Walk(Program),
    /// A route, branch after branch.
    Branches(Vec<Program>),
    /// The cpu backend, on copies.
    Host(Box<Alone>),
}

/// A region with its code.
#[derive(Debug)]
pub(crate) struct OnDevice {
    pub(crate) code: Arc<Code>,
    /// Of the section, in the region's order.
    pub(crate) buffers: Vec<BufferId>,
    /// The region's sizes.
    pub(crate) symbols: Vec<Arc<str>>,
    /// Where guards that fail write; 0 is nobody's.
    pub(crate) slot: usize,
}

/// All that is known of a plan before its sizes are.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) root: Program,
    /// What guards that fail mean, for each slot from 1 on: for each launch of a kernel, for each status from 1 on.
    pub(crate) failures: Vec<Vec<Vec<ReadFailure>>>,
    tables: BTreeMap<(usize, DType), Memory>,
}

impl Compiled {
    /// Offers every launch of the plan to the device.
    ///
    /// # Errors
    ///
    /// The device fails, or the processor has no code for what it refuses.
    pub(crate) fn new(context: &Context, plan: &Plan) -> Result<Self, RunError> {
        let mut compiled = Self {
            root: Program { stages: Vec::new() },
            failures: Vec::new(),
            tables: BTreeMap::new(),
        };
        compiled.root = compiled.section(context, plan, &plan.root)?;
        Ok(compiled)
    }

    fn section(
        &mut self,
        context: &Context,
        plan: &Plan,
        section: &Section,
    ) -> Result<Program, RunError> {
        for buffer in &section.buffers {
            if let BufferKind::Table(numbers) = &buffer.kind
                && let Entry::Vacant(place) = self.tables.entry(key(numbers, buffer.dtype))
            {
                let tensor = Tensor::new([numbers.len()], numbers.to_vec())?;
                let tensor = tensor.to_dtype(buffer.dtype);
                place.insert(written(&*context.device, tensor.bytes())?);
            }
        }
        let stages = (0..section.launches.len()).map(|at| self.stage(context, plan, section, at));
        Ok(Program {
            stages: stages.collect::<Result<_, _>>()?,
        })
    }

    fn stage(
        &mut self,
        context: &Context,
        plan: &Plan,
        section: &Section,
        at: usize,
    ) -> Result<Stage, RunError> {
        let refused = match self.region(context, plan, section, at)? {
            Ok(region) => {
                return Ok(Stage {
                    how: How::Region(region),
                    refused: None,
                });
            }
            Err(refused) => Some(refused),
        };
        let how = match &section.launches[at].work {
            Work::Recurrence(launch) => How::Walk(self.section(context, plan, &launch.body)?),
            Work::Route(route) if route::can_walk(context, section, route)? => {
                let branches = route.branches.iter();
                let programs = branches.map(|own| self.section(context, plan, &own.section));
                How::Branches(programs.collect::<Result<_, _>>()?)
            }
            Work::Kernel(_)
            | Work::Contract(_)
            | Work::Attention(_)
            | Work::Route(_)
            | Work::Routine(_)
            | Work::Native(_) => How::Host(Box::new(context.cpu.alone(plan, section, at)?)),
        };
        Ok(Stage { how, refused })
    }

    /// The launch as a region of the device, or why it is none.
    fn region(
        &mut self,
        context: &Context,
        plan: &Plan,
        section: &Section,
        at: usize,
    ) -> Result<Result<OnDevice, String>, RunError> {
        let work = &section.launches[at].work;
        if draws(work) {
            return Ok(Err("random numbers are drawn by the host".to_owned()));
        }
        let Some((region, buffers)) = Region::new(plan, section, at..at + 1) else {
            return Ok(Err("it holds an operation of a plugin".to_owned()));
        };
        let code = match context.region(&region.to_text())? {
            Ok(code) => code,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut failures = Vec::new();
        collect_failures(work, &mut failures);
        let slot = if failures.iter().all(Vec::is_empty) {
            0
        } else {
            self.failures.push(failures);
            self.failures.len()
        };
        Ok(Ok(OnDevice {
            code,
            buffers,
            symbols: region.symbols,
            slot,
        }))
    }

    /// The numbers of a table.
    pub(crate) fn table(&self, numbers: &Arc<[f64]>, dtype: DType) -> &Memory {
        let table = self.tables.get(&key(numbers, dtype));
        table.expect("every table of the plan was written")
    }
}

fn key(numbers: &Arc<[f64]>, dtype: DType) -> (usize, DType) {
    (numbers.as_ptr().addr(), dtype)
}

/// Whether random numbers are drawn: their keys are a run's, which no region knows.
fn draws(work: &Work) -> bool {
    let inside = |section: &Section| section.launches.iter().any(|launch| draws(&launch.work));
    match work {
        Work::Routine(routine) => matches!(routine, Routine::Random { .. }),
        Work::Recurrence(launch) => inside(&launch.body),
        Work::Route(route) => route.branches.iter().any(|branch| inside(&branch.section)),
        Work::Kernel(_) | Work::Contract(_) | Work::Attention(_) | Work::Native(_) => false,
    }
}

/// What guards mean, in the order in which the border counts launches of kernels.
fn collect_failures(work: &Work, failures: &mut Vec<Vec<ReadFailure>>) {
    let mut inside = |section: &Section| {
        for launch in &section.launches {
            collect_failures(&launch.work, failures);
        }
    };
    match work {
        Work::Kernel(launch) => failures.push(launch.failures.clone()),
        Work::Attention(attention) => {
            failures.extend(attention.kernels().map(|kernel| kernel.failures.clone()));
        }
        Work::Recurrence(launch) => inside(&launch.body),
        Work::Route(route) => {
            for branch in &route.branches {
                inside(&branch.section);
            }
        }
        Work::Contract(_) | Work::Routine(_) | Work::Native(_) => {}
    }
}
