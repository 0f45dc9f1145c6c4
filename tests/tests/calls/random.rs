//! Random graphs with calls: kernels that do what bodies say, position by position of the lifted
//! axes, give what the bodies give in place of the calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use girih_cpu::{Cpu, CpuOptions};
use girih_graph::{AxisId, Builder, Call, DType, Graph, Op, Region, ValueId, ValueType, verify};
use girih_runtime::backend::{Backend, Bindings, Executable, silent};
use girih_runtime::plugin::native::{
    Kernel, Native, NativeCall, NativeError, Natives, Spec, Workspace,
};
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;
use girih_tests::random_graph::{Numbers, Options, RandomGraph, grow, seeded_words};

/// How many graphs are grown; about one in four has a call.
const GRAPHS: u64 = 300;

/// A kernel for each call of a graph, by name: its body without the lifted axes.
struct Bodies {
    by_name: BTreeMap<String, Arc<dyn Native>>,
    runs: Arc<AtomicUsize>,
}

impl Bodies {
    fn of(graph: &Graph, sizes: &BTreeMap<String, i64>) -> Self {
        let runs = Arc::new(AtomicUsize::new(0));
        let mut by_name: BTreeMap<String, Arc<dyn Native>> = BTreeMap::new();
        for call in graph.calls() {
            let body = Body {
                graph: core_graph(graph, call),
                call: call.bare(),
                sizes: sizes.clone(),
                runs: Arc::clone(&runs),
            };
            by_name.insert(call.callee.to_string(), Arc::new(body));
        }
        Self { by_name, runs }
    }
}

impl Natives for Bodies {
    fn native(&self, callee: &str) -> Option<Arc<dyn Native>> {
        self.by_name.get(callee).cloned()
    }
}

#[derive(Clone)]
struct Body {
    graph: Graph,
    call: Call,
    sizes: BTreeMap<String, i64>,
    runs: Arc<AtomicUsize>,
}

impl Native for Body {
    fn prepare(&self, _: &Spec) -> Result<Box<dyn Kernel>, NativeError> {
        let executable = Reference.compile(&self.graph);
        Ok(Box::new(Prepared {
            body: self.clone(),
            executable: executable.expect("the reference compiles every graph"),
        }))
    }
}

struct Prepared {
    body: Body,
    executable: Box<dyn Executable>,
}

/// Where each of `wanted` stands among `axes`.
fn order(axes: &[AxisId], wanted: &[AxisId]) -> Vec<usize> {
    let place = |axis: &AxisId| axes.iter().position(|own| own == axis);
    wanted
        .iter()
        .map(|axis| place(axis).expect("both have the same axes"))
        .collect()
}

impl Kernel for Prepared {
    fn workspace(&self) -> Workspace {
        Workspace::NONE
    }

    fn run(&self, call: &mut NativeCall<'_>) -> Result<(), NativeError> {
        let Body {
            graph,
            sizes,
            runs,
            call: own,
        } = &self.body;
        runs.fetch_add(1, Ordering::Relaxed);
        let mut bindings = Bindings::new();
        for (name, size) in sizes {
            bindings = bindings.symbol(name, *size);
        }
        for (position, (given, core)) in call.operands.iter().zip(&own.takes).enumerate() {
            let name = format!("operand.{position}");
            let tensor = Tensor::from_bytes(given.dtype, given.shape, given.bytes);
            let axes = &graph.root.ty(graph.inputs()[name.as_str()]).axes;
            let tensor = tensor
                .expect("as many bytes as elements")
                .permute(&order(core, axes));
            bindings = bindings.input(&name, tensor.expect("an order of its axes"));
        }
        let outputs = self.executable.run(&bindings, &mut silent);
        let outputs = outputs.unwrap_or_else(|error| panic!("{error}"));
        for (position, (made, (_, core))) in call.results.iter_mut().zip(&own.gives).enumerate() {
            let name = format!("result.{position}");
            let tensor = outputs.tensor(&name).expect("it is a result");
            let value = graph.result(&name).expect("it is a result");
            let tensor = tensor.permute(&order(&graph.root.ty(value).axes, core));
            let tensor = tensor.expect("an order of its axes");
            assert_eq!(tensor.shape(), made.shape);
            made.bytes.copy_from_slice(tensor.bytes());
        }
        Ok(())
    }
}

/// The body of a call as a graph of its own, without the axes that ride along.
fn core_graph(graph: &Graph, call: &Call) -> Graph {
    let body = call.body().expect("random calls have bodies");
    let mut b = Builder::new("core");
    b.axes = graph.axes.clone();
    let lifted = call.lifted();
    let mut params = Vec::new();
    for (position, param) in body.params().iter().enumerate() {
        let ty = without(body.ty(*param), &lifted);
        let input = Op::Input(format!("operand.{position}").into(), ty);
        params.push(b.value(input, &[]).expect("an input has no operands"));
    }
    let results = copied(&mut b, body, &params, &lifted);
    let named = results.into_iter().enumerate();
    let named = named.map(|(position, value)| (format!("result.{position}"), value));
    let graph = b.finish(named.collect(), Vec::new());
    verify(&graph).unwrap_or_else(|error| panic!("{error}"));
    graph
}

