//! The pages of E06: their wrong example has the code, their right one nothing.
//!
//! A block says something only about a model and a file; each page has its own here.

use std::collections::BTreeMap;

use girih_dsl::blocks::{
    Stored, golden_blocks, plan_weights, read_golden, read_settings, weights_blocks,
};
use girih_dsl::diag::{Code, Sink, explain};
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::Static;
use girih_dsl::program::{NoFiles, Program};

/// Members of the model and tensors of the file, `name 2 3, name 4`.
const CASES: &[(u16, &str, &str)] = &[
    (601, "", ""),
    (602, "sub norm = RmsNorm(d)", "norm.scale 4"),
    (603, "", "rotary.inv_freq 2"),
    (
        604,
        "sub up = Linear(d -> ff, bias = false)",
        "fc.weight 4 8",
    ),
    (605, "stack layers[2] = Scale(d)", "h.0.w 4, h.1.w 4"),
    (
        606,
        "param embed: f32[v = 6, d]",
        "embed.weight 6 4, head.weight 6 4",
    ),
    (
        607,
        "sub up = Linear(d -> ff, bias = false)",
        "fc.weight 4 8",
    ),
    (608, "", "x 4, y 4, out 4"),
    (609, "param weight: f32[d]", "x 4, w 4, out 4"),
    (610, "param weight: f32[d]", "x 4, w 4, out 4"),
    (612, "", "x 4, out 4"),
    (614, "", ""),
];

/// The example that follows a word on its own line.
fn example<'a>(page: &'a str, word: &str) -> &'a str {
    let after = page.split(word).nth(1).expect("both examples are there");
    let block = after.split("```girih\n").nth(1);
    block
        .and_then(|rest| rest.split("```").next())
        .expect("an example is a block of code")
}

fn codes(members: &str, tensors: &str, block: &str) -> Vec<Code> {
    let text = format!(
        "model M(d: axis = 4, e: axis = 2, ff: axis = 8) {{ {members} forward(x: f32[d]) -> f32[d] {{ y = x return y }} }}
        module Scale(d: axis) {{ param w: f32[d] forward(x: f32[d]) -> f32[d] {{ return x * w }} }}
        {block}"
    );
    let mut sink = Sink::new();
    let program = Program::load("m.girih", &text, &NoFiles, &mut sink);
    let config = BTreeMap::from([
        ("hidden_size".to_owned(), Static::Int(4)),
        ("num_attention_heads".to_owned(), Static::Int(2)),
    ]);
    let one = |text: &str| {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default().to_owned();
        let shape = words.map(|word| word.parse().unwrap_or(0)).collect();
        Stored { name, shape }
    };
    let stored: Vec<Stored> = tensors
        .split(", ")
        .filter(|text| !text.is_empty())
        .map(one)
        .collect();
    for block in weights_blocks(&program) {
        read_settings(&program, &block, &config, "config.json", &[], &mut sink);
        if let Some(model) = elaborate(&program, &Request::default(), &mut sink) {
            plan_weights(
                Some(&block),
                &model.graph.axes,
                &model.params,
                &[],
                &stored,
                &mut sink,
            );
        }
    }
    for block in golden_blocks(&program) {
        if let Some(golden) = read_golden(&program, &block, &config, &stored, &mut sink)
            && let Some(model) = elaborate(&program, &golden.request, &mut sink)
        {
            golden.lines(&model, &stored, &mut sink);
        }
    }
    sink.diagnostics().iter().map(|found| found.code).collect()
}

#[test]
fn examples_of_pages_are_what_they_say() {
    let pages: Vec<u16> = Code::all()
        .map(Code::number)
        // E0613 is about the numbers in a file, which only who reads them can compare.
        .filter(|code| (600..700).contains(code) && *code != 613)
        .collect();
    let cases: Vec<u16> = CASES.iter().map(|(code, ..)| *code).collect();
    assert_eq!(pages, cases);
    for &(code, members, tensors) in CASES {
        let code = Code::new(code);
        let page = explain(code).expect("it is among all codes");
        let wrong = codes(members, tensors, example(page, "Wrong:"));
        assert!(wrong.contains(&code), "{code}: {wrong:?}");
        let right = codes(members, tensors, example(page, "Right:"));
        assert!(right.is_empty(), "{code}: {right:?}");
    }
}
