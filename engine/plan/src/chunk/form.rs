//! Values of a loop's body as sums of products in what is carried.
//!
//! A [`Term`] is ± a product of factors that do not depend on what is carried, times at most
//! one carried value, summed over some axes. Whatever the body's operations are – products,
//! contractions, sums, repetitions, in any order – they end in such sums if they are linear.

use girih_graph::op::{Binary, Combine, Op, Unary};
use girih_graph::{AxisId, Definition, Node, Region, ValueId};

/// More terms than a value may have: products of sums grow.
const MAX_TERMS: usize = 8;

/// A carried value in a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// Which one.
    pub(super) carried: usize,
    /// As it is after the step, not before.
    pub(super) after: bool,
}

/// ± Σ over `over` of the product of `factors`, and of `base` if there is one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) negative: bool,
    pub(super) base: Option<Base>,
    pub(super) over: Vec<AxisId>,
    pub(super) factors: Vec<ValueId>,
}

/// The sum of its terms; aligned by axis name, repeated along axes that a term lacks.
pub(super) type Form = Vec<Term>;

/// The forms of a body's values.
#[derive(Debug)]
pub(super) struct Forms<'g> {
    body: &'g Region,
    carried: usize,
    /// Whether a value depends on what is carried.
    pub(super) depends: Vec<bool>,
    /// In what is carried before the step. `None`: not linear.
    linear: Vec<Option<Form>>,
}

impl<'g> Forms<'g> {
    pub(super) fn new(body: &'g Region, carried: usize) -> Self {
        let mut forms = Self {
            body,
            carried,
            depends: vec![false; body.value_count()],
            linear: vec![None; body.value_count()],
        };
        for (position, param) in body.params().iter().enumerate() {
            let base = (position < carried).then_some(Base {
                carried: position,
                after: false,
            });
            forms.depends[param.index()] = base.is_some();
            forms.linear[param.index()] = Some(vec![Term {
                negative: false,
                base,
                over: Vec::new(),
                factors: if base.is_some() { vec![] } else { vec![*param] },
            }]);
        }
        for (_, node) in body.nodes() {
            let depends = computed(node).iter().any(|own| forms.depends[own.index()]);
            for result in &node.results {
                forms.depends[result.index()] = depends;
                forms.linear[result.index()] = if depends {
                    forms.combined(node)
                } else {
                    Some(atom(*result))
                };
            }
        }
        forms
    }

    /// A carried value's next value, in what is carried before the step.
    pub(super) fn next(&self, carried: usize) -> Option<&Form> {
        self.linear[self.body.results()[carried].index()].as_ref()
    }

    /// A value as whoever reads it sees it: a next value is what is carried after the step.
    pub(super) fn read(&self, value: ValueId) -> Option<Form> {
        let nexts = &self.body.results()[..self.carried];
        if !self.depends[value.index()] || self.body.params().contains(&value) {
            return self.linear[value.index()].clone();
        }
        match nexts.iter().position(|next| *next == value) {
            Some(carried) => Some(vec![Term {
                negative: false,
                base: Some(Base {
                    carried,
                    after: true,
                }),
                over: Vec::new(),
                factors: Vec::new(),
            }]),
            None => self.linear[value.index()].clone(),
        }
    }

    /// The value of a node as a sum of products, if its operands are and it is linear in them.
    fn combined(&self, node: &Node) -> Option<Form> {
        let read = |place: usize| self.read(*node.operands.get(place)?);
        match &node.op {
            Op::Unary(Unary::Neg) => Some(negated(read(0)?)),
            Op::Binary(Binary::Add) => sum(read(0)?, read(1)?),
            Op::Binary(Binary::Sub) => sum(read(0)?, negated(read(1)?)),
            Op::Binary(Binary::Mul) => self.product(&read(0)?, &read(1)?),
            Op::Contract(over) => self.summed(self.product(&read(0)?, &read(1)?)?, over),
            Op::Reduce(Combine::Sum, over) => self.summed(read(0)?, over),
            Op::Expand(_) | Op::GradAs => read(0),
            _ => None,
        }
    }

    /// The axes of a term.
    pub(super) fn axes(&self, term: &Term) -> Vec<AxisId> {
        let base = term.base.map(|base| self.body.params()[base.carried]);
        let mut axes = axes_of(self.body, base.iter().chain(&term.factors).copied());
        axes.retain(|axis| !term.over.contains(axis));
        axes
    }

