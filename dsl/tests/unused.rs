//! A value can be named without being paid for: only what is returned or asked for is in the graph.

use girih_dsl::diag::Sink;
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::program::{NoFiles, Program};

const MODEL: &str = "
axis t: time
model M(d: axis = 4) {
  forward(x: f32[t, d]) -> f32[t, d] {
    pairs[t, u] = sum(d) x * x[t = u]
    recurrence over t {
      state s: f32[d] = 0
      s' = s + x
      never = exp(s')
    }
    return s'
  }
}
";

/// The operations of the graph, those in the loop too, when `keep` is asked for.
fn check(keep: &[&str], expected: &[&str]) {
    let mut sink = Sink::new();
    let program = Program::load("m.girih", MODEL, &NoFiles, &mut sink);
    let request = Request {
        keep: keep.iter().map(|&path| path.to_owned()).collect(),
        ..Request::default()
    };
    let model = elaborate(&program, &request, &mut sink);
    assert!(sink.is_empty(), "{:?}", sink.diagnostics());
    let model = model.expect("nothing was reported");
    let text = girih_graph::text::print(&model.graph);
    let words = ["contract", "recurrence", "add", "exp"];
    let found: Vec<&str> = words
        .into_iter()
        .filter(|word| text.contains(&format!("= {word} ")))
        .collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn unused_names_cost_nothing() {
    check(&[], &["recurrence", "add"]);
    check(&["pairs"], &["contract", "recurrence", "add"]);
    check(&["never"], &["recurrence", "add", "exp"]);
}
