//! Linear recurrences by chunks of their steps.
//!
//! A loop whose state fades and is added to, and that is read by sums only, computes each chunk of
//! steps at once: products of matrices within the chunk and between it and the state, which then
//! goes on by one step per chunk. See `build` for the algebra, `recognize` for what must hold,
//! `cost` for when it is done.
//!
//! Sources: Yang et al. 2024, arXiv 2312.06635 (chunks for decays of heads and of features);
//! Dao & Gu 2024, arXiv 2405.21060, section 6.

mod body;
mod build;
mod cost;
mod form;
mod lift;
mod recognize;

use std::sync::Arc;

use girih_graph::op::{Op, Recurrence};
use girih_graph::{Builder, Graph, Origin, Region, ValueId, Way};

use crate::promise;

/// How a loop is computed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The loop's axis.
    pub axis: String,
    /// Where the loop comes from, if known.
    pub origin: Option<Origin>,
    /// Steps at once; `None`: one after the other.
    pub chunk: Option<u32>,
    /// Why.
    pub why: &'static str,
}

/// The graph with linear recurrences computed in chunks of their steps, and a choice for every
/// loop, in order. `length` is that of all chunks; without one, loops are chunked where that is
/// faster. Results are equal up to rounding: sums are in another order.
// A sum over steps is the sum over chunks of the sums within them.
pub fn chunk_recurrences(graph: &Graph, length: Option<u32>) -> (Graph, Vec<Choice>) {
    let mut builder = Builder::new(&graph.name);
    builder.axes = graph.axes.clone();
    let mut copier = Copier {
        builder,
        length,
        choices: Vec::new(),
    };
    let results = copier.region(&graph.root);
    if copier.choices.iter().all(|choice| choice.chunk.is_none()) {
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
    length: Option<u32>,
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
            let chunked = match &node.op {
                Op::Recurrence(recurrence) => self.chunked(recurrence, &operands, origin),
                _ => None,
            };
            let results = chunked.unwrap_or_else(|| {
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

    /// What replaces the results of a recurrence, if it is chunked.
    fn chunked(
        &mut self,
        recurrence: &Recurrence,
        operands: &[ValueId],
        origin: Option<&Origin>,
    ) -> Option<Vec<ValueId>> {
        let linear = recognize::linear(recurrence);
        let chosen = linear.and_then(|linear| {
            let length = match (self.length, promise::way(origin)) {
                (Some(length), _) => length.max(1),
                (None, (Way::Recurrent, _)) => return Err("its `@algorithm` says so"),
                (None, (way, lengths)) => {
                    cost::length(&self.builder.axes, &linear, lengths, way == Way::Chunked)?
                }
            };
            Ok((linear, length))
        });
        self.choices.push(Choice {
            axis: self.builder.axes.name(recurrence.axis).to_owned(),
            origin: origin.cloned(),
            chunk: chosen.as_ref().ok().map(|(_, length)| *length),
            why: chosen
                .as_ref()
                .err()
                .copied()
                .unwrap_or("products of matrices are faster"),
        });
        let (linear, length) = chosen.ok()?;
        let built = build::chunked(&mut self.builder, &linear, operands, length);
        Some(built.expect("every operation has the operands that it wants"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use girih_graph::text;

    /// How the loop of a graph with this body is computed: its state is `s`, `[d, e]`.
    fn check(body: &str, expected: &str) {
        let graph = format!(
            "girih-graph 1
graph g(q: f32[t, d=64], k: f32[t, d=64], v: f32[t, e=64], a: f32[t]) -> (y: f32[t, e=64]) {{
  %0 = const 0.0 : f32
  %1 = expand %0 {{axes: [d, e]}} : f32[d=64, e=64]
  %2, %3 = recurrence {{axis: t}} : f32[d=64, e=64], f32[t, e=64] {{
    carry %4 = %1 : f32[d=64, e=64]
    slice %5 = q : f32[d=64]
    slice %6 = k : f32[d=64]
    slice %7 = v : f32[e=64]
    slice %8 = a : f32
    %9 = mul %6, %7 : f32[d=64, e=64]
{body}  }}
  return %3
}}
"
        );
        let graph = text::parse(&graph).unwrap();
        let (chunked, choices) = chunk_recurrences(&graph, None);
        girih_graph::verify(&chunked).unwrap();
        let [choice] = choices.as_slice() else {
            panic!("one loop, one choice: {choices:?}");
        };
        assert_eq!(choice.chunk.map_or(choice.why, |_| "chunks"), expected);
        assert_eq!(chunked != graph, choice.chunk.is_some());
    }

    #[test]
    fn sums_over_a_fading_state_are_chunked() {
        check(
            "    %10 = mul %8, %4 : f32[d=64, e=64]
    %11 = add %10, %9 : f32[d=64, e=64]
    %12 = contract %5, %11 {over: d} : f32[e=64]
    return %11, %12
",
            "chunks",
        );
    }

    #[test]
    fn what_is_not_linear_stays_a_loop() {
        check(
            "    %10 = tanh %4 : f32[d=64, e=64]
    %11 = add %10, %9 : f32[d=64, e=64]
    %12 = contract %5, %11 {over: d} : f32[e=64]
    return %11, %12
",
            "its state is not linear in itself",
        );
        check(
            "    %10 = add %4, %9 : f32[d=64, e=64]
    %11 = tanh %10 : f32[d=64, e=64]
    %12 = contract %5, %11 {over: d} : f32[e=64]
    return %10, %12
",
            "its state is read by a function that is not linear",
        );
    }

    #[test]
    fn a_sum_over_the_state_that_the_state_needs_stays_a_loop() {
        check(
            "    %10 = contract %6, %4 {over: d} : f32[e=64]
    %11 = mul %6, %10 : f32[d=64, e=64]
    %12 = sub %4, %11 : f32[d=64, e=64]
    %13 = contract %5, %12 {over: d} : f32[e=64]
    return %12, %13
",
            "its state is not linear in itself",
        );
    }
}
