//! What does a session do that a procedure has opened?

use std::collections::BTreeMap;

use girih_dsl::procedure::{Place, Type, VariableId};
use girih_dsl::span::Span;
use girih_runtime::backend::{Data, Outputs, RunError};
use girih_runtime::session::{Opening, Session};
use girih_runtime::tensor::Tensor;

use super::Value;
use super::machine::Machine;
use super::models::Streamed;
use super::value::{Stream, declared, permuted};
use crate::failure::Failure;
use crate::session::PIECE;

impl<'m> Machine<'m, '_, '_> {
    /// `session(m, memory = x)`: a stream before its first position.
    pub(super) fn open(
        &self,
        form: usize,
        inputs: &[(String, Place)],
        cache: Option<&Place>,
        span: Span,
    ) -> Result<Value, Failure> {
        let mut opening = BTreeMap::new();
        if let Some(streamed) = &self.ready.models.streams[form] {
            for (name, place) in inputs {
                let data = self.data(place, span)?;
                let data = as_input(streamed, name, data, self.type_at(place));
                let data = data.map_err(|error| self.failed(&error, span))?;
                opening.insert(name.clone(), data);
            }
        }
        let mut stream = Stream {
            opening,
            session: None,
            rest: Value::None,
        };
        if let Some(cache) = cache {
            // What takes no position is opened in vain, and nobody has looked at its cache.
            let streamed = self.streamed(form, span)?;
            let axis = &self.ready.procedure.sessions[form].axis;
            let (position, carries) = self.handed(streamed, cache, axis, span)?;
            let opening = self.opening(&stream);
            let session = Session::at(&streamed.shared, opening, position, carries);
            stream.session = Some(session.map_err(|error| self.failed(&error, span))?);
        }
        Ok(Value::Session(Box::new(stream)))
    }

    /// `s(x)`: the next positions.
    pub(super) fn call(
        &mut self,
        variable: VariableId,
        form: usize,
        inputs: &[(String, Place)],
        single: bool,
        span: Span,
    ) -> Result<Value, Failure> {
        let ready = self.ready;
        let streamed = self.streamed(form, span)?;
        let own = &ready.procedure.sessions[form];
        let axis = &own.axis;
        let mut steps = BTreeMap::new();
        for (name, place) in inputs {
            let data = self.data(place, span)?;
            let ty = self.type_at(place);
            let given = if single {
                one_position(&data, ty, axis)
                    .and_then(|(data, names)| as_named_input(streamed, name, data, &names))
            } else {
                as_input(streamed, name, data, ty)
            };
            let given = given.map_err(|error| self.failed(&error, span))?;
            steps.insert(name.clone(), given);
        }
        let Value::Session(stream) = &self.values[variable.0] else {
            return Err(self.failed(&"a session is read before it is there", span));
        };
        let mut stream = stream.clone();
        let mut session = if let Some(session) = stream.session.take() {
            session
        } else {
            let opened = Session::open(&streamed.shared, self.opening(&stream));
            opened.map_err(|error| self.failed(&error, span))?
        };
        let outputs = session.run_all(&steps, PIECE, self.around.progress);
        let outputs = outputs.map_err(|error| self.failed(&error, span))?;
        let value = named(streamed, &outputs, "out", &own.result);
        let value = value.map_err(|error| self.failed(&error, span))?;
        let rest = after(&value, &own.result, axis);
        stream.rest = rest.map_err(|error| self.failed(&error, span))?;
        stream.session = Some(session);
        let value = if single {
            let value = only_position(value, &own.result, axis);
            value.map_err(|error| self.failed(&error, span))?
        } else {
            value
        };
        self.values[variable.0] = Value::Session(stream);
        Ok(value)
    }

    fn opening(&self, stream: &Stream) -> Opening {
        Opening {
            inputs: stream.opening.clone(),
            symbols: self.ready.sizes().clone(),
            seed: self.ready.seed(),
            ..Opening::default()
        }
    }

    /// `flush(s)`: what is left if the sequence ends here.
    pub(super) fn flush(&mut self, place: &Place, span: Span) -> Result<Value, Failure> {
        let form = self.form(place);
        let streamed = self.streamed(form, span)?;
        let stream = self.stream(place, span)?;
        let Some(session) = stream.session.clone() else {
            return Err(self.failed(&"the session has taken no position yet", span));
        };
        let rest = stream.rest.clone();
        let outputs = session.flush(self.around.progress);
        let outputs = outputs.map_err(|error| self.failed(&error, span))?;
        let ty = &self.ready.procedure.sessions[form].result;
        let late = named(streamed, &outputs, "out", ty);
        let late = late.map_err(|error| self.failed(&error, span))?;
        Ok(rest.replaced_by(late))
    }

    /// `roll_back(s, n)`: the session at an earlier position.
    pub(super) fn roll_back(
        &self,
        place: &Place,
        position: &Place,
        span: Span,
    ) -> Result<Value, Failure> {
        let wanted = u64::try_from(self.integer(position, span)?);
        let wanted = wanted.map_err(|_| self.failed(&"a position is 0 or more", span))?;
        let mut stream = self.stream(place, span)?.clone();
        match &mut stream.session {
            Some(session) => {
                let was = session.position();
                let done = session.roll_back(wanted);
                done.map_err(|error| self.failed(&error, span))?;
                if wanted < was {
                    let own = &self.ready.procedure.sessions[self.form(place)];
                    // What was true of the whole so far was so at another position.
                    stream.rest = stream.rest.along(&own.result, &own.axis);
                }
            }
            None if wanted == 0 => {}
            None => return Err(self.failed(&"the session is at position 0", span)),
        }
        Ok(Value::Session(Box::new(stream)))
    }

