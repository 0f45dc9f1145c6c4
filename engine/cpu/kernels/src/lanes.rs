//! Vectors of numbers, as wide as a CPU level has them.
//!
//! A [`Lanes`] type names the vector instructions of one level for one element type. Routines that the compiler does
//! not vectorize by itself – reductions, matrix products – are written once over it, and compiled for a level by
//! being inlined into a function with that level's `#[target_feature]`s. Leaves out what elementwise functions
//! need: those are plain loops.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "an expression of instructions stands under one obligation: the CPU has them"
    )
)]

/// Brings a line of memory into the cache, if there is memory; any address will do.
#[inline(always)]
pub fn fetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every CPU of this architecture has the instruction, which faults at no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// The vector instructions of one level for one element type.
///
/// # Safety
///
/// The obligations of every method: the machine has the level's features, and the caller is compiled for them; a
/// pointer is valid for as many elements as are read or written, without regard to alignment. `load` and `store`
/// touch [`Lanes::COUNT`] elements, `load_first` and `store_first` touch `count`, at most that many, and no byte more.
pub(crate) unsafe trait Lanes: Copy + 'static {
    /// One element.
    type Element: Copy + Default + std::ops::Add<Output = Self::Element> + 'static;
    /// As many elements as one instruction works on.
    type Vector: Copy;
    /// Elements in a vector.
    const COUNT: usize;

    /// Brings a line of memory into the cache, if there is memory; any address will do.
    #[inline(always)]
    fn fetch(at: *const Self::Element) {
        fetch(at.cast());
    }

    /// Brings a line of memory into the second-level cache, if there is memory; any address will do.
    #[inline(always)]
    fn fetch_far(at: *const Self::Element) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every CPU of this architecture has the instruction, which faults at no address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T1>(at.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    unsafe fn splat(value: Self::Element) -> Self::Vector;
    unsafe fn load(from: *const Self::Element) -> Self::Vector;
    unsafe fn store(to: *mut Self::Element, value: Self::Vector);
    /// The first `count` elements; the others are zero.
    unsafe fn load_first(from: *const Self::Element, count: usize) -> Self::Vector;
    unsafe fn store_first(to: *mut Self::Element, value: Self::Vector, count: usize);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, fused where the level can.
    unsafe fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The greater; NaN where either is.
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The lesser; NaN where either is.
    unsafe fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;
}

/// Vectors of `N` elements without instructions of their own: what the compiler makes of arrays.
#[derive(Clone, Copy)]
pub(crate) struct Portable<E, const N: usize>(std::marker::PhantomData<E>);

