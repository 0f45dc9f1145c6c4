//! Text to graph.
//!
//! One pass, one token of look-ahead. Every node is made by the
//! [`Builder`], whose types must be the ones that are written. Nothing in a text
//! makes this panic or allocate more than in proportion to the text; nesting is
//! bounded by [`MAX_DEPTH`].

mod attributes;
mod extent;
mod region;
mod ty;

use std::collections::HashMap;
use std::sync::Arc;

use self::attributes::Attributes;
use self::ty::same_type;
use super::error::{TextCause, TextError};
use super::scan::{Scanner, Token};
use super::{MAGIC, VERSION};
use crate::axis::ValueType;
use crate::build::Builder;
use crate::dtype::DType;
use crate::graph::{Check, Graph, ValueId};
use crate::op::Op;
use crate::verify::verify;

/// How deep regions may lie in one another.
pub(super) const MAX_DEPTH: usize = 64;

/// Reads what [`print`](super::print) printed.
///
/// # Errors
///
/// The first mistake, with its place. The graph that is returned is verified.
pub fn parse(text: &str) -> Result<Graph, TextError> {
    let first = text.split('\n').next().unwrap_or_default();
    let start = Scanner::new(text, 0);
    if first.trim_end() != format!("{MAGIC} {VERSION}") {
        let shown = first.chars().take(40).collect();
        return Err(start.error(TextCause::Version(shown)));
    }
    let mut parser = Parser {
        at: Scanner::new(text, first.len()),
        builder: Builder::default(),
        states: HashMap::new(),
        updates: HashMap::new(),
    };
    let graph = parser.graph()?;
    verify(&graph).map_err(|error| start.error(Box::new(error)))?;
    Ok(graph)
}

struct Parser<'a> {
    at: Scanner<'a>,
    builder: Builder,
    states: HashMap<String, ValueId>,
    /// In order of the text by their positions.
    updates: HashMap<String, (usize, ValueId)>,
}

/// How a text refers to a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reference {
    Number(String),
    Name(String),
}

impl Reference {
    fn show(&self) -> String {
        match self {
            Self::Number(text) => text.clone(),
            Self::Name(name) => crate::name::show(name),
        }
    }
}

/// The values that one region has defined so far.
type Scope = HashMap<Reference, ValueId>;

impl<'a> Parser<'a> {
    fn graph(&mut self) -> Result<Graph, TextError> {
        while self.at.takes_word("axis")? {
            self.axis_line()?;
        }
        self.at.wants_word("graph")?;
        let name = self.at.wants_name("the name of the graph")?;
        let mut scope = Scope::new();
        self.at.wants_mark("(")?;
        self.listed(")", |parser| parser.input(&mut scope))?;
        self.at.wants_mark("->")?;
        self.at.wants_mark("(")?;
        let mut results: Vec<(String, ValueType)> = Vec::new();
        self.listed(")", |parser| {
            let start = parser.at;
            let name = parser.at.wants_name("the name of a result")?;
            if results.iter().any(|(own, _)| *own == name) {
                let what = "result";
                return Err(start.error(TextCause::Twice { what, name }));
            }
            parser.at.wants_mark(":")?;
            results.push((name, parser.ty()?));
            Ok(())
        })?;
        self.at.wants_mark("{")?;
        let mut checks = Vec::new();
        while self.at.takes_word("check")? {
            checks.push(self.check()?);
        }
        self.statements(&mut scope, 0)?;
        let start = self.at;
        let values = self.values(&scope)?;
        if values.len() != results.len() {
            return Err(start.error(TextCause::Results {
                op: "return".to_owned(),
                inferred: results.len(),
                written: values.len(),
            }));
        }
        for ((_, written), value) in results.iter().zip(&values) {
            let inferred = self.builder.ty(*value);
            same_type(start, &self.builder.axes, inferred, written)?;
        }
        self.at.wants_mark("}")?;
        if self.at.peek()? != Token::End {
            return Err(self.at.expected("the end of the text"));
        }
        let names = results.into_iter().map(|(name, _)| name);
        let mut updates: Vec<_> = std::mem::take(&mut self.updates).into_iter().collect();
        updates.sort_by_key(|(_, (position, _))| *position);
        let updates = updates.into_iter();
        let updates = updates.map(|(path, (_, value))| (Arc::from(path), value));
        let builder = std::mem::take(&mut self.builder);
        let mut graph = builder.finish(names.zip(values).collect(), updates.collect());
        graph.name = name;
        graph.checks = checks;
        Ok(graph)
    }

