//! How a loop body becomes a region.
//!
//! Inside, a value from outside that has the walked axis is one slice of itself, any other is
//! the same at every step; what does not depend on the carried values is computed outside the
//! loop, once and for all positions. A carried value gets the lifted axes of what it is set
//! to: the body is elaborated again with them.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::{AxisId, Op, Recurrence, ValueId, ValueType};

use super::Elaborator;
use super::scope::Env;
use super::value::{Eval, Reported, Tensor, Value};
use crate::ast::{self, StmtKind};
use crate::diag::{Code, Diagnostic};
use crate::span::Span;

/// A region that is open, and what it has taken from outside so far.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// The walked axis; `None` for a branch of a route.
    pub(crate) axis: Option<AxisId>,
    /// Where the loop says so, and how many calls were open there.
    pub(crate) opened: Option<(Span, usize)>,
    imported: BTreeMap<ValueId, ValueId>,
    /// Outer and inner value of each slice.
    pub(crate) sequences: Vec<(ValueId, ValueId)>,
    /// Outer and inner value of what stays the same.
    pub(crate) invariants: Vec<(ValueId, ValueId)>,
}

impl Frame {
    /// A loop along an axis.
    pub(crate) fn of_loop(axis: AxisId, over: Span, depth: usize) -> Self {
        Self {
            axis: Some(axis),
            opened: Some((over, depth)),
            ..Self::default()
        }
    }

    /// A branch whose parameters stand for these values outside.
    pub(crate) fn of_branch(items: &[(ValueId, ValueId)]) -> Self {
        Self {
            imported: items.iter().copied().collect(),
            ..Self::default()
        }
    }
}

/// What one walk through the body made.
struct Walk {
    next: Vec<Tensor>,
    locals: BTreeMap<String, Value>,
    indices: BTreeMap<String, AxisId>,
    /// Axes that a next value has and its state has not, by position of the state.
    extra: Vec<Vec<AxisId>>,
}

