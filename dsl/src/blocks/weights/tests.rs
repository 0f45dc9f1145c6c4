//! What `weights` blocks mean, and what is wrong in them.

use super::*;
use crate::elaborate::{Request, elaborate};
use crate::program::NoFiles;

const MODEL: &str = "
axis t: time
model M(d: axis = 4, heads = 2, depth = 2) {
  axis h = heads
  axis e = d / heads
  param embed: f32[v = 6, d]
  param wide: f32[(h, e), d]
  stack layers[depth] = Part(d)
  forward(x: f32[t, d]) -> f32[t, d] { return layers(x) }
}
module Part(d: axis) {
  sub a = Linear(d -> d, bias = false)
  sub b = Linear(d -> d, bias = false)
  forward(x: f32[t, d]) -> f32[t, d] { return b(a(x)) }
}
";

/// Tensors as `name 2 3, name 4`.
fn tensors(text: &str) -> Vec<Stored> {
    let one = |text: &str| {
        let mut words = text.split_whitespace();
        Stored {
            name: words.next().unwrap().to_owned(),
            shape: words.map(|word| word.parse().unwrap()).collect(),
        }
    };
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(one)
        .collect()
}

fn plan(entries: &str, stored: &str, sink: &mut Sink) -> Option<WeightPlan> {
    let text = format!("{MODEL}\nweights hf for M {{ set heads = 2 {entries} }}");
    let program = Program::load("m.girih", &text, &NoFiles, sink);
    let model = elaborate(&program, &Request::default(), sink)?;
    let blocks = weights_blocks(&program);
    let statics = [("heads".to_owned(), Static::Int(2))];
    plan_weights(
        blocks.first(),
        &model.graph.axes,
        &model.params,
        &statics,
        &tensors(stored),
        sink,
    )
}

/// Steps as `param = stored[range] + … > order`, or everything that is said.
fn check(entries: &str, stored: &str, expected: &[&str]) {
    let mut sink = Sink::new();
    let lines: Vec<String> = match plan(entries, stored, &mut sink) {
        Some(plan) => plan.loads.iter().map(show).collect(),
        None => (sink.diagnostics().iter())
            .flat_map(|found| {
                let head = format!("{} {}", found.code, found.message);
                std::iter::once(head).chain(found.notes.clone())
            })
            .collect(),
    };
    assert_eq!(lines, expected, "{entries}");
}

fn show(step: &LoadStep) -> String {
    let part = |part: &Part| match part.view.get(step.axis) {
        Some(extent) if part.range == (0..*extent) => part.stored.clone(),
        _ => format!("{}[{}..{}]", part.stored, part.range.start, part.range.end),
    };
    let parts: Vec<String> = step.parts.iter().map(part).collect();
    let order = &step.arrangement.order;
    let turned = if order.is_sorted() {
        String::new()
    } else {
        format!(" > {order:?}")
    };
    format!("{} = {}{turned}", step.param, parts.join(" + "))
}

const REST: &str =
    "layers.0.a.weight 4 4, layers.0.b.weight 4 4, layers.1.a.weight 4 4, layers.1.b.weight 4 4";

#[test]
fn without_entries_parameters_have_their_own_names() {
    check(
        "",
        &format!("embed 6 4, wide 4 4, {REST}"),
        &[
            "embed = embed",
            "wide = wide",
            "layers.0.a.weight = layers.0.a.weight",
            "layers.0.b.weight = layers.0.b.weight",
            "layers.1.a.weight = layers.1.a.weight",
            "layers.1.b.weight = layers.1.b.weight",
        ],
    );
}

#[test]
fn names_are_renamed_and_axes_turned() {
    check(
        "\"tok\" = embed [d, v] \"w\" = wide [d, (e, h)] \"L{i}.{p}\" = layers.{i}.{p}.weight",
        "tok 4 6, w 4 4, L0.a 4 4, L0.b 4 4, L1.a 4 4, L1.b 4 4",
        &[
            "embed = tok > [1, 0]",
            "wide = w > [2, 1, 0]",
            "layers.0.a.weight = L0.a",
            "layers.0.b.weight = L0.b",
            "layers.1.a.weight = L1.a",
            "layers.1.b.weight = L1.b",
        ],
    );
}

