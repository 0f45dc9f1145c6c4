//! Reductions of contiguous elements to one number.
//!
//! Four vectors of partial results, joined in a fixed order: the result depends on the elements, their number and the
//! level only, and its error grows with `n / (4 * lanes)`, not with `n`. Long sums are cut into pieces of [`PIECE`]
//! elements whose results are added pairwise.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a routine's whole body works under its own obligations"
)]
#![expect(
    clippy::missing_safety_doc,
    reason = "the obligations are those of `Lanes` and of the entry's type in the table"
)]

use super::{Arithmetic, apply, exponential};
use crate::lanes::Lanes;

/// Elements that are summed straight; 4096 f32 are half of a first-level cache.
const PIECE: usize = 4096;

/// Numbers that a reduction begins with and is finished in.
pub(super) trait Number: Copy {
    const ZERO: Self;
    const ONE: Self;
    const INFINITY: Self;
    const NEG_INFINITY: Self;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// The greater, or the one that is NaN.
    fn greater(self, other: Self) -> Self;
    /// The lesser, or the one that is NaN.
    fn lesser(self, other: Self) -> Self;
}

macro_rules! number {
    ($type:ident) => {
        impl Number for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $type::INFINITY;
            const NEG_INFINITY: Self = $type::NEG_INFINITY;
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }
            #[inline(always)]
            fn greater(self, other: Self) -> Self {
                if self > other || self.is_nan() {
                    self
                } else {
                    other
                }
            }
            #[inline(always)]
            fn lesser(self, other: Self) -> Self {
                if self < other || self.is_nan() {
                    self
                } else {
                    other
                }
            }
        }
    };
}
number!(f32);
number!(f64);

/// Folds `n` elements: `step(accumulated, i, first)` adds the vector at `i`, of which only `first` elements are there
/// if it says so.
#[inline(always)]
unsafe fn fold<L: Lanes>(
    n: usize,
    start: L::Element,
    step: impl Fn(L::Vector, usize) -> L::Vector,
    last: impl Fn(L::Vector, usize, usize) -> L::Vector,
    join: impl Fn(L::Vector, L::Vector) -> L::Vector,
    finish: impl Fn(L::Element, L::Element) -> L::Element,
) -> L::Element {
    let mut sums = [L::splat(start); 4];
    let mut at = 0;
    while at + 4 * L::COUNT <= n {
        sums[0] = step(sums[0], at);
        sums[1] = step(sums[1], at + L::COUNT);
        sums[2] = step(sums[2], at + 2 * L::COUNT);
        sums[3] = step(sums[3], at + 3 * L::COUNT);
        at += 4 * L::COUNT;
    }
    while at + L::COUNT <= n {
        sums[0] = step(sums[0], at);
        at += L::COUNT;
    }
    if at < n {
        sums[1] = last(sums[1], at, n - at);
    }
    let sum = join(join(sums[0], sums[1]), join(sums[2], sums[3]));
    // No level has more lanes.
    let mut lanes = [start; 16];
    L::store(lanes.as_mut_ptr(), sum);
    let mut width = L::COUNT;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] = finish(lanes[lane], lanes[lane + width]);
        }
    }
    lanes[0]
}

/// Adds what `piece(from, count)` gives for pieces of `n` elements, pairwise.
#[inline(always)]
fn in_pieces<E: Number>(n: usize, piece: impl Fn(usize, usize) -> E) -> E {
    if n <= PIECE {
        return piece(0, n);
    }
    // `pending[i]` is the sum of `2^i` pieces where bit `i` of the number of pieces so far is set.
    let mut pending = [E::ZERO; usize::BITS as usize];
    let mut done = 0_usize;
    let mut from = 0;
    while from < n {
        let count = PIECE.min(n - from);
        let mut sum = piece(from, count);
        let mut level = 0;
        while done >> level & 1 == 1 {
            sum = pending[level].plus(sum);
            level += 1;
        }
        pending[level] = sum;
        done += 1;
        from += count;
    }
    let mut sum = E::ZERO;
    for (level, &part) in pending.iter().enumerate() {
        if done >> level & 1 == 1 {
            sum = part.plus(sum);
        }
    }
    sum
}

