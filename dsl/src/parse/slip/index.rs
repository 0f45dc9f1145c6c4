//! Indexing by position and operations on shapes: axes have names here.

use crate::ast::{Arg, Expr, ExprKind, Index, Name};
use crate::diag::Diagnostic;
use crate::parse::build::Builder;
use crate::parse::code;
use crate::span::Span;

pub(in crate::parse) fn slice(
    builder: &Builder<'_>,
    span: Span,
    name: Option<&Name>,
) -> Diagnostic {
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
pub(in crate::parse) enum Strong {
    Yes,
    No,
}

pub(in crate::parse) fn positional_index(
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

pub(in crate::parse) fn transposed(
    builder: &Builder<'_>,
    base: &Expr,
    name: &Name,
) -> Option<Diagnostic> {
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

pub(in crate::parse) fn shape_call(callee: &Expr, args: &[Arg], span: Span) -> Option<Diagnostic> {
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
