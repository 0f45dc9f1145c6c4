//! Reductions of contiguous elements to one number.
//!
//! Four vectors of partial results, joined in a fixed order: the result depends on the elements, their number and the
//! level only, and its error grows with `n / (4 * lanes)`, not with `n`. Long sums are cut into pieces of [`PIECE`]
//! elements whose results are added pairwise. The obligations of every function are those of [`Lanes`] and of the
//! entry's type in the table.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a routine's whole body works under its own obligations"
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

/// What a reduction does with each vector, and with the partial results at the end. Functions rather than closures:
/// a closure would not be compiled for the level's features.
trait Fold<L: Lanes> {
    /// What every lane begins with.
    fn start() -> L::Element;
    /// Takes in the vectors at `x` and `y`.
    unsafe fn step(kept: L::Vector, x: *const L::Element, y: *const L::Element) -> L::Vector;
    /// Takes in the first `count` elements at `x` and `y`; where the reduction's length is at least a vector's, those
    /// before them may be read and taken in once more.
    unsafe fn last(
        kept: L::Vector,
        x: *const L::Element,
        y: *const L::Element,
        count: usize,
    ) -> L::Vector;
    unsafe fn join(a: L::Vector, b: L::Vector) -> L::Vector;
    fn finish(a: L::Element, b: L::Element) -> L::Element;
}

/// Folds `n` elements, or pairs of them.
#[inline(always)]
unsafe fn fold<L: Lanes, F: Fold<L>>(
    x: *const L::Element,
    y: *const L::Element,
    n: usize,
) -> L::Element {
    let mut kept = [L::splat(F::start()); 4];
    let mut at = 0;
    while at + 4 * L::COUNT <= n {
        for (part, kept) in kept.iter_mut().enumerate() {
            let at = at + part * L::COUNT;
            *kept = F::step(*kept, x.add(at), y.add(at));
        }
        at += 4 * L::COUNT;
    }
    while at + L::COUNT <= n {
        kept[0] = F::step(kept[0], x.add(at), y.add(at));
        at += L::COUNT;
    }
    if at < n {
        kept[1] = F::last(kept[1], x.add(at), y.add(at), n - at);
    }
    let kept = F::join(F::join(kept[0], kept[1]), F::join(kept[2], kept[3]));
    // No level has more lanes.
    let mut lanes = [F::start(); 16];
    L::store(lanes.as_mut_ptr(), kept);
    let mut width = L::COUNT;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] = F::finish(lanes[lane], lanes[lane + width]);
        }
    }
    lanes[0]
}

/// The sum of `$piece` over pieces of `$n` elements, added pairwise. A macro, as a closure would not be compiled for
/// the level's features.
macro_rules! in_pieces {
    ($n:expr, |$from:ident, $count:ident| $piece:expr) => {{
        let n = $n;
        let mut pending = Pending::new();
        let mut $from = 0;
        while n - $from > PIECE {
            let $count = PIECE;
            pending.add($piece);
            $from += PIECE;
        }
        let $count = n - $from;
        pending.total($piece)
    }};
}

/// Sums of `2^i` pieces, where bit `i` of the number of pieces so far is set.
struct Pending<E> {
    sums: [E; usize::BITS as usize],
    pieces: usize,
}

impl<E: Number> Pending<E> {
    #[inline(always)]
    fn new() -> Self {
        Self {
            sums: [E::ZERO; usize::BITS as usize],
            pieces: 0,
        }
    }

    #[inline(always)]
    fn add(&mut self, piece: E) {
        let mut sum = piece;
        let mut level = 0;
        while self.pieces >> level & 1 == 1 {
            sum = self.sums[level].plus(sum);
            level += 1;
        }
        self.sums[level] = sum;
        self.pieces += 1;
    }

    /// The sum of all pieces and the last one.
    #[inline(always)]
    fn total(&self, last: E) -> E {
        let mut sum = last;
        let mut left = self.pieces;
        while left > 0 {
            sum = self.sums[left.trailing_zeros() as usize].plus(sum);
            left &= left - 1;
        }
        sum
    }
}

