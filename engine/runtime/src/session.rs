//! A sequence that a model takes piece by piece.
//!
//! A [`StreamModel`] is a stream that is compiled, with its parameters; many sessions share
//! one. A [`Session`] has a position and what is carried there. Every step makes new carried
//! values and leaves the old ones as they are: a fork costs nothing, and a step that fails
//! or is cancelled leaves the session as it was.
//!
//! How many bytes are carried at a position is a formula that is known before anything
//! runs; a session that would pass its caller's limit says so instead of running.

mod error;
mod flush;
mod handed;
mod model;
mod parameters;
mod pieces;
mod save;
mod together;

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_graph::stream::{Kind, Source, StreamResult};
use girih_graph::{Extent, Graph};

use crate::backend::{Bindings, Data, Output, Outputs, Progress, RunError, silent};
pub use error::SessionError;
use model::Shown;
pub use model::StreamModel;

/// What a session begins with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Inputs that do not have the streamed axis: an encoder's sequence, labels.
    pub inputs: BTreeMap<String, Data>,
    /// The model's states by path; one that is not given starts as the model says.
    pub states: BTreeMap<String, Data>,
    /// Sizes that no shape tells, by symbol.
    pub symbols: BTreeMap<String, i64>,
    /// Random draws are keyed by it.
    pub seed: u64,
    /// Most bytes that may be carried from step to step.
    pub limit: u64,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            inputs: BTreeMap::new(),
            states: BTreeMap::new(),
            symbols: BTreeMap::new(),
            seed: 0,
            limit: Bindings::LIMIT,
        }
    }
}

/// What is carried at one position.
#[derive(Clone, Debug)]
struct Point {
    position: u64,
    /// By name; empty before the first step.
    carries: BTreeMap<String, Data>,
    /// Next values of the model's states that change with positions.
    updates: BTreeMap<String, Data>,
}

/// One sequence of a model, at a position. A clone is a fork: both go on alone.
#[derive(Clone, Debug)]
pub struct Session {
    model: Arc<StreamModel>,
    opening: Opening,
    /// Results of what is computed once, when that has run.
    once: Option<BTreeMap<String, Output>>,
    /// Sizes, as far as they are known.
    symbols: BTreeMap<String, i64>,
    point: Point,
    /// Positions that can be gone back to, ascending.
    marks: Vec<Point>,
}

