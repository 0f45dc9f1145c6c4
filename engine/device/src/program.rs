//! Who computes every launch of a plan: the device, the walk of a loop, or the processor.
//!
//! Every launch is offered alone, so that each refusal has its reason; neighbors that the device takes are then offered
//! together, and are one region if it takes them so.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use girih_cpu::Alone;
use girih_graph::DType;
use girih_plan::plan::{BufferId, BufferKind, Plan, ReadFailure, Section, Work};
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

/// Launches that are computed together: one, or several that are one region.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Which of the section's.
    pub(crate) launches: Range<usize>,
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
    /// The region's sizes and words of draws.
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
    /// Offers every launch of the plan to the device. Before the launches `cuts` of the root section the host does something
    /// of its own, so that no region goes across.
    ///
    /// # Errors
    ///
    /// The device fails, or the processor has no code for what it refuses.
    pub(crate) fn new(context: &Context, plan: &Plan, cuts: &[usize]) -> Result<Self, RunError> {
        let mut compiled = Self {
            root: Program { stages: Vec::new() },
            failures: Vec::new(),
            tables: BTreeMap::new(),
        };
        compiled.root = compiled.section(context, plan, &plan.root, cuts)?;
        let mut failures = Vec::new();
        number(&plan.root, &mut compiled.root, &mut failures);
        compiled.failures = failures;
        Ok(compiled)
    }

    fn section(
        &mut self,
        context: &Context,
        plan: &Plan,
        section: &Section,
        cuts: &[usize],
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
        let stages: Vec<Stage> = stages.collect::<Result<_, _>>()?;
        Ok(Program {
            stages: joined(context, plan, section, stages, cuts)?,
        })
    }

    fn stage(
        &mut self,
        context: &Context,
        plan: &Plan,
        section: &Section,
        at: usize,
    ) -> Result<Stage, RunError> {
        let refused = match region(context, plan, section, at..at + 1)? {
            Ok(region) => {
                return Ok(Stage {
                    launches: at..at + 1,
                    how: How::Region(region),
                    refused: None,
                });
            }
            Err(refused) => Some(refused),
        };
        let how = match &section.launches[at].work {
            Work::Recurrence(launch) => {
                How::Walk(self.section(context, plan, &launch.body, &[])?)
            }
            Work::Route(route) if route::can_walk(context, section, route)? => {
                let branches = route.branches.iter();
                let programs = branches.map(|own| self.section(context, plan, &own.section, &[]));
                How::Branches(programs.collect::<Result<_, _>>()?)
            }
            Work::Kernel(_)
            | Work::Contract(_)
            | Work::Attention(_)
            | Work::Route(_)
            | Work::Routine(_)
            | Work::Native(_) => How::Host(Box::new(context.cpu.alone(plan, section, at)?)),
        };
        Ok(Stage {
            launches: at..at + 1,
            how,
            refused,
        })
    }

    /// The numbers of a table.
    pub(crate) fn table(&self, numbers: &Arc<[f64]>, dtype: DType) -> &Memory {
        let table = self.tables.get(&key(numbers, dtype));
        table.expect("every table of the plan was written")
    }
}

/// Most launches of a region: between regions the caller is asked whether to go on.
const MOST: usize = 64;

/// The same stages, neighbors of one region together.
fn joined(
    context: &Context,
    plan: &Plan,
    section: &Section,
    stages: Vec<Stage>,
    cuts: &[usize],
) -> Result<Vec<Stage>, RunError> {
    let goes_on = |stage: &Stage, start: usize| {
        let at = stage.launches.start;
        let is_taken = matches!(stage.how, How::Region(_));
        is_taken && at - start < MOST && (at == start || !cuts.contains(&at))
    };
    let mut all = Vec::new();
    let mut rest = stages.into_iter().peekable();
    while let Some(first) = rest.next() {
        let start = first.launches.start;
        let mut run = vec![first];
        if goes_on(&run[0], start) {
            while let Some(next) = rest.next_if(|next| goes_on(next, start)) {
                run.push(next);
            }
        }
        if run.len() > 1
            && let Ok(region) = region(context, plan, section, start..start + run.len())?
        {
            run = vec![Stage {
                launches: start..start + run.len(),
                how: How::Region(region),
                refused: None,
            }];
        }
        all.extend(run);
    }
    Ok(all)
}

/// Launches as a region of the device, or why they are none.
fn region(
    context: &Context,
    plan: &Plan,
    section: &Section,
    launches: Range<usize>,
) -> Result<Result<OnDevice, String>, RunError> {
    let Some((region, buffers)) = Region::new(plan, section, launches) else {
        return Ok(Err("it holds an operation of a plugin".to_owned()));
    };
    let code = context.region(&region.to_text())?;
    Ok(code.map(|code| OnDevice {
        code,
        buffers,
        symbols: region.symbols,
        slot: 0,
    }))
}

/// Gives every region whose guards can fail a slot, in the order in which regions run.
fn number(section: &Section, program: &mut Program, slots: &mut Vec<Vec<Vec<ReadFailure>>>) {
    for stage in &mut program.stages {
        let launches = &section.launches[stage.launches.clone()];
        match (&mut stage.how, launches) {
            (How::Region(region), _) => {
                let mut failures = Vec::new();
                for launch in launches {
                    collect_failures(&launch.work, &mut failures);
                }
                if failures.iter().any(|own| !own.is_empty()) {
                    slots.push(failures);
                    region.slot = slots.len();
                }
            }
            (How::Walk(body), [launch]) => {
                if let Work::Recurrence(launch) = &launch.work {
                    number(&launch.body, body, slots);
                }
            }
            (How::Branches(programs), [launch]) => {
                if let Work::Route(route) = &launch.work {
                    for (program, branch) in programs.iter_mut().zip(&route.branches) {
                        number(&branch.section, program, slots);
                    }
                }
            }
            (How::Walk(_) | How::Branches(_) | How::Host(_), _) => {}
        }
    }
}

fn key(numbers: &Arc<[f64]>, dtype: DType) -> (usize, DType) {
    (numbers.as_ptr().addr(), dtype)
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
