//! Runs the launches of a graph's plan in the emulator, each buffer in memory of its own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use girih_cuda::driver::emulator::Emulator;
use girih_cuda::driver::product::Shape;
use girih_cuda::driver::{Call, Driver, Module};
use girih_cuda::run::{Bound, Places, Products};
use girih_cuda::source::{Program, Refusal, program};
use girih_graph::{DType, text};
use girih_plan::plan::{BufferKind, Plan};
use girih_plan::{Wants, lower_for, simplify_all};

/// Elements as numbers.
pub(crate) type Numbers = Vec<f64>;

/// The emulator; where there is no compiler for it, that is said.
pub(crate) fn emulator() -> Option<Emulator> {
    Emulator::new()
        .inspect_err(|error| say(&format!("SKIPPED: launches are not emulated: {error}")))
        .ok()
}

/// Past the test harness, which keeps what passing tests print.
fn say(what: &str) {
    std::io::stderr()
        .write_all(format!("{what}\n").as_bytes())
        .unwrap();
}

/// The plan of a graph, as the backend over devices makes it.
pub(crate) fn plan(graph: &str) -> Plan {
    let graph = text::parse(&format!("girih-graph 1\n{graph}")).unwrap();
    let wants = Wants {
        narrow_factors: true,
        ..Wants::default()
    };
    lower_for(&simplify_all(&graph), wants)
}

/// Numbers as the bytes of a dtype that tests give.
pub(crate) fn bytes(dtype: DType, numbers: &[f64]) -> Vec<u8> {
    let each = |number: &f64| match dtype {
        DType::F64 => number.to_le_bytes().to_vec(),
        DType::F32 => (*number as f32).to_le_bytes().to_vec(),
        DType::F16 => half::f16::from_f64(*number).to_le_bytes().to_vec(),
        DType::BF16 => half::bf16::from_f64(*number).to_le_bytes().to_vec(),
        DType::I64 => (*number as i64).to_le_bytes().to_vec(),
        DType::I32 => (*number as i32).to_le_bytes().to_vec(),
        DType::I8 => (*number as i8).to_le_bytes().to_vec(),
        DType::U8 | DType::Bool => vec![*number as u8],
    };
    numbers.iter().flat_map(each).collect()
}

pub(crate) fn numbers(dtype: DType, bytes: &[u8]) -> Numbers {
    let each = |own: &[u8]| match dtype {
        DType::F64 => f64::from_le_bytes(own.try_into().unwrap()),
        DType::F32 => f64::from(f32::from_le_bytes(own.try_into().unwrap())),
        DType::F16 => half::f16::from_le_bytes(own.try_into().unwrap()).to_f64(),
        DType::BF16 => half::bf16::from_le_bytes(own.try_into().unwrap()).to_f64(),
        DType::I64 => i64::from_le_bytes(own.try_into().unwrap()) as f64,
        DType::I32 => f64::from(i32::from_le_bytes(own.try_into().unwrap())),
        DType::I8 => f64::from(own[0].cast_signed()),
        DType::U8 | DType::Bool => f64::from(own[0]),
    };
    bytes.chunks(dtype.size()).map(each).collect()
}

/// What a graph's inputs and parameters are.
pub(crate) type Given<'a> = &'a dyn Fn(&str, usize) -> f64;

/// The results of a graph, in order, by generated code; an error is the refusal of a launch.
pub(crate) fn run(
    emulator: &Emulator,
    plan: &Plan,
    sizes: &[(&str, i64)],
    given: Given<'_>,
) -> Result<Vec<Numbers>, Refusal> {
    let ready = Ready::new(emulator, plan)?;
    let (results, _) = ready.run(sizes, given, Products::Off);
    Ok(results)
}

/// A plan with its code.
pub(crate) struct Ready<'a> {
    emulator: &'a Emulator,
    plan: &'a Plan,
    program: Program,
    module: Arc<dyn Module>,
}

impl<'a> Ready<'a> {
    pub(crate) fn new(emulator: &'a Emulator, plan: &'a Plan) -> Result<Self, Refusal> {
        let program = program(&plan.kernels, &plan.root)?;
        Ok(Self {
            emulator,
            plan,
            module: emulator.compile(&program).unwrap(),
            program,
        })
    }

