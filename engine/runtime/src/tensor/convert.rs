//! The same numbers in another dtype.
//!
//! Reals are rounded to nearest, ties to even; reals become integers toward
//! zero; what does not fit is clamped (integers) or infinite (reals); `NaN`
//! becomes 0 in an integer; `bool` is "not 0". A `bool` tensor from a file is
//! read as "not 0" too, so conversion cannot fail.

use girih_graph::DType;

use super::data::{TensorData, per_dtype};
use super::{Element, Scalar, Tensor};

impl Tensor {
    /// The same numbers in another dtype. Data are shared when the dtype is
    /// the tensor's own.
    #[must_use]
    pub fn to_dtype(&self, dtype: DType) -> Self {
        if dtype == self.dtype {
            return self.clone();
        }
        let buffer = per_dtype!(dtype, E => E::into_buffer(self.converted::<E>()));
        Self {
            dtype,
            shape: self.shape.clone(),
            data: TensorData::owned(buffer),
        }
    }

    /// All elements in row-major order as reals.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        self.converted()
    }

    /// All elements in row-major order as integers, as by
    /// [`to_dtype`](Self::to_dtype).
    pub fn to_i64_vec(&self) -> Vec<i64> {
        self.converted()
    }

    fn converted<D: Scalar>(&self) -> Vec<D> {
        per_dtype!(self.dtype, E => match E::view(self.bytes()) {
            Ok(elements) => elements.iter().map(|&element| convert(element)).collect(),
            // Only a `bool` can be unreadable, by bytes other than 0 and 1.
            Err(_) => self.bytes().iter().map(|&byte| convert(byte != 0)).collect(),
        })
    }
}

fn convert<S: Scalar, D: Scalar>(element: S) -> D {
    if S::IS_REAL {
        D::from_real(element.to_real())
    } else {
        D::from_integer(element.to_integer())
    }
}