    /// `axis i=t over t time`, behind the first word.
    fn axis_line(&mut self) -> Result<(), TextError> {
        let start = self.at;
        let name = self.at.wants_name("the name of an axis")?;
        if self.builder.axes.find(&name).is_some() {
            return Err(start.error(TextCause::Twice { what: "axis", name }));
        }
        let extent = if self.at.takes_mark("=")? {
            self.at.extent()?
        } else {
            crate::Extent::symbol(&name)
        };
        let over = if self.at.takes_word("over")? {
            Some(self.at.known_axis(&self.builder.axes)?)
        } else {
            None
        };
        let time = self.at.takes_word("time")?;
        self.builder.axes.add(&name, extent, over, time);
        Ok(())
    }

    fn input(&mut self, scope: &mut Scope) -> Result<(), TextError> {
        let start = self.at;
        let name = self.at.wants_name("the name of an input")?;
        self.at.wants_mark(":")?;
        let ty = self.ty()?;
        let op = Op::Input(Arc::from(name.as_str()), ty);
        let value = self.builder.value(op, &[]);
        let value = value.map_err(|error| start.error(error))?;
        define(start, scope, Reference::Name(name), value)
    }

    fn check(&mut self) -> Result<Check, TextError> {
        let left = self.at.extent()?;
        self.at.wants_mark("==")?;
        let right = self.at.extent()?;
        let reason = self.at.wants_quoted("why they must be equal, in quotes")?;
        Ok(Check {
            left,
            right,
            reason,
        })
    }

    /// Everything up to `return`, which is consumed.
    fn statements(&mut self, scope: &mut Scope, depth: usize) -> Result<(), TextError> {
        loop {
            let start = self.at;
            match self.at.next()? {
                Token::Word("return") => return Ok(()),
                Token::Word(word @ ("param" | "state" | "update")) if depth > 0 => {
                    let word = ["param", "state", "update"]
                        .into_iter()
                        .find(|own| *own == word);
                    return Err(start.error(TextCause::OnlyRoot(word.unwrap_or_default())));
                }
                Token::Word("param") => self.param(scope)?,
                Token::Word("state") => self.state(scope)?,
                Token::Word("update") => self.update(scope)?,
                Token::Word("_") | Token::Value(_) => {
                    self.at = start;
                    self.definition(scope, depth)?;
                }
                _ => return Err(start.expected("a definition or `return`")),
            }
        }
    }

    fn param(&mut self, scope: &mut Scope) -> Result<(), TextError> {
        let start = self.at;
        let name = self.at.wants_name("the path of a parameter")?;
        self.at.wants_mark(":")?;
        let ty = self.ty()?;
        let op = Op::Param(Arc::from(name.as_str()), ty);
        let value = self.builder.value(op, &[]);
        let value = value.map_err(|error| start.error(error))?;
        define(start, scope, Reference::Name(name), value)
    }

    fn state(&mut self, scope: &mut Scope) -> Result<(), TextError> {
        let start = self.at;
        let name = self.at.wants_name("the path of a state")?;
        self.at.wants_mark("=")?;
        let first = self.reference(scope)?;
        let types = self.types()?;
        let op = Op::State(Arc::from(name.as_str()));
        let results = self.node(start, op, &[first], &types)?;
        for value in results {
            self.states.insert(name.clone(), value);
            define(start, scope, Reference::Name(name.clone()), value)?;
        }
        Ok(())
    }

    fn update(&mut self, scope: &Scope) -> Result<(), TextError> {
        let start = self.at;
        let name = self.at.wants_name("the path of a state")?;
        if !self.states.contains_key(&name) {
            return Err(start.error(TextCause::UnknownState(name)));
        }
        self.at.wants_mark("=")?;
        let value = self.reference(scope)?;
        let entry = (self.updates.len(), value);
        match self.updates.insert(name.clone(), entry) {
            None => Ok(()),
            Some(_) => Err(start.error(TextCause::Twice {
                what: "update",
                name,
            })),
        }
    }

