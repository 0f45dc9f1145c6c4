//! Which loops are linear recurrences whose states are only read through sums.
//!
//! Every carried value has to be `S' = a·S + Σ ±(product of factors)` with a decay `a` and factors that no
//! carried value reaches; everything else that the body makes has to be free of what is carried, a sum
//! over axes of a state times factors – a *read-out* – or computed from those. Nothing here looks at
//! sizes: whether chunks are worth it is asked elsewhere.

use girih_graph::op::{Op, Recurrence};
use girih_graph::{DType, Node, Region, ValueId};

use super::form::{Form, Forms, Term, computed};

/// A linear recurrence.
#[derive(Debug)]
pub(super) struct Linear<'g> {
    pub(super) recurrence: &'g Recurrence,
    pub(super) forms: Forms<'g>,
    /// One for each carried value.
    pub(super) states: Vec<State>,
    /// What is read out of states at every step.
    pub(super) readouts: Vec<Readout>,
    /// Which values of the body are computed for all steps at once.
    pub(super) needed: Vec<bool>,
}

/// How a carried value goes on.
#[derive(Debug)]
pub(super) struct State {
    /// Products whose sum fades the state; `None`: it does not fade.
    pub(super) decay: Option<Form>,
    /// What is added.
    pub(super) updates: Form,
}

/// A value that is linear in states, with sums.
#[derive(Debug)]
pub(super) struct Readout {
    pub(super) value: ValueId,
    /// Terms with a state.
    pub(super) terms: Form,
    /// Terms without.
    pub(super) free: Form,
}

/// How a value of the body is computed for all steps at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Like the body does, from its operands.
    Lifted,
    /// By the loop over chunks.
    Readout,
}

const WHOLE: &str = "its whole state is read at every step";

/// The recurrence as a linear one, or why it is none.
pub(super) fn linear(recurrence: &Recurrence) -> Result<Linear<'_>, &'static str> {
    let body = &recurrence.body;
    check_axes(recurrence)?;
    let forms = Forms::new(body, recurrence.carried);
    let states = (0..recurrence.carried).map(|carried| state(&forms, body, carried));
    let states: Vec<State> = states.collect::<Result<_, _>>()?;
    let mut finder = Finder {
        body,
        forms: &forms,
        ways: vec![Err(WHOLE); body.value_count()],
    };
    finder.find();
    let ways = finder.ways;
    let mut needs = Needs {
        body,
        forms: &forms,
        ways: &ways,
        needed: vec![false; body.value_count()],
        readouts: Vec::new(),
    };
    for state in &states {
        needs.mark(&state.updates);
        needs.mark(state.decay.as_deref().unwrap_or_default());
    }
    for output in &body.results()[recurrence.carried..] {
        needs.needed[output.index()] = true;
    }
    needs.walk()?;
    let (needed, readouts) = (needs.needed, needs.readouts);
    if readouts.is_empty() {
        return Err("nothing reads its state at every step");
    }
    Ok(Linear {
        recurrence,
        forms,
        states,
        readouts,
        needed,
    })
}

/// A loop with a state, whose values over all steps have the walked axis besides: nothing in the body may
/// have it already.
pub(super) fn check_axes(recurrence: &Recurrence) -> Result<(), &'static str> {
    let (body, axis) = (&recurrence.body, recurrence.axis);
    if recurrence.carried == 0 {
        return Err("it carries nothing");
    }
    let named = |(_, node): (_, &girih_graph::Node)| {
        let results = node.results.iter().any(|result| body.ty(*result).has(axis));
        results || node.op.attribute_axes().contains(&axis)
    };
    let given = body.params().iter().any(|param| body.ty(*param).has(axis));
    if given || body.nodes().any(named) {
        return Err("its body also uses its axis as a whole");
    }
    Ok(())
}