    /// The dtypes of factors and results of what a driver may multiply.
    pub(crate) fn products(&self) -> Vec<(DType, DType)> {
        let launches = self.program.launches.iter();
        let products = launches.filter_map(|own| own.product.as_ref());
        products.map(|own| (own.factors, own.result)).collect()
    }

    /// The results, and how many products were the emulator's own.
    pub(crate) fn run(
        &self,
        sizes: &[(&str, i64)],
        given: Given<'_>,
        products: Products,
    ) -> (Vec<Numbers>, usize) {
        let sizes: BTreeMap<&str, i64> = sizes.iter().copied().collect();
        let lookup = |name: &str| sizes.get(name).copied();
        let multiplies = |shape: &Shape| products.have(shape) && self.emulator.multiplies(shape);
        let bound = Bound::new(&self.program, &lookup, &multiplies).unwrap();
        run_bound(self, &bound, &lookup, given)
    }
}

fn run_bound(
    ready: &Ready<'_>,
    bound: &Bound,
    lookup: &dyn Fn(&str) -> Option<i64>,
    given: Given<'_>,
) -> (Vec<Numbers>, usize) {
    let Ready {
        emulator,
        plan,
        module,
        ..
    } = ready;
    let section = &plan.root;
    let mut memory = Vec::new();
    for (at, buffer) in section.buffers.iter().enumerate() {
        let elements = buffer.elements.evaluate(lookup).unwrap().max(0) as usize;
        let length = elements * buffer.dtype.size();
        let address = emulator.alloc(length as u64).unwrap();
        let own = plan
            .given
            .iter()
            .find(|own| section.tensors[own.tensor.index()].buffer.index() == at);
        let content = match (&buffer.kind, own) {
            (BufferKind::Table(numbers), _) => Some(numbers.to_vec()),
            (_, Some(own)) => Some((0..elements).map(|at| given(&own.name, at)).collect()),
            _ => None,
        };
        if let Some(content) = content {
            let content = bytes(buffer.dtype, &content);
            // SAFETY: memory of that many bytes.
            unsafe { emulator.write(address, &content) }.unwrap();
        }
        memory.push((address, length));
    }
    let scratch = bound.alloc(*emulator).unwrap();
    let failure = emulator.alloc(32).unwrap();
    // SAFETY: memory of that many bytes.
    unsafe { emulator.write(failure, &[0; 32]) }.unwrap();
    let places: Vec<u64> = memory.iter().map(|(address, _)| *address).collect();
    let places = Places {
        buffers: &places,
        scratch,
        failure,
        first: 0,
    };
    let calls = bound.calls(module, places);
    let products = calls.iter().filter(|call| matches!(call, Call::Product(_)));
    let products = products.count();
    for call in calls {
        // SAFETY: every buffer is as long as the plan says, and ends at a page's end.
        unsafe { emulator.launch(&call) }.unwrap();
    }
    let results = plan.results.iter().map(|outcome| {
        let tensor = &section.tensors[outcome.tensor.index()];
        let (address, length) = memory[tensor.buffer.index()];
        let mut bytes = vec![0; length];
        // SAFETY: memory of that many bytes.
        unsafe { emulator.read(address, &mut bytes) }.unwrap();
        numbers(tensor.dtype, &bytes)
    });
    let results: Vec<Numbers> = results.collect();
    for (address, length) in memory {
        // SAFETY: nothing uses it any more.
        unsafe { emulator.free(address, length as u64) };
    }
    // SAFETY: as above.
    unsafe { emulator.free(scratch, bound.scratch().max(1)) };
    // SAFETY: as above.
    unsafe { emulator.free(failure, 32) };
    (results, products)
}

/// A number between −1 and 1 for an element of a tensor.
pub(crate) fn noise(name: &str, at: usize) -> f64 {
    let seed = name
        .bytes()
        .fold(17_u64, |all, byte| all * 31 + u64::from(byte));
    let word = (seed + at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let real = (word >> 40) as f64 / f64::from(1 << 23) - 1.0;
    // What `f32` holds, so that both sides have the same.
    f64::from(real as f32)
}

/// That numbers are as near as sums of `f32` are.
pub(crate) fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (x, y)) in found.iter().zip(expected).enumerate() {
        let near = (x - y).abs() <= 2e-5 * (1.0 + y.abs())
            || x.to_bits() == y.to_bits()
            || x.is_nan() && y.is_nan();
        assert!(near, "{what}: element {at} is {x}, not {y}");
    }
}
