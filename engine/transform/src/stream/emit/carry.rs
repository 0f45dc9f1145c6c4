//! What goes from step to step: the past of values, and what is folded together.

use girih_graph::op::{Binary, Literal};
use girih_graph::stream::{Carry, Kind};
use girih_graph::{AxisId, Combine, DType, Extent, Node, Op, ValueId, ValueType};

use super::Emit;
use crate::stream::end::End;
use crate::stream::role::{Demand, History, Stretch};
use crate::stream::whole::Whole;

impl Emit<'_, '_> {
    /// A value at the new positions joined to its past: of the `past` that is needed for it, what
    /// is `asked` for.
    pub(super) fn with_past(
        &mut self,
        value: ValueId,
        axis: AxisId,
        past: Stretch,
        asked: Stretch,
    ) -> Result<ValueId, Whole> {
        // The longest past is carried; shorter ones are parts of it.
        let new = self.value(value, &Demand::from([(axis, Stretch::new(past.end))]))?;
        let longest = self.rules.longest.get(&value).copied();
        let longest = Stretch {
            history: longest.unwrap_or(past.history),
            ..past
        };
        let key = (value, Demand::from([(axis, longest)]));
        let joined = if longest.history == History::NEW {
            new
        } else if let Some(joined) = self.values.get(&key) {
            *joined
        } else {
            let joined = self.carry_past(value, axis, longest, new)?;
            self.values.insert(key, joined);
            joined
        };
        self.narrow(joined, axis, longest, asked)
    }

    fn carry_past(
        &mut self,
        value: ValueId,
        axis: AxisId,
        stretch: Stretch,
        new: ValueId,
    ) -> Result<ValueId, Whole> {
        let ty = self.step.ty(new).clone();
        let history = stretch.history;
        let there = stretch.end.of(&self.roles.past());
        let extent = there.minus(&self.roles.start(stretch));
        let new_axis = self
            .roles
            .axis(&mut self.step.axes, axis, Stretch::new(stretch.end));
        let own = self.step.axes[axis].clone();
        let held = self
            .step
            .axes
            .add(&format!("{}.past", own.name), extent, own.over, own.time);
        let kind = match history {
            History::All => Kind::Cache,
            History::Last(last) => Kind::Recent { last },
        };
        let name = self.carry_name(value, kind);
        // New positions lie behind the old ones: the axis that grows is the outermost.
        let along = |growing: AxisId| {
            let rest = ty.axes.iter().copied().filter(|own| *own != new_axis);
            ValueType::new(ty.dtype, [growing].into_iter().chain(rest).collect())
        };
        let carried = along(held);
        let before = self.input(&name, &carried)?;
        let joined_axis = self.roles.axis(&mut self.step.axes, axis, stretch);
        let join = Op::Concat(vec![held, new_axis], joined_axis);
        let joined = self.step.value(join, &[before, new])?;
        let next = match history {
            History::All => joined,
            History::Last(last) => {
                let there = self.step.axes.extent(joined_axis).clone();
                let left = there.minimum(&Extent::constant(last));
                let offset = there.minus(&left);
                let after =
                    self.step
                        .axes
                        .add(&format!("{}.next", own.name), left, own.over, own.time);
                let window = Op::Window {
                    axis: joined_axis,
                    into: vec![(after, Extent::constant(1))],
                    offset,
                };
                self.step.value(window, &[joined])?
            }
        };
        let none = self.once.axes.add(
            &format!("{}.none", own.name),
            Extent::constant(0),
            None,
            false,
        );
        let empty = along(none);
        let zero = self.once.number(ty.dtype, 0.0);
        let start = self.once.value(Op::Expand(empty.axes), &[zero])?;
        let carry = Carry {
            name,
            kind,
            ty: carried,
            there: stretch.end.of(&Extent::symbol(&self.roles.total)),
            placed: self.is_placed(value),
        };
        self.carries.push((carry, start, next));
        Ok(joined)
    }

    fn input(&mut self, name: &str, ty: &ValueType) -> Result<ValueId, Whole> {
        Ok(self.step.value(Op::Input(name.into(), ty.clone()), &[])?)
    }

    fn carry(
        &mut self,
        name: String,
        kind: Kind,
        (ty, end): (ValueType, End),
        (start, next): (ValueId, ValueId),
    ) {
        let there = end.of(&Extent::symbol(&self.roles.total));
        let carry = Carry {
            name,
            kind,
            ty,
            there,
            placed: false,
        };
        self.carries.push((carry, start, next));
    }

    /// What has been combined so far.
    pub(super) fn total(
        &mut self,
        value: ValueId,
        (combine, end): (Combine, End),
        own: ValueId,
    ) -> Result<ValueId, Whole> {
        let ty = self.step.ty(own).clone();
        let (before, name) = self.total_input(value, &ty)?;
        let op = Op::Binary(joining(combine));
        let next = self.step.value(op, &[before, own])?;
        let start = self.identity(combine, &ty)?;
        self.carry(name, Kind::Total, (ty, end), (start, next));
        Ok(next)
    }

