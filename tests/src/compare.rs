//! Whether backends compute what the reference does: random graphs run on both.
//!
//! Results are equal within a tolerance of their dtype; where they are infinite or `NaN`
//! agrees too. A graph that fails is made smaller while it still fails.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use girih_graph::{DType, Graph, Op, Way, verify};
use girih_plan::{How, chunk_recurrences};
use girih_runtime::backend::{Backend, Bindings, Outputs, silent};
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;

use crate::random_graph::{Numbers, Options, RandomGraph, grow, seeded_words};
use crate::shrink::shrunk;

/// Failures that are made smaller and shown.
const SHOWN: usize = 5;

/// What backends compute otherwise than the reference does, in graphs of these seeds: for each kind of failure a graph that
/// is as small as could be found in `attempts`.
pub fn failures(backends: &[Tried], seeds: Range<u64>, attempts: usize) -> Vec<String> {
    let mut kinds = BTreeSet::new();
    let mut failures = Vec::new();
    for seed in seeds {
        let words = seeded_words(seed);
        let random = grow(&words, Options::default());
        let Some(said) = difference(backends, &random, seed) else {
            continue;
        };
        if failures.len() < SHOWN && kinds.insert(kind(&said)) {
            let small = shrunk(words, attempts, &mut |random| {
                difference(backends, random, seed).is_some()
            });
            let said = difference(backends, &small, seed).unwrap_or(said);
            failures.push(format!("graph {seed}: {said}\n{small:?}"));
        }
    }
    failures
}

/// What was said, without numbers and where it was said.
fn kind(said: &str) -> String {
    let (_, said) = said.split_once(": ").unwrap_or(("", said));
    let letters = said.chars().filter(|c| c.is_alphabetic());
    letters.take(60).collect()
}

/// Numbers of a random graph as the tensor that its leaf takes.
///
/// # Panics
///
/// If there are not as many as the shape says.
pub fn tensor(numbers: &Numbers) -> Tensor {
    let shape = numbers.shape.clone();
    let tensor = match numbers.ty.dtype {
        DType::F32 => Tensor::new(shape, numbers.data.iter().map(|x| *x as f32).collect()),
        DType::Bool => Tensor::new(shape, numbers.data.iter().map(|x| *x != 0.0).collect()),
        _ => Tensor::new(shape, numbers.data.iter().map(|x| *x as i64).collect()),
    };
    tensor.expect("as many numbers as positions")
}

/// Inputs, parameters and sizes; states are given for odd `seed`s.
fn bindings(random: &RandomGraph, seed: u64) -> Bindings {
    let mut bindings = Bindings::new();
    for (name, size) in &random.sizes {
        bindings = bindings.symbol(name, *size);
    }
    let data = random.data(seed);
    for (_, node) in random.graph.root.nodes() {
        bindings = match &node.op {
            Op::Input(name, _) => bindings.input(name, tensor(&data[&**name])),
            Op::Param(name, _) => bindings.param(name, tensor(&data[&**name])),
            Op::State(name) if seed % 2 == 1 => bindings.state(name, tensor(&data[&**name])),
            _ => bindings,
        };
    }
    bindings
}

/// Every result and next state by name, or what the backend said.
///
/// # Errors
///
/// In words, if it cannot be compiled or run, or panics.
pub fn run(
    backend: &dyn Backend,
    graph: &Graph,
    bindings: &Bindings,
) -> Result<BTreeMap<String, Tensor>, String> {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let executable = backend.compile(graph).map_err(|error| error.to_string())?;
        executable
            .run(bindings, &mut silent)
            .map_err(|error| error.to_string())
    }));
    let Outputs { results, states } = ran.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("panic: {}", text.unwrap_or_default())
    })??;
    let states = states
        .into_iter()
        .map(|(name, output)| (format!("state {name}"), output));
    let all = results.into_iter().chain(states);
    Ok(all
        .map(|(name, output)| (name, output.data.to_host().expect("it is in memory")))
        .collect())
}

/// Largest difference that is allowed, relative to the larger of 1 and the number.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-11,
        DType::F32 => 3e-5,
        DType::F16 => 4e-3,
        DType::BF16 => 3e-2,
        DType::I64 | DType::I32 | DType::I8 | DType::U8 | DType::Bool => 0.0,
    }
}

/// Whether every element of both is within the tolerance.
pub fn agree(one: &Tensor, other: &Tensor) -> bool {
    if one.dtype() != other.dtype() || one.shape() != other.shape() {
        return false;
    }
    if !one.dtype().is_real() {
        return one.bytes() == other.bytes();
    }
    let allowed = tolerance(one.dtype());
    let near = |x: f64, y: f64| {
        x.to_bits() == y.to_bits()
            || (x.is_nan() && y.is_nan())
            || (x - y).abs() <= allowed * x.abs().max(1.0)
    };
    let pairs = one.to_f64_vec().into_iter().zip(other.to_f64_vec());
    pairs.into_iter().all(|(x, y)| near(x, y))
}

