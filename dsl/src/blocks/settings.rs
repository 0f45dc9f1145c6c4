//! Which static parameters a checkpoint's settings give, and whether the model file supports
//! them: the `set` and `require` lines of a `weights` block.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::config::ConfigReader;
use crate::ast::{Require, WeightsBlock};
use crate::diag::{Code, Diagnostic, Sink};
use crate::model::Static;
use crate::program::Program;

/// The longest value that a message shows whole, in characters.
const LONGEST: usize = 60;

/// The static parameters that a block makes of a configuration. `origin` names the file in
/// which it stands. `given` are parameters that go before `set` lines of their name.
///
/// Mistakes, and every `require` line that does not hold, go to the sink; `None` if there was one.
pub fn read_settings(
    program: &Program,
    block: &WeightsBlock,
    config: &BTreeMap<String, Static>,
    origin: &str,
    given: &[(String, Static)],
    sink: &mut Sink,
) -> Option<Vec<(String, Static)>> {
    let mut reader = ConfigReader::new(program, config, given.to_vec());
    let mut fits = true;
    let mut sets = block.sets.iter().peekable();
    for line in &block.requires {
        let above = |set: &&crate::ast::Setting| set.name.span.start < line.span.start;
        while let Some(set) = sets.next_if(above) {
            fits &= take_set(&mut reader, set, given, sink);
        }
        fits &= holds(&mut reader, block, line, origin, sink);
    }
    for set in sets {
        fits &= take_set(&mut reader, set, given, sink);
    }
    fits.then(|| reader.above().to_vec())
}

fn take_set(
    reader: &mut ConfigReader<'_>,
    set: &crate::ast::Setting,
    given: &[(String, Static)],
    sink: &mut Sink,
) -> bool {
    given.iter().any(|(name, _)| *name == set.name.text) || reader.set(set, sink).is_some()
}

/// Whether a configuration says what a line requires.
fn holds(
    reader: &mut ConfigReader<'_>,
    block: &WeightsBlock,
    line: &Require,
    origin: &str,
    sink: &mut Sink,
) -> bool {
    let value = match reader.value(&line.claim, sink) {
        Some(Static::Bool(true)) => return true,
        None => return false,
        Some(value) => value,
    };
    if value != Static::Bool(false) {
        let diagnostic = Diagnostic::error(Code::new(302), "a condition is a truth value")
            .at(line.claim.span, format!("this is {}", shown(&value)))
            .help("compare: `require hidden_act == \"silu\"`");
        sink.report(diagnostic);
        return false;
    }
    let keys = reader.keys(&line.claim);
    let found: Vec<String> = keys
        .iter()
        .map(|(key, value)| match value {
            Some(value) => format!("`{key}` is {}", shown(value)),
            None => format!("`{key}` is absent"),
        })
        .collect();
    let found = if found.is_empty() {
        "a condition does not hold".to_owned()
    } else {
        found.join(", ")
    };
    let model = &block.model.text;
    let label = match &line.reason {
        Some(reason) => reason.text.as_str(),
        None => "this does not hold",
    };
    let diagnostic = Diagnostic::error(
        Code::new(614),
        format!("`{model}` does not support this checkpoint: {found}"),
    )
    .at(line.claim.span, label)
    .note(format!("the settings are those of {origin}"))
    .help("take a model file that supports it, or extend this one");
    sink.report(diagnostic);
    false
}

/// A setting as a person reads it; a long one is cut.
fn shown(value: &Static) -> String {
    let mut text = String::new();
    show(value, &mut text);
    if text.chars().count() > LONGEST {
        let kept = text.chars().take(LONGEST).collect::<String>();
        return format!("{}…", kept.trim_end());
    }
    text
}

