//! The insides of `recurrence`, `route` and `call`.

use super::super::error::{TextCause, TextError};
use super::super::scan::Token;
use super::attributes::Attributes;
use super::{MAX_DEPTH, Parser, Reference, Scope, define};
use crate::axis::ValueType;
use crate::graph::{Region, ValueId};
use crate::op::{Op, Recurrence, Route};

impl<'a> Parser<'a> {
    /// The inside of a recurrence, behind its `{`.
    pub(super) fn recurrence(
        &mut self,
        mut attributes: Attributes<'a>,
        outer: &Scope,
        depth: usize,
    ) -> Result<(Op, Vec<ValueId>), TextError> {
        let axis = attributes.axis("axis", &self.builder.axes)?;
        let reverse = attributes.flag("reverse")?;
        attributes.finish()?;
        self.enter(depth)?;
        let mut scope = Scope::new();
        let mut operands = Vec::new();
        let mut counts = [0; 3];
        for (count, word) in counts.iter_mut().zip(["carry", "slice", "keep"]) {
            while self.at.takes_word(word)? {
                let start = self.at;
                let inner = match self.at.next()? {
                    Token::Value(text) => Reference::Number(text.to_owned()),
                    _ => return Err(start.expected("a value such as `%0`")),
                };
                self.at.wants_mark("=")?;
                operands.push(self.reference(outer)?);
                self.at.wants_mark(":")?;
                let ty = self.ty()?;
                let value = self.builder.add_parameter(ty);
                define(start, &mut scope, inner, value)?;
                *count += 1;
            }
        }
        let [carried, sequences, _] = counts;
        let body = self.body(&mut scope, depth)?;
        let recurrence = Recurrence {
            axis,
            reverse,
            carried,
            sequences,
            body,
        };
        Ok((Op::Recurrence(Box::new(recurrence)), operands))
    }

    /// The inside of a route, behind its `{`.
    pub(super) fn route(
        &mut self,
        mut attributes: Attributes<'a>,
        outer: &Scope,
        operands: &[ValueId],
        depth: usize,
    ) -> Result<Op, TextError> {
        let inputs = operands.get(2..).unwrap_or_default();
        let branch = attributes.axis("branch", &self.builder.axes)?;
        let items = attributes.axes("items", &self.builder.axes)?;
        attributes.finish()?;
        let mut branches = Vec::new();
        let mut reads = Vec::new();
        while self.at.takes_word("branch")? {
            self.enter(depth)?;
            let mut scope = Scope::new();
            let mut own_reads = Vec::new();
            self.at.wants_mark("(")?;
            self.listed(")", |parser| {
                let start = parser.at;
                let inner = match parser.at.next()? {
                    Token::Value(text) => Reference::Number(text.to_owned()),
                    _ => return Err(start.expected("a value such as `%0`")),
                };
                // Without a name of its own, a parameter is the input at its place.
                let mut input = own_reads.len();
                if parser.at.takes_mark("=")? {
                    let place = parser.at;
                    let value = parser.reference(outer)?;
                    let found = inputs.iter().position(|own| *own == value);
                    input = found.ok_or_else(|| place.expected("an input of the route"))?;
                }
                own_reads.push(input);
                parser.at.wants_mark(":")?;
                let ty = parser.ty()?;
                let value = parser.builder.add_parameter(ty);
                define(start, &mut scope, inner, value)
            })?;
            self.at.wants_mark("{")?;
            branches.push(self.body(&mut scope, depth)?);
            reads.push(own_reads);
        }
        self.at.wants_mark("}")?;
        Ok(Op::Route(Box::new(Route {
            branch,
            items,
            branches,
            reads,
        })))
    }

    /// A call: its regions, if any, stand behind a `{`.
    pub(super) fn call(
        &mut self,
        attributes: Attributes<'a>,
        types: &[ValueType],
        depth: usize,
    ) -> Result<Op, TextError> {
        let mut call = attributes.call(&self.builder.axes, types)?;
        if self.at.takes_mark("{")? {
            if self.at.takes_word("body")? {
                call = call.with_body(self.callee_region(depth)?);
            }
            if self.at.takes_word("gradient")? {
                call = call.with_gradient(self.callee_region(depth)?);
            }
            self.at.wants_mark("}")?;
        }
        Ok(Op::Call(Box::new(call)))
    }

    /// `(%0: f32[t]) { … }`.
    fn callee_region(&mut self, depth: usize) -> Result<Region, TextError> {
        self.enter(depth)?;
        let mut scope = Scope::new();
        self.at.wants_mark("(")?;
        self.listed(")", |parser| {
            let start = parser.at;
            let inner = match parser.at.next()? {
                Token::Value(text) => Reference::Number(text.to_owned()),
                _ => return Err(start.expected("a value such as `%0`")),
            };
            parser.at.wants_mark(":")?;
            let ty = parser.ty()?;
            let value = parser.builder.add_parameter(ty);
            define(start, &mut scope, inner, value)
        })?;
        self.at.wants_mark("{")?;
        self.body(&mut scope, depth)
    }

    fn enter(&mut self, depth: usize) -> Result<(), TextError> {
        if depth >= MAX_DEPTH {
            return Err(self.at.error(TextCause::Depth(MAX_DEPTH)));
        }
        self.builder.open_region();
        Ok(())
    }

    /// Statements, results and the closing brace.
    fn body(&mut self, scope: &mut Scope, depth: usize) -> Result<Region, TextError> {
        self.statements(scope, depth + 1)?;
        let results = self.values(scope)?;
        self.at.wants_mark("}")?;
        Ok(self.builder.close_region(results))
    }
}
