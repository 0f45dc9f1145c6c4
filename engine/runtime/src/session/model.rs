//! A stream that is compiled, with its parameters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use girih_graph::stream::Stream;
use girih_graph::text;

use crate::backend::{
    Backend, Bindings, CompileError, Executable, Outputs, ParamSource, Params, Progress, RunError,
};

/// A stream that is compiled, with its parameters: what sessions of one model share.
pub struct StreamModel {
    stream: Stream,
    once: Box<dyn Executable>,
    step: Box<dyn Executable>,
    once_params: Params,
    step_params: Params,
    fingerprint: u64,
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
    /// Compiles both graphs of a stream. Parameters are to be loaded.
    ///
    /// # Errors
    ///
    /// Something that the backend cannot do.
    pub fn compile(backend: &dyn Backend, stream: Stream) -> Result<Self, CompileError> {
        let once = backend.compile(&stream.once)?;
        let step = backend.compile(&stream.step)?;
        let mut hash = Fnv::new();
        hash.add(text::print(&stream.once).as_bytes());
        hash.add(text::print(&stream.step).as_bytes());
        Ok(Self {
            stream,
            once,
            step,
            once_params: Params::default(),
            step_params: Params::default(),
            fingerprint: hash.0,
        })
    }

    /// Loads the parameters; see [`Executable::load`].
    ///
    /// # Errors
    ///
    /// What `source` says, a parameter that does not fit, or [`RunError::Cancelled`].
    pub fn load(
        &mut self,
        source: &mut dyn ParamSource,
        progress: &mut Progress<'_>,
    ) -> Result<(), RunError> {
        self.step_params = self.step.load(source, progress)?;
        self.once_params = self.once.load(source, progress)?;
        Ok(())
    }

    /// Parameters that were loaded already, by an executable of the same backend.
    pub fn share(&mut self, params: &Params) {
        self.step_params = Arc::clone(params);
        self.once_params = Arc::clone(params);
    }

    /// What is streamed.
    pub const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// A number that is another one for another model, or another version of its graph.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
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

    pub(super) fn run_step(
        &self,
        bindings: &Bindings,
        progress: &mut Progress<'_>,
    ) -> Result<Outputs, RunError> {
        let mut bindings = bindings.clone();
        bindings.params = Arc::clone(&self.step_params);
        self.step.run(&bindings, progress)
    }
}

/// Fowler–Noll–Vo, 64 bits, variant 1a: the same on every machine and in every version.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