impl Elaborator<'_> {
    /// A value in an inner region.
    pub(crate) fn import(&mut self, tensor: Tensor, level: usize) -> ValueId {
        if tensor.level >= level {
            return tensor.id;
        }
        let outer = self.import(tensor, level - 1);
        if let Some(inner) = self.frames[level - 1].imported.get(&outer) {
            return *inner;
        }
        let constant = self
            .b
            .region_at(level - 1)
            .defining_node(outer)
            .map(|node| node.op.clone());
        if let Some(op @ Op::Const(_)) = constant {
            // A number is written where it is used.
            self.b.set_level(level);
            let inner = self
                .b
                .value(op, &[])
                .expect("a constant has no operands to be wrong");
            self.frames[level - 1].imported.insert(outer, inner);
            return inner;
        }
        let ty = self.b.region_at(level - 1).ty(outer).clone();
        let axis = self.frames[level - 1].axis.filter(|axis| ty.has(*axis));
        let inner_ty = match axis {
            Some(axis) => ValueType::new(ty.dtype, ty.without(&[axis])),
            None => ty,
        };
        self.b.set_level(level);
        let inner = self.b.add_parameter(inner_ty);
        let frame = &mut self.frames[level - 1];
        frame.imported.insert(outer, inner);
        if axis.is_some() {
            frame.sequences.push((outer, inner));
        } else {
            frame.invariants.push((outer, inner));
        }
        inner
    }

    /// `recurrence over axis { … }`. `used` holds the names that are mentioned afterwards.
    pub(crate) fn run_recurrence(
        &mut self,
        env: &mut Env,
        over: &ast::Name,
        reverse: bool,
        body: &ast::Block,
        used: &BTreeSet<String>,
        span: Span,
    ) -> Eval<()> {
        let Some(axis) = self.axis_named(env, &over.text, over.span)? else {
            return self.unknown(env, &over.text, over.span, "the axis");
        };
        let states: Vec<&ast::StateDecl> = (body.stmts.iter())
            .filter_map(|stmt| match &stmt.kind {
                StmtKind::State(state) => Some(state),
                _ => None,
            })
            .collect();
        self.all_distinct(states.iter().map(|state| &state.name), "the state")?;
        let mut extra: Vec<Vec<AxisId>> = vec![Vec::new(); states.len()];
        // Each turn adds axes, of which there are finitely many.
        for _ in 0..8 {
            let mut starts = Vec::new();
            for (state, extra) in states.iter().zip(&extra) {
                starts.push(self.start(env, state, extra, axis)?);
            }
            let level = self.frames.len() + 1;
            self.b.open_region();
            self.frames
                .push(Frame::of_loop(axis, over.span, self.depth));
            let promises = self.promises.take();
            let walk = self.walk(env, body, &states, &starts, level, used);
            self.promises = promises;
            let grows = walk
                .as_ref()
                .is_ok_and(|walk| walk.extra.iter().any(|axes| !axes.is_empty()));
            match walk {
                Ok(walk) if !grows => {
                    return self.close(env, axis, reverse, &states, &starts, walk, used, span);
                }
                other => {
                    self.b.close_region(Vec::new());
                    self.frames.pop();
                    for (own, new) in extra.iter_mut().zip(other?.extra) {
                        own.extend(new);
                    }
                }
            }
        }
        self.error(
            403,
            span,
            "the carried values keep growing",
            "each step adds an axis",
        )
    }

    fn start(
        &mut self,
        env: &mut Env,
        state: &ast::StateDecl,
        extra: &[AxisId],
        walked: AxisId,
    ) -> Eval<Tensor> {
        let (dtype, groups) = self.tensor_type(env, &state.ty)?;
        let value = self.eval(env, &state.init)?;
        let start = self.tensor(value, dtype, state.init.span)?;
        // In a loop within a loop, the outer one has one slice of it.
        let level = self.frames.len();
        let id = self.import(start, level);
        let start = Tensor { level, id };
        let mut axes = extra.to_vec();
        axes.extend(groups.into_iter().flatten());
        for axis in &self.ty(start).axes.clone() {
            if *axis == walked {
                let name = self.b.axes.name(walked).to_owned();
                return self.error_help(
                    403,
                    state.init.span,
                    format!(
                        "the start of `{}` has the walked axis `{name}`",
                        state.name.text
                    ),
                    "a start is one value",
                    format!("take one position: `x[{name} = 0]`"),
                );
            }
        }
        let found = self.ty(start).dtype;
        if found != dtype && !(found.is_integer() && dtype.is_integer()) {
            return self.error_help(
                302,
                state.init.span,
                format!(
                    "`{}` is declared `{dtype}` and starts as `{found}`",
                    state.name.text
                ),
                format!("this is `{found}`"),
                format!(
                    "declare `state {}: {found}[…]`, or start with a `{dtype}` value",
                    state.name.text
                ),
            );
        }
        let start = self.cast(start, dtype, state.init.span)?;
        self.expand_to(start, &axes, state.init.span)
    }

    fn walk(
        &mut self,
        env: &Env,
        body: &ast::Block,
        states: &[&ast::StateDecl],
        starts: &[Tensor],
        level: usize,
        used: &BTreeSet<String>,
    ) -> Eval<Walk> {
        let mut inner = env.clone();
        inner.next = BTreeMap::new();
        let mut carried = Vec::new();
        for (state, start) in states.iter().zip(starts) {
            let ty = self.ty(*start).clone();
            self.b.set_level(level);
            let id = self.b.add_parameter(ty);
            let name = &state.name.text;
            inner
                .locals
                .insert(name.clone(), Value::Tensor(Tensor { level, id }));
            inner.locals.insert(format!("{name}$state"), Value::None);
            carried.push(id);
        }
        let stmts: Vec<ast::Stmt> = (body.stmts.iter())
            .filter(|stmt| !matches!(stmt.kind, StmtKind::State(_)))
            .cloned()
            .collect();
        // Names that the next step's equations mention are used, too.
        let mut tail = used.clone();
        for stmt in &stmts {
            super::mentioned::stmt_names(stmt, &mut tail);
        }
        if self.run_block(&mut inner, &stmts, &tail)?.is_some() {
            let place = stmts.iter().find_map(|stmt| match &stmt.kind {
                StmtKind::Return(value) => Some(value.span),
                _ => None,
            });
            return self.error_help(
                405,
                place.unwrap_or(body.span),
                "a recurrence returns nothing",
                "there is a `return` inside",
                "use the names after the loop: they are sequences then",
            );
        }
        let mut next = Vec::new();
        let mut extra = Vec::new();
        for (state, start) in states.iter().zip(starts) {
            let name = &state.name.text;
            let Some(tensor) = inner.next.get(name).copied() else {
                return self.error_help(
                    402,
                    state.name.span,
                    format!("`{name}` never gets a next value"),
                    "declared here",
                    format!("write `{name}' = …` in the loop"),
                );
            };
            let (was, is) = (self.ty(*start).clone(), self.ty(tensor).clone());
            if was.dtype != is.dtype && !(was.dtype.is_integer() && is.dtype.is_integer()) {
                let place = super::mentioned::next_place(&stmts, name).unwrap_or(state.name.span);
                let wanted = if was.dtype.is_real() {
                    "real(x)"
                } else {
                    "int(x)"
                };
                return self.fail(
                    Diagnostic::error(
                        Code::new(302),
                        format!(
                            "`{name}` is `{}` and continues as `{}`",
                            was.dtype, is.dtype
                        ),
                    )
                    .at(place, format!("the next value is `{}`", is.dtype))
                    .also(state.name.span, "declared here")
                    .help(format!(
                        "declare `state {name}: {}[…]`, or convert the next value with `{wanted}`",
                        is.dtype
                    )),
                );
            }
            let more: Vec<AxisId> = is.without(&was.axes);
            for axis in &more {
                if !env.lifted.contains(axis) && self.is_known(env, *axis) {
                    let axis = self.b.axes.show_axis(*axis);
                    let (was, is) = (self.b.axes.show(&was), self.b.axes.show(&is));
                    return self.fail(
                        Diagnostic::error(
                            Code::new(403),
                            format!("`{name}` is `{was}` and its next value `{is}`"),
                        )
                        .at(
                            super::mentioned::next_place(&stmts, name).unwrap_or(state.name.span),
                            format!("this is `{is}`"),
                        )
                        .also(state.name.span, "declared here")
                        .help(format!("declare `{axis}` with the state, or sum it away")),
                    );
                }
            }
            let tensor = self.cast(tensor, was.dtype, state.name.span)?;
            next.push(self.expand_to(tensor, &was.axes, state.name.span)?);
            extra.push(more);
        }
        Ok(Walk {
            next,
            locals: inner.locals,
            indices: inner.indices,
            extra,
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "everything that one loop is made of"
    )]
    fn close(
        &mut self,
        env: &mut Env,
        axis: AxisId,
        reverse: bool,
        states: &[&ast::StateDecl],
        starts: &[Tensor],
        walk: Walk,
        used: &BTreeSet<String>,
        span: Span,
    ) -> Eval<()> {
        let level = self.frames.len();
        let names: Vec<&String> = states.iter().map(|state| &state.name.text).collect();
        // What is used after the loop is stacked along the axis.
        let mut outputs: Vec<(String, Tensor)> = Vec::new();
        for (name, next) in names.iter().zip(&walk.next) {
            let primed = format!("{name}'");
            if used.contains(&primed) || self.is_kept(env, &primed) {
                outputs.push((primed, *next));
            }
        }
        let mut after: Vec<(String, Value)> = Vec::new();
        for (name, value) in &walk.locals {
            if names.contains(&name) || name.ends_with("$state") {
                continue;
            }
            match value {
                Value::Tensor(tensor) if tensor.level == level => {
                    if used.contains(name) || self.is_kept(env, name) {
                        outputs.push((name.clone(), *tensor));
                    }
                }
                Value::Tuple(_) | Value::Record(_) | Value::List(_) if used.contains(name) => {
                    let mut parts = Vec::new();
                    inner_tensors(value, level, &mut parts);
                    for (index, tensor) in parts.iter().enumerate() {
                        outputs.push((format!("{name}${index}"), *tensor));
                    }
                    after.push((name.clone(), value.clone()));
                }
                value => after.push((name.clone(), value.clone())),
            }
        }
        let mut results: Vec<ValueId> = Vec::new();
        for tensor in walk
            .next
            .iter()
            .chain(outputs.iter().map(|(_, tensor)| tensor))
        {
            results.push(self.import(*tensor, level));
        }
        let mut made = self
            .close_loop((axis, reverse), starts, results, span)?
            .into_iter();
        for name in names {
            let last = Value::Tensor(made.next().ok_or(Reported)?);
            if let Some(path) = env.path_of(name) {
                self.name_value(&path, &last);
            }
            env.locals.insert(name.clone(), last);
        }
        let stacked: BTreeMap<Tensor, Tensor> =
            outputs.iter().map(|(_, inner)| *inner).zip(made).collect();
        for (name, inner) in &outputs {
            let Some(outer) = stacked.get(inner).copied() else {
                return Err(Reported);
            };
            if name.contains('$') {
                continue;
            }
            let value = Value::Tensor(outer);
            if let Some(path) = env.path_of(name) {
                self.name_value(&path, &value);
            }
            env.locals.insert(name.clone(), value);
        }
        for (name, value) in after {
            let value = self.map_tensors(value, &mut |_, tensor| {
                Ok(stacked.get(&tensor).copied().unwrap_or(tensor))
            })?;
            env.locals.insert(name, value);
        }
        env.indices = walk.indices;
        Ok(())
    }

    /// Closes the innermost loop and gives the results of its node: the last carried values,
    /// then what is stacked. The first parameters of the region are the carried values.
    pub(crate) fn close_loop(
        &mut self,
        (axis, reverse): (AxisId, bool),
        starts: &[Tensor],
        results: Vec<ValueId>,
        span: Span,
    ) -> Eval<Vec<Tensor>> {
        let level = self.frames.len();
        let frame = self.frames.pop().unwrap_or_default();
        let taken = || frame.sequences.iter().chain(&frame.invariants);
        let carried = &self.b.region_at(level).params()[..starts.len()];
        let order = carried.iter().copied();
        let order: Vec<ValueId> = order.chain(taken().map(|(_, inner)| *inner)).collect();
        self.b.order_parameters(&order);
        let body = self.b.close_region(results);
        let level = level - 1;
        let mut operands: Vec<ValueId> = Vec::new();
        for start in starts {
            operands.push(self.import(*start, level));
        }
        operands.extend(taken().map(|(outer, _)| *outer));
        self.b.set_level(level);
        let recurrence = Recurrence {
            axis,
            reverse,
            carried: starts.len(),
            sequences: frame.sequences.len(),
            body,
        };
        self.mark(span);
        match self.b.node(Op::Recurrence(Box::new(recurrence)), &operands) {
            Ok(made) => Ok(made.into_iter().map(|id| Tensor { level, id }).collect()),
            Err(error) => self.op_error(&error, span),
        }
    }

    /// Whether somebody outside asks for the value of this name.
    fn is_kept(&self, env: &Env, name: &str) -> bool {
        env.path_of(name)
            .is_some_and(|path| self.request.keep_all || self.request.keep.contains(&path))
    }
}

fn inner_tensors(value: &Value, level: usize, found: &mut Vec<Tensor>) {
    match value {
        Value::Tensor(tensor) if tensor.level == level => found.push(*tensor),
        Value::Tuple(parts) | Value::List(parts) => {
            for part in parts {
                inner_tensors(part, level, found);
            }
        }
        Value::Record(fields) => fields
            .iter()
            .for_each(|(_, part)| inner_tensors(part, level, found)),
        _ => {}
    }
}
