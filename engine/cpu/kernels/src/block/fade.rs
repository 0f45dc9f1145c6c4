//! One step of a linear recurrence: rows of a state fade, products are added, sums over rows are read.
//!
//! For every column `c`, over the rows `r` in their order: `next = fade[r] * state[r, c] + k[r] * x[c]` and
//! `out[c] = sum of q[r] * seen[r, c]`, where what is seen is the state before or after, or before with a product
//! added to it. A few columns at a time keep
//! their sums in registers; every element of the state is read and written once. A column's result depends on nothing
//! but its own elements. The obligations of every function are those of [`Lanes`] and of the entry's type in the
//! table.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a routine's whole body works under its own obligations"
)]

use super::{Arithmetic, exponential};
use crate::lanes::Lanes;
use crate::table::{FadeArguments, Seen};

/// The state before a step.
const BEFORE: u8 = 0;
/// The state after it.
const AFTER: u8 = 1;
/// Nothing is read.
const NOTHING: u8 = 2;
/// The state before it and a product.
const BONUS: u8 = 3;

/// Nothing is added to the state.
const KEEPS: u8 = 0;
/// A product of two factors.
const ADDS: u8 = 1;
/// A product of three.
const ADDS_THREE: u8 = 2;

/// Vectors of columns whose sums are kept at once.
const WIDE: usize = 4;

#[inline(always)]
pub(super) unsafe fn step<A: Arithmetic, L: Lanes<Element = f32>>(arguments: *const FadeArguments) {
    let own = &*arguments;
    if own.k.is_null() {
        choose::<A, L, KEEPS>(own);
    } else if own.then.is_null() {
        choose::<A, L, ADDS>(own);
    } else {
        choose::<A, L, ADDS_THREE>(own);
    }
}

#[inline(always)]
unsafe fn choose<A: Arithmetic, L: Lanes<Element = f32>, const ADDED: u8>(own: &FadeArguments) {
    match (own.rates.is_null(), own.writes != 0, own.seen) {
        (true, true, Seen::Before) if !own.bonus.is_null() => {
            columns::<A, L, ADDED, false, true, BONUS>(own);
        }
        (true, true, Seen::Before) => columns::<A, L, ADDED, false, true, BEFORE>(own),
        (true, true, Seen::After) => columns::<A, L, ADDED, false, true, AFTER>(own),
        (true, true, Seen::Nothing) => columns::<A, L, ADDED, false, true, NOTHING>(own),
        (false, true, Seen::Before) => columns::<A, L, ADDED, true, true, BEFORE>(own),
        (false, true, Seen::After) => columns::<A, L, ADDED, true, true, AFTER>(own),
        (false, true, Seen::Nothing) => columns::<A, L, ADDED, true, true, NOTHING>(own),
        (_, false, Seen::Before) => columns::<A, L, KEEPS, false, false, BEFORE>(own),
        (true, false, Seen::After) => columns::<A, L, ADDED, false, false, AFTER>(own),
        (false, false, Seen::After) => columns::<A, L, ADDED, true, false, AFTER>(own),
        (_, false, Seen::Nothing) => {}
    }
}

#[inline(always)]
unsafe fn columns<
    A: Arithmetic,
    L: Lanes<Element = f32>,
    const ADDED: u8,
    const EXP: bool,
    const WRITES: bool,
    const SEEN: u8,
>(
    own: &FadeArguments,
) {
    let mut at = 0;
    while at + WIDE * L::COUNT <= own.columns {
        rows::<A, L, ADDED, EXP, WRITES, SEEN, WIDE>(own, at, L::COUNT);
        at += WIDE * L::COUNT;
    }
    while at < own.columns {
        let count = L::COUNT.min(own.columns - at);
        rows::<A, L, ADDED, EXP, WRITES, SEEN, 1>(own, at, count);
        at += L::COUNT;
    }
}

