//! `call`: an operation of a plugin, computed by its body; by a native kernel where it has none.

use girih_graph::{AxisId, Call, DType, ValueType};

use super::array::Array;
use super::interpret::run_region;
use super::number::per_number;
use super::program::Program;
use super::scope::{Scope, Value};
use super::walk::{cell_count, row_major};
use crate::backend::RunError;
use crate::plugin::native::{
    Native, NativeCall, Operand, Parallel, Spec, TensorSpec, Workspace, Written,
};

pub(super) fn call(
    scope: &Scope<'_>,
    call: &Call,
    inner: &[Program],
    operands: &[Value<'_>],
    types: &[&ValueType],
) -> Result<Vec<Array>, RunError> {
    if let (Some(body), Some(program)) = (call.body(), inner.first()) {
        let params = operands.iter().map(|value| value.array.clone());
        return run_region(scope, body, program, params.collect());
    }
    let native = scope.run.natives.native(&call.callee);
    let native = native.ok_or_else(|| RunError::NoNative {
        callee: call.callee.to_string(),
    })?;
    by_kernel(scope, call, &*native, operands, types)
}

/// Elements of one position after another, each row-major over the core axes.
struct Positions {
    dtype: DType,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// Of one position.
    bytes: usize,
    /// Of all positions; words, so that they are aligned for every dtype.
    words: Vec<u64>,
}

impl Positions {
    fn new(dtype: DType, shape: Vec<usize>, count: usize) -> Self {
        let bytes = cell_count(&shape) * dtype.size();
        let strides = row_major(&shape).into_iter();
        Self {
            dtype,
            strides: strides.map(isize::unsigned_abs).collect(),
            shape,
            bytes,
            words: vec![0; (bytes * count).div_ceil(size_of::<u64>())],
        }
    }

    fn spec(&self) -> TensorSpec {
        TensorSpec {
            dtype: self.dtype,
            shape: self.shape.clone(),
        }
    }
}

fn by_kernel(
    scope: &Scope<'_>,
    call: &Call,
    native: &dyn Native,
    operands: &[Value<'_>],
    types: &[&ValueType],
) -> Result<Vec<Array>, RunError> {
    let lifted = call.lifted();
    let lifted_shape = scope.shape(&lifted)?;
    let count = cell_count(&lifted_shape);
    let all = |core: &[AxisId]| [lifted.as_slice(), core].concat();
    let mut reads = Vec::new();
    for (operand, core) in operands.iter().zip(&call.takes) {
        let axes = all(core);
        let array = operand.over(&axes, &scope.shape(&axes)?).contiguous();
        let mut own = Positions::new(operand.ty.dtype, scope.shape(core)?, count);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut own.words);
        per_number!(operand.ty.dtype, T => {
            let cells = array.to_vec::<T>();
            let cells: &[u8] = bytemuck::cast_slice(&cells);
            bytes[..cells.len()].copy_from_slice(cells);
        });
        reads.push(own);
    }
    let mut writes = Vec::new();
    for (ty, (_, core)) in types.iter().zip(&call.gives) {
        writes.push(Positions::new(ty.dtype, scope.shape(core)?, count));
    }
    let failed = |source| RunError::Native {
        callee: call.callee.to_string(),
        source,
    };
    let kernel = native.prepare(&Spec {
        attributes: call.attributes.clone(),
        operands: reads.iter().map(Positions::spec).collect(),
        results: writes.iter().map(Positions::spec).collect(),
        threads: 1,
    });
    let kernel = kernel.map_err(failed)?;
    let Workspace { bytes, align } = kernel.workspace();
    let mut memory = vec![0_u8; bytes.saturating_add(align)];
    let start = memory.as_ptr().align_offset(align.max(1)).min(align);
    for position in 0..count {
        scope.run.tick()?;
        let operands: Vec<Operand<'_>> = reads.iter().map(|own| read(own, position)).collect();
        let mut results: Vec<Written<'_>> = Vec::new();
        for own in &mut writes {
            let all: &mut [u8] = bytemuck::cast_slice_mut(&mut own.words);
            results.push(Written {
                dtype: own.dtype,
                shape: &own.shape,
                bytes: &mut all[position * own.bytes..][..own.bytes],
            });
        }
        let mut native_call = NativeCall {
            operands: &operands,
            results: &mut results,
            workspace: &mut memory[start..start + bytes],
            parallel: &Alone,
        };
        kernel.run(&mut native_call).map_err(failed)?;
    }
    let mut results = Vec::new();
    for ((own, ty), (_, core)) in writes.into_iter().zip(types).zip(&call.gives) {
        results.push(gathered(scope, &own, ty, &all(core), count)?);
    }
    Ok(results)
}

fn read(own: &Positions, position: usize) -> Operand<'_> {
    let all: &[u8] = bytemuck::cast_slice(&own.words);
    Operand {
        dtype: own.dtype,
        shape: &own.shape,
        strides: &own.strides,
        bytes: &all[position * own.bytes..][..own.bytes],
    }
}

/// The value whose elements lie in the order of `axes`.
fn gathered(
    scope: &Scope<'_>,
    own: &Positions,
    ty: &ValueType,
    axes: &[AxisId],
    count: usize,
) -> Result<Array, RunError> {
    let shape = scope.shape(axes)?;
    let bytes: &[u8] = bytemuck::cast_slice(&own.words);
    let bytes = &bytes[..own.bytes * count];
    let array = if ty.dtype == DType::Bool {
        // Whatever a kernel writes, a truth value is 0 or 1.
        Array::new::<u8>(
            ty.dtype,
            shape,
            bytes.iter().map(|b| u8::from(*b != 0)).collect(),
        )
    } else {
        per_number!(ty.dtype, T => {
            Array::new::<T>(ty.dtype, shape, bytemuck::cast_slice(bytes).to_vec())
        })
    };
    let stored = ValueType::new(ty.dtype, axes.to_vec());
    let value = Value {
        ty: &stored,
        array: &array,
    };
    Ok(value.over(&ty.axes, &scope.shape(&ty.axes)?))
}

/// The one thread that there is.
struct Alone;

impl Parallel for Alone {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, items: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        for item in 0..items {
            body(item, 0);
        }
    }
}
