//! Native kernels beside bodies, on every backend.

use std::sync::Arc;

use girih_cpu::{Cpu, CpuOptions};
use girih_graph::{DType, Graph, Op};
use girih_plan::{explain, lower, settle_calls, simplify_all};
use girih_runtime::backend::{Backend, Bindings, RunError, silent};
use girih_runtime::reference::{Reference, ReferenceWith};
use girih_runtime::session::{Opening, Session, StreamModel};
use girih_runtime::tensor::Tensor;
use girih_transform::{Objective, grad, stream};

use crate::graphs::{LARGEST, OUTER, SCALED, SOFT, parsed};
use crate::natives::{LONGEST, Trial};

/// Some numbers in [−1, 1], by name and position.
fn numbers(name: &str, shape: Vec<usize>) -> Tensor {
    let count = shape.iter().product();
    let first: usize = name.bytes().map(usize::from).sum();
    let number = |at: usize| ((first + 7 * at) % 23) as f32 / 11.0 - 1.0;
    Tensor::new(shape, (0..count).map(number).collect()).expect("as many as positions")
}

/// Inputs for these sizes.
fn bindings(graph: &Graph, sizes: &[(&str, i64)]) -> Bindings {
    let lookup = |symbol: &str| {
        let known = sizes.iter().find(|(name, _)| *name == symbol);
        known.map(|(_, size)| *size)
    };
    let mut bindings = Bindings::new();
    for (name, size) in sizes {
        bindings = bindings.symbol(name, *size);
    }
    for (_, node) in graph.root.nodes() {
        if let Op::Input(name, ty) = &node.op {
            let axes = ty.axes.iter();
            let extent = |axis| graph.axes.extent(axis).evaluate(&lookup);
            let shape = axes.map(|axis| extent(*axis).expect("a known size") as usize);
            let tensor = numbers(name, shape.collect()).to_dtype(ty.dtype);
            bindings = bindings.input(name, tensor);
        }
    }
    bindings
}

fn results(
    backend: &dyn Backend,
    graph: &Graph,
    bindings: &Bindings,
) -> Result<Vec<Tensor>, RunError> {
    let outputs = backend.compile(graph)?.run(bindings, &mut silent)?;
    graph
        .results
        .iter()
        .map(|name| outputs.tensor(name))
        .collect()
}

fn cpu(threads: usize) -> Cpu {
    Cpu::new(CpuOptions {
        threads: Some(threads),
        ..CpuOptions::default()
    })
}

fn near(one: &[Tensor], other: &[Tensor]) -> bool {
    let pairs = one.iter().zip(other);
    one.len() == other.len()
        && pairs.into_iter().all(|(one, other)| {
            let numbers = one.to_f64_vec().into_iter().zip(other.to_f64_vec());
            one.dtype() == other.dtype()
                && one.shape() == other.shape()
                && numbers.into_iter().all(|(x, y)| (x - y).abs() < 1e-6)
        })
}

/// What the body gives is what kernels give, which run `runs` times.
fn check(text: &str, sizes: &[(&str, i64)], runs: usize) {
    let graph = parsed(text);
    let bindings = bindings(&graph, sizes);
    let expected = results(&Reference, &graph, &bindings).expect("the reference runs it");
    let trial = Trial::default();
    let natives: Arc<Trial> = Arc::new(trial.clone());
    let body = results(&ReferenceWith(natives.clone()), &graph, &bindings);
    assert!(near(&body.expect("it runs"), &expected));
    assert_eq!(trial.runs(), 0, "the reference computes bodies");
    for threads in [1, 3] {
        let inlined = results(&cpu(threads), &graph, &bindings).expect("bodies are compiled");
        assert!(near(&inlined, &expected), "{inlined:?}\n{expected:?}");
        let native = results(
            &cpu(threads).with_natives(natives.clone()),
            &graph,
            &bindings,
        );
        let native = native.expect("kernels run");
        assert!(near(&native, &expected), "{native:?}\n{expected:?}");
        assert_eq!(trial.runs(), runs, "{sizes:?}");
    }
}

#[test]
fn kernels_compute_what_bodies_say() {
    for t in [0, 1, 2, 40] {
        for n in [1, 5] {
            check(SOFT, &[("t", t), ("n", n)], t as usize);
            check(LARGEST, &[("t", t), ("n", n)], t as usize);
            check(OUTER, &[("t", t), ("n", n), ("m", 3)], t as usize);
        }
    }
    check(OUTER, &[("t", 4), ("n", 0), ("m", 3)], 4);
}

#[test]
fn kernels_may_take_operands_as_they_lie() {
    let across = SOFT
        .replace("f32[t, n]", "f32[n, t]")
        .replace("/soft@1", "/soft_strided@1");
    for t in [1, 2, 9] {
        check(&across, &[("t", t), ("n", 5)], t as usize);
    }
}

