//! The routines of one CPU level as a table of function addresses.
//!
//! Generated code gets a pointer to a [`Routines`] and calls entries by their offset (`core::mem::offset_of!`), so
//! it holds no absolute address. The order of the fields is stable: new ones are added at the end.
//!
//! Every routine works on contiguous elements without alignment, takes any `n` with 0, allocates nothing, never
//! unwinds, and computes each element from its own inputs alone, so that a result does not depend on how a caller
//! cuts its data into blocks; reductions depend on `n` and on the level. NaN gives NaN and infinities behave as the
//! function does; denormal inputs may count as zero, and results too small for a normal number may be zero.
//! A fused routine gives what its formula gives, step by step: `silu(-inf)` is NaN, as `-inf * 0` is.

use crate::block;
use crate::level::Level;

/// `y[i] = f(x[i])` for `n` elements. `y` may equal `x`; otherwise the two do not overlap.
///
/// # Safety
///
/// - The machine runs the level of the table.
/// - `x` is valid for reading and `y` for writing `n` elements.
pub type UnaryF32 = unsafe extern "C" fn(x: *const f32, y: *mut f32, n: usize);
/// As [`UnaryF32`], for f64.
pub type UnaryF64 = unsafe extern "C" fn(x: *const f64, y: *mut f64, n: usize);
/// `z[i] = f(x[i], y[i])` for `n` elements. `z` may equal `x` or `y`; otherwise it overlaps neither.
///
/// # Safety
///
/// - The machine runs the level of the table.
/// - `x` and `y` are valid for reading and `z` for writing `n` elements.
pub type BinaryF32 = unsafe extern "C" fn(x: *const f32, y: *const f32, z: *mut f32, n: usize);
/// As [`BinaryF32`], for f64.
pub type BinaryF64 = unsafe extern "C" fn(x: *const f64, y: *const f64, z: *mut f64, n: usize);
/// One number from `n` elements.
///
/// # Safety
///
/// - The machine runs the level of the table.
/// - `x` is valid for reading `n` elements.
pub type ReduceF32 = unsafe extern "C" fn(x: *const f32, n: usize) -> f32;
/// As [`ReduceF32`], for f64.
pub type ReduceF64 = unsafe extern "C" fn(x: *const f64, n: usize) -> f64;
/// One number from `n` pairs of elements.
///
/// # Safety
///
/// - The machine runs the level of the table.
/// - `x` and `y` are valid for reading `n` elements.
pub type DotF32 = unsafe extern "C" fn(x: *const f32, y: *const f32, n: usize) -> f32;
/// As [`DotF32`], for f64.
pub type DotF64 = unsafe extern "C" fn(x: *const f64, y: *const f64, n: usize) -> f64;
/// `y[i] = exp(x[i] - m)`; returns the sum of all `y[i]`. `y` may equal `x`.
///
/// # Safety
///
/// As [`UnaryF32`].
pub type ExpSumF32 = unsafe extern "C" fn(x: *const f32, y: *mut f32, n: usize, m: f32) -> f32;
/// `y[i] *= factor`.
///
/// # Safety
///
/// - The machine runs the level of the table.
/// - `y` is valid for reading and writing `n` elements.
pub type ScaleF32 = unsafe extern "C" fn(y: *mut f32, factor: f32, n: usize);
/// `y[i] = x[i]` from a 16-bit float, given as its bits; exact. The two do not overlap.
///
/// # Safety
///
/// As [`UnaryF32`].
pub type WidenF32 = unsafe extern "C" fn(x: *const u16, y: *mut f32, n: usize);
/// `y[i] = x[i]` rounded to the nearest 16-bit float, ties to even, as its bits. The two do not overlap.
///
/// # Safety
///
/// As [`UnaryF32`].
pub type NarrowF32 = unsafe extern "C" fn(x: *const f32, y: *mut u16, n: usize);
/// `dst[i] = src[i * stride]`, with the stride in elements: zero repeats, a negative one goes backwards.
///
/// # Safety
///
/// - The machine runs the level of the table.
/// - Every element that is named is valid for reading or writing; source and destination do not overlap.
pub type GatherF32 = unsafe extern "C" fn(src: *const f32, stride: isize, dst: *mut f32, n: usize);
/// `dst[i * stride] = src[i]`, in the order of `i`; with a stride of 0 the last one stays.
///
/// # Safety
///
/// As [`GatherF32`].
pub type ScatterF32 = unsafe extern "C" fn(src: *const f32, dst: *mut f32, stride: isize, n: usize);

