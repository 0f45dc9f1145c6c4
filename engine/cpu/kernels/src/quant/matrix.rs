//! Quantized weights in the order of the kernels.
//!
//! Strips of 16 output rows: a strip holds the quants of one block of 32 contracted elements after the other, and
//! apart from them the scales in the same order. The last strip is filled up with zeros. The same for every level.
//! See note \[Packed blocks\].
#![expect(unsafe_code, reason = "a promise about the lines")]

use super::kind::Shape;
use super::stored::read_block;
use super::{QuantError, QuantKind};
use crate::pages::{Pages, Zeroed};

/// Output rows of a strip.
pub(super) const ROWS: usize = 16;

/// Contracted elements of a packed block.
pub(super) const BLOCK: usize = 32;

/// Quants of a packed block, one byte each.
pub(super) const QUANTS: usize = ROWS * BLOCK;

/// A cache line, so that blocks begin with one.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

// SAFETY: bytes, as aligned as a cache line.
unsafe impl Zeroed for Line {}

/// Quantized weights `[n, k]`, packed for products with rows of `k` elements. No element is rounded again.
#[derive(Clone, Debug)]
pub struct QuantMatrix {
    kind: QuantKind,
    n: usize,
    k: usize,
    quants: Pages<Line>,
    scales: Pages<Line>,
}

impl QuantMatrix {
    /// Packs weights as a file stores them: `n` rows one after the other, each of `k / kind.block_elements()` blocks.
    ///
    /// Errors when `k` is not in whole blocks, or when there are not as many bytes.
    pub fn pack(kind: QuantKind, n: usize, k: usize, bytes: &[u8]) -> Result<Self, QuantError> {
        if !k.is_multiple_of(kind.block_elements()) {
            return Err(QuantError::Blocks { kind, k });
        }
        let row_bytes = (k / kind.block_elements()).checked_mul(kind.block_bytes());
        let expected = row_bytes.and_then(|row| row.checked_mul(n));
        let (Some(row_bytes), true) = (row_bytes, expected == Some(bytes.len())) else {
            return Err(QuantError::Bytes {
                kind,
                n,
                k,
                found: bytes.len(),
            });
        };
        Ok(Self::pack_blocks(kind, n, k, |row, block, to| {
            let at = row * row_bytes + block * kind.block_bytes();
            to.copy_from_slice(&bytes[at..at + kind.block_bytes()]);
        }))
    }

    /// As [`pack`](Self::pack), of blocks that lie anywhere: `read(row, block, bytes)` writes each as a file stores
    /// it. The bytes hold another block before.
    ///
    /// Errors when `k` is not in whole blocks.
    pub fn pack_with(
        kind: QuantKind,
        n: usize,
        k: usize,
        read: impl FnMut(usize, usize, &mut [u8]),
    ) -> Result<Self, QuantError> {
        if !k.is_multiple_of(kind.block_elements()) {
            return Err(QuantError::Blocks { kind, k });
        }
        Ok(Self::pack_blocks(kind, n, k, read))
    }

    /// Packs what `read(row, block, bytes)` writes for every block of every row; rows are in whole blocks.
    pub(super) fn pack_blocks(
        kind: QuantKind,
        n: usize,
        k: usize,
        mut read: impl FnMut(usize, usize, &mut [u8]),
    ) -> Self {
        // With no elements there are no strips, whatever the number of rows.
        let strips = if k == 0 { 0 } else { n.div_ceil(ROWS) };
        let shape = kind.shape();
        let blocks = k / BLOCK;
        let mut quants = Lines::with_capacity(strips * blocks * shape.quant_bytes());
        let mut scales =
            Lines::with_capacity(strips * (blocks / shape.run()) * shape.scale_bytes());
        let mut bytes = vec![0; kind.block_bytes()];
        for strip in 0..strips {
            for block in 0..k / kind.block_elements() {
                let mut staged = Staged::default();
                for row in 0..ROWS.min(n - strip * ROWS) {
                    read(strip * ROWS + row, block, &mut bytes);
                    staged.put(kind, row, &bytes);
                }
                staged.write(&shape, &mut quants, &mut scales);
            }
        }
        Self {
            kind,
            n,
            k,
            quants: quants.finish(),
            scales: scales.finish(),
        }
    }

    /// The format it was packed from.
    pub fn kind(&self) -> QuantKind {
        self.kind
    }

    /// Output rows.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Contracted elements.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Memory it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.quants) + size_of_val(&*self.scales)
    }

    /// Strips of 16 output rows.
    pub(super) fn strips(&self) -> usize {
        self.n.div_ceil(ROWS)
    }

    /// Where the quants and the scales of a strip begin. With `k` 0 there are none.
    pub(super) fn strip(&self, strip: usize) -> (*const u8, *const u8) {
        let shape = self.kind.shape();
        let blocks = self.k / BLOCK;
        let quants = strip * blocks * shape.quant_bytes();
        let scales = strip * (blocks / shape.run()) * shape.scale_bytes();
        (
            self.quants.as_ptr().cast::<u8>().wrapping_add(quants),
            self.scales.as_ptr().cast::<u8>().wrapping_add(scales),
        )
    }
}