    /// `%0, %1 = op operands {attributes} : types`, with regions behind it where the op has some.
    fn definition(&mut self, scope: &mut Scope, depth: usize) -> Result<(), TextError> {
        let mut left = Vec::new();
        if !self.at.takes_word("_")? {
            loop {
                let start = self.at;
                match self.at.next()? {
                    Token::Value(text) => left.push((start, Reference::Number(text.to_owned()))),
                    _ => return Err(start.expected("a value such as `%0`")),
                }
                if !self.at.takes_mark(",")? {
                    break;
                }
            }
        }
        self.at.wants_mark("=")?;
        let start = self.at;
        let Token::Word(word) = self.at.next()? else {
            return Err(start.expected("the name of a primitive"));
        };
        let literal = self.at;
        let operands = if word == "const" {
            self.at.skip_literal()?;
            Vec::new()
        } else {
            self.operands(scope)?
        };
        let attributes = Attributes::scan(&mut self.at, word)?;
        let types = self.types()?;
        let results = match word {
            "recurrence" | "route" => {
                self.at.wants_mark("{")?;
                let (op, operands) = if word == "route" {
                    (self.route(attributes, scope, &operands, depth)?, operands)
                } else if operands.is_empty() {
                    self.recurrence(attributes, scope, depth)?
                } else {
                    return Err(literal.expected("`{`: operands are listed inside"));
                };
                self.node(start, op, &operands, &types)?
            }
            "call" => {
                let op = self.call(attributes, &types, depth)?;
                self.node(start, op, &operands, &types)?
            }
            "const" => {
                let dtype = types.first().map(|ty| ty.dtype);
                let op = literal.literal(dtype.unwrap_or(DType::F32))?;
                self.node(start, Op::Const(op), &[], &types)?
            }
            _ => {
                let op = attributes.op(start, &self.builder.axes, types.first())?;
                self.node(start, op, &operands, &types)?
            }
        };
        if results.len() != left.len() {
            return Err(start.error(TextCause::Results {
                op: word.to_owned(),
                inferred: results.len(),
                written: left.len(),
            }));
        }
        for ((start, reference), value) in left.into_iter().zip(results) {
            define(start, scope, reference, value)?;
        }
        Ok(())
    }

    fn node(
        &mut self,
        start: Scanner<'a>,
        op: Op,
        operands: &[ValueId],
        types: &[ValueType],
    ) -> Result<Vec<ValueId>, TextError> {
        let name = op.name();
        let results = self.builder.node(op, operands);
        let results = results.map_err(|error| start.error(error))?;
        if results.len() != types.len() {
            return Err(start.error(TextCause::Results {
                op: name.to_owned(),
                inferred: results.len(),
                written: types.len(),
            }));
        }
        for (value, written) in results.iter().zip(types) {
            let inferred = self.builder.ty(*value);
            same_type(start, &self.builder.axes, inferred, written)?;
        }
        Ok(results)
    }

    /// Values up to an attribute list or a type.
    fn operands(&mut self, scope: &Scope) -> Result<Vec<ValueId>, TextError> {
        match self.at.peek()? {
            Token::Mark("{" | ":") => Ok(Vec::new()),
            _ => self.some_values(scope),
        }
    }

    /// Values up to a closing brace.
    fn values(&mut self, scope: &Scope) -> Result<Vec<ValueId>, TextError> {
        match self.at.peek()? {
            Token::Mark("}") => Ok(Vec::new()),
            _ => self.some_values(scope),
        }
    }

    fn some_values(&mut self, scope: &Scope) -> Result<Vec<ValueId>, TextError> {
        let mut values = vec![self.reference(scope)?];
        while self.at.takes_mark(",")? {
            values.push(self.reference(scope)?);
        }
        Ok(values)
    }

    fn reference(&mut self, scope: &Scope) -> Result<ValueId, TextError> {
        let start = self.at;
        let reference = match self.at.next()? {
            Token::Value(text) => Reference::Number(text.to_owned()),
            Token::Word(name) => Reference::Name(name.to_owned()),
            Token::Quoted(name) => Reference::Name(name),
            _ => return Err(start.expected("a value")),
        };
        let value = scope.get(&reference).copied();
        value.ok_or_else(|| start.error(TextCause::UnknownValue(reference.show())))
    }

    /// Items separated by commas up to `end`; a comma may stand before it.
    fn listed(
        &mut self,
        end: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<(), TextError>,
    ) -> Result<(), TextError> {
        loop {
            if self.at.takes_mark(end)? {
                return Ok(());
            }
            item(self)?;
            if !self.at.takes_mark(",")? {
                return self.at.wants_mark(end);
            }
        }
    }
}

fn define(
    start: Scanner<'_>,
    scope: &mut Scope,
    reference: Reference,
    value: ValueId,
) -> Result<(), TextError> {
    let name = reference.show();
    if scope.insert(reference, value).is_none() {
        Ok(())
    } else {
        let what = "value";
        Err(start.error(TextCause::Twice { what, name }))
    }
}
