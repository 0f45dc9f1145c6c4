//! Reducers called like functions, and reducers that a `where` cannot tell apart.

use crate::ast::{Arg, ExprKind, Reducer};
use crate::diag::Diagnostic;
use crate::parse::build::{Builder, elementwise};
use crate::parse::code;
use crate::span::Span;

pub(in crate::parse) fn reducer_as_function(
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

pub(in crate::parse) fn two_bare_reducers(outer: Span, inner: Span) -> Diagnostic {
    Diagnostic::error(
        code::TWO_REDUCERS,
        "`where` could govern either of two reducers",
    )
    .at(inner, "this one")
    .also(outer, "or this one")
    .help("put parentheses around the inner one, with its own `where` if it needs one")
}

pub(in crate::parse) fn two_side_by_side(one: Span, other: Span) -> Diagnostic {
    Diagnostic::error(
        code::TWO_REDUCERS,
        "`where` could govern either of two reducers",
    )
    .at(other, "this one")
    .also(one, "or this one")
    .help("give one of them a line and a name of its own")
}
