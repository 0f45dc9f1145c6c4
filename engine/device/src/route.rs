//! Walks a route: each branch runs on the device, on the items that it keeps.
//!
//! Which items those are comes to the host; it sends back where they lie, and for every item which row of the branch's
//! result is its own. Items are gathered, the branch runs on these alone, and what it makes is added times the weights:
//! branches one after the other, in their order. A branch that keeps nothing does not run.

use std::sync::{Arc, Mutex};

use girih_cpu::items::Items;
use girih_cpu::memory::aligned;
use girih_cpu::numbers::{Numbers, Symbols};
use girih_cpu::schedule::buffer_of;
use girih_cpu::view::{View, dense_steps};
use girih_graph::{AxisId, DType};
use girih_plan::plan::{BranchLaunch, BufferKind, RouteLaunch, Section, TensorId};
use girih_runtime::backend::RunError;
use girih_runtime::device::Place;

use crate::bound::{Bound, bind};
use crate::context::{Context, lock};
use crate::own::{self, Own, Sizes};
use crate::program::Program;
use crate::run::{Frame, Run, at, places, stage};
use crate::strided::moved;

/// Branches that stay bound: those of some layers for one number of items each.
const KEPT: usize = 256;

/// Branches with numbers for their sizes, by where they lie in the plan.
#[derive(Debug, Default)]
pub(crate) struct Branches(Mutex<Vec<(usize, Symbols, Arc<Bound>)>>);

