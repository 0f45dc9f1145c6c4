//! Streaming rules composed: through a region, through a loop, through branches.

use std::collections::BTreeMap;

use super::Span;
use super::op::{Question, answer};
use crate::axis::{AxisId, AxisTable};
use crate::depend::{Depend, depend, over_steps, reads};
use crate::graph::{Region, ValueId};
use crate::op::{Call, Recurrence, Route};

/// Regions deeper inside than this are taken to mix all positions.
pub(super) const MAX_DEPTH: usize = 4;

/// For every value of a region, which positions of one value along one axis it depends on.
#[derive(Clone, Debug)]
pub struct Spans {
    /// Along each axis, of the values that depend on the source at all.
    values: Vec<Option<BTreeMap<AxisId, Span>>>,
}

impl Spans {
    /// What the values of `region` depend on, of its value `source` along the axis `along`.
    pub fn new(axes: &AxisTable, region: &Region, source: ValueId, along: AxisId) -> Self {
        Self::nested(axes, region, source, along, MAX_DEPTH)
    }

    fn nested(
        axes: &AxisTable,
        region: &Region,
        source: ValueId,
        along: AxisId,
        depth: usize,
    ) -> Self {
        let mut own = Self {
            values: vec![None; region.value_count()],
        };
        let own_axes = region.ty(source).axes.iter();
        let itself = own_axes.filter(|axis| **axis == along);
        own.values[source.index()] = Some(itself.map(|axis| (*axis, Span::Same)).collect());
        for (_, node) in region.nodes() {
            let inner: Vec<Depend> = node.op.regions().iter().map(depend).collect();
            for (slot, result) in node.results.iter().enumerate() {
                let operands = node.operands.iter().enumerate();
                let reading: Vec<(usize, &ValueId)> = operands
                    .filter(|(position, value)| {
                        own.values[value.index()].is_some() && reads(node, &inner, slot, *position)
                    })
                    .collect();
                if reading.is_empty() || *result == source {
                    continue;
                }
                let span_along = |to: &AxisId| {
                    let spans = reading.iter().map(|(position, value)| {
                        let known = own.values[value.index()].iter().flatten();
                        let through = known.map(|(from, span)| {
                            let step = answer(Question {
                                axes,
                                region,
                                node,
                                result: (slot, *to),
                                operand: (*position, *from),
                                depth,
                            });
                            step.then(span)
                        });
                        // Each axis of the operand tells the truth; the narrowest tells most.
                        through.fold(Span::Whole, Span::narrower)
                    });
                    let joined = spans.fold(Span::None, |all, span| all.join(&span));
                    (*to, joined)
                };
                let along_each = region.ty(*result).axes.iter().map(span_along).collect();
                own.values[result.index()] = Some(along_each);
            }
        }
        own
    }

    /// Which positions of the source position i of `value` along its axis `along` depends on.
    pub fn of(&self, value: ValueId, along: AxisId) -> Span {
        match &self.values[value.index()] {
            None => Span::None,
            Some(spans) => spans.get(&along).cloned().unwrap_or(Span::Whole),
        }
    }
}

/// All positions or none: whether the result depends on the operand at all.
pub(super) fn depends(question: Question<'_>) -> Span {
    let Question { node, .. } = question;
    let inner: Vec<Depend> = node.op.regions().iter().map(depend).collect();
    if reads(node, &inner, question.result.0, question.operand.0) {
        Span::Whole
    } else {
        Span::None
    }
}

pub(super) fn recurrence(question: Question<'_>, recurrence: &Recurrence) -> Span {
    let Question {
        result: (slot, to),
        operand: (position, from),
        ..
    } = question;
    if depends(question) == Span::None {
        return Span::None;
    }
    let along_axis = from == recurrence.axis && to == recurrence.axis;
    if along_axis && slot >= recurrence.carried && is_sliced(recurrence, position) {
        return over_walk(recurrence, slot, position);
    }
    if from == recurrence.axis || to == recurrence.axis || question.depth == 0 {
        return Span::Whole;
    }
    within_steps(question, recurrence)
}

fn is_sliced(recurrence: &Recurrence, position: usize) -> bool {
    let sliced = recurrence.carried..recurrence.carried + recurrence.sequences;
    sliced.contains(&position)
}

