//! Products by NVIDIA's cuBLASLt.
//!
//! The bindings panic where the library is absent, so it is looked for first. `GIRIH_CUBLASLT` may name
//! the library's file. Factors of 32 bits are multiplied as they are, not rounded to what tensor cores
//! take; sums are kept in 32 bits or more, also between the parts of a long one. Which algorithm
//! computes a product depends on its shape and on the alignment of its matrices, of which nothing finer
//! than 16 bytes is told: equal runs give equal bits.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;
use girih_graph::DType;
use sys::cublasLtMatmulDescAttributes_t as DescAttribute;
use sys::cublasLtMatmulPreferenceAttributes_t as PreferenceAttribute;
use sys::cublasLtMatrixLayoutAttribute_t as LayoutAttribute;

use super::DriverError;
use super::product::{Columns, Product, Shape, Stored};

/// The library in use on one stream.
pub(super) struct Multiplier {
    handle: sys::cublasLtHandle_t,
    /// Memory for parts of sums.
    workspace: u64,
    known: Mutex<HashMap<Key, Arc<Prepared>>>,
}

/// What an algorithm depends on: a shape, and the alignment of its matrices in bytes.
type Key = (Shape, [u64; 3]);

/// A product in the library's words.
#[derive(Debug)]
pub struct Prepared {
    operation: sys::cublasLtMatmulDesc_t,
    /// Of the factors and the result, in the library's order.
    layouts: [sys::cublasLtMatrixLayout_t; 3],
    /// Whether the right factor is the first.
    swapped: bool,
    double: bool,
    algorithm: Option<sys::cublasLtMatmulAlgo_t>,
}

// SAFETY: descriptions are memory of the host, which is not changed after it was made.
unsafe impl Send for Prepared {}
// SAFETY: as above.
unsafe impl Sync for Prepared {}
// SAFETY: the library's handle may be used by several threads at once.
unsafe impl Send for Multiplier {}
// SAFETY: as above.
unsafe impl Sync for Multiplier {}

/// Products whose descriptions are kept.
const KEPT: usize = 1024;

/// What matrices are aligned to, where it is known.
const ALIGN: u64 = 16;

/// Finds the library.
///
/// # Errors
///
/// Why there is none.
pub fn load() -> Result<(), DriverError> {
    static FOUND: OnceLock<Result<(), DriverError>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            super::found_toolkit("cuBLASLt", "GIRIH_CUBLASLT", "cublasLt", "cublasLtMatmul")?;
            // SAFETY: a library of NVIDIA's, as above.
            if unsafe { sys::is_culib_present() } {
                return Ok(());
            }
            let why = "cuBLASLt is of another version than the bindings know";
            Err(DriverError::Absent(why.to_owned()))
        })
        .clone()
}

impl Multiplier {
    /// Bytes of memory for parts of sums: what NVIDIA advises for the largest devices.
    pub(super) const WORKSPACE: usize = 32 << 20;

    /// The library on the device whose context is current. It must [be there](load).
    ///
    /// # Errors
    ///
    /// It does not start.
    ///
    /// # Safety
    ///
    /// `workspace` is [so much](Self::WORKSPACE) memory of the device, which nothing but products of this uses.
    pub(super) unsafe fn new(workspace: u64) -> Result<Self, DriverError> {
        Ok(Self {
            handle: result::create_handle().map_err(|error| failed("starting cuBLASLt", error))?,
            workspace,
            known: Mutex::default(),
        })
    }

    pub(super) fn workspace(&self) -> u64 {
        self.workspace
    }

    /// Whether the library has an algorithm for a shape.
    pub(super) fn takes(&self, shape: &Shape) -> bool {
        self.prepared((*shape, [ALIGN; 3])).is_ok()
    }

