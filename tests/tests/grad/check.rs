//! The one border of the gradient tests: graph text in, gradients compared.
//!
//! Inputs and parameters get numbers that depend on their names alone, at most
//! 1 in magnitude; names that begin with `p` get positive ones. Symbols are 4.

use std::collections::BTreeMap;

use girih_graph::{DType, Graph, ValueType};
use girih_runtime::backend::{Backend, Bindings, Executable, silent};
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;
use girih_transform::{Objective, grad};

/// Numbers by name, row-major.
pub(crate) type Numbers = BTreeMap<String, Vec<f64>>;

/// One primitive: `inputs` as in a graph's head, `op` as on the right of `=`, the type.
pub(crate) fn check_op(inputs: &str, op: &str, ty: &str) {
    check(inputs, &format!("  %0 = {op} : {ty}\n  return %0"), &[ty]);
}

/// A graph with this head and body, results of these types.
pub(crate) fn check(inputs: &str, body: &str, results: &[&str]) {
    check_graph(&graph(inputs, body, results));
}

/// The gradient of the sum of result · cotangent equals central differences, and so does the
/// gradient of that gradient.
pub(crate) fn check_graph(graph: &Graph) {
    let first = check_first(graph);
    let gradients: Vec<String> = first.results[graph.results.len()..].to_vec();
    check_gradients(&first, &gradients);
}

/// As [`check_graph`] without the second derivative; the answer is the first one's graph.
pub(crate) fn check_first(graph: &Graph) -> Graph {
    let real = |name: &&String| {
        let value = graph.result(name);
        value.is_some_and(|value| graph.root.ty(value).dtype.is_real())
    };
    let results: Vec<String> = graph.results.iter().filter(real).cloned().collect();
    check_gradients(graph, &results)
}

/// A graph from its text without the first line.
pub(crate) fn graph(inputs: &str, body: &str, results: &[&str]) -> Graph {
    let names = ["y", "z", "w"];
    let results = names
        .iter()
        .zip(results)
        .map(|(name, ty)| format!("{name}: {ty}"));
    let results = results.collect::<Vec<_>>().join(", ");
    let (axes, inputs) = inputs.rsplit_once('\n').unwrap_or(("", inputs));
    parse(&format!(
        "girih-graph 1\n{axes}\ngraph f({inputs}) -> ({results}) {{\n{body}\n}}\n"
    ))
}

