//! `random`: the draws of a run, exactly, so that every backend gives the same bits.
//!
//! All arithmetic on words is on 64 bits and wraps around.
//!
//! ```text
//! mix(z):       z = (z xor z >> 30) * 0xBF58476D1CE4E5B9
//!               z = (z xor z >> 27) * 0x94D049BB133111EB
//!               z xor z >> 31
//! absorb(h, w): mix(h + (w + 1) * 0x9E3779B97F4A7C15)
//! hash(key):    h = 0xCBF29CE484222325, then for each byte of the key in UTF-8:
//!               h = (h xor byte) * 0x100000001B3
//!
//! h = absorb(absorb(absorb(absorb(0, seed), stage), step), hash(key))
//! word of the element at (i, j, …) = absorb(absorb(h, i), j) …
//!
//! uniform: (word >> 40) * 2^-24
//! normal:  u = ((word >> 40) + 1) * 2^-24,  v = ((word >> 16) mod 2^24) * 2^-24
//!          sqrt(-2 ln u) * cos(2π v), in f64, rounded once to f32
//! ```
//!
//! Indices are absorbed in the order in which the primitive lists its axes, so
//! that a draw depends on its position, not on how many there are; positions are
//! counted from the number that the primitive has beside the axis. The word of a
//! value without axes is `h`. `mix` is the finalizer of `SplitMix64`, the key's hash
//! FNV-1a.
//!
//! Source: Steele, Lea & Flood 2014, Fast splittable pseudorandom number
//! generators, figure 18; Box & Muller 1958.

use std::f64::consts::TAU;

use girih_graph::{DType, Distribution};

use super::array::Array;
use super::walk::cell_count;
use crate::backend::Bindings;

/// Weight of the lowest of 24 bits, as many as an `f32` has.
const UNIT: f64 = 1.0 / (1_u64 << 24) as f64;

/// Draws over a shape, whose positions along each axis are counted from a number.
pub(super) fn draw(
    distribution: Distribution,
    bindings: &Bindings,
    key: &str,
    (shape, from): (Vec<usize>, &[i64]),
) -> Array {
    let words = [bindings.seed, bindings.stage, bindings.step, hash(key)];
    let start = words.into_iter().fold(0, absorb);
    let mut cells: Vec<f32> = Vec::with_capacity(cell_count(&shape));
    if !shape.contains(&0) {
        draw_axes(start, (&shape, from), &mut |word| {
            cells.push(match distribution {
                Distribution::Uniform => uniform(word),
                Distribution::Normal => normal(word),
            });
        });
    }
    Array::new(DType::F32, shape, cells)
}

fn draw_axes(word: u64, (shape, from): (&[usize], &[i64]), draw: &mut impl FnMut(u64)) {
    let (Some((extent, rest)), Some((first, later))) = (shape.split_first(), from.split_first())
    else {
        draw(word);
        return;
    };
    for index in 0..*extent as u64 {
        let index = first.cast_unsigned().wrapping_add(index);
        draw_axes(absorb(word, index), (rest, later), draw);
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

fn uniform(word: u64) -> f32 {
    ((word >> 40) as f64 * UNIT) as f32
}

fn normal(word: u64) -> f32 {
    let radius = ((word >> 40) + 1) as f64 * UNIT;
    let angle = ((word >> 16) & 0xFF_FFFF) as f64 * UNIT;
    ((-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_published_generator() {
        // SplitMix64 from state 0 gives these numbers first.
        assert_eq!(absorb(0, 0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(absorb(0, 1), 0x6E78_9E6A_A1B9_65F4);
        assert_eq!(hash("a"), 0xAF63_DC4C_8601_EC8C, "as published for FNV-1a");
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let bindings = Bindings::new();
        for (distribution, mean, variance) in [
            (Distribution::Uniform, 0.5, 1.0 / 12.0),
            (Distribution::Normal, 0.0, 1.0),
        ] {
            let draws = draw(
                distribution,
                &bindings,
                "dropout",
                (vec![400, 250], &[0; 2]),
            );
            let draws: Vec<f64> = draws.to_vec::<f32>().into_iter().map(f64::from).collect();
            let count = draws.len() as f64;
            let found = draws.iter().sum::<f64>() / count;
            let squares = draws.iter().map(|x| (x - found).powi(2));
            assert!((found - mean).abs() < 0.01, "{found}");
            assert!((squares.sum::<f64>() / count - variance).abs() < 0.01);
        }
    }

    #[test]
    fn draws_depend_on_position_and_key_only() {
        let bindings = Bindings::new();
        let draw_from = |key: &str, shape: &[usize], from: &[i64]| {
            let draws = draw(Distribution::Normal, &bindings, key, (shape.to_vec(), from));
            let bits = draws.to_vec::<f32>().into_iter().map(f32::to_bits);
            bits.collect::<Vec<u32>>()
        };
        let draw = |key: &str, shape: &[usize]| draw_from(key, shape, &[0; 2]);
        let (long, short) = (draw("k", &[4, 3]), draw("k", &[2, 2]));
        assert_eq!([long[0], long[1], long[3], long[4]], short[..]);
        assert_ne!(draw("k", &[2, 2]), draw("l", &[2, 2]));
        // Rows 2 and 3, without their first column.
        let later = draw_from("k", &[2, 2], &[2, 1]);
        assert_eq!([long[7], long[8], long[10], long[11]], later[..]);
    }
}
