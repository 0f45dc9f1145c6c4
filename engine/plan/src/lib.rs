//! Passes: how a graph is computed changes, what it computes does not.
//!
//! Every pass is a function from graph to graph with one law, stands in the pass
//! table, and works in regions as well as outside. Inputs, parameters, states,
//! results and their types stay as they are.
//!
//! ```
//! let graph = girih_graph::text::parse("girih-graph 1
//! graph g(x: f32[t]) -> (y: f32[t]) {
//!   %0 = neg x  : f32[t]
//!   %1 = neg %0 : f32[t]
//!   %2 = exp %1 : f32[t]
//!   return %2
//! }
//! ")?;
//! assert_eq!(girih_plan::simplify_all(&graph).root.node_count(), 2);
//! # Ok::<(), girih_graph::text::TextError>(())
//! ```

mod calls;
mod chunk;
mod dead;
mod explain;
pub mod kernel;
mod lower;
mod merge;
pub mod plan;
mod promise;
pub mod region;
mod simplify;
mod text;
mod widen;

use girih_graph::{Graph, verify};

pub use calls::{CallChoice, settle_calls};
pub use chunk::{Choice, How, chunk_recurrences};
pub use dead::drop_dead_values;
pub use explain::explain;
pub use lower::{Wants, lower, lower_for};
pub use merge::merge_equal_values;
pub use promise::Broken;
pub use simplify::{fold_integers, rules, simplify};
pub use widen::widen_factors;

/// A function from graph to graph that keeps what is computed.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The verb and its object.
    pub name: &'static str,
    /// What makes the results equal.
    pub law: &'static str,
    /// The pass.
    pub run: fn(&Graph) -> Graph,
}

/// Every pass, in the order in which [`simplify_all`] runs them.
pub const fn passes() -> &'static [Pass] {
    &[
        Pass {
            name: "simplify",
            law: "each rewritten value is equal to the one it replaces, bit for bit",
            run: simplify,
        },
        Pass {
            name: "merge_equal_values",
            law: "equal primitives of equal values are equal",
            run: merge_equal_values,
        },
        Pass {
            name: "drop_dead_values",
            law: "a value that no result needs changes no result",
            run: drop_dead_values,
        },
    ]
}

/// More rounds than any graph has needed; a bound because a rule that undoes another would
/// otherwise go on for ever.
const MAX_ROUNDS: usize = 32;

/// Runs all passes until none changes anything. In debug builds the verifier runs after each.
pub fn simplify_all(graph: &Graph) -> Graph {
    let mut current = graph.clone();
    for _ in 0..MAX_ROUNDS {
        let before = current.clone();
        for pass in passes() {
            current = (pass.run)(&current);
            if cfg!(debug_assertions)
                && let Err(error) = verify(&current)
            {
                panic!("`{}` broke the graph: {error}", pass.name);
            }
        }
        if current == before {
            break;
        }
    }
    current
}
