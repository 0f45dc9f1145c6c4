//! The typed form of a procedure: what an engine runs step by step.
//!
//! Every expression over tensors is a graph, in which calls of models are written out;
//! graphs read variables and give variables. What no graph can do – sizes that depend on
//! data, sampling, sessions, events – is an [`Operation`]. Types are known before anything
//! runs: element types and names of axes; a size that an axis does not fix is found when
//! the procedure runs, by every step anew.

use std::fmt;

use girih_graph::{DType, Extent, Graph};

use crate::model::Static;
use crate::span::Span;

/// A procedure with models in its parameters' places.
#[derive(Clone, Debug)]
pub struct Procedure {
    /// As declared.
    pub name: String,
    /// Parameters that are models, in order. A graph has the parameters of all of them, each
    /// under its model's name: `m.layers.0.w`.
    pub models: Vec<ModelSlot>,
    /// The other parameters, in order.
    pub inputs: Vec<Input>,
    /// Every variable, those between steps too.
    pub variables: Vec<Variable>,
    /// Every kind of session that is opened.
    pub sessions: Vec<SessionForm>,
    /// What is done.
    pub body: Vec<Step>,
    /// What is returned, if something is.
    pub result: Option<VariableId>,
}

/// A model that a procedure is given.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSlot {
    /// The parameter's name.
    pub name: String,
    /// The module.
    pub module: String,
    /// Its static parameters, as far as they are given.
    pub statics: Vec<(String, Static)>,
}

/// A parameter that is a value.
#[derive(Clone, Debug)]
pub struct Input {
    /// As declared.
    pub name: String,
    /// Where it goes.
    pub variable: VariableId,
    /// Makes its value if none is given; `None` if one must be.
    pub default: Option<Vec<Step>>,
    /// Where it is declared.
    pub span: Span,
}

/// A variable of a procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariableId(pub usize);

/// What a variable holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// As written; empty between steps.
    pub name: String,
    /// The type of everything that it ever holds.
    pub ty: Type,
    /// Where it is first given a value.
    pub span: Span,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Nothing.
    None,
    /// Numbers or truth values with named axes; without axes one number.
    Tensor {
        /// Element type.
        dtype: DType,
        /// In the order of the data.
        axes: Vec<AxisType>,
    },
    /// A text.
    Text,
    /// Named values.
    Record(Vec<(String, Type)>),
    /// Values in order, as many as are written.
    List(Vec<Type>),
    /// A model's stream at a position; which of [`Procedure::sessions`].
    Session(usize),
}

/// An axis of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisType {
    /// Its name.
    pub name: String,
    /// Its size, where nothing changes it within a run: a number, or of free parameters of models.
    pub size: Option<Extent>,
}

/// A part of a variable: a field of a record, an element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The variable.
    pub variable: VariableId,
    /// Names and numbers that lead into it.
    pub path: Vec<String>,
}

/// One step and where it stands.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// The statement or expression.
    pub span: Span,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// Runs a graph.
    Compute(Box<Compute>),
    /// A value that is written in the file.
    Constant(VariableId, Constant),
    /// The same value under another name; axes may stand in another order.
    Copy(Place, VariableId),
    /// A record or a list of values, in the order of the variable's type.
    Gather(Vec<Place>, VariableId),
    /// What no graph can do.
    Operate(Operation, VariableId),
    /// One of two ways.
    If {
        /// One truth value.
        cond: Place,
        /// The way if it holds.
        then: Vec<Step>,
        /// The way if it does not.
        other: Vec<Step>,
    },
    /// Turns while something holds.
    While {
        /// What decides, before each turn.
        test: Vec<Step>,
        /// One truth value.
        cond: Place,
        /// The most turns.
        limit: Place,
        /// One turn.
        body: Vec<Step>,
    },
    /// A counted loop.
    For {
        /// The number of the turn, from 0.
        turn: VariableId,
        /// How many turns.
        count: Place,
        /// One turn.
        body: Vec<Step>,
    },
    /// Another procedure.
    Inline {
        /// What it does.
        body: Vec<Step>,
        /// What it returns.
        result: Option<VariableId>,
    },
    /// Ends the procedure, or the inline one.
    Return(Option<Place>),
    /// Tells the caller a value.
    Emit(Place),
    /// A claim of a test.
    Expect(Claim),
}

/// A value that is written in the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// Nothing.
    None,
    /// An integer, as `i64`.
    Int(i64),
    /// A number, as `f32`.
    Real(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
}

/// What a test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The left side, or truth values that must all hold.
    pub left: Place,
    /// What it must equal: of the same axes, or one number.
    pub right: Option<Place>,
    /// Largest absolute difference; exact when absent.
    pub within: Option<Place>,
}

