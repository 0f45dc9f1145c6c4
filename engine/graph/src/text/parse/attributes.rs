//! Attribute lists: `{axis: t, into: [i: 1], reverse}` to a primitive.
//!
//! A list is read when the type behind it is known, because a type may mention
//! the axes first: it is skipped once and each attribute is read in its place.

use std::sync::Arc;

use super::super::error::{TextCause, TextError};
use super::super::scan::{Scanner, Token};
use crate::axis::{AxisId, AxisTable, ValueType};
use crate::dtype::DType;
use crate::extent::Extent;
use crate::op::{Binary, Call, Combine, Distribution, Op, Outside, Unary};

/// The attributes of one node, not yet read.
pub(super) struct Attributes<'a> {
    op: &'a str,
    start: Scanner<'a>,
    /// Name, its place, the place of its value if it has one.
    entries: Vec<(&'a str, Scanner<'a>, Option<Scanner<'a>>)>,
}

impl<'a> Attributes<'a> {
    /// Moves `at` past an attribute list, which may be absent.
    pub(super) fn scan(at: &mut Scanner<'a>, op: &'a str) -> Result<Self, TextError> {
        let mut own = Self {
            op,
            start: *at,
            entries: Vec::new(),
        };
        if !at.takes_mark("{")? {
            return Ok(own);
        }
        while !at.takes_mark("}")? {
            let start = *at;
            let Token::Word(key) = at.next()? else {
                return Err(start.expected("the name of an attribute"));
            };
            // Primitives have at most five attributes.
            if own.entries.iter().any(|(other, _, _)| *other == key) {
                let name = key.to_owned();
                let what = "attribute";
                return Err(start.error(TextCause::Twice { what, name }));
            }
            if own.entries.len() >= 16 {
                return Err(start.expected("`}`"));
            }
            let value = if at.takes_mark(":")? { Some(*at) } else { None };
            own.entries.push((key, start, value));
            if value.is_some() {
                skip_value(at)?;
            }
            if !at.takes_mark(",")? {
                at.wants_mark("}")?;
                break;
            }
        }
        Ok(own)
    }

    fn find(&mut self, key: &str) -> Option<(Scanner<'a>, Option<Scanner<'a>>)> {
        let position = self.entries.iter().position(|(own, _, _)| *own == key)?;
        let (_, start, value) = self.entries.swap_remove(position);
        Some((start, value))
    }

