//! Runs the launches of a section in order.
//!
//! Launches run one after another on the caller's thread; each shares its own work
//! among the pool's threads when there is enough of it.

mod attention;
mod branches;
mod contract;
mod copy;
mod kernel;
mod native;
mod recurrence;
mod route;

use std::cell::{Cell, RefCell};

use girih_kernels::{Level, Pool};
use girih_plan::plan::{Launch, Plan, Section, Work};
use girih_runtime::backend::{Bindings, Done, Progress, RunError};
use girih_runtime::plugin::native::Natives;

use crate::bind::{Binder, Bound};
use crate::block::Base;
use crate::codegen::Code;
use crate::frame::Frame;
use crate::parameter::Packs;
use crate::routine::{self, BoundRoutine};
use crate::tables::Tables;
use crate::weights::Weights;
pub(crate) use branches::Branches;
pub(crate) use contract::Joined;
pub(crate) use copy::copy;

/// What every launch may ask while a plan runs.
pub(crate) struct Run<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) code: &'a Code,
    pub(crate) tables: &'a Tables,
    pub(crate) weights: &'a Weights,
    pub(crate) natives: &'a dyn Natives,
    /// For each weight its packs, if it is given as this backend keeps it.
    pub(crate) packs: &'a [Option<Packs>],
    pub(crate) branches: &'a Branches,
    pub(crate) pool: &'a Pool,
    pub(crate) level: Level,
    pub(crate) bindings: &'a Bindings,
    /// Memory of kernels: so many bytes for each thread.
    pub(crate) scratch: Cell<(Base, usize)>,
    /// Bytes that values of the run hold.
    pub(crate) held: Cell<u64>,
    pub(crate) done: Cell<Done>,
    pub(crate) progress: RefCell<&'a mut Progress<'a>>,
}

/// What of a run all threads may see.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    plan: &'a Plan,
    code: &'a Code,
    tables: &'a Tables,
    weights: &'a Weights,
    natives: &'a dyn Natives,
    packs: &'a [Option<Packs>],
    branches: &'a Branches,
    level: Level,
    bindings: &'a Bindings,
}

impl<'a> Shared<'a> {
    /// A run of one's own on another thread, whose launches share nothing with others.
    pub(crate) fn on_thread(
        self,
        pool: &'a Pool,
        scratch: (Base, usize),
        progress: &'a mut Progress<'a>,
    ) -> Run<'a> {
        Run {
            plan: self.plan,
            code: self.code,
            tables: self.tables,
            weights: self.weights,
            natives: self.natives,
            packs: self.packs,
            branches: self.branches,
            pool,
            level: self.level,
            bindings: self.bindings,
            scratch: Cell::new(scratch),
            held: Cell::new(0),
            done: Cell::new(Done {
                finished: 0,
                total: 1,
            }),
            progress: RefCell::new(progress),
        }
    }
}

impl<'a> Run<'a> {
    /// What threads may see of it.
    pub(crate) fn shared(&self) -> Shared<'a> {
        Shared {
            plan: self.plan,
            code: self.code,
            tables: self.tables,
            weights: self.weights,
            natives: self.natives,
            packs: self.packs,
            branches: self.branches,
            level: self.level,
            bindings: self.bindings,
        }
    }

    /// Asks the caller whether to go on.
    pub(crate) fn tick(&self) -> Result<(), RunError> {
        let mut progress = self.progress.borrow_mut();
        if progress(self.done.get()).is_break() {
            return Err(RunError::Cancelled);
        }
        Ok(())
    }
}

/// A launch with numbers for its sizes.
#[derive(Debug)]
pub(crate) enum BoundLaunch {
    Kernel(kernel::BoundKernel),
    Contract(Box<contract::Product>),
    Attention(Box<attention::BoundAttention>),
    Recurrence(Box<recurrence::BoundRecurrence>),
    /// Bound anew for the items that each branch keeps.
    Route,
    Routine(BoundRoutine),
    Native(Box<native::BoundNative>),
}

impl BoundLaunch {
    /// Bytes that its kernels want for each thread.
    pub(crate) fn scratch(&self) -> usize {
        match self {
            Self::Kernel(kernel) => kernel.scratch,
            // Tiles have memory of their own.
            Self::Recurrence(recurrence) => recurrence.scratch(),
            Self::Native(native) => native.scratch(),
            Self::Attention(_) | Self::Contract(_) | Self::Route | Self::Routine(_) => 0,
        }
    }

    /// Whether one thread does all of it, and nothing waits for that.
    fn is_small(&self) -> bool {
        matches!(self, Self::Kernel(kernel) if kernel.is_small())
    }
}

/// Numbers for the sizes of a launch; the section's views are bound already.
pub(crate) fn bind(
    binder: &Binder<'_>,
    bound: &Bound,
    launch: &Launch,
) -> Result<BoundLaunch, RunError> {
    Ok(match &launch.work {
        Work::Kernel(launch) => BoundLaunch::Kernel(kernel::bind(binder, bound, launch)?),
        Work::Contract(launch) => {
            BoundLaunch::Contract(Box::new(contract::bind(binder, bound, launch)))
        }
        Work::Attention(launch) => {
            BoundLaunch::Attention(Box::new(attention::bind(binder, bound, launch)?))
        }
        Work::Recurrence(launch) => {
            BoundLaunch::Recurrence(Box::new(recurrence::bind(binder, bound, launch)?))
        }
        Work::Route(_) => BoundLaunch::Route,
        Work::Routine(routine) => BoundLaunch::Routine(routine::bind(binder, routine)?),
        Work::Native(launch) => BoundLaunch::Native(Box::new(native::bind(binder, bound, launch)?)),
    })
}

/// Whether a launch is bound by more than the views and sizes of its buffers and by numbers that it asks for.
pub(crate) fn reads_more(launch: &Launch) -> bool {
    match &launch.work {
        Work::Kernel(_) | Work::Contract(_) | Work::Routine(_) | Work::Route(_) => false,
        // Symbols go on to generated code, to sections inside, and to plugins.
        Work::Attention(_) | Work::Recurrence(_) | Work::Native(_) => true,
    }
}

/// Runs all launches of a section.
pub(crate) fn run_section(
    run: &Run<'_>,
    section: &Section,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    for (launch, bound) in section.launches.iter().zip(&frame.bound.launches) {
        run_launch(run, launch, bound, frame)?;
    }
    Ok(())
}

/// Runs one launch of a section.
pub(crate) fn run_launch(
    run: &Run<'_>,
    launch: &Launch,
    bound: &BoundLaunch,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    match (&launch.work, bound) {
        (Work::Kernel(launch), BoundLaunch::Kernel(bound)) => {
            kernel::run(run, launch, bound, frame)
        }
        (Work::Contract(launch), BoundLaunch::Contract(bound)) => {
            contract::run(run, launch, bound, frame);
            Ok(())
        }
        (Work::Attention(launch), BoundLaunch::Attention(bound)) => {
            attention::run(run, launch, bound, frame)
        }
        (Work::Recurrence(launch), BoundLaunch::Recurrence(bound)) => {
            recurrence::run(run, launch, bound, frame)
        }
        (Work::Route(launch), BoundLaunch::Route) => route::run(run, launch, frame),
        (Work::Routine(routine), BoundLaunch::Routine(bound)) => {
            routine::run(run, routine, bound, frame)
        }
        (Work::Native(launch), BoundLaunch::Native(bound)) => {
            native::run(run, launch, bound, frame)
        }
        _ => unreachable!("every launch is bound as what it is"),
    }
}