    /// Asks for a product on a stream of the context that is current.
    ///
    /// # Errors
    ///
    /// The library has no algorithm for it, or fails.
    ///
    /// # Safety
    ///
    /// The matrices are memory of the device; products on the streams that this is used with follow one another.
    pub(super) unsafe fn multiply(
        &self,
        product: &Product,
        stream: sys::cudaStream_t,
    ) -> Result<(), DriverError> {
        let aligned = product.addresses.map(|own| {
            let lowest = own & own.wrapping_neg();
            lowest.clamp(1, ALIGN)
        });
        let prepared = self.prepared((product.shape, aligned))?;
        let [left, right, out] = product.addresses.map(|own| own as *mut c_void);
        let (first, second) = if prepared.swapped {
            (right, left)
        } else {
            (left, right)
        };
        let [a, b, d] = prepared.layouts;
        // The result is not read: its factor is 0.
        let (one, zero) = ([1.0_f32, 0.0], [1.0_f64, 0.0]);
        let scales: [*const c_void; 2] = if prepared.double {
            [(&raw const zero[0]).cast(), (&raw const zero[1]).cast()]
        } else {
            [(&raw const one[0]).cast(), (&raw const one[1]).cast()]
        };
        let algorithm = prepared.algorithm.as_ref();
        // SAFETY: descriptions and factors live until the call returns, and are of the shape; the
        // caller vouches for the memory and the stream.
        let asked = unsafe {
            result::matmul(
                self.handle,
                prepared.operation,
                scales[0],
                scales[1],
                first,
                a,
                second,
                b,
                out,
                d,
                out,
                d,
                algorithm.map_or(std::ptr::null(), std::ptr::from_ref),
                self.workspace as *mut c_void,
                Self::WORKSPACE,
                stream,
            )
        };
        asked.map_err(|error| failed("a product", error))
    }

    fn prepared(&self, key: Key) -> Result<Arc<Prepared>, DriverError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = known.get(&key) {
            return Ok(Arc::clone(prepared));
        }
        let mut prepared = Prepared::new(&key.0)?;
        prepared.choose(self.handle, key.1)?;
        if known.len() >= KEPT {
            known.clear();
        }
        let prepared = Arc::new(prepared);
        known.insert(key, Arc::clone(&prepared));
        Ok(prepared)
    }
}

