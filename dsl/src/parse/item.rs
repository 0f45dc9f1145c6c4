//! Items, members of modules, parameters and types.

use pest::iterators::Pair;

use super::build::{Builder, Parts, only};
use super::grammar::Rule;
use super::slip;
use crate::ast::{
    AxisDecl, BinaryOp, Block, Branch, ExpertsDecl, Expr, ExprKind, FnDecl, Index, ItemKind,
    Member, MemberKind, Method, Module, ModuleKind, Name, ParamDecl, Parameter, Path, Procedure,
    Segment, StackDecl, Stmt, StmtKind, Storage, SubDecl, Text, Type, TypeKind, Use,
};

impl Builder<'_> {
    /// One top-level item.
    pub(super) fn item(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        match pair.as_rule() {
            Rule::use_item => ItemKind::Use(Use {
                path: self.text(&only(pair)),
            }),
            Rule::plugin_item => ItemKind::Plugin(self.text(&only(pair))),
            Rule::axis_decl => ItemKind::Axis(self.axis_decl(pair)),
            Rule::let_decl => {
                let (name, value) = self.let_decl(pair);
                ItemKind::Let(name, value)
            }
            Rule::fn_decl => ItemKind::Fn(self.fn_decl(pair)),
            Rule::module => ItemKind::Module(self.module(pair)),
            Rule::weights => ItemKind::Weights(self.weights(pair)),
            Rule::golden => ItemKind::Golden(self.golden(pair)),
            Rule::test => ItemKind::Test(self.test(pair)),
            Rule::snapshot => ItemKind::Snapshot(self.snapshot(pair)),
            Rule::train => ItemKind::Train(self.train(pair)),
            Rule::probe => ItemKind::Probe(self.probe(pair)),
            _ => ItemKind::Procedure(self.procedure(pair)),
        }
    }

    fn axis_decl(&mut self, pair: Pair<'_, Rule>) -> AxisDecl {
        let mut parts = Parts::of(pair);
        let name = self.declared(&parts.part());
        let kind = parts
            .maybe(Rule::axis_kind)
            .map(|kind| self.word(&only(kind)));
        let extent = parts.next().map(|extent| self.expr(only(extent)));
        AxisDecl { name, kind, extent }
    }

    fn let_decl(&mut self, pair: Pair<'_, Rule>) -> (Name, Expr) {
        let mut parts = Parts::of(pair);
        let name = self.declared(&parts.part());
        if let Some(typed) = parts.maybe(Rule::slip_type) {
            let found = slip::typed_let(&name, self.span(&typed));
            self.report(found);
        }
        (name, self.expr(parts.part()))
    }

    fn fn_decl(&mut self, pair: Pair<'_, Rule>) -> FnDecl {
        let mut parts = Parts::of(pair);
        let attributes = parts.all(Rule::attribute).into_iter();
        let attributes = attributes.map(|pair| self.attribute(pair)).collect();
        let name = self.declared(&parts.part());
        let params = self.params(parts.part());
        let result = parts
            .maybe(Rule::result)
            .map(|result| self.ty(only(result)));
        let body = parts.next();
        let short = (body.as_ref()).is_some_and(|body| body.as_rule() == Rule::fn_short);
        let body = body.map(|body| {
            if !short {
                return self.block(body);
            }
            let value = self.expr(only(body));
            let span = value.span;
            let stmt = Stmt {
                attributes: Vec::new(),
                kind: StmtKind::Return(value),
                span,
            };
            Block {
                stmts: vec![stmt],
                span,
            }
        });
        FnDecl {
            attributes,
            name,
            params,
            result,
            body,
            short,
        }
    }

    fn procedure(&mut self, pair: Pair<'_, Rule>) -> Procedure {
        let mut parts = Parts::of(pair);
        let name = self.declared(&parts.part());
        let params = self.params(parts.part());
        let result = parts
            .maybe(Rule::result)
            .map(|result| self.ty(only(result)));
        Procedure {
            name,
            params,
            result,
            body: self.block(parts.part()),
        }
    }

    fn module(&mut self, pair: Pair<'_, Rule>) -> Module {
        let mut parts = Parts::of(pair);
        let kind = match parts.part().as_str() {
            "model" => ModuleKind::Model,
            "memory" => ModuleKind::Memory,
            _ => ModuleKind::Module,
        };
        let name = self.declared(&parts.part());
        let params = self.params(parts.part());
        let members = parts.map(|member| self.member(only(member))).collect();
        Module {
            kind,
            name,
            params,
            members,
        }
    }

    fn member(&mut self, pair: Pair<'_, Rule>) -> Member {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::axis_decl => MemberKind::Axis(self.axis_decl(pair)),
            Rule::let_decl => {
                let (name, value) = self.let_decl(pair);
                MemberKind::Let(name, value)
            }
            Rule::param_decl => MemberKind::Param(self.param_decl(pair)),
            Rule::sub_decl => MemberKind::Sub(self.sub_decl(pair)),
            Rule::stack_decl => MemberKind::Stack(self.stack_decl(pair)),
            Rule::experts_decl => MemberKind::Experts(self.experts_decl(pair)),
            Rule::state_decl => MemberKind::State(self.state_decl(pair)),
            Rule::setting => MemberKind::Setting(self.setting(pair)),
            _ => MemberKind::Method(self.method(pair)),
        };
        Member {
            doc: None,
            kind,
            span,
        }
    }

    fn param_decl(&mut self, pair: Pair<'_, Rule>) -> ParamDecl {
        let mut parts = Parts::of(pair);
        let path = self.path(parts.part());
        let ty = self.ty(parts.part());
        let init = parts.maybe(Rule::init).map(|init| self.expr(only(init)));
        let mut decl = ParamDecl {
            path,
            ty,
            init,
            rename: None,
            storage: None,
            frozen: false,
        };
        for flag in parts {
            let span = self.span(&flag);
            let (word, again) = match flag.as_rule() {
                Rule::rename => {
                    let name = self.text(&only(flag));
                    ("as", decl.rename.replace(name).is_some())
                }
                Rule::storage => {
                    let storage = self.storage(flag);
                    ("stored", decl.storage.replace(storage).is_some())
                }
                _ => ("frozen", std::mem::replace(&mut decl.frozen, true)),
            };
            if again {
                self.report(slip::said_twice(word, span));
            }
        }
        decl
    }

    fn storage(&mut self, pair: Pair<'_, Rule>) -> Storage {
        let mut parts = Parts::of(pair);
        let kind = self.word(&parts.part());
        Storage {
            kind,
            group: parts.next().map(|group| self.expr(only(group))),
        }
    }

    fn rename(&mut self, parts: &mut Parts<'_>) -> Option<Text> {
        parts
            .maybe(Rule::rename)
            .map(|rename| self.text(&only(rename)))
    }

    fn sub_decl(&mut self, pair: Pair<'_, Rule>) -> SubDecl {
        let mut parts = Parts::of(pair);
        let path = self.path(parts.part());
        let value = self.expr(parts.part());
        SubDecl {
            path,
            value,
            rename: self.rename(&mut parts),
        }
    }

    fn stack_decl(&mut self, pair: Pair<'_, Rule>) -> StackDecl {
        let mut parts = Parts::of(pair);
        let path = self.path(parts.part());
        let (var, count) = self.count(parts.part());
        let value = self.expr(parts.part());
        StackDecl {
            path,
            var,
            count,
            value,
            rename: self.rename(&mut parts),
        }
    }

    /// `[i: n]` or `[n]`.
    fn count(&mut self, pair: Pair<'_, Rule>) -> (Option<Name>, Expr) {
        let mut parts = Parts::of(pair);
        let var = parts
            .maybe(Rule::count_var)
            .map(|var| self.declared(&only(var)));
        let count = self.expr(parts.part());
        if let ExprKind::Binary(BinaryOp::In, left, _) = &count.kind {
            let found = slip::counted_by_in(self.slice(left.span), count.span);
            self.report(found);
        }
        (var, count)
    }

    fn experts_decl(&mut self, pair: Pair<'_, Rule>) -> ExpertsDecl {
        let mut parts = Parts::of(pair);
        let name = self.declared(&parts.part());
        ExpertsDecl {
            name,
            branches: parts.map(|branch| self.branch(branch)).collect(),
        }
    }

    fn branch(&mut self, pair: Pair<'_, Rule>) -> Branch {
        let mut parts = Parts::of(pair);
        let name = self.word(&parts.part());
        let (var, count) = match parts.maybe(Rule::count) {
            Some(count) => {
                let (var, count) = self.count(count);
                (var, Some(count))
            }
            None => (None, None),
        };
        Branch {
            name,
            var,
            count,
            value: self.expr(parts.part()),
        }
    }

    fn method(&mut self, pair: Pair<'_, Rule>) -> Method {
        let mut parts = Parts::of(pair);
        let name = self.word(&parts.part());
        let params = self.params(parts.part());
        let result = parts
            .maybe(Rule::result)
            .map(|result| self.ty(only(result)));
        let when = parts.maybe(Rule::when).map(|when| self.expr(only(when)));
        Method {
            name,
            params,
            result,
            when,
            body: self.block(parts.part()),
        }
    }

    /// `(x: f32[t], d: axis -> e: axis, n = 3)`.
    fn params(&mut self, pair: Pair<'_, Rule>) -> Vec<Parameter> {
        let mut params = Vec::new();
        let mut after_arrow = false;
        for part in Parts::of(pair) {
            if part.as_rule() == Rule::separator {
                after_arrow = part.as_str() == "->";
                continue;
            }
            let mut parts = Parts::of(part);
            let name = self.declared(&parts.part());
            let ty = parts.maybe(Rule::param_type).map(|ty| self.ty(only(ty)));
            let default = parts.next().map(|default| self.expr(only(default)));
            params.push(Parameter {
                name,
                ty,
                default,
                after_arrow,
            });
        }
        params
    }

    /// A type.
    pub(super) fn ty(&mut self, pair: Pair<'_, Rule>) -> Type {
        let pair = if matches!(pair.as_rule(), Rule::ty) {
            only(pair)
        } else {
            pair
        };
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::record_ty => {
                let fields = Parts::of(pair).map(|field| {
                    let mut parts = Parts::of(field);
                    (self.word(&parts.part()), self.ty(parts.part()))
                });
                TypeKind::Record(fields.collect())
            }
            Rule::tuple_ty => {
                let mut items: Vec<_> = Parts::of(pair).map(|item| self.ty(item)).collect();
                if items.len() == 1 {
                    return items.remove(0);
                }
                TypeKind::Tuple(items)
            }
            _ => {
                let mut parts = Parts::of(pair);
                let name = self.word(&parts.part());
                let axes = parts
                    .next()
                    .map(|axes| self.index_items(axes))
                    .unwrap_or_default();
                TypeKind::Tensor { name, axes }
            }
        };
        Type { kind, span }
    }

    /// A path of words, numbers, wildcards and indices.
    pub(super) fn path(&mut self, pair: Pair<'_, Rule>) -> Path {
        let span = self.span(&pair);
        let segments = Parts::of(pair)
            .map(|segment| self.segment(segment))
            .collect();
        Path { segments, span }
    }

    fn segment(&mut self, pair: Pair<'_, Rule>) -> Segment {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::wild => Segment::Wild(self.word(&only(pair))),
            Rule::star => Segment::Star(span),
            Rule::path_index => {
                let mut parts = Parts::of(pair);
                if parts.is(Rule::wild) || parts.is(Rule::star) {
                    return self.segment(parts.part());
                }
                let items: Vec<_> = parts.map(|item| self.index_item(item)).collect();
                match <[Index; 1]>::try_from(items) {
                    Ok([Index::All(span)]) => Segment::Star(span),
                    Ok(one) => Segment::Index(one.into()),
                    Err(items) => Segment::Index(items),
                }
            }
            _ => Segment::Name(self.word(&pair)),
        }
    }
}
