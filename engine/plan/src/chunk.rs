//! Loops that need not go step by step.
//!
//! A loop whose state fades and is added to, and that is read by sums only, computes each chunk of
//! steps at once: products of matrices within the chunk and between it and the state, which then
//! goes on by one step per chunk. See `build` for the algebra, `recognize` for what must hold. A loop
//! whose states go on element by element computes blocks of its steps side by side: see `scan` and
//! `element`. When either is done is in `cost`.
//!
//! Sources: Yang et al. 2024, arXiv 2312.06635 (chunks for decays of heads and of features);
//! Dao & Gu 2024, arXiv 2405.21060, section 6.

mod body;
mod build;
mod cost;
mod element;
mod form;
mod lift;
mod recognize;
mod scan;
mod walk;

use std::sync::Arc;

use girih_graph::op::{Op, Recurrence};
use girih_graph::{Builder, Graph, Origin, Region, ValueId, Way};

use crate::lower::Wants;
use crate::promise;
use element::Scan;
use recognize::Linear;

/// How a loop is computed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The loop's axis.
    pub axis: String,
    /// Where the loop comes from, if known.
    pub origin: Option<Origin>,
    /// How.
    pub how: How,
    /// Why.
    pub why: &'static str,
}

/// How a loop is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// One step after the other.
    Steps,
    /// So many steps at once.
    Chunks(u32),
    /// Blocks of so many steps side by side; of as many as there are blocks for, without a number.
    Blocks(Option<u32>),
}

/// The graph with recurrences computed otherwise than step by step, and a choice for every loop, in
/// order. With `forced`, all loops go that way if they can, in chunks or blocks of that length; without
/// it, where that is faster. Results are equal up to rounding: sums are in another order.
// A sum over steps is the sum over chunks of the sums within them; `scan` says why for blocks.
pub fn chunk_recurrences(graph: &Graph, forced: Option<(Way, u32)>) -> (Graph, Vec<Choice>) {
    chunk_for(graph, forced, Wants::default())
}

/// As [`chunk_recurrences`], for a backend that asks for something.
pub(crate) fn chunk_for(
    graph: &Graph,
    forced: Option<(Way, u32)>,
    wants: Wants,
) -> (Graph, Vec<Choice>) {
    let mut builder = Builder::new(&graph.name);
    builder.axes = graph.axes.clone();
    let mut copier = Copier {
        builder,
        forced,
        wants,
        choices: Vec::new(),
    };
    let results = copier.region(&graph.root);
    if copier.choices.iter().all(|own| own.how == How::Steps) {
        return (graph.clone(), copier.choices);
    }
    let mut results = results.into_iter();
    let named = graph
        .results
        .iter()
        .cloned()
        .zip(results.by_ref())
        .collect();
    let updates = graph.updates.iter().cloned().zip(results).collect();
    let mut chunked = copier.builder.finish(named, updates);
    chunked.checks.clone_from(&graph.checks);
    (chunked, copier.choices)
}

struct Copier {
    builder: Builder,
    forced: Option<(Way, u32)>,
    wants: Wants,
    choices: Vec<Choice>,
}

impl Copier {
    /// Copies a region into the open one and gives its results.
    fn region(&mut self, region: &Region) -> Vec<ValueId> {
        let mut values: Vec<Option<ValueId>> = vec![None; region.value_count()];
        for param in region.params() {
            let ty = region.ty(*param).clone();
            values[param.index()] = Some(self.builder.add_parameter(ty));
        }
        let defined = |values: &[Option<ValueId>], wanted: &[ValueId]| -> Vec<ValueId> {
            let found = wanted.iter().map(|own| values[own.index()]);
            found
                .map(|own| own.expect("operands are defined first"))
                .collect()
        };
        for (id, node) in region.nodes() {
            let operands = defined(&values, &node.operands);
            let origin = region.origin(id);
            self.builder.set_origin(origin.cloned().map(Arc::new));
            let rebuilt = match &node.op {
                Op::Recurrence(recurrence) => self.rebuilt(recurrence, &operands, origin),
                _ => None,
            };
            let results = rebuilt.unwrap_or_else(|| {
                let inner = node.op.regions().iter().map(|inner| {
                    self.builder.open_region();
                    let results = self.region(inner);
                    self.builder.close_region(results)
                });
                let regions = inner.collect();
                self.builder.set_origin(origin.cloned().map(Arc::new));
                let copy = self.builder.node(node.op.with_regions(regions), &operands);
                copy.expect("what replaces a value has its type")
            });
            for (old, new) in node.results.iter().zip(results) {
                values[old.index()] = Some(new);
            }
        }
        defined(&values, region.results())
    }

