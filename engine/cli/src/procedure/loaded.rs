//! Which parameters are there already?

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_graph::Graph;
use girih_runtime::backend::{Data, Params};

/// Parameters of models, each loaded once, however often its model is called: by model and path.
#[derive(Clone, Debug, Default)]
pub(super) struct Loaded(BTreeMap<String, Data>);

impl Loaded {
    /// The parameters of some graphs whose paths lack `prefix`, if all are there.
    pub(super) fn of(&self, graphs: &[&Graph], prefix: &str) -> Option<Params> {
        let paths = graphs.iter().flat_map(|graph| graph.params().into_keys());
        let own = paths.map(|path| {
            let data = self.0.get(&format!("{prefix}{path}"))?;
            Some((path.to_owned(), data.clone()))
        });
        own.collect::<Option<_>>().map(Arc::new)
    }

    /// Keeps what has been loaded, under paths with `prefix`.
    pub(super) fn keep(&mut self, params: &Params, prefix: &str) {
        for (path, data) in params.iter() {
            let path = format!("{prefix}{path}");
            self.0.entry(path).or_insert_with(|| data.clone());
        }
    }
}