#[test]
fn sizes_and_dtypes_without_a_kernel_are_computed_by_the_body() {
    let longer = LONGEST as i64 + 1;
    check(SOFT, &[("t", 3), ("n", longer)], 0);
    let graph = parsed(SOFT).with_real(DType::F64);
    let bindings = bindings(&graph, &[("t", 3), ("n", 4)]);
    let expected = results(&Reference, &graph, &bindings).expect("the reference runs it");
    let trial = Trial::default();
    let backend = cpu(2).with_natives(Arc::new(trial.clone()));
    let found = results(&backend, &graph, &bindings).expect("the body runs");
    assert!(near(&found, &expected));
    assert_eq!(trial.runs(), 0);
}

#[test]
fn one_executable_serves_sizes_with_and_without_a_kernel() {
    let graph = parsed(SOFT);
    let trial = Trial::default();
    let backend = cpu(2).with_natives(Arc::new(trial.clone()));
    let executable = backend.compile(&graph).expect("it compiles");
    for (n, runs) in [(4, 3), (LONGEST as i64 + 1, 0), (4, 3)] {
        let bindings = bindings(&graph, &[("t", 3), ("n", n)]);
        let outputs = executable.run(&bindings, &mut silent).expect("it runs");
        let expected = results(&Reference, &graph, &bindings).expect("the reference runs it");
        assert!(near(
            &[outputs.tensor("y").expect("it is there")],
            &expected
        ));
        assert_eq!(trial.runs(), runs, "{n}");
    }
}

#[test]
fn without_a_body_only_the_kernel_runs() {
    let graph = parsed(SCALED);
    let bindings = bindings(&graph, &[("t", 4), ("n", 3)]);
    let x = numbers("x", vec![4, 3]);
    let scaled = x.to_f64_vec().into_iter().map(|x| (2.5 * x) as f32);
    let expected = [Tensor::new([4, 3], scaled.collect()).expect("as many as positions")];
    let trial = Trial::default();
    let natives: Arc<Trial> = Arc::new(trial.clone());
    let reference = results(&ReferenceWith(natives.clone()), &graph, &bindings);
    assert!(near(&reference.expect("it runs"), &expected));
    assert_eq!(trial.runs(), 4);
    let compiled = results(&cpu(2).with_natives(natives), &graph, &bindings);
    assert!(near(&compiled.expect("it runs"), &expected));
    for backend in [&Reference as &dyn Backend, &cpu(2)] {
        let said = results(backend, &graph, &bindings).expect_err("nobody can compute it");
        let said = said.to_string();
        assert!(
            said.contains("no kernel for `org.girih.trial/scaled@1`"),
            "{said}"
        );
    }
    let said = grad(&graph, &Objective::paired(["y"]), &["x".to_owned()]);
    let said = said.expect_err("it has no gradient").to_string();
    assert!(said.contains("neither a gradient nor a body"), "{said}");
}

#[test]
fn a_failing_kernel_says_which_operation_of_which_plugin() {
    let text = SOFT.replace("soft@1", "fails@1");
    let graph = parsed(&text);
    let bindings = bindings(&graph, &[("t", 9), ("n", 4)]);
    let backend = cpu(2).with_natives(Arc::new(Trial::default()));
    let said = results(&backend, &graph, &bindings).expect_err("it fails");
    assert_eq!(
        said.to_string(),
        "operation `trial` of plugin `org.girih.trial`: it does not like these numbers"
    );
    let text = SCALED.replace("by: 2.5", "by: 2");
    let said = results(&backend, &parsed(&text), &bindings).expect_err("it fails");
    assert!(said.to_string().contains("`by` is"), "{said}");
}

#[test]
fn gradients_are_those_of_the_body() {
    let native = SOFT
        .replace("%6 = contract %4, %5 {over: n}   : f32[t]\n", "")
        .replace("%7 = sub %5, %6                  : f32[t, n]\n", "")
        .replace(
            "%8 = mul %4, %7                  : f32[t, n]\n",
            "%8 = call %3, %4, %5 {callee: \"org.girih.trial/soft_gradient@1\", gives: [[n]], takes: [[n], [n], [n]]} : f32[t, n]\n",
        );
    let plain = SOFT.replace(
        "call x {callee: \"org.girih.trial/soft@1\", gives: [[n]], takes: [[n]]} : f32[t, n] {",
        "softmax x {over: n} : f32[t, n]",
    );
    let end = plain.find("    body(").expect("it has a body");
    let plain = format!("{}  return %0\n}}\n", &plain[..end]);
    let derived = {
        let start = SOFT.find("    gradient(").expect("it has a gradient");
        let end = SOFT.find("  }\n  return %0").expect("it ends");
        format!("{}{}", &SOFT[..start], &SOFT[end..])
    };
    let objective = Objective::paired(["y"]);
    let of = |text: &str| grad(&parsed(text), &objective, &["x".to_owned()]).expect("it is real");
    let sizes = [("t", 5), ("n", 4)];
    let plain = of(&plain);
    let bindings = bindings(&plain, &sizes);
    let expected = results(&Reference, &plain, &bindings).expect("it runs");
    let trial = Trial::default();
    for (text, forward_and_back) in [(SOFT, 5), (&derived, 5), (&native, 10)] {
        let backward = of(text);
        let backend = cpu(2).with_natives(Arc::new(trial.clone()));
        let found = results(&backend, &backward, &bindings).expect("it runs");
        assert!(near(&found, &expected), "{found:?}\n{expected:?}\n{text}");
        assert_eq!(trial.runs(), forward_and_back, "{text}");
    }
}

