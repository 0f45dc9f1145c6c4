//! What does a variable hold, and how is it shown?

use std::collections::BTreeMap;

use girih_dsl::procedure::Type;
use girih_runtime::backend::{Data, RunError};
use girih_runtime::session::Session;
use serde_json::json;

/// What a variable holds; its type says what it is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing, or nothing yet.
    None,
    /// Numbers, in the order of the type's axes.
    Tensor(Data),
    /// A text.
    Text(String),
    /// Fields of a record, elements of a list.
    Parts(Vec<Value>),
    /// A stream at a position.
    Session(Box<Stream>),
}

/// A session and what it was opened with.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Inputs that belong to no position, as the model has them.
    pub(super) opening: BTreeMap<String, Data>,
    /// After the first call.
    pub(super) session: Option<Session>,
    /// What a call would give without new positions: none, and what belongs to no position.
    pub(super) rest: Value,
}

impl Value {
    /// A part, by names and numbers.
    pub(super) fn at(&self, ty: &Type, path: &[String]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else {
            return Some(self);
        };
        let (place, inner) = match ty {
            Type::Record(fields) => {
                let place = fields.iter().position(|(name, _)| name == first)?;
                (place, &fields[place].1)
            }
            Type::List(parts) => {
                let place: usize = first.parse().ok()?;
                (place, parts.get(place)?)
            }
            _ => return None,
        };
        match self {
            Self::Parts(parts) => parts.get(place)?.at(inner, rest),
            _ => None,
        }
    }

    /// The value with another one in place of each tensor.
    pub(super) fn map(
        self,
        ty: &Type,
        act: &mut dyn FnMut(Data, &Type) -> Result<Self, RunError>,
    ) -> Result<Self, RunError> {
        Ok(match (self, ty) {
            (Self::Tensor(data), ty) => act(data, ty)?,
            (Self::Parts(parts), ty) => {
                let parts = parts.into_iter().zip(ty.parts());
                let parts: Result<_, _> = parts.map(|(part, ty)| part.map(ty, act)).collect();
                Self::Parts(parts?)
            }
            (other, _) => other,
        })
    }

    /// What of the value has an axis; nothing in place of the rest.
    pub(super) fn along(self, ty: &Type, axis: &str) -> Self {
        match self {
            Self::Parts(parts) => {
                let parts = parts.into_iter().zip(ty.parts());
                Self::Parts(parts.map(|(part, ty)| part.along(ty, axis)).collect())
            }
            own if ty.axes().iter().any(|own| own.name == axis) => own,
            _ => Self::None,
        }
    }

    /// `other` where that is there, the value where it is not.
    pub(super) fn replaced_by(self, other: Self) -> Self {
        match (self, other) {
            (Self::Parts(parts), Self::Parts(others)) => {
                let parts = parts.into_iter().zip(others);
                Self::Parts(parts.map(|(own, other)| own.replaced_by(other)).collect())
            }
            (own, Self::None) => own,
            (_, other) => other,
        }
    }

    /// A tensor within, by names and numbers.
    ///
    /// # Errors
    ///
    /// A device that does not answer.
    pub fn tensor(
        &self,
        ty: &Type,
        path: &[String],
    ) -> Result<Option<girih_runtime::tensor::Tensor>, RunError> {
        match self.at(ty, path) {
            Some(Self::Tensor(data)) => data.to_host().map(Some),
            _ => Ok(None),
        }
    }

    /// The value with its axes as another type has them.
    pub(super) fn ordered(self, from: &Type, to: &Type) -> Result<Self, RunError> {
        Ok(match (self, from, to) {
            (Self::Tensor(data), from, to) => {
                let names = |ty: &Type| -> Vec<String> {
                    ty.axes().iter().map(|axis| axis.name.clone()).collect()
                };
                Self::Tensor(permuted(data, &names(from), &names(to))?)
            }
            (Self::Parts(parts), Type::Record(a), Type::Record(b)) => {
                let pairs = a.iter().map(|own| &own.1).zip(b.iter().map(|own| &own.1));
                Self::Parts(all_ordered(parts, pairs)?)
            }
            (Self::Parts(parts), Type::List(a), Type::List(b)) => {
                Self::Parts(all_ordered(parts, a.iter().zip(b))?)
            }
            (other, _, _) => other,
        })
    }
}

