//! One step of a linear recurrence: rows of a state fade, products are added, sums over rows are read.
//!
//! For every column `c`, over the rows `r`: `next = fade[r] * state[r, c] + k[r] * x[c]` and
//! `out[c] = sum of q[r] * seen[r, c]`, where what is seen is the state before or after, or before with a product
//! added to it. A few columns at a time keep their sums in registers; every element of the state is read and written
//! once. A column's result depends on nothing but its own elements. The obligations of every function are those of [`Lanes`] and of the entry's type in the
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

/// The state stays as it is.
const STAYS: u8 = 0;
/// Rows fade, each by a number of its own.
const FADES: u8 = 1;
/// Elements fade, each by an exponential.
const EXP: u8 = 2;

#[inline(always)]
pub(super) unsafe fn step<A: Arithmetic, L: Lanes<Element = f32>>(arguments: *const FadeArguments) {
    // A copy, which nothing that is written can change: it is kept in registers.
    let own = arguments.read();
    if own.k.is_null() {
        choose::<A, L, KEEPS>(own);
    } else if own.then.is_null() {
        choose::<A, L, ADDS>(own);
    } else {
        choose::<A, L, ADDS_THREE>(own);
    }
}

#[inline(always)]
unsafe fn choose<A: Arithmetic, L: Lanes<Element = f32>, const ADDED: u8>(own: FadeArguments) {
    if own.writes == 0 && own.seen == Seen::Before {
        return sums::<L>(own);
    }
    if !own.rates.is_null() {
        read::<A, L, ADDED, EXP>(own);
    } else if own.fade.is_null() {
        read::<A, L, ADDED, STAYS>(own);
    } else {
        read::<A, L, ADDED, FADES>(own);
    }
}

#[inline(always)]
unsafe fn read<A: Arithmetic, L: Lanes<Element = f32>, const ADDED: u8, const DECAY: u8>(
    own: FadeArguments,
) {
    match (own.writes != 0, own.seen) {
        (true, Seen::Before) if DECAY != EXP && !own.bonus.is_null() => {
            columns::<A, L, ADDED, DECAY, true, BONUS>(own);
        }
        (true, Seen::Before) => columns::<A, L, ADDED, DECAY, true, BEFORE>(own),
        (true, Seen::After) => columns::<A, L, ADDED, DECAY, true, AFTER>(own),
        (true, Seen::Nothing) => columns::<A, L, ADDED, DECAY, true, NOTHING>(own),
        (false, Seen::After) => columns::<A, L, ADDED, DECAY, false, AFTER>(own),
        (false, Seen::Before | Seen::Nothing) => {}
    }
}

#[inline(always)]
unsafe fn columns<
    A: Arithmetic,
    L: Lanes<Element = f32>,
    const ADDED: u8,
    const DECAY: u8,
    const WRITES: bool,
    const SEEN: u8,
>(
    own: FadeArguments,
) {
    let mut at = 0;
    while at + WIDE * L::COUNT <= own.columns {
        rows::<A, L, ADDED, DECAY, WRITES, SEEN, WIDE>(own, at, L::COUNT);
        at += WIDE * L::COUNT;
    }
    while at < own.columns {
        let count = L::COUNT.min(own.columns - at);
        rows::<A, L, ADDED, DECAY, WRITES, SEEN, 1>(own, at, count);
        at += L::COUNT;
    }
}

/// The sums of a state that stays.
#[inline(always)]
unsafe fn sums<L: Lanes<Element = f32>>(own: FadeArguments) {
    let mut at = 0;
    while at + WIDE * L::COUNT <= own.columns {
        sums_of::<L, WIDE>(own, at, L::COUNT);
        at += WIDE * L::COUNT;
    }
    while at < own.columns {
        let count = L::COUNT.min(own.columns - at);
        sums_of::<L, 1>(own, at, count);
        at += L::COUNT;
    }
}

