//! What does each operation do?

use girih_dsl::procedure::{Operation, Place, Type};
use girih_dsl::span::Span;
use girih_runtime::backend::Data;
use girih_runtime::generate::{Sampling, draw};
use girih_runtime::tensor::{Tensor, byte_count};

use super::Value;
use super::machine::Machine;
use super::value::{line, permuted};
use crate::failure::Failure;

impl Machine<'_, '_, '_> {
    pub(super) fn operate(&mut self, operation: &Operation, span: Span) -> Result<Value, Failure> {
        let value = match operation {
            Operation::Append { x, y, over } => host(self.append(x, y, over, span)?),
            Operation::Slice { x, from, to, over } => {
                let (from, to) = (self.integer(from, span)?, self.integer(to, span)?);
                let axis = place_of(self.type_at(x), over);
                let x = self.tensor(x, span)?;
                let count = x.shape().get(axis).copied().unwrap_or(0);
                let range = usize::try_from(from)
                    .ok()
                    .zip(usize::try_from(to).ok())
                    .filter(|(from, to)| from <= to && *to <= count);
                let Some((from, to)) = range else {
                    return Err(self.failed(
                        &format!("positions {from} to {to} of `{over}`, which has {count}"),
                        span,
                    ));
                };
                let part = x.slice(axis, from..to);
                host(part.map_err(|error| self.failed(&error, span))?)
            }
            Operation::Rename(x) => Value::Tensor(self.data(x, span)?),
            Operation::Tokens(parts) => {
                let ids: Result<Vec<i64>, Failure> =
                    parts.iter().map(|part| self.integer(part, span)).collect();
                host(self.row(ids?, span)?)
            }
            Operation::Empty(x) => {
                let x = self.data(x, span)?;
                let mut shape = x.shape().to_vec();
                shape.insert(0, 0);
                let empty = Tensor::zeros(x.dtype(), shape);
                host(empty.map_err(|error| self.failed(&error, span))?)
            }
            Operation::Length { x, over } => {
                let axis = place_of(self.type_at(x), over);
                let count = self.data(x, span)?.shape().get(axis).copied().unwrap_or(0);
                host(Tensor::scalar(i64::try_from(count).unwrap_or(i64::MAX)))
            }
            Operation::Sample {
                logits,
                over,
                rules,
            } => host(self.sample(logits, over, rules, span)?),
            Operation::Wait(like) => self.wait(like, span)?,
            Operation::Events(parts) => {
                let events = parts.iter();
                let events = events.map(|own| (self.type_at(own).clone(), self.at(own).clone()));
                let events: Vec<(Type, Value)> = events.collect();
                self.events.extend(events);
                Value::None
            }
            Operation::Emitted(None) => {
                let count = i64::try_from(self.emitted.len()).unwrap_or(i64::MAX);
                host(Tensor::scalar(count))
            }
            Operation::Emitted(Some(place)) => {
                let number = self.integer(place, span)?;
                let found = usize::try_from(number).ok();
                let Some(text) = found.and_then(|own| self.emitted.get(own)) else {
                    let count = self.emitted.len();
                    return Err(self.failed(
                        &format!("{count} values have been emitted, none is number {number}"),
                        span,
                    ));
                };
                Value::Text(text.clone())
            }
            Operation::Join(parts) => {
                let mut text = String::new();
                for part in parts {
                    let shown = line(self.at(part), self.type_at(part));
                    text.push_str(&shown.map_err(|error| self.failed(&error, span))?);
                }
                Value::Text(text)
            }
            Operation::Encode(text) => {
                let tokenizer = self.tokenizer(span)?;
                let Value::Text(text) = self.at(text) else {
                    return Err(self.failed(&"a text is read before it is there", span));
                };
                let ids = tokenizer.encode_plain(text);
                let ids = ids.map_err(|error| self.failed(&error, span))?;
                host(self.row(ids.into_iter().map(i64::from).collect(), span)?)
            }
            Operation::Decode(ids) => {
                let tokenizer = self.tokenizer(span)?;
                let ids = self.tensor(ids, span)?.to_i64_vec();
                let ids: Result<Vec<u32>, _> = ids.into_iter().map(u32::try_from).collect();
                let ids = ids.map_err(|_| self.failed(&"a token is below 0", span))?;
                let text = tokenizer.decode(&ids);
                Value::Text(text.map_err(|error| self.failed(&error, span))?)
            }
            Operation::Open {
                form,
                inputs,
                cache,
            } => self.open(*form, inputs, cache.as_ref(), span)?,
            Operation::Cache(session) => self.cache(session, span)?,
            Operation::Call {
                session,
                form,
                inputs,
                single,
            } => self.call(*session, *form, inputs, *single, span)?,
            Operation::Flush(session) => self.flush(session, span)?,
            Operation::RollBack { session, position } => self.roll_back(session, position, span)?,
            Operation::Position(session) => host(Tensor::scalar(self.position(session, span)?)),
        };
        Ok(value)
    }

    fn tokenizer(&self, span: Span) -> Result<&girih_runtime::text::Tokenizer, Failure> {
        let own = self.ready.tokenizer();
        own.ok_or_else(|| self.failed(&"which tokenizer? give it with `--tokenizer`", span))
    }

    fn row(&self, ids: Vec<i64>, span: Span) -> Result<Tensor, Failure> {
        Tensor::new([ids.len()], ids).map_err(|error| self.failed(&error, span))
    }

    fn append(&self, x: &Place, y: &Place, over: &str, span: Span) -> Result<Tensor, Failure> {
        let (ty, more) = (self.type_at(x), self.type_at(y));
        let axis = place_of(ty, over);
        let wanted: Vec<String> = ty.axes().iter().map(|own| own.name.clone()).collect();
        let mut names: Vec<String> = more.axes().iter().map(|own| own.name.clone()).collect();
        let x = self.tensor(x, span)?;
        let mut y = self.tensor(y, span)?;
        let failed = |error: &dyn std::fmt::Display| self.failed(error, span);
        if !names.iter().any(|name| name == over) {
            let mut shape = y.shape().to_vec();
            shape.insert(0, 1);
            y = y.reshape(shape).map_err(|error| failed(&error))?;
            names.insert(0, over.to_owned());
        }
        let y = permuted(Data::Host(y), &names, &wanted).and_then(|own| own.to_host());
        let y = y.map_err(|error| failed(&error))?;
        let mut shape = x.shape().to_vec();
        if let (Some(size), Some(more)) = (shape.get_mut(axis), y.shape().get(axis)) {
            *size = size.saturating_add(*more);
        }
        let bytes = byte_count(x.dtype(), &shape);
        let limit = self.around.limit;
        if bytes.is_none_or(|bytes| bytes as u64 > limit) {
            return Err(failed(&format!(
                "a value would have more than {limit} bytes"
            )));
        }
        Tensor::concat(&[&x, &y], axis).map_err(|error| failed(&error))
    }

    /// Positions that are drawn from logits; rows are keyed one after another.
    fn sample(
        &mut self,
        logits: &Place,
        over: &str,
        rules: &[(String, Place)],
        span: Span,
    ) -> Result<Tensor, Failure> {
        let mut sampling = Sampling::PLAIN;
        for (rule, place) in rules {
            let number = self.number(place, span)?;
            match rule.as_str() {
                "temperature" => sampling.temperature = number,
                "top_p" => sampling.top_p = number,
                "min_p" => sampling.min_p = number,
                // A count below 0 counts as 0: no rule.
                _ => sampling.top_k = number.max(0.0) as usize,
            }
        }
        sampling
            .check()
            .map_err(|error| self.failed(&error, span))?;
        let axes: Vec<String> = (self.type_at(logits).axes().iter())
            .map(|own| own.name.clone())
            .collect();
        let mut last: Vec<String> = axes.iter().filter(|name| *name != over).cloned().collect();
        last.push(over.to_owned());
        let data = permuted(self.data(logits, span)?, &axes, &last);
        let tensor = data
            .and_then(|own| own.to_host())
            .map_err(|error| self.failed(&error, span))?;
        let (count, shape) = match tensor.shape().split_last() {
            Some((count, shape)) => (*count, shape.to_vec()),
            None => (1, Vec::new()),
        };
        let numbers = tensor.to_f64_vec();
        let mut ids: Vec<i64> = Vec::new();
        let seed = self.ready.seed();
        for (row, logits) in numbers.chunks(count.max(1)).enumerate() {
            let draw = draw(seed, row as u64, self.draws);
            let choice = sampling.choose(logits, &[], &[], draw);
            let Some(choice) = choice else {
                return Err(self.failed(&"nothing can be drawn: no logit is a number", span));
            };
            ids.push(i64::from(choice.id));
        }
        self.draws += 1;
        Tensor::new(shape, ids).map_err(|error| self.failed(&error, span))
    }
}

fn host(tensor: Tensor) -> Value {
    Value::Tensor(Data::Host(tensor))
}

/// Where an axis stands in a type; checked when the procedure was read.
fn place_of(ty: &Type, over: &str) -> usize {
    let axes = ty.axes();
    axes.iter().position(|axis| axis.name == over).unwrap_or(0)
}