/// What 16 rows have of one block of the file, before it is packed.
struct Staged {
    /// `[8 blocks][8 groups][16 rows][4]`; one block of 32 uses the first.
    quants: [[u8; QUANTS]; 8],
    factors: [u16; ROWS],
    least_factors: [u16; ROWS],
    /// `[16 parts][16 rows]`.
    scales: [[i8; ROWS]; 16],
    least: [[i8; ROWS]; 16],
}

impl Default for Staged {
    fn default() -> Self {
        Self {
            quants: [[0; QUANTS]; 8],
            factors: [0; ROWS],
            least_factors: [0; ROWS],
            scales: [[0; ROWS]; 16],
            least: [[0; ROWS]; 16],
        }
    }
}

impl Staged {
    fn put(&mut self, kind: QuantKind, row: usize, block: &[u8]) {
        let parts = read_block(kind, block);
        for (to, from) in self
            .quants
            .iter_mut()
            .zip(parts.quants.as_chunks::<BLOCK>().0)
        {
            for (group, four) in from.as_chunks::<4>().0.iter().enumerate() {
                to[(group * ROWS + row) * 4..][..4].copy_from_slice(four);
            }
        }
        self.factors[row] = parts.factor;
        self.least_factors[row] = parts.least_factor;
        for part in 0..16 {
            self.scales[part][row] = parts.scales[part];
            self.least[part][row] = parts.least[part];
        }
    }

    fn write(&self, shape: &Shape, quants: &mut Lines, scales: &mut Lines) {
        for block in &self.quants[..shape.run()] {
            write_quants(shape.bits, block, quants);
        }
        scales.halves(&self.factors);
        if shape.least {
            scales.halves(&self.least_factors);
        }
        if !shape.nested {
            return;
        }
        for block in 0..shape.run() {
            let parts = block * shape.parts..(block + 1) * shape.parts;
            for part in parts.clone() {
                scales.put(&self.scales[part].map(i8::cast_unsigned));
            }
            if shape.least {
                for part in parts {
                    scales.put(&self.least[part].map(i8::cast_unsigned));
                }
            }
        }
    }
}

/// Writes a block of quants in as few bits as the kernels read; see note \[Packed blocks\].
fn write_quants(bits: usize, block: &[u8; QUANTS], to: &mut Lines) {
    let groups = block.as_chunks::<64>().0;
    if bits == 8 {
        return to.put(block);
    }
    for (low, high) in groups[..4].iter().zip(&groups[4..]) {
        let line: [u8; 64] = std::array::from_fn(|i| low[i] & 15 | high[i] << 4);
        to.put(&line);
    }
    if bits == 5 {
        let line: [u8; 64] = std::array::from_fn(|i| {
            (0..8).fold(0, |line, group| line | (groups[group][i] >> 4 & 1) << group)
        });
        to.put(&line);
    }
    if bits == 6 {
        for half in groups.as_chunks::<4>().0 {
            let line: [u8; 64] = std::array::from_fn(|i| {
                (0..4).fold(0, |line, group| line | (half[group][i] >> 4) << (2 * group))
            });
            to.put(&line);
        }
    }
}

/// Cache lines that are written from the first byte to the last.
struct Lines {
    all: Pages<Line>,
    /// How many are written.
    whole: usize,
    /// What does not fill a line yet.
    open: [u8; 64],
    filled: usize,
}

impl Lines {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            all: Pages::zeros(bytes.div_ceil(64)),
            whole: 0,
            open: [0; 64],
            filled: 0,
        }
    }

    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = bytes.len().min(64 - self.filled);
            self.open[self.filled..][..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.filled += count;
            if self.filled == 64 {
                self.close();
            }
        }
    }

    fn halves(&mut self, halves: &[u16; ROWS]) {
        for half in halves {
            self.put(&half.to_le_bytes());
        }
    }

    fn close(&mut self) {
        self.all[self.whole] = Line(self.open);
        self.whole += 1;
        self.filled = 0;
    }

    fn finish(mut self) -> Pages<Line> {
        if self.filled > 0 {
            self.open[self.filled..].fill(0);
            self.close();
        }
        debug_assert_eq!(
            self.whole,
            self.all.len(),
            "as many lines as were asked for"
        );
        self.all
    }
}

// Note [Packed blocks]
//
// The quants of a block are eight groups of four elements, each `[16 rows][4]` in 64 bytes. With 8 bits they follow
// each other. With fewer, line `i` of the first four holds the low four bits of group `i` in the low, and of group
// `i + 4` in the high half of its bytes. With 5 bits, a fifth line holds the fifth bit of group `g` in bit `g`. With
// 6 bits, two more lines hold two more bits of groups 0 to 3, and 4 to 7, in bits `2 (g % 4)`. Formats of 2 and 3
// bits are kept in 4.
//
// Scales: for each run of blocks that share factors, 16 factors in f16 (one for each row), 16 factors of the least
// values if the format has them; then, if scales are nested, for each block 16 bytes for each part, and as many for
// the least values.
