//! Products of several runs with one weight: their rows are brought together, multiplied at once, and written back.

#![expect(unsafe_code, reason = "rows lie in the memory of several runs")]

use girih_kernels::gemm::{Finish, View, ViewMut};
use girih_kernels::{Level, Pool};
use girih_plan::plan::Contract;

use super::{Weighted, ends};
use crate::block::{Base, Block};
use crate::frame::Frame;
use crate::launch::BoundLaunch;
use crate::pack::Pack;
use crate::parameter::Packs;
use crate::walk;
use crate::weights::{Form, Weights};

/// Rows of one run up to which reading the weight is what takes time: with more, bringing them together gains nothing.
const MOST_ROWS: usize = 16;

/// Elements that a thread copies at least.
const GRAIN: usize = 1 << 15;

/// Rows of several runs, of which there are some, and the weight that all are multiplied with.
pub(crate) struct Joined<'a> {
    form: &'a Form,
    packs: &'a [Pack],
    rows: Vec<Row<'a>>,
}

/// A row of one run: where its elements begin, and those of the result.
struct Row<'a> {
    product: &'a Weighted,
    from: Base,
    to: Base,
}

impl<'a> Joined<'a> {
    /// What all these runs multiply with one weight, of which they have the same packs. `None` if each does it
    /// alone: it is no packed weight, or one of them has many rows.
    pub(crate) fn of(
        weights: &'a Weights,
        packs: &'a [Option<Packs>],
        contract: &Contract,
        runs: impl Iterator<Item = (&'a BoundLaunch, Frame<'a>)>,
    ) -> Option<Self> {
        let number = weights.number(contract)?;
        let packs = packs.get(number)?.as_ref()?;
        let mut rows = Vec::new();
        for (bound, frame) in runs {
            let BoundLaunch::Contract(product) = bound else {
                return None;
            };
            let product = product.weighted.as_ref()?;
            let lines = product.loops.iter().chain([&product.rows]);
            let shape: Vec<usize> = lines.clone().map(|(extent, _)| *extent).collect();
            if shape.iter().copied().fold(1, usize::saturating_mul) > MOST_ROWS {
                return None;
            }
            let steps = |side: usize| -> Vec<isize> {
                lines.clone().map(|(_, steps)| steps[side]).collect()
            };
            let [from, to] = ends(weights, contract, product, &frame);
            let steps = [&*steps(0), &*steps(1)];
            walk::rows(&shape, steps, [0, 0], |[i, o], length, [s, t]| {
                rows.extend((0..length as isize).map(|at| Row {
                    product,
                    from: Base(from.wrapping_offset(i + s * at).cast()),
                    to: Base(to.wrapping_offset(o + t * at).cast()),
                }));
            });
        }
        let form = &weights.all()[number].form;
        (!rows.is_empty()).then_some(Self { form, packs, rows })
    }

    /// Bytes of memory for the rows, and for those of the result.
    pub(crate) fn bytes(&self) -> usize {
        let row = self.form.k.saturating_add(self.form.n);
        row.saturating_mul(self.rows.len() * size_of::<f32>())
    }

    /// Multiplies the rows, in memory as long as [`bytes`](Self::bytes) says. Nobody may touch what the runs have
    /// meanwhile.
    pub(crate) fn multiply(&self, level: Level, pool: &Pool, strip: &Block) {
        assert!(
            self.bytes() <= strip.bytes(),
            "the strip has room for all rows"
        );
        let (m, k, n) = (self.rows.len(), self.form.k, self.form.n);
        let left = |row: usize| strip.base().elements::<f32>().wrapping_add(row * k);
        let right = |row: usize| left(m).wrapping_add(row * n);
        let split = |body: &(dyn Fn(usize) + Sync)| {
            pool.split(m, GRAIN / (k + n), &|part, _| part.for_each(body));
        };
        for (at, packed) in self.packs.iter().enumerate() {
            // The elements of a row and of its result, and how far apart they lie.
            let source = |row: usize| {
                let Row { product, from, .. } = &self.rows[row];
                let ([start, _], _) = product.matrices[at];
                (from.elements::<f32>().wrapping_offset(start), product.inner)
            };
            let target = |row: usize| {
                let Row { product, to, .. } = &self.rows[row];
                let ([_, start], _) = product.matrices[at];
                (to.elements::<f32>().wrapping_offset(start), product.column)
            };
            let accumulate = self.rows[0].product.matrices[at].1;
            split(&|row| {
                // SAFETY: what the view of the factor sees, which is memory of a frame, and a row of the strip.
                unsafe { copy(source(row), (left(row), 1), k) };
                if accumulate {
                    // SAFETY: as above, for the view of the result.
                    unsafe { copy(target(row), (right(row), 1), n) };
                }
            });
            let a = View {
                ptr: left(0).cast_const(),
                row: k as isize,
                col: 1,
            };
            let c = ViewMut {
                ptr: right(0),
                row: n as isize,
                col: 1,
            };
            let finish = Finish {
                accumulate,
                epilogue: None,
            };
            // SAFETY: the level is one that the machine runs; both matrices lie in the strip, apart.
            unsafe { packed.multiply(level, pool, m, a, c, finish) };
            split(&|row| {
                // SAFETY: a row of the strip, and what the view of the result sees, whose elements are its own.
                unsafe { copy((right(row), 1), target(row), n) };
            });
        }
    }
}

/// Copies elements that lie so many apart.
///
/// # Safety
///
/// All `count` elements from the first on are valid, those of `from` for reading, those of `to` for writing; nobody
/// else writes either meanwhile, and they do not overlap.
unsafe fn copy(from: (*mut f32, isize), to: (*mut f32, isize), count: usize) {
    if (from.1, to.1) == (1, 1) {
        // SAFETY: as the caller vouched.
        unsafe { std::ptr::copy_nonoverlapping(from.0.cast_const(), to.0, count) };
        return;
    }
    for at in 0..count as isize {
        // SAFETY: as the caller vouched.
        let element = unsafe { from.0.wrapping_offset(from.1 * at).read() };
        // SAFETY: as the caller vouched.
        unsafe { to.0.wrapping_offset(to.1 * at).write(element) };
    }
}