/// Those of `V` vectors of columns, or of the first `count` columns of one. Every other row has sums of its own, so
/// that none waits for the one before.
#[inline(always)]
unsafe fn sums_of<L: Lanes<Element = f32>, const V: usize>(
    own: FadeArguments,
    first: usize,
    count: usize,
) {
    let whole = V > 1 || count == L::COUNT;
    let mut sums = [[L::splat(0.0); V]; 2];
    let mut row = 0;
    while row < own.rows {
        for (half, sums) in sums.iter_mut().enumerate().take(own.rows - row) {
            let row = (row + half).cast_signed();
            let state = own.state.offset(row * own.state_row).add(first);
            let q = L::splat(*own.q.offset(row * own.q_row));
            for (vector, sum) in sums.iter_mut().enumerate() {
                let seen = part::<L>(state.add(vector * L::COUNT), whole, count);
                *sum = L::mul_add(q, seen, *sum);
            }
        }
        row += 2;
    }
    let [even, odd] = sums;
    for (vector, (even, odd)) in even.into_iter().zip(odd).enumerate() {
        let sum = L::add(even, odd);
        let out = own.out.add(first + vector * L::COUNT);
        if whole {
            L::store(out, sum);
        } else {
            L::store_first(out, sum, count);
        }
    }
}

/// All rows of `V` vectors of columns, or of the first `count` columns of one.
#[inline(always)]
unsafe fn rows<
    A: Arithmetic,
    L: Lanes<Element = f32>,
    const ADDED: u8,
    const DECAY: u8,
    const WRITES: bool,
    const SEEN: u8,
    const V: usize,
>(
    own: FadeArguments,
    first: usize,
    count: usize,
) {
    let whole = V > 1 || count == L::COUNT;
    let changes = WRITES || SEEN == AFTER;
    let zero = L::splat(0.0);
    let mut x = [zero; V];
    let (mut then, mut times, mut gain) = (x, x, x);
    for vector in 0..V {
        let at = first + vector * L::COUNT;
        if ADDED != KEEPS {
            x[vector] = part::<L>(own.x.add(at), whole, count);
        }
        if ADDED == ADDS_THREE {
            then[vector] = part::<L>(own.then.add(at), whole, count);
        }
        if DECAY == EXP {
            times[vector] = part::<L>(own.times.add(at), whole, count);
        }
        if SEEN == BONUS {
            gain[vector] = part::<L>(own.gain.add(at), whole, count);
        }
    }
    let mut sums = [zero; V];
    // Moved on at every row, beyond the last row, too.
    let mut state = own.state.wrapping_add(first);
    let mut rates = own.rates.wrapping_add(first);
    let (mut fade, mut k, mut bonus, mut q) = (own.fade, own.k, own.bonus, own.q);
    for _ in 0..own.rows {
        let fades = if DECAY == FADES {
            L::splat(*fade)
        } else {
            zero
        };
        let adds = if ADDED == KEEPS { zero } else { L::splat(*k) };
        let reads = if SEEN == NOTHING { zero } else { L::splat(*q) };
        let more = if SEEN == BONUS {
            L::splat(*bonus)
        } else {
            zero
        };
        for vector in 0..V {
            let at = vector * L::COUNT;
            let before = part::<L>(state.add(at), whole, count);
            let mut after = before;
            if changes {
                if DECAY == FADES {
                    after = L::mul(fades, before);
                } else if DECAY == EXP {
                    let rates = part::<L>(rates.add(at), whole, count);
                    let fades = exponentials::<A, L>(L::mul(times[vector], rates));
                    after = L::mul(fades, before);
                }
                if ADDED == ADDS {
                    after = L::mul_add(adds, x[vector], after);
                } else if ADDED == ADDS_THREE {
                    after = L::mul_add(L::mul(adds, x[vector]), then[vector], after);
                }
            }
            if SEEN != NOTHING {
                let seen = match SEEN {
                    AFTER => after,
                    BONUS => L::mul_add(more, gain[vector], before),
                    _ => before,
                };
                sums[vector] = L::mul_add(reads, seen, sums[vector]);
            }
            if WRITES && whole {
                L::store(state.add(at), after);
            } else if WRITES {
                L::store_first(state.add(at), after, count);
            }
        }
        state = state.wrapping_offset(own.state_row);
        rates = rates.wrapping_offset(own.rates_row);
        fade = fade.wrapping_offset(own.fade_row);
        k = k.wrapping_offset(own.k_row);
        bonus = bonus.wrapping_offset(own.bonus_row);
        q = q.wrapping_offset(own.q_row);
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
