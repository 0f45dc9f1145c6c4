//! Which axes of a file's tensor an input's declaration does not mention.

use super::super::layout::{axis_names, layout_names};
use super::Named;
use super::source::Names;
use crate::ast::{self, Expr, ExprKind, LayoutItem, TypeKind};

/// Axes of the file that the declaration does not mention, outermost first.
pub(super) fn lifted_axes(named: &Named, ty: Option<&ast::Type>, names: &Names<'_>) -> Vec<String> {
    let Some(TypeKind::Tensor { axes, .. }) = ty.map(|ty| &ty.kind) else {
        return Vec::new();
    };
    if let Some(layout) = &named.layout {
        let mut declared = declared_names(axes);
        if let Some(written) = axis_names(&named.written) {
            let written: Vec<LayoutItem> = written.into_iter().cloned().collect();
            declared = layout_names(&written).concat();
        }
        let all = layout_names(layout).concat();
        return all
            .into_iter()
            .filter(|name| !declared.contains(name))
            .collect();
    }
    let rank = names.rank(&named.source);
    let extra = rank.map_or(0, |rank| rank.saturating_sub(axes.len()));
    let name = |at: usize| {
        if at == 0 {
            "b".to_owned()
        } else {
            format!("b{at}")
        }
    };
    (0..extra.min(16)).map(name).collect()
}

pub(super) fn declared_names(axes: &[ast::Index]) -> Vec<String> {
    fn collect(expr: &Expr, names: &mut Vec<String>) {
        match &expr.kind {
            ExprKind::Name(name) => names.push(name.clone()),
            ExprKind::Tuple(parts) => parts.iter().for_each(|part| collect(part, names)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    for axis in axes {
        match axis {
            ast::Index::Bind(name, _) => names.push(name.text.clone()),
            ast::Index::At(expr) => collect(expr, &mut names),
            ast::Index::All(_) => {}
        }
    }
    names
}
