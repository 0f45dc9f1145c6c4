//! One kernel of a plugin, run on drawn operands in every way that a host may run it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use girih_graph::DType;
use girih_runtime::plugin::native::{
    Kernel as _, NativeCall, NativeCode, NativeError, Operand, Parallel, Spec, TensorSpec, Written,
};
use girih_runtime::plugin::{PluginKernel, PluginNative};
use girih_runtime::tensor::Tensor;

use super::guard::{Guarded, Side};
use super::meaning::text_of;
use super::signature::{Function, TensorType};

/// Sizes of axes by name.
pub(super) type Sizes = BTreeMap<String, i64>;

/// How a kernel is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// Threads of `parallel_for`.
    pub(super) threads: usize,
    /// What results and workspace hold before.
    pub(super) dirt: u8,
    /// Where blocks lie in their pages.
    pub(super) side: Side,
    /// Alignment of operands and results, no less than their elements'.
    pub(super) align: usize,
}

impl How {
    /// One thread, blocks with room around them.
    pub(super) const PLAIN: Self = Self {
        threads: 1,
        dirt: 0,
        side: Side::Middle,
        align: 1,
    };
}

/// What a kernel is made for, with these sizes.
pub(super) fn spec(function: &Function, sizes: &Sizes, threads: usize) -> Result<Spec, String> {
    let tensor = |ty: &TensorType| -> Result<TensorSpec, String> {
        let extents = ty.axes.iter().map(|axis| {
            let size = sizes
                .get(axis)
                .copied()
                .and_then(|size| usize::try_from(size).ok());
            size.ok_or_else(|| format!("axis `{axis}` has no size"))
        });
        Ok(TensorSpec {
            dtype: ty.dtype,
            shape: extents.collect::<Result<_, _>>()?,
        })
    };
    let attributes = function.attributes.iter();
    Ok(Spec {
        attributes: attributes
            .map(|(name, value)| (name.as_str().into(), value.clone()))
            .collect(),
        operands: (function.operands.iter())
            .map(|operand| tensor(&operand.ty))
            .collect::<Result<_, _>>()?,
        results: function
            .results
            .iter()
            .map(tensor)
            .collect::<Result<_, _>>()?,
        threads,
    })
}

/// The spec with every real dtype replaced.
pub(super) fn spec_in(mut spec: Spec, dtype: DType) -> Spec {
    for tensor in spec.operands.iter_mut().chain(&mut spec.results) {
        if tensor.dtype.is_real() {
            tensor.dtype = dtype;
        }
    }
    spec
}

/// A kernel, or `None` where the plugin leaves these types and sizes to the text.
pub(super) fn prepare(native: &PluginNative, spec: &Spec) -> Result<Option<PluginKernel>, String> {
    match native.prepare_kernel(spec) {
        Ok(kernel) => Ok(Some(kernel)),
        Err(error) if left_to_text(&error) => Ok(None),
        Err(error) => Err(format!("{error} ({})", shapes(spec))),
    }
}

/// Whether the host would compute the text instead, or the numbers have no result.
pub(super) fn left_to_text(error: &NativeError) -> bool {
    matches!(error.code, NativeCode::Unsupported | NativeCode::Invalid)
}

/// `f32[2, 3], f32[3] -> f32[2]`.
pub(super) fn shapes(spec: &Spec) -> String {
    let all = |tensors: &[TensorSpec]| {
        let texts: Vec<String> = (tensors.iter())
            .map(|tensor| format!("{}{:?}", tensor.dtype, tensor.shape))
            .collect();
        texts.join(", ")
    };
    format!("{} -> {}", all(&spec.operands), all(&spec.results))
}

