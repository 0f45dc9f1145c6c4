//! What is the cache of a session as a value, and when may another session go on from it?
//!
//! A cache is a record. `at` says of each entry the position that it was made for, so that entries
//! which are cut out, reordered or appended keep their labels; a session goes on behind as many
//! positions as `at` has. What holds all positions has their axis. What holds the last ones, or has
//! folded them together, has another axis or none and cannot be cut: `end` says where it was, and
//! the session goes on there or not at all.

use std::collections::{BTreeMap, BTreeSet};

use girih_dsl::diag::Sink;

use girih_dsl::procedure::{AxisType, Place, Streamed as Asked, Type};
use girih_dsl::program::Program;
use girih_dsl::span::Span;
use girih_graph::stream::{Carry, Kind, Stream};
use girih_graph::{DType, Extent};
use girih_runtime::backend::Data;
use girih_runtime::session::Session;
use girih_runtime::tensor::Tensor;
use girih_transform::stream;

use super::Value;
use super::machine::Machine;
use super::models::{Streamed, streamed};
use super::value::{declared, permuted};
use crate::failure::Failure;
use crate::streaming::refusal;

/// Labels of entries, and where what has none was.
const LABELS: [&str; 2] = ["at", "end"];

/// Something carried, and its place in the record.
struct Leaf<'s> {
    path: Vec<String>,
    ty: Type,
    carry: &'s Carry,
}

/// What sessions of a model carry, as the type of a value.
pub(super) fn carried(program: &Program, asked: &Asked<'_>, sink: &mut Sink) -> Option<Type> {
    let model = streamed(program, asked, sink)?;
    match stream(&model.graph, asked.axis) {
        Ok(stream) => Some(record(&stream, asked.axis)),
        Err(whole) => {
            sink.report(refusal(program, &whole));
            None
        }
    }
}

/// The record of everything that a stream carries.
fn record(stream: &Stream, axis: &str) -> Type {
    let mut tree = Tree::default();
    tree.add(&[LABELS[0].to_owned()], Type::tokens(axis));
    let leaves = leaves(stream, axis);
    if leaves.iter().any(|leaf| !is_whole(stream, leaf.carry)) {
        tree.add(&[LABELS[1].to_owned()], Type::scalar(DType::I64));
    }
    for leaf in leaves {
        tree.add(&leaf.path, leaf.ty);
    }
    tree.into_type()
}

/// Whether something holds an entry of every position so far.
fn is_whole(stream: &Stream, carry: &Carry) -> bool {
    carry.kind == Kind::Cache && carry.there.as_symbol() == Some(stream.total.as_str())
}

fn leaves<'s>(stream: &'s Stream, axis: &str) -> Vec<Leaf<'s>> {
    let names: BTreeSet<&str> = stream.carries.iter().map(|own| own.name.as_str()).collect();
    let table = &stream.step.axes;
    // Parts of the sequence have axes of their own, the same one where they have as many positions.
    let mut parts: Vec<Extent> = Vec::new();
    let leaf = |carry: &'s Carry| {
        let mut name = carry.name.clone();
        // A value whose name others begin with is one of their record.
        while names
            .iter()
            .any(|other| other.starts_with(&format!("{name}.")))
        {
            name.push_str(".out");
        }
        let mut path: Vec<String> = name.split('.').map(str::to_owned).collect();
        if let Some(first) = path
            .first_mut()
            .filter(|own| LABELS.contains(&own.as_str()))
        {
            first.push('_');
        }
        let entries = carry.positions();
        let axes = carry.ty.axes.iter().enumerate().map(|(place, own)| {
            let name = declared(table.name(*own));
            match entries.as_ref().filter(|_| place == 0) {
                None => AxisType {
                    name,
                    size: Some(table.extent(*own).clone()),
                },
                Some(_) if is_whole(stream, carry) => AxisType {
                    name: axis.to_owned(),
                    size: None,
                },
                Some(count) => {
                    let found = parts.iter().position(|own| own == count);
                    let number = found.unwrap_or_else(|| {
                        parts.push(count.clone());
                        parts.len() - 1
                    });
                    AxisType {
                        name: format!("{axis}_part{number}"),
                        size: None,
                    }
                }
            }
        });
        let axes = axes.collect();
        Leaf {
            path,
            ty: Type::Tensor {
                dtype: carry.ty.dtype,
                axes,
            },
            carry,
        }
    };
    stream.carries.iter().map(leaf).collect()
}

/// Values by the words that lead to them, in the order in which they came.
#[derive(Default)]
struct Tree {
    value: Option<Type>,
    parts: Vec<(String, Tree)>,
}

impl Tree {
    fn add(&mut self, path: &[String], ty: Type) {
        let Some((first, rest)) = path.split_first() else {
            self.value = Some(ty);
            return;
        };
        let found = self.parts.iter().position(|(name, _)| name == first);
        let place = found.unwrap_or_else(|| {
            self.parts.push((first.clone(), Self::default()));
            self.parts.len() - 1
        });
        if let Some((_, part)) = self.parts.get_mut(place) {
            part.add(rest, ty);
        }
    }