/// One step of a linear recurrence; see [`FadeArguments`].
///
/// # Safety
///
/// - The machine runs the level of the table.
/// - Everything that the arguments name is valid, and `state` and `out` overlap nothing else.
pub type FadeF32 = unsafe extern "C" fn(arguments: *const FadeArguments);

/// `state[r, c] = fade[r] * state[r, c] + k[r] * x[c] * then[c]`, `out[c]` is the sum of `q[r] * state[r, c]` over
/// rows in their order. Distances are in elements; one of 0 repeats an element.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FadeArguments {
    /// Rows of the state.
    pub rows: usize,
    /// Its columns, which lie together.
    pub columns: usize,
    /// `[rows, columns]`.
    pub state: *mut f32,
    /// From a row to the next.
    pub state_row: isize,
    /// `[rows]`, or null: then it is 1.
    pub fade: *const f32,
    /// From a row's to the next.
    pub fade_row: isize,
    /// `[rows, columns]`, or null. Else the state fades by `exp(times[c] * rates[r, c])`, and `fade` is not read.
    pub rates: *const f32,
    /// From a row to the next.
    pub rates_row: isize,
    /// `[columns]`; read with `rates` alone.
    pub times: *const f32,
    /// `[rows]`, or null: then nothing is added. Read if the state is written or seen after the step.
    pub k: *const f32,
    /// From a row's to the next.
    pub k_row: isize,
    /// `[columns]`; read if `k` is.
    pub x: *const f32,
    /// `[columns]`, or null: then it is 1. Read if `k` is.
    pub then: *const f32,
    /// `[rows]`, or null. What is seen of a state that is written is then, before the step,
    /// `state[r, c] + bonus[r] * gain[c]`; without `rates` only.
    pub bonus: *const f32,
    /// From a row's to the next.
    pub bonus_row: isize,
    /// `[columns]`; read if `bonus` is.
    pub gain: *const f32,
    /// `[rows]`; read if anything is seen.
    pub q: *const f32,
    /// From a row's to the next.
    pub q_row: isize,
    /// `[columns]`; written if anything is seen.
    pub out: *mut f32,
    /// Which state `out` sums.
    pub seen: Seen,
    /// 0: the state stays as it is.
    pub writes: u64,
}

/// Which state a step reads.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// As it was.
    Before = 0,
    /// As it becomes, whether or not it is written.
    After = 1,
    /// None.
    Nothing = 2,
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// The routines of one level.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct Routines {
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Routines {
            /// Each routine's name with its offset in bytes from the beginning of the table, in the table's order.
            pub const OFFSETS: &[(&str, usize)] = &[
                $((stringify!($name), std::mem::offset_of!(Routines, $name)),)*
            ];
        }

        /// Fills a table from the module that calls it.
        macro_rules! fill {
            () => { $crate::table::Routines { $($name,)* } };
        }
        pub(crate) use fill;
    };
}

