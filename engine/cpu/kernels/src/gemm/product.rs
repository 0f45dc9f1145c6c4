//! Products of two matrices as they lie.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use super::Gemm;
use crate::level::Level;
use crate::pool::Pool;

macro_rules! plain {
    ($name:ident, $type:ty) => {
        /// # Safety
        ///
        /// As for [`super::gemm_f32`].
        pub(super) unsafe fn $name(_level: Level, pool: &Pool, gemm: &Gemm<$type>) {
            pool.run(gemm.batch * gemm.m, &|item, _| {
                let (index, i) = ((item / gemm.m) as isize, item % gemm.m);
                for j in 0..gemm.n {
                    let c = gemm.c.at(i, j).ptr.wrapping_offset(index * gemm.batch_c);
                    // SAFETY: the caller vouches for every element.
                    let mut sum = if gemm.accumulate { unsafe { *c } } else { 0.0 };
                    for depth in 0..gemm.k {
                        let a = gemm
                            .a
                            .at(i, depth)
                            .ptr
                            .wrapping_offset(index * gemm.batch_a);
                        let b = gemm
                            .b
                            .at(depth, j)
                            .ptr
                            .wrapping_offset(index * gemm.batch_b);
                        // SAFETY: the caller vouches for every element.
                        let (a, b) = (unsafe { *a }, unsafe { *b });
                        sum += a * b;
                    }
                    // SAFETY: the caller vouches for every element.
                    unsafe { *c = sum };
                }
            });
        }
    };
}
plain!(gemm_f32, f32);
plain!(gemm_f64, f64);
