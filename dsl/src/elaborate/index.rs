//! Which elements does `x[t = …]` read?
//!
//! An index that is a sum of index variables with static factors is affine: it renames,
//! shifts, strides, flips or splits an axis, and is proved in range from the extents and the
//! surrounding `where`. Any other integer expression gathers, checked when the model runs.

use std::collections::BTreeMap;

use girih_graph::{AxisId, Extent, Op, Outside};

use super::Elaborator;
use super::affine::Affine;
use super::scope::Env;
use super::value::{Axes, Eval, Reported, Tensor, Value};
use crate::ast::{self, Expr, ExprKind};
use crate::diag::{Code, Diagnostic};
use crate::span::Span;

/// What an index expression is.
enum Form {
    Affine(Affine),
    Positions(Tensor),
}

impl Elaborator<'_> {
    /// The axis of a tensor that `name` means.
    pub(crate) fn axis_of(
        &mut self,
        env: &Env,
        tensor: Tensor,
        name: &str,
        span: Span,
    ) -> Eval<AxisId> {
        if let Some(axis) = self.axis_named(env, name, span)?
            && self.ty(tensor).has(axis)
        {
            return Ok(axis);
        }
        // An axis that came with a value from elsewhere is known by its own name.
        let base = |axis: &AxisId| {
            let full = self.b.axes.name(*axis);
            full.split_once('.').map_or(full, |(base, _)| base) == name
        };
        let found: Vec<AxisId> = (self.ty(tensor).axes.iter().copied())
            .filter(|axis| base(axis) && !env.lifted.contains(axis))
            .collect();
        if let [axis] = found.as_slice() {
            return Ok(*axis);
        }
        let shown = self.b.axes.show(self.ty(tensor));
        let names: Vec<&str> = self
            .ty(tensor)
            .axes
            .iter()
            .map(|axis| self.b.axes.name(*axis))
            .collect();
        let nearest = super::scope::nearest(name, names.iter().copied());
        let mut diagnostic =
            Diagnostic::error(Code::new(304), format!("the value has no axis `{name}`"))
                .at(span, format!("it is `{shown}`"));
        if let Some(nearest) = nearest {
            diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
        }
        self.fail(diagnostic)
    }

    /// Reads a tensor at indices.
    pub(crate) fn index_tensor(
        &mut self,
        env: &mut Env,
        tensor: Tensor,
        items: &[ast::Index],
        span: Span,
    ) -> Eval<Tensor> {
        let mut plain: Vec<(AxisId, AxisId, Span)> = Vec::new();
        let mut others: Vec<(AxisId, Form, Span)> = Vec::new();
        let mut splits: Vec<(AxisId, Vec<AxisId>, Span)> = Vec::new();
        for item in items {
            let (name, expr) = match item {
                ast::Index::Bind(name, expr) => (name, expr),
                ast::Index::At(expr) => return self.positional(tensor, expr),
                ast::Index::All(place) => {
                    return self.error(103, *place, "`*` stands in probes only", "not an index");
                }
            };
            let axis = self.axis_of(env, tensor, &name.text, name.span)?;
            if let ExprKind::Tuple(parts) = &expr.kind {
                let mut flat = Vec::new();
                for part in parts {
                    flat.push(self.eval_axis(env, part)?);
                }
                splits.push((axis, flat, expr.span));
                continue;
            }
            let form = self.index_form(env, expr)?;
            if let Form::Affine(form) = &form
                && let Some((target, factor)) = form.terms.first_key_value()
                && form.terms.len() == 1
                && factor.as_constant() == Some(1)
                && form.constant.as_constant() == Some(0)
            {
                if self.b.axes.extent(*target) == self.b.axes.extent(axis) {
                    plain.push((axis, *target, expr.span));
                    continue;
                }
                self.mend_extent(axis, *target, env, form, name.span, expr.span)?;
            }
            others.push((axis, form, expr.span));
        }
        let mut result = self.rename_plain(tensor, &plain, &mut others, span)?;
        for (axis, into, place) in splits {
            result = self.op(Op::Split(axis, into), &[result], place)?;
        }
        for (axis, form, place) in others {
            result = self.read(env, result, axis, form, place)?;
        }
        Ok(result)
    }

    /// `x[t = j]` where the sizes differ and nothing says that the read stays inside.
    fn mend_extent(
        &mut self,
        axis: AxisId,
        target: AxisId,
        env: &Env,
        form: &Affine,
        name_span: Span,
        span: Span,
    ) -> Eval<()> {
        let last = self.b.axes.extent(axis).minus(&Extent::constant(1));
        let room = Affine::constant(last).plus(form, -1);
        if self.is_nonnegative(env, &room) || self.check_at_entry(axis, &room) {
            return Ok(());
        }
        let (from, to) = (self.b.axes.show_axis(axis), self.b.axes.show_axis(target));
        let (from_size, to_size) = (
            self.b.axes.extent(axis).clone(),
            self.b.axes.extent(target).clone(),
        );
        self.fail(
            Diagnostic::error(
                Code::new(301),
                format!(
                    "axis `{}` is {from_size}, the index `{}` runs to {to_size}",
                    self.b.axes.name(axis),
                    self.b.axes.name(target)
                ),
            )
            .at(span, format!("this is `{to}`"))
            .also(name_span, format!("this is `{from}`"))
            .help(format!(
                "bind an index of the same size, or say where the read is inside: `… where {} < size({})`",
                self.b.axes.name(target),
                self.b.axes.name(axis)
            )),
        )
    }

    /// Where sizes decide whether reads end inside an axis, they are checked when they are known.
    /// `room` is the last position minus the one that is read. False if it can never be enough.
    fn check_at_entry(&mut self, axis: AxisId, room: &Affine) -> bool {
        let Some(room) = self.least(room) else {
            return false;
        };
        if Extent::constant(-1).minus(&room).is_at_least(0) {
            return false;
        }
        let size = self.b.axes.extent(axis).clone();
        let needed = size.minus(&room);
        let name = self.b.axes.name(axis);
        let reason = format!("axis `{name}` has {size} positions, {needed} are read");
        self.b.check_equal(&needed.minimum(&size), &needed, &reason);
        true
    }

    fn positional<T>(&mut self, tensor: Tensor, expr: &Expr) -> Eval<T> {
        let shown = self.b.axes.show(self.ty(tensor));
        let first = self
            .ty(tensor)
            .axes
            .first()
            .map(|axis| self.b.axes.name(*axis).to_owned());
        let name = first.unwrap_or_else(|| "t".to_owned());
        self.error_help(
            306,
            expr.span,
            "an index names its axis",
            format!("the value is `{shown}`"),
            format!("write `[{name} = …]`: axes have names, not positions"),
        )
    }

    fn index_form(&mut self, env: &mut Env, expr: &Expr) -> Eval<Form> {
        if let Some(form) = self.affine(env, expr)? {
            return Ok(Form::Affine(form));
        }
        match self.eval(env, expr)? {
            Value::Tensor(tensor) => {
                let dtype = self.ty(tensor).dtype;
                if !dtype.is_integer() {
                    return self.error_help(
                        302,
                        expr.span,
                        format!("an index is an integer, not `{dtype}`"),
                        "not integers",
                        "convert with `int(x)`",
                    );
                }
                Ok(Form::Positions(tensor))
            }
            Value::Int(extent) => Ok(Form::Affine(Affine::constant(extent))),
            Value::Axes(Axes::One(axis)) => Ok(Form::Affine(Affine {
                terms: BTreeMap::from([(axis, Extent::constant(1))]),
                constant: Extent::constant(0),
            })),
            Value::Poison => Err(Reported),
            other => self.error(
                302,
                expr.span,
                format!("an index is an integer, not {}", other.kind()),
                format!("this is {}", other.kind()),
            ),
        }
    }

    /// Renames at once what can be renamed; a target that stays taken becomes a read along it.
    fn rename_plain(
        &mut self,
        tensor: Tensor,
        plain: &[(AxisId, AxisId, Span)],
        others: &mut Vec<(AxisId, Form, Span)>,
        span: Span,
    ) -> Eval<Tensor> {
        let own = self.ty(tensor).axes.clone();
        let mut pairs: Vec<(AxisId, AxisId)> = Vec::new();
        for (axis, target, place) in plain {
            if axis == target {
                continue;
            }
            let leaves = plain
                .iter()
                .any(|(old, new, _)| old == target && new != target);
            let taken = own.contains(target) && !leaves;
            let again = pairs.iter().any(|(_, new)| new == target);
            if taken || again {
                let positions = self.op(Op::Index(*target), &[], *place)?;
                others.push((*axis, Form::Positions(positions), *place));
            } else {
                pairs.push((*axis, *target));
            }
        }
        if pairs.is_empty() {
            return Ok(tensor);
        }
        self.op(Op::Rename(pairs), &[tensor], span)
    }

    fn read(
        &mut self,
        env: &mut Env,
        tensor: Tensor,
        axis: AxisId,
        form: Form,
        span: Span,
    ) -> Eval<Tensor> {
        let form = match form {
            Form::Affine(form) => form,
            Form::Positions(positions) => {
                let outside = if env.guarded {
                    Outside::Zero
                } else {
                    Outside::Error
                };
                return self.gather(tensor, axis, positions, outside, span);
            }
        };
        let last = self.b.axes.extent(axis).minus(&Extent::constant(1));
        let room = Affine::constant(last).plus(&form, -1);
        let below = !self.is_nonnegative(env, &form);
        let above = !self.is_nonnegative(env, &room) && !self.check_at_entry(axis, &room);
        if below || above {
            return self.out_of_range(axis, &form, below, span);
        }
        let taken = self.ty(tensor).without(&[axis]);
        if form.terms.keys().any(|target| taken.contains(target)) {
            let positions = self.positions(&form, span)?;
            return self.gather(tensor, axis, positions, Outside::Zero, span);
        }
        let op = Op::Window {
            axis,
            into: form.terms.into_iter().collect(),
            offset: form.constant,
        };
        self.op(op, &[tensor], span)
    }

    /// An axis of the positions that the value also has beside the one that is read is aligned; the
    /// axis itself must not be among the positions' axes.
    fn gather(
        &mut self,
        tensor: Tensor,
        axis: AxisId,
        positions: Tensor,
        outside: Outside,
        span: Span,
    ) -> Eval<Tensor> {
        if !self.ty(positions).has(axis) {
            return self.op(Op::Gather { axis, outside }, &[tensor, positions], span);
        }
        let found = self.b.axes[axis].clone();
        let mut taken: std::collections::BTreeSet<AxisId> =
            self.ty(tensor).axes.iter().copied().collect();
        taken.extend(self.ty(positions).axes.iter().copied());
        let read = self.pooled_axis(
            &found.name,
            &found.extent,
            Some(self.b.axes.root(axis)),
            found.time,
            &taken,
        );
        let tensor = self.op(Op::Rename(vec![(axis, read)]), &[tensor], span)?;
        self.op(
            Op::Gather {
                axis: read,
                outside,
            },
            &[tensor, positions],
            span,
        )
    }

    fn positions(&mut self, form: &Affine, span: Span) -> Eval<Tensor> {
        let mut total = self.tensor(
            Value::Int(form.constant.clone()),
            girih_graph::DType::I64,
            span,
        )?;
        for (axis, factor) in &form.terms {
            let index = self.op(Op::Index(*axis), &[], span)?;
            let factor = self.tensor(Value::Int(factor.clone()), girih_graph::DType::I64, span)?;
            let product = self.op(Op::Binary(girih_graph::Binary::Mul), &[index, factor], span)?;
            total = self.op(
                Op::Binary(girih_graph::Binary::Add),
                &[total, product],
                span,
            )?;
        }
        Ok(total)
    }

    fn out_of_range(
        &mut self,
        axis: AxisId,
        form: &Affine,
        below: bool,
        span: Span,
    ) -> Eval<Tensor> {
        let name = self.b.axes.name(axis).to_owned();
        let written = self.show_affine(form);
        if let (Some(at), Some(size)) = (
            form.constant
                .as_constant()
                .filter(|_| form.terms.is_empty()),
            self.b.axes.extent(axis).as_constant(),
        ) {
            return self.error_help(
                310,
                span,
                format!("position {at} lies outside axis `{name}`"),
                format!("`{name}` has size {size}"),
                format!(
                    "positions count from 0; the last one is `[{name} = {}]`",
                    size - 1
                ),
            );
        }
        let (side, condition) = if below {
            ("below 0", format!("{written} >= 0"))
        } else {
            ("past the end", format!("{written} < size({name})"))
        };
        self.fail(
            Diagnostic::error(
                Code::new(310),
                format!("the read of axis `{name}` may lie {side}"),
            )
            .at(span, self.reach(axis, &name))
            .help(format!(
                "say where it is inside: `… where {condition}`; outside, the result is 0"
            )),
        )
    }

    /// How far an axis reaches, for a label.
    fn reach(&self, axis: AxisId, name: &str) -> String {
        match self.b.axes.extent(axis).as_constant() {
            Some(size) => format!("`{name}` has size {size}"),
            None => format!("nothing says that this is a position of `{name}`"),
        }
    }
}

