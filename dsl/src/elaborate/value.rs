//! What an expression is while a model is elaborated.

use std::rc::Rc;

use girih_graph::{AxisId, Extent, ValueId};

use crate::model::Static;
use crate::program::ItemRef;
use crate::span::Span;

/// An error was reported; whoever sees this only has to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported;

/// A result whose error has been reported already.
pub(crate) type Eval<T> = Result<T, Reported>;

/// A value of the graph: which region (by nesting level) and which value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Tensor {
    pub(crate) level: usize,
    pub(crate) id: ValueId,
}

/// An instance of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct InstanceId(pub(crate) usize);

/// One axis, a group in row-major order, or a record of parts laid end to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Axes {
    One(AxisId),
    Group(Vec<Axes>),
    Record(Vec<(String, Axes)>),
    /// An extent without a name of its own: `Linear(d -> 4 * d)`.
    Size(Extent),
}

/// A module with some of its static parameters given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModuleValue {
    pub(crate) decl: ItemRef,
    /// Positional arguments come first, under their parameters' names.
    pub(crate) args: Vec<(String, Value)>,
    /// Where it was written.
    pub(crate) span: Span,
}

/// Any value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Nothing: an input that was left out.
    None,
    Int(Extent),
    Real(f64),
    Bool(bool),
    Text(String),
    Axes(Axes),
    Tensor(Tensor),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Record(Vec<(String, Value)>),
    Module(Rc<ModuleValue>),
    Instance(InstanceId),
    /// Instances that are applied one after another.
    Stack(Rc<Vec<InstanceId>>),
    /// An `experts` group: its axis and its branches.
    Experts(AxisId, Rc<Vec<InstanceId>>),
    Function(ItemRef),
    /// A built-in function, by name.
    Builtin(&'static str),
    /// What only a procedure holds: a text, a session.
    Held(&'static str),
    /// An error was reported where it was made.
    Poison,
}

impl Value {
    /// In the user's words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Int(_) => "an integer",
            Self::Real(_) => "a number",
            Self::Bool(_) => "a truth value",
            Self::Text(_) => "a text",
            Self::Axes(Axes::One(_)) => "an axis",
            Self::Axes(_) => "a group of axes",
            Self::Tensor(_) => "a tensor",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Record(_) => "a record",
            Self::Module(_) => "a module",
            Self::Instance(_) => "an instance of a module",
            Self::Stack(_) => "a stack of modules",
            Self::Experts(..) => "a group of experts",
            Self::Function(_) | Self::Builtin(_) => "a function",
            Self::Held(kind) => kind,
            Self::Poison => "an error",
        }
    }
}

/// A tuple or record of axes as a group.
pub(crate) fn axes_of(value: &Value) -> Option<Axes> {
    Some(match value {
        Value::Axes(axes) => axes.clone(),
        Value::Int(extent) => Axes::Size(extent.clone()),
        Value::Experts(axis, _) => Axes::One(*axis),
        Value::Tuple(parts) => Axes::Group(parts.iter().map(axes_of).collect::<Option<_>>()?),
        Value::Record(fields) => Axes::Record(
            (fields.iter())
                .map(|(name, value)| Some((name.clone(), axes_of(value)?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

pub(crate) fn from_static(value: &Static) -> Value {
    match value {
        Static::None => Value::None,
        Static::Int(number) => Value::Int(Extent::constant(*number)),
        Static::Real(number) => Value::Real(*number),
        Static::Bool(truth) => Value::Bool(*truth),
        Static::Text(text) => Value::Text(text.clone()),
        Static::List(parts) => Value::List(parts.iter().map(from_static).collect()),
        Static::Map(fields) => Value::Record(
            (fields.iter())
                .map(|(name, value)| (name.clone(), from_static(value)))
                .collect(),
        ),
    }
}

/// A value that can leave the language.
pub(crate) fn to_static(value: &Value) -> Option<Static> {
    Some(match value {
        Value::None => Static::None,
        Value::Int(extent) => Static::Int(extent.as_constant()?),
        Value::Real(number) => Static::Real(*number),
        Value::Bool(truth) => Static::Bool(*truth),
        Value::Text(text) => Static::Text(text.clone()),
        Value::List(parts) | Value::Tuple(parts) => {
            Static::List(parts.iter().map(to_static).collect::<Option<_>>()?)
        }
        Value::Record(fields) => Static::Map(
            (fields.iter())
                .map(|(name, value)| Some((name.clone(), to_static(value)?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}