/// An operand in guarded memory, with its strides.
struct Placed {
    block: Guarded,
    dtype: DType,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Placed {
    fn packed(tensor: &Tensor, how: How) -> Result<Self, String> {
        let align = how.align.max(tensor.dtype().size());
        let mut block = Guarded::new(tensor.bytes().len(), align, how.side).map_err(text_of)?;
        block.bytes_mut().copy_from_slice(tensor.bytes());
        if how.side != Side::Middle {
            block.seal().map_err(text_of)?;
        }
        Ok(Self {
            block,
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
            strides: packed_strides(tensor.shape()),
        })
    }

    /// The same elements with the axes stored in reverse order and gaps between them.
    fn scattered(tensor: &Tensor, how: How) -> Result<Self, String> {
        let (shape, size) = (tensor.shape(), tensor.dtype().size());
        let mut strides = vec![0; shape.len()];
        let mut next = 2;
        for (stride, extent) in strides.iter_mut().zip(shape) {
            *stride = next;
            next *= extent.max(&1);
        }
        let last: usize = (shape.iter().zip(&strides))
            .map(|(n, stride)| n.saturating_sub(1) * stride)
            .sum();
        let elements = if tensor.count() == 0 { 0 } else { last + 1 };
        let mut block = Guarded::new(elements * size, size, how.side).map_err(text_of)?;
        let bytes = block.bytes_mut();
        bytes.fill(0x5a);
        let packed = packed_strides(shape);
        for at in 0..tensor.count() {
            let place: usize = (0..shape.len())
                .map(|axis| at / packed[axis] % shape[axis] * strides[axis])
                .sum();
            bytes[place * size..][..size].copy_from_slice(&tensor.bytes()[at * size..][..size]);
        }
        Ok(Self {
            block,
            dtype: tensor.dtype(),
            shape: shape.to_vec(),
            strides,
        })
    }
}

fn packed_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

/// Runs a kernel on row-major operands. `None`: it refuses these numbers.
pub(super) fn run(
    kernel: &PluginKernel,
    spec: &Spec,
    operands: &[Tensor],
    how: How,
) -> Result<Option<Vec<Tensor>>, String> {
    let placed: Result<Vec<Placed>, String> = operands
        .iter()
        .map(|tensor| Placed::packed(tensor, how))
        .collect();
    let placed = placed?;
    let same: Vec<usize> = (0..placed.len()).collect();
    run_placed(kernel, spec, &placed, &same, how)
}

/// Runs a kernel on operands that lie scattered.
pub(super) fn run_scattered(
    kernel: &PluginKernel,
    spec: &Spec,
    operands: &[Tensor],
) -> Result<Option<Vec<Tensor>>, String> {
    let placed: Result<Vec<Placed>, String> = operands
        .iter()
        .map(|tensor| Placed::scattered(tensor, How::PLAIN))
        .collect();
    let placed = placed?;
    let same: Vec<usize> = (0..placed.len()).collect();
    run_placed(kernel, spec, &placed, &same, How::PLAIN)
}

/// Runs a kernel with the operand `from` also in the place of each one of equal type.
pub(super) fn run_shared(
    kernel: &PluginKernel,
    spec: &Spec,
    operands: &[Tensor],
    sources: &[usize],
) -> Result<Option<Vec<Tensor>>, String> {
    let placed: Result<Vec<Placed>, String> = operands
        .iter()
        .map(|tensor| Placed::packed(tensor, How::PLAIN))
        .collect();
    run_placed(kernel, spec, &placed?, sources, How::PLAIN)
}

fn run_placed(
    kernel: &PluginKernel,
    spec: &Spec,
    placed: &[Placed],
    sources: &[usize],
    how: How,
) -> Result<Option<Vec<Tensor>>, String> {
    let operands: Vec<Operand<'_>> = sources
        .iter()
        .map(|&source| {
            let placed = &placed[source];
            Operand {
                dtype: placed.dtype,
                shape: &placed.shape,
                strides: &placed.strides,
                bytes: placed.block.bytes(),
            }
        })
        .collect();
    let wanted = kernel.workspace();
    let mut workspace = Guarded::new(wanted.bytes, wanted.align, how.side).map_err(text_of)?;
    workspace.bytes_mut().fill(how.dirt);
    let mut blocks = Vec::new();
    for result in &spec.results {
        let bytes = result.shape.iter().product::<usize>() * result.dtype.size();
        let align = how.align.max(result.dtype.size());
        let mut block = Guarded::new(bytes, align, how.side).map_err(text_of)?;
        block.bytes_mut().fill(how.dirt);
        blocks.push(block);
    }
    let mut results: Vec<Written<'_>> = (spec.results.iter().zip(&mut blocks))
        .map(|(result, block)| Written {
            dtype: result.dtype,
            shape: &result.shape,
            bytes: block.bytes_mut(),
        })
        .collect();
    let done = kernel.run(&mut NativeCall {
        operands: &operands,
        results: &mut results,
        workspace: workspace.bytes_mut(),
        parallel: &Threads(how.threads),
    });
    match done {
        Ok(()) => {}
        Err(error) if left_to_text(&error) => return Ok(None),
        Err(error) => return Err(format!("{error} ({})", shapes(spec))),
    }
    let looked_at = how.side != Side::Middle;
    if looked_at && !workspace.intact() {
        return Err(format!("it wrote beside its workspace ({})", shapes(spec)));
    }
    if looked_at && !blocks.iter().all(Guarded::intact) {
        return Err(format!("it wrote beside a result ({})", shapes(spec)));
    }
    let tensors = spec.results.iter().zip(&blocks).map(|(result, block)| {
        let bytes = block.bytes();
        if result.dtype == DType::Bool && bytes.iter().any(|byte| *byte > 1) {
            return Err("a truth value is neither 0 nor 1".to_owned());
        }
        Tensor::from_bytes(result.dtype, result.shape.as_slice(), bytes).map_err(text_of)
    });
    tensors.collect::<Result<Vec<_>, _>>().map(Some)
}

/// Threads that take items from the last to the first, so that nothing rests on an order.
struct Threads(usize);

impl Parallel for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, items: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        if self.0 == 1 {
            (0..items).for_each(|item| body(item, 0));
            return;
        }
        let left = AtomicUsize::new(items);
        std::thread::scope(|scope| {
            for thread in 0..self.0 {
                let left = &left;
                scope.spawn(move || {
                    let next = || {
                        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                            left.checked_sub(1)
                        })
                    };
                    while let Ok(left) = next() {
                        body(left - 1, thread);
                        std::thread::yield_now();
                    }
                });
            }
        });
    }
}

/// How far two tensors are apart: nothing where they agree. Numbers may differ by `allowed` relative to the larger of 1
/// and the largest number; where `wanted` is not finite, the other must not be either.
pub(super) fn differs(found: &Tensor, wanted: &Tensor, allowed: f64) -> Option<String> {
    if found.shape() != wanted.shape() {
        return Some(format!(
            "shape {:?} instead of {:?}",
            found.shape(),
            wanted.shape()
        ));
    }
    let (own, other) = (found.to_f64_vec(), wanted.to_f64_vec());
    let largest =
        (other.iter().filter(|x| x.is_finite())).fold(1.0_f64, |most, x| most.max(x.abs()));
    let bound = if wanted.dtype().is_real() {
        allowed * largest
    } else {
        0.0
    };
    let apart = |(own, other): (&f64, &f64)| {
        if other.is_finite() {
            // A NaN is apart from every number.
            own.is_nan() || (own - other).abs() > bound
        } else {
            own.is_finite()
        }
    };
    let at = own.iter().zip(&other).position(apart)?;
    Some(format!(
        "{} instead of {} at element {at}",
        own[at], other[at]
    ))
}