table! {
    /// `e^x`, relative error 2e-7. Results below the smallest normal number are 0.
    exp_f32: UnaryF32,
    /// Natural logarithm; 0 gives -inf, negative numbers NaN.
    log_f32: UnaryF32,
    /// `log(1 + x)`, exact near 0.
    log1p_f32: UnaryF32,
    /// Sine of radians, of any size.
    sin_f32: UnaryF32,
    /// Cosine of radians, of any size.
    cos_f32: UnaryF32,
    /// Hyperbolic tangent, exact near 0.
    tanh_f32: UnaryF32,
    /// `1 / (1 + exp(-x))`.
    sigmoid_f32: UnaryF32,
    /// Error function, exact near 0.
    erf_f32: UnaryF32,
    /// `x * sigmoid(x)`.
    silu_f32: UnaryF32,
    /// `x / 2 * (1 + erf(x / sqrt(2)))`.
    gelu_erf_f32: UnaryF32,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
    gelu_tanh_f32: UnaryF32,
    /// `log(1 + exp(x))` without overflow.
    softplus_f32: UnaryF32,
    /// `x^y`, as IEEE 754 says: a negative base with a fractional exponent gives NaN, `x^0` is 1.
    pow_f32: BinaryF32,
    /// `silu(x) * y`.
    silu_mul_f32: BinaryF32,
    /// Sum, in lanes; 0 for none.
    sum_f32: ReduceF32,
    /// Greatest element; NaN if any is; -inf for none.
    max_f32: ReduceF32,
    /// Least element; NaN if any is; inf for none.
    min_f32: ReduceF32,
    /// Product, in lanes; 1 for none.
    prod_f32: ReduceF32,
    /// Sum of squares, in lanes; 0 for none.
    sum_squares_f32: ReduceF32,
    /// Sum of `x[i] * y[i]`, in lanes; 0 for none.
    dot_f32: DotF32,
    /// Numerators and denominator of a softmax whose maximum is known.
    exp_sum_f32: ExpSumF32,
    /// Multiplies by one number.
    scale_f32: ScaleF32,
    /// IEEE half precision to f32.
    f16_to_f32: WidenF32,
    /// f32 to IEEE half precision.
    f32_to_f16: NarrowF32,
    /// The upper half of an f32 to f32.
    bf16_to_f32: WidenF32,
    /// f32 to its upper half.
    f32_to_bf16: NarrowF32,
    /// Reads with a stride.
    strided_gather_f32: GatherF32,
    /// Writes with a stride.
    strided_scatter_f32: ScatterF32,
    /// As `exp_f32`, to the accuracy of f64; so are the following.
    exp_f64: UnaryF64,
    /// As `log_f32`.
    log_f64: UnaryF64,
    /// As `log1p_f32`.
    log1p_f64: UnaryF64,
    /// As `sin_f32`.
    sin_f64: UnaryF64,
    /// As `cos_f32`.
    cos_f64: UnaryF64,
    /// As `tanh_f32`.
    tanh_f64: UnaryF64,
    /// As `sigmoid_f32`.
    sigmoid_f64: UnaryF64,
    /// As `erf_f32`.
    erf_f64: UnaryF64,
    /// As `silu_f32`.
    silu_f64: UnaryF64,
    /// As `gelu_erf_f32`.
    gelu_erf_f64: UnaryF64,
    /// As `gelu_tanh_f32`.
    gelu_tanh_f64: UnaryF64,
    /// As `softplus_f32`.
    softplus_f64: UnaryF64,
    /// As `pow_f32`.
    pow_f64: BinaryF64,
    /// As `silu_mul_f32`.
    silu_mul_f64: BinaryF64,
    /// As `sum_f32`.
    sum_f64: ReduceF64,
    /// As `max_f32`.
    max_f64: ReduceF64,
    /// As `min_f32`.
    min_f64: ReduceF64,
    /// As `prod_f32`.
    prod_f64: ReduceF64,
    /// As `sum_squares_f32`.
    sum_squares_f64: ReduceF64,
    /// As `dot_f32`.
    dot_f64: DotF64,
    /// A step of a linear recurrence.
    fade_f32: FadeF32,
}

/// The table of a level.
///
/// Calling an entry of a level that the machine lacks is what the entries' safety sections rule out; a level of
/// another architecture gives this one's baseline.
pub fn routines(level: Level) -> &'static Routines {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx => &block::avx512::ROUTINES,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => &block::avx2::ROUTINES,
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx512 | Level::Amx | Level::Avx2 => &block::baseline::ROUTINES,
        Level::Baseline | Level::Neon => &block::baseline::ROUTINES,
    }
}