fn all_ordered<'t>(
    parts: Vec<Value>,
    types: impl Iterator<Item = (&'t Type, &'t Type)>,
) -> Result<Vec<Value>, RunError> {
    let pairs = parts.into_iter().zip(types);
    pairs
        .map(|(part, (from, to))| part.ordered(from, to))
        .collect()
}

/// The name of an axis of a graph as it was declared: graphs number axes of one name.
pub(super) fn declared(name: &str) -> String {
    name.split('.').next().unwrap_or_default().to_owned()
}

/// Data whose axes are called `from`, with them in the order of `to`.
pub(super) fn permuted(data: Data, from: &[String], to: &[String]) -> Result<Data, RunError> {
    if from == to {
        return Ok(data);
    }
    let order: Option<Vec<usize>> = to
        .iter()
        .map(|name| from.iter().position(|own| own == name))
        .collect();
    let order = order.filter(|order| order.len() == from.len());
    let Some(order) = order else {
        return Err(RunError::NoResult {
            name: format!("[{}]", to.join(", ")),
            known: from.to_vec(),
        });
    };
    if order.iter().copied().eq(0..order.len()) {
        return Ok(data);
    }
    Ok(Data::Host(data.to_host()?.permute(&order)?))
}

/// A value as JSON.
///
/// # Errors
///
/// A device that does not answer.
pub fn json(value: &Value, ty: &Type) -> Result<serde_json::Value, RunError> {
    Ok(match (value, ty) {
        (Value::Tensor(data), _) => {
            let tensor = data.to_host()?;
            nested(tensor.shape(), &mut numbers(&tensor).into_iter())
        }
        (Value::Text(text), _) => json!(text),
        (Value::Parts(parts), Type::Record(fields)) => {
            let mut map = serde_json::Map::new();
            for ((name, ty), part) in fields.iter().zip(parts) {
                map.insert(name.clone(), json(part, ty)?);
            }
            serde_json::Value::Object(map)
        }
        (Value::Parts(parts), Type::List(types)) => {
            let parts: Result<Vec<_>, _> = types
                .iter()
                .zip(parts)
                .map(|(ty, part)| json(part, ty))
                .collect();
            serde_json::Value::Array(parts?)
        }
        (Value::Session(stream), _) => {
            json!({ "position": stream.session.as_ref().map_or(0, Session::position) })
        }
        _ => serde_json::Value::Null,
    })
}

fn numbers(tensor: &girih_runtime::tensor::Tensor) -> Vec<serde_json::Value> {
    let dtype = tensor.dtype();
    if dtype == girih_graph::DType::Bool {
        let truths = tensor.to_f64_vec().into_iter();
        truths.map(|truth| json!(truth != 0.0)).collect()
    } else if dtype.is_integer() {
        tensor
            .to_i64_vec()
            .into_iter()
            .map(|own| json!(own))
            .collect()
    } else {
        // What is no number has a name, for JSON has none.
        let shown = |own: f64| {
            if own.is_finite() {
                json!(shortest(own, dtype))
            } else {
                json!(own.to_string())
            }
        };
        tensor.to_f64_vec().into_iter().map(shown).collect()
    }
}

/// The number with the fewest digits that a reader turns into the same number of the dtype.
pub(super) fn shortest(number: f64, dtype: girih_graph::DType) -> f64 {
    if dtype == girih_graph::DType::F64 {
        return number;
    }
    (number as f32).to_string().parse().unwrap_or(number)
}

fn nested(
    shape: &[usize],
    numbers: &mut impl Iterator<Item = serde_json::Value>,
) -> serde_json::Value {
    match shape.split_first() {
        None => numbers.next().unwrap_or(serde_json::Value::Null),
        Some((count, rest)) => {
            serde_json::Value::Array((0..*count).map(|_| nested(rest, numbers)).collect())
        }
    }
}

/// A value on one line, as a person reads it.
///
/// # Errors
///
/// A device that does not answer.
pub fn line(value: &Value, ty: &Type) -> Result<String, RunError> {
    Ok(match value {
        Value::Text(text) => text.clone(),
        _ => json(value, ty)?.to_string(),
    })
}
