//! Runs a graph once, from tensors to tensors.
//!
//! Whoever runs a graph again and again compiles it once, loads its parameters
//! once, and keeps the executable: see [`Executable`](crate::backend::Executable).

use std::collections::BTreeMap;

use girih_graph::Graph;

use crate::backend::{Backend, Bindings, BoxError, RunError, silent};
use crate::tensor::Tensor;

/// The results of `graph` by name, row-major in the order of their axes.
///
/// # Errors
///
/// What the backend cannot compile, and whatever fails in the run.
pub fn run(
    graph: &Graph,
    backend: &dyn Backend,
    bindings: &Bindings,
) -> Result<BTreeMap<String, Tensor>, RunError> {
    let outputs = backend.compile(graph)?.run(bindings, &mut silent)?;
    let results = outputs.results.into_iter();
    results
        .map(|(name, output)| Ok((name, output.data.to_host()?)))
        .collect()
}

/// Like [`run`], with parameters from `source`, which is asked for those that the graph uses.
///
/// # Errors
///
/// What `source` says, and as for [`run`].
pub fn run_with_params(
    graph: &Graph,
    backend: &dyn Backend,
    bindings: &Bindings,
    source: &mut dyn FnMut(&str) -> Result<Tensor, BoxError>,
) -> Result<BTreeMap<String, Tensor>, RunError> {
    let mut source = source;
    let params = backend.compile(graph)?.load(&mut source, &mut silent)?;
    let bindings = Bindings {
        params,
        ..bindings.clone()
    };
    run(graph, backend, &bindings)
}
