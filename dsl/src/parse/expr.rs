//! Expressions: operands, operators by precedence, reducers, `where`, `if`.

use pest::iterators::Pair;

use super::build::{Builder, MAX_TREE, Parts, only};
use super::code;
use super::grammar::Rule;
use super::slip::{self, Strong};
use crate::ast::{Arg, BinaryOp, Expr, ExprKind, Index, Name, Reducer, Setting, UnaryOp};
use crate::diag::Diagnostic;
use crate::span::Span;

/// How tightly operators bind, loosest first.
mod binding {
    pub(super) const OR: u8 = 1;
    pub(super) const AND: u8 = 2;
    pub(super) const NOT: u8 = 3;
    pub(super) const COMPARE: u8 = 4;
    pub(super) const ADD: u8 = 5;
    pub(super) const MUL: u8 = 6;
    pub(super) const POW: u8 = 8;
}

/// A part of an operator chain.
enum Piece<'i> {
    Operand(Pair<'i, Rule>),
    Prefix(Pair<'i, Rule>),
    Infix(Pair<'i, Rule>),
    /// Nothing, where the body of the prefix before it should be; its place.
    Missing(usize),
}

/// The pieces of one chain, read from the left.
struct Chain<'i> {
    pieces: std::iter::Peekable<std::vec::IntoIter<Piece<'i>>>,
}

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

    /// Operands and operators.
    pub(super) fn chain(&mut self, pair: Pair<'_, Rule>) -> Expr {
        let whole = pair.clone();
        let mut pieces = Vec::new();
        for part in pair.into_inner() {
            pieces.push(match part.as_rule() {
                Rule::infix => Piece::Infix(part),
                Rule::reduce | Rule::neg | Rule::not => Piece::Prefix(part),
                Rule::missing => Piece::Missing(part.as_span().start()),
                Rule::slip_ternary => {
                    self.ternary(&whole, &part);
                    continue;
                }
                _ => Piece::Operand(part),
            });
        }
        let operators = pieces.len();
        if self.too_deep(operators, &whole) {
            return self.nothing(&whole);
        }
        self.depth += operators;
        let mut chain = Chain {
            pieces: pieces.into_iter().peekable(),
        };
        let expr = self.climb(&mut chain, 0);
        self.depth -= operators;
        expr
    }

    /// Everything that binds at least as tightly as `least`.
    fn climb(&mut self, chain: &mut Chain<'_>, least: u8) -> Expr {
        let mut left = self.operand_of(chain, least);
        loop {
            let (op, binds) = match chain.pieces.peek() {
                Some(Piece::Infix(pair)) => infix(pair.as_str()),
                _ => return left,
            };
            if binds < least {
                return left;
            }
            if let Some(Piece::Infix(pair)) = chain.pieces.next() {
                self.check_infix(&pair, &left);
            }
            if binds == binding::COMPARE {
                left = self.comparison(chain, left, op);
                continue;
            }
            // `^` takes everything on its right that binds as tightly: right-associative.
            let right = self.climb(
                chain,
                if op == BinaryOp::Pow {
                    binds
                } else {
                    binds + 1
                },
            );
            left = binary(op, left, right);
        }
    }

    /// `a < b`, and `a < b < c` as `a < b and b < c`.
    fn comparison(&mut self, chain: &mut Chain<'_>, left: Expr, op: BinaryOp) -> Expr {
        let mut middle = self.climb(chain, binding::ADD);
        let mut all = binary(op, left, middle.clone());
        loop {
            let next = match chain.pieces.peek() {
                Some(Piece::Infix(pair)) => infix(pair.as_str()),
                _ => return all,
            };
            if next.1 != binding::COMPARE {
                return all;
            }
            if let Some(Piece::Infix(pair)) = chain.pieces.next() {
                self.check_infix(&pair, &middle);
            }
            let right = self.climb(chain, binding::ADD);
            all = binary(BinaryOp::And, all, binary(next.0, middle, right.clone()));
            middle = right;
        }
    }

    fn operand_of(&mut self, chain: &mut Chain<'_>, least: u8) -> Expr {
        match chain.pieces.next().expect("a chain has an operand") {
            Piece::Operand(pair) => self.operand(pair),
            Piece::Prefix(pair) => self.prefix(pair, chain, least),
            Piece::Infix(pair) => self.nothing(&pair),
            Piece::Missing(at) => Expr {
                kind: ExprKind::Bool(false),
                span: self.span_of(at, at),
            },
        }
    }

    fn prefix(&mut self, pair: Pair<'_, Rule>, chain: &mut Chain<'_>, least: u8) -> Expr {
        let span = self.span(&pair);
        let missing = matches!(chain.pieces.peek(), Some(Piece::Missing(_)));
        if pair.as_rule() == Rule::reduce {
            return self.reduce(pair, chain, missing);
        }
        if missing {
            self.report(slip::no_operand(span, pair.as_str()));
        }
        let (op, binds) = if pair.as_rule() == Rule::neg {
            (UnaryOp::Neg, binding::POW)
        } else {
            if pair.as_str() != "not" {
                self.report(slip::foreign_operator(span, pair.as_str()));
            }
            if least > binding::NOT {
                self.report(slip::not_needs_parentheses(span));
            }
            (UnaryOp::Not, binding::COMPARE)
        };
        // A prefix of the same kind may follow: `not not x`.
        let operand = match chain.pieces.peek() {
            Some(Piece::Prefix(next)) if next.as_rule() == pair.as_rule() => self.climb(
                chain,
                if op == UnaryOp::Not {
                    binding::NOT
                } else {
                    binds
                },
            ),
            _ => self.climb(chain, binds),
        };
        let span = span.to(operand.span);
        Expr {
            kind: ExprKind::Unary(op, Box::new(operand)),
            span,
        }
    }

    fn reduce(&mut self, pair: Pair<'_, Rule>, chain: &mut Chain<'_>, missing: bool) -> Expr {
        let head = self.span(&pair);
        let mut parts = Parts::of(pair);
        let word_pair = parts.part();
        let word = self.span(&word_pair);
        let reducer = Reducer::ALL
            .iter()
            .copied()
            .find(|reducer| reducer.word() == word_pair.as_str())
            .expect("the grammar lists the words of `Reducer`");
        let args = self.args(parts.part());
        if let Some(found) = slip::reducer_as_function(self, reducer, head, &args, missing) {
            self.report(found);
        }
        let body = self.climb(chain, binding::MUL);
        let span = head.to(body.span);
        Expr {
            kind: ExprKind::Reduce {
                reducer,
                word,
                args,
                body: Box::new(body),
            },
            span,
        }
    }

    /// Reports the spelling of an operator, if it is a foreign one.
    fn check_infix(&mut self, pair: &Pair<'_, Rule>, left: &Expr) {
        let span = self.span(pair);
        match pair.as_str() {
            "=" => {
                let found = slip::equals_in_condition(self.slice(left.span), left.span, span);
                self.report(found);
            }
            foreign @ ("**" | "&&" | "&" | "||" | "|" | "is") => {
                self.report(slip::foreign_operator(span, foreign));
            }
            _ => {}
        }
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

    fn ternary(&mut self, whole: &Pair<'_, Rule>, slip: &Pair<'_, Rule>) {
        let text = whole.as_str();
        let before = slip.as_span().start() - whole.as_span().start();
        let value = text[..before].trim();
        let mut parts = Parts::of(slip.clone());
        let (cond, other) = (parts.part(), parts.part());
        let found = slip::ternary(
            self.span(slip),
            value,
            cond.as_str().trim(),
            other.as_str().trim(),
        );
        self.report(found);
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

/// An operator and how tightly it binds; a foreign one as what was meant.
fn infix(text: &str) -> (BinaryOp, u8) {
    use BinaryOp as B;
    match text {
        "or" | "||" | "|" => (B::Or, binding::OR),
        "and" | "&&" | "&" => (B::And, binding::AND),
        "!=" => (B::Ne, binding::COMPARE),
        "<" => (B::Lt, binding::COMPARE),
        "<=" => (B::Le, binding::COMPARE),
        ">" => (B::Gt, binding::COMPARE),
        ">=" => (B::Ge, binding::COMPARE),
        "in" => (B::In, binding::COMPARE),
        "+" => (B::Add, binding::ADD),
        "-" => (B::Sub, binding::ADD),
        "*" => (B::Mul, binding::MUL),
        "/" => (B::Div, binding::MUL),
        "//" => (B::FloorDiv, binding::MUL),
        "%" => (B::Rem, binding::MUL),
        "^" | "**" => (B::Pow, binding::POW),
        _ => (B::Eq, binding::COMPARE),
    }
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let span = left.span.to(right.span);
    Expr {
        kind: ExprKind::Binary(op, Box::new(left), Box::new(right)),
        span,
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