    fn value(&mut self, attribute: &'static str) -> Result<Scanner<'a>, TextError> {
        let Some((start, value)) = self.find(attribute) else {
            return Err(self.start.error(TextCause::MissingAttribute {
                op: self.op.to_owned(),
                attribute,
            }));
        };
        value.ok_or_else(|| {
            let wanted = format!("`{attribute}: …`");
            start.expected(&wanted)
        })
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<bool, TextError> {
        match self.find(key) {
            None => Ok(false),
            Some((_, None)) => Ok(true),
            Some((_, Some(value))) => Err(value.expected("nothing: this attribute has no value")),
        }
    }

    pub(super) fn axis(
        &mut self,
        key: &'static str,
        axes: &AxisTable,
    ) -> Result<AxisId, TextError> {
        let mut at = self.value(key)?;
        let axis = at.known_axis(axes)?;
        ends(at)?;
        Ok(axis)
    }

    /// One axis, or several in brackets.
    pub(super) fn axes(
        &mut self,
        key: &'static str,
        axes: &AxisTable,
    ) -> Result<Vec<AxisId>, TextError> {
        let mut at = self.value(key)?;
        if !matches!(at.peek()?, Token::Mark("[")) {
            let axis = at.known_axis(axes)?;
            ends(at)?;
            return Ok(vec![axis]);
        }
        list(at, |at| at.known_axis(axes))
    }

    fn strided(
        &mut self,
        key: &'static str,
        axes: &AxisTable,
    ) -> Result<Vec<(AxisId, Extent)>, TextError> {
        list(self.value(key)?, |at| {
            let axis = at.known_axis(axes)?;
            at.wants_mark(":")?;
            Ok((axis, at.extent()?))
        })
    }

    fn extent(&mut self, key: &'static str) -> Result<Extent, TextError> {
        let mut at = self.value(key)?;
        let extent = at.extent()?;
        ends(at)?;
        Ok(extent)
    }

    fn word<T: Copy>(
        &mut self,
        key: &'static str,
        all: &[T],
        word: fn(T) -> &'static str,
    ) -> Result<T, TextError> {
        let mut at = self.value(key)?;
        let start = at;
        let Token::Word(found) = at.next()? else {
            return Err(start.expected("a word"));
        };
        let known = all.iter().copied().find(|item| word(*item) == found);
        let known = known.ok_or_else(|| {
            let words: Vec<_> = all
                .iter()
                .map(|item| format!("`{}`", word(*item)))
                .collect();
            start.expected(&words.join(" or "))
        })?;
        ends(at)?;
        Ok(known)
    }

    /// Refuses what was not asked for.
    pub(super) fn finish(self) -> Result<(), TextError> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, start, _)) => Err(start.error(TextCause::SurplusAttribute {
                op: self.op.to_owned(),
                attribute: (*key).to_owned(),
            })),
        }
    }

    /// The primitive, without those that have a syntax of their own: leaves with names,
    /// constants, regions.
    pub(super) fn op(
        mut self,
        start: Scanner<'a>,
        axes: &AxisTable,
        ty: Option<&ValueType>,
    ) -> Result<Op, TextError> {
        let dtype = ty.map_or(DType::F32, |ty| ty.dtype);
        let own_axes = ty.map_or_else(Vec::new, |ty| ty.axes.clone());
        let op = match self.op {
            "table" => {
                let mut at = self.value("data")?;
                let data = at.reals()?;
                ends(at)?;
                Op::Table(dtype, own_axes, data)
            }
            "index" => Op::Index(self.axis("axis", axes)?),
            "size" => Op::Size(self.extent("extent")?),
            "random" => {
                let distribution =
                    self.word("distribution", Distribution::ALL, Distribution::word)?;
                let mut at = self.value("key")?;
                let key = at.wants_quoted("the key, in quotes")?;
                ends(at)?;
                let mut from = Vec::new();
                if self.entries.iter().any(|(own, _, _)| *own == "from") {
                    from = self.strided("from", axes)?;
                }
                let first = |axis| {
                    let later = from.iter().find(|(own, _)| *own == axis);
                    let first = later.map_or(Extent::constant(0), |(_, from)| from.clone());
                    (axis, first)
                };
                let over = own_axes.into_iter().map(first).collect();
                Op::Random(distribution, Arc::from(key), over)
            }
            "select" => Op::Select,
            "cast" => Op::Cast(dtype),
            "contract" => Op::Contract(self.axes("over", axes)?),
            "reduce" => {
                let combine = self.combine()?;
                Op::Reduce(combine, self.axes("over", axes)?)
            }
            "softmax" => Op::Softmax(self.axes("over", axes)?),
            "cumulate" => Op::Cumulate {
                combine: self.combine()?,
                axis: self.axis("axis", axes)?,
                reverse: self.flag("reverse")?,
                exclusive: self.flag("exclusive")?,
            },
            "order" => Op::Order {
                axis: self.axis("axis", axes)?,
                into: self.axis("into", axes)?,
                descending: self.flag("descending")?,
            },
            "gather" => Op::Gather {
                axis: self.axis("axis", axes)?,
                outside: if self.entries.iter().any(|(key, _, _)| *key == "outside") {
                    self.word("outside", Outside::ALL, Outside::word)?
                } else {
                    Outside::Error
                },
            },
            "scatter" => Op::Scatter {
                axis: self.axis("axis", axes)?,
                over: self.axes("over", axes)?,
                combine: self.combine()?,
            },
            "window" => Op::Window {
                axis: self.axis("axis", axes)?,
                into: self.strided("into", axes)?,
                offset: self.extent("offset")?,
            },
            "fold" => Op::Fold {
                from: self.strided("from", axes)?,
                axis: self.axis("axis", axes)?,
                offset: self.extent("offset")?,
            },
            "split" => Op::Split(self.axis("axis", axes)?, self.axes("into", axes)?),
            "merge" => Op::Merge(self.axes("from", axes)?, self.axis("axis", axes)?),
            "concat" => Op::Concat(self.axes("from", axes)?, self.axis("axis", axes)?),
            "rename" => Op::Rename(list(self.value("axes")?, |at| {
                let old = at.known_axis(axes)?;
                at.wants_mark(":")?;
                Ok((old, at.known_axis(axes)?))
            })?),
            "expand" => Op::Expand(self.axes("axes", axes)?),
            "grad_as" => Op::GradAs,
            word => {
                let unary = Unary::ALL.iter().find(|op| op.word() == word);
                let binary = Binary::ALL.iter().find(|op| op.word() == word);
                match (unary, binary) {
                    (Some(unary), _) => Op::Unary(*unary),
                    (None, Some(binary)) => Op::Binary(*binary),
                    (None, None) => {
                        return Err(start.error(TextCause::UnknownOp(word.to_owned())));
                    }
                }
            }
        };
        self.finish()?;
        Ok(op)
    }

    /// A call without its regions.
    pub(super) fn call(mut self, axes: &AxisTable, types: &[ValueType]) -> Result<Call, TextError> {
        let cores = |at: Scanner<'a>| list(at, |at| items(at, |at| at.known_axis(axes)));
        let mut at = self.value("callee")?;
        let callee = at.wants_quoted("the name of the operation, in quotes")?;
        ends(at)?;
        let takes = cores(self.value("takes")?)?;
        let start = self.value("gives")?;
        let gives = cores(start)?;
        if gives.len() != types.len() {
            return Err(start.error(TextCause::Results {
                op: "call".to_owned(),
                inferred: gives.len(),
                written: types.len(),
            }));
        }
        let with = if self.entries.iter().any(|(key, _, _)| *key == "with") {
            list(self.value("with")?, |at| {
                let key = at.wants_name("the name of an attribute")?;
                at.wants_mark(":")?;
                Ok((Arc::from(key), at.attribute()?))
            })?
        } else {
            Vec::new()
        };
        self.finish()?;
        let gives = types.iter().cloned().zip(gives).collect();
        Ok(Call::new(Arc::from(callee), with, takes, gives))
    }

    fn combine(&mut self) -> Result<Combine, TextError> {
        self.word("combine", Combine::ALL, Combine::word)
    }
}

