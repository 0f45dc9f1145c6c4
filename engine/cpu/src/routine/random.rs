//! `random`: the draws of a run, the same bits as the reference backend's.
//!
//! The equations stand in the reference's own file: words are hashed from seed,
//! stage, step, key and the position along each axis, in the order of the axes;
//! `ln` and `cos` are those of the standard library.

use std::f64::consts::TAU;

use girih_graph::AxisId;
use girih_graph::op::Distribution;
use girih_plan::plan::TensorId;
use girih_runtime::backend::Bindings;

use crate::block::Cells;
use crate::frame::Frame;
use crate::launch::Run;
use crate::view::Line;

/// Weight of the lowest of 24 bits, as many as an `f32` has.
const UNIT: f64 = 1.0 / (1_u64 << 24) as f64;

/// The word that draws of a key begin with in a run.
pub fn first_word(bindings: &Bindings, key: &str) -> u64 {
    let words = [bindings.seed, bindings.stage, bindings.step, hash(key)];
    words.into_iter().fold(0, absorb)
}

pub(super) fn draw(
    run: &Run<'_>,
    frame: &Frame<'_>,
    out: TensorId,
    (distribution, key): (Distribution, &str),
    from: &[(AxisId, i64)],
) {
    let view = frame.view(out);
    let cells = frame.cells::<f32>(out);
    let start = first_word(run.bindings, key);
    // Words are hashed in the order of the primitive's axes, wherever they lie.
    let line = |(axis, from): &(AxisId, i64)| {
        let line = view.line(*axis).expect("a draw has all of its axes");
        (*line, from.cast_unsigned())
    };
    let lines: Vec<(Line, u64)> = from.iter().map(line).collect();
    let Some(((first, from), rest)) = lines.split_first() else {
        cells.set(view.offset, drawn(distribution, start));
        return;
    };
    if view.lines.iter().any(|line| line.extent == 0) {
        return;
    }
    run.pool.split(first.extent, 1, &|positions, _| {
        for position in positions {
            let offset = view.offset + first.step * position as isize;
            let word = absorb(start, from.wrapping_add(position as u64));
            draw_rest(distribution, word, rest, offset, cells);
        }
    });
}

fn draw_rest(
    distribution: Distribution,
    word: u64,
    lines: &[(Line, u64)],
    offset: isize,
    cells: Cells<f32>,
) {
    let Some(((first, from), rest)) = lines.split_first() else {
        cells.set(offset, drawn(distribution, word));
        return;
    };
    for position in 0..first.extent {
        let offset = offset + first.step * position as isize;
        draw_rest(
            distribution,
            absorb(word, from.wrapping_add(position as u64)),
            rest,
            offset,
            cells,
        );
    }
}

fn drawn(distribution: Distribution, word: u64) -> f32 {
    match distribution {
        Distribution::Uniform => ((word >> 40) as f64 * UNIT) as f32,
        Distribution::Normal => {
            let radius = ((word >> 40) + 1) as f64 * UNIT;
            let angle = ((word >> 16) & 0xFF_FFFF) as f64 * UNIT;
            ((-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()) as f32
        }
    }
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

fn absorb(hash: u64, word: u64) -> u64 {
    let steps = word.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mix(hash.wrapping_add(steps))
}

fn hash(key: &str) -> u64 {
    key.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    })
}