impl Session {
    /// A session before its first position. Nothing runs yet.
    ///
    /// # Errors
    ///
    /// An input that the model does not take at the start.
    pub fn open(model: &Arc<StreamModel>, opening: Opening) -> Result<Self, SessionError> {
        let known = model.opening_inputs();
        if let Some(name) = opening
            .inputs
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            return Err(RunError::Unknown {
                name: name.clone(),
                known: known.into_iter().map(str::to_owned).collect(),
            }
            .into());
        }
        let mut symbols = opening.symbols.clone();
        // How many positions there are comes with each step.
        symbols.remove(&model.stream().new);
        for (name, data) in &opening.inputs {
            model.tell_sizes(name, data.shape(), &mut symbols);
        }
        Ok(Self {
            model: Arc::clone(model),
            opening,
            once: None,
            symbols,
            point: Point {
                position: 0,
                carries: BTreeMap::new(),
                updates: BTreeMap::new(),
            },
            marks: Vec::new(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<StreamModel> {
        &self.model
    }

    /// How many positions have been taken.
    pub const fn position(&self) -> u64 {
        self.point.position
    }

    /// Bytes that are carried at `position`, if all sizes that they depend on are known yet.
    pub fn bytes_at(&self, position: u64) -> Option<u64> {
        self.model.bytes_at(position, &self.symbols)
    }

    /// Bytes that are carried now.
    pub fn bytes(&self) -> u64 {
        let sizes = self.point.carries.values().map(|data| {
            let count: usize = data.shape().iter().product();
            (count * data.dtype().size()) as u64
        });
        sizes.sum()
    }

    /// Bytes of the memory that they lie in: with the room that is left to grow in. Forks share
    /// what they have in common, and each counts it.
    pub fn held(&self) -> u64 {
        self.point.carries.values().map(Data::held).sum()
    }

    /// What is carried now, by name.
    pub const fn carried(&self) -> &BTreeMap<String, Data> {
        &self.point.carries
    }

    /// Takes the next positions: as many as the inputs have, the same number in each. Gives
    /// the results at these positions, and those that belong to no position as they are now.
    /// Of a result that is late it gives the positions that have become known; what is late and
    /// belongs to no position only [`flush`](Self::flush) gives.
    ///
    /// # Errors
    ///
    /// Inputs that are missing or do not fit, more carried bytes than allowed, and whatever
    /// fails in the run. The session is as it was then.
    pub fn step(
        &mut self,
        inputs: &BTreeMap<String, Data>,
        progress: &mut Progress<'_>,
    ) -> Result<Outputs, SessionError> {
        let mut all = Self::step_together(&mut [(self, inputs)], progress)?;
        Ok(all.pop().expect("as many as step"))
    }

    /// What a graph of the stream is given, but for new positions.
    fn bindings(
        &self,
        graph: &Graph,
        once: &BTreeMap<String, Output>,
        (symbols, total): (&BTreeMap<String, i64>, u64),
    ) -> Bindings {
        let stream = self.model.stream();
        let mut bindings = StreamModel::bindings(symbols, self.opening.seed);
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        bindings.symbols.insert(stream.total.clone(), total);
        let known = graph.inputs();
        let mut give = |name: &String, data: &Data| {
            if known.contains_key(name.as_str()) {
                bindings.inputs.insert(name.clone(), data.clone());
            }
        };
        for (name, data) in &self.opening.inputs {
            give(name, data);
        }
        for name in &stream.kept {
            if let Some(output) = once.get(name) {
                give(name, &output.data);
            }
        }
        for carry in &stream.carries {
            let own = self.point.carries.get(&carry.name);
            let start = once.get(&carry.name).map(|output| &output.data);
            if let Some(data) = own.or(start) {
                give(&carry.name, data);
            }
        }
        bindings
    }

    /// How many positions come in one piece at the start: a mask lets them read one another.
    ///
    /// # Errors
    ///
    /// What is computed before the first position fails.
    pub fn first_piece(&self) -> Result<u64, SessionError> {
        match &self.once {
            _ if self.model.stream().prefixes.is_empty() => Ok(0),
            Some(once) => self.together(once),
            None => self.together(&self.run_once(&self.symbols, &mut silent)?),
        }
    }

    fn together(&self, once: &BTreeMap<String, Output>) -> Result<u64, SessionError> {
        let mut needed = 0;
        for (name, more) in &self.model.stream().prefixes {
            if let Some(output) = once.get(name) {
                let own = output.data.to_host()?;
                let own = own.as_slice::<i64>()?.first().copied().unwrap_or(0);
                needed = needed.max(own.saturating_add(*more));
            }
        }
        Ok(needed.max(0).cast_unsigned())
    }

    /// How many new positions the inputs have.
    fn count(&self, inputs: &BTreeMap<String, Data>) -> Result<u64, SessionError> {
        let mut found: Option<(String, usize)> = None;
        for (name, place) in &self.model.stream().inputs {
            let Some(data) = inputs.get(name) else {
                return Err(SessionError::Missing { name: name.clone() });
            };
            let own = data.shape().get(*place).copied().unwrap_or(0);
            match &found {
                Some((first, count)) if *count != own => {
                    return Err(SessionError::Disagree {
                        first: first.clone(),
                        count: *count,
                        second: name.clone(),
                        other: own,
                    });
                }
                _ => found = Some((name.clone(), own)),
            }
        }
        match found {
            Some((_, count)) if count > 0 => Ok(count as u64),
            _ => Err(SessionError::Nothing),
        }
    }

    fn run_once(
        &self,
        symbols: &BTreeMap<String, i64>,
        progress: &mut Progress<'_>,
    ) -> Result<BTreeMap<String, Output>, SessionError> {
        let mut bindings = StreamModel::bindings(symbols, self.opening.seed);
        let inputs = self.model.stream().once.inputs();
        for (name, data) in &self.opening.inputs {
            if inputs.contains_key(name.as_str()) {
                bindings.inputs.insert(name.clone(), data.clone());
            }
        }
        bindings.states.clone_from(&self.opening.states);
        Ok(self.model.run_once(&bindings, progress)?.results)
    }

    /// Another session at the same position, with the same past.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.clone()
    }

    /// Remembers this position, so that [`roll_back`](Self::roll_back) can come here even where
    /// what is carried cannot be shortened.
    pub fn mark(&mut self) {
        let here = self.point.position;
        self.marks.retain(|mark| mark.position != here);
        self.marks.push(self.point.clone());
        self.marks.sort_by_key(|mark| mark.position);
    }

    /// Goes back to `position`: to a mark, or to any position where everything that is carried
    /// holds all positions so far.
    ///
    /// # Errors
    ///
    /// A position that was not reached, or that is neither marked nor still held.
    pub fn roll_back(&mut self, position: u64) -> Result<(), SessionError> {
        if position > self.point.position {
            return Err(SessionError::Ahead {
                position,
                reached: self.point.position,
            });
        }
        if position == self.point.position {
            return Ok(());
        }
        let marked = self.marks.iter().find(|mark| mark.position == position);
        self.point = match marked {
            Some(mark) => mark.clone(),
            None => self.shortened(position)?,
        };
        self.marks.retain(|mark| mark.position <= position);
        Ok(())
    }

    fn shortened(&self, position: u64) -> Result<Point, SessionError> {
        if position == 0 {
            return Ok(Point {
                position,
                carries: BTreeMap::new(),
                updates: BTreeMap::new(),
            });
        }
        let needed = self.first_piece()?;
        if position < needed {
            return Err(SessionError::Together { needed });
        }
        let reached = self.point.position;
        let lost = |carry: &str| SessionError::Lost {
            position,
            carry: carry.to_owned(),
            marks: self.marks.iter().map(|mark| mark.position).collect(),
        };
        let mut carries = BTreeMap::new();
        let total = &self.model.stream().total;
        let count = |extent: &Extent, position: u64| {
            let lookup = |name: &str| (name == total).then_some(i64::try_from(position).ok()?);
            extent.evaluate(&lookup).ok()
        };
        for carry in &self.model.stream().carries {
            let held = carry.positions().and_then(|held| count(&held, position));
            let held = held.and_then(|held| usize::try_from(held).ok());
            let all = match carry.kind {
                Kind::Cache => true,
                // All positions so far are still there.
                Kind::Recent { last } => count(&carry.there, reached).is_some_and(|n| n <= last),
                Kind::Carried | Kind::Total => false,
            };
            let Some(end) = held.filter(|_| all) else {
                return Err(lost(&carry.name));
            };
            if let Some(data) = self.point.carries.get(&carry.name) {
                carries.insert(carry.name.clone(), data.rows(0..end)?);
            }
        }
        let stale = self.model.stream().updates.iter();
        if let Some(own) = stale.clone().find(|own| own.result.source != Source::Once) {
            return Err(lost(&own.path));
        }
        Ok(Point {
            position,
            carries,
            updates: self.point.updates.clone(),
        })
    }

    /// Ends the sequence: the model's states as the next sequence finds them.
    ///
    /// # Errors
    ///
    /// What fails if no step has run yet.
    pub fn finish(mut self) -> Result<BTreeMap<String, Data>, SessionError> {
        if self.once.is_none() {
            let once = self.run_once(&self.symbols, &mut silent)?;
            for update in &self.model.stream().updates {
                if let (Source::Once, Some(output)) =
                    (update.result.source, once.get(&update.result.name))
                {
                    let data = ordered(&update.result, output.clone())?.data;
                    self.point.updates.insert(update.path.clone(), data);
                }
            }
        }
        let late = self.flushed_updates()?;
        let mut states = self.opening.states;
        states.extend(self.point.updates);
        states.extend(late);
        Ok(states)
    }
}

/// Whether steps cannot say what a result is so far: parts of it have had fewer positions than others.
fn is_unsettled(result: &StreamResult) -> bool {
    result.source == Source::Latest && result.latency > 0
}

/// A result at its last position, if it has positions and is never late.
fn at_last(result: &StreamResult, mut output: Output) -> Result<Output, RunError> {
    if let (Source::Positions(place), 0) = (result.source, result.latency) {
        let count = output.data.shape().get(place).copied().unwrap_or(0);
        if count > 1 {
            let tensor = output.data.to_host()?;
            output.data = Data::Host(tensor.slice(place, count - 1..count)?);
        }
    }
    Ok(output)
}

/// A result with the names and the order of axes that it has in the whole.
fn ordered(result: &StreamResult, mut output: Output) -> Result<Output, SessionError> {
    // An axis with the last position alone has another name in its graph.
    if let Source::Positions(place) = result.source
        && let Some(own) = output
            .axes
            .iter_mut()
            .find(|own| !result.axes.contains(*own))
    {
        own.clone_from(&result.axes[place]);
    }
    let place = |axis: &String| output.axes.iter().position(|own| own == axis);
    let order: Option<Vec<usize>> = result.axes.iter().map(place).collect();
    if let Some(order) = order.filter(|order| !order.is_sorted()) {
        output.data = Data::Host(output.data.to_host()?.permute(&order)?);
        output.axes.clone_from(&result.axes);
    }
    Ok(output)
}