/// Stops soon after more is written than is shown.
fn show(value: &Static, text: &mut String) {
    match value {
        Static::None => text.push_str("none"),
        Static::Int(number) => text.push_str(&number.to_string()),
        Static::Real(number) => {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{number:?}");
        }
        Static::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        Static::Text(words) => {
            text.push('"');
            text.extend(words.chars().take(LONGEST));
            text.push('"');
        }
        Static::List(parts) => {
            text.push('[');
            for (at, part) in parts.iter().enumerate() {
                if text.len() > 4 * LONGEST {
                    break;
                }
                text.push_str(if at > 0 { ", " } else { "" });
                show(part, text);
            }
            text.push(']');
        }
        Static::Map(fields) => {
            text.push('{');
            for (at, (name, part)) in fields.iter().enumerate() {
                if text.len() > 4 * LONGEST {
                    break;
                }
                text.push_str(if at > 0 { ", " } else { "" });
                text.extend(name.chars().take(LONGEST));
                text.push_str(": ");
                show(part, text);
            }
            text.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{nested, weights_blocks};
    use crate::program::NoFiles;

    /// What `lines` make of a configuration: the static parameters, or what is told.
    fn check(lines: &str, given: &str, expected: &str) {
        let flat = [
            ("hidden_act", Static::Text("gelu".to_owned())),
            ("hidden_size", Static::Int(32)),
            ("attention_bias", Static::Bool(true)),
            ("rope_scaling.rope_type", Static::Text("yarn".to_owned())),
            ("rope_scaling.factor", Static::Real(8.0)),
            ("sliding_window", Static::None),
            ("kinds", Static::List(vec![Static::Int(7); 100])),
        ];
        let config = nested(flat.map(|(key, value)| (key.to_owned(), value)).into());
        let text = format!(
            "model M() {{ forward(x: f32[t]) -> f32[t] {{ return x }} }}\nweights hf for M {{ {lines} }}"
        );
        let mut sink = Sink::new();
        let program = Program::load("m.girih", &text, &NoFiles, &mut sink);
        let given: Vec<(String, Static)> = (given.split_whitespace())
            .map(|name| (name.to_owned(), Static::Int(1)))
            .collect();
        let block = weights_blocks(&program);
        let read = block
            .first()
            .and_then(|block| read_settings(&program, block, &config, "c.json", &given, &mut sink));
        let told = sink.diagnostics().iter();
        let told: Vec<String> = told
            .map(|found| format!("{} {}", found.code, found.message))
            .collect();
        assert_eq!(read.is_some(), told.is_empty(), "{lines}");
        let answer = read.map_or(told, |values| {
            let values = values.iter();
            values
                .map(|(name, value)| format!("{name} = {}", shown(value)))
                .collect()
        });
        assert_eq!(answer.join("; "), expected, "{lines}");
    }

    #[test]
    fn what_is_required_holds_or_is_told_with_what_is_found() {
        let no = "E0614 `M` does not support this checkpoint: ";
        check(
            "require hidden_act == \"gelu\" set d = hidden_size",
            "",
            "d = 32",
        );
        check("require default(sliding_window, none) == none", "", "");
        check("require default(absent, 3) == 3, \"why\"", "", "");
        check(
            "require rope_scaling in [none, 1.0, {factor: 8.0, rope_type: \"yarn\"}]",
            "",
            "",
        );
        check("require hidden_act in [\"gelu\", \"gelu_new\"]", "", "");
        check(
            "require hidden_act == \"silu\", \"the gate is a silu\"",
            "",
            &format!("{no}`hidden_act` is \"gelu\""),
        );
        check(
            "require not default(attention_bias, false)",
            "",
            &format!("{no}`attention_bias` is true"),
        );
        check(
            "require default(rope_scaling, none) == none",
            "",
            &format!("{no}`rope_scaling` is {{factor: 8.0, rope_type: \"yarn\"}}"),
        );
        check(
            "require default(config.rope_scaling.rope_type, \"default\") == \"default\"",
            "",
            &format!("{no}`rope_scaling.rope_type` is \"yarn\""),
        );
        check(
            "require default(tied, true) == false",
            "",
            &format!("{no}`tied` is absent"),
        );
        let sevens = "7, ".repeat(19);
        check(
            "require length(kinds) == hidden_size",
            "",
            &format!("{no}`kinds` is [{sevens}7,…, `hidden_size` is 32"),
        );
        check(
            "require false",
            "",
            &format!("{no}a condition does not hold"),
        );
    }

    #[test]
    fn every_line_that_does_not_hold_is_told() {
        check(
            "require attention_bias == false require hidden_size == 1",
            "",
            "E0614 `M` does not support this checkpoint: `attention_bias` is true; \
             E0614 `M` does not support this checkpoint: `hidden_size` is 32",
        );
    }

    #[test]
    fn lines_know_the_lines_above_and_what_is_given() {
        check("set d = hidden_size require d == 32", "", "d = 32");
        check("set d = hidden_size set e = 2 * d", "d", "d = 1; e = 2");
        check("require d == 1 set d = hidden_size", "d", "d = 1");
        check(
            "set d = hiden_size require d == 32",
            "",
            "E0601 the configuration has no `hiden_size`",
        );
        check("require tied", "", "E0601 the configuration has no `tied`");
    }

    #[test]
    fn a_condition_is_a_truth_value() {
        check(
            "require hidden_size",
            "",
            "E0302 a condition is a truth value",
        );
    }
}
