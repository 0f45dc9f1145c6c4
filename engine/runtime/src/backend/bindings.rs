//! What a caller gives to one run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Data, Outputs};

/// Parameters by path. Clones share them.
pub type Params = Arc<BTreeMap<String, Data>>;

/// What one run is given.
///
/// Inputs and states must have the graph's dtype; parameters may have another
/// real dtype and are converted. An input that the graph does not have is an
/// error; of parameters and states there may be more than it uses.
#[derive(Clone, Debug)]
pub struct Bindings {
    /// Inputs by name.
    pub inputs: BTreeMap<String, Data>,
    /// Parameters by path. Those of [`Executable::load`](super::Executable::load) are
    /// used as they are; others are copied in each run.
    pub params: Params,
    /// States by path; one that is not given starts as the graph says.
    pub states: BTreeMap<String, Data>,
    /// Sizes that no shape tells, by symbol.
    pub symbols: BTreeMap<String, i64>,
    /// Random draws are keyed by it.
    pub seed: u64,
    /// Number of the training stage, for random draws.
    pub stage: u64,
    /// Number of the training step, for random draws.
    pub step: u64,
    /// Most bytes that the values of a run may hold together.
    pub limit: u64,
    /// Bytes that results may be given beyond their size, so that later runs add positions to them
    /// where they lie.
    pub room: u64,
}

impl Bindings {
    /// Default of [`limit`](Self::limit): 16 GiB.
    pub const LIMIT: u64 = 16 << 30;

    /// Nothing given yet.
    pub fn new() -> Self {
        Self {
            inputs: BTreeMap::new(),
            params: Params::default(),
            states: BTreeMap::new(),
            symbols: BTreeMap::new(),
            seed: 0,
            stage: 0,
            step: 0,
            limit: Self::LIMIT,
            room: 0,
        }
    }

    /// With this input.
    #[must_use]
    pub fn input(mut self, name: &str, data: impl Into<Data>) -> Self {
        self.inputs.insert(name.to_owned(), data.into());
        self
    }

    /// With this parameter besides those given.
    #[must_use]
    pub fn param(mut self, path: &str, data: impl Into<Data>) -> Self {
        Arc::make_mut(&mut self.params).insert(path.to_owned(), data.into());
        self
    }

    /// With this state.
    #[must_use]
    pub fn state(mut self, path: &str, data: impl Into<Data>) -> Self {
        self.states.insert(path.to_owned(), data.into());
        self
    }

    /// With this size, if no shape tells it.
    #[must_use]
    pub fn symbol(mut self, name: &str, value: i64) -> Self {
        self.symbols.insert(name.to_owned(), value);
        self
    }

    /// Takes over the next values of the states of an earlier call.
    pub fn advance(&mut self, outputs: &Outputs) {
        for (path, output) in &outputs.states {
            self.states.insert(path.clone(), output.data.clone());
        }
    }
}

impl Default for Bindings {
    fn default() -> Self {
        Self::new()
    }
}
