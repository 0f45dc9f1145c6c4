//! Model files that name operations of a plugin.

use std::sync::Arc;

use girih_cpu::{Cpu, CpuOptions};
use girih_dsl::diag::{Sink, render};
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::program::{Loader, Program};
use girih_graph::{Graph, text, verify};
use girih_runtime::backend::{Backend, Bindings, silent};
use girih_runtime::reference::{Reference, ReferenceWith};
use girih_runtime::tensor::Tensor;
use girih_transform::{Objective, grad, stream};

use crate::natives::{PLUGIN, Trial};

/// What the plugin of these tests says about itself.
const TEXT: &str = "
axis t: time

## Shares that sum to 1.
@native @gradient(soft_gradient)
fn soft(x: f32[n]) -> f32[n] {
  y[n] = softmax(n) x
  return y
}

@native
fn soft_gradient(x: f32[n], y: f32[n], dy: f32[n]) -> f32[n] {
  return y * (dy - sum(n) y * dy)
}

@native
fn outer(x: f32[n], y: f32[m]) -> f32[n, m] {
  z[n, m] = x * y
  return z
}

@native
fn largest(x: f32[n]) -> { at: i64, above: bool[n] } {
  return { at: argmax(n) x, above: x > 0 }
}

@native
fn scaled(x: f32[n], by = 2.5) -> f32[n]