    /// What replaces the results of a recurrence, if it does not go step by step.
    fn rebuilt(
        &mut self,
        recurrence: &Recurrence,
        operands: &[ValueId],
        origin: Option<&Origin>,
    ) -> Option<Vec<ValueId>> {
        let (way, length) = match self.forced {
            Some((way, length)) => (way, Some(length.max(1))),
            None => promise::way(origin),
        };
        let wanted = self.forced.is_some() || way != Way::Auto;
        let axes = &self.builder.axes;
        let chunks = || {
            let linear = recognize::linear(recurrence)?;
            let length = match self.forced {
                Some((_, length)) => length.max(1),
                None => cost::length(axes, &linear, length, wanted, self.wants)?,
            };
            Ok((linear, length))
        };
        let blocks = || {
            let scan = element::scan(recurrence)?;
            cost::blocks(axes, &scan, length, wanted)?;
            Ok(scan)
        };
        let found = match way {
            Way::Recurrent => Err("its `@algorithm` says so"),
            Way::Chunked => chunks().map(Found::Chunks),
            Way::Associative => blocks().map(Found::Blocks),
            Way::Auto => {
                let found = chunks().map(Found::Chunks);
                found.or_else(|why| blocks().map(Found::Blocks).map_err(|_: &str| why))
            }
        };
        let (how, why) = match &found {
            Ok(Found::Chunks((_, length))) => {
                (How::Chunks(*length), "products of matrices are faster")
            }
            Ok(Found::Blocks(_)) => (How::Blocks(length), "its steps have few elements"),
            Err(why) => (How::Steps, *why),
        };
        self.choices.push(Choice {
            axis: axes.name(recurrence.axis).to_owned(),
            origin: origin.cloned(),
            how,
            why,
        });
        let b = &mut self.builder;
        let built = match found.ok()? {
            Found::Chunks((linear, length)) => build::chunked(b, &linear, operands, length),
            Found::Blocks(own) => scan::scanned(b, &own, operands, length),
        };
        Some(built.expect("every operation has the operands that it wants"))
    }
}

/// What a loop is that need not go step by step.
enum Found<'g> {
    Chunks((Linear<'g>, u32)),
    Blocks(Scan<'g>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use girih_graph::text;

    /// A graph with a loop of this body: its state is `%4`, `[d, e]`.
    fn graph(body: &str) -> Graph {
        let graph = format!(
            "girih-graph 1
graph g(q: f32[t, d=64], k: f32[t, d=64], v: f32[t, e=16], a: f32[t]) -> (y: f32[t, e=16]) {{
  %0 = const 0.0 : f32
  %1 = expand %0 {{axes: [d, e]}} : f32[d=64, e=16]
  %2, %3 = recurrence {{axis: t}} : f32[d=64, e=16], f32[t, e=16] {{
    carry %4 = %1 : f32[d=64, e=16]
    slice %5 = q : f32[d=64]
    slice %6 = k : f32[d=64]
    slice %7 = v : f32[e=16]
    slice %8 = a : f32
    %9 = mul %6, %7 : f32[d=64, e=16]
{body}  }}
  return %3
}}
"
        );
        text::parse(&graph).unwrap()
    }

    /// How the loop of a graph with this body is computed.
    fn check(body: &str, expected: &str) {
        let graph = graph(body);
        let (chunked, choices) = chunk_recurrences(&graph, None);
        girih_graph::verify(&chunked).unwrap();
        let [choice] = choices.as_slice() else {
            panic!("one loop, one choice: {choices:?}");
        };
        let found = match choice.how {
            How::Steps => choice.why,
            How::Chunks(_) => "chunks",
            How::Blocks(_) => "blocks",
        };
        assert_eq!(found, expected);
        assert_eq!(chunked != graph, choice.how != How::Steps);
    }

    #[test]
    fn sums_over_a_fading_state_are_chunked() {
        check(
            "    %10 = mul %8, %4 : f32[d=64, e=16]
    %11 = add %10, %9 : f32[d=64, e=16]
    %12 = contract %5, %11 {over: d} : f32[e=16]
    return %11, %12
",
            "chunks",
        );
    }

    #[test]
    fn steps_that_fill_vectors_are_not_chunked() {
        let body = "    %10 = mul %8, %4 : f32[d=64, e=16]
    %11 = add %10, %9 : f32[d=64, e=16]
    %12 = contract %5, %11 {over: d} : f32[e=16]
    return %11, %12
";
        let wide = |text: &str| text.replace("e=16", "e=64");
        let printed = wide(&text::print(&graph(body)));
        let graph = text::parse(&printed).unwrap();
        let (same, choices) = chunk_recurrences(&graph, None);
        assert_eq!(choices[0].how, How::Steps);
        assert_eq!(same, graph);
    }

    #[test]
    fn a_stand_in_for_a_gradient_is_not_read() {
        let body = "    %10 = grad_as %9, %4 : f32[d=64, e=16]
    %11 = add %4, %10 : f32[d=64, e=16]
    %12 = contract %5, %11 {over: d} : f32[e=16]
    %13 = grad_as %7, %12 : f32[e=16]
    %14 = add %12, %13 : f32[e=16]
";
        let body = format!("{body}    return %11, %14\n");
        check(&body, "chunks");
        let (blocks, choices) = chunk_recurrences(&graph(&body), Some((Way::Associative, 4)));
        girih_graph::verify(&blocks).unwrap();
        assert_eq!(choices[0].how, How::Blocks(Some(4)));
    }

    #[test]
    fn what_is_not_linear_stays_a_loop() {
        check(
            "    %10 = tanh %4 : f32[d=64, e=16]
    %11 = add %10, %9 : f32[d=64, e=16]
    %12 = contract %5, %11 {over: d} : f32[e=16]
    return %11, %12
",
            "its state is not linear in itself",
        );
        check(
            "    %10 = add %4, %9 : f32[d=64, e=16]
    %11 = tanh %10 : f32[d=64, e=16]
    %12 = contract %5, %11 {over: d} : f32[e=16]
    return %10, %12
",
            "its state is read by a function that is not linear",
        );
    }

    #[test]
    fn a_sum_over_the_state_that_the_state_needs_stays_a_loop() {
        check(
            "    %10 = contract %6, %4 {over: d} : f32[e=16]
    %11 = mul %6, %10 : f32[d=64, e=16]
    %12 = sub %4, %11 : f32[d=64, e=16]
    %13 = contract %5, %12 {over: d} : f32[e=16]
    return %12, %13
",
            "its state is not linear in itself",
        );
    }
}