    /// A record, or a list where all words are numbers; what a list has no value for is nothing.
    fn into_type(self) -> Type {
        if let Some(ty) = self.value {
            return ty;
        }
        let number = |(name, _): &(String, Self)| name.parse::<usize>().ok();
        let numbers: Option<Vec<usize>> = self.parts.iter().map(number).collect();
        let parts = self.parts.into_iter();
        let parts = parts.map(|(name, part)| (name, part.into_type()));
        let Some(numbers) = numbers else {
            return Type::Record(parts.collect());
        };
        let count = numbers.iter().max().map_or(0, |most| most + 1);
        let mut list = vec![Type::None; count];
        for (number, (_, ty)) in numbers.into_iter().zip(parts) {
            list[number] = ty;
        }
        Type::List(list)
    }
}

impl Machine<'_, '_, '_> {
    /// `cache(s)`.
    pub(super) fn cache(&self, place: &Place, span: Span) -> Result<Value, Failure> {
        let (form, session) = self.session(place, span)?;
        let own = &self.ready.procedure.sessions[form];
        let streamed = self.streamed(form, span)?;
        let position = i64::try_from(session.position()).unwrap_or(i64::MAX);
        let at: Vec<i64> = (0..position).collect();
        let at = Tensor::new([at.len()], at).map_err(|error| self.failed(&error, span))?;
        let end = Tensor::scalar(position);
        let mut values = BTreeMap::from(LABELS.map(|label| {
            let tensor = if label == LABELS[0] { &at } else { &end };
            (vec![label.to_owned()], Data::Host(tensor.clone()))
        }));
        for leaf in leaves(streamed.shared.stream(), &own.axis) {
            let Some(data) = session.carried().get(&leaf.carry.name) else {
                return Err(self.failed(&"the session carries nothing: it is at position 0", span));
            };
            values.insert(leaf.path, data.clone());
        }
        let ty = own.carried.as_ref().unwrap_or(&Type::None);
        Ok(filled(ty, &mut Vec::new(), &values))
    }

    /// What a session carries that goes on from a cache, and after how many positions.
    pub(super) fn handed(
        &self,
        streamed: &Streamed,
        place: &Place,
        axis: &str,
        span: Span,
    ) -> Result<(u64, BTreeMap<String, Data>), Failure> {
        let (value, ty) = (self.at(place), self.type_at(place));
        let found = |path: &[String]| match value.at(ty, path) {
            Some(Value::Tensor(data)) => Ok(data.clone()),
            _ => Err(self.failed(&format!("the cache lacks `{}`", path.join(".")), span)),
        };
        let numbers = |label: &str| {
            let data = found(&[label.to_owned()])?.to_host();
            let data = data.map_err(|error| self.failed(&error, span))?;
            Ok::<_, Failure>(data.to_i64_vec())
        };
        let at = numbers(LABELS[0])?;
        let position = at.len() as u64;
        let stream = streamed.shared.stream();
        let misplaced = at.iter().zip(0..).find(|(label, place)| *label != place);
        let mut carries = BTreeMap::new();
        for leaf in leaves(stream, axis) {
            let name = leaf.path.join(".");
            if let Some((label, place)) = misplaced.filter(|_| leaf.carry.placed) {
                return Err(self.failed(
                    &format!(
                        "an entry of `{name}` was made for position {label} and would stand at position {place}: \
                         its position is part of it, as of a rotated key; keep entries where they were, or cache \
                         them before their position enters"
                    ),
                    span,
                ));
            }
            if !is_whole(stream, leaf.carry) {
                let end = numbers(LABELS[1])?.first().copied().unwrap_or(0);
                if u64::try_from(end) != Ok(position) {
                    let holds = match leaf.carry.kind {
                        Kind::Cache => "has entries that come late",
                        Kind::Recent { .. } => "holds the last positions alone",
                        Kind::Carried | Kind::Total => "has folded its positions together",
                    };
                    return Err(self.failed(
                        &format!(
                            "`{name}` {holds} and is what it was after {end} positions, `at` has {position}: a session \
                             goes on from it there alone; take the positions again to be elsewhere"
                        ),
                        span,
                    ));
                }
            }
            let names = |ty: &Type| -> Vec<String> {
                ty.axes().iter().map(|axis| axis.name.clone()).collect()
            };
            let from = ty.at(&leaf.path).map(&names).unwrap_or_default();
            let data = permuted(found(&leaf.path)?, &from, &names(&leaf.ty));
            let data = data.map_err(|error| self.failed(&error, span))?;
            carries.insert(leaf.carry.name.clone(), data);
        }
        Ok((position, carries))
    }

    fn session(&self, place: &Place, span: Span) -> Result<(usize, &Session), Failure> {
        let stream = self.stream(place, span)?;
        let session = stream.session.as_ref();
        let session =
            session.ok_or_else(|| self.failed(&"the session has taken no position yet", span))?;
        Ok((self.form(place), session))
    }
}

/// A value of a type, of tensors by what leads to them.
fn filled(ty: &Type, path: &mut Vec<String>, values: &BTreeMap<Vec<String>, Data>) -> Value {
    let words: Vec<String> = match ty {
        Type::Record(fields) => fields.iter().map(|(name, _)| name.clone()).collect(),
        Type::List(parts) => (0..parts.len()).map(|at| at.to_string()).collect(),
        _ => {
            return values
                .get(path)
                .map_or(Value::None, |data| Value::Tensor(data.clone()));
        }
    };
    let parts = words.into_iter().zip(ty.parts()).map(|(word, ty)| {
        path.push(word);
        let value = filled(ty, path, values);
        path.pop();
        value
    });
    Value::Parts(parts.collect())
}