/// A graph with its place between variables.
#[derive(Clone, Debug)]
pub struct Compute {
    /// Its results are called `0`, `1.field`, …: the place in `outputs`, then the way into the value.
    pub graph: Graph,
    /// What its inputs are.
    pub inputs: Vec<(String, Place)>,
    /// Where its results go.
    pub outputs: Vec<VariableId>,
}

/// What a procedure can do beside computing.
#[derive(Clone, Debug)]
pub enum Operation {
    /// `append(x, y)`: `y` after `x` along an axis of both, or as one more position.
    Append {
        /// What there is.
        x: Place,
        /// What comes after it, with the axes of `x` but perhaps not the one that grows.
        y: Place,
        /// The axis that grows.
        over: String,
    },
    /// `slice(x, from, to)`: positions from `from` up to `to`, which is not among them.
    Slice {
        /// Of what.
        x: Place,
        /// First position.
        from: Place,
        /// Position after the last.
        to: Place,
        /// Along which axis.
        over: String,
    },
    /// `rename(x, t -> s)`: the same numbers along an axis of another name.
    Rename(Place),
    /// `tokens(t, a, b)`: single numbers along an axis.
    Tokens(Vec<Place>),
    /// `empty(x, t)`: no positions of what `x` is, along a new axis.
    Empty(Place),
    /// `length(x)`: how many positions an axis has.
    Length {
        /// Of what.
        x: Place,
        /// The axis.
        over: String,
    },
    /// `sample(logits, …)`: positions that are drawn.
    Sample {
        /// Their logits.
        logits: Place,
        /// The axis of what is drawn.
        over: String,
        /// The rules by name: `temperature`, `top_k`, `top_p`, `min_p`.
        rules: Vec<(String, Place)>,
    },
    /// `wait(x)`: the next event, a value as `x` is; of a record the fields that the event says. If there is no
    /// event any more, `x`. `wait(t)` waits for tokens, `wait(tokens(t))`.
    Wait(Place),
    /// `events(a, b)`, in tests: what is waited for gets these, in order.
    Events(Vec<Place>),
    /// `emitted(n)`, in tests: what has been emitted as the n-th value, as text; without a number how many.
    Emitted(Option<Place>),
    /// `join(a, b)`: texts one after another; numbers as they are written.
    Join(Vec<Place>),
    /// `encode(text, t)`: the tokens of a text.
    Encode(Place),
    /// `decode(ids)`: the text of tokens.
    Decode(Place),
    /// `session(m)`: a stream before its first position.
    Open {
        /// Which of [`Procedure::sessions`].
        form: usize,
        /// Inputs that belong to no position.
        inputs: Vec<(String, Place)>,
        /// What it goes on from.
        cache: Option<Place>,
    },
    /// `s(x)`: the next positions of a session, which moves on.
    Call {
        /// The variable of the session.
        session: VariableId,
        /// Which of [`Procedure::sessions`].
        form: usize,
        /// What the positions have.
        inputs: Vec<(String, Place)>,
        /// One position, whose inputs and results lack the streamed axis.
        single: bool,
    },
    /// `flush(s)`: what is left of results that come late if the sequence ends here.
    Flush(Place),
    /// `cache(s)`: what a session carries, in the order of [`SessionForm::carried`].
    Cache(Place),
    /// `roll_back(s, n)`: the session at an earlier position.
    RollBack {
        /// The session.
        session: Place,
        /// How many positions are left.
        position: Place,
    },
    /// `position(s)`: how many positions a session has taken.
    Position(Place),
}

/// What is known of sessions that one place opens.
#[derive(Clone, Debug)]
pub struct SessionForm {
    /// Which of [`Procedure::models`].
    pub model: usize,
    /// The method that is streamed.
    pub method: String,
    /// Inputs that belong to no position, and variables of their types.
    pub opening: Vec<(String, VariableId)>,
    /// Types of the inputs of positions, with the streamed axis; empty until a call is seen.
    pub steps: Vec<(String, Type)>,
    /// The streamed axis.
    pub axis: String,
    /// What a call gives, with the streamed axis.
    pub result: Type,
    /// The cache that it goes on from.
    pub from: Option<Type>,
    /// What it carries, where somebody reads that or hands it over.
    pub carried: Option<Type>,
    /// Where it is opened.
    pub span: Span,
}

/// A session, for whoever knows how models are streamed.
#[derive(Clone, Debug)]
pub struct Streamed<'a> {
    /// The model.
    pub model: &'a ModelSlot,
    /// Its method.
    pub method: &'a str,
    /// Types of what the method is given, at the start and with positions.
    pub inputs: Vec<(&'a str, &'a Type)>,
    /// The streamed axis.
    pub axis: &'a str,
}

impl SessionForm {
    /// What sessions of the form stream.
    pub fn streamed<'a>(
        &'a self,
        models: &'a [ModelSlot],
        variables: &'a [Variable],
    ) -> Streamed<'a> {
        let opening = self.opening.iter();
        let opening = opening.map(|(name, id)| (name.as_str(), &variables[id.0].ty));
        let steps = self.steps.iter().map(|(name, ty)| (name.as_str(), ty));
        Streamed {
            model: &models[self.model],
            method: &self.method,
            inputs: opening.chain(steps).collect(),
            axis: &self.axis,
        }
    }
}

