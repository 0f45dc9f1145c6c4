//! What people write from habit where the grammar stops.

use super::Stop;
use super::expected::shown;
use crate::diag::Diagnostic;
use crate::parse::build::{elementwise, is_reducer};
use crate::parse::code;
use crate::parse::grammar::Rule;
use crate::parse::lex::Kind;
use crate::parse::slip;

/// The slip that explains the place, if one does.
pub(super) fn explain(stop: &Stop<'_>, expected: &[Rule]) -> Option<Diagnostic> {
    foreign_keyword(stop)
        .or_else(|| colon_block(stop))
        .or_else(|| reducer_alone(stop))
        .or_else(|| colon_for_equals(stop))
        .or_else(|| misplaced(stop))
        .or_else(|| type_slip(stop))
        .or_else(|| clause(stop, expected))
        .or_else(|| missing_comma(stop))
        .or_else(|| separator(stop))
        .or_else(|| unbraced(stop))
        .or_else(|| comma_outside(stop))
        .or_else(|| unary_plus(stop))
        .or_else(|| head(stop))
}

/// `def forward(self, x):`, `lambda x: …`.
fn foreign_keyword(stop: &Stop<'_>) -> Option<Diagnostic> {
    let outline = stop.outline;
    let start = stop.start;
    if stop.token > start && stop.token <= start + 2 && outline.kind(start) == Some(Kind::Word) {
        let next = outline.text(start + 1);
        if !matches!(next, "=" | "[" | "(") {
            let found = if stop.is_statement() {
                slip::foreign_statement(stop.first(), outline.span(start))
            } else {
                slip::foreign_declaration(stop.first(), outline.span(start))
            };
            if found.is_some() {
                return found;
            }
        }
    }
    if stop.before() == "lambda" {
        return slip::foreign_declaration("lambda", outline.span(stop.previous()?));
    }
    if stop.here() == "elif" {
        return slip::foreign_declaration("elif", outline.span(stop.token));
    }
    let prefix = stop.previous()?;
    let is_prefixed = outline.kind(prefix) == Some(Kind::Word)
        && outline.kind(stop.token) == Some(Kind::Text)
        && outline.span(prefix).end == outline.span(stop.token).start;
    is_prefixed.then(|| {
        Diagnostic::error(
            code::TEXT,
            format!("a text has no prefix `{}`", stop.before()),
        )
        .at(outline.span(prefix), "")
        .help("write the text alone; nothing is put into texts, except `{i}` in weight names")
    })
}

/// `for i in n:` and an indented body.
fn colon_block(stop: &Stop<'_>) -> Option<Diagnostic> {
    let outline = stop.outline;
    let ends_line = stop.token + 1 >= stop.part.end || outline.is_first(stop.token + 1);
    if stop.here() != ":"
        || !ends_line
        || stop.bracket().is_some_and(|open| outline.text(open) != "{")
    {
        return None;
    }
    let example = match stop.first() {
        "for" => "for i in n { … }",
        "if" | "else" => "if c { … } else { … }",
        "while" => "while c limit 100 { … }",
        "recurrence" => "recurrence over t { … }",
        "module" | "model" | "memory" => "module Name(d: axis) { … }",
        _ => "forward(x: f32[t, d]) -> f32[t, d] { … }",
    };
    Some(
        Diagnostic::error(
            code::BRACES,
            "a block is written in braces, not by `:` and indentation",
        )
        .at(outline.span(stop.token), "expected `{`")
        .help(format!("write `{example}`")),
    )
}

