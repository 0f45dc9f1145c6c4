//! Promises that attributes make: kept by plans, or refused with the reason.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use girih::promise::check_all_promises;
use girih_dsl::diag::{Code, Sink, explain, render};
use girih_dsl::elaborate::{Request, check, elaborate};
use girih_dsl::program::{NoFiles, Program};
use girih_plan::{lower, simplify_all};

/// What is reported about a file.
fn told(text: &str) -> String {
    let mut sink = Sink::new();
    let program = Program::load("m.girih", text, &NoFiles, &mut sink);
    check(&program, &mut sink);
    check_all_promises(&program, &mut sink);
    let found = sink.sorted().into_iter();
    found
        .map(|own| render(&program.sources, own) + "\n")
        .collect()
}

/// The plan of the first method of the model.
fn plan(text: &str) -> String {
    let mut sink = Sink::new();
    let program = Program::load("m.girih", text, &NoFiles, &mut sink);
    let model = elaborate(&program, &Request::default(), &mut sink).unwrap();
    girih_plan::explain(&lower(&simplify_all(&model.graph)))
}

fn recurrence(attribute: &str, next: &str) -> String {
    format!(
        "axis t: time
model M(h: axis = 4, p: axis = 16, n: axis = 64) {{
  forward(a: f32[t, h], x: f32[t, h, p], k: f32[t, h, n], q: f32[t, h, n]) -> f32[t, h, p] {{
    {attribute}
    recurrence over t {{
      state S: f32[h, p, n] = 0
      S' = {next}
      y = sum(n) S' * q
    }}
    return y
  }}
}}
"
    )
}

fn attention(attribute: &str, weights: &str, rest: &str) -> String {
    format!(
        "axis t: time
model M(h: axis = 2, e: axis = 8, block = 4) {{
  forward(q: f32[t, h, e], k: f32[t, h, e], v: f32[t, h, e], hit: i64[t]) -> f32[t, h, e] {{
    s[h, i, j] = sum(e) q[t = i] * k[t = j]
    {attribute}
    a[h, i, j] = {weights}
    o[t, h, e] = sum(j) a[i = t] * v[t = j]
    return {rest}
  }}
}}
"
    )
}

#[test]
fn the_examples_of_its_page_are_what_they_say() {
    let page = explain(Code::new(501)).unwrap();
    let example = |heading: &str| {
        let after = page.split(heading).nth(1).unwrap();
        after
            .split("```girih")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap()
            .to_owned()
    };
    assert!(told(&example("Wrong:")).contains("error[E0501]"));
    assert_eq!(told(&example("Right:")), "");
}