/// An output at step i reads a slice at step i, or carried values of the steps before, or both.
fn over_walk(recurrence: &Recurrence, slot: usize, position: usize) -> Span {
    let body = depend(&recurrence.body);
    let reads = |params: &[bool], param: usize| params.get(param) == Some(&true);
    let direct = body
        .results
        .get(slot)
        .is_some_and(|own| reads(own, position));
    let carried = (0..recurrence.carried).any(|carried| {
        let needed = body
            .results
            .get(slot)
            .is_some_and(|own| reads(own, carried));
        needed && reads(&over_steps(recurrence, &body, carried), position)
    });
    let step = if recurrence.reverse { 1 } else { -1 };
    let before = match (carried, recurrence.reverse) {
        (false, _) => Span::None,
        (true, false) => Span::Prefix { to: step.into() },
        (true, true) => Span::Suffix { from: step.into() },
    };
    if direct {
        before.join(&Span::Same)
    } else {
        before
    }
}

/// Along another axis than the one that is walked: every step may move positions.
fn within_steps(question: Question<'_>, recurrence: &Recurrence) -> Span {
    let Question {
        axes,
        result: (slot, to),
        operand: (position, from),
        depth,
        ..
    } = question;
    let body = &recurrence.body;
    let spans_of = |position: usize| {
        let param = body.params().get(position).copied()?;
        Some(Spans::nested(axes, body, param, from, depth - 1))
    };
    let span =
        |spans: &Option<Spans>, slot: usize, along: AxisId| match (spans, body.results().get(slot))
        {
            (Some(spans), Some(result)) => spans.of(*result, along),
            _ => Span::Whole,
        };
    let operand = spans_of(position);
    let mut total = span(&operand, slot, to);
    let closure = over_steps(recurrence, &depend(body), slot);
    let carried: Vec<usize> = (0..recurrence.carried)
        .filter(|carried| closure.get(*carried) == Some(&true))
        .collect();
    if slot < recurrence.carried && slot == position {
        // After no step at all.
        total = total.join(&if from == to { Span::Same } else { Span::Whole });
    }
    if carried.is_empty() {
        return total;
    }
    if from != to {
        return Span::Whole;
    }
    // Any number of steps between carried values, then the last one.
    let mut moves = Span::None;
    for carried in &carried {
        let spans = spans_of(*carried);
        moves = moves.join(&span(&spans, slot, to));
        for next in 0..recurrence.carried {
            moves = moves.join(&span(&spans, next, to));
        }
        moves = moves.join(&span(&operand, *carried, to));
        if *carried == position {
            moves = moves.join(&Span::Same);
        }
    }
    total.join(&repeated(&moves))
}

/// `span` followed any number of times.
fn repeated(span: &Span) -> Span {
    let zero = crate::extent::Extent::constant(0);
    match span {
        Span::None => Span::None,
        Span::Same => Span::Same,
        span if span.is_causal() => Span::Prefix { to: zero },
        Span::Lag { from, .. } | Span::Suffix { from } if from.is_at_least(0) => {
            Span::Suffix { from: zero }
        }
        Span::Lag { .. }
        | Span::Suffix { .. }
        | Span::Prefix { .. }
        | Span::Window { .. }
        | Span::Whole => Span::Whole,
    }
}

pub(super) fn route(question: Question<'_>, route: &Route) -> Span {
    let Question {
        axes,
        result: (_, to),
        operand: (position, from),
        depth,
        ..
    } = question;
    let Some(input) = position.checked_sub(2) else {
        return if from == to { Span::Same } else { Span::Whole };
    };
    if depth == 0 {
        return depends(question);
    }
    let branches = route.parts().flat_map(|(branch, reads)| {
        let params = branch.params().iter().zip(reads);
        params
            .filter(|(_, read)| **read == input)
            .map(move |(param, _)| match branch.results() {
                [result] => Spans::nested(axes, branch, *param, from, depth - 1).of(*result, to),
                _ => Span::Whole,
            })
    });
    branches.fold(Span::None, |all, span| all.join(&span))
}

/// Along lifted axes positions are apart; what a kernel does along its own, the body says.
pub(super) fn call(question: Question<'_>, call: &Call) -> Span {
    let Question {
        axes,
        result: (slot, to),
        operand: (position, from),
        depth,
        ..
    } = question;
    if from == to && !call.is_core(from) {
        return Span::Same;
    }
    let Some(body) = call.body().filter(|_| depth > 0) else {
        return Span::Whole;
    };
    match (body.params().get(position), body.results().get(slot)) {
        (Some(param), Some(result)) => {
            Spans::nested(axes, body, *param, from, depth - 1).of(*result, to)
        }
        _ => Span::Whole,
    }
}
