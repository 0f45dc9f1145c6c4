//! Runs each branch of a route on the items that it keeps.
//!
//! Items are gathered along the first item axis, the branch runs on these alone, and
//! what it makes is added where the items came from, times their weights: branches one
//! after the other, in their order. A branch that keeps nothing does not run. What is
//! bound for a number of items, and the memory, are kept for later runs.

#![expect(
    unsafe_code,
    reason = "whoever runs a section says where its buffers are"
)]

use girih_graph::AxisId;
use girih_plan::plan::{BranchLaunch, BufferKind, RouteLaunch, TensorId};
use girih_runtime::backend::RunError;

use super::{Run, copy, run_section};
use crate::bind::{Binder, buffer_of, dense_bytes};
use crate::block::Base;
use crate::frame::{Frame, cells};
use crate::items::Items;
use crate::memory::aligned;
use crate::routine::number::{Number, per_number};
use crate::view::{self, Line, View};
use crate::walk;

pub(super) fn run(run: &Run<'_>, launch: &RouteLaunch, frame: &Frame<'_>) -> Result<(), RunError> {
    per_number!(frame.view(launch.out).dtype, T => sum::<T>(run, launch, frame))
}

fn sum<T: Number>(run: &Run<'_>, launch: &RouteLaunch, frame: &Frame<'_>) -> Result<(), RunError> {
    let out = frame.view(launch.out);
    let target = frame.cells::<T>(launch.out);
    walk::rows(
        &out.shape(),
        [&out.own_steps()],
        [out.offset],
        |[o], length, [t]| {
            for k in 0..length as isize {
                target.set(o + k * t, T::default());
            }
        },
    );
    let view = |tensor| frame.view(tensor);
    let items = Items::of(launch, &view);
    let kept = frame.cells::<u8>(launch.kept);
    for (position, branch) in launch.branches.iter().enumerate() {
        let chosen = items.chosen(&view, &|at| kept.get(at) != 0, position);
        for chosen in items.together(branch, &view, chosen) {
            let own = Kept {
                launch,
                items: &items,
                chosen: &chosen,
                position,
            };
            add::<T>(run, branch, frame, &own)?;
        }
    }
    Ok(())
}

/// The items that a branch keeps.
struct Kept<'a> {
    launch: &'a RouteLaunch,
    items: &'a Items<'a>,
    /// Row-major positions over the item axes.
    chosen: &'a [usize],
    /// Which branch.
    position: usize,
}

/// Runs a branch and adds what it makes.
fn add<T: Number>(
    run: &Run<'_>,
    branch: &BranchLaunch,
    frame: &Frame<'_>,
    kept: &Kept<'_>,
) -> Result<(), RunError> {
    let launch = kept.launch;
    let section = &branch.section;
    let mut symbols = frame.bound.symbols.clone();
    symbols.insert(launch.symbol.clone(), kept.chosen.len() as i64);
    let limit = run.bindings.limit.saturating_sub(run.held.get());
    let binder = Binder::new(
        run.plan,
        run.code,
        run.tables,
        run.weights,
        run.natives,
        symbols,
        limit,
        run.pool.threads(),
    );
    let bound = run.branches.bound(branch, &binder)?;
    let result = *section.results.first().expect("a branch has a result");
    let result_view = &bound.views[result.index()];

    // Memory of the section, gathered inputs, the result if it is for us to give, and what
    // kernels want.
    let mut total = aligned(bound.arena);
    let mut given = |view: &View| {
        let start = total;
        total = total.saturating_add(dense_bytes(view));
        start
    };
    let params: Vec<Param> = branch
        .inputs
        .iter()
        .zip(&section.params)
        .map(|(input, param)| {
            let (outer, own) = (frame.view(*input), &bound.views[param.index()]);
            let gathers = outer.axes().any(|axis| kept.items.is_item(axis));
            let placed = |line: &Line| line.extent == 1 || outer.step(line.axis) == line.step;
            if !gathers && own.lines.iter().all(placed) {
                Param::Shared
            } else if gathers {
                Param::Gathered(given(own))
            } else {
                Param::Copied(given(own))
            }
        })
        .collect();
    let result_buffer = buffer_of(section, result);
    let bound_result = matches!(
        section.buffers[result_buffer.index()].kind,
        BufferKind::Bound
    ) && !section
        .params
        .iter()
        .any(|param| buffer_of(section, *param) == result_buffer);
    let result_at = bound_result.then(|| given(result_view));
    let scratch_at = total;
    total = total.saturating_add(bound.scratch.saturating_mul(run.pool.threads()));
    binder
        .numbers
        .check_limit(&bound.views, &bound.bytes, total as u64)?;
    let memory = run.branches.memory(total).ok_or_else(|| RunError::Memory {
        what: launch.symbol.to_string(),
        bytes: total as u64,
        limit: run.bindings.limit,
    })?;
    let own = memory.base();
    let mut bases = bound.bases(own);
    for ((input, param), how) in branch.inputs.iter().zip(&section.params).zip(&params) {
        let (outer, view) = (frame.view(*input), &bound.views[param.index()]);
        let base = frame.base(outer.buffer);
        bases[buffer_of(section, *param).index()] = match how {
            Param::Shared => base.at(outer.offset * outer.dtype.size() as isize),
            Param::Copied(at) => {
                let target = own.at(at.cast_signed());
                // SAFETY: the outer tensor is memory of the frame, the copy was made room for.
                unsafe { copy((outer, base), (view, target)) };
                target
            }
            Param::Gathered(at) => {
                let target = own.at(at.cast_signed());
                gather(run, kept, (outer, base), (view, target));
                target
            }
        };
    }
    if let Some(at) = result_at {
        bases[result_buffer.index()] = own.at(at.cast_signed());
    }
    run.held.set(run.held.get() + total as u64);
    // SAFETY: every buffer of the section was given memory as long as its views reach: its own,
    // gathered, or the outer tensor's whose elements lie as the parameter's.
    let inner = unsafe { Frame::new(&bound, &bases, own) };
    let outer_scratch = run
        .scratch
        .replace((own.at(scratch_at.cast_signed()), bound.scratch));
    let ran = run_section(run, section, &inner);
    run.scratch.set(outer_scratch);
    run.held.set(run.held.get() - total as u64);
    if ran.is_ok() {
        accumulate::<T>(run, frame, &inner, kept, result);
    }
    run.branches.give_back(memory);
    ran
}

