//! A few kernels in Rust, and a count of how often they ran.

#![expect(
    clippy::unnecessary_wraps,
    reason = "all operations have one signature, also those that never fail"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use girih_graph::DType;
use girih_runtime::plugin::native::{
    Attribute, Kernel, Native, NativeCall, NativeCode, NativeError, Natives, Operand, Spec,
    Workspace,
};

/// The id of the plugin that these would be.
pub(crate) const PLUGIN: &str = "org.girih.trial";

/// Longer rows than this have no kernel.
pub(crate) const LONGEST: usize = 8;

/// The kernels.
#[derive(Clone, Default)]
pub(crate) struct Trial {
    runs: Arc<AtomicUsize>,
}

impl Trial {
    /// How often a kernel ran since the last time somebody asked.
    pub(crate) fn runs(&self) -> usize {
        self.runs.swap(0, Ordering::Relaxed)
    }
}

impl Natives for Trial {
    fn native(&self, callee: &str) -> Option<Arc<dyn Native>> {
        let operation: Run = match callee.strip_prefix(PLUGIN)?.strip_prefix('/')? {
            "soft@1" | "soft_strided@1" => soft,
            "soft_gradient@1" => soft_gradient,
            "outer@1" => outer,
            "largest@1" => largest,
            "scaled@1" => scaled,
            "fails@1" => fails,
            _ => return None,
        };
        Some(Arc::new(One {
            strided: callee.ends_with("_strided@1"),
            operation,
            runs: Arc::clone(&self.runs),
        }))
    }
}

type Run = fn(&Spec, &mut NativeCall<'_>) -> Result<(), NativeError>;

struct One {
    strided: bool,
    operation: Run,
    runs: Arc<AtomicUsize>,
}

struct Prepared {
    strided: bool,
    spec: Spec,
    operation: Run,
    runs: Arc<AtomicUsize>,
}

fn error(code: NativeCode, message: &str) -> NativeError {
    NativeError {
        code,
        plugin: PLUGIN.to_owned(),
        operation: "trial".to_owned(),
        message: message.to_owned(),
    }
}

impl Native for One {
    fn prepare(&self, spec: &Spec) -> Result<Box<dyn Kernel>, NativeError> {
        let reals = spec.operands.iter().chain(&spec.results);
        let mut dtypes = reals.map(|own| own.dtype);
        if dtypes.any(|dtype| !matches!(dtype, DType::F32 | DType::I64 | DType::Bool)) {
            return Err(error(NativeCode::Unsupported, "only f32"));
        }
        let mut extents = spec.operands.iter().flat_map(|own| own.shape.iter());
        if extents.any(|extent| *extent > LONGEST) {
            return Err(error(NativeCode::Unsupported, "too long"));
        }
        Ok(Box::new(Prepared {
            strided: self.strided,
            spec: spec.clone(),
            operation: self.operation,
            runs: Arc::clone(&self.runs),
        }))
    }
}

impl Kernel for Prepared {
    fn workspace(&self) -> Workspace {
        Workspace {
            bytes: 100,
            align: 128,
        }
    }

    fn strided(&self) -> bool {
        self.strided
    }

    fn run(&self, call: &mut NativeCall<'_>) -> Result<(), NativeError> {
        assert_eq!(call.workspace.len(), 100);
        assert_eq!(call.workspace.as_ptr().addr() % 128, 0);
        call.workspace.fill(0xA5);
        for (own, wanted) in call.operands.iter().zip(&self.spec.operands) {
            assert_eq!((own.dtype, own.shape), (wanted.dtype, &*wanted.shape));
            assert_eq!(own.strides.len(), own.shape.len());
            assert!(self.strided || own.strides == row_major(own.shape));
        }
        self.runs.fetch_add(1, Ordering::Relaxed);
        (self.operation)(&self.spec, call)
    }
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// The elements of an operand with one axis, or with several that lie together.
fn reals(operand: &Operand<'_>) -> Vec<f32> {
    let count: usize = operand.shape.iter().product();
    let step = operand.strides.last().copied().unwrap_or(1);
    let number = |at: usize| {
        let bytes = &operand.bytes[4 * step * at..][..4];
        f32::from_le_bytes(bytes.try_into().expect("four bytes"))
    };
    (0..count).map(number).collect()
}

fn put(bytes: &mut [u8], numbers: impl IntoIterator<Item = f32>) {
    for (place, number) in bytes.chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// Softmax of a row.
fn soft(_: &Spec, call: &mut NativeCall<'_>) -> Result<(), NativeError> {
    let x = reals(&call.operands[0]);
    let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = x.iter().map(|x| (x - most).exp()).collect();
    let sum: f32 = weights.iter().sum();
    put(call.results[0].bytes, weights.iter().map(|w| w / sum));
    Ok(())
}

/// y · (dy − y·dy), from x, y and dy.
fn soft_gradient(_: &Spec, call: &mut NativeCall<'_>) -> Result<(), NativeError> {
    let (y, dy) = (reals(&call.operands[1]), reals(&call.operands[2]));
    let sum: f32 = y.iter().zip(&dy).map(|(y, dy)| y * dy).sum();
    let dx = y.iter().zip(&dy).map(|(y, dy)| y * (dy - sum));
    put(call.results[0].bytes, dx);
    Ok(())
}

/// `out[n, m] = x[n] · y[m]`, with the threads that there are.
fn outer(_: &Spec, call: &mut NativeCall<'_>) -> Result<(), NativeError> {
    let (x, y) = (reals(&call.operands[0]), reals(&call.operands[1]));
    let rows = std::sync::Mutex::new(vec![0.0_f32; x.len() * y.len()]);
    call.parallel.run(x.len(), &|row, thread| {
        assert!(thread < call.parallel.threads());
        let mut rows = rows.lock().expect("nothing panics while it is held");
        for (column, y) in y.iter().enumerate() {
            rows[row * call.operands[1].shape[0] + column] = x[row] * y;
        }
    });
    let rows = rows.into_inner().expect("nothing panicked");
    put(call.results[0].bytes, rows);
    Ok(())
}

/// The position of the largest, and which are above 0: any byte but 0 is true.
fn largest(_: &Spec, call: &mut NativeCall<'_>) -> Result<(), NativeError> {
    let x = reals(&call.operands[0]);
    let best = (0..x.len()).rev().max_by(|a, b| x[*a].total_cmp(&x[*b]));
    let best = best.unwrap_or(0) as i64;
    call.results[0].bytes.copy_from_slice(&best.to_le_bytes());
    for (byte, x) in call.results[1].bytes.iter_mut().zip(&x) {
        *byte = if *x > 0.0 { 7 } else { 0 };
    }
    Ok(())
}

/// A number times what the model says.
fn scaled(spec: &Spec, call: &mut NativeCall<'_>) -> Result<(), NativeError> {
    let factor = match spec.attributes.as_slice() {
        [(name, Attribute::Real(factor))] if &**name == "by" => *factor as f32,
        other => {
            let message = format!("`by` is {other:?}");
            return Err(error(NativeCode::Invalid, &message));
        }
    };
    let x = reals(&call.operands[0]);
    put(call.results[0].bytes, x.iter().map(|x| factor * x));
    Ok(())
}

fn fails(_: &Spec, _: &mut NativeCall<'_>) -> Result<(), NativeError> {
    Err(error(NativeCode::Invalid, "it does not like these numbers"))
}