/// All rows of `V` vectors of columns, or of the first `count` columns of one.
#[inline(always)]
unsafe fn rows<
    A: Arithmetic,
    L: Lanes<Element = f32>,
    const ADDED: u8,
    const EXP: bool,
    const WRITES: bool,
    const SEEN: u8,
    const V: usize,
>(
    own: &FadeArguments,
    first: usize,
    count: usize,
) {
    let whole = V > 1 || count == L::COUNT;
    let changes = WRITES || SEEN == AFTER;
    let mut x = [L::splat(0.0); V];
    let (mut then, mut times, mut gain) = (x, x, x);
    for vector in 0..V {
        let at = first + vector * L::COUNT;
        if ADDED != KEEPS {
            x[vector] = part::<L>(own.x.add(at), whole, count);
        }
        if ADDED == ADDS_THREE {
            then[vector] = part::<L>(own.then.add(at), whole, count);
        }
        if EXP {
            times[vector] = part::<L>(own.times.add(at), whole, count);
        }
        if SEEN == BONUS {
            gain[vector] = part::<L>(own.gain.add(at), whole, count);
        }
    }
    let mut sums = [L::splat(0.0); V];
    for row in 0..own.rows.cast_signed() {
        let state = own.state.offset(row * own.state_row).add(first);
        let rates = own
            .rates
            .wrapping_offset(row * own.rates_row)
            .wrapping_add(first);
        let fade = L::splat(*own.fade.offset(row * own.fade_row));
        let k = if ADDED == KEEPS {
            fade
        } else {
            L::splat(*own.k.offset(row * own.k_row))
        };
        let bonus = if SEEN == BONUS {
            L::splat(*own.bonus.offset(row * own.bonus_row))
        } else {
            fade
        };
        let q = if SEEN == NOTHING {
            fade
        } else {
            L::splat(*own.q.offset(row * own.q_row))
        };
        for vector in 0..V {
            let at = vector * L::COUNT;
            let before = part::<L>(state.add(at), whole, count);
            let mut after = before;
            if changes {
                let fade = if EXP {
                    let rates = part::<L>(rates.add(at), whole, count);
                    exponentials::<A, L>(L::mul(times[vector], rates))
                } else {
                    fade
                };
                after = L::mul(fade, before);
                if ADDED == ADDS {
                    after = L::mul_add(k, x[vector], after);
                } else if ADDED == ADDS_THREE {
                    after = L::mul_add(L::mul(k, x[vector]), then[vector], after);
                }
            }
            if SEEN != NOTHING {
                let seen = match SEEN {
                    AFTER => after,
                    BONUS => L::mul_add(bonus, gain[vector], before),
                    _ => before,
                };
                sums[vector] = L::mul_add(q, seen, sums[vector]);
            }
            if WRITES && whole {
                L::store(state.add(at), after);
            } else if WRITES {
                L::store_first(state.add(at), after, count);
            }
        }
    }
    if SEEN != NOTHING {
        for (vector, sum) in sums.into_iter().enumerate() {
            let out = own.out.add(first + vector * L::COUNT);
            if whole {
                L::store(out, sum);
            } else {
                L::store_first(out, sum, count);
            }
        }
    }
}

/// A vector, or its first `count` elements.
#[inline(always)]
unsafe fn part<L: Lanes<Element = f32>>(from: *const f32, whole: bool, count: usize) -> L::Vector {
    if whole {
        L::load(from)
    } else {
        L::load_first(from, count)
    }
}

#[inline(always)]
unsafe fn exponentials<A: Arithmetic, L: Lanes<Element = f32>>(x: L::Vector) -> L::Vector {
    // No level has more lanes.
    let mut lanes = [0.0_f32; 16];
    L::store(lanes.as_mut_ptr(), x);
    for lane in &mut lanes[..L::COUNT] {
        *lane = exponential::exp::<A>(*lane);
    }
    L::load(lanes.as_ptr())
}
