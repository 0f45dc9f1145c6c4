//! Sixteen output rows at a time: what the kernels need of a CPU.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a method's whole body works under the trait's obligations"
)]

/// Vectors with a lane for each of 16 rows, and 64 bytes with four for each row.
///
/// # Safety
///
/// The obligations of every method: the machine has the unit's features, and the caller is compiled for them; a
/// pointer is valid for what is read, without regard to alignment.
pub(super) unsafe trait Unit: 'static {
    /// `[16 rows][4]`
    type Bytes: Copy;
    type Ints: Copy;
    type Floats: Copy;

    /// Whether [`Self::dot`] takes 8-bit weights less 128.
    const SIGNED: bool;

    /// Reads 64 bytes.
    unsafe fn load(from: *const u8) -> Self::Bytes;
    /// Of every byte, the bits that `mask` has once they are moved from `from` to `to`.
    unsafe fn bits(bytes: Self::Bytes, from: u32, to: u32, mask: u8) -> Self::Bytes;
    unsafe fn or(x: Self::Bytes, y: Self::Bytes) -> Self::Bytes;
    unsafe fn splat_int(x: i32) -> Self::Ints;
    /// The integers, each with `more` added.
    unsafe fn ints(x: &[i32; 16], more: i32) -> Self::Ints;
    /// Adds to each row its 16 weights, four in each of `weights`, times the 16 elements at `activations`. Weights
    /// have `BITS` bits.
    unsafe fn dot<const BITS: usize>(
        sums: Self::Ints,
        weights: &[Self::Bytes; 4],
        activations: *const i8,
    ) -> Self::Ints;

    /// Of each row one of its four weights, `0..4`, less `zero`. Weights have `BITS` bits.
    unsafe fn weight<const BITS: usize>(bytes: Self::Bytes, at: usize, zero: i32) -> Self::Floats;

    unsafe fn splat(x: f32) -> Self::Floats;
    unsafe fn to_floats(x: Self::Ints) -> Self::Floats;
    /// Reads 16 numbers.
    unsafe fn numbers(from: *const f32) -> Self::Floats;
    /// Reads 16 f16.
    unsafe fn halves(from: *const u8) -> Self::Floats;
    /// Reads 16 signed bytes.
    unsafe fn small(from: *const u8) -> Self::Floats;
    unsafe fn mul(x: Self::Floats, y: Self::Floats) -> Self::Floats;
    unsafe fn add(x: Self::Floats, y: Self::Floats) -> Self::Floats;
    /// `x * y + z`, fused where the unit can.
    unsafe fn mul_add(x: Self::Floats, y: Self::Floats, z: Self::Floats) -> Self::Floats;
    unsafe fn lanes(x: Self::Floats) -> [f32; 16];
    /// Asks for the cache line at an address, which may be any.
    unsafe fn prefetch(address: *const u8);
}

/// What the compiler makes of arrays.
pub(super) struct Portable;

// SAFETY: no feature is needed; reads are as the trait says.
unsafe impl Unit for Portable {
    type Bytes = [u8; 64];
    type Ints = [i32; 16];
    type Floats = [f32; 16];

    const SIGNED: bool = false;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> [u8; 64] {
        from.cast::<[u8; 64]>().read_unaligned()
    }

    #[inline(always)]
    unsafe fn bits(bytes: [u8; 64], from: u32, to: u32, mask: u8) -> [u8; 64] {
        if from < to {
            bytes.map(|byte| byte << (to - from) & mask)
        } else {
            bytes.map(|byte| byte >> (from - to) & mask)
        }
    }

    #[inline(always)]
    unsafe fn or(x: [u8; 64], y: [u8; 64]) -> [u8; 64] {
        std::array::from_fn(|i| x[i] | y[i])
    }

    #[inline(always)]
    unsafe fn splat_int(x: i32) -> [i32; 16] {
        [x; 16]
    }

    #[inline(always)]
    unsafe fn ints(x: &[i32; 16], more: i32) -> [i32; 16] {
        x.map(|x| x + more)
    }

    #[inline(always)]
    unsafe fn dot<const BITS: usize>(
        mut sums: [i32; 16],
        weights: &[[u8; 64]; 4],
        activations: *const i8,
    ) -> [i32; 16] {
        let activations = activations.cast::<[[i8; 4]; 4]>().read();
        for (weights, four) in weights.iter().zip(activations) {
            for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<4>().0) {
                for (&weight, activation) in weights.iter().zip(four) {
                    *sum += i32::from(i16::from(weight) * i16::from(activation));
                }
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn weight<const BITS: usize>(bytes: [u8; 64], at: usize, zero: i32) -> [f32; 16] {
        std::array::from_fn(|row| (i32::from(bytes[4 * row + at]) - zero) as f32)
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> [f32; 16] {
        [x; 16]
    }

    #[inline(always)]
    unsafe fn to_floats(x: [i32; 16]) -> [f32; 16] {
        x.map(|x| x as f32)
    }

    #[inline(always)]
    unsafe fn numbers(from: *const f32) -> [f32; 16] {
        from.cast::<[f32; 16]>().read_unaligned()
    }

    #[inline(always)]
    unsafe fn halves(from: *const u8) -> [f32; 16] {
        from.cast::<[[u8; 2]; 16]>()
            .read()
            .map(|half| widened(u16::from_le_bytes(half)))
    }

    #[inline(always)]
    unsafe fn small(from: *const u8) -> [f32; 16] {
        from.cast::<[i8; 16]>().read().map(f32::from)
    }

    #[inline(always)]
    unsafe fn mul(x: [f32; 16], y: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| x[i] * y[i])
    }

    #[inline(always)]
    unsafe fn add(x: [f32; 16], y: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| x[i] + y[i])
    }

    #[inline(always)]
    unsafe fn mul_add(x: [f32; 16], y: [f32; 16], z: [f32; 16]) -> [f32; 16] {
        std::array::from_fn(|i| x[i] * y[i] + z[i])
    }

    #[inline(always)]
    unsafe fn lanes(x: [f32; 16]) -> [f32; 16] {
        x
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
}

/// An f16 as f32.
#[inline(always)]
fn widened(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let size = u32::from(bits & 0x7fff);
    // Exponent and mantissa in their places, the exponent's bias corrected: 127 - 15; once more for infinity and NaN.
    let bias = if size < 0x7c00 { 112 } else { 224 };
    let normal = (size << 13) + (bias << 23);
    // Below 2^-14 the mantissa counts in units of 2^-24.
    let small = (size as f32 * (1.0 / 16_777_216.0)).to_bits();
    f32::from_bits(sign | if size < 0x400 { small } else { normal })
}