/// Makes a [`Fold`].
macro_rules! fold {
    (
        $name:ident, $start:ident,
        step($kept:ident, $x:ident, $y:ident) $step:expr,
        last($kept2:ident, $x2:ident, $y2:ident, $count:ident) $last:expr,
        $join:ident, $finish:ident
    ) => {
        struct $name;

        impl<L: Lanes<Element: Number>> Fold<L> for $name {
            #[inline(always)]
            fn start() -> L::Element {
                Number::$start
            }
            #[inline(always)]
            unsafe fn step(
                $kept: L::Vector,
                $x: *const L::Element,
                $y: *const L::Element,
            ) -> L::Vector {
                $step
            }
            #[inline(always)]
            unsafe fn last(
                $kept2: L::Vector,
                $x2: *const L::Element,
                $y2: *const L::Element,
                $count: usize,
            ) -> L::Vector {
                $last
            }
            #[inline(always)]
            unsafe fn join(a: L::Vector, b: L::Vector) -> L::Vector {
                L::$join(a, b)
            }
            #[inline(always)]
            fn finish(a: L::Element, b: L::Element) -> L::Element {
                Number::$finish(a, b)
            }
        }
    };
}

fold!(
    Sum,
    ZERO,
    step(kept, x, _y) L::add(kept, L::load(x)),
    last(kept, x, _y, count) L::add(kept, L::load_first(x, count)),
    add,
    plus
);
fold!(
    Dot,
    ZERO,
    step(kept, x, y) L::mul_add(L::load(x), L::load(y), kept),
    last(kept, x, y, count) L::mul_add(L::load_first(x, count), L::load_first(y, count), kept),
    add,
    plus
);
// The last vector of these two overlaps the one before it, as elements may count twice.
fold!(
    Max,
    NEG_INFINITY,
    step(kept, x, _y) L::max(kept, L::load(x)),
    last(kept, x, _y, count) L::max(kept, L::load(x.wrapping_add(count).wrapping_sub(L::COUNT))),
    max,
    greater
);
fold!(
    Min,
    INFINITY,
    step(kept, x, _y) L::min(kept, L::load(x)),
    last(kept, x, _y, count) L::min(kept, L::load(x.wrapping_add(count).wrapping_sub(L::COUNT))),
    min,
    lesser
);
// Never asked for a part of a vector, which would be filled up with zeros.
fold!(
    Product,
    ONE,
    step(kept, x, _y) L::mul(kept, L::load(x)),
    last(kept, _x, _y, _count) kept,
    mul,
    times
);

#[inline(always)]
pub(super) unsafe fn sum<L: Lanes<Element: Number>>(x: *const L::Element, n: usize) -> L::Element {
    in_pieces!(n, |from, count| {
        fold::<L, Sum>(x.add(from), x.add(from), count)
    })
}

#[inline(always)]
pub(super) unsafe fn dot<L: Lanes<Element: Number>>(
    x: *const L::Element,
    y: *const L::Element,
    n: usize,
) -> L::Element {
    in_pieces!(n, |from, count| {
        fold::<L, Dot>(x.add(from), y.add(from), count)
    })
}

#[inline(always)]
pub(super) unsafe fn sum_squares<L: Lanes<Element: Number>>(
    x: *const L::Element,
    n: usize,
) -> L::Element {
    dot::<L>(x, x, n)
}

#[inline(always)]
pub(super) unsafe fn max<L: Lanes<Element: Number>>(x: *const L::Element, n: usize) -> L::Element {
    if n >= L::COUNT {
        return fold::<L, Max>(x, x, n);
    }
    let mut result = L::Element::NEG_INFINITY;
    for i in 0..n {
        result = result.greater(*x.add(i));
    }
    result
}

#[inline(always)]
pub(super) unsafe fn min<L: Lanes<Element: Number>>(x: *const L::Element, n: usize) -> L::Element {
    if n >= L::COUNT {
        return fold::<L, Min>(x, x, n);
    }
    let mut result = L::Element::INFINITY;
    for i in 0..n {
        result = result.lesser(*x.add(i));
    }
    result
}

#[inline(always)]
pub(super) unsafe fn prod<L: Lanes<Element: Number>>(x: *const L::Element, n: usize) -> L::Element {
    let whole = n - n % L::COUNT;
    let mut product = fold::<L, Product>(x, x, whole);
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
    in_pieces!(n, |from, count| {
        let (x, y) = (x.add(from), y.add(from));
        apply::unary(x, y, count, |value| exponential::exp::<A>(value - m));
        sum::<L>(y.cast_const(), count)
    })
}
