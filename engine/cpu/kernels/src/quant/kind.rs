//! The block formats of GGUF files: how large their blocks are, and what their numbers are made of.

/// A block format of GGUF files. Blocks lie along the contracted axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the names are the documentation: bits per element, and the variant"
)]
pub enum QuantKind {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// What an element is: `scale * (q - zero)`, or `scale * q + least` where `least` is set. `q` is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// That `q` takes in packed form: 4, 5, 6 or 8.
    pub(super) bits: usize,
    /// Scales for each 32 elements: 1 or 2.
    pub(super) parts: usize,
    /// Whether scales are small integers times a factor for 256 elements, or else are factors for 32.
    pub(super) nested: bool,
    /// Whether parts have a least value of their own, stored as scales are.
    pub(super) least: bool,
    /// What `q` is for the value 0, if `least` is not set.
    pub(super) zero: i32,
}

impl QuantKind {
    /// Every format.
    pub const ALL: [Self; 10] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// Elements of a block.
    pub const fn block_elements(self) -> usize {
        if self.shape().nested { 256 } else { 32 }
    }

    /// Bytes of a block in a file.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    pub(super) const fn shape(self) -> Shape {
        let (bits, parts, nested, least, zero) = match self {
            Self::Q4_0 => (4, 1, false, false, 8),
            Self::Q4_1 => (4, 1, false, true, 0),
            Self::Q5_0 => (5, 1, false, false, 16),
            Self::Q5_1 => (5, 1, false, true, 0),
            Self::Q8_0 => (8, 1, false, false, 128),
            Self::Q2K => (4, 2, true, true, 0),
            Self::Q3K => (4, 2, true, false, 4),
            Self::Q4K => (4, 1, true, true, 0),
            Self::Q5K => (5, 1, true, true, 0),
            Self::Q6K => (6, 2, true, false, 32),
        };
        Shape {
            bits,
            parts,
            nested,
            least,
            zero,
        }
    }
}

impl Shape {
    /// Blocks of 32 elements that share a factor.
    pub(super) const fn run(&self) -> usize {
        if self.nested { 8 } else { 1 }
    }

    /// Bytes of the quants of a packed block: 16 rows of 32 elements.
    pub(super) const fn quant_bytes(&self) -> usize {
        self.bits * 64
    }

    /// Bytes of a vector of factors in f16, one for each of 16 rows, with their least values.
    pub(super) const fn factor_bytes(&self) -> usize {
        if self.least { 64 } else { 32 }
    }

    /// Scales and least values of a block of one row.
    pub(super) const fn scales(&self) -> usize {
        if self.least {
            2 * self.parts
        } else {
            self.parts
        }
    }

    /// Bytes of an unpacked block: 16 rows of 32 quants that take a byte, and numbers of 4 bytes for what
    /// [`Self::scales`] counts.
    pub(super) const fn unpacked_bytes(&self) -> usize {
        512 + 64 * self.scales()
    }

    /// Bytes of the small integers of a packed block.
    pub(super) const fn small_bytes(&self) -> usize {
        if self.nested { 16 * self.scales() } else { 0 }
    }

    /// Bytes of all scales of [`Self::run`] packed blocks.
    pub(super) const fn scale_bytes(&self) -> usize {
        self.factor_bytes() + self.run() * self.small_bytes()
    }
}
