//! Statements and words of other languages.

use crate::ast::{Expr, ExprKind, Name, Stmt};
use crate::diag::Diagnostic;
use crate::parse::build::Builder;
use crate::parse::code;
use crate::span::Span;

pub(in crate::parse) fn typed_equation(name: &Name, span: Span) -> Diagnostic {
    Diagnostic::error(
        code::TYPED,
        format!("the type of `{}` follows from its equation", name.text),
    )
    .at(span, "no type is written here")
    .help(format!(
        "write `{} = …`, or list its axes: `{}[t, d] = …`",
        name.text, name.text
    ))
}

pub(in crate::parse) fn typed_let(name: &Name, span: Span) -> Diagnostic {
    Diagnostic::error(code::TYPED, "a `let` has no type: its value says it")
        .at(span, "")
        .help(format!("write `let {} = …`", name.text))
}

pub(in crate::parse) fn said_twice(word: &str, span: Span) -> Diagnostic {
    Diagnostic::error(code::TWICE, format!("`{word}` is said twice"))
        .at(span, "said again")
        .help("remove one of them")
}

pub(in crate::parse) fn left_side(span: Span, text: &str) -> Diagnostic {
    let base = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or("y");
    let help = match text[base.len()..].trim_start().chars().next() {
        Some('(') => format!("the axes of a left side stand in brackets: `{base}[t, d] = …`"),
        Some('.') => {
            "a field of a value cannot be defined; give the result a name of its own: `y = …`"
                .to_owned()
        }
        _ => "write `y = …`, `y[t, d] = …`, or `a, b = …`".to_owned(),
    };
    Diagnostic::error(
        code::PLACE,
        "the left side of an equation is a name with its axes",
    )
    .at(span, "")
    .help(help)
}

/// A statement that begins where another one ends.
pub(in crate::parse) fn two_on_a_line(
    builder: &Builder<'_>,
    before: &Stmt,
    expr: &Expr,
) -> Diagnostic {
    let text = builder.slice(expr.span);
    let left = builder.slice(before.span);
    if let ExprKind::Name(word) = &expr.kind
        && let Some(found) = foreign_declaration(word, expr.span)
    {
        return found;
    }
    let last_line = left.rsplit('\n').next().unwrap_or("");
    if let Some(at) = last_line.find("//") {
        let start = before.span.end - (last_line.len() - at) as u32;
        return Diagnostic::error(
            code::COMMENT,
            "`//` does not begin a comment: it divides and rounds down",
        )
        .at(
            Span {
                start,
                end: start + 2,
                ..before.span
            },
            "",
        )
        .help("begin a comment with `#`");
    }
    let last = left
        .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or("");
    let help = if last.is_empty() || text.len() > 20 {
        "write an operator between them, or give each its own line".to_owned()
    } else {
        format!("write an operator between them, such as `{last} * {text}`")
    };
    let message = format!("nothing joins `{}` to what stands before it", shorten(text));
    Diagnostic::error(code::MISSING, message)
        .at(expr.span, "expected an operator before this")
        .help(help)
}

fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() <= 24 && line == text {
        return line.to_owned();
    }
    let start: String = line.chars().take(20).collect();
    format!("{start}…")
}

/// A statement that is only a value.
pub(in crate::parse) fn no_effect(builder: &Builder<'_>, expr: &Expr) -> Diagnostic {
    if let ExprKind::Name(word) = &expr.kind
        && let Some(found) = foreign_statement(word, expr.span)
    {
        return found;
    }
    if let ExprKind::Text(_) = &expr.kind {
        return Diagnostic::error(code::COMMENT, "a text alone does nothing")
            .at(expr.span, "")
            .help("write a comment as a line that begins with `#`");
    }
    let text = shorten(builder.slice(expr.span));
    Diagnostic::error(code::NO_EFFECT, format!("`{text}` is computed and dropped"))
        .at(expr.span, "")
        .help(format!(
            "give it a name, `y = {text}`, or return it: `return {text}`"
        ))
}

/// A word that begins a statement elsewhere.
pub(in crate::parse) fn foreign_statement(word: &str, span: Span) -> Option<Diagnostic> {
    let keyword = |message: String, help: &str| {
        Some(
            Diagnostic::error(code::KEYWORD, message)
                .at(span, "")
                .help(help),
        )
    };
    match word {
        "let" | "var" | "const" | "auto" | "mut" => keyword(
            format!("`{word}` is not written in a body"),
            "write the equation alone: `x = …`",
        ),
        "param" | "sub" | "stack" | "experts" | "axis" => Some(
            Diagnostic::error(code::PLACE, format!("`{word}` is declared in the module, not in a method"))
                .at(span, "")
                .help("move the line before the method, into the braces of the module; then use its name here"),
        ),
        _ => foreign_declaration(word, span),
    }
}

/// A word that begins a declaration elsewhere.
pub(in crate::parse) fn foreign_declaration(word: &str, span: Span) -> Option<Diagnostic> {
    let (message, help) = match word {
        "def" | "func" | "function" | "fun" | "proc" => (
            format!("`{word}` does not declare a function"),
            "write `fn name(x) = …` at the top level; a method of a module is written `forward(x: f32[t, d]) -> f32[t, d] { … }`",
        ),
        "class" | "struct" | "layer" | "interface" => (
            format!("`{word}` does not declare a module"),
            "write `module Name(d: axis) { … }`",
        ),
        "import" | "include" | "require" | "from" => (
            format!("`{word}` does not bring in a file"),
            "write `use \"file.girih\"`",
        ),
        "pass" => (
            "`pass` is not needed: a body may be empty".to_owned(),
            "remove it",
        ),
        "lambda" => (
            "`lambda` does not make a function".to_owned(),
            "declare it at the top level, `fn name(x) = …`, and pass `name`",
        ),
        "elif" => (
            "`elif` is written `else if`".to_owned(),
            "write `else if condition { … }`",
        ),
        "print" => (
            "nothing is printed while a model runs".to_owned(),
            "name the value and capture it with a `probe`",
        ),
        "assert" => (
            "`assert` is no statement".to_owned(),
            "write `expect a == b within 1e-5` in a `test` block",
        ),
        "yield" => (
            "`yield` is written `emit`, in a procedure".to_owned(),
            "write `emit x`",
        ),
        "try" | "except" | "raise" | "with" | "async" | "await" | "del" | "global" | "break"
        | "continue" | "loop" | "match" | "switch" | "case" => (
            format!("there is no `{word}` in the language"),
            "write equations; a static choice is `if c { … } else { … }`, a static repetition `for i in n { … }`",
        ),
        _ => return None,
    };
    Some(
        Diagnostic::error(code::KEYWORD, message)
            .at(span, "")
            .help(help),
    )
}

pub(in crate::parse) fn foreign_name(word: &str, span: Span) -> Option<Diagnostic> {
    let constant = |message: &str, help: &str| {
        Some(
            Diagnostic::error(code::CONSTANT, message.to_owned())
                .at(span, "")
                .help(help),
        )
    };
    match word {
        "True" => constant("`True` is written in small letters", "write `true`"),
        "False" => constant("`False` is written in small letters", "write `false`"),
        "None" | "null" | "nil" => constant(
            &format!("there is no `{word}`: every value is there"),
            "leave the argument out, or use a static choice: `if has_bias then x + b else x`",
        ),
        "self" => Some(
            Diagnostic::error(
                code::KEYWORD,
                "`self` is not written: a module's parameters and parts are in scope",
            )
            .at(span, "")
            .help("write the name alone, such as `w` for `self.w`"),
        ),
        _ => None,
    }
}
