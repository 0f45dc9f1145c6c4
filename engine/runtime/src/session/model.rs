//! A stream that is compiled, with its parameters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use girih_graph::stream::Stream;
use girih_graph::{Extent, text};

use super::parameters::{Hash, Reader};
use crate::backend::{
    Backend, Bindings, CompileError, Executable, Outputs, ParamSource, Params, Progress, RunError,
};

/// Results of fewer positions than this are computed though nobody reads them: that costs less than
/// to compile another step.
const LONG: u64 = 16;

/// The positions of a step whose results the caller reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// All.
    All,
    /// The last one; there may be more in what is given.
    Last,
}

/// A stream that is compiled, with its parameters: what sessions of one model share.
pub struct StreamModel {
    stream: Stream,
    once: Box<dyn Executable>,
    step: Box<dyn Executable>,
    flush: Option<Box<dyn Executable>>,
    /// The step for one position, when one was asked for; `None` if it is the step.
    single: OnceLock<Option<Box<dyn Executable>>>,
    /// The step that gives its results at its last position alone, when one was asked for.
    last: OnceLock<Option<Box<dyn Executable>>>,
    once_params: Params,
    step_params: Params,
    fingerprint: u64,
    parameters: u64,
}

impl fmt::Debug for StreamModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamModel")
            .field("graph", &self.stream.step.name)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl StreamModel {
    /// Compiles the graphs of a stream. Parameters are to be loaded.
    ///
    /// # Errors
    ///
    /// Something that the backend cannot do.
    pub fn compile(backend: &dyn Backend, stream: Stream) -> Result<Self, CompileError> {
        let once = backend.compile(&stream.once)?;
        let step = backend.compile(&stream.step)?;
        let flush = stream.flush.as_ref();
        let flush = flush.map(|graph| backend.compile(graph)).transpose()?;
        let mut hash = Hash::new();
        for graph in [&stream.once, &stream.step]
            .into_iter()
            .chain(&stream.flush)
        {
            hash.add(text::print(graph).as_bytes());
        }
        Ok(Self {
            stream,
            once,
            step,
            flush,
            single: OnceLock::new(),
            last: OnceLock::new(),
            once_params: Params::default(),
            step_params: Params::default(),
            fingerprint: hash.value(),
            parameters: 0,
        })
    }

    /// Loads the parameters, each once; see [`Executable::load`].
    ///
    /// # Errors
    ///
    /// What `source` says, a parameter that does not fit, or [`RunError::Cancelled`].
    pub fn load(
        &mut self,
        source: &mut dyn ParamSource,
        progress: &mut Progress<'_>,
    ) -> Result<(), RunError> {
        let (once, step) = (self.stream.once.params(), self.stream.step.params());
        let both = once.into_keys().filter(|path| step.contains_key(path));
        let mut reader = Reader::new(source, both);
        self.step_params = self.step.load(&mut reader, progress)?;
        self.once_params = self.once.load(&mut reader, progress)?;
        self.parameters = reader.hash();
        Ok(())
    }

    /// Parameters that were loaded already, by an executable of the same backend. What they are is
    /// not known then to saved sessions.
    pub fn share(&mut self, params: &Params) {
        self.step_params = Arc::clone(params);
        self.once_params = Arc::clone(params);
    }

    /// The parameters, of what is computed once and of a step.
    pub const fn params(&self) -> [&Params; 2] {
        [&self.once_params, &self.step_params]
    }

    /// What is streamed.
    pub const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// A number that is another one for another model, or another version of its graph.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// A number that is another one for other parameters: from their paths, dtypes, shapes and bytes as
    /// they are stored. 0 if they were not [loaded](Self::load).
    pub const fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Bytes that are carried after `position` positions, if the sizes that they depend on are
    /// among `symbols`.
    pub fn bytes_at(&self, position: u64, symbols: &BTreeMap<String, i64>) -> Option<u64> {
        let lookup = |name: &str| {
            if name == self.stream.total {
                return i64::try_from(position).ok();
            }
            symbols.get(name).copied()
        };
        let bytes = self.stream.carried_bytes().evaluate(&lookup).ok()?;
        u64::try_from(bytes).ok()
    }

    /// Inputs that are given once, when a session is opened.
    pub fn opening_inputs(&self) -> Vec<&str> {
        let own = self.stream.step.inputs();
        let step = own.keys().filter(|name| {
            let streamed = self.stream.inputs.iter().any(|(input, _)| input == **name);
            let told = self.stream.kept.iter().any(|kept| kept == **name);
            let carried = self.stream.carries.iter().any(|c| c.name == ***name);
            !streamed && !told && !carried
        });
        let mut names: Vec<&str> = step.copied().collect();
        names.extend(self.stream.once.inputs().keys());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The streamed axis in the shape of an input.
    pub(super) fn place(&self, input: &str) -> Option<usize> {
        let mut inputs = self.stream.inputs.iter();
        inputs
            .find(|(name, _)| name == input)
            .map(|(_, place)| *place)
    }

    /// Learns the sizes that the shape of an input tells.
    pub(super) fn tell_sizes(
        &self,
        input: &str,
        shape: &[usize],
        symbols: &mut BTreeMap<String, i64>,
    ) {
        for graph in [&self.stream.once, &self.stream.step] {
            let Some(value) = graph.inputs().get(input).copied() else {
                continue;
            };
            for (axis, extent) in graph.root.ty(value).axes.iter().zip(shape) {
                if let Some(symbol) = graph.axes.extent(*axis).as_symbol()
                    && symbol != self.stream.new
                    && let Ok(extent) = i64::try_from(*extent)
                {
                    symbols.entry(symbol.to_owned()).or_insert(extent);
                }
            }
        }
    }

    pub(super) fn bindings(symbols: &BTreeMap<String, i64>, seed: u64) -> Bindings {
        let mut bindings = Bindings::new();
        bindings.symbols.clone_from(symbols);
        bindings.seed = seed;
        bindings
    }

    pub(super) fn run_once(
        &self,
        bindings: &Bindings,
        progress: &mut Progress<'_>,
    ) -> Result<Outputs, RunError> {
        let mut bindings = bindings.clone();
        bindings.params = Arc::clone(&self.once_params);
        self.once.run(&bindings, progress)
    }

    /// Takes positions, of several sequences: so many each.
    pub(super) fn run_step(
        &self,
        mut all: Vec<Bindings>,
        (counts, shown): (&[u64], Shown),
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Outputs>, RunError> {
        for bindings in &mut all {
            bindings.params = Arc::clone(&self.step_params);
        }
        let own = if counts.iter().all(|count| *count == 1) {
            self.single()
        } else if shown == Shown::Last && counts.iter().all(|count| *count >= LONG) {
            self.last()
        } else {
            None
        };
        own.unwrap_or(&*self.step).run_together(&all, progress)
    }

    /// What is still to come when the sequence ends; nothing if no result is late. Its parameters
    /// are among those of the step, which gives the same results.
    pub(super) fn run_flush(
        &self,
        bindings: &Bindings,
        progress: &mut Progress<'_>,
    ) -> Result<Outputs, RunError> {
        let Some(flush) = &self.flush else {
            return Ok(Outputs::default());
        };
        let mut bindings = bindings.clone();
        bindings.params = Arc::clone(&self.step_params);
        flush.run(&bindings, progress)
    }

    /// The step for one position; `None` if it gains nothing by that.
    fn single(&self) -> Option<&dyn Executable> {
        let single = self.single.get_or_init(|| {
            let step = &self.stream.step;
            let walks = step.walks(&self.stream.new);
            // What the backend cannot compile so, it has compiled for any number of positions.
            let own = || {
                let one = step.with_size(&self.stream.new, &Extent::constant(1));
                self.step.sibling(&one).ok()
            };
            walks.then(own)?
        });
        single.as_deref()
    }

    /// The step that gives its results at its last position alone.
    fn last(&self) -> Option<&dyn Executable> {
        let last = self.last.get_or_init(|| {
            let last = self.stream.last().ok()?;
            self.step.sibling(&last).ok()
        });
        last.as_deref()
    }
}
