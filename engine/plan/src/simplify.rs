//! Rewrites values as simpler, equal ones.
//!
//! A rule looks at one node and the nodes it reads, and says what its value is
//! equal to, bit for bit, for all operands: `x + 0` is not `x` where `x` may be
//! `-0`, so that rule is for integers and for `-0` only. A rule never has to mind
//! types: a term whose type is not exactly that of the value is not used.

mod constant;
mod identity;
mod layout;
mod site;
#[cfg(test)]
pub(crate) mod tests;

use girih_graph::{Graph, Patch, Region, RegionPath, Term};

pub use self::constant::fold_integers;
use self::site::Site;

/// What a node's value is equal to, if the rule knows.
type Rule = fn(&Site<'_>) -> Option<Term>;

/// Pairs the name of each rule with the function.
macro_rules! table {
    ($($file:ident { $($rule:ident)* })*) => {
        const RULES: &[(&str, Rule)] = &[$($((stringify!($rule), $file::$rule),)*)*];
    };
}

table! {
    layout {
        rename_nothing
        rename_of_rename
        rename_of_index
        expand_nothing
        expand_of_expand
        elementwise_of_expand
        split_into_one
        merge_of_one
        split_of_merge
        merge_of_split
        window_of_everything
        fold_of_everything
        concat_of_one
        concat_of_nothing
        gather_at_index
        reduce_over_nothing
    }
    identity {
        cast_to_itself
        cast_of_exact_cast
        select_on_constant
        select_of_equals
        select_on_not
        neg_of_neg
        not_of_not
        abs_of_sign
        binary_with_neutral
        binary_of_equals
        integer_times_zero
        integer_with_itself
    }
    constant {
        size_is_constant
        arithmetic_of_sizes
        index_within_bounds
        fold_cast
        fold_unary
        fold_binary
    }
}

/// The names of all rules, in the order in which they are tried.
pub fn rules() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, _)| *name)
}

/// More rounds than chains of rewrites are long; every rule makes a graph smaller or its
/// terms simpler, so this is never reached.
const MAX_ROUNDS: usize = 64;

/// The graph with every rule applied until none fits.
pub fn simplify(graph: &Graph) -> Graph {
    let mut current = graph.clone();
    for _ in 0..MAX_ROUNDS {
        let mut patch = Patch::new(&current);
        rewrite_with(
            &current,
            &current.root,
            &mut Vec::new(),
            &mut patch,
            &|_| true,
        );
        if patch.is_empty() {
            break;
        }
        current = patch
            .apply()
            .expect("a term has the type of what it replaces and uses what it reads")
            .graph;
    }
    current
}

/// Puts one replacement per value into the patch, of the first rule in `chosen` that fits.
fn rewrite_with(
    graph: &Graph,
    region: &Region,
    path: &mut RegionPath,
    patch: &mut Patch<'_>,
    chosen: &dyn Fn(&str) -> bool,
) {
    for (id, node) in region.nodes() {
        for (position, inner) in node.op.regions().iter().enumerate() {
            path.push((id, position));
            rewrite_with(graph, inner, path, patch, chosen);
            path.pop();
        }
        let [value] = node.results.as_slice() else {
            continue;
        };
        let site = Site {
            axes: &graph.axes,
            region,
            node,
            value: *value,
        };
        let fits = |(name, rule): &(&'static str, Rule)| {
            let term = rule(&site).filter(|_| chosen(name))?;
            (site.ty(&term)? == *region.ty(*value)).then_some((*name, term))
        };
        if let Some((name, term)) = RULES.iter().find_map(fits) {
            patch.replace(path, *value, term, name);
        }
    }
}
