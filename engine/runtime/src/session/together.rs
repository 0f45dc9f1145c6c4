//! Steps of several sessions at once: one run of the model takes the next positions of all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_graph::stream::Source;

use super::{Point, Session, SessionError, Shown, at_last, is_unsettled, ordered};
use crate::backend::{Bindings, Data, Output, Outputs, Progress};

/// A step that may run: what is known before it.
struct Ready {
    once: BTreeMap<String, Output>,
    symbols: BTreeMap<String, i64>,
    /// Positions behind the step.
    total: u64,
    count: u64,
}

impl Session {
    /// Takes the next positions of several sessions of one model, each with its own inputs; gives for each, in their
    /// order, what its [`step`](Self::step) alone would give. Sessions may be at any positions. Where each takes one,
    /// a backend reads what they have in common once for all; see [`run_together`](crate::backend::Executable::run_together).
    ///
    /// # Errors
    ///
    /// Sessions of several models, and what fails in any step. All sessions are as they were then.
    pub fn step_together(
        steps: &mut [(&mut Self, &BTreeMap<String, Data>)],
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Outputs>, SessionError> {
        Self::take_together(steps, Shown::All, progress)
    }

    /// Takes the next positions of several sessions; may leave out what is not to be shown.
    pub(super) fn take_together(
        steps: &mut [(&mut Self, &BTreeMap<String, Data>)],
        shown: Shown,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Outputs>, SessionError> {
        let Some((first, _)) = steps.first() else {
            return Ok(Vec::new());
        };
        let model = Arc::clone(&first.model);
        if steps
            .iter()
            .any(|(own, _)| !Arc::ptr_eq(&own.model, &model))
        {
            return Err(SessionError::Models);
        }
        let mut ready = Vec::with_capacity(steps.len());
        let mut bindings = Vec::with_capacity(steps.len());
        for (own, inputs) in &*steps {
            let (step, given) = own.ready(inputs, progress)?;
            ready.push(step);
            bindings.push(given);
        }
        let counts: Vec<u64> = ready.iter().map(|step| step.count).collect();
        let outputs = model.run_step(bindings, (&counts, shown), progress)?;
        let settled: Vec<(Point, Outputs)> = (steps.iter().zip(&ready).zip(outputs))
            .map(|(((own, _), step), outputs)| own.settled(step, shown, outputs))
            .collect::<Result<_, _>>()?;
        let mut all = Vec::with_capacity(settled.len());
        for (((own, _), step), (point, outputs)) in steps.iter_mut().zip(ready).zip(settled) {
            own.once = Some(step.once);
            own.symbols = step.symbols;
            own.point = point;
            all.push(outputs);
        }
        Ok(all)
    }

    /// Checks a step, and gathers what it is given.
    fn ready(
        &self,
        inputs: &BTreeMap<String, Data>,
        progress: &mut Progress<'_>,
    ) -> Result<(Ready, Bindings), SessionError> {
        let count = self.count(inputs)?;
        let mut symbols = self.symbols.clone();
        for (name, data) in inputs {
            self.model.tell_sizes(name, data.shape(), &mut symbols);
        }
        let total = self.point.position.saturating_add(count);
        let needed = self.model.bytes_at(total, &symbols);
        if let Some(needed) = needed.filter(|needed| *needed > self.opening.limit) {
            return Err(SessionError::Limit {
                position: total,
                needed,
                limit: self.opening.limit,
            });
        }
        let once = match &self.once {
            Some(once) => once.clone(),
            None => self.run_once(&symbols, progress)?,
        };
        if self.point.position == 0 {
            let needed = self.together(&once)?;
            if count < needed {
                return Err(SessionError::Together { needed });
            }
        }
        let stream = self.model.stream();
        let mut bindings = self.bindings(&stream.step, &once, (&symbols, total));
        // Room to grow in is held, too: it is what the limit leaves.
        bindings.room = needed.map_or(0, |needed| self.opening.limit - needed);
        let own = inputs.iter();
        let own = own.filter(|(name, _)| stream.step.inputs().contains_key(name.as_str()));
        bindings
            .inputs
            .extend(own.map(|(name, data)| (name.clone(), data.clone())));
        let ready = Ready {
            once,
            symbols,
            total,
            count,
        };
        Ok((ready, bindings))
    }

    /// Where the session is after a step, and what the step gives.
    fn settled(
        &self,
        step: &Ready,
        shown: Shown,
        mut outputs: Outputs,
    ) -> Result<(Point, Outputs), SessionError> {
        let stream = self.model.stream();
        let mut next = Point {
            position: step.total,
            carries: BTreeMap::new(),
            updates: BTreeMap::new(),
        };
        for carry in &stream.carries {
            if let Some(output) = outputs.results.remove(&carry.name) {
                next.carries.insert(carry.name.clone(), output.data);
            }
        }
        for update in &stream.updates {
            let output = match update.result.source {
                Source::Once => step.once.get(&update.result.name).cloned(),
                _ => outputs.results.remove(&update.result.name),
            };
            let output = output.filter(|_| !is_unsettled(&update.result));
            if let Some(output) = output {
                next.updates
                    .insert(update.path.clone(), ordered(&update.result, output)?.data);
            }
        }
        for result in &stream.results {
            let output = match result.source {
                Source::Once => step.once.get(&result.name).cloned(),
                _ => outputs.results.remove(&result.name),
            };
            let output = output.filter(|_| !is_unsettled(result));
            if let Some(output) = output {
                let mut output = ordered(result, output)?;
                if shown == Shown::Last {
                    output = at_last(result, output)?;
                }
                outputs.results.insert(result.name.clone(), output);
            }
        }
        Ok((next, outputs))
    }
}