#[test]
fn loops_are_computed_as_their_algorithm_says() {
    let linear = "a * S + x * k";
    let free = plan(&recurrence("", linear));
    assert!(free.contains("in chunks of"), "{free}");
    let wide = plan(&recurrence("", linear).replace("p: axis = 16", "p: axis = 64"));
    assert!(
        wide.contains("step by step: chunks would compute more than its steps do"),
        "{wide}"
    );
    let steps = plan(&recurrence("@algorithm(recurrent)", linear));
    assert!(
        steps.contains("step by step: its `@algorithm` says so"),
        "{steps}"
    );
    let chunks = plan(&recurrence("@algorithm(auto, chunk = 16)", linear));
    assert!(chunks.contains("in chunks of 16 steps"), "{chunks}");
    let small = recurrence("@algorithm(chunked, chunk = 8)", linear).replace("= 64", "= 2");
    assert!(
        plan(&small).contains("in chunks of 8 steps"),
        "{}",
        plan(&small)
    );
    assert_eq!(told(&small), "");
    let curved = told(&recurrence("@algorithm(chunked)", "tanh(a * S + x * k)"));
    insta::assert_snapshot!(curved, @r"
    error[E0501]: the plan does not keep `@algorithm(chunked)`
     --> m.girih:4:6
      |
    4 |     @algorithm(chunked)
      |      ^^^^^^^^^^^^^^^^^ its state is not linear in itself
      |
      = help: write `@algorithm(auto)`, or drop the attribute
    ");
}

#[test]
fn blocks_of_steps_are_chosen_for_narrow_loops_and_kept_where_promised() {
    let narrow = |attribute: &str, next: &str| {
        format!(
            "axis t: time
model M(d: axis = 4) {{
  forward(x: f32[t, d], a: f32[t, d]) -> f32[t, d] {{
    {attribute}
    recurrence over t {{
      state S: f32[d] = 0
      S' = {next}
      y = tanh(S') * x
    }}
    return y
  }}
}}
"
        )
    };
    for next in ["a * S + x", "S + x - a * S", "maximum(x * a, S)", "S + x"] {
        let free = plan(&narrow("", next));
        assert!(
            free.contains("in blocks of its steps side by side"),
            "{free}"
        );
        let steps = plan(&narrow("@algorithm(recurrent)", next));
        assert!(steps.contains("step by step: its `@algorithm`"), "{steps}");
    }
    let long = narrow("@algorithm(associative, chunk = 128)", "a * S + x");
    assert!(plan(&long).contains("in blocks of 128 steps side by side"));
    assert_eq!(told(&long), "");
    let wide = |text: &str| text.replace("d: axis = 4", "d: axis = 4096");
    assert!(plan(&wide(&narrow("", "a * S + x"))).contains("step by step"));
    assert_eq!(told(&wide(&long)), "");

    let short = long
        .replace("f32[t, d]", "f32[t = 100, d]")
        .replace("axis t: time\n", "");
    for (text, why) in [
        (short, "it has few steps"),
        (
            narrow("@algorithm(associative)", "tanh(S + x)"),
            "its state is not linear in itself",
        ),
        (
            narrow("@algorithm(associative)", "maximum(S, x + S)"),
            "its state is not the larger or smaller one of itself and what no state reaches",
        ),
        (
            narrow("@algorithm(associative)", "a * S + sum(d) S"),
            "its state goes on as a sum over the state, or as another state",
        ),
    ] {
        let told = told(&text);
        assert!(
            told.contains("does not keep `@algorithm(associative") && told.contains(why),
            "{told}"
        );
    }
}

#[test]
fn what_a_domain_hides_is_not_computed() {
    let sparse = "@require(block_sparse(j, block))";
    let kept = "softmax(j) s where j <= i and (j // block == i // block or hit[t = j] == 1)";
    assert_eq!(told(&attention(sparse, kept, "o")), "");
    assert!(plan(&attention(sparse, kept, "o")).contains("so that they are not computed"));
    let all = told(&attention(sparse, "softmax(j) s", "o"));
    assert!(
        all.contains("it has no `where` that hides anything"),
        "{all}"
    );
    let read = told(&attention(sparse, kept, "o + sum(i) sum(j) a"));
    assert!(
        read.contains("its weights are read by something else, too"),
        "{read}"
    );
}

#[test]
fn a_fused_statement_is_one_launch() {
    let model = |statement: &str| {
        format!(
            "axis t
model M(d: axis = 8, e: axis = 8) {{
  param w: f32[d, e]
  forward(x: f32[t, d]) -> f32[t, e] {{
    {statement}
    return y
  }}
}}
"
        )
    };
    assert_eq!(
        told(&model(
            "@require(fused)\n    y = (x * rsqrt((mean(d) x * x) + 1.0e-5))[d = e]"
        )),
        ""
    );
    let two = told(&model("@require(fused)\n    y = tanh(sum(d) x * w)"));
    let why = "2 launches compute it; the last one reads `contract`: it has a launch of its own";
    assert!(two.contains(why), "{two}");
}

#[test]
fn attributes_that_mean_nothing_are_refused() {
    for (attribute, part) in [
        ("@require(fast)", "promises nothing known"),
        ("@require", "promises nothing known"),
        (
            "@require(block_sparse(z, 4))",
            "`z` is no index of this statement",
        ),
        ("@require(block_sparse(j, 0))", "no length of a block"),
        ("@algorithm(chunked)", "says nothing about this statement"),
        ("@storage(int8)", "`@storage` is no attribute"),
    ] {
        let told = told(&attention(attribute, "softmax(j) s where j <= i", "o"));
        assert!(told.contains(part), "{attribute}: {told}");
    }
    for attribute in [
        "@algorithm(fast)",
        "@algorithm(chunked, chunk = -1)",
        "@algorithm(chunk = 4)",
        "@require(fused)",
    ] {
        let told = told(&recurrence(attribute, "a * S + x * k"));
        assert!(told.contains("error[E0203]"), "{attribute}: {told}");
    }
}