#[inline(always)]
pub(super) unsafe fn sum<L: Lanes<Element: Number>>(x: *const L::Element, n: usize) -> L::Element {
    in_pieces(n, |from, count| {
        let x = x.add(from);
        fold::<L>(
            count,
            Number::ZERO,
            |sum, i| L::add(sum, L::load(x.add(i))),
            |sum, i, first| L::add(sum, L::load_first(x.add(i), first)),
            |a, b| L::add(a, b),
            Number::plus,
        )
    })
}

#[inline(always)]
pub(super) unsafe fn dot<L: Lanes<Element: Number>>(
    x: *const L::Element,
    y: *const L::Element,
    n: usize,
) -> L::Element {
    in_pieces(n, |from, count| {
        let (x, y) = (x.add(from), y.add(from));
        fold::<L>(
            count,
            Number::ZERO,
            |sum, i| L::mul_add(L::load(x.add(i)), L::load(y.add(i)), sum),
            |sum, i, first| {
                L::mul_add(
                    L::load_first(x.add(i), first),
                    L::load_first(y.add(i), first),
                    sum,
                )
            },
            |a, b| L::add(a, b),
            Number::plus,
        )
    })
}

#[inline(always)]
pub(super) unsafe fn sum_squares<L: Lanes<Element: Number>>(
    x: *const L::Element,
    n: usize,
) -> L::Element {
    dot::<L>(x, x, n)
}

/// A reduction whose last vector overlaps the one before it, as elements may count twice; `n` is at least
/// [`Lanes::COUNT`].
#[inline(always)]
unsafe fn extreme<L: Lanes>(
    x: *const L::Element,
    n: usize,
    start: L::Element,
    join: impl Fn(L::Vector, L::Vector) -> L::Vector + Copy,
    finish: impl Fn(L::Element, L::Element) -> L::Element,
) -> L::Element {
    if n < L::COUNT {
        let mut result = start;
        for i in 0..n {
            result = finish(result, *x.add(i));
        }
        return result;
    }
    fold::<L>(
        n,
        start,
        |kept, i| join(kept, L::load(x.add(i))),
        |kept, i, first| join(kept, L::load(x.add(i + first - L::COUNT))),
        join,
        finish,
    )
}

#[inline(always)]
pub(super) unsafe fn max<L: Lanes<Element: Number>>(x: *const L::Element, n: usize) -> L::Element {
    extreme::<L>(
        x,
        n,
        Number::NEG_INFINITY,
        |a, b| L::max(a, b),
        Number::greater,
    )
}

#[inline(always)]
pub(super) unsafe fn min<L: Lanes<Element: Number>>(x: *const L::Element, n: usize) -> L::Element {
    extreme::<L>(x, n, Number::INFINITY, |a, b| L::min(a, b), Number::lesser)
}

#[inline(always)]
pub(super) unsafe fn prod<L: Lanes<Element: Number>>(x: *const L::Element, n: usize) -> L::Element {
    let whole = n - n % L::COUNT;
    let mut product = fold::<L>(
        whole,
        Number::ONE,
        |product, i| L::mul(product, L::load(x.add(i))),
        |product, _, _| product,
        |a, b| L::mul(a, b),
        Number::times,
    );
    for i in whole..n {
        product = product.times(*x.add(i));
    }
    product
}

/// `y = exp(x - m)`, and its sum.
#[inline(always)]
pub(super) unsafe fn exp_sum<A: Arithmetic, L: Lanes<Element = f32>>(
    x: *const f32,
    y: *mut f32,
    n: usize,
    m: f32,
) -> f32 {
    in_pieces(n, |from, count| {
        let (x, y) = (x.add(from), y.add(from));
        apply::unary(x, y, count, |value| exponential::exp::<A>(value - m));
        sum::<L>(y.cast_const(), count)
    })
}
