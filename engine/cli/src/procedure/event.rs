//! What does an event say?
//!
//! What is waited for has a type. An event is a value of it; of a record it may be some fields, and
//! the others stay what the procedure has in them. So kinds of events are fields of a record, and which
//! one has come is seen from what is in it.

use girih_dsl::model::Static;
use girih_dsl::procedure::{Place, Type};
use girih_dsl::span::Span;
use serde_json::Value as Json;

use super::Value;
use super::given::static_input;
use super::machine::Machine;
use crate::failure::Failure;

impl Machine<'_, '_, '_> {
    /// The next event, of those that a test gives, else from outside; what there is if there is none.
    pub(super) fn wait(&mut self, like: &Place, span: Span) -> Result<Value, Failure> {
        let (own, ty) = (self.at(like).clone(), self.type_at(like));
        let said = match self.events.pop_front() {
            Some((found, value)) => given(value, &found, own, ty),
            None => match (self.around.wait)()? {
                Some(json) => read(&json, own, ty),
                None => Ok(own),
            },
        };
        said.map_err(|error| self.failed(&error, span))
    }
}

/// An event of a test.
fn given(value: Value, found: &Type, own: Value, ty: &Type) -> Result<Value, String> {
    let (Type::Record(fields), Type::Record(wanted)) = (found, ty) else {
        return if ty.takes(found) {
            let value = value.ordered(found, ty);
            value.map_err(|error| error.to_string())
        } else {
            Err(format!("`{found}` comes where `{ty}` is waited for"))
        };
    };
    let (Value::Parts(parts), Value::Parts(mut all)) = (value, own) else {
        return Err("an event is read before it is there".to_owned());
    };
    for ((name, found), part) in fields.iter().zip(parts) {
        let (place, ty) = field(name, wanted)?;
        if let Some(slot) = all.get_mut(place) {
            let old = std::mem::replace(slot, Value::None);
            *slot = given(part, found, old, ty)?;
        }
    }
    Ok(Value::Parts(all))
}

/// An event as it is written outside: numbers, lists of them, texts; an object for a record.
fn read(json: &Json, own: Value, ty: &Type) -> Result<Value, String> {
    let Type::Record(wanted) = ty else {
        let written = written(json).ok_or_else(|| no_event(json, ty))?;
        return static_input("event", &written, ty).map_err(|_| no_event(json, ty));
    };
    let (Json::Object(fields), Value::Parts(mut all)) = (json, own) else {
        return Err(no_event(json, ty));
    };
    for (name, json) in fields {
        let (place, ty) = field(name, wanted)?;
        if let Some(slot) = all.get_mut(place) {
            let old = std::mem::replace(slot, Value::None);
            *slot = read(json, old, ty)?;
        }
    }
    Ok(Value::Parts(all))
}

fn no_event(json: &Json, ty: &Type) -> String {
    format!("`{json}` is no event here: `{ty}` is waited for")
}

fn field<'t>(name: &str, wanted: &'t [(String, Type)]) -> Result<(usize, &'t Type), String> {
    let place = wanted.iter().position(|(own, _)| own == name);
    place
        .and_then(|place| Some((place, &wanted.get(place)?.1)))
        .ok_or_else(|| {
            let names: Vec<&str> = wanted.iter().map(|(own, _)| own.as_str()).collect();
            format!(
                "no event has `{name}`; `{}` are waited for",
                names.join("`, `")
            )
        })
}

fn written(json: &Json) -> Option<Static> {
    Some(match json {
        Json::Bool(truth) => Static::Bool(*truth),
        Json::String(text) => Static::Text(text.clone()),
        Json::Array(parts) => Static::List(parts.iter().map(written).collect::<Option<_>>()?),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Static::Int(number),
            None => Static::Real(number.as_f64()?),
        },
        Json::Null | Json::Object(_) => return None,
    })
}
