//! What does the left side of an equation do with the value?
//!
//! It lists the axes of the result, adds an element to a list, replaces a row of a state, or
//! just gives a name.

use girih_graph::{AxisId, Binary, DType, Op};

use super::scope::Env;
use super::value::{Eval, Reported, Tensor, Value};
use super::{Elaborator, LIMIT};
use crate::ast::{self, Expr, ExprKind, Place};
use crate::diag::{Code, Diagnostic};
use crate::span::Span;

impl Elaborator<'_> {
    pub(crate) fn bind(
        &mut self,
        env: &mut Env,
        places: &[Place],
        expr: &Expr,
        span: Span,
    ) -> Eval<()> {
        if let [place] = places {
            return self.bind_one(env, place, expr);
        }
        // What `_` receives is not looked at.
        let names = places.iter().map(|place| &place.name);
        self.all_distinct(names.filter(|name| name.text != "_"), "the name")?;
        let value = self.equation(env, expr)?;
        let parts: Vec<Value> = match value {
            Value::Tuple(parts) | Value::List(parts) => parts,
            Value::Record(fields) => fields.into_iter().map(|(_, value)| value).collect(),
            Value::Poison => return Err(Reported),
            other => {
                return self.error_help(
                    303,
                    expr.span,
                    format!("{} names need as many values", places.len()),
                    format!("this is {}", other.kind()),
                    "take the positions of an axis apart with `unstack(x, z)`",
                );
            }
        };
        if parts.len() != places.len() {
            return self.error(
                303,
                span,
                format!("{} names, but {} values", places.len(), parts.len()),
                "they must be as many",
            );
        }
        for (place, value) in places.iter().zip(parts) {
            let value = match &place.indices {
                None => value,
                Some(indices) => self.check_left(env, place, indices, value)?,
            };
            self.define(env, place, value)?;
        }
        Ok(())
    }

    fn bind_one(&mut self, env: &mut Env, place: &Place, expr: &Expr) -> Eval<()> {
        let Some(indices) = &place.indices else {
            let value = self.equation(env, expr)?;
            return self.define(env, place, value);
        };
        if let [ast::Index::At(position)] = indices.as_slice()
            && self.is_position(env, position)?
        {
            return self.bind_element(env, place, position, expr);
        }
        if place.next
            && indices
                .iter()
                .any(|index| matches!(index, ast::Index::Bind(..)))
        {
            return self.bind_row(env, place, indices, expr);
        }
        env.listed = true;
        let value = self.equation(env, expr);
        env.listed = false;
        let value = self.check_left(env, place, indices, value?)?;
        self.define(env, place, value)
    }

    /// Whether the only index on a left side is a static number rather than an axis.
    fn is_position(&mut self, env: &mut Env, expr: &Expr) -> Eval<bool> {
        Ok(match &expr.kind {
            ExprKind::Int(_) | ExprKind::Binary(..) => true,
            ExprKind::Name(name) => {
                matches!(self.lookup(env, name, expr.span)?, Some(Value::Int(_)))
            }
            _ => false,
        })
    }

    /// `hidden[i + 1] = x`: the next element of a list.
    fn bind_element(
        &mut self,
        env: &mut Env,
        place: &Place,
        position: &Expr,
        expr: &Expr,
    ) -> Eval<()> {
        let at = self.eval_constant(env, position)?;
        let value = self.equation(env, expr)?;
        let mut parts = match env.locals.remove(&place.name.text) {
            Some(Value::List(parts)) => parts,
            None => Vec::new(),
            Some(other) => {
                return self.error(
                    303,
                    place.span,
                    format!("`{}` is {}, not a list", place.name.text, other.kind()),
                    "only lists have elements",
                );
            }
        };
        let index = usize::try_from(at).unwrap_or(usize::MAX);
        if index > parts.len() || index >= LIMIT {
            return self.error_help(
                307,
                position.span,
                format!("element {at} of a list of {}", parts.len()),
                "elements are added one after another",
                format!("the next one is {}", parts.len()),
            );
        }
        if index == parts.len() {
            parts.push(value.clone());
        } else {
            parts[index] = value.clone();
        }
        env.locals
            .insert(place.name.text.clone(), Value::List(parts));
        if let Some(path) = env.path_of(&format!("{}.{index}", place.name.text)) {
            self.name_value(&path, &value);
        }
        Ok(())
    }

    /// `key'[slots = s] = x`: the old value with some positions replaced.
    fn bind_row(
        &mut self,
        env: &mut Env,
        place: &Place,
        indices: &[ast::Index],
        expr: &Expr,
    ) -> Eval<()> {
        let name = &place.name.text;
        let old = match env.next.get(name) {
            Some(next) => *next,
            None => match self.eval(
                env,
                &Expr {
                    kind: ExprKind::Name(name.clone()),
                    span: place.span,
                },
            )? {
                Value::Tensor(tensor) => tensor,
                other => {
                    return self.error(
                        402,
                        place.span,
                        format!("`{name}` is {}", other.kind()),
                        "not a state",
                    );
                }
            },
        };
        let mut chosen: Option<Tensor> = None;
        for index in indices {
            let ast::Index::Bind(axis_name, position) = index else {
                continue;
            };
            let axis = self.axis_of(env, old, &axis_name.text, axis_name.span)?;
            let value = self.eval(env, position)?;
            let positions = self.tensor(value, DType::I64, position.span)?;
            let index = self.op(Op::Index(axis), &[], axis_name.span)?;
            let positions = self.cast(positions, DType::I64, position.span)?;
            let here = self.op(Op::Binary(Binary::Eq), &[index, positions], position.span)?;
            chosen = Some(match chosen {
                None => here,
                Some(chosen) => self.op(Op::Binary(Binary::And), &[chosen, here], position.span)?,
            });
        }
        let Some(chosen) = chosen else {
            return Err(Reported);
        };
        let value = self.equation(env, expr)?;
        let dtype = self.ty(old).dtype;
        let value = self.tensor(value, dtype, expr.span)?;
        let next = self.op(Op::Select, &[chosen, value, old], place.span)?;
        env.next.insert(name.clone(), next);
        Ok(())
    }

    /// Gives a name its value.
    fn define(&mut self, env: &mut Env, place: &Place, value: Value) -> Eval<()> {
        let name = &place.name.text;
        if place.next {
            let is_state = env.locals.contains_key(&format!("{name}$state"))
                || env
                    .instance
                    .is_some_and(|instance| self.instances[instance.0].states.contains_key(name));
            if !is_state {
                return self.error_help(
                    402,
                    place.span,
                    format!("`{name}` is no state"),
                    "only states have a next value",
                    format!("declare it: `state {name}: f32[…] = 0`"),
                );
            }
            let tensor = self.tensor(value, DType::F32, place.span)?;
            env.next.insert(name.clone(), tensor);
            return Ok(());
        }
        if env.locals.contains_key(&format!("{name}$state")) {
            return self.error_help(
                402,
                place.span,
                format!("`{name}` is a state, its value of this step is given"),
                "a state cannot be overwritten",
                format!("set the next value: `{name}' = …`"),
            );
        }
        if let Some(path) = env.path_of(name) {
            self.name_value(&path, &value);
        }
        env.locals.insert(name.clone(), value);
        Ok(())
    }

    /// The axes on the left are those of the value.
    fn check_left(
        &mut self,
        env: &mut Env,
        place: &Place,
        indices: &[ast::Index],
        value: Value,
    ) -> Eval<Value> {
        let mut tensor = match value {
            Value::Poison => return Err(Reported),
            value => self.tensor(value, DType::F32, place.span)?,
        };
        let mut listed: Vec<AxisId> = Vec::new();
        for index in indices {
            match index {
                ast::Index::At(expr) => {
                    let ExprKind::Name(name) = &expr.kind else {
                        return self.error_help(
                            306,
                            expr.span,
                            "the left side lists axes",
                            "not the name of an axis",
                            "several axes as one are written `[c = (h, e)]` with a declared axis `c`",
                        );
                    };
                    let axis = match self.axis_named(env, name, expr.span)? {
                        Some(axis) => axis,
                        None if !self.has_axis_called(tensor, name) => {
                            let shown = self.b.axes.show(self.ty(tensor));
                            return self.error_help(
                                304,
                                expr.span,
                                format!("the right side has no axis `{name}`, and nothing declares one"),
                                format!("the right side is `{shown}`"),
                                format!("declare `axis {name} = …` to repeat the value along it, or leave it out"),
                            );
                        }
                        None => self.axis_of(env, tensor, name, expr.span)?,
                    };
                    if listed.contains(&axis) {
                        return self.error_help(
                            305,
                            expr.span,
                            format!("the left side lists the axis `{name}` twice"),
                            "axes of one tensor are distinct",
                            "list it once",
                        );
                    }
                    listed.push(axis);
                }
                ast::Index::Bind(name, parts) => {
                    let Some(axis) = self.axis_named(env, &name.text, name.span)? else {
                        return self.unknown(env, &name.text, name.span, "the axis");
                    };
                    let axes = self.eval_axes(env, parts)?;
                    let mut flat = Vec::new();
                    self.flat_axes(&axes, parts.span, &mut flat)?;
                    tensor = if let [only] = flat.as_slice() {
                        self.op(Op::Rename(vec![(*only, axis)]), &[tensor], parts.span)?
                    } else {
                        self.op(Op::Merge(flat, axis), &[tensor], parts.span)?
                    };
                    listed.push(axis);
                }
                ast::Index::All(span) => {
                    return self.error(306, *span, "the left side lists axes", "`*` is none");
                }
            }
        }
        let found = self.ty(tensor).axes.clone();
        for axis in &found {
            let walked = self.frames.iter().any(|frame| frame.axis == Some(*axis));
            if !listed.contains(axis)
                && !walked
                && !env.lifted.contains(axis)
                && self.is_known(env, *axis)
            {
                let name = self.b.axes.name(*axis).to_owned();
                let shown = self.b.axes.show(self.ty(tensor));
                return self.fail(
                    Diagnostic::error(
                        Code::new(305),
                        format!("axis `{name}` is free on the right and missing on the left"),
                    )
                    .at(place.span, format!("the right side is `{shown}`"))
                    .help(format!(
                        "list it: `{}[…, {name}]`, or sum it away: `sum({name}) …`",
                        place.name.text
                    )),
                );
            }
        }
        let tensor = self.expand_to(tensor, &listed, place.span)?;
        Ok(Value::Tensor(tensor))
    }

    fn has_axis_called(&self, tensor: Tensor, name: &str) -> bool {
        let axes = &self.ty(tensor).axes;
        axes.iter().any(|axis| {
            // An axis that came with a value from elsewhere is known by its own name.
            self.b.axes.name(*axis).split('.').next() == Some(name)
        })
    }
}