/// `sum x`, `sum[e] x`, `act = max`.
fn reducer_alone(stop: &Stop<'_>) -> Option<Diagnostic> {
    let word = stop.before();
    if !is_reducer(word) || stop.here() == "(" {
        return None;
    }
    let span = stop.outline.span(stop.previous()?);
    let is_value =
        matches!(stop.here(), ")" | "," | "]" | "}" | "") || stop.outline.is_first(stop.token);
    if is_value {
        let help = match elementwise(word) {
            Some(function) => format!("the elementwise function is `{function}`"),
            None => {
                format!("write `{word}(axis) x`; to pass it on, declare `fn f(x) = {word}(axis) x`")
            }
        };
        return Some(
            Diagnostic::error(
                code::RESERVED,
                format!("`{word}` is a reducer and no value"),
            )
            .at(span, "")
            .help(help),
        );
    }
    let body = match stop.here() {
        "[" => "x".to_owned(),
        text => text.to_owned(),
    };
    Some(
        Diagnostic::error(
            code::REDUCER,
            format!("`{word}` names the axes it reduces in parentheses"),
        )
        .at(span, "expected `(` after this")
        .help(format!("write `{word}(axis) {body}`")),
    )
}

/// `f(n: 3)`, `y: x + 1`, `sub norm: LayerNorm(d)`, `axis h: 12`.
fn colon_for_equals(stop: &Stop<'_>) -> Option<Diagnostic> {
    let outline = stop.outline;
    let found = |colon: usize, message: &str, name: &str| {
        Some(
            Diagnostic::error(code::EQUALS, message.to_owned())
                .at(outline.span(colon), "")
                .help(format!("write `{name} = …`")),
        )
    };
    if stop.before() == ":" && stop.first() == "axis" {
        let name = outline.text(stop.start + 1);
        return found(
            stop.token - 1,
            "the extent of an axis is given with `=`",
            &format!("axis {name}"),
        );
    }
    let bracket = stop.bracket();
    if stop.here() == ":" && stop.before().starts_with('"') {
        return found(stop.token, "an entry is given with `=`", stop.before());
    }
    if stop.here() == ":"
        && stop
            .previous()
            .is_some_and(|at| outline.kind(at) == Some(Kind::Word))
    {
        if bracket.is_some_and(|open| outline.text(open) == "(") {
            return found(stop.token, "an argument is named with `=`", stop.before());
        }
        if bracket.is_none() && matches!(stop.first(), "sub" | "stack" | "let") {
            let name = format!("{} {}", stop.first(), stop.before());
            return found(stop.token, "a value is given with `=`", &name);
        }
    }
    let colon = stop.start + 1;
    let is_setting = outline.text(colon) == ":"
        && outline.kind(stop.start) == Some(Kind::Word)
        && stop.chunk.is_some()
        && stop.token >= colon;
    if is_setting {
        return found(colon, "a value is given with `=`", stop.first());
    }
    None
}

/// A declaration or a statement in the wrong kind of braces.
fn misplaced(stop: &Stop<'_>) -> Option<Diagnostic> {
    let outline = stop.outline;
    let span = outline.span(stop.start);
    if !stop.is_member() || stop.token == stop.start {
        return None;
    }
    let found = |message: String, help: &str| {
        Some(
            Diagnostic::error(code::PLACE, message)
                .at(span, "")
                .help(help),
        )
    };
    match stop.first() {
        "for" => found(
            "`for` stands in a method".to_owned(),
            "to repeat a part write `stack h[i: n] = Block(d)`",
        ),
        "if" => found(
            "`if` stands in a method".to_owned(),
            "choose a part by a value: `sub act = if gated then Gate(d) else Identity()`",
        ),
        word @ ("return" | "recurrence" | "while" | "emit") => found(
            format!("`{word}` stands in a method"),
            "move it into `forward(x: f32[t, d]) -> f32[t, d] { … }`",
        ),
        "module" | "model" | "memory" | "weights" | "test" | "golden" | "fn" | "train"
        | "probe" | "use" => found(
            format!(
                "`{}` is declared at the top level, not inside a module",
                stop.first()
            ),
            "move it out of these braces",
        ),
        name => {
            let is_equation = outline.kind(stop.start) == Some(Kind::Word)
                && matches!(outline.text(stop.start + 1), "[" | "'" | ",");
            if !is_equation {
                return None;
            }
            found(
                format!("the equation of `{name}` stands outside of a method"),
                "move it into `forward(x: f32[t, d]) -> f32[t, d] { … }`",
            )
        }
    }
}

