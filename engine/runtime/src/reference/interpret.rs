//! Runs the nodes of a region, one by one.

use std::slice;

use girih_graph::{Node, Op, Region, ValueId, ValueType};

use super::array::Array;
use super::program::{Program, Step};
use super::scan::Scan;
use super::scope::{Run, Scope, Value};
use super::{
    call, contract, elementwise, layout, leaf, order, random, read, recurrence, reduce, route, scan,
};
use crate::backend::{Given, RunError};

/// The values of a region that are held, and the bytes counted for them.
pub(super) struct Values<'a> {
    run: &'a Run<'a>,
    slots: Vec<Option<(Array, u64)>>,
}

impl<'a> Values<'a> {
    pub(super) fn new(run: &'a Run<'a>, region: &Region) -> Self {
        Self {
            run,
            slots: vec![None; region.value_count()],
        }
    }

    /// `bytes` are already counted.
    pub(super) fn set(&mut self, value: ValueId, array: Array, bytes: u64) {
        self.forget(value);
        self.slots[value.index()] = Some((array, bytes));
    }

    pub(super) fn get(&self, value: ValueId) -> &Array {
        let slot = self.slots[value.index()].as_ref();
        &slot
            .expect("the schedule keeps every value until its last use")
            .0
    }

    fn forget(&mut self, value: ValueId) {
        if let Some((_, bytes)) = self.slots[value.index()].take() {
            self.run.release(bytes);
        }
    }
}

impl Drop for Values<'_> {
    fn drop(&mut self) {
        for (_, bytes) in self.slots.iter().flatten() {
            self.run.release(*bytes);
        }
    }
}

/// The results of a region that runs once.
pub(super) fn run_region(
    scope: &Scope<'_>,
    region: &Region,
    program: &Program,
    params: Vec<Array>,
) -> Result<Vec<Array>, RunError> {
    let mut values = Values::new(scope.run, region);
    for (param, array) in region.params().iter().zip(params) {
        values.set(*param, array, 0);
    }
    run_steps(scope, region, &program.steps, &mut values)?;
    let results = region.results().iter();
    Ok(results.map(|result| values.get(*result).clone()).collect())
}

/// The results of the whole graph.
pub(super) fn run_root(scope: &Scope<'_>, program: &Program) -> Result<Vec<Array>, RunError> {
    let region = &scope.run.graph.root;
    let mut values = Values::new(scope.run, region);
    for (finished, step) in program.steps.iter().enumerate() {
        scope.run.advance(finished)?;
        run_steps(scope, region, slice::from_ref(step), &mut values)?;
    }
    scope.run.advance(program.steps.len())?;
    let results = region.results().iter();
    Ok(results.map(|result| values.get(*result).clone()).collect())
}

/// Runs nodes, and lets go what nothing needs after them.
pub(super) fn run_steps(
    scope: &Scope<'_>,
    region: &Region,
    steps: &[Step],
    values: &mut Values<'_>,
) -> Result<(), RunError> {
    for step in steps {
        run_node(scope, region, step, values).map_err(|error| located(region, step, error))?;
        for value in &step.gone {
            values.forget(*value);
        }
    }
    Ok(())
}

/// An error with the place in the model it comes from, if that says more.
fn located(region: &Region, step: &Step, error: RunError) -> RunError {
    let says_more = matches!(
        error,
        RunError::Position { .. }
            | RunError::Memory { .. }
            | RunError::Longer { .. }
            | RunError::Size { .. }
            | RunError::Absurd { .. }
            | RunError::Library { .. }
            | RunError::Native { .. }
            | RunError::NoNative { .. }
    );
    match region.origin(step.node) {
        Some(origin) if says_more => RunError::Within {
            op: region.node(step.node).op.name(),
            origin: Box::new(origin.clone()),
            source: Box::new(error),
        },
        _ => error,
    }
}

fn run_node(
    scope: &Scope<'_>,
    region: &Region,
    step: &Step,
    values: &mut Values<'_>,
) -> Result<(), RunError> {
    let node = region.node(step.node);
    let mut held = Vec::with_capacity(node.results.len());
    for result in &node.results {
        let ty = region.ty(*result);
        let bytes = scope.run.hold(ty, &scope.shape(&ty.axes)?)?;
        if is_view(&node.op) {
            scope.run.release(bytes);
            held.push(0);
        } else {
            held.push(bytes);
        }
    }
    let operand = |value: &ValueId| Value {
        ty: region.ty(*value),
        array: values.get(*value),
    };
    let operands: Vec<Value<'_>> = node.operands.iter().map(operand).collect();
    let types: Vec<&ValueType> = node
        .results
        .iter()
        .map(|result| region.ty(*result))
        .collect();
    let results = evaluate(scope, node, step, &operands, &types)?;
    for ((value, array), bytes) in node.results.iter().zip(results).zip(held) {
        debug_assert_eq!(array.dtype(), region.ty(*value).dtype);
        debug_assert_eq!(array.shape(), scope.shape(&region.ty(*value).axes)?);
        values.set(*value, array, bytes);
    }
    Ok(())
}

