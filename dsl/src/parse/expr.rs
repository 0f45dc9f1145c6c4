//! Expressions: operands with their postfixes, atoms, `where`, `if`.

use pest::iterators::Pair;

use super::build::{Builder, MAX_TREE, Parts, only};
use super::code;
use super::grammar::Rule;
use super::slip::{self, Strong};
use crate::ast::{Arg, Expr, ExprKind, Index, Name, Setting};
use crate::diag::Diagnostic;
use crate::span::Span;

impl Builder<'_> {
    /// `value`, `value where domain`, `value where domain else other`.
    pub(super) fn expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let mut parts = Parts::of(pair);
        let first = parts.part();
        let Some(domain) = parts.next() else {
            return self.flat(first);
        };
        let bare = bare_reducers(&first);
        if let [outer, .., inner] = bare.as_slice() {
            let (outer, inner) = (self.span(outer), self.span(inner));
            self.report(slip::two_bare_reducers(outer, inner));
        }
        let value = self.flat(first);
        if bare.len() < 2
            && let [one, other] = outer_reducers(&value)[..]
        {
            self.report(slip::two_side_by_side(one, other));
        }
        let domain = self.flat(domain);
        let other = parts
            .next()
            .map(|otherwise| Box::new(self.flat(only(otherwise))));
        let kind = ExprKind::Where {
            value: Box::new(value),
            domain: Box::new(domain),
            other,
        };
        Expr { kind, span }
    }

    /// An expression without `where`: a chain or an `if`.
    pub(super) fn flat(&mut self, pair: Pair<'_, Rule>) -> Expr {
        match pair.as_rule() {
            Rule::if_expr => self.if_expr(pair),
            Rule::expr => self.expr(pair),
            _ => self.chain(pair),
        }
    }

    fn if_expr(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let mut heads = Vec::new();
        let mut parts = Parts::of(pair);
        while let Some(head) = parts.maybe(Rule::if_head) {
            heads.push(head);
        }
        let last = parts.part();
        if self.too_deep(heads.len(), &last) {
            return self.nothing(&last);
        }
        self.depth += heads.len();
        let mut other = self.flat(last);
        for head in heads.into_iter().rev() {
            let start = self.span(&head);
            let mut parts = Parts::of(head);
            let cond = self.flat(parts.part());
            let then = self.flat(parts.part());
            let span = start.to(other.span);
            let (cond, then) = (Box::new(cond), Box::new(then));
            other = Expr {
                kind: ExprKind::If {
                    cond,
                    then,
                    other: Box::new(other),
                },
                span,
            };
            self.depth -= 1;
        }
        other
    }

    /// An atom with its calls, indices and fields.
    pub(super) fn operand(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let start = self.span(&pair);
        let postfixes = pair.clone().into_inner().count();
        if self.too_deep(postfixes, &pair) {
            return self.nothing(&pair);
        }
        self.depth += postfixes;
        let mut parts = pair.into_inner();
        let atom = parts.next().expect("an operand begins with an atom");
        let mut base = self.atom(atom);
        for postfix in parts {
            let span = start.to(self.span(&postfix));
            let kind = match postfix.as_rule() {
                Rule::args => {
                    let args = self.args(postfix);
                    if let Some(found) = slip::shape_call(&base, &args, span) {
                        self.report(found);
                    }
                    ExprKind::Call {
                        callee: Box::new(base),
                        args,
                    }
                }
                Rule::index => {
                    let before = self.found.len();
                    let items = self.index_items(postfix);
                    let positional = slip::positional_index(self, &base, &items, span);
                    let inside = self.found.iter().skip(before);
                    let is_slice = inside.clone().any(|found| found.code == code::POSITION);
                    match positional {
                        // One mistake, one diagnostic: `x[:, None]`.
                        Some((found, Strong::Yes)) => {
                            self.found.truncate(before);
                            self.report(found);
                        }
                        Some((found, Strong::No)) if !is_slice => self.report(found),
                        _ if is_slice => self.found.truncate(before + 1),
                        _ => {}
                    }
                    ExprKind::Index {
                        base: Box::new(base),
                        items,
                    }
                }
                _ => {
                    let name = self.word(&only(postfix));
                    if let Some(found) = slip::transposed(self, &base, &name) {
                        self.report(found);
                    }
                    ExprKind::Field {
                        base: Box::new(base),
                        name,
                    }
                }
            };
            base = Expr { kind, span };
        }
        self.depth -= postfixes;
        base
    }

    fn atom(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::number => self.number(&pair),
            Rule::text => ExprKind::Text(self.text(&pair)),
            Rule::truth => ExprKind::Bool(pair.as_str() == "true"),
            Rule::name => {
                let word = pair.as_str();
                if let Some(found) = slip::foreign_name(word, span) {
                    self.report(found);
                }
                match word.strip_suffix('\'') {
                    Some(state) => ExprKind::Next(state.to_owned()),
                    None => ExprKind::Name(word.to_owned()),
                }
            }
            Rule::paren => {
                let mut items: Vec<_> = Parts::of(pair).map(|item| self.expr(item)).collect();
                if items.len() == 1 {
                    let inner = items.remove(0);
                    // The place with its parentheses: it is what the operators around it see.
                    return Expr {
                        kind: inner.kind,
                        span,
                    };
                }
                ExprKind::Tuple(items)
            }
            Rule::list => {
                let mut items = Vec::new();
                for item in Parts::of(pair) {
                    if item.as_rule() == Rule::slip_comprehension {
                        self.report(slip::comprehension(self.span(&item)));
                    } else {
                        items.push(self.expr(item));
                    }
                }
                ExprKind::List(items)
            }
            Rule::record => ExprKind::Record(Parts::of(pair).map(|pair| self.pair(pair)).collect()),
            _ => self.route(pair),
        };
        Expr { kind, span }
    }

    fn pair(&mut self, pair: Pair<'_, Rule>) -> (Name, Expr) {
        let mut parts = Parts::of(pair);
        let name = self.word(&parts.part());
        let mark = parts.part();
        if mark.as_str() == "=" {
            self.report(slip::equals_in_record(&name, self.span(&mark)));
        }
        (name, self.expr(parts.part()))
    }

    fn route(&mut self, pair: Pair<'_, Rule>) -> ExprKind {
        let mut parts = Parts::of(pair);
        let items = Box::new(self.expr(parts.part()));
        let experts = self.word(&parts.part());
        let settings = parts.map(|setting| self.setting(setting)).collect();
        ExprKind::Route {
            items,
            experts,
            settings,
        }
    }

    /// `name = expr, …`.
    pub(super) fn setting(&mut self, pair: Pair<'_, Rule>) -> Setting {
        let mut parts = Parts::of(pair);
        let name = self.word(&parts.part());
        Setting {
            name,
            values: parts.map(|value| self.expr(value)).collect(),
        }
    }

    /// The arguments between parentheses.
    pub(super) fn args(&mut self, pair: Pair<'_, Rule>) -> Vec<Arg> {
        Parts::of(pair).map(|arg| self.arg(arg)).collect()
    }

    fn arg(&mut self, pair: Pair<'_, Rule>) -> Arg {
        let mut parts = Parts::of(pair);
        let name = parts.maybe(Rule::word).map(|word| self.word(&word));
        let mut value = self.expr(parts.part());
        if let Some(to) = parts.maybe(Rule::expr) {
            let to = self.expr(to);
            let span = value.span.to(to.span);
            value = Expr {
                kind: ExprKind::Arrow(Box::new(value), Box::new(to)),
                span,
            };
        }
        if let Some(comprehension) = parts.next() {
            self.report(slip::comprehension(self.span(&comprehension)));
        }
        Arg { name, value }
    }

    /// The entries between index brackets.
    pub(super) fn index_items(&mut self, pair: Pair<'_, Rule>) -> Vec<Index> {
        Parts::of(pair).map(|item| self.index_item(item)).collect()
    }

    /// One entry between index brackets.
    pub(super) fn index_item(&mut self, pair: Pair<'_, Rule>) -> Index {
        let span = self.span(&pair);
        let mut parts = Parts::of(pair);
        let name = parts.maybe(Rule::word).map(|word| self.word(&word));
        let first = parts.part();
        match first.as_rule() {
            Rule::star => Index::All(span),
            Rule::slip_ellipsis | Rule::slip_slice => {
                self.report(slip::slice(self, span, name.as_ref()));
                Index::All(span)
            }
            _ => {
                let value = self.expr(first);
                if parts.next().is_some() {
                    self.report(slip::slice(self, span, name.as_ref()));
                }
                match name {
                    Some(name) => Index::Bind(name, value),
                    None => Index::At(value),
                }
            }
        }
    }

    fn number(&mut self, pair: &Pair<'_, Rule>) -> ExprKind {
        let digits = pair.as_str().replace('_', "");
        if digits.contains(['.', 'e', 'E']) {
            return ExprKind::Float(digits);
        }
        if let Ok(value) = digits.parse() {
            return ExprKind::Int(value);
        }
        self.report(
            Diagnostic::error(code::NUMBER, "the number does not fit into 64 bits")
                .at(self.span(pair), "")
                .note("the largest integer is 9223372036854775807")
                .help("write it as a real number, such as `1e20`"),
        );
        ExprKind::Int(0)
    }

    /// Reports and returns true if the tree would grow deeper than any reader expects.
    pub(super) fn too_deep(&mut self, more: usize, pair: &Pair<'_, Rule>) -> bool {
        let deep = self.depth + more > MAX_TREE;
        if deep && !self.found.iter().any(|found| found.code == code::LIMIT) {
            self.report(slip::too_deep(self.span(pair)));
        }
        deep
    }

    /// What stands for an expression that could not be built.
    pub(super) fn nothing(&self, pair: &Pair<'_, Rule>) -> Expr {
        Expr {
            kind: ExprKind::Bool(false),
            span: self.span(pair),
        }
    }
}

/// The reducers of an expression that no parentheses enclose.
fn bare_reducers<'i>(flat: &Pair<'i, Rule>) -> Vec<Pair<'i, Rule>> {
    let mut found = Vec::new();
    for part in flat.clone().into_inner() {
        match part.as_rule() {
            Rule::reduce => found.push(part),
            Rule::if_head => {
                for branch in Parts::of(part).skip(1) {
                    found.extend(bare_reducers(&branch));
                }
            }
            Rule::chain => found.extend(bare_reducers(&part)),
            _ => {}
        }
    }
    found
}

/// The reducers that stand side by side in a value, in parentheses or not; at most two.
fn outer_reducers(value: &Expr) -> Vec<Span> {
    let mut found = Vec::new();
    let mut rest = vec![value];
    while let Some(expr) = rest.pop() {
        match &expr.kind {
            ExprKind::Reduce { word, .. } => found.push(*word),
            ExprKind::Unary(_, inner) => rest.push(inner),
            ExprKind::Binary(_, left, right) => rest.extend([&**right, left]),
            ExprKind::If { then, other, .. } => rest.extend([&**other, then]),
            _ => {}
        }
    }
    found.truncate(2);
    found
}