impl StepKind {
    /// The steps within, in order.
    pub fn bodies(&self) -> Vec<&[Step]> {
        match self {
            Self::If { then, other, .. } => vec![then, other],
            Self::While { test, body, .. } => vec![test, body],
            Self::For { body, .. } | Self::Inline { body, .. } => vec![body],
            Self::Compute(_)
            | Self::Constant(..)
            | Self::Copy(..)
            | Self::Gather(..)
            | Self::Operate(..)
            | Self::Return(_)
            | Self::Emit(_)
            | Self::Expect(_) => Vec::new(),
        }
    }
}

impl AxisType {
    /// Whether values with these axes have it: by name, and with its size if it has one.
    fn is_among(&self, axes: &[Self]) -> bool {
        let mut axes = axes.iter();
        axes.any(|own| own.name == self.name && (self.size.is_none() || own.size == self.size))
    }
}

impl Type {
    /// One number of a type.
    pub const fn scalar(dtype: DType) -> Self {
        Self::Tensor {
            dtype,
            axes: Vec::new(),
        }
    }

    /// Integers along one axis.
    pub fn tokens(axis: &str) -> Self {
        Self::Tensor {
            dtype: DType::I64,
            axes: vec![AxisType {
                name: axis.to_owned(),
                size: None,
            }],
        }
    }

    /// The type of a part.
    pub fn at(&self, path: &[String]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        let part = match self {
            Self::Record(fields) => fields
                .iter()
                .find(|(name, _)| name == first)
                .map(|own| &own.1),
            Self::List(parts) => first
                .parse::<usize>()
                .ok()
                .and_then(|place| parts.get(place)),
            _ => None,
        };
        part?.at(rest)
    }

    /// Whether a variable of this type takes values of `other`: the same, but for the
    /// order of axes and for sizes that it leaves open.
    pub fn takes(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Tensor { dtype, axes },
                Self::Tensor {
                    dtype: own,
                    axes: b,
                },
            ) => dtype == own && axes.len() == b.len() && axes.iter().all(|axis| axis.is_among(b)),
            (Self::Record(a), Self::Record(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|((name, ty), (own, other))| name == own && ty.takes(other))
            }
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(ty, other)| ty.takes(other))
            }
            _ => self == other,
        }
    }

    /// Names of the tensors within, with what leads to each: `prefix`, `prefix.field`, `prefix.0`.
    pub fn leaves(&self, prefix: &str, found: &mut Vec<(String, Self)>) {
        match self {
            Self::Tensor { .. } => found.push((prefix.to_owned(), self.clone())),
            Self::Record(fields) => {
                for (name, ty) in fields {
                    ty.leaves(&format!("{prefix}.{name}"), found);
                }
            }
            Self::List(parts) => {
                for (place, ty) in parts.iter().enumerate() {
                    ty.leaves(&format!("{prefix}.{place}"), found);
                }
            }
            Self::None | Self::Text | Self::Session(_) => {}
        }
    }

    /// In the user's words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Tensor { .. } => "a tensor",
            Self::Text => "a text",
            Self::Record(_) => "a record",
            Self::List(_) => "a list",
            Self::Session(_) => "a session",
        }
    }

    /// The types of fields or elements, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Self> {
        let (fields, parts): (&[(String, Self)], &[Self]) = match self {
            Self::Record(fields) => (fields, &[]),
            Self::List(parts) => (&[], parts),
            _ => (&[], &[]),
        };
        fields.iter().map(|(_, ty)| ty).chain(parts)
    }

    /// The axes of a tensor.
    pub fn axes(&self) -> &[AxisType] {
        match self {
            Self::Tensor { axes, .. } => axes,
            _ => &[],
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor { dtype, axes } => {
                write!(f, "{dtype}")?;
                if axes.is_empty() {
                    return Ok(());
                }
                let axes: Vec<String> = axes
                    .iter()
                    .map(|axis| match &axis.size {
                        Some(size) => format!("{}={size}", axis.name),
                        None => axis.name.clone(),
                    })
                    .collect();
                write!(f, "[{}]", axes.join(", "))
            }
            Self::Record(fields) => {
                f.write_str("{ ")?;
                for (place, (name, ty)) in fields.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    write!(f, "{comma}{name}: {ty}")?;
                }
                f.write_str(" }")
            }
            Self::List(parts) => {
                f.write_str("[")?;
                for (place, ty) in parts.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    write!(f, "{comma}{ty}")?;
                }
                f.write_str("]")
            }
            Self::None | Self::Text | Self::Session(_) => f.write_str(self.kind()),
        }
    }
}
