//! Which loops go on element by element, so that whole blocks of their steps are like one step.
//!
//! Every carried value has to be `S' = a·S + b`, or the larger or smaller one of `S` and `b`, where no
//! carried value reaches `a` and `b`. Whatever else the body does with its states is free.

use girih_graph::op::{Binary, Op, Recurrence};
use girih_graph::{DType, Node, Region, ValueId};

use super::form::{Form, Forms, computed};
use super::recognize;

/// A recurrence whose states go on element by element.
#[derive(Debug)]
pub(super) struct Scan<'g> {
    pub(super) recurrence: &'g Recurrence,
    /// Which values of the body depend on its states.
    pub(super) depends: Vec<bool>,
    /// One for each carried value.
    pub(super) states: Vec<Step>,
}

/// How a carried value goes on.
#[derive(Debug)]
pub(super) enum Step {
    /// Times a sum of products, if there is one, and something added.
    Fading(Option<Form>),
    /// As the larger or the smaller one of itself and something else.
    Extreme(Binary),
}

impl Step {
    /// A state that is none: what follows from it is what the steps add.
    pub(super) fn start(&self) -> f64 {
        match self {
            Self::Fading(_) => 0.0,
            Self::Extreme(Binary::Max) => f64::NEG_INFINITY,
            Self::Extreme(_) => f64::INFINITY,
        }
    }
}

impl Scan<'_> {
    /// Values that do not depend on a state and meet one that does.
    pub(super) fn reads(&self) -> Vec<ValueId> {
        let mut reads: Vec<ValueId> = Vec::new();
        for (_, node) in self.recurrence.body.nodes() {
            if depends(&self.depends, node) {
                let free = computed(node)
                    .iter()
                    .filter(|own| !self.depends[own.index()]);
                reads.extend(free);
            }
        }
        reads.sort();
        reads.dedup();
        reads
    }
}

fn depends(values: &[bool], node: &Node) -> bool {
    node.results.iter().any(|own| values[own.index()])
}

/// The recurrence as one that goes on element by element, or why it is none.
pub(super) fn scan(recurrence: &Recurrence) -> Result<Scan<'_>, &'static str> {
    let body = &recurrence.body;
    recognize::check_axes(recurrence)?;
    let is_closed = |op: &Op| matches!(op, Op::Recurrence(_) | Op::Route(_) | Op::Call(_));
    if body.nodes().any(|(_, node)| is_closed(&node.op)) {
        return Err("its body holds another loop, a route or an operation of a plugin");
    }
    let forms = Forms::new(body, recurrence.carried);
    let states = (0..recurrence.carried).map(|carried| step(&forms, body, carried));
    Ok(Scan {
        recurrence,
        states: states.collect::<Result<_, _>>()?,
        depends: forms.depends,
    })
}

fn step(forms: &Forms<'_>, body: &Region, carried: usize) -> Result<Step, &'static str> {
    let state = body.params()[carried];
    if let Some(node) = body.defining_node(body.results()[carried])
        && let (Op::Binary(op @ (Binary::Max | Binary::Min)), [x, y]) = (&node.op, &*node.operands)
    {
        let real = matches!(body.ty(state).dtype, DType::F32 | DType::F64);
        let with = |own: ValueId, other: ValueId| own == state && !forms.depends[other.index()];
        return if real && (with(*x, *y) || with(*y, *x)) {
            Ok(Step::Extreme(*op))
        } else {
            Err("its state is not the larger or smaller one of itself and what no state reaches")
        };
    }
    let (decay, _) = recognize::decay(forms, body, carried)?;
    Ok(Step::Fading(decay))
}
