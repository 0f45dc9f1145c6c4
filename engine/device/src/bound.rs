//! A plan with numbers for its sizes, as a device runs it.

use girih_cpu::loops::Layout;
use girih_cpu::memory::{aligned, arrange};
use girih_cpu::numbers::{Numbers, Symbols, UNKNOWN, check_views};
use girih_cpu::view::View;
use girih_graph::Extent;
use girih_plan::plan::{BufferId, BufferKind, Plan, RecurrenceLaunch, Section, Work};
use girih_plan::region::drawn_key;
use girih_runtime::backend::RunError;

use crate::program::{How, OnDevice, Program};

/// A section with numbers for its sizes.
#[derive(Debug)]
pub(crate) struct Bound {
    /// One for each tensor.
    pub(crate) views: Vec<View>,
    /// Of each buffer; [`UNKNOWN`] where whoever runs the section has it.
    pub(crate) bytes: Vec<usize>,
    /// Where each temporary buffer starts in the section's memory.
    pub(crate) places: Vec<Option<usize>>,
    /// One for each stage of the program.
    pub(crate) stages: Vec<BoundStage>,
    /// Bytes of the section's memory.
    pub(crate) arena: usize,
    /// What it was bound with.
    pub(crate) symbols: Symbols,
}

/// A stage with numbers for its sizes.
#[derive(Debug)]
pub(crate) enum BoundStage {
    /// The values of the region's symbols.
    Region(Vec<i64>),
    /// A loop.
    Walk(Box<BoundWalk>),
    /// Bound anew for the items that each branch keeps.
    Branches,
    /// Bound by the cpu backend.
    Host,
}

/// A loop with numbers for its sizes.
#[derive(Debug)]
pub(crate) struct BoundWalk {
    /// Where its memory starts in that of the section around it.
    pub(crate) place: usize,
    pub(crate) steps: usize,
    pub(crate) body: Bound,
    pub(crate) layout: Layout,
}

/// Binds a section. `touched` are buffers with launches before which they are read besides.
///
/// # Errors
///
/// Sizes that cannot be computed or are absurd, and more memory than allowed.
pub(crate) fn bind(
    plan: &Plan,
    numbers: &Numbers<'_>,
    section: &Section,
    program: &Program,
    touched: &[(BufferId, usize)],
) -> Result<Bound, RunError> {
    let views = section.tensors.iter().map(|tensor| numbers.view(tensor));
    let views: Vec<View> = views.collect::<Result<_, _>>()?;
    let mut bytes = Vec::new();
    for (at, buffer) in section.buffers.iter().enumerate() {
        bytes.push(match &buffer.kind {
            BufferKind::Bound => UNKNOWN,
            BufferKind::Temporary
            | BufferKind::Caller
            | BufferKind::Grown
            | BufferKind::Table(_) => {
                let id = BufferId(at as u32);
                numbers.buffer_bytes(id, buffer.dtype, &buffer.elements, &views)?
            }
        });
    }
    check_views(section, &views, &bytes, &|_| true);
    let mut stages = Vec::new();
    let mut areas = vec![0; section.launches.len()];
    for stage in &program.stages {
        let at = stage.launches.start;
        let bound = match (&stage.how, &section.launches[at].work) {
            (How::Region(region), _) => BoundStage::Region(values(numbers, region)?),
            (How::Walk(body), Work::Recurrence(launch)) => {
                let outer = (views.as_slice(), bytes.as_slice());
                let walk = bind_walk(plan, numbers, outer, launch, body)?;
                BoundStage::Walk(Box::new(walk))
            }
            (How::Walk(_), _) => unreachable!("only loops are walked"),
            (How::Branches(_), _) => BoundStage::Branches,
            (How::Host(_), _) => BoundStage::Host,
        };
        if let BoundStage::Walk(walk) = &bound {
            areas[at] = walk.layout.area;
        }
        stages.push(bound);
    }
    let arranged = arrange(section, &bytes, &areas, touched);
    for (bound, stage) in stages.iter_mut().zip(&program.stages) {
        if let BoundStage::Walk(walk) = bound {
            walk.place = arranged.areas[stage.launches.start];
        }
    }
    numbers.check_limit(&views, &bytes, arranged.bytes as u64)?;
    Ok(Bound {
        views,
        bytes,
        places: arranged.places,
        stages,
        arena: aligned(arranged.bytes),
        symbols: numbers.symbols.clone(),
    })
}

/// The sizes that a region asks for; words of draws, which are a run's, are 0.
fn values(numbers: &Numbers<'_>, region: &OnDevice) -> Result<Vec<i64>, RunError> {
    let symbols = region.symbols.iter();
    symbols
        .map(|symbol| match drawn_key(symbol) {
            Some(_) => Ok(0),
            None => numbers.number(&Extent::symbol(symbol)),
        })
        .collect()
}

fn bind_walk(
    plan: &Plan,
    numbers: &Numbers<'_>,
    outer: (&[View], &[usize]),
    launch: &RecurrenceLaunch,
    program: &Program,
) -> Result<BoundWalk, RunError> {
    let steps = numbers.positions(&launch.extent, || launch.axis.clone())?;
    let mut symbols = numbers.symbols.clone();
    if let Some(part) = &launch.part {
        let name = || plan.axes.name(part.axis).to_owned();
        let positions = numbers.positions(&part.extent, name)?;
        symbols.insert(part.symbol.clone(), positions as i64);
    }
    let inner = Numbers::new(&plan.axes, symbols, numbers.limit);
    let body = bind(plan, &inner, &launch.body, program, &[])?;
    let inside = (body.views.as_slice(), body.arena);
    let layout = Layout::of(&inner, outer, inside, launch, steps)?;
    Ok(BoundWalk {
        place: 0,
        steps,
        body,
        layout,
    })
}
