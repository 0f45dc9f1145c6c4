//! Positions that are data: integers of any dtype, read as `i64`.

use girih_graph::DType;
use girih_plan::plan::TensorId;

use crate::block::Cells;
use crate::frame::Frame;

/// Elements of an integer tensor.
#[derive(Clone, Copy)]
pub(super) enum Positions {
    I64(Cells<i64>),
    I32(Cells<i32>),
    I8(Cells<i8>),
    /// Truth values too.
    U8(Cells<u8>),
    F64(Cells<f64>),
    F32(Cells<f32>),
    F16(Cells<half::f16>),
    BF16(Cells<half::bf16>),
}

impl Positions {
    pub(super) fn new(frame: &Frame<'_>, tensor: TensorId) -> Self {
        match frame.view(tensor).dtype {
            DType::I64 => Self::I64(frame.cells(tensor)),
            DType::I32 => Self::I32(frame.cells(tensor)),
            DType::I8 => Self::I8(frame.cells(tensor)),
            DType::U8 | DType::Bool => Self::U8(frame.cells(tensor)),
            DType::F64 => Self::F64(frame.cells(tensor)),
            DType::F32 => Self::F32(frame.cells(tensor)),
            DType::F16 => Self::F16(frame.cells(tensor)),
            DType::BF16 => Self::BF16(frame.cells(tensor)),
        }
    }

    /// The position at an index; a real toward zero, as `cast` makes it.
    pub(super) fn get(self, index: isize) -> i64 {
        match self {
            Self::I64(cells) => cells.get(index),
            Self::I32(cells) => i64::from(cells.get(index)),
            Self::I8(cells) => i64::from(cells.get(index)),
            Self::U8(cells) => i64::from(cells.get(index)),
            Self::F64(cells) => cells.get(index) as i64,
            Self::F32(cells) => cells.get(index) as i64,
            Self::F16(cells) => cells.get(index).to_f64() as i64,
            Self::BF16(cells) => cells.get(index).to_f64() as i64,
        }
    }
}
