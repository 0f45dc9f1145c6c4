//! What people write from habit, and what to write instead: slips that the
//! grammar accepts and the builder finds.

use super::build::{Builder, elementwise};
use super::code;
use crate::ast::{Arg, Expr, ExprKind, Index, Name, Reducer, Stmt};
use crate::diag::Diagnostic;
use crate::span::Span;

// ---- Files ------------------------------------------------------------------

pub(super) fn too_large(span: Span, size: usize, limit: usize) -> Diagnostic {
    Diagnostic::error(
        code::LIMIT,
        format!("the file has {size} bytes; the most are {limit}"),
    )
    .at(span, "")
    .help("divide it, and write `use \"part.girih\"`")
}

pub(super) fn edition(span: Span) -> Diagnostic {
    Diagnostic::error(
        code::UNEXPECTED,
        "`girih` is followed by the edition of the language",
    )
    .at(span, "no number follows")
    .help("write `girih 0.1`")
}

pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(code::LIMIT, "the expression has too many levels")
        .at(span, "")
        .note(format!(
            "an expression may have {} levels; each operator of a chain is one",
            super::build::MAX_TREE
        ))
        .help("give parts of it names of their own")
}

// ---- Operators --------------------------------------------------------------

pub(super) fn foreign_operator(span: Span, text: &str) -> Diagnostic {
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

pub(super) fn no_operand(span: Span, operator: &str) -> Diagnostic {
    Diagnostic::error(
        code::UNEXPECTED,
        format!("`{operator}` is followed by no value"),
    )
    .at(span, "expected a value after this")
}

pub(super) fn not_needs_parentheses(span: Span) -> Diagnostic {
    Diagnostic::error(
        code::PARENTHESES,
        "`not` binds more loosely than the operator before it",
    )
    .at(span, "")
    .help("put it in parentheses: `(not x)`")
}

pub(super) fn equals_in_condition(left_text: &str, left: Span, span: Span) -> Diagnostic {
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

pub(super) fn foreign_assignment(place: &str, operator: &str, span: Span) -> Diagnostic {
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

pub(super) fn equals_in_record(name: &Name, span: Span) -> Diagnostic {
    Diagnostic::error(code::EQUALS, "the fields of a record are written with `:`")
        .at(span, "")
        .help(format!("write `{}: …`", name.text))
}

// ---- Choices and lists ------------------------------------------------------

pub(super) fn ternary(span: Span, value: &str, cond: &str, other: &str) -> Diagnostic {
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

pub(super) fn comprehension(span: Span) -> Diagnostic {
    Diagnostic::error(code::CHOICE, "lists are not built by `for`")
        .at(span, "")
        .help("write an equation over an axis, `y[i] = f(x)`; for unlike modules, `stack h[i: n] = …`")
}

// ---- Indices and shapes -----------------------------------------------------

pub(super) fn slice(builder: &Builder<'_>, span: Span, name: Option<&Name>) -> Diagnostic {
    let text = builder.slice(span);
    if matches!(text, ":" | "...") {
        let message = match text {
            ":" => "`:` chooses no elements: an axis that is not mentioned is kept whole",
            _ => "`...` is not needed: axes that are not mentioned are kept",
        };
        return Diagnostic::error(code::POSITION, message)
            .at(span, "")
            .help("remove it: `x[t = 3]` fixes `t` and keeps all other axes");
    }
    let range = text.rsplit('=').next().unwrap_or("");
    let mut bounds = range
        .split(':')
        .map(|bound| bound.trim().parse::<u32>().ok());
    let (shift, bound) = match (bounds.next().flatten(), bounds.next().flatten()) {
        (Some(0), Some(end)) => (String::new(), end.to_string()),
        (Some(start), Some(end)) if start < end => {
            (format!(" + {start}"), (end - start).to_string())
        }
        _ => (" + start".to_owned(), "n".to_owned()),
    };
    let axis = name.map_or("t", |name| name.text.as_str());
    Diagnostic::error(
        code::POSITION,
        "a range of elements is chosen by a condition, not by a slice",
    )
    .at(span, "")
    .help(format!(
        "name the axis and bound the index: `y[i] = x[{axis} = i{shift}] where i < {bound}`"
    ))
}

/// Whether a slip explains the others in the same brackets.
pub(super) enum Strong {
    Yes,
    No,
}

pub(super) fn positional_index(
    builder: &Builder<'_>,
    base: &Expr,
    items: &[Index],
    span: Span,
) -> Option<(Diagnostic, Strong)> {
    let whole = builder.slice(base.span);
    let compared = items.iter().find_map(|item| match item {
        Index::At(Expr {
            kind: ExprKind::Binary(crate::ast::BinaryOp::Eq, left, _),
            span,
        }) => Some((builder.slice(left.span), *span)),
        _ => None,
    });
    if let Some((axis, span)) = compared {
        let found = Diagnostic::error(code::EQUALS, "an index is bound with `=`")
            .at(span, "")
            .help(format!("write `{axis} = …`"));
        return Some((found, Strong::No));
    }
    let none = items.iter().find_map(|item| match item {
        Index::At(Expr {
            kind: ExprKind::Name(word),
            span,
        }) if word == "None" => Some(*span),
        _ => None,
    });
    if let Some(span) = none {
        let found = Diagnostic::error(
            code::POSITION,
            "no axis is added by `None`: axes are matched by name",
        )
        .at(span, "")
        .help(format!(
            "remove the brackets: `{whole}` meets every axis it lacks"
        ));
        return Some((found, Strong::Yes));
    }
    let positional = items
        .iter()
        .filter(|item| matches!(item, Index::At(_)))
        .count();
    if items.len() < 2 || positional == 0 {
        return None;
    }
    let shown: Vec<_> = items
        .iter()
        .map(|item| match item {
            Index::Bind(name, value) => format!("{} = {}", name.text, builder.slice(value.span)),
            Index::At(value) => format!("axis = {}", builder.slice(value.span)),
            Index::All(_) => "…".to_owned(),
        })
        .collect();
    let help = match items {
        [Index::At(a), Index::At(b)] if !whole.contains('\n') => format!(
            "name the axes of `{whole}`: `{whole}[t = {}, d = {}]`; an axis that keeps its name needs no entry",
            builder.slice(a.span),
            builder.slice(b.span)
        ),
        _ => format!(
            "write `{whole}[{}]`; an axis that keeps its name needs no entry",
            shown.join(", ")
        ),
    };
    let found = Diagnostic::error(
        code::POSITION,
        "elements are chosen by the names of axes, not by position",
    )
    .at(span, "")
    .help(help);
    Some((found, Strong::No))
}

pub(super) fn transposed(builder: &Builder<'_>, base: &Expr, name: &Name) -> Option<Diagnostic> {
    let text = name.text.as_str();
    let reshapes = matches!(text, "view" | "reshape" | "flatten");
    let permutes = matches!(
        text,
        "mT" | "transpose" | "permute" | "unsqueeze" | "squeeze" | "expand" | "contiguous"
    );
    let transposes = text == "T" && !builder.has_t;
    if reshapes {
        return Some(
            Diagnostic::error(code::SHAPES, format!("`.{text}` is written as an equation"))
                .at(name.span, "")
                .help("merge axes with `y[t, (h, e)] = x`; split one with `y[t, h, e] = x[d = h * size(e) + e]`"),
        );
    }
    if !permutes && !transposes {
        return None;
    }
    let value = builder.slice(base.span);
    let value = if value.contains('\n') || value.len() > 30 {
        "x"
    } else {
        value
    };
    let message = format!("`.{text}` has no meaning: axes are named, their order does not matter");
    Some(
        Diagnostic::error(code::SHAPES, message)
            .at(name.span, "")
            .help(format!(
                "write `{value}`; rename an axis with `{value}[i = j]`"
            )),
    )
}

pub(super) fn shape_call(callee: &Expr, args: &[Arg], span: Span) -> Option<Diagnostic> {
    let ExprKind::Name(word) = &callee.kind else {
        return None;
    };
    let help = match word.as_str() {
        "einsum" => match args.first().map(|arg| &arg.value.kind) {
            Some(ExprKind::Text(text)) => einsum(&text.text, args),
            _ => return None,
        },
        "matmul" | "bmm" => {
            "write the equation, with the axis that is summed: `y[…] = sum(e) a * b`".to_owned()
        }
        "transpose" | "permute" | "unsqueeze" | "squeeze" | "expand" | "broadcast_to" => {
            "use the value as it is: axes are matched by name; rename one with `x[i = j]`"
                .to_owned()
        }
        "reshape" | "view" | "rearrange" => {
            "merge axes with `y[t, (h, e)] = x`, split one with `y[t, h, e] = x[d = h * size(e) + e]`"
                .to_owned()
        }
        _ => return None,
    };
    Some(
        Diagnostic::error(code::SHAPES, format!("`{word}` is written as an equation"))
            .at(callee.span, "")
            .help(help),
    )
    .filter(|_| span.end > span.start)
}

/// The equation of an einsum text such as `bhie,bhje->bhij`.
fn einsum(text: &str, args: &[Arg]) -> String {
    let general = "write the equation, with the axes that are summed: `y[i, k] = sum(j) a * b`";
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let Some((inputs, output)) = text.split_once("->") else {
        return general.to_owned();
    };
    let known = |c: char| c.is_ascii_lowercase() || c == ',';
    if !inputs.chars().all(known) || !output.chars().all(known) || args.len() < 2 {
        return general.to_owned();
    }
    let names: Vec<_> = args[1..]
        .iter()
        .map(|arg| match &arg.value.kind {
            ExprKind::Name(name) => name.as_str(),
            _ => "x",
        })
        .collect();
    let mut summed: Vec<String> = Vec::new();
    for c in inputs.chars().filter(|&c| c != ',' && !output.contains(c)) {
        if !summed.contains(&c.to_string()) {
            summed.push(c.to_string());
        }
    }
    let axes: Vec<_> = output.chars().map(String::from).collect();
    let reducer = if summed.is_empty() {
        String::new()
    } else {
        format!("sum({}) ", summed.join(", "))
    };
    format!(
        "write `y[{}] = {reducer}{}`; the axes are those of the values",
        axes.join(", "),
        names.join(" * ")
    )
}

// ---- Reducers ---------------------------------------------------------------

pub(super) fn reducer_as_function(
    builder: &Builder<'_>,
    reducer: Reducer,
    head: Span,
    args: &[Arg],
    missing: bool,
) -> Option<Diagnostic> {
    let word = reducer.word();
    let named = |names: &[&str]| {
        args.iter().find(|arg| {
            arg.name
                .as_ref()
                .is_some_and(|name| names.contains(&name.text.as_str()))
        })
    };
    if let Some(axis) = named(&["axis", "axes", "dim", "dims"]) {
        let value = args
            .iter()
            .find(|arg| arg.name.is_none())
            .map_or("x", |arg| builder.slice(arg.value.span));
        let axis_text = builder.slice(axis.value.span);
        let counted = matches!(
            axis.value.kind,
            ExprKind::Int(_)
                | ExprKind::Unary(..)
                | ExprKind::Tuple(_)
                | ExprKind::List(_)
                | ExprKind::Text(_)
        );
        let shown = if counted { "e" } else { axis_text };
        let help = format!("write `{word}({shown}) {value}` with the name of the axis");
        return Some(
            Diagnostic::error(
                code::REDUCER,
                format!("`{word}` names its axis first, and what it reduces after the parentheses"),
            )
            .at(head, "")
            .help(help),
        );
    }
    if let Some(keep) = named(&["keepdim", "keepdims"]) {
        return Some(
            Diagnostic::error(
                code::REDUCER,
                "a reduced axis is gone, and nothing has to be kept for it",
            )
            .at(keep.name.as_ref().map_or(head, |name| name.span), "")
            .help("remove it: values meet by the names of their axes"),
        );
    }
    if !missing {
        return None;
    }
    if let (Some(function), [first, second]) = (elementwise(word), args) {
        let (first, second) = (
            builder.slice(first.value.span),
            builder.slice(second.value.span),
        );
        return Some(
            Diagnostic::error(
                code::REDUCER,
                format!("`{word}` reduces over axes, and nothing follows to be reduced"),
            )
            .at(head, "expected a value after this")
            .help(format!(
                "for the {} of two values write `{function}({first}, {second})`",
                if word == "max" { "larger" } else { "smaller" }
            )),
        );
    }
    let value = args
        .first()
        .map_or("x", |arg| builder.slice(arg.value.span));
    let help = match reducer {
        Reducer::TopK => "write `topk(k, e) x`: how many, along which axis, of what".to_owned(),
        _ if value.len() < 30 && !value.contains('\n') => {
            format!("name the axis in the parentheses: `{word}(axis) {value}`")
        }
        _ => format!("name the axis in the parentheses: `{word}(axis) x`"),
    };
    Some(
        Diagnostic::error(code::REDUCER, format!("`{word}` has nothing to reduce"))
            .at(head, "expected a value after this")
            .help(help),
    )
}

pub(super) fn two_bare_reducers(outer: Span, inner: Span) -> Diagnostic {
    Diagnostic::error(
        code::TWO_REDUCERS,
        "`where` could govern either of two reducers",
    )
    .at(inner, "this one")
    .also(outer, "or this one")
    .help("put parentheses around the inner one, with its own `where` if it needs one")
}

pub(super) fn two_side_by_side(one: Span, other: Span) -> Diagnostic {
    Diagnostic::error(
        code::TWO_REDUCERS,
        "`where` could govern either of two reducers",
    )
    .at(other, "this one")
    .also(one, "or this one")
    .help("give one of them a line and a name of its own")
}

// ---- Names ------------------------------------------------------------------

pub(super) fn foreign_name(word: &str, span: Span) -> Option<Diagnostic> {
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

// ---- Statements -------------------------------------------------------------

pub(super) fn typed_equation(name: &Name, span: Span) -> Diagnostic {
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

pub(super) fn typed_let(name: &Name, span: Span) -> Diagnostic {
    Diagnostic::error(code::TYPED, "a `let` has no type: its value says it")
        .at(span, "")
        .help(format!("write `let {} = …`", name.text))
}

pub(super) fn typed_function(name: &Name, span: Span) -> Diagnostic {
    Diagnostic::error(
        code::TYPED,
        "a function has no result type: its value says it",
    )
    .at(span, "")
    .help(format!("write `fn {}(…) = …`", name.text))
}

pub(super) fn said_twice(word: &str, span: Span) -> Diagnostic {
    Diagnostic::error(code::TWICE, format!("`{word}` is said twice"))
        .at(span, "said again")
        .help("remove one of them")
}

pub(super) fn left_side(span: Span, text: &str) -> Diagnostic {
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
pub(super) fn two_on_a_line(builder: &Builder<'_>, before: &Stmt, expr: &Expr) -> Diagnostic {
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
pub(super) fn no_effect(builder: &Builder<'_>, expr: &Expr) -> Diagnostic {
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
pub(super) fn foreign_statement(word: &str, span: Span) -> Option<Diagnostic> {
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
pub(super) fn foreign_declaration(word: &str, span: Span) -> Option<Diagnostic> {
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
