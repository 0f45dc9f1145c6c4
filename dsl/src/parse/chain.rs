//! Operator chains: precedence, comparisons, prefixes, reducers.
//!
//! The grammar gives operands and operators in the order of the text; precedence
//! climbing makes the tree.

use pest::iterators::Pair;

use super::build::{Builder, Parts};
use super::grammar::Rule;
use super::slip;
use crate::ast::{BinaryOp, Expr, ExprKind, Reducer, UnaryOp};

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