/// Types that are written another way, or missing.
fn type_slip(stop: &Stop<'_>) -> Option<Diagnostic> {
    let outline = stop.outline;
    let here = stop.here();
    let typed = |message: &str, help: &str| {
        Some(
            Diagnostic::error(code::TYPED, message.to_owned())
                .at(outline.span(stop.token), "")
                .help(help),
        )
    };
    let is_dtype = matches!(
        stop.before(),
        "f64"
            | "f32"
            | "f16"
            | "bf16"
            | "i64"
            | "i32"
            | "i16"
            | "i8"
            | "u64"
            | "u32"
            | "u16"
            | "u8"
            | "bool"
    );
    if here == "(" && is_dtype {
        return typed(
            "the axes of a type stand in brackets",
            &format!("write `{}[t, d]`", stop.before()),
        );
    }
    let after_name = stop.token == stop.start + 2;
    match stop.first() {
        "param" if after_name && here != ":" && here != "." => {
            return typed(
                "a parameter has a type",
                &format!("write `param {}: f32[d] = …`", stop.before()),
            );
        }
        "state" if after_name && here != ":" => {
            return typed(
                "a state has a type",
                &format!("write `state {}: f32[d] = …`", stop.before()),
            );
        }
        "state"
            if !outline.wants_more(stop.token.saturating_sub(1))
                && (outline.is_first(stop.token) || here == "}") =>
        {
            return Some(
                Diagnostic::error(code::TYPED, "a state has a value at its start")
                    .at(outline.after(stop.previous()?), "")
                    .help("write `state S: f32[h, n] = 0`"),
            );
        }
        _ => {}
    }
    if here == ":" && stop.before() == ")" {
        return typed(
            "the type of a result follows `->`",
            "write `forward(x: f32[t, d]) -> f32[t, d] { … }`",
        );
    }
    None
}

/// `where`, `else`, `if` in places where they cannot stand.
fn clause(stop: &Stop<'_>, expected: &[Rule]) -> Option<Diagnostic> {
    let outline = stop.outline;
    let span = outline.span(stop.token);
    let words: Vec<_> = (stop.start..stop.token)
        .map(|token| outline.text(token))
        .collect();
    match stop.here() {
        "where" if words.contains(&"where") => Some(
            Diagnostic::error(code::PARENTHESES, "an expression has one `where`")
                .at(span, "second one")
                .help("join the conditions with `and`, or put parentheses around the part that the first one governs"),
        ),
        "," if words.contains(&"where") && stop.bracket().is_none() => Some(
            Diagnostic::error(code::OPERATOR, "conditions are joined with `and`, not with `,`")
                .at(span, "")
                .help("write `where j <= i and i < n`"),
        ),
        "if" if stop.previous().is_some_and(|before| outline.wants_more(before)) && !words.contains(&"then") => Some(
            Diagnostic::error(code::PARENTHESES, "a choice inside an operation needs parentheses")
                .at(span, "")
                .help("write `(if c then a else b)`"),
        ),
        "else" if !words.contains(&"if") && !words.contains(&"where") => Some(
            Diagnostic::error(code::UNEXPECTED, "`else` follows nothing that it could belong to")
                .at(span, "")
                .help("a choice is written `if c then a else b`; after `where`, `else` gives the value outside"),
        ),
        _ if expected.contains(&Rule::kw_else) && words.contains(&"then") => {
            let at = words.iter().rposition(|&word| word == "if").map(|at| stop.start + at)?;
            Some(
                Diagnostic::error(code::CHOICE, "a choice between values has an `else`")
                    .at(outline.span(at), "this `if` has none")
                    .help("write `if c then a else b`; for 0 outside of a condition write `a where c`"),
            )
        }
        _ if expected.contains(&Rule::kw_then) && words.contains(&"if") && stop.here() != "{" => Some(
            Diagnostic::error(code::CHOICE, "a choice between values is written with `then`")
                .at(span, "expected `then`")
                .help("write `if c then a else b`"),
        ),
        _ => None,
    }
}