/// Whether the device has code for what is done with items, and each of them has a place of its own in the sum.
pub(crate) fn can_walk(
    context: &Context,
    section: &Section,
    launch: &RouteLaunch,
) -> Result<bool, RunError> {
    let tensor = |id: TensorId| &section.tensors[id.index()];
    let out = tensor(launch.out);
    let has = |axis: &AxisId| out.axes.iter().any(|(own, _)| own == axis);
    if !launch.items.iter().all(has) {
        return Ok(false);
    }
    let items = launch.items.len();
    let mut wanted = vec![(Own::Add(items, out.axes.len() - items), out.dtype)];
    for input in launch.branches.iter().flat_map(|branch| &branch.inputs) {
        let own = tensor(*input);
        let is_item = |(axis, _): &&(AxisId, _)| launch.items.contains(axis);
        let of_items = own.axes.iter().filter(is_item).count();
        if of_items > 0 {
            wanted.push((Own::Gather(own.axes.len() - of_items), own.dtype));
        }
    }
    wanted.dedup();
    for (own, dtype) in wanted {
        if own::code(context, own, dtype)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The code of what [`can_walk`] has asked for.
fn code(context: &Context, own: Own, dtype: DType) -> Result<Arc<own::OwnCode>, RunError> {
    let code = own::code(context, own, dtype)?;
    Ok(code.expect("a route is walked where the device has code for it"))
}

/// Runs all branches.
pub(crate) fn run(
    run: &Run<'_>,
    launch: &RouteLaunch,
    programs: &[Program],
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    let device = &run.context.device;
    let view = |id: TensorId| frame.tensor(id).0;
    let items = Items::of(launch, &view);
    let (kept, place) = frame.tensor(launch.kept);
    let mut bytes = vec![0_u8; kept.reach().map_or(0, |(_, last)| last + 1).max(0) as usize];
    if !bytes.is_empty() {
        device.read(place, &mut bytes)?;
    }
    let is_kept = |at: isize| bytes.get(at.cast_unsigned()).is_some_and(|byte| *byte != 0);
    clear(run, frame, launch.out)?;
    for (position, (branch, program)) in launch.branches.iter().zip(programs).enumerate() {
        run.tick()?;
        let chosen = items.chosen(&view, &is_kept, position);
        for chosen in items.together(branch, &view, chosen) {
            let own = Kept {
                launch,
                items: &items,
                chosen,
                position,
            };
            add(run, (branch, program), frame, &own)?;
        }
    }
    Ok(())
}

/// Makes a tensor zeros.
fn clear(run: &Run<'_>, frame: &Frame<'_>, id: TensorId) -> Result<(), RunError> {
    let device = &*run.context.device;
    let zeros = run.pool.take(device, 8)?;
    let from = Place {
        memory: &zeros,
        offset: 0,
    };
    device.write(from, &[0; 8])?;
    let (view, place) = frame.tensor(id);
    let mut zero = view.clone();
    zero.offset = 0;
    zero.lines.clear();
    let done = run.copy((&zero, from), (view, place));
    run.pool.give_back(zeros);
    done
}

/// The items that a branch keeps.
struct Kept<'a> {
    launch: &'a RouteLaunch,
    items: &'a Items<'a>,
    /// Row-major positions over the item axes.
    chosen: Vec<usize>,
    /// Which branch.
    position: usize,
}

/// How a branch gets an input.
enum Param {
    /// Where it lies.
    Shared,
    /// A dense copy, at this byte.
    Copied(usize),
    /// The chosen items, at this byte, by positions at another one.
    Gathered(usize, usize),
}

fn bound(
    run: &Run<'_>,
    (branch, program): (&BranchLaunch, &Program),
    symbols: Symbols,
) -> Result<Arc<Bound>, RunError> {
    let own = std::ptr::from_ref(branch).addr();
    let same = |(known, with, _): &&(usize, Symbols, Arc<Bound>)| *known == own && *with == symbols;
    if let Some((_, _, bound)) = lock(&run.branches.0).iter().find(same) {
        return Ok(Arc::clone(bound));
    }
    let limit = run.bindings.limit.saturating_sub(run.held);
    let numbers = Numbers::new(&run.plan.axes, symbols.clone(), limit);
    let bound = Arc::new(bind(run.plan, &numbers, &branch.section, program, &[])?);
    let mut known = lock(&run.branches.0);
    if known.len() >= KEPT {
        known.remove(0);
    }
    known.push((own, symbols, Arc::clone(&bound)));
    Ok(bound)
}

/// Runs a branch and adds what it makes.
fn add(
    run: &Run<'_>,
    branch: (&BranchLaunch, &Program),
    frame: &Frame<'_>,
    own: &Kept<'_>,
) -> Result<(), RunError> {
    let section = &branch.0.section;
    let mut symbols = frame.bound.symbols.clone();
    symbols.insert(own.launch.symbol.clone(), own.chosen.len() as i64);
    let bound = bound(run, branch, symbols)?;
    let result = *section.results.first().expect("a branch has a result");

    // First what the host sends: for every item its row, and for each gathered input where items lie.
    let count: usize = own.items.extents.iter().product();
    let mut sent = vec![-1_i64; count];
    for (row, item) in own.chosen.iter().enumerate() {
        sent[*item] = row as i64;
    }
    let mut params = Vec::new();
    let inputs = || branch.0.inputs.iter().zip(&section.params);
    for (input, param) in inputs() {
        let (outer, inner) = (frame.tensor(*input).0, &bound.views[param.index()]);
        let placed =
            |line: &girih_cpu::view::Line| line.extent == 1 || outer.step(line.axis) == line.step;
        params.push(if outer.axes().any(|axis| own.items.is_item(axis)) {
            let start = sent.len() * size_of::<i64>();
            let places = own.chosen.iter().map(|item| own.items.start(outer, *item));
            sent.extend(places.map(|place| place as i64));
            Param::Gathered(0, start)
        } else if inner.lines.iter().all(placed) {
            Param::Shared
        } else {
            Param::Copied(0)
        });
    }
    // Then the section's memory, inputs, and the result if it is for us to give.
    let start = aligned(sent.len() * size_of::<i64>());
    let mut total = start.saturating_add(bound.arena);
    let mut given = |view: &View| {
        let start = total;
        total = total.saturating_add(aligned(view.count().saturating_mul(view.dtype.size())));
        start
    };
    for (param, id) in params.iter_mut().zip(&section.params) {
        match param {
            Param::Shared => {}
            Param::Copied(place) | Param::Gathered(place, _) => {
                *place = given(&bound.views[id.index()]);
            }
        }
    }
    let result_buffer = buffer_of(section, result);
    let is_given = |param: &TensorId| buffer_of(section, *param) == result_buffer;
    let kind = &section.buffers[result_buffer.index()].kind;
    let is_ours = matches!(kind, BufferKind::Bound) && !section.params.iter().any(is_given);
    let result_at = is_ours.then(|| given(&bound.views[result.index()]));
    let limit = run.bindings.limit.saturating_sub(run.held);
    let numbers = Numbers::new(&run.plan.axes, Symbols::new(), limit);
    numbers.check_limit(&bound.views, &bound.bytes, total as u64)?;

    let device = &*run.context.device;
    let memory = run.pool.take(device, total as u64)?;
    let base = Place {
        memory: &memory,
        offset: 0,
    };
    let done = (|| {
        let words: Vec<u8> = sent.iter().flat_map(|word| word.to_ne_bytes()).collect();
        device.write(base, &words)?;
        let arena = at(base, start);
        let mut here = places(run.compiled, section, &bound, arena);
        for ((input, id), param) in inputs().zip(&params) {
            let (outer, place) = frame.tensor(*input);
            let inner = &bound.views[id.index()];
            here[inner.buffer.index()] = match param {
                Param::Shared => moved(place, outer.offset, outer.dtype.size() as u64),
                Param::Copied(to) => {
                    run.copy((outer, place), (inner, at(base, *to)))?;
                    at(base, *to)
                }
                Param::Gathered(to, from) => {
                    let to = at(base, *to);
                    gather(run, own, (outer, place), at(base, *from), (inner, to))?;
                    to
                }
            };
        }
        if let Some(result_at) = result_at {
            here[result_buffer.index()] = at(base, result_at);
        }
        let inner = Frame {
            bound: &bound,
            places: &here,
            arena,
        };
        for number in 0..branch.1.stages.len() {
            stage(run, section, branch.1, number, &inner)?;
        }
        accumulate(run, frame, inner.tensor(result), own, base)
    })();
    run.pool.give_back(memory);
    done
}

/// Copies the chosen items one after another along the first item axis of `to`.
fn gather(
    run: &Run<'_>,
    own: &Kept<'_>,
    (from, source): (&View, Place<'_>),
    positions: Place<'_>,
    (to, target): (&View, Place<'_>),
) -> Result<(), RunError> {
    let rest = || to.lines.iter().filter(|line| !own.items.is_item(line.axis));
    let first = own.launch.items.first();
    let mut sizes = Sizes::new();
    sizes.insert("n0".to_owned(), own.chosen.len() as i64);
    sizes.insert("p0".to_owned(), 1);
    let along = first.map_or(0, |first| to.step(*first));
    sizes.insert("t0".to_owned(), along as i64);
    for (number, line) in (1..).zip(rest()) {
        sizes.insert(format!("n{number}"), line.extent as i64);
        sizes.insert(format!("s{number}"), from.step(line.axis) as i64);
        sizes.insert(format!("t{number}"), line.step as i64);
    }
    let code = code(run.context, Own::Gather(rest().count()), to.dtype)?;
    let to = moved(target, to.offset, to.dtype.size() as u64);
    let places = [source, positions, to];
    own::run(run.context, &code, &places, &sizes, run.slot(0))
}

/// Adds what a branch made times the weights to the sums of its items.
fn accumulate(
    run: &Run<'_>,
    frame: &Frame<'_>,
    (made, result): (&View, Place<'_>),
    own: &Kept<'_>,
    rows: Place<'_>,
) -> Result<(), RunError> {
    let launch = own.launch;
    let ((out, sums), (weights, factors)) =
        (frame.tensor(launch.out), frame.tensor(launch.weights));
    let mut sizes = Sizes::new();
    let dense = dense_steps(&own.items.extents);
    for (number, axis) in launch.items.iter().enumerate() {
        sizes.insert(format!("n{number}"), own.items.extents[number] as i64);
        sizes.insert(format!("v{number}"), dense[number] as i64);
        sizes.insert(format!("w{number}"), weights.step(*axis) as i64);
        sizes.insert(format!("o{number}"), out.step(*axis) as i64);
    }
    let rest = || {
        out.lines
            .iter()
            .filter(|line| !own.items.is_item(line.axis))
    };
    for (number, line) in (launch.items.len()..).zip(rest()) {
        sizes.insert(format!("n{number}"), line.extent as i64);
        sizes.insert(format!("m{number}"), made.step(line.axis) as i64);
        sizes.insert(format!("o{number}"), line.step as i64);
    }
    let along = launch.items.first().map_or(0, |first| made.step(*first));
    sizes.insert("k".to_owned(), along as i64);
    sizes.insert("c".to_owned(), own.chosen.len() as i64);
    let branch = weights.step(launch.branch) * own.position as isize;
    let size = |view: &View| view.dtype.size() as u64;
    let places = [
        rows,
        moved(result, made.offset, size(made)),
        moved(factors, weights.offset + branch, size(weights)),
        moved(sums, out.offset, size(out)),
    ];
    let kind = Own::Add(launch.items.len(), rest().count());
    let code = code(run.context, kind, out.dtype)?;
    own::run(run.context, &code, &places, &sizes, run.slot(0))
}
