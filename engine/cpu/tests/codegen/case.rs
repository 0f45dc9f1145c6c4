//! Kernels with what they are run on, for the interpreter and for whatever machine is compared with it.

use girih_graph::DType;
use girih_plan::kernel::Kernel;

use crate::interpret::{Number, Sizes};

/// Kernels that are run and compared with the interpreter.
#[derive(Default)]
pub(crate) struct Cases(pub(crate) Vec<Case>);

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kernel: Kernel,
    pub(crate) sizes: Sizes,
    pub(crate) buffers: Vec<Vec<u8>>,
    pub(crate) scale: f64,
}

impl Cases {
    pub(crate) fn add(&mut self, name: &str, kernel: &Kernel, sizes: &Sizes, buffers: &[Vec<u8>]) {
        self.add_close(name, kernel, sizes, buffers, 1.0);
    }

    /// As [`Cases::add`], with the size of the terms that results come from.
    pub(crate) fn add_close(
        &mut self,
        name: &str,
        kernel: &Kernel,
        sizes: &Sizes,
        buffers: &[Vec<u8>],
        scale: f64,
    ) {
        self.0.push(Case {
            name: name.to_owned(),
            kernel: kernel.clone(),
            sizes: sizes.clone(),
            buffers: buffers.to_vec(),
            scale,
        });
    }
}

/// How close two numbers have to be: `scale` is the size of the terms that they come from.
pub(crate) fn close(dtype: DType, x: Number, y: Number, scale: f64) -> bool {
    let (Number::Real(x), Number::Real(y)) = (x, y) else {
        return x.int() == y.int();
    };
    if x.is_nan() || y.is_nan() {
        return x.is_nan() && y.is_nan();
    }
    let (relative, least) = match dtype {
        DType::F64 => (1e-13, 1e-290),
        DType::F32 => (4e-6, 1e-37),
        DType::F16 => (3e-3, 1e-6),
        _ => (2e-2, 1e-37),
    };
    x.to_bits() == y.to_bits() || (x - y).abs() <= (x.abs().max(y.abs()) + scale) * relative + least
}
