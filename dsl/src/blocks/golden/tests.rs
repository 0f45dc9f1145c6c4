//! What `golden` blocks mean, and what is wrong in them.

use super::*;
use crate::elaborate::elaborate;
use crate::program::NoFiles;

const MODEL: &str = "
model M(d: axis = 3, n = 2) {
  param scale: f32[d]
  stack part[n] = Part(d)
  forward(x: f32[t, d], extra: f32[t] = none) -> f32[t, d] {
    y = x * scale
    return part(y)
  }
}
axis t
module Part(d: axis) {
  param w: f32[d]
  forward(x: f32[d]) -> f32[d] { return x * w }
}
";

/// Everything that a block says of a file, a line each; or what is wrong.
fn check(entries: &str, stored: &str, expected: &[&str]) {
    let mut sink = Sink::new();
    let text = format!("{MODEL}\ngolden g for M {{ {entries} }}");
    let program = Program::load("m.girih", &text, &NoFiles, &mut sink);
    let tensors = tensors(stored);
    let config = BTreeMap::from([
        ("width".to_owned(), Static::Int(3)),
        ("steps".to_owned(), Static::Int(5)),
    ]);
    let lines = golden_blocks(&program)
        .first()
        .and_then(|block| read_golden(&program, block, &config, &tensors, &mut sink))
        .and_then(|golden| describe(&program, &golden, &tensors, &mut sink));
    let told = sink.diagnostics().iter();
    let told: Vec<String> = told
        .map(|found| format!("{} {}", found.code, found.message))
        .collect();
    assert_eq!(
        lines.filter(|_| told.is_empty()).unwrap_or(told),
        expected,
        "{entries}"
    );
}

fn describe(
    program: &Program,
    golden: &Golden,
    tensors: &[Stored],
    sink: &mut Sink,
) -> Option<Vec<String>> {
    if let Some(reason) = &golden.elsewhere {
        return Some(vec![format!("elsewhere: {reason}")]);
    }
    let model = elaborate(program, &golden.request, sink)?;
    let lines = golden.lines(&model, tensors, sink)?;
    let mut result: Vec<String> = golden
        .request
        .lifted
        .iter()
        .map(|(name, axes)| format!("lifted {name} {}", axes.join(" ")))
        .collect();
    result.extend(
        golden
            .sizes
            .iter()
            .map(|(name, size)| format!("size {name} {size}")),
    );
    let groups = [
        ("input", &lines.inputs),
        ("param", &lines.params),
        ("value", &lines.values),
        ("cotangent", &lines.cotangents),
        ("grad", &lines.grads),
    ];
    for (role, group) in groups {
        for named in group {
            let source = match &named.source {
                Source::Tensor(name) => name.clone(),
                Source::Stack(names) => names.join(" + "),
                Source::Value(value) => format!("{value:?}"),
            };
            result.push(format!("{role} {} = {source}", named.path));
        }
    }
    result.extend(
        lines
            .objectives
            .iter()
            .map(|path| format!("objective {path}")),
    );
    result.extend(lines.ignored.iter().map(|name| format!("ignore {name}")));
    Some(result)
}

fn tensors(text: &str) -> Vec<Stored> {
    let one = |text: &str| {
        let mut words = text.split_whitespace();
        Stored {
            name: words.next().unwrap().to_owned(),
            shape: words.map(|word| word.parse().unwrap()).collect(),
        }
    };
    text.split(',').map(one).collect()
}

const PARAMS: &str = "param scale = \"s\" param part.{i}.w = \"w{i}\"";

#[test]
fn tensors_get_their_roles() {
    check(
        &format!(
            "set d = width input x = \"x\" {PARAMS} value out = \"y\" cotangent out = \"cot\" grad x = \"grad.x\" grad part.{{i}}.w = \"grad.w{{i}}\" ignore \"note.{{p}}\""
        ),
        "x 7 3, s 3, w0 3, w1 3, y 7 3, cot 7 3, grad.x 7 3, grad.w0 3, grad.w1 3, note.a 1, note.b.c 1",
        &[
            "input x = x",
            "param scale = s",
            "param part.0.w = w0",
            "param part.1.w = w1",
            "value out = y",
            "cotangent out = cot",
            "grad x = grad.x",
            "grad part.0.w = grad.w0",
            "grad part.1.w = grad.w1",
            "ignore note.a",
            "ignore note.b.c",
        ],
    );
}

