//! Items, members of modules, parameters and types.

use super::Printer;
use super::doc::Doc;
use super::expr::quoted;
use super::lines::Align;
use super::list::Entry;
use crate::ast::{
    AxisDecl, Branch, ExpertsDecl, Expr, FnDecl, Item, ItemKind, Member, MemberKind, Method,
    Module, ModuleKind, Name, ParamDecl, Parameter, Path, Procedure, Segment, Setting, StmtKind,
    Text, Type, TypeKind,
};
use crate::span::Span;

impl Printer<'_> {
    /// Writes an item.
    pub(super) fn item(&mut self, item: &Item) {
        let span = item.span;
        match &item.kind {
            ItemKind::Use(used) => {
                self.element(span, None, |_| {
                    Doc::concat([Doc::text("use "), quoted(&used.path)])
                });
            }
            ItemKind::Plugin(id) => {
                self.element(span, None, |_| {
                    Doc::concat([Doc::text("plugin "), quoted(id)])
                });
            }
            ItemKind::Axis(axis) => self.element(span, None, |printer| printer.axis(axis)),
            ItemKind::Let(name, value) => {
                self.element(span, None, |printer| printer.static_value(name, value));
            }
            ItemKind::Fn(function) => self.function(function, span),
            ItemKind::Module(module) => self.module(module, span),
            ItemKind::Weights(block) => self.weights(block, span),
            ItemKind::Golden(block) => self.golden(block, span),
            ItemKind::Test(block) => self.test(block, span),
            ItemKind::Snapshot(snapshot) => self.snapshot(snapshot, span),
            ItemKind::Train(block) => self.train(block, span),
            ItemKind::Probe(block) => self.probe(block, span),
            ItemKind::Procedure(procedure) => self.procedure(procedure, span),
        }
    }

    fn axis(&mut self, axis: &AxisDecl) -> Doc {
        let kind = axis
            .kind
            .as_ref()
            .map_or(String::new(), |kind| format!(": {}", kind.text));
        let name = Doc::text(format!("axis {}{kind}", axis.name.text));
        match &axis.extent {
            Some(extent) => Doc::concat([name, Doc::text(" = "), self.expr(extent)]),
            None => name,
        }
    }

    fn static_value(&mut self, name: &Name, value: &Expr) -> Doc {
        Doc::concat([Doc::text(format!("let {}", name.text)), self.defined(value)])
    }

    fn function(&mut self, function: &FnDecl, span: Span) {
        for attribute in &function.attributes {
            let span = self.attribute_span(attribute);
            self.element(span, None, |printer| printer.attribute(attribute));
        }
        let span = match function.attributes.as_slice() {
            [] => span,
            // Behind the attributes.
            _ => Span {
                start: function.name.span.start,
                ..span
            },
        };
        let name = Doc::text(format!("fn {}", function.name.text));
        let block = match &function.body {
            Some(block) if !function.short => block,
            body => {
                let value = match body.as_ref().map(|block| block.stmts.as_slice()) {
                    Some([stmt]) => match &stmt.kind {
                        StmtKind::Return(value) => Some(value),
                        _ => None,
                    },
                    _ => None,
                };
                self.element(span, None, |printer| {
                    let params = printer.params(&function.params);
                    let result = printer.result(function.result.as_ref());
                    let head = Doc::concat([name, params, result]);
                    match value {
                        Some(value) => Doc::concat([head, printer.defined(value)]),
                        None => head,
                    }
                });
                return;
            }
        };
        self.hold(span);
        let params = self.params(&function.params);
        let result = self.result(function.result.as_ref());
        self.block(span, Doc::concat([name, params, result]), block);
        self.trailing(span.end as usize);
    }

    fn procedure(&mut self, procedure: &Procedure, span: Span) {
        self.hold(span);
        let name = Doc::text(format!("procedure {}", procedure.name.text));
        let params = self.params(&procedure.params);
        let result = self.result(procedure.result.as_ref());
        self.block(span, Doc::concat([name, params, result]), &procedure.body);
        self.trailing(span.end as usize);
    }

    fn module(&mut self, module: &Module, span: Span) {
        let word = match module.kind {
            ModuleKind::Module => "module",
            ModuleKind::Model => "model",
            ModuleKind::Memory => "memory",
        };
        self.hold(span);
        let name = Doc::text(format!("{word} {}", module.name.text));
        let head = Doc::concat([name, self.params(&module.params)]);
        let open = self.brace_of(span.end as usize);
        self.braces(span, Some(open), head, |printer| {
            for member in &module.members {
                printer.doc_lines(member.doc.as_deref());
                printer.member(member);
            }
        });
        self.trailing(span.end as usize);
    }

    fn member(&mut self, member: &Member) {
        let span = member.span;
        match &member.kind {
            MemberKind::Axis(axis) => self.element(span, None, |printer| printer.axis(axis)),
            MemberKind::Let(name, value) => {
                self.element(span, None, |printer| printer.static_value(name, value));
            }
            MemberKind::Param(param) => {
                self.element(span, Some(Align::Param), |printer| printer.param(param));
            }
            MemberKind::Sub(sub) => self.element(span, Some(Align::Part), |printer| {
                let path = printer.path(&sub.path);
                let value = printer.defined(&sub.value);
                Doc::concat([Doc::text("sub "), path, value, rename(sub.rename.as_ref())])
            }),
            MemberKind::Stack(stack) => self.element(span, Some(Align::Part), |printer| {
                let path = printer.path(&stack.path);
                let count = printer.count(stack.var.as_ref(), &stack.count);
                let value = printer.expr(&stack.value);
                Doc::concat([
                    Doc::text("stack "),
                    path,
                    count,
                    Doc::text(" = "),
                    value,
                    rename(stack.rename.as_ref()),
                ])
            }),
            MemberKind::Experts(experts) => self.experts(experts, span),
            MemberKind::State(state) => self.element(span, None, |printer| printer.state(state)),
            MemberKind::Method(method) => self.method(method, span),
            MemberKind::Setting(setting) => {
                self.element(span, Some(Align::Setting), |printer| {
                    printer.setting(setting)
                });
            }
        }
    }

    fn param(&mut self, param: &ParamDecl) -> Doc {
        let path = self.path(&param.path);
        let ty = self.ty(&param.ty);
        let mut parts = vec![Doc::text("param "), path, Doc::text(": "), ty];
        if let Some(init) = &param.init {
            parts.extend([Doc::text(" = "), self.expr(init)]);
        }
        parts.push(rename(param.rename.as_ref()));
        if let Some(storage) = &param.storage {
            parts.push(Doc::text(format!(" stored {}", storage.kind.text)));
            if let Some(group) = &storage.group {
                parts.extend([Doc::text(" group "), self.expr(group)]);
            }
        }
        if param.frozen {
            parts.push(Doc::text(" frozen"));
        }
        Doc::Concat(parts)
    }

    fn count(&mut self, var: Option<&Name>, count: &Expr) -> Doc {
        let var = var.map_or(String::new(), |var| format!("{}: ", var.text));
        Doc::concat([
            Doc::text(format!("[{var}")),
            self.expr(count),
            Doc::text("]"),
        ])
    }

    fn experts(&mut self, experts: &ExpertsDecl, span: Span) {
        self.hold(span);
        let open = self.brace_of(span.end as usize);
        self.braces(
            span,
            Some(open),
            Doc::text(format!("experts {}", experts.name.text)),
            |printer| {
                for branch in &experts.branches {
                    let span = branch.name.span.to(branch.value.span);
                    printer.element(span, Some(Align::Part), |printer| printer.branch(branch));
                }
            },
        );
        self.trailing(span.end as usize);
    }

    fn branch(&mut self, branch: &Branch) -> Doc {
        let count = match &branch.count {
            Some(count) => self.count(branch.var.as_ref(), count),
            None => Doc::text(""),
        };
        Doc::concat([
            Doc::text(&branch.name.text),
            count,
            Doc::text(" = "),
            self.expr(&branch.value),
        ])
    }

    fn method(&mut self, method: &Method, span: Span) {
        self.hold(span);
        let params = self.params(&method.params);
        let result = self.result(method.result.as_ref());
        let mut parts = vec![Doc::text(&method.name.text), params, result];
        if let Some(when) = &method.when {
            parts.extend([Doc::text(" when "), self.expr(when)]);
        }
        self.block(span, Doc::Concat(parts), &method.body);
        self.trailing(span.end as usize);
    }

    /// `name = a, b`.
    pub(super) fn setting(&mut self, setting: &Setting) -> Doc {
        Doc::concat([
            Doc::text(&setting.name.text),
            self.setting_values(&setting.values),
        ])
    }

    fn result(&mut self, result: Option<&Type>) -> Doc {
        match result {
            Some(ty) => Doc::concat([Doc::text(" -> "), self.ty(ty)]),
            None => Doc::text(""),
        }
    }

    fn params(&mut self, params: &[Parameter]) -> Doc {
        let entry = |param: &Parameter| {
            let mut span = param.name.span;
            if let Some(ty) = &param.ty {
                span = span.to(ty.span);
            }
            if let Some(default) = &param.default {
                span = span.to(default.span);
            }
            Entry {
                span,
                separator: if param.after_arrow { " ->" } else { "," },
            }
        };
        self.list("(", ")", false, params, entry, |printer, param| {
            let mut parts = vec![Doc::text(&param.name.text)];
            if let Some(ty) = &param.ty {
                parts.extend([Doc::text(": "), printer.ty(ty)]);
            }
            if let Some(default) = &param.default {
                parts.extend([Doc::text(" = "), printer.expr(default)]);
            }
            Doc::Concat(parts)
        })
    }

    /// A type.
    pub(super) fn ty(&mut self, ty: &Type) -> Doc {
        match &ty.kind {
            TypeKind::Tensor { name, axes } if axes.is_empty() => Doc::text(&name.text),
            TypeKind::Tensor { name, axes } => {
                Doc::concat([Doc::text(&name.text), self.index(axes)])
            }
            TypeKind::Record(fields) => self.list(
                "{",
                "}",
                true,
                fields,
                |(name, ty)| Entry {
                    span: name.span.to(ty.span),
                    separator: ",",
                },
                |printer, (name, ty)| {
                    Doc::concat([Doc::text(format!("{}: ", name.text)), printer.ty(ty)])
                },
            ),
            TypeKind::Tuple(items) => self.list(
                "(",
                ")",
                false,
                items,
                |item| Entry {
                    span: item.span,
                    separator: ",",
                },
                super::Printer::ty,
            ),
        }
    }

    /// A path.
    pub(super) fn path(&mut self, path: &Path) -> Doc {
        let mut parts = Vec::new();
        for (at, segment) in path.segments.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            parts.push(match segment {
                Segment::Name(name) => Doc::text(format!("{dot}{}", name.text)),
                // In brackets where the source has them: `h[{i}]`, `h[*]`.
                Segment::Wild(name) if self.is_bracketed(name.span.start.wrapping_sub(2)) => {
                    Doc::text(format!("[{{{}}}]", name.text))
                }
                Segment::Wild(name) => Doc::text(format!("{dot}{{{}}}", name.text)),
                Segment::Star(span) if self.is_bracketed(span.start.wrapping_sub(1)) => {
                    Doc::text("[*]")
                }
                Segment::Star(_) => Doc::text(format!("{dot}*")),
                Segment::Index(items) => self.index(items),
            });
        }
        Doc::Concat(parts)
    }

    fn is_bracketed(&self, place: u32) -> bool {
        self.source.as_bytes().get(place as usize) == Some(&b'[')
    }
}

fn rename(name: Option<&Text>) -> Doc {
    match name {
        Some(name) => Doc::concat([Doc::text(" as "), quoted(name)]),
        None => Doc::text(""),
    }
}
