//! Objectives, names, mistakes, and what the new graph keeps.

use girih_graph::Graph;
use girih_transform::{Objective, grad};

use crate::check::parse;

const MODEL: &str = "girih-graph 1
graph model(x: f32[d=2], ids: i64) -> (loss: f32, h: f32[d=2], top: i64) {
  param layers.0.w: f32[d=2]
  param layers.0.u: f32[d=2]
  %0 = mul x, layers.0.w : f32[d=2]
  %1 = reduce %0 {combine: sum, over: d} : f32
  state memory = %0 : f32[d=2]
  update memory = x
  return %1, %0, ids
}
";

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn check_error(objective: &Objective, wrt: &[&str], message: &str) {
    let error = grad(&parse(MODEL), objective, &names(wrt)).expect_err("it is wrong");
    assert_eq!(error.to_string(), message);
}

/// The text of the gradient, without the first line.
fn text(graph: &Graph) -> String {
    girih_graph::verify::verify(graph).expect("gradients verify");
    let text = girih_graph::text::print(graph);
    text.split_once('\n')
        .map(|(_, rest)| rest.to_owned())
        .unwrap_or_default()
}

#[test]
fn gradients_stand_beside_the_results_and_nothing_dead_is_left() {
    let wrt = names(&["x", "layers.0.w", "layers.0.u", "x"]);
    let backward = grad(&parse(MODEL), &Objective::scalar("loss"), &wrt).expect("it is right");
    assert_eq!(
        text(&backward),
        "graph model(
  x: f32[d=2],
  ids: i64,
) -> (
  loss: f32,
  h: f32[d=2],
  top: i64,
  grad.x: f32[d=2],
  grad.layers.0.w: f32[d=2],
  grad.layers.0.u: f32[d=2],
) {
  param layers.0.w: f32[d=2]
  param layers.0.u: f32[d=2]
  %0 = mul x, layers.0.w               : f32[d=2]
  %1 = reduce %0 {combine: sum, over: d} : f32
  state memory = %0                    : f32[d=2]
  %2 = const 1.0                       : f32
  %3 = expand %2 {axes: d}             : f32[d=2]
  %4 = mul %3, layers.0.w              : f32[d=2]
  %5 = mul %3, x                       : f32[d=2]
  %6 = const 0.0                       : f32
  %7 = expand %6 {axes: d}             : f32[d=2]
  update memory = x
  return %1, %0, ids, %4, %5, %7
}
"
    );
}

#[test]
fn gradients_of_gradients_have_names_of_their_own() {
    let model = parse(MODEL);
    let wrt = names(&["x", "layers.0.w"]);
    let objective = Objective {
        scalars: names(&["loss"]),
        paired: names(&["h"]),
    };
    let first = grad(&model, &objective, &wrt).expect("it is right");
    let second = grad(&first, &Objective::paired(["h", "grad.x"]), &wrt).expect("it is right");
    assert_eq!(
        second.results,
        [
            "loss",
            "h",
            "top",
            "grad.x",
            "grad.layers.0.w",
            "grad2.x",
            "grad2.layers.0.w"
        ]
    );
    let inputs: Vec<&str> = second.inputs().into_keys().collect();
    assert_eq!(inputs, ["cotangent.grad.x", "cotangent.h", "ids", "x"]);
}

#[test]
fn mistakes_are_named() {
    let loss = Objective::scalar("loss");
    check_error(
        &Objective::default(),
        &["x"],
        "the objective names no result",
    );
    check_error(
        &Objective::scalar("los"),
        &["x"],
        "the graph has no result `los`; did you mean `loss`?",
    );
    check_error(
        &loss,
        &["layers.0.v"],
        "the graph has no input, parameter or state `layers.0.v`; did you mean `layers.0.u`?",
    );
    check_error(
        &loss,
        &["elsewhere"],
        "the graph has no input, parameter or state `elsewhere`",
    );
    check_error(
        &loss,
        &["ids"],
        "`ids` has no gradient: its values are `i64`, not real numbers",
    );
    check_error(
        &Objective::paired(["top"]),
        &["x"],
        "`top` has no gradient: its values are `i64`, not real numbers",
    );
    check_error(
        &Objective::scalar("h"),
        &["x"],
        "the objective `h` is `f32[d=2]`, not one number: give cotangents for it, or reduce it",
    );
}

#[test]
fn an_input_of_another_type_is_not_taken_for_a_cotangent() {
    let text = MODEL.replace("ids: i64)", "ids: i64, cotangent.h: f32)");
    let error = grad(&parse(&text), &Objective::paired(["h"]), &names(&["x"]));
    assert_eq!(
        error.expect_err("it is wrong").to_string(),
        "the graph already has an input `cotangent.h` of another type"
    );
}