impl Drop for Multiplier {
    fn drop(&mut self) {
        // SAFETY: whoever has it has waited for what it asked.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

impl Prepared {
    /// A shape in the library's words. The library must [be there](load); no device is needed.
    ///
    /// # Errors
    ///
    /// It is no product for a library, or the library refuses it.
    pub fn new(shape: &Shape) -> Result<Self, DriverError> {
        let Some(columns) = shape.columns() else {
            return Err(DriverError::Call {
                what: "describing a product",
                why: "cuBLASLt has none of this shape".to_owned(),
            });
        };
        Self::of(shape, &columns).map_err(|error| failed("describing a product", error))
    }

    fn of(shape: &Shape, columns: &Columns) -> Result<Self, CublasError> {
        let double = shape.factors == DType::F64;
        let (compute, scale) = if double {
            let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_64F;
            (compute, sys::cudaDataType::CUDA_R_64F)
        } else {
            // Not the fast ones, which round what is given.
            let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
            (compute, sys::cudaDataType::CUDA_R_32F)
        };
        let mut own = Self {
            operation: result::create_matmul_desc(compute, scale)?,
            layouts: [std::ptr::null_mut(); 3],
            swapped: columns.swapped,
            double,
            algorithm: None,
        };
        let transposed = [
            DescAttribute::CUBLASLT_MATMUL_DESC_TRANSA,
            DescAttribute::CUBLASLT_MATMUL_DESC_TRANSB,
        ];
        for (attribute, stored) in transposed.into_iter().zip(&columns.matrices) {
            // `CUBLAS_OP_N` and `CUBLAS_OP_T`.
            let operation = i32::from(stored.transposed);
            // SAFETY: the description was just made; the attribute is a number of 32 bits.
            unsafe { set(&Of::Operation(own.operation, attribute), &operation) }?;
        }
        let dtypes = [shape.factors, shape.factors, shape.out];
        for (at, (stored, dtype)) in columns.matrices.iter().zip(dtypes).enumerate() {
            own.layouts[at] = layout(stored, dtype)?;
            batches(own.layouts[at], shape.batches, stored.batch)?;
        }
        Ok(own)
    }

    /// Has the library choose an algorithm, for matrices of some alignment: left, right, and the result.
    fn choose(
        &mut self,
        handle: sys::cublasLtHandle_t,
        aligned: [u64; 3],
    ) -> Result<(), DriverError> {
        let [left, right, out] = aligned.map(|bytes| bytes as u32);
        let (first, second) = if self.swapped {
            (right, left)
        } else {
            (left, right)
        };
        let wishes = result::create_matmul_pref();
        let wishes = wishes.map_err(|error| failed("describing a product", error))?;
        // Parts of a sum are added as they are summed, not as the result is stored.
        let scheme = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        let numbers = [
            (
                PreferenceAttribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                scheme,
            ),
            (
                PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                first,
            ),
            (
                PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                second,
            ),
            (
                PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                out,
            ),
            (
                PreferenceAttribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                out,
            ),
        ];
        let told = numbers.into_iter().try_for_each(|(attribute, value)| {
            // SAFETY: the wishes were just made; the attribute is a number of 32 bits.
            unsafe { set(&Of::Wishes(wishes, attribute), &value) }
        });
        let attribute = PreferenceAttribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        let told = told.and_then(|()| {
            // SAFETY: as above; the attribute is a size.
            unsafe { set(&Of::Wishes(wishes, attribute), &Multiplier::WORKSPACE) }
        });
        let [a, b, d] = self.layouts;
        let found = told.and_then(|()| {
            // SAFETY: all of them live.
            unsafe { result::get_matmul_algo_heuristic(handle, self.operation, a, b, d, d, wishes) }
        });
        // SAFETY: nobody else has them.
        let _ = unsafe { result::destroy_matmul_pref(wishes) };
        let found = found.map_err(|error| failed("choosing an algorithm for a product", error))?;
        self.algorithm = Some(found.algo);
        Ok(())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: made by the library, and nobody else's.
        let _ = unsafe { result::destroy_matmul_desc(self.operation) };
        for layout in self.layouts.into_iter().filter(|own| !own.is_null()) {
            // SAFETY: as above.
            let _ = unsafe { result::destroy_matrix_layout(layout) };
        }
    }
}

fn layout(stored: &Stored, dtype: DType) -> Result<sys::cublasLtMatrixLayout_t, CublasError> {
    let dtype = match dtype {
        DType::F64 => sys::cudaDataType::CUDA_R_64F,
        DType::F16 => sys::cudaDataType::CUDA_R_16F,
        DType::BF16 => sys::cudaDataType::CUDA_R_16BF,
        // Shapes have no others.
        _ => sys::cudaDataType::CUDA_R_32F,
    };
    let leading = stored.leading.cast_signed();
    result::create_matrix_layout(dtype, stored.rows, stored.columns, leading)
}

/// Has a layout mean several matrices.
fn batches(layout: sys::cublasLtMatrixLayout_t, count: u64, apart: u64) -> Result<(), CublasError> {
    if count <= 1 {
        return Ok(());
    }
    let (count, apart) = (count as i32, apart.cast_signed());
    let attribute = LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT;
    // SAFETY: the layout lives; the attribute is a number of 32 bits.
    unsafe { set(&Of::Layout(layout, attribute), &count) }?;
    let attribute = LayoutAttribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET;
    // SAFETY: as above; the attribute is a number of 64 bits.
    unsafe { set(&Of::Layout(layout, attribute), &apart) }
}

/// An attribute of something.
enum Of {
    Operation(sys::cublasLtMatmulDesc_t, DescAttribute),
    Layout(sys::cublasLtMatrixLayout_t, LayoutAttribute),
    Wishes(sys::cublasLtMatmulPreference_t, PreferenceAttribute),
}

/// Sets an attribute.
///
/// # Safety
///
/// What has it lives, and the attribute is a `T` for the library.
unsafe fn set<T>(attribute: &Of, value: &T) -> Result<(), CublasError> {
    let (value, bytes) = (std::ptr::from_ref(value).cast(), size_of::<T>());
    match *attribute {
        Of::Operation(own, attribute) => {
            // SAFETY: as the caller vouches, here and below.
            unsafe { result::set_matmul_desc_attribute(own, attribute, value, bytes) }
        }
        Of::Layout(own, attribute) => {
            // SAFETY: as above.
            unsafe { result::set_matrix_layout_attribute(own, attribute, value, bytes) }
        }
        Of::Wishes(own, attribute) => {
            // SAFETY: as above.
            unsafe { result::set_matmul_pref_attribute(own, attribute, value, bytes) }
        }
    }
}

fn failed(what: &'static str, error: CublasError) -> DriverError {
    DriverError::Call {
        what,
        why: error.to_string(),
    }
}