#[test]
fn the_first_line_about_a_parameter_decides() {
    let rest = REST.replace("layers", "m.layers");
    check(
        "\"tok\" = embed \"m.layers.{i}.b\" = layers.{i}.b.weight \"m.{p}\" = {p}",
        &format!("tok 6 4, m.wide 4 4, {}", rest.replace("b.weight", "b")),
        &[
            "embed = tok",
            "wide = m.wide",
            "layers.0.a.weight = m.layers.0.a.weight",
            "layers.0.b.weight = m.layers.0.b",
            "layers.1.a.weight = m.layers.1.a.weight",
            "layers.1.b.weight = m.layers.1.b",
        ],
    );
}

#[test]
fn lines_may_use_the_names_that_as_gives() {
    let text = "model M(d: axis = 4) {
  sub a = Linear(d -> d)
  forward(x: f32[d]) -> f32[d] { return a(x) }
}
weights hf for M { \"m.{p}\" = {p} }";
    let mut sink = Sink::new();
    let program = Program::load("m.girih", text, &NoFiles, &mut sink);
    let model = elaborate(&program, &Request::default(), &mut sink).unwrap();
    let block = weights_blocks(&program);
    let stored = tensors("m.a.weight 4 4, m.a.bias 4");
    let plan = plan_weights(
        block.first(),
        &model.graph.axes,
        &model.params,
        &[],
        &stored,
        &mut sink,
    );
    let lines: Vec<String> = plan.unwrap().loads.iter().map(show).collect();
    assert_eq!(lines, ["a.weight = m.a.weight", "a.shift.bias = m.a.bias"]);
}

#[test]
fn brackets_after_a_path_split_an_axis() {
    let mut sink = Sink::new();
    let entries = "\"layers.{i}.a.weight\" = layers.{i}.a.weight[(heads, 1, x), d] [(x, heads), d]";
    let plan = plan(entries, &format!("embed 6 4, wide 4 4, {REST}"), &mut sink).unwrap();
    let step = plan
        .loads
        .iter()
        .find(|step| step.param == "layers.0.a.weight")
        .unwrap();
    assert_eq!(step.arrangement.file, [2, 2, 4]);
    assert_eq!(step.arrangement.order, [1, 0, 2]);
    assert_eq!(step.arrangement.shape, [4, 4]);
}

#[test]
fn tensors_are_joined_cut_and_stacked() {
    check(
        "\"e0\", \"e1\" = embed \"L{i}\" = layers.{i}.a.weight, layers.{i}.b.weight \"wide\" = wide",
        "e0 2 4, e1 4 4, wide 4 4, L0 8 4, L1 8 4",
        &[
            "embed = e0 + e1",
            "wide = wide",
            "layers.0.a.weight = L0[0..4]",
            "layers.0.b.weight = L0[4..8]",
            "layers.1.a.weight = L1[0..4]",
            "layers.1.b.weight = L1[4..8]",
        ],
    );
    check(
        "\"row.{r}\" = embed \"all.{p}\" = layers.{i}.{p}.weight",
        "row.0 4, row.10 4, row.2 4, row.3 4, row.4 4, row.5 4, wide 4 4, all.a 2 4 4, all.b 2 4 4",
        &[
            "embed = row.0 + row.2 + row.3 + row.4 + row.5 + row.10",
            "wide = wide",
            "layers.0.a.weight = all.a[0..1]",
            "layers.0.b.weight = all.b[0..1]",
            "layers.1.a.weight = all.a[1..2]",
            "layers.1.b.weight = all.b[1..2]",
        ],
    );
}

#[test]
fn everything_missing_and_left_over_is_listed() {
    check(
        "",
        "embedd 6 4, wide 4 4, layers.0.a.weight 4 4, layers.0.b.weight 4 4, layers.1.a.weight 4 4",
        &[
            "E0602 2 parameters have no stored tensor",
            "`embed` is looked for as `embed`; the file has `embedd`",
            "`layers.1.b.weight` is looked for as `layers.1.b.weight`",
            "E0603 the stored tensor `embedd` belongs to no parameter",
            "`embedd` of shape [6, 4]; looked for is `embed`",
        ],
    );
}