/// A stream in pieces gives what the whole gives.
fn check_stream(text: &str, kernels_in_step: bool) {
    let graph = parsed(text);
    let own = stream(&graph, "t").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let calls = own.step.calls();
    assert_eq!(!calls.is_empty(), kernels_in_step, "{text}");
    let bindings = bindings(&graph, &[("t", 6), ("n", 3)]);
    let expected = results(&Reference, &graph, &bindings).expect("the reference runs it");
    let natives = Arc::new(Trial::default());
    for backend in [
        &Reference as &dyn Backend,
        &cpu(2),
        &cpu(2).with_natives(natives),
    ] {
        let model = StreamModel::compile(backend, own.clone()).expect("it compiles");
        let model = Arc::new(model);
        let mut session = Session::open(
            &model,
            Opening {
                limit: u64::MAX,
                ..Opening::default()
            },
        )
        .expect("it has no other inputs");
        let x = numbers("x", vec![6, 3]).to_f64_vec();
        let mut found = Vec::new();
        for rows in [0..1, 1..3, 3..6] {
            let part = x[3 * rows.start..3 * rows.end].iter().map(|x| *x as f32);
            let part = Tensor::new([rows.len(), 3], part.collect()).expect("as many");
            let given = [("x".to_owned(), part.into())].into();
            let outputs = session.step(&given, &mut silent).expect("it runs");
            found.extend(outputs.tensor("y").expect("it is there").to_f64_vec());
        }
        let whole = expected[0].to_f64_vec();
        let same = found.iter().zip(&whole).all(|(x, y)| (x - y).abs() < 1e-6);
        assert!(
            same && found.len() == whole.len(),
            "{found:?}\n{whole:?}\n{text}"
        );
    }
}

/// Running sums along the streamed axis itself, by a body.
const SUMS: &str = r#"girih-graph 1
axis t time
graph sums(x: f32[t, n=3]) -> (y: f32[t, n=3]) {
  %0 = call x {callee: "org.girih.trial/sums@1", gives: [[t]], takes: [[t]]} : f32[t, n=3] {
    body(%1: f32[t, n=3]) {
      %2 = const 0.0                   : f32
      %3 = expand %2 {axes: n}         : f32[n=3]
      %4, %5 = recurrence {axis: t}    : f32[n=3], f32[t, n=3] {
        carry %6 = %3                  : f32[n=3]
        slice %7 = %1                  : f32[n=3]
        %8 = add %6, %7                : f32[n=3]
        %9 = call %8 {callee: "org.girih.trial/soft@1", gives: [[n]], takes: [[n]]} : f32[n=3] {
          body(%10: f32[n=3]) {
            %11 = softmax %10 {over: n} : f32[n=3]
            return %11
          }
        }
        return %8, %9
      }
      return %5
    }
  }
  return %0
}
"#;

#[test]
fn along_lifted_axes_kernels_step_and_along_their_own_bodies_do() {
    check_stream(SOFT, true);
    // The state is the body's; a kernel inside its loop runs at every step.
    check_stream(SUMS, true);
    let bare = SCALED.replace("takes: [[n]]", "takes: [[t, n]]");
    let bare = bare.replace("gives: [[n]]", "gives: [[t, n]]");
    let refused = stream(&parsed(&bare), "t").expect_err("nothing says how it steps");
    assert_eq!(
        refused.to_string(),
        "`org.girih.trial/scaled@1` works on all positions of `t` at once, and its plugin gives no body"
    );
}

#[test]
fn plans_tell_which_calls_are_kernels() {
    let graph = parsed(SOFT);
    let told = |has_kernel: bool| {
        let (settled, choices) = settle_calls(&graph, &|_| has_kernel);
        let mut plan = lower(&simplify_all(&settled));
        plan.calls = choices;
        explain(&plan)
    };
    let kernel = "`org.girih.trial/soft@1`, once: by its plugin's kernel\n";
    assert!(told(true).ends_with(kernel), "{}", told(true));
    let body = "`org.girih.trial/soft@1`, once: by its body: no kernel of its plugin is at hand\n";
    assert!(told(false).ends_with(body), "{}", told(false));
}