/// The direct parts of an expression.
pub(crate) fn children(expr: &Expr) -> Vec<&Expr> {
    let mut parts: Vec<&Expr> = Vec::new();
    match &expr.kind {
        ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Text(_)
        | ExprKind::Bool(_)
        | ExprKind::Name(_)
        | ExprKind::Next(_) => {}
        ExprKind::Unary(_, inner) => parts.push(inner),
        ExprKind::Binary(_, left, right) | ExprKind::Arrow(left, right) => {
            parts.extend([&**left, &**right]);
        }
        ExprKind::Reduce { args, body, .. } => {
            parts.extend(args.iter().map(|arg| &arg.value));
            parts.push(body);
        }
        ExprKind::Where {
            value,
            domain,
            other,
        } => {
            parts.extend([&**value, &**domain]);
            parts.extend(other.as_deref());
        }
        ExprKind::If { cond, then, other } => parts.extend([&**cond, &**then, &**other]),
        ExprKind::Call { callee, args } => {
            parts.push(callee);
            parts.extend(args.iter().map(|arg| &arg.value));
        }
        ExprKind::Index { base, items } => {
            parts.push(base);
            for item in items {
                if let ast::Index::Bind(_, expr) | ast::Index::At(expr) = item {
                    parts.push(expr);
                }
            }
        }
        ExprKind::Field { base, .. } => parts.push(base),
        ExprKind::Record(fields) => parts.extend(fields.iter().map(|(_, value)| value)),
        ExprKind::Tuple(list) | ExprKind::List(list) => parts.extend(list),
        ExprKind::Route {
            items, settings, ..
        } => {
            parts.push(items);
            parts.extend(settings.iter().flat_map(|setting| &setting.values));
        }
    }
    parts
}