fn without(ty: &ValueType, lifted: &[AxisId]) -> ValueType {
    ValueType::new(ty.dtype, ty.without(lifted))
}

/// Copies the nodes of a region, whose parameters are `given`, and gives its results.
fn copied(b: &mut Builder, region: &Region, given: &[ValueId], lifted: &[AxisId]) -> Vec<ValueId> {
    let mut values: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    values.extend(region.params().iter().copied().zip(given.iter().copied()));
    for (_, node) in region.nodes() {
        let operands: Vec<ValueId> = node.operands.iter().map(|own| values[own]).collect();
        let mut regions = Vec::new();
        for inner in node.op.regions() {
            b.open_region();
            let params = inner.params().iter();
            let params: Vec<ValueId> = params
                .map(|param| b.add_parameter(without(inner.ty(*param), lifted)))
                .collect();
            let results = copied(b, inner, &params, lifted);
            regions.push(b.close_region(results));
        }
        let op = match node.op.with_regions(regions) {
            Op::Expand(mut axes) => {
                axes.retain(|axis| !lifted.contains(axis));
                if axes.is_empty() {
                    values.insert(node.results[0], operands[0]);
                    continue;
                }
                Op::Expand(axes)
            }
            Op::Call(mut call) => {
                for (ty, _) in &mut call.gives {
                    *ty = without(ty, lifted);
                }
                Op::Call(call)
            }
            op => op,
        };
        let results = b
            .node(op, &operands)
            .unwrap_or_else(|error| panic!("{error}"));
        values.extend(node.results.iter().copied().zip(results));
    }
    region.results().iter().map(|value| values[value]).collect()
}

fn tensor(numbers: &Numbers) -> Tensor {
    let shape = numbers.shape.clone();
    let tensor = match numbers.ty.dtype {
        DType::F32 => Tensor::new(shape, numbers.data.clone()),
        DType::Bool => Tensor::new(shape, numbers.data.iter().map(|x| *x != 0.0).collect()),
        _ => Tensor::new(shape, numbers.data.iter().map(|x| *x as i64).collect()),
    };
    tensor.expect("as many numbers as positions")
}

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
            _ => bindings,
        };
    }
    bindings
}

fn results(backend: &dyn Backend, graph: &Graph, bindings: &Bindings) -> Option<Vec<Vec<f64>>> {
    let executable = backend
        .compile(graph)
        .unwrap_or_else(|error| panic!("{error}"));
    let outputs = executable.run(bindings, &mut silent).ok()?;
    let names = graph.results.iter();
    let of = |name: &String| outputs.tensor(name).expect("it is a result").to_f64_vec();
    Some(names.map(of).collect())
}

fn near(one: &[Vec<f64>], other: &[Vec<f64>]) -> bool {
    let close = |(x, y): (&f64, &f64)| {
        x.to_bits() == y.to_bits() || (x - y).abs() < 1e-9 || x.is_nan() && y.is_nan()
    };
    let same = |(one, other): (&Vec<f64>, &Vec<f64>)| {
        one.len() == other.len() && one.iter().zip(other).all(close)
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

#[test]
fn kernels_that_do_what_bodies_say_change_nothing() {
    let cpu = Cpu::new(CpuOptions {
        threads: Some(2),
        ..CpuOptions::default()
    });
    let (mut compared, mut runs) = (0, 0);
    for seed in 0..GRAPHS {
        let random = grow(&seeded_words(seed), Options::default());
        let graph = random.graph.with_real(DType::F64);
        if graph.calls().is_empty() {
            continue;
        }
        let bindings = bindings(&random, seed);
        let Some(expected) = results(&Reference, &graph, &bindings) else {
            continue;
        };
        let bodies = Arc::new(Bodies::of(&graph, &random.sizes));
        let backend = cpu.clone().with_natives(bodies.clone());
        let found = results(&backend, &graph, &bindings);
        let found = found.unwrap_or_else(|| panic!("seed {seed}: it fails\n{random:?}"));
        // A comparison of nearly equal numbers may be another one in compiled code.
        let inlined = results(&cpu, &graph, &bindings).unwrap_or_default();
        assert!(
            near(&found, &expected) || !near(&inlined, &expected),
            "seed {seed}\n{found:?}\n{expected:?}\n{random:?}"
        );
        compared += 1;
        runs += bodies.runs.load(Ordering::Relaxed);
    }
    assert!(
        compared > 20 && runs > 100,
        "{compared} graphs, {runs} runs"
    );
}
