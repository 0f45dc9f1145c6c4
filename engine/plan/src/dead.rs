//! Drops what no result needs.
//!
//! Nodes, and in recurrences also carried values, outputs, slices and kept values.
//! Inputs, parameters and states stay: they are how the model is called.

use girih_graph::{Graph, Patch};

/// The graph without dead values.
// A value that no result needs changes no result.
pub fn drop_dead_values(graph: &Graph) -> Graph {
    let patched = Patch::new(graph).apply();
    patched
        .expect("a patch without replacements has none that does not fit")
        .graph
}