pub(crate) fn parse(text: &str) -> Graph {
    girih_graph::text::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The gradients of a graph at these numbers for `cotangents` of its results.
pub(crate) fn gradients_at(
    graph: &Graph,
    numbers: &Numbers,
    cotangents: &[(&str, &[f64])],
) -> Numbers {
    let objective = Objective::paired(cotangents.iter().map(|(name, _)| *name));
    let wrt: Vec<String> = numbers.keys().cloned().collect();
    let backward = grad(graph, &objective, &wrt).expect("the names are the graph's");
    let mut numbers = numbers.clone();
    for (name, cotangent) in cotangents {
        numbers.insert(format!("cotangent.{name}"), cotangent.to_vec());
    }
    let results = run(&backward, &numbers);
    assert_eq!(run(&girih_plan::simplify_all(&backward), &numbers), results);
    let named = results.into_iter();
    named
        .filter_map(|(name, found)| Some((name.strip_prefix("grad.")?.to_owned(), found)))
        .collect()
}

fn check_gradients(graph: &Graph, results: &[String]) -> Graph {
    let leaves = real_leaves(graph);
    let wrt: Vec<String> = leaves.keys().cloned().collect();
    let objective = Objective::paired(results.iter().map(String::as_str));
    let backward = grad(graph, &objective, &wrt).expect("the names are the graph's");
    girih_graph::verify::verify(&backward).expect("gradients verify");

    let mut numbers = Numbers::new();
    for (name, ty) in &real_leaves(&backward) {
        numbers.insert(
            name.clone(),
            some_numbers(name, shape(&backward, ty).iter().product()),
        );
    }
    let found = run(&backward, &numbers);
    let simplified = girih_plan::simplify_all(&backward);
    assert_eq!(
        run(&simplified, &numbers),
        found,
        "{}",
        girih_graph::text::print(&simplified)
    );
    let executable = compile(graph);
    let mut given: Numbers = numbers.clone();
    given.retain(|name, _| leaves.contains_key(name));
    let value = |given: &Numbers| -> f64 {
        let outputs = run_compiled(&*executable, graph, given);
        let terms = results.iter().map(|result| {
            let cotangent = &numbers[&format!("cotangent.{result}")];
            let pairs = outputs[result].iter().zip(cotangent);
            pairs.map(|(y, c)| y * c).sum::<f64>()
        });
        terms.sum()
    };
    let order = backward.results[graph.results.len()..].iter();
    for (name, result) in wrt.iter().zip(order) {
        for position in 0..numbers[name].len() {
            // The error of a central difference is about h² + 1e-16 / h.
            let h = 1e-5;
            let mut moved = given.clone();
            let at = |moved: &mut Numbers, x: f64| moved.get_mut(name).map(|v| v[position] = x);
            let x = numbers[name][position];
            at(&mut moved, x + h);
            let above = value(&moved);
            at(&mut moved, x - h);
            let below = value(&moved);
            let wanted = (above - below) / (2.0 * h);
            let gradient = found[result][position];
            let close = (gradient - wanted).abs() <= 2e-6 * (1.0 + wanted.abs());
            assert!(
                close,
                "{result}[{position}] is {gradient}, by differences {wanted}\n{}\n{}",
                girih_graph::text::print(graph),
                girih_graph::text::print(&backward),
            );
        }
    }
    backward
}

/// Inputs and parameters that are real, with their types.
fn real_leaves(graph: &Graph) -> BTreeMap<String, ValueType> {
    let leaves = graph.inputs().into_iter().chain(graph.params());
    let typed = leaves.map(|(name, value)| (name.to_owned(), graph.root.ty(value).clone()));
    typed.filter(|(_, ty)| ty.dtype.is_real()).collect()
}

fn shape(graph: &Graph, ty: &ValueType) -> Vec<usize> {
    let extent = |axis| {
        let size = graph.axes.extent(axis).evaluate(&|_| Some(4));
        usize::try_from(size.expect("sizes are small")).expect("sizes are positive")
    };
    ty.axes.iter().map(|axis| extent(*axis)).collect()
}

/// Numbers that depend on `name` alone, none of them near 0.
fn some_numbers(name: &str, count: usize) -> Vec<f64> {
    let mut state = name.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut next = || {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
        let magnitude = 0.2 + 0.8 * unit;
        let negative = (state >> 7) & 1 == 1 && !name.starts_with('p');
        if negative { -magnitude } else { magnitude }
    };
    (0..count).map(|_| next()).collect()
}

pub(crate) fn run(graph: &Graph, numbers: &Numbers) -> Numbers {
    run_compiled(&*compile(graph), graph, numbers)
}

fn compile(graph: &Graph) -> Box<dyn Executable> {
    let compiled = Reference.compile(graph);
    compiled.unwrap_or_else(|error| panic!("{error}"))
}

fn run_compiled(executable: &dyn Executable, graph: &Graph, numbers: &Numbers) -> Numbers {
    let mut bindings = Bindings::new();
    for (name, ty) in real_leaves(graph) {
        let shape = shape(graph, &ty);
        let data = numbers[&name].clone();
        let tensor = Tensor::new(shape, data).expect("as many numbers as positions");
        bindings = if graph.inputs().contains_key(name.as_str()) {
            bindings.input(&name, tensor)
        } else {
            bindings.param(&name, tensor)
        };
    }
    let outputs = executable.run(&bindings, &mut silent);
    let outputs =
        outputs.unwrap_or_else(|error| panic!("{error}\n{}", girih_graph::text::print(graph)));
    let mut found = Numbers::new();
    for name in &graph.results {
        let tensor = outputs.tensor(name).expect("every result is there");
        if tensor.dtype() == DType::F64 {
            found.insert(name.clone(), tensor.into_vec::<f64>().expect("it is f64"));
        }
    }
    found
}