#[test]
fn other_shapes_are_listed() {
    check(
        "",
        &format!("embed 4 6, wide 4 4 1, {REST}"),
        &[
            "E0604 2 stored tensors have another shape than declared",
            "`embed`: the file has shape [4, 6], expected is [v = 6, d = 4]",
            "`wide`: the file has shape [4, 4, 1], but 2 axes are expected",
        ],
    );
    check(
        "\"e0\", \"e1\" = embed",
        &format!("e0 2 4, e1 5 4, wide 4 4, {REST}"),
        &["E0604 `e0`, `e1` does not fit: the file has shape [7, 4], expected is [v = 6, d = 4]"],
    );
}

#[test]
fn tied_copies_and_ignored_tensors_are_accounted_for() {
    let mut sink = Sink::new();
    let entries = "\"head\" = embed optional \"table\" = embed optional \"buf.{i}\" = ignore";
    let stored = format!("table 6 4, head 6 4, buf.0 1, buf.1 1, wide 4 4, {REST}");
    let plan = plan(entries, &stored, &mut sink).unwrap();
    assert_eq!(show(&plan.loads[0]), "embed = head");
    assert_eq!(
        plan.copies.iter().map(show).collect::<Vec<_>>(),
        ["embed = table"]
    );
    assert_eq!(plan.ignored, ["buf.0", "buf.1"]);
}

#[test]
fn a_thing_belongs_to_one_line() {
    check(
        "\"embed\" = embed \"again\" = embed",
        &format!("embed 6 4, again 6 4, wide 4 4, {REST}"),
        &["E0606 the parameter `embed` is made twice"],
    );
    check(
        "\"embed\" = embed \"embed\" = wide",
        &format!("embed 6 4, {REST}"),
        &["E0606 `embed` belongs to two entries"],
    );
}

#[test]
fn lines_that_name_nothing_are_told() {
    check(
        "\"x\" = embet",
        &format!("x 6 4, embed 6 4, wide 4 4, {REST}"),
        &["E0605 no parameter is called `embet`"],
    );
    check(
        "\"x\" = nothing.here optional",
        &format!("embed 6 4, wide 4 4, {REST}"),
        &[
            "embed = embed",
            "wide = wide",
            "layers.0.a.weight = layers.0.a.weight",
            "layers.0.b.weight = layers.0.b.weight",
            "layers.1.a.weight = layers.1.a.weight",
            "layers.1.b.weight = layers.1.b.weight",
        ],
    );
    check(
        "\"embed\" = embed [d, x, y]",
        &format!("embed 6 4, wide 4 4, {REST}"),
        &["E0607 the layout has `x`, but the declaration has `v`, `d`"],
    );
}

#[test]
fn a_plan_backwards_makes_the_stored_tensors() {
    let mut sink = Sink::new();
    let entries = "\"e0\", \"e1\" = embed \"L{i}\" = layers.{i}.a.weight, layers.{i}.b.weight";
    let stored = "e0 2 4, e1 4 4, wide 4 4, L0 8 4, L1 8 4";
    let plan = plan(entries, stored, &mut sink).unwrap();
    let steps = plan_export(&plan);
    let mut made: Vec<(String, Vec<usize>)> = steps
        .iter()
        .map(|step| (step.stored.clone(), step.shape.clone()))
        .collect();
    made.sort();
    let mut wanted: Vec<(String, Vec<usize>)> = tensors(stored)
        .into_iter()
        .map(|stored| (stored.name, stored.shape))
        .collect();
    wanted.sort();
    assert_eq!(made, wanted);
    let first = steps.iter().find(|step| step.stored == "e1").unwrap();
    assert_eq!(
        (first.pieces[0].range.clone(), first.pieces[0].at),
        (2..6, 0)
    );
    let pair = steps.iter().find(|step| step.stored == "L0").unwrap();
    let pieces: Vec<(&str, usize)> = pair
        .pieces
        .iter()
        .map(|piece| (piece.param.as_str(), piece.at))
        .collect();
    assert_eq!(pieces, [("layers.0.a.weight", 0), ("layers.0.b.weight", 4)]);
}

#[test]
fn hostile_shapes_are_refused() {
    let huge = usize::MAX;
    let stored = format!("embed {huge} {huge}, wide 0 0, {REST}");
    let mut sink = Sink::new();
    assert!(plan("\"embed\", \"wide\" = embed", &stored, &mut sink).is_none());
    let mut sink = Sink::new();
    assert!(plan("", &stored, &mut sink).is_none());
    assert_eq!(sink.error_count(), 1);
}