/// How a branch gets an input.
enum Param {
    /// Where it lies.
    Shared,
    /// A dense copy, at this byte.
    Copied(usize),
    /// The chosen items, at this byte.
    Gathered(usize),
}

/// Copies the chosen items one after another along the first item axis of `to`.
fn gather(run: &Run<'_>, own: &Kept<'_>, from: (&View, Base), to: (&View, Base)) {
    let without = |view: &View, offset: isize| View {
        offset,
        lines: (view.lines.iter())
            .filter(|line| !own.items.is_item(line.axis))
            .copied()
            .collect(),
        ..view.clone()
    };
    let step = own
        .launch
        .items
        .first()
        .map_or(0, |first| to.0.step(*first));
    // A few kilobytes make sharing worth it.
    let bytes = dense_bytes(&without(to.0, 0)).max(1);
    run.pool
        .split(own.chosen.len(), (16_384 / bytes).max(1), &|range, _| {
            for item in range {
                let source = without(from.0, own.items.start(from.0, own.chosen[item]));
                let target = without(to.0, to.0.offset + step * item as isize);
                // SAFETY: items lie inside what the outer tensor reaches; the target has room for as
                // many items as are chosen.
                unsafe { copy((&source, from.1), (&target, to.1)) };
            }
        });
}

/// Adds the branch's result times the weights to the sums.
fn accumulate<T: Number>(
    run: &Run<'_>,
    frame: &Frame<'_>,
    inner: &Frame<'_>,
    own: &Kept<'_>,
    result: TensorId,
) {
    let launch = own.launch;
    let (out, weights, view) = (
        frame.view(launch.out),
        frame.view(launch.weights),
        inner.view(result),
    );
    let factors = frame.cells::<T>(launch.weights);
    let sums = frame.cells::<T>(launch.out);
    // SAFETY: the result is memory of the section that just ran.
    let made = unsafe { cells::<T>(view, inner.base(view.buffer)) };
    let rest: Vec<AxisId> = out
        .axes()
        .filter(|axis| !own.items.is_item(*axis))
        .collect();
    let shape: Vec<usize> = rest
        .iter()
        .map(|axis| out.line(*axis).map_or(1, |line| line.extent))
        .collect();
    let steps = [
        view.steps(rest.iter().copied()),
        out.steps(rest.iter().copied()),
    ];
    let along = launch.items.first().map_or(0, |first| view.step(*first));
    let branch = weights.step(launch.branch) * own.position as isize;
    let one = |at: usize| {
        let item = own.chosen[at];
        let factor = factors
            .get(own.items.start(weights, item) + branch)
            .to_sum();
        let add =
            |sum: T, made: T| T::from_sum(T::add(sum.to_sum(), T::mul(factor, made.to_sum())));
        let start = [
            view.offset + along * at as isize,
            own.items.start(out, item),
        ];
        walk::rows(
            &shape,
            [&steps[0], &steps[1]],
            start,
            |[i, o], length, [s, t]| {
                if (s, t) == (1, 1) {
                    return sums.change_run(o, made, i, length, add);
                }
                for k in 0..length as isize {
                    let sum = sums.get(o + k * t);
                    sums.set(o + k * t, add(sum, made.get(i + k * s)));
                }
            },
        );
    };
    // Items have places of their own, unless the result lacks one of their axes.
    let apart = launch.items.iter().all(|axis| out.line(*axis).is_some());
    let grain = if apart {
        (8192 / view::count(&shape).max(1)).max(1)
    } else {
        own.chosen.len()
    };
    run.pool
        .split(own.chosen.len(), grain, &|range, _| range.for_each(&one));
}