/// Moves past the value of an attribute: up to the `,` or `}` behind it.
fn skip_value(at: &mut Scanner<'_>) -> Result<(), TextError> {
    let mut open = 0_usize;
    loop {
        let before = *at;
        match at.next()? {
            Token::Mark("," | "}") if open == 0 => {
                *at = before;
                return Ok(());
            }
            Token::Mark("[" | "(") => open += 1,
            Token::Mark("]" | ")") => match open.checked_sub(1) {
                Some(fewer) => open = fewer,
                None => return Err(before.expected("`,` or `}`")),
            },
            Token::Mark("{" | "}") | Token::End => return Err(before.expected("`]`")),
            _ => {}
        }
    }
}

/// An attribute's value ends here.
fn ends(at: Scanner<'_>) -> Result<(), TextError> {
    match at.peek()? {
        Token::Mark("," | "}") => Ok(()),
        _ => Err(at.expected("`,` or `}`")),
    }
}

/// `[item, item]`, and no more.
fn list<'a, T>(
    mut at: Scanner<'a>,
    item: impl FnMut(&mut Scanner<'a>) -> Result<T, TextError>,
) -> Result<Vec<T>, TextError> {
    let found = items(&mut at, item)?;
    ends(at)?;
    Ok(found)
}

/// `[item, item]`.
fn items<'a, T>(
    at: &mut Scanner<'a>,
    mut item: impl FnMut(&mut Scanner<'a>) -> Result<T, TextError>,
) -> Result<Vec<T>, TextError> {
    let mut items = Vec::new();
    at.wants_mark("[")?;
    while !at.takes_mark("]")? {
        items.push(item(at)?);
        if !at.takes_mark(",")? {
            at.wants_mark("]")?;
            break;
        }
    }
    Ok(items)
}