    /// `position(s)`.
    pub(super) fn position(&self, place: &Place, span: Span) -> Result<i64, Failure> {
        let stream = self.stream(place, span)?;
        let position = stream.session.as_ref().map_or(0, Session::position);
        Ok(i64::try_from(position).unwrap_or(i64::MAX))
    }

    pub(super) fn stream(&self, place: &Place, span: Span) -> Result<&Stream, Failure> {
        match self.at(place) {
            Value::Session(stream) => Ok(stream),
            _ => Err(self.failed(&"a session is read before it is there", span)),
        }
    }

    /// Which of the sessions of the procedure one is.
    pub(super) fn form(&self, place: &Place) -> usize {
        match self.type_at(place) {
            Type::Session(form) => *form,
            // Checked when the procedure was read.
            _ => 0,
        }
    }

    pub(super) fn streamed(&self, form: usize, span: Span) -> Result<&'m Streamed, Failure> {
        let ready = self.ready;
        let streamed = ready.models.streams.get(form);
        let streamed = streamed.and_then(Option::as_ref);
        streamed.ok_or_else(|| self.failed(&"the session has no model", span))
    }
}

type Given<T> = Result<T, RunError>;

/// A value as a model's input has it.
fn as_input(streamed: &Streamed, name: &str, data: Data, ty: &Type) -> Given<Data> {
    let names: Vec<String> = ty.axes().iter().map(|axis| axis.name.clone()).collect();
    as_named_input(streamed, name, data, &names)
}

fn as_named_input(streamed: &Streamed, name: &str, data: Data, axes: &[String]) -> Given<Data> {
    let wanted = streamed.inputs.get(name).map_or(axes, Vec::as_slice);
    let data = permuted(data, axes, wanted)?;
    let inputs = streamed.model.graph.inputs();
    let dtype = inputs
        .get(name)
        .map(|value| streamed.model.graph.root.ty(*value).dtype);
    Ok(match dtype.filter(|dtype| *dtype != data.dtype()) {
        Some(dtype) => Data::Host(data.to_host()?.to_dtype(dtype)),
        None => data,
    })
}

/// One position as a sequence of one.
fn one_position(data: &Data, ty: &Type, axis: &str) -> Given<(Data, Vec<String>)> {
    let tensor = data.to_host()?;
    let mut shape = tensor.shape().to_vec();
    shape.insert(0, 1);
    let mut names = vec![axis.to_owned()];
    names.extend(ty.axes().iter().map(|axis| axis.name.clone()));
    Ok((Data::Host(tensor.reshape(shape)?), names))
}

/// A value over a sequence of one position, without the sequence.
fn only_position(value: Value, ty: &Type, axis: &str) -> Given<Value> {
    value.map(ty, &mut |data, ty| {
        let Some(place) = place_of(ty, axis) else {
            return Ok(Value::Tensor(data));
        };
        let tensor = data.to_host()?;
        let mut shape = tensor.shape().to_vec();
        shape.remove(place);
        Ok(Value::Tensor(Data::Host(tensor.reshape(shape)?)))
    })
}

/// What there is left of a value that nothing of is late: no positions, and what belongs to none.
fn after(value: &Value, ty: &Type, axis: &str) -> Given<Value> {
    value.clone().map(ty, &mut |data, ty| {
        let Some(place) = place_of(ty, axis) else {
            return Ok(Value::Tensor(data));
        };
        let mut shape = data.shape().to_vec();
        if let Some(size) = shape.get_mut(place) {
            *size = 0;
        }
        let none = Tensor::zeros(data.dtype(), shape)?;
        Ok(Value::Tensor(Data::Host(none)))
    })
}

fn place_of(ty: &Type, axis: &str) -> Option<usize> {
    ty.axes().iter().position(|own| own.name == axis)
}

/// Results of a model by name, as a value of a type. Nothing stands for what is known at the end alone.
fn named(streamed: &Streamed, outputs: &Outputs, name: &str, ty: &Type) -> Given<Value> {
    Ok(match ty {
        Type::Tensor { axes, .. } => {
            if !outputs.results.contains_key(name) {
                return Ok(Value::None);
            }
            let table = &streamed.model.graph.axes;
            let found = streamed.model.results.iter().find(|own| own.0 == name);
            let own: Vec<String> = found
                .iter()
                .flat_map(|(_, axes)| axes)
                .map(|axis| declared(table.name(*axis)))
                .collect();
            let tensor = outputs.tensor(name)?;
            let wanted: Vec<String> = axes.iter().map(|axis| axis.name.clone()).collect();
            Value::Tensor(permuted(Data::Host(tensor), &own, &wanted)?)
        }
        Type::Record(fields) => {
            let parts: Given<Vec<Value>> = fields
                .iter()
                .map(|(field, ty)| {
                    let name = if name == "out" {
                        field.clone()
                    } else {
                        format!("{name}.{field}")
                    };
                    named(streamed, outputs, &name, ty)
                })
                .collect();
            Value::Parts(parts?)
        }
        Type::List(types) => {
            let parts: Given<Vec<Value>> = types
                .iter()
                .enumerate()
                .map(|(at, ty)| named(streamed, outputs, &format!("{name}.{at}"), ty))
                .collect();
            Value::Parts(parts?)
        }
        Type::None | Type::Text | Type::Session(_) => Value::None,
    })
}
