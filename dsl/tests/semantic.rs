//! What a file means: wrong files, and the pages of the codes of meaning.

mod wrong;

use std::collections::BTreeSet;

use girih_dsl::diag::{Code, Sink, explain, render};
use girih_dsl::elaborate::{Request, check, elaborate};
use girih_dsl::program::{Loader, Program};
use wrong::{check_wrong_files, example, files};

const FOLDER: &str = "../tests/suite/lang/semantic";

/// There is no other file.
struct Nothing;

impl Loader for Nothing {
    fn load(&self, _: &str, path: &str) -> Result<(String, String), String> {
        Err(format!("there is no file `{path}`"))
    }

    fn plugin(&self, id: &str) -> Result<String, String> {
        match id {
            "org.example.kit" => Ok(KIT.to_owned()),
            "org.example.broken" => Ok(BROKEN.to_owned()),
            _ => Err("it is not among those that are trusted".to_owned()),
        }
    }
}

/// The text of a plugin.
const KIT: &str = "
@native @gradient(share_gradient)
fn share(x: f32[n]) -> f32[n] {
  return x / sum(n) x
}
fn share_gradient(x: f32[n], y: f32[n], dy: f32[n]) -> f32[n] {
  return (dy - sum(n) dy * y) / sum(n) x
}
@native(3)
fn kernel_only(x: f32[n], k: axis, slope = 1.0) -> { best: f32[k], at: i64[k] }
@native
fn outer(x: f32[n], y: f32[m]) -> f32[n, m] { z[n, m] = x * y return z }
";

/// Another one, with mistakes inside.
const BROKEN: &str = "
@native
fn late(x: f32[n]) -> f32[n] { return x + nothing }
@native @gradient(wrong_gradient)
fn wrong(x: f32[n]) -> f32[n] { return x * x }
fn wrong_gradient(x: f32[n], y: f32[n], dy: f32[n]) -> i64[n] { return int(dy * x) }
@native
fn untyped(x: f32[n]) { return x }
@native
fn grouped(x: f32[(a, b)]) -> f32[a] { return sum(b) x }
";

/// What is said about a file.
fn found(name: &str, text: &str) -> Vec<String> {
    let mut sink = Sink::new();
    let program = Program::load(name, text, &Nothing, &mut sink);
    check(&program, &mut sink);
    sink.sorted()
        .iter()
        .map(|found| render(&program.sources, found))
        .collect()
}

#[test]
fn wrong_files_are_explained() {
    check_wrong_files(FOLDER, found);
}

#[test]
fn one_mistake_is_told_once() {
    for (path, text) in files(FOLDER) {
        let told = found("wrong.girih", wrong::source_of(&text));
        assert_eq!(told.len(), 1, "{}\n{}", path.display(), told.join("\n"));
    }
}

#[test]
fn a_side_that_is_not_chosen_gives_ranges_and_is_not_looked_at() {
    let check = |params: &str, equation: &str| {
        let text = format!(
            "axis t
            module M(d: axis, f: module = none, open = true{params}) {{
              forward(x: f32[t, d], keep: bool[t] = none) {{ {equation} return y }}
            }}
            module Left(d: axis) {{
              sub m = M(d)
              forward(x: f32[t, d]) {{ return m(x) }}
            }}"
        );
        let told = found("right.girih", &text);
        assert!(told.is_empty(), "{equation}\n{}", told.join("\n"));
    };
    check("", "y[j] = if keep == none then true else keep[t = j]");
    check("", "y[i] = if open then true else sum(d) x[t = i] > 0.0");
    check("", "y[i, d] = if f != none then f(x)[t = i] else x[t = i]");
    check(
        "",
        "y[i, d] = if f == none and open then x[t = i] else f(x)[t = i]",
    );
    check(
        ", g = \"a\"",
        "y[i, d] = if g == \"b\" then f(x)[t = i] else x[t = i]",
    );
}

#[test]
fn a_start_may_call_what_the_model_calls_too() {
    let text = "
      module N(d: axis) {
        forward(x: f32[d]) -> f32[d] { y = x * 2.0 z = y * y return z * z + 1.0 }
      }
      let table = 3.0 * 2.0
      module M(d: axis) {
        sub n = N(d)
        param w: f32[d] = n(zeros(d)) * table
        param v: f32[d] = n(zeros(d)) + table
        forward(x: f32[d]) -> f32[d] { a = exp(x) b = exp(a) return n(n(b)) * w * v }
      }";
    assert_eq!(found("right.girih", text), [""; 0]);
    assert_eq!(asked(text, "M", &[]), [""; 0]);
}

/// What is said when the last model of a file is asked for, and its value `hidden`.
fn asked(text: &str, module: &str, keep: &[String]) -> Vec<String> {
    let mut sink = Sink::new();
    let program = Program::load("asked.girih", text, &Nothing, &mut sink);
    let request = Request {
        module: Some(module.to_owned()),
        keep: keep.to_vec(),
        ..Request::default()
    };
    let model = elaborate(&program, &request, &mut sink);
    assert_eq!(model.is_none(), sink.has_errors());
    sink.sorted()
        .iter()
        .map(|found| render(&program.sources, found))
        .collect()
}

#[test]
fn examples_of_pages_are_what_they_say() {
    // E0501 is about plans, E0420 and those behind it about streams: nothing here makes either.
    let elsewhere = |number: u16| number == 501 || (420..430).contains(&number);
    let meaning = |code: &Code| {
        let number = code.number();
        (200..600).contains(&number) && !elsewhere(number) || (700..800).contains(&number)
    };
    for code in Code::all().filter(meaning) {
        // Two codes answer to what a command asks for rather than to a file alone.
        let told = |text: &str| match code.number() {
            204 => asked(text, "Tiny", &[]),
            206 => asked(text, "M", &["hidden".to_owned()]),
            _ => found("page.girih", text),
        };
        let page = explain(code).expect("it is among all codes");
        let wrong = told(example(page, "Wrong:"));
        assert!(!wrong.is_empty(), "{code}: the wrong example is right");
        for wrong in &wrong {
            assert!(wrong.contains(&format!("[{code}]")), "{code}:\n{wrong}");
        }
        let right = told(example(page, "Right:"));
        assert!(right.is_empty(), "{code}:\n{}", right.join("\n"));
    }
}

#[test]
fn every_code_of_a_wrong_file_has_a_page() {
    let mut told: BTreeSet<Code> = BTreeSet::new();
    for (_, text) in files(FOLDER) {
        let words = text.split("# error[").skip(1);
        told.extend(words.filter_map(|word| Code::parse(word.get(..5)?)));
    }
    for code in told {
        assert!(explain(code).is_some(), "{code} has no page");
    }
}