/// A backend with its name.
pub type Tried = (String, Box<dyn Backend>);

/// Whether reals become integers somewhere: there, a real that is off by its last digit may
/// be another integer.
fn truncates(graph: &Graph) -> bool {
    let truncation = |node: &girih_graph::Node| match node.op {
        Op::Cast(to) => !to.is_real() && graph.root.ty(node.operands[0]).dtype.is_real(),
        _ => false,
    };
    graph.root.nodes().any(|(_, node)| truncation(node))
}

/// Whether the backend and the reference agree when reals have more digits.
fn agrees_in_f64(backend: &dyn Backend, random: &RandomGraph, bindings: &Bindings) -> bool {
    let (graph, bindings) = (random.graph.with_real(DType::F64), widened(bindings));
    let [one, other] = [
        run(&Reference, &graph, &bindings),
        run(backend, &graph, &bindings),
    ];
    let (Ok(one), Ok(other)) = (one, other) else {
        return false;
    };
    let same = |(name, tensor): (&String, &Tensor)| {
        other.get(name).is_some_and(|found| agree(tensor, found))
    };
    one.iter().all(same)
}

/// What a backend computes otherwise than the reference does. What a small error of the
/// reference's own could change, as a comparison of nearly equal numbers, is left out: it
/// changes when reals have more digits.
pub fn difference(backends: &[Tried], random: &RandomGraph, seed: u64) -> Option<String> {
    let bindings = bindings(random, seed);
    let expected = run(&Reference, &random.graph, &bindings);
    let exact = run(
        &Reference,
        &random.graph.with_real(DType::F64),
        &widened(&bindings),
    );
    for (name, backend) in backends {
        let found = run(&**backend, &random.graph, &bindings);
        match (&expected, found) {
            (Ok(expected), Ok(found)) => {
                for (result, tensor) in expected {
                    let stable = exact
                        .as_ref()
                        .is_ok_and(|exact| agree(tensor, &exact[result].to_dtype(tensor.dtype())));
                    let Some(other) = found.get(result) else {
                        return Some(format!("{name}: there is no `{result}`"));
                    };
                    if stable
                        && !agree(tensor, other)
                        && !(truncates(&random.graph)
                            && agrees_in_f64(&**backend, random, &bindings))
                    {
                        return Some(format!(
                            "{name}: `{result}` is {:?} where {:?} is right",
                            other.to_f64_vec(),
                            tensor.to_f64_vec()
                        ));
                    }
                }
            }
            (Ok(_), Err(error)) => return Some(format!("{name}: {error}")),
            (Err(error), Ok(_)) => return Some(format!("{name}: runs where {error}")),
            (Err(_), Err(error)) if error.starts_with("panic") => {
                return Some(format!("{name}: {error}"));
            }
            (Err(_), Err(_)) => {}
        }
    }
    // The best processor, and the device.
    let mut last = backends.iter().rev().take(2);
    last.find_map(|(_, backend)| rebuilt_difference(&**backend, random, &bindings))
}

/// What loops compute otherwise in chunks or blocks than in steps, in numbers of twice the digits:
/// they sum in another order.
fn rebuilt_difference(
    backend: &dyn Backend,
    random: &RandomGraph,
    bindings: &Bindings,
) -> Option<String> {
    let (graph, bindings) = (random.graph.with_real(DType::F64), widened(bindings));
    let ways = [Way::Chunked, Way::Associative];
    let all = ways
        .into_iter()
        .flat_map(|way| [1, 2, 4].map(|length| (way, length)));
    for (way, length) in all {
        let said = |what: String| Some(format!("{} by {length}: {what}", way.word()));
        let (rebuilt, choices) = chunk_recurrences(&graph, Some((way, length)));
        if choices.iter().all(|choice| choice.how == How::Steps) {
            continue;
        }
        if let Err(error) = verify(&rebuilt) {
            return said(error.to_string());
        }
        let Ok(expected) = run(&Reference, &graph, &bindings) else {
            return None;
        };
        for backend in [&Reference as &dyn Backend, backend] {
            let found = match run(backend, &rebuilt, &bindings) {
                Ok(found) => found,
                Err(error) => return said(error),
            };
            let other = |(name, tensor): &(&String, &Tensor)| !agree(tensor, &found[*name]);
            // Where reals become integers, any rounding may show.
            if let Some((name, tensor)) = expected.iter().find(other)
                && !truncates(&graph)
            {
                return said(format!(
                    "`{name}` is {:?} where {:?} is right",
                    found[name].to_f64_vec(),
                    tensor.to_f64_vec()
                ));
            }
        }
    }
    None
}

/// The same with reals of twice the digits.
fn widened(bindings: &Bindings) -> Bindings {
    let mut wide = bindings.clone();
    let all = wide.inputs.values_mut().chain(wide.states.values_mut());
    for data in all {
        if data.dtype().is_real() {
            let tensor = data.to_host().expect("it is in memory");
            *data = tensor.to_dtype(DType::F64).into();
        }
    }
    wide
}