macro_rules! portable {
    ($element:ty) => {
        // SAFETY: no feature is needed; `load_first` and `store_first` copy `count` elements.
        unsafe impl<const N: usize> Lanes for Portable<$element, N> {
            type Element = $element;
            type Vector = [$element; N];
            const COUNT: usize = N;

            #[inline(always)]
            unsafe fn splat(value: $element) -> [$element; N] {
                [value; N]
            }
            #[inline(always)]
            unsafe fn load(from: *const $element) -> [$element; N] {
                // SAFETY: the caller vouches for `N` elements.
                unsafe { from.cast::<[$element; N]>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store(to: *mut $element, value: [$element; N]) {
                // SAFETY: the caller vouches for `N` elements.
                unsafe { to.cast::<[$element; N]>().write_unaligned(value) };
            }
            #[inline(always)]
            unsafe fn load_first(from: *const $element, count: usize) -> [$element; N] {
                let mut value = [0.0; N];
                // SAFETY: the caller vouches for `count` elements, at most `N`.
                unsafe { std::ptr::copy_nonoverlapping(from, value.as_mut_ptr(), count) };
                value
            }
            #[inline(always)]
            unsafe fn store_first(to: *mut $element, value: [$element; N], count: usize) {
                // SAFETY: the caller vouches for `count` elements, at most `N`.
                unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), to, count) };
            }
            #[inline(always)]
            unsafe fn add(a: [$element; N], b: [$element; N]) -> [$element; N] {
                std::array::from_fn(|lane| a[lane] + b[lane])
            }
            #[inline(always)]
            unsafe fn mul(a: [$element; N], b: [$element; N]) -> [$element; N] {
                std::array::from_fn(|lane| a[lane] * b[lane])
            }
            #[inline(always)]
            unsafe fn mul_add(
                a: [$element; N],
                b: [$element; N],
                c: [$element; N],
            ) -> [$element; N] {
                if cfg!(target_arch = "aarch64") {
                    std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
                } else {
                    std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
                }
            }
            #[inline(always)]
            unsafe fn max(a: [$element; N], b: [$element; N]) -> [$element; N] {
                std::array::from_fn(|lane| {
                    if a[lane] > b[lane] || a[lane].is_nan() {
                        a[lane]
                    } else {
                        b[lane]
                    }
                })
            }
            #[inline(always)]
            unsafe fn min(a: [$element; N], b: [$element; N]) -> [$element; N] {
                std::array::from_fn(|lane| {
                    if a[lane] < b[lane] || a[lane].is_nan() {
                        a[lane]
                    } else {
                        b[lane]
                    }
                })
            }
        }
    };
}
portable!(f32);
portable!(f64);

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2F32, Avx2F64, Avx512F32, Avx512F64};

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The vector instructions of x86-64.
    #![cfg_attr(
        not(test),
        expect(clippy::wildcard_imports, reason = "dozens of instructions")
    )]

    use super::Lanes;
    use std::arch::x86_64::*;

    /// Ones in the first `count` of eight 32-bit lanes, for masked moves.
    static FIRST_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    /// Ones in the first `count` of four 64-bit lanes.
    static FIRST_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

    macro_rules! lanes {
        (
            $name:ident, $element:ty, $vector:ty, $count:literal,
            $splat:ident, $load:ident, $store:ident, $add:ident, $mul:ident, $mul_add:ident,
            load_first($from:ident, $first:ident) $load_first:block,
            store_first($to:ident, $value:ident, $number:ident) $store_first:block,
            max($a:ident, $b:ident) $max:block,
            min($c:ident, $d:ident) $min:block
        ) => {
            #[derive(Clone, Copy)]
            pub(crate) struct $name;

            // SAFETY: `load_first` and `store_first` are masked, and masked lanes are not touched.
            unsafe impl Lanes for $name {
                type Element = $element;
                type Vector = $vector;
                const COUNT: usize = $count;

                #[inline(always)]
                unsafe fn splat(value: $element) -> $vector {
                    // SAFETY: the machine has the level's features.
                    unsafe { $splat(value) }
                }
                #[inline(always)]
                unsafe fn load(from: *const $element) -> $vector {
                    // SAFETY: as above, and the caller vouches for the elements.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(to: *mut $element, value: $vector) {
                    // SAFETY: as above, and the caller vouches for the elements.
                    unsafe { $store(to, value) };
                }
                #[inline(always)]
                unsafe fn load_first($from: *const $element, $first: usize) -> $vector $load_first
                #[inline(always)]
                unsafe fn store_first($to: *mut $element, $value: $vector, $number: usize) $store_first
                #[inline(always)]
                unsafe fn add(a: $vector, b: $vector) -> $vector {
                    // SAFETY: the machine has the level's features.
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                unsafe fn mul(a: $vector, b: $vector) -> $vector {
                    // SAFETY: the machine has the level's features.
                    unsafe { $mul(a, b) }
                }
                #[inline(always)]
                unsafe fn mul_add(a: $vector, b: $vector, c: $vector) -> $vector {
                    // SAFETY: the machine has the level's features.
                    unsafe { $mul_add(a, b, c) }
                }
                // `max` and `min` of the machine give the second operand where either is NaN: the second is kept
                // then, and the first put back where it is NaN.
                #[inline(always)]
                unsafe fn max($a: $vector, $b: $vector) -> $vector $max
                #[inline(always)]
                unsafe fn min($c: $vector, $d: $vector) -> $vector $min
            }
        };
    }

    /// The mask of the first `count` lanes, at most 16.
    #[inline(always)]
    fn first(count: usize) -> u16 {
        ((1_u32 << count) - 1) as u16
    }

    lanes!(
        Avx512F32, f32, __m512, 16,
        _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_mul_ps, _mm512_fmadd_ps,
        load_first(from, count) {
            // SAFETY: the trait's obligations.
            unsafe { _mm512_maskz_loadu_ps(first(count), from) }
        },
        store_first(to, value, count) {
            // SAFETY: the trait's obligations.
            unsafe { _mm512_mask_storeu_ps(to, first(count), value) }
        },
        max(a, b) {
            // SAFETY: the trait's obligations.
            unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), _mm512_max_ps(a, b), a) }
        },
        min(a, b) {
            // SAFETY: the trait's obligations.
            unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), _mm512_min_ps(a, b), a) }
        }
    );

    lanes!(
        Avx512F64, f64, __m512d, 8,
        _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_add_pd, _mm512_mul_pd, _mm512_fmadd_pd,
        load_first(from, count) {
            // SAFETY: the trait's obligations.
            unsafe { _mm512_maskz_loadu_pd(first(count) as u8, from) }
        },
        store_first(to, value, count) {
            // SAFETY: the trait's obligations.
            unsafe { _mm512_mask_storeu_pd(to, first(count) as u8, value) }
        },
        max(a, b) {
            // SAFETY: the trait's obligations.
            unsafe { _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_UNORD_Q>(a, a), _mm512_max_pd(a, b), a) }
        },
        min(a, b) {
            // SAFETY: the trait's obligations.
            unsafe { _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_UNORD_Q>(a, a), _mm512_min_pd(a, b), a) }
        }
    );

    lanes!(
        Avx2F32, f32, __m256, 8,
        _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_mul_ps, _mm256_fmadd_ps,
        load_first(from, count) {
            // SAFETY: the trait's obligations; the mask begins at most 8 lanes into its 16.
            unsafe { _mm256_maskload_ps(from, _mm256_loadu_si256(FIRST_32.as_ptr().add(8 - count).cast())) }
        },
        store_first(to, value, count) {
            // SAFETY: as above.
            unsafe { _mm256_maskstore_ps(to, _mm256_loadu_si256(FIRST_32.as_ptr().add(8 - count).cast()), value) }
        },
        max(a, b) {
            // SAFETY: the trait's obligations.
            unsafe { _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)) }
        },
        min(a, b) {
            // SAFETY: the trait's obligations.
            unsafe { _mm256_blendv_ps(_mm256_min_ps(a, b), a, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)) }
        }
    );

    lanes!(
        Avx2F64, f64, __m256d, 4,
        _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_add_pd, _mm256_mul_pd, _mm256_fmadd_pd,
        load_first(from, count) {
            // SAFETY: the trait's obligations; the mask begins at most 4 lanes into its 8.
            unsafe { _mm256_maskload_pd(from, _mm256_loadu_si256(FIRST_64.as_ptr().add(4 - count).cast())) }
        },
        store_first(to, value, count) {
            // SAFETY: as above.
            unsafe { _mm256_maskstore_pd(to, _mm256_loadu_si256(FIRST_64.as_ptr().add(4 - count).cast()), value) }
        },
        max(a, b) {
            // SAFETY: the trait's obligations.
            unsafe { _mm256_blendv_pd(_mm256_max_pd(a, b), a, _mm256_cmp_pd::<_CMP_UNORD_Q>(a, a)) }
        },
        min(a, b) {
            // SAFETY: the trait's obligations.
            unsafe { _mm256_blendv_pd(_mm256_min_pd(a, b), a, _mm256_cmp_pd::<_CMP_UNORD_Q>(a, a)) }
        }
    );
}