/// Whether results share the elements of an operand or of what the caller gave.
fn is_view(op: &Op) -> bool {
    match op {
        Op::Input(..)
        | Op::Param(..)
        | Op::State(..)
        | Op::Split(..)
        | Op::Rename(..)
        | Op::Expand(..)
        | Op::GradAs => true,
        Op::Const(..)
        | Op::Table(..)
        | Op::Index(..)
        | Op::Size(..)
        | Op::Random(..)
        | Op::Unary(..)
        | Op::Binary(..)
        | Op::Select
        | Op::Cast(..)
        | Op::Contract(..)
        | Op::Reduce(..)
        | Op::Softmax(..)
        | Op::Cumulate { .. }
        | Op::Order { .. }
        | Op::Gather { .. }
        | Op::Scatter { .. }
        | Op::Window { .. }
        | Op::Fold { .. }
        | Op::Merge(..)
        | Op::Concat(..)
        | Op::Recurrence(..)
        | Op::Route(..)
        | Op::Call(..) => false,
    }
}

/// The results of a node; its operands' number and types were checked when it was built.
fn evaluate(
    scope: &Scope<'_>,
    node: &Node,
    step: &Step,
    operands: &[Value<'_>],
    types: &[&ValueType],
) -> Result<Vec<Array>, RunError> {
    let out = *types.first().expect("every primitive has a result");
    let shape = || scope.shape(&out.axes);
    let first = || operands[0];
    let array = match &node.op {
        Op::Input(name, ty) => leaf::given(scope, Given::Input, name, ty)?
            .ok_or_else(|| leaf::missing(scope, Given::Input, name, ty))?,
        Op::Param(name, ty) => leaf::given(scope, Given::Param, name, ty)?
            .ok_or_else(|| leaf::missing(scope, Given::Param, name, ty))?,
        Op::State(name) => {
            leaf::given(scope, Given::State, name, out)?.unwrap_or_else(|| first().array.clone())
        }
        Op::Const(literal) => leaf::constant(*literal),
        Op::Table(dtype, _, numbers) => leaf::table(*dtype, shape()?, numbers),
        Op::Index(axis) => leaf::index(scope.extent(*axis)?),
        Op::Size(extent) => leaf::size(scope.number(extent)?),
        Op::Random(distribution, key, axes) => {
            let from = axes.iter().map(|(_, from)| scope.number(from));
            let from: Vec<i64> = from.collect::<Result<_, _>>()?;
            random::draw(*distribution, scope.run.bindings, key, (shape()?, &from))
        }
        Op::Unary(op) => elementwise::unary(*op, first().array),
        Op::Binary(op) => elementwise::binary(*op, operands[0], operands[1], &out.axes, &shape()?),
        Op::Select => {
            let [condition, x, y] = [operands[0], operands[1], operands[2]];
            elementwise::select(condition, x, y, &out.axes, &shape()?)
        }
        Op::Cast(dtype) => elementwise::cast(first().array, *dtype),
        Op::Contract(over) => contract::contract(scope, over, operands[0], operands[1], out)?,
        Op::Reduce(combine, _) => reduce::reduce(*combine, first(), &out.axes, &shape()?),
        Op::Softmax(over) => {
            let kept = out.without(over);
            let kept_shape = scope.shape(&kept)?;
            reduce::softmax(first(), operands.get(1).copied(), &kept, &kept_shape)
        }
        Op::Cumulate {
            combine,
            axis,
            reverse,
            exclusive,
        } => {
            let scan = Scan {
                axis: first().place(*axis).expect("the operand has the axis"),
                reverse: *reverse,
                exclusive: *exclusive,
            };
            scan::cumulate(*combine, scan, first().array)
        }
        Op::Order {
            axis,
            into,
            descending,
        } => {
            let (extent, count) = (scope.extent(*axis)?, scope.extent(*into)?);
            if count > extent {
                return Err(RunError::Longer {
                    axis: scope.axis_name(*axis).to_owned(),
                    extent,
                    into: scope.axis_name(*into).to_owned(),
                    wanted: count,
                });
            }
            let place = first().place(*axis).expect("the operand has the axis");
            order::order(first().array, place, count, *descending)
        }
        Op::Gather { axis, outside } => read::gather(
            scope,
            (*axis, *outside),
            operands[0],
            operands[1],
            &out.axes,
        )?,
        Op::Scatter { axis, combine, .. } => read::scatter(
            scope,
            (*axis, *combine),
            operands[0],
            operands[1],
            &out.axes,
        )?,
        Op::Window { axis, into, offset } => {
            layout::window(scope, (*axis, into, offset), first(), out)?
        }
        Op::Fold { from, axis, offset } => {
            layout::fold(scope, (from, *axis, offset), first(), out)?
        }
        Op::Split(axis, into) => layout::split(scope, *axis, into, first(), out)?,
        Op::Merge(from, axis) => layout::merge(scope, from, *axis, first(), out)?,
        Op::Concat(from, axis) => layout::concat(scope, from, *axis, operands, out)?,
        // The axes keep their places.
        Op::Rename(_) | Op::GradAs => first().array.clone(),
        Op::Expand(_) => layout::expand(scope, first(), out)?,
        Op::Recurrence(recurrence) => {
            let body = &step.inner[0];
            return recurrence::recurrence(scope, recurrence, body, operands, types);
        }
        Op::Route(route) => route::route(scope, route, &step.inner, operands, out)?,
        Op::Call(call) => return call::call(scope, call, &step.inner, operands, types),
    };
    Ok(vec![array])
}
