//! Operators and choices of other languages.

use crate::ast::Name;
use crate::diag::Diagnostic;
use crate::parse::code;
use crate::span::Span;

pub(in crate::parse) fn foreign_operator(span: Span, text: &str) -> Diagnostic {
    let meant = match text {
        "**" => "^",
        "&&" | "&" => "and",
        "||" | "|" => "or",
        "is" => "==",
        _ => "not",
    };
    Diagnostic::error(code::OPERATOR, format!("`{text}` is not an operator"))
        .at(span, "")
        .help(match meant {
            "^" => "write a power as `x^2`".to_owned(),
            "not" => "write `not x`".to_owned(),
            _ => format!("write `{meant}`"),
        })
}

pub(in crate::parse) fn no_operand(span: Span, operator: &str) -> Diagnostic {
    Diagnostic::error(
        code::UNEXPECTED,
        format!("`{operator}` is followed by no value"),
    )
    .at(span, "expected a value after this")
}

pub(in crate::parse) fn not_needs_parentheses(span: Span) -> Diagnostic {
    Diagnostic::error(
        code::PARENTHESES,
        "`not` binds more loosely than the operator before it",
    )
    .at(span, "")
    .help("put it in parentheses: `(not x)`")
}

pub(in crate::parse) fn equals_in_condition(left_text: &str, left: Span, span: Span) -> Diagnostic {
    let left_text = if left_text.len() < 20 && !left_text.contains('\n') {
        left_text
    } else {
        "x"
    };
    Diagnostic::error(code::EQUALS, "`=` defines; a comparison is written `==`")
        .at(span, "")
        .also(left, "this is compared")
        .help(format!("write `{left_text} == …`"))
}

pub(in crate::parse) fn foreign_assignment(place: &str, operator: &str, span: Span) -> Diagnostic {
    match operator {
        "==" => Diagnostic::error(
            code::EQUALS,
            "`==` compares; an equation is written with `=`",
        )
        .at(span, "")
        .help(format!("write `{place} = …`")),
        ":=" | "<-" => {
            Diagnostic::error(code::OPERATOR, format!("`{operator}` is not an operator"))
                .at(span, "")
                .help(format!("write `{place} = …`"))
        }
        _ => {
            let plain = operator.trim_end_matches('=').replace("**", "^");
            Diagnostic::error(
                code::OPERATOR,
                format!("`{operator}` would change `{place}`, and equations change nothing"),
            )
            .at(span, "")
            .help(format!(
                "give the result its own name: `total = {place} {plain} …`"
            ))
        }
    }
}

pub(in crate::parse) fn equals_in_record(name: &Name, span: Span) -> Diagnostic {
    Diagnostic::error(code::EQUALS, "the fields of a record are written with `:`")
        .at(span, "")
        .help(format!("write `{}: …`", name.text))
}

pub(in crate::parse) fn ternary(span: Span, value: &str, cond: &str, other: &str) -> Diagnostic {
    let short = |text: &str| text.len() < 30 && !text.contains('\n');
    let help = if short(value) && short(cond) && short(other) {
        format!("write `if {cond} then {value} else {other}`")
    } else {
        "write `if condition then value else other`".to_owned()
    };
    Diagnostic::error(code::CHOICE, "a choice begins with its condition")
        .at(span, "")
        .help(help)
}

pub(in crate::parse) fn comprehension(span: Span) -> Diagnostic {
    Diagnostic::error(code::CHOICE, "lists are not built by `for`")
        .at(span, "")
        .help("write an equation over an axis, `y[i] = f(x)`; for unlike modules, `stack h[i: n] = …`")
}

pub(in crate::parse) fn counted_by_in(var: &str, span: Span) -> Diagnostic {
    Diagnostic::error(code::EQUALS, "the index of a stack is declared with `:`")
        .at(span, "")
        .help(format!("write `[{var}: 12]` with the number of instances"))
}