/// What a carried value is multiplied with at a step, if it is, and what is added: `S' = a·S + b`.
pub(super) fn decay(
    forms: &Forms<'_>,
    body: &Region,
    carried: usize,
) -> Result<(Option<Form>, Form), &'static str> {
    let ty = body.ty(body.params()[carried]);
    if !matches!(ty.dtype, DType::F32 | DType::F64) {
        return Err("its state is not `f32` or `f64`");
    }
    let next = forms
        .next(carried)
        .ok_or("its state is not linear in itself")?;
    let (own, updates): (Form, Form) = next.iter().cloned().partition(|term| term.base.is_some());
    let elementwise = |term: &Term| {
        let base = term
            .base
            .is_some_and(|base| base.carried == carried && !base.after);
        base && term.over.is_empty()
    };
    if own.is_empty() {
        return Err("its state does not go on");
    }
    if !own.iter().all(elementwise) {
        return Err("its state goes on as a sum over the state, or as another state");
    }
    let whole = [Term {
        base: own[0].base,
        negative: false,
        over: Vec::new(),
        factors: Vec::new(),
    }];
    Ok(((own != whole).then_some(own), updates))
}

fn state(forms: &Forms<'_>, body: &Region, carried: usize) -> Result<State, &'static str> {
    let (decay, updates) = decay(forms, body, carried)?;
    if updates.iter().any(|update| !update.over.is_empty()) {
        return Err("what is added to its state is a sum of its own");
    }
    Ok(State {
        decay,
        updates: updates
            .iter()
            .flat_map(|term| forms.flattened(term))
            .collect(),
    })
}

/// Finds how every value can be computed for all steps at once; `Err` says why it cannot.
struct Finder<'a, 'g> {
    body: &'g Region,
    forms: &'a Forms<'g>,
    ways: Vec<Result<Way, &'static str>>,
}

impl Finder<'_, '_> {
    fn find(&mut self) {
        for param in self.body.params() {
            self.ways[param.index()] = if self.forms.depends[param.index()] {
                Err(WHOLE)
            } else {
                Ok(Way::Lifted)
            };
        }
        let body = self.body;
        for (_, node) in body.nodes() {
            for result in &node.results {
                self.ways[result.index()] = self.way(node, *result);
            }
        }
    }

    fn way(&self, node: &Node, value: ValueId) -> Result<Way, &'static str> {
        let able = |value: &ValueId| self.ways[value.index()].is_ok();
        if matches!(node.op, Op::Recurrence(_) | Op::Route(_)) {
            return Err("its body holds another loop or a route");
        }
        if matches!(node.op, Op::Call(_)) {
            return Err("its body calls an operation of a plugin");
        }
        if computed(node).iter().all(able) {
            return Ok(Way::Lifted);
        }
        let form = self.forms.read(value);
        let form = form.ok_or("its state is read by a function that is not linear")?;
        let body = self.body;
        for term in &form {
            if !term.factors.iter().all(able) {
                return Err("its body holds another loop or a route");
            }
            let Some(base) = term.base else { continue };
            let state = body.ty(body.params()[base.carried]);
            if term.over.is_empty() || !term.over.iter().all(|axis| state.has(*axis)) {
                return Err(WHOLE);
            }
        }
        Ok(Way::Readout)
    }
}

/// Marks what a value is computed from.
struct Needs<'a, 'g> {
    body: &'g Region,
    forms: &'a Forms<'g>,
    ways: &'a [Result<Way, &'static str>],
    needed: Vec<bool>,
    readouts: Vec<Readout>,
}

impl Needs<'_, '_> {
    fn mark(&mut self, terms: &[Term]) {
        for factor in terms.iter().flat_map(|term| &term.factors) {
            self.needed[factor.index()] = true;
        }
    }

    /// Walks from the last value to the first.
    fn walk(&mut self) -> Result<(), &'static str> {
        let nodes: Vec<&Node> = self.body.nodes().map(|(_, node)| node).collect();
        for node in nodes.into_iter().rev() {
            for value in &node.results {
                if !self.needed[value.index()] {
                    continue;
                }
                match self.ways[value.index()]? {
                    Way::Lifted => {
                        for operand in computed(node) {
                            self.needed[operand.index()] = true;
                        }
                    }
                    Way::Readout => self.read_out(*value),
                }
            }
        }
        for param in self.body.params() {
            if self.needed[param.index()] {
                self.ways[param.index()]?;
            }
        }
        self.readouts.reverse();
        Ok(())
    }

    fn read_out(&mut self, value: ValueId) {
        let form = self.forms.read(value).unwrap_or_default();
        let (terms, free): (Form, Form) = form.into_iter().partition(|own| own.base.is_some());
        let free: Form = free
            .iter()
            .flat_map(|own| self.forms.flattened(own))
            .collect();
        self.mark(&terms);
        self.mark(&free);
        self.readouts.push(Readout { value, terms, free });
    }
}