## Its state is the body's: what a kernel does in one step is an operation of its own.
@native
fn smoothed(x: f32[t, n]) -> f32[t, n] {
  recurrence over t {
    state S: f32[n] = 0
    S' = 0.5 * S + x
    y = soft(S', n = n)
  }
  return y
}
";

struct Kit;

impl Loader for Kit {
    fn load(&self, _: &str, path: &str) -> Result<(String, String), String> {
        Err(format!("there is no file `{path}`"))
    }

    fn plugin(&self, id: &str) -> Result<String, String> {
        if id == PLUGIN {
            Ok(TEXT.to_owned())
        } else {
            Err("it is not there".to_owned())
        }
    }
}

/// The graph of a model whose method has this head and body.
fn model(params: &str, head: &str, body: &str) -> Graph {
    let text = format!(
        "plugin \"{PLUGIN}\"
         axis t: time
         model M({params}) {{ forward{head} {{ {body} }} }}"
    );
    let mut sink = Sink::new();
    let program = Program::load("model.girih", &text, &Kit, &mut sink);
    let model = elaborate(&program, &Request::default(), &mut sink);
    let told: Vec<String> = (sink.sorted().iter())
        .map(|found| render(&program.sources, found))
        .collect();
    let model = model.unwrap_or_else(|| panic!("{}", told.join("\n")));
    assert!(told.is_empty(), "{}", told.join("\n"));
    verify(&model.graph).unwrap_or_else(|error| panic!("{error}"));
    let read = text::parse(&text::print(&model.graph));
    assert_eq!(read, Ok(text::canonical(&model.graph)));
    model.graph
}

/// Inputs of these names and shapes, and sizes.
fn bindings(inputs: &[(&str, &[usize])]) -> Bindings {
    let mut bindings = Bindings::new();
    for (name, shape) in inputs {
        let count = shape.iter().product();
        let first: usize = name.bytes().map(usize::from).sum();
        let number = |at: usize| ((first + 7 * at) % 23) as f32 / 11.0 - 1.0;
        let data = (0..count).map(number).collect();
        let tensor = Tensor::new(shape.to_vec(), data).expect("as many as positions");
        bindings = bindings.input(name, tensor);
    }
    bindings
}

fn results(backend: &dyn Backend, graph: &Graph, bindings: &Bindings) -> Vec<Vec<f64>> {
    let executable = backend
        .compile(graph)
        .unwrap_or_else(|error| panic!("{error}"));
    let outputs = executable.run(bindings, &mut silent);
    let outputs = outputs.unwrap_or_else(|error| panic!("{error}"));
    let names = graph.results.iter();
    names
        .map(|name| outputs.tensor(name).expect("it is a result").to_f64_vec())
        .collect()
}

fn near(one: &[Vec<f64>], other: &[Vec<f64>]) -> bool {
    let same = |(one, other): (&Vec<f64>, &Vec<f64>)| {
        one.len() == other.len() && one.iter().zip(other).all(|(x, y)| (x - y).abs() < 1e-6)
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

fn cpu(trial: &Trial) -> Cpu {
    let options = CpuOptions {
        threads: Some(2),
        ..CpuOptions::default()
    };
    Cpu::new(options).with_natives(Arc::new(trial.clone()))
}

/// A model that calls gives what one that spells it out gives, in kernels that run so often.
fn check(calling: &Graph, plain: &Graph, inputs: &[(&str, &[usize])], runs: usize) {
    let bindings = bindings(inputs);
    let expected = results(&Reference, plain, &bindings);
    assert!(near(&results(&Reference, calling, &bindings), &expected));
    let trial = Trial::default();
    let found = results(&cpu(&trial), calling, &bindings);
    assert!(near(&found, &expected), "{found:?}\n{expected:?}");
    assert_eq!(trial.runs(), runs);
}

#[test]
fn a_model_names_an_operation_and_axes_ride_along() {
    let head = "(x: f32[t, d]) -> f32[t, d]";
    let calling = model("d: axis = 4", head, "return soft(x, n = d)");
    let plain = model("d: axis = 4", head, "y[t, d] = softmax(d) x return y");
    check(&calling, &plain, &[("x", &[3, 4])], 3);
    // One axis is left for one name, whatever it is called.
    let row = model("d: axis = 4", "(x: f32[d]) -> f32[d]", "return soft(x)");
    let plain = model(
        "d: axis = 4",
        "(x: f32[d]) -> f32[d]",
        "y[d] = softmax(d) x return y",
    );
    check(&row, &plain, &[("x", &[4])], 1);
    // The axis of that name is meant.
    let named = model(
        "n: axis = 4",
        "(x: f32[n, t]) -> f32[n, t]",
        "return soft(x)",
    );
    let plain = model(
        "n: axis = 4",
        "(x: f32[n, t]) -> f32[n, t]",
        "y[n, t] = softmax(n) x return y",
    );
    check(&named, &plain, &[("x", &[4, 3])], 3);
}

#[test]
fn formals_are_distinct_and_results_have_their_axes() {
    let head = "(x: f32[t, a], y: f32[t, b]) -> f32[t, a, b]";
    let params = "a: axis = 2, b: axis = 3";
    let calling = model(params, head, "return outer(x, y, n = a, m = b)");
    let plain = model(params, head, "z[t, a, b] = x * y return z");
    check(&calling, &plain, &[("x", &[3, 2]), ("y", &[3, 3])], 3);
    // The axis of one operand rides along with the other: inside it has another name.
    let head = "(x: f32[t], y: f32[t, b]) -> f32[t, b]";
    let calling = model(
        "b: axis = 3",
        head,
        "z[i, t, b] = outer(x[t = i], y, n = i, m = b) return sum(i) z",
    );
    let plain = model(
        "b: axis = 3",
        head,
        "z[i, t, b] = x[t = i] * y return sum(i) z",
    );
    check(&calling, &plain, &[("x", &[4]), ("y", &[4, 3])], 4);
}

#[test]
fn records_attributes_and_functions_without_a_body() {
    let head = "(x: f32[t, d])";
    let calling = model(
        "d: axis = 4",
        head,
        "found = largest(x, n = d) return found.at + count(d) found.above",
    );
    let plain = model(
        "d: axis = 4",
        head,
        "a = argmax(d) x return a + count(d) (x > 0)",
    );
    check(&calling, &plain, &[("x", &[3, 4])], 3);
    let scaled = model("d: axis = 4", head, "return scaled(x, n = d, by = 0.5)");
    let plain = model("d: axis = 4", head, "return 0.5 * x");
    let given = bindings(&[("x", &[3, 4])]);
    let trial = Trial::default();
    let natives = ReferenceWith(Arc::new(trial.clone()));
    let expected = results(&Reference, &plain, &given);
    assert!(near(&results(&natives, &scaled, &given), &expected));
    assert!(near(&results(&cpu(&trial), &scaled, &given), &expected));
}

#[test]
fn gradients_are_the_plugins_and_are_differentiated_again() {
    let head = "(x: f32[t, d]) -> f32[t, d]";
    let calling = model("d: axis = 4", head, "return soft(x * x, n = d)");
    let plain = model("d: axis = 4", head, "y[t, d] = softmax(d) x * x return y");
    let objective = Objective::paired(["out"]);
    let backward = |graph: &Graph| {
        let first = grad(graph, &objective, &["x".to_owned()]).expect("it is real");
        let twice = Objective::paired(["grad.x"]);
        (
            first.clone(),
            grad(&first, &twice, &["x".to_owned()]).expect("it is real"),
        )
    };
    let name = &plain.results[0];
    assert_eq!(name, "out", "the objective is the only result");
    let (first, second) = backward(&calling);
    let (plain_first, plain_second) = backward(&plain);
    let mut inputs: Vec<(&str, &[usize])> = vec![("x", &[3, 4]), ("cotangent.out", &[3, 4])];
    check(&first, &plain_first, &inputs, 6);
    inputs.push(("cotangent.grad.x", &[3, 4]));
    let bindings = bindings(&inputs);
    let expected = results(&Reference, &plain_second, &bindings);
    let found = results(&cpu(&Trial::default()), &second, &bindings);
    assert!(near(&found, &expected), "{found:?}\n{expected:?}");
}

#[test]
fn a_stream_keeps_the_state_of_the_body() {
    let head = "(x: f32[t, d]) -> f32[t, d]";
    let calling = model("d: axis = 4", head, "return smoothed(x)");
    let own = stream(&calling, "t").expect("the body says how it steps");
    assert_eq!(own.carries.len(), 1, "what the body carries");
    let callees: Vec<String> = (own.step.calls().iter())
        .map(|call| call.callee.to_string())
        .collect();
    assert_eq!(
        callees,
        [
            format!("{PLUGIN}/soft@1"),
            format!("{PLUGIN}/soft_gradient@1")
        ]
    );
}

#[test]
fn what_is_called_has_its_plugins_name_and_the_models_place() {
    let graph = model("d: axis = 4", "(x: f32[t, d])", "return soft(x, n = d)");
    let calls = graph.calls();
    assert_eq!(calls[0].names(), (PLUGIN, "soft@1"));
    let origin = graph.root.nodes().find_map(|(id, node)| {
        matches!(node.op, girih_graph::Op::Call(_)).then(|| graph.root.origin(id))
    });
    assert!(origin.flatten().is_some());
}