    fn total_input(&mut self, value: ValueId, ty: &ValueType) -> Result<(ValueId, String), Whole> {
        let name = self.carry_name(value, Kind::Total);
        Ok((self.input(&name, ty)?, name))
    }

    /// Nothing combined yet, in `once`.
    fn identity(&mut self, combine: Combine, ty: &ValueType) -> Result<ValueId, Whole> {
        let literal = identity(combine, ty.dtype);
        let number = self.once.value(Op::Const(literal), &[])?;
        if ty.axes.is_empty() {
            return Ok(number);
        }
        Ok(self.once.value(Op::Expand(ty.axes.clone()), &[number])?)
    }

    /// A running combination goes on where it was: in the same order as in the whole.
    pub(super) fn cumulate(
        &mut self,
        value: ValueId,
        (combine, axis, exclusive): (Combine, AxisId, bool),
        (x, end): (ValueId, End),
    ) -> Result<ValueId, Whole> {
        let all = self.step.ty(x).clone();
        let ty = ValueType::new(all.dtype, all.without(&[axis]));
        let (before, name) = self.total_input(value, &ty)?;
        let one = self.step.axes.add("one", Extent::constant(1), None, false);
        let own = self.step.axes[axis].clone();
        let longer = self.step.axes.add(
            &format!("{}.longer", own.name),
            own.extent.plus(&Extent::constant(1)),
            own.over,
            own.time,
        );
        let first = self.step.value(Op::Expand(vec![one]), &[before])?;
        let joined = self
            .step
            .value(Op::Concat(vec![one, axis], longer), &[first, x])?;
        let running = Op::Cumulate {
            combine,
            axis: longer,
            reverse: false,
            exclusive: false,
        };
        let running = self.step.value(running, &[joined])?;
        let part = |into: Vec<(AxisId, Extent)>, offset: Extent| Op::Window {
            axis: longer,
            into,
            offset,
        };
        let next = self
            .step
            .value(part(Vec::new(), own.extent.clone()), &[running])?;
        let offset = Extent::constant(i64::from(!exclusive));
        let new = self
            .step
            .value(part(vec![(axis, Extent::constant(1))], offset), &[running])?;
        let start = self.identity(combine, &ty)?;
        self.carry(name, Kind::Total, (ty, end), (start, next));
        Ok(new)
    }

    /// A recurrence goes on with what it carried.
    pub(super) fn recurrence(
        &mut self,
        node: &Node,
        recurrence: &girih_graph::Recurrence,
        (operands, stretches): (&[ValueId], &Demand),
    ) -> Result<(), Whole> {
        let mut given = operands.to_vec();
        let mut names = Vec::new();
        for (position, own) in given.iter_mut().enumerate().take(recurrence.carried) {
            let start = node.operands[position];
            let ty = self.rules.graph.root.ty(start).clone();
            let name = self.carry_name(node.results[position], Kind::Carried);
            *own = self.input(&name, &ty)?;
            names.push((name, ty, start));
        }
        let op = self.mapped(&Op::Recurrence(Box::new(recurrence.clone())), stretches)?;
        let end = stretches.values().next().map_or(End::NOW, |own| own.end);
        let results = self.step.node(op, &given)?;
        for ((name, ty, start), next) in names.into_iter().zip(&results) {
            let start = self.known(start)?;
            self.carry(name, Kind::Carried, (ty, end), (start, *next));
        }
        for (old, new) in node.results.iter().zip(results) {
            let axes = self.roles.among(self.rules.graph.root.ty(*old));
            let demand = axes.into_iter().map(|axis| (axis, Stretch::new(end)));
            self.values.insert((*old, demand.collect()), new);
        }
        Ok(())
    }
}

/// The function of two values of a combination.
const fn joining(combine: Combine) -> Binary {
    match combine {
        Combine::Sum => Binary::Add,
        Combine::Prod => Binary::Mul,
        Combine::Max => Binary::Max,
        Combine::Min => Binary::Min,
        Combine::Any => Binary::Or,
        Combine::All => Binary::And,
    }
}

/// What a combination of nothing gives.
fn identity(combine: Combine, dtype: DType) -> Literal {
    let (least, greatest) = match dtype {
        DType::I8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
        DType::U8 => (0, i64::from(u8::MAX)),
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let number = |real: f64, int: i64| {
        if dtype.is_real() {
            Literal::Real(dtype, real)
        } else {
            Literal::Int(dtype, int)
        }
    };
    match combine {
        Combine::Sum => number(0.0, 0),
        Combine::Prod => number(1.0, 1),
        Combine::Max => number(f64::NEG_INFINITY, least),
        Combine::Min => number(f64::INFINITY, greatest),
        Combine::Any => Literal::Bool(false),
        Combine::All => Literal::Bool(true),
    }
}
