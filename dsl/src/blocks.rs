//! What `weights` and `golden` blocks say, as data.
//!
//! A block names tensors of a file that the language never opens: it is given their
//! names and shapes ([`Stored`]) and answers which of them makes which parameter, input
//! or compared value, and how its axes lie. Everything is settled, and every mistake
//! listed, before a byte of tensor data is read. Reading the data is the caller's work.
//!
//! | file       | question                                                     |
//! |------------|--------------------------------------------------------------|
//! | `pattern`  | which names does `layers.{i}.w` stand for?                   |
//! | `layout`   | how do the axes of a file become those of a declaration?     |
//! | `config`   | what is an expression over a checkpoint's settings?          |
//! | `settings` | which static parameters does a checkpoint give, if it fits?  |
//! | `weights`  | which stored tensors make which parameters?                  |
//! | `golden`   | which stored tensors are inputs, parameters, results, …?     |

mod config;
mod golden;
mod layout;
mod pattern;
mod settings;
mod weights;

pub use config::nested;
pub use golden::{
    Golden, Lines, Named, ProcedureGolden, Source, golden_blocks, is_for_procedure, read_golden,
    read_procedure_golden,
};
pub use layout::{Arrangement, Factor, LayoutProblem, arrange, factors};
pub use pattern::{Binding, Pattern};
pub use settings::read_settings;
pub use weights::{
    LoadStep, Part, Piece, StoreStep, WeightPlan, plan_export, plan_weights, weights_blocks,
    weights_blocks_for,
};

/// A tensor of a file: its name and its shape, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// As published.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
}

/// The name most like `wanted`; names that share their end count as close.
pub(crate) fn nearest_name<'a>(
    wanted: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Names longer than this are nobody's slip.
    const LONGEST: usize = 200;
    /// Comparisons that are still quick.
    const MOST: usize = 4_000;
    if wanted.len() > LONGEST {
        return None;
    }
    let limit = (wanted.chars().count() / 3).max(2);
    let short = names.filter(|name| name.len() <= LONGEST).take(MOST);
    short
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        .filter(|(distance, name)| {
            *distance <= limit || name.ends_with(wanted) || wanted.ends_with(name)
        })
        .min()
        .map(|(_, name)| name)
}