    /// The product of two forms. A factor may not have an axis that the other sums over: it
    /// would be another axis of the same name.
    fn product(&self, one: &Form, other: &Form) -> Option<Form> {
        let mut terms = Vec::new();
        for x in one {
            for y in other {
                let clash = |a: &Term, b: &Term| {
                    let axes = self.axes(b);
                    a.over
                        .iter()
                        .any(|axis| axes.contains(axis) || b.over.contains(axis))
                };
                if x.base.is_some() && y.base.is_some() || clash(x, y) || clash(y, x) {
                    return None;
                }
                terms.push(Term {
                    negative: x.negative != y.negative,
                    base: x.base.or(y.base),
                    over: [x.over.as_slice(), &y.over].concat(),
                    factors: [x.factors.as_slice(), &y.factors].concat(),
                });
            }
        }
        (terms.len() <= MAX_TERMS).then_some(terms)
    }

    /// A form summed over axes that every term has: one that lacks an axis would be multiplied.
    fn summed(&self, mut form: Form, over: &[AxisId]) -> Option<Form> {
        for term in &mut form {
            let axes = self.axes(term);
            if over.iter().any(|axis| !axes.contains(axis)) {
                return None;
            }
            term.over.extend_from_slice(over);
        }
        Some(form)
    }

    /// The term with products among its factors taken apart, and a sum that is its only factor.
    pub(super) fn flattened(&self, term: &Term) -> Form {
        let mut open = vec![term.clone()];
        let mut done = Vec::new();
        while let Some(mut term) = open.pop() {
            let parts = |value: ValueId| self.free_parts(value);
            let found = term
                .factors
                .iter()
                .position(|value| parts(*value).is_some());
            let Some(place) = found else {
                let node = match term.factors.as_slice() {
                    [only] => self.body.defining_node(*only),
                    _ => None,
                };
                let sums = node.and_then(|node| match node.op {
                    Op::Binary(Binary::Add) => Some((node, false)),
                    Op::Binary(Binary::Sub) => Some((node, true)),
                    _ => None,
                });
                match sums {
                    Some((node, negative)) if open.len() + done.len() + 2 <= MAX_TERMS => {
                        for (place, operand) in node.operands.iter().enumerate() {
                            let mut part = term.clone();
                            part.factors = vec![*operand];
                            part.negative ^= negative && place == 1;
                            open.push(part);
                        }
                    }
                    _ => done.push(term),
                }
                continue;
            };
            let value = term.factors.remove(place);
            if let Some((negative, factors)) = parts(value) {
                term.negative ^= negative;
                term.factors.extend(factors);
            }
            open.push(term);
        }
        done.reverse();
        done
    }

    /// A free value that is a product: whether it is negative, and its factors. A repetition
    /// counts as what it repeats only where the term has the axes anyway, so it stays.
    fn free_parts(&self, value: ValueId) -> Option<(bool, Vec<ValueId>)> {
        if let Definition::Parameter(_) = self.body.definition(value) {
            return None;
        }
        let node = self.body.defining_node(value)?;
        match &node.op {
            Op::Binary(Binary::Mul) | Op::GradAs => Some((false, computed(node).to_vec())),
            Op::Unary(Unary::Neg) => Some((true, node.operands.clone())),
            _ => None,
        }
    }
}

/// The operands that a node is computed from: a stand-in for a gradient is none.
pub(super) fn computed(node: &Node) -> &[ValueId] {
    match node.op {
        Op::GradAs => &node.operands[..1],
        _ => &node.operands,
    }
}

/// The axes of several values, each once.
pub(super) fn axes_of(body: &Region, values: impl Iterator<Item = ValueId>) -> Vec<AxisId> {
    let mut axes = Vec::new();
    for value in values {
        for axis in &body.ty(value).axes {
            if !axes.contains(axis) {
                axes.push(*axis);
            }
        }
    }
    axes
}

fn atom(value: ValueId) -> Form {
    vec![Term {
        negative: false,
        base: None,
        over: Vec::new(),
        factors: vec![value],
    }]
}

fn negated(mut form: Form) -> Form {
    for term in &mut form {
        term.negative = !term.negative;
    }
    form
}

fn sum(mut one: Form, other: Form) -> Option<Form> {
    one.extend(other);
    (one.len() <= MAX_TERMS).then_some(one)
}