/// `f(a b)`, `[1 2]`, `Linear(d e)`.
fn missing_comma(stop: &Stop<'_>) -> Option<Diagnostic> {
    let outline = stop.outline;
    let open = stop.bracket()?;
    let previous = stop.previous()?;
    if stop.here() == "for" {
        return Some(slip::comprehension(outline.span(stop.token)));
    }
    let begins = matches!(
        outline.kind(stop.token),
        Some(Kind::Word | Kind::Number | Kind::Text)
    ) || matches!(stop.here(), "(" | "[" | "{");
    let ends = matches!(
        outline.kind(previous),
        Some(Kind::Word | Kind::Number | Kind::Text)
    ) || matches!(stop.before(), ")" | "]" | "}" | "'");
    let in_list = outline
        .partner(open)
        .is_some_and(|close| close >= stop.token);
    if !begins
        || !ends
        || !in_list
        || stop.token >= stop.part.end
        || outline.wants_more(previous)
        || previous == open
    {
        return None;
    }
    let (left, right) = (shown(stop.before()), shown(stop.here()));
    Some(
        Diagnostic::error(
            code::MISSING,
            format!("a `,` or an operator is missing between {left} and {right}"),
        )
        .at(outline.span(stop.token), "expected `,` before this")
        .help(format!("write `{}, {}`", stop.before(), stop.here())),
    )
}

/// `param w: f32[d],` at the end of a line.
fn separator(stop: &Stop<'_>) -> Option<Diagnostic> {
    let outline = stop.outline;
    let ends = outline.is_first(stop.token + 1) || outline.text(stop.token + 1) == "}";
    if stop.here() != "," || !ends || stop.chunk.is_none() || stop.bracket().is_some() {
        return None;
    }
    Some(
        Diagnostic::error(
            code::SEMICOLON,
            "`,` is not needed: a line ends where the next one begins",
        )
        .at(outline.span(stop.token), "")
        .help("remove it"),
    )
}

/// `if c then y = 3` as a statement, `forward(x) -> f32 = …`.
fn unbraced(stop: &Stop<'_>) -> Option<Diagnostic> {
    let (message, help) = match stop.here() {
        "then" if stop.first() == "if" && stop.is_statement() => (
            "a choice of statements has braces and no `then`",
            "write `if c { … } else { … }`; a choice of values is `y = if c then a else b`",
        ),
        "=" if stop.is_member() && stop.outline.text(stop.start + 1) == "(" => (
            "a method has a body in braces",
            "write `forward(x: f32[t, d]) -> f32[t, d] { return … }`",
        ),
        _ => return None,
    };
    Some(
        Diagnostic::error(code::BRACES, message)
            .at(stop.outline.span(stop.token), "expected `{`")
            .help(help),
    )
}

/// `x = a, b`.
fn comma_outside(stop: &Stop<'_>) -> Option<Diagnostic> {
    if stop.here() != "," || !stop.is_statement() || stop.bracket().is_some() {
        return None;
    }
    Some(
        Diagnostic::error(
            code::PARENTHESES,
            "a tuple on the right side stands in parentheses",
        )
        .at(stop.outline.span(stop.token), "")
        .help("write `(a, b)`, or one equation for each name"),
    )
}

/// `y = +x`.
fn unary_plus(stop: &Stop<'_>) -> Option<Diagnostic> {
    let previous = stop.previous()?;
    if stop.here() != "+"
        || !(stop.outline.wants_more(previous) || matches!(stop.before(), "(" | "["))
    {
        return None;
    }
    Some(
        Diagnostic::error(code::OPERATOR, "there is no `+` before a value")
            .at(stop.outline.span(stop.token), "")
            .help("remove it"),
    )
}

/// `module Name {`.
fn head(stop: &Stop<'_>) -> Option<Diagnostic> {
    let named = stop.token == stop.start + 2 && stop.chunk.is_none();
    let word = stop.first();
    if !named || stop.here() != "{" || !matches!(word, "module" | "model" | "memory" | "procedure")
    {
        return None;
    }
    let name = stop.before();
    Some(
        Diagnostic::error(
            code::UNEXPECTED,
            format!("`{name}` has no list of parameters"),
        )
        .at(stop.outline.span(stop.token), "expected `(` before this")
        .help(format!("write `{word} {name}() {{ … }}`")),
    )
}