#[test]
fn axes_beyond_the_declared_ones_are_lifted() {
    let params = "set d = width param scale = \"s\" param part.{i}.w = \"w{i}\" value out = \"y\"";
    let stored = "x 2 5 7 3, s 3, w0 3, w1 3, y 2 5 7 3";
    let rest = [
        "input x = x",
        "param scale = s",
        "param part.0.w = w0",
        "param part.1.w = w1",
        "value out = y",
    ];
    let with =
        |first: &'static str| -> Vec<&'static str> { std::iter::once(first).chain(rest).collect() };
    check(
        &format!("input x = \"x\" {params}"),
        stored,
        &with("lifted x b b1"),
    );
    check(
        &format!("input x = \"x\" [batch, beam, t, d] {params}"),
        stored,
        &with("lifted x batch beam"),
    );
}

#[test]
fn sources_are_stacked_in_numeric_order() {
    check(
        &format!("input x = \"x{{s}}\" [b, t, d] {PARAMS} value out = \"a\", \"b\" [b, t, d]"),
        "x0 7 3, x10 7 3, x2 7 3, s 3, w0 3, w1 3, a 7 3, b 7 3",
        &[
            "lifted x b",
            "input x = x0 + x2 + x10",
            "param scale = s",
            "param part.0.w = w0",
            "param part.1.w = w1",
            "value out = a + b",
        ],
    );
}

#[test]
fn a_line_of_its_own_goes_before_a_wildcards() {
    check(
        &format!("input x = \"x\" {PARAMS} value {{v}} = \"y.{{v}}\" value out = \"y.total\""),
        "x 7 3, s 3, w0 3, w1 3, y.out 7 3, y.total 7 3",
        &[
            "input x = x",
            "param scale = s",
            "param part.0.w = w0",
            "param part.1.w = w1",
            "value out = y.out",
            "value out = y.total",
        ],
    );
}

#[test]
fn a_block_for_another_file_does_not_apply() {
    check(
        "input x = \"u\" value out = \"y\"",
        "x 7 3, y 7 3",
        &["elsewhere: the file has no `u`, which is the input `x`"],
    );
    check(
        "input x = \"x\" value out = \"y\"",
        "x 7 3, z 7 3",
        &["elsewhere: the file has none of its values and gradients"],
    );
}

#[test]
fn settings_are_parameters_or_sizes() {
    check(
        &format!("set d = width set count = steps input x = \"x\" {PARAMS} value out = \"y\""),
        "x 7 3, s 3, w0 3, w1 3, y 7 3",
        &[
            "size count 5",
            "input x = x",
            "param scale = s",
            "param part.0.w = w0",
            "param part.1.w = w1",
            "value out = y",
        ],
    );
    check(
        "set d = widht input x = \"x\" value out = \"y\"",
        "x 7 3, y 7 3",
        &["E0601 the configuration has no `widht`"],
    );
    check(
        "set act = \"relu\" input x = \"x\" value out = \"y\"",
        "x 7 3, y 7 3",
        &["E0205 `M` has no parameter `act`"],
    );
}

#[test]
fn what_is_not_there_is_told() {
    let file = "x 7 3, s 3, w0 3, w1 3, y 7 3";
    check(
        "input u = \"x\" value out = \"y\"",
        file,
        &["E0205 `forward` has no input `u`"],
    );
    check(
        "value out = \"y\"",
        file,
        &["E0612 the input `x` is not given"],
    );
    check(
        "input x = \"x\" value out = \"y\" value part.0.out = \"z\"",
        file,
        &["E0608 the file has no tensor `z`"],
    );
    check(
        &format!(
            "input x = \"x\" {PARAMS} value out = \"y\" value part.0.out = \"z\" optional param skale = \"s\""
        ),
        file,
        &["E0609 the model has no `skale`"],
    );
    check(
        "input x = \"x\" value out = \"y\" value part.9.out = \"s\"",
        file,
        &["E0206 the model has no value `part.9.out`"],
    );
    check(
        "input x = \"x\" value out = \"y\" param scale = 0.5",
        file,
        &["E0610 a parameter, a state or a gradient comes from a tensor"],
    );
    check(
        "input x = \"x\" value hidden.{q} = \"{p}\"",
        file,
        &["E0605 a wildcard stands on one side only"],
    );
}
