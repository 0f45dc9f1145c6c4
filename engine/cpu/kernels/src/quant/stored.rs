//! Blocks as GGUF files store them, taken apart into quants and scales.
//!
//! Source: the block structures of `ggml-common.h` in the ggml repository.

use super::QuantKind;

/// One block: the quants of up to 256 elements in order, and what scales them. See [`super::kind::Shape`].
pub(super) struct Parts {
    pub(super) quants: [u8; 256],
    /// f16 bits.
    pub(super) factor: u16,
    /// f16 bits: of the least value, or what small integers in `least` are times of.
    pub(super) least_factor: u16,
    /// One for each part, where scales are nested.
    pub(super) scales: [i8; 16],
    /// As `scales`.
    pub(super) least: [i8; 16],
}

/// Flips the sign of an f16, as files store what is subtracted.
const SIGN: u16 = 0x8000;

/// Takes one block apart. `block` has the bytes of a block of its kind.
pub(super) fn read_block(kind: QuantKind, block: &[u8]) -> Parts {
    debug_assert_eq!(block.len(), kind.block_bytes());
    let mut parts = Parts {
        quants: [0; 256],
        factor: 0,
        least_factor: 0,
        scales: [0; 16],
        least: [0; 16],
    };
    let half = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
    match kind {
        QuantKind::Q4_0 => {
            parts.factor = half(0);
            nibbles(&mut parts.quants, &block[2..]);
        }
        QuantKind::Q4_1 => {
            (parts.factor, parts.least_factor) = (half(0), half(2));
            nibbles(&mut parts.quants, &block[4..]);
        }
        QuantKind::Q5_0 => {
            parts.factor = half(0);
            nibbles(&mut parts.quants, &block[6..]);
            fifth_bits(&mut parts.quants, &block[2..6]);
        }
        QuantKind::Q5_1 => {
            (parts.factor, parts.least_factor) = (half(0), half(2));
            nibbles(&mut parts.quants, &block[8..]);
            fifth_bits(&mut parts.quants, &block[4..8]);
        }
        QuantKind::Q8_0 => {
            parts.factor = half(0);
            for (quant, &byte) in parts.quants.iter_mut().zip(&block[2..]) {
                *quant = byte ^ 0x80;
            }
        }
        QuantKind::Q2K => {
            (parts.factor, parts.least_factor) = (half(80), half(82) ^ SIGN);
            for (part, &byte) in block[..16].iter().enumerate() {
                parts.scales[part] = (byte & 15) as i8;
                parts.least[part] = (byte >> 4) as i8;
            }
            pairs(&mut parts.quants, &block[16..80]);
        }
        QuantKind::Q3K => {
            parts.factor = half(108);
            for part in 0..16 {
                let low = block[96 + part % 8] >> (part / 8 * 4) & 15;
                let high = block[104 + part % 4] >> (part / 4 * 2) & 3;
                parts.scales[part] = (low | high << 4) as i8 - 32;
            }
            pairs(&mut parts.quants, &block[32..96]);
            for (i, quant) in parts.quants.iter_mut().enumerate() {
                *quant |= (block[i % 32] >> (i / 32) & 1) << 2;
            }
        }
        QuantKind::Q4K => {
            (parts.factor, parts.least_factor) = (half(0), half(2) ^ SIGN);
            six_bits(&mut parts, &block[4..16]);
            double_nibbles(&mut parts.quants, &block[16..]);
        }
        QuantKind::Q5K => {
            (parts.factor, parts.least_factor) = (half(0), half(2) ^ SIGN);
            six_bits(&mut parts, &block[4..16]);
            double_nibbles(&mut parts.quants, &block[48..]);
            for (i, quant) in parts.quants.iter_mut().enumerate() {
                *quant |= (block[16 + i % 32] >> (i / 32) & 1) << 4;
            }
        }
        QuantKind::Q6K => {
            parts.factor = half(208);
            for (scale, &byte) in parts.scales.iter_mut().zip(&block[192..208]) {
                *scale = byte as i8;
            }
            for (i, quant) in parts.quants.iter_mut().enumerate() {
                let (half, quarter, l) = (i / 128, i / 32 % 4, i % 32);
                let low = block[half * 64 + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
                let high = block[128 + half * 32 + l] >> (quarter * 2) & 3;
                *quant = low | high << 4;
            }
        }
    }
    parts
}

/// 32 elements: first all low nibbles, then all high ones.
fn nibbles(quants: &mut [u8; 256], bytes: &[u8]) {
    for (i, &byte) in bytes[..16].iter().enumerate() {
        quants[i] = byte & 15;
        quants[i + 16] = byte >> 4;
    }
}

/// Adds the fifth bits of 32 elements, one bit after the other.
fn fifth_bits(quants: &mut [u8; 256], bytes: &[u8]) {
    for (i, quant) in quants[..32].iter_mut().enumerate() {
        *quant |= (bytes[i / 8] >> (i % 8) & 1) << 4;
    }
}

/// 256 elements in runs of 64: 32 low nibbles, then the 32 high ones.
fn double_nibbles(quants: &mut [u8; 256], bytes: &[u8]) {
    for (i, quant) in quants.iter_mut().enumerate() {
        *quant = bytes[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
    }
}

/// 256 elements of two bits in runs of 128: 32 bytes hold four rounds of 32.
fn pairs(quants: &mut [u8; 256], bytes: &[u8]) {
    for (i, quant) in quants.iter_mut().enumerate() {
        *quant = bytes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
    }
}

/// Eight scales and eight least values of six bits in twelve bytes.
fn six_bits(parts: &mut Parts, bytes: &[u8]) {
    for part in 0..4 {
        parts.scales[part] = (bytes[part] & 63) as i8;
        parts.least[part] = (bytes[part + 4] & 63) as i8;
        let shared = bytes[part + 8];
        parts.scales[part + 4] = (shared & 15 | bytes[part] >> 6 << 4) as i8;
        parts.least[part + 4] = (shared >> 4 | bytes[part + 4] >> 6 << 4) as i8;
    }
}
