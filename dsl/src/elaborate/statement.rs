//! What a statement does: equations and their left sides, returns, static loops and
//! choices, next values of states.

use std::collections::BTreeSet;

use girih_graph::{AxisId, Binary, DType, Op};

use super::index::children;
use super::scope::Env;
use super::value::{Eval, InstanceId, Reported, Tensor, Value};
use super::{Elaborator, LIMIT};
use crate::ast::{self, Expr, ExprKind, Place, Stmt, StmtKind};
use crate::diag::{Code, Diagnostic};
use crate::span::Span;

impl Elaborator<'_> {
    /// Runs a body and gives what it returns.
    pub(crate) fn run_body(&mut self, env: &mut Env, body: &ast::Block, name: Span) -> Eval<Value> {
        let tail = BTreeSet::new();
        match self.run_block(env, &body.stmts, &tail)? {
            Some(value) => Ok(value),
            // A method that only writes states returns nothing.
            None if env.instance.is_some() && !env.next.is_empty() => Ok(Value::None),
            None => self.error_help(
                404,
                name,
                "the body returns nothing",
                "a value is expected",
                "end it with `return …`",
            ),
        }
    }

    /// Runs statements. One that is wrong does not hide the mistakes of the others: what it
    /// would have defined is marked. `tail` holds the names that are used afterwards.
    pub(crate) fn run_block(
        &mut self,
        env: &mut Env,
        stmts: &[Stmt],
        tail: &BTreeSet<String>,
    ) -> Eval<Option<Value>> {
        let mut broken = false;
        for (position, stmt) in stmts.iter().enumerate() {
            match self.run_stmt(env, stmt, &stmts[position + 1..], tail) {
                Ok(Some(value)) if !broken => return Ok(Some(value)),
                Ok(_) => {}
                Err(Reported) => {
                    broken = true;
                    let mut names = Vec::new();
                    defined_names(&stmt.kind, &mut names);
                    for name in names {
                        env.locals.insert(name, Value::Poison);
                    }
                    if let StmtKind::Bind { places, .. } = &stmt.kind {
                        self.poison_indices(env, places)?;
                    }
                }
            }
        }
        if broken { Err(Reported) } else { Ok(None) }
    }

    /// Index variables that a broken equation would have bound are not reported as unknown later.
    fn poison_indices(&mut self, env: &mut Env, places: &[Place]) -> Eval<()> {
        for index in places
            .iter()
            .filter_map(|place| place.indices.as_ref())
            .flatten()
        {
            if let ast::Index::At(expr) = index
                && let ExprKind::Name(name) = &expr.kind
                && self.lookup(env, name, expr.span)?.is_none()
            {
                env.locals.insert(name.clone(), Value::Poison);
            }
        }
        Ok(())
    }

    fn run_stmt(
        &mut self,
        env: &mut Env,
        stmt: &Stmt,
        following: &[Stmt],
        tail: &BTreeSet<String>,
    ) -> Eval<Option<Value>> {
        self.check_attributes(&stmt.attributes)?;
        match &stmt.kind {
            StmtKind::Return(expr) => {
                let mut inner = env.clone();
                let value = self.equation(&mut inner, expr);
                env.indices = inner.indices;
                value.map(Some)
            }
            StmtKind::Bind { places, value } => {
                self.bind(env, places, value, stmt.span)?;
                Ok(None)
            }
            StmtKind::Recurrence {
                over,
                reverse,
                body,
            } => {
                let mut used = tail.clone();
                for stmt in following {
                    stmt_names(stmt, &mut used);
                }
                self.run_recurrence(env, over, *reverse, body, &used, stmt.span)?;
                Ok(None)
            }
            StmtKind::For { var, over, body } => {
                let mut used = tail.clone();
                for stmt in following.iter().chain(&body.stmts) {
                    stmt_names(stmt, &mut used);
                }
                self.run_for(env, var, over, body, &used)
            }
            StmtKind::If { cond, then, other } => {
                let mut used = tail.clone();
                for stmt in following {
                    stmt_names(stmt, &mut used);
                }
                match self.eval(env, cond)? {
                    Value::Bool(true) => self.run_block(env, &then.stmts, &used),
                    Value::Bool(false) => match other {
                        Some(block) => self.run_block(env, &block.stmts, &used),
                        None => Ok(None),
                    },
                    Value::Poison => Err(Reported),
                    other => self.error_help(
                        405,
                        cond.span,
                        format!(
                            "the condition is {}, known only when the model runs",
                            other.kind()
                        ),
                        "a statement is chosen when the model is built",
                        "choose values instead: `y = if c then a else b`",
                    ),
                }
            }
            StmtKind::State(state) => self.error_help(
                405,
                state.name.span,
                "a `state` stands in a recurrence or in a module",
                "not in a body",
                "put it into `recurrence over t { … }`",
            ),
            StmtKind::While { cond, .. } => self.error_help(
                405,
                cond.span,
                "`while` stands in procedures only",
                "a model has no loop of unknown length",
                "use `for`, or `recurrence over k { … }`",
            ),
            StmtKind::Emit(expr) => self.error(
                405,
                expr.span,
                "`emit` stands in procedures only",
                "a model returns its results",
            ),
            StmtKind::Do(expr) => {
                let mut inner = env.clone();
                match self.eval(&mut inner, expr)? {
                    // A call for its effect: `mem.write(x)`.
                    Value::None => Ok(None),
                    _ => self.error_help(
                        405,
                        expr.span,
                        "the value of this line is lost",
                        "nothing receives it",
                        "give it a name: `y = …`, or `return` it",
                    ),
                }
            }
        }
    }

    fn check_attributes(&mut self, attributes: &[ast::Attribute]) -> Eval<()> {
        const KNOWN: &[&str] = &["require", "algorithm", "checkpoint", "storage"];
        for attribute in attributes {
            if !KNOWN.contains(&attribute.name.text.as_str()) {
                let known: Vec<String> = KNOWN.iter().map(|name| format!("`@{name}`")).collect();
                return self.error_help(
                    203,
                    attribute.name.span,
                    format!("`@{}` is no attribute", attribute.name.text),
                    "not known",
                    format!("attributes are {}", known.join(", ")),
                );
            }
        }
        Ok(())
    }

    /// Evaluates the right side of an equation: index variables are bound first.
    pub(crate) fn equation(&mut self, env: &mut Env, expr: &Expr) -> Eval<Value> {
        self.bind_indices(env, expr)?;
        self.eval(env, expr)
    }

    fn bind(&mut self, env: &mut Env, places: &[Place], expr: &Expr, span: Span) -> Eval<()> {
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
        if let Some(path) = &env.path {
            let name = format!("{}.{index}", place.name.text);
            let path = if path.is_empty() {
                name
            } else {
                format!("{path}.{name}")
            };
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
        if let Some(path) = &env.path {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            self.name_value(&path, &value);
        }
        env.locals.insert(name.clone(), value);
        Ok(())
    }
    fn has_axis_called(&self, tensor: Tensor, name: &str) -> bool {
        let axes = &self.ty(tensor).axes;
        axes.iter().any(|axis| {
            // An axis that came with a value from elsewhere is known by its own name.
            self.b.axes.name(*axis).split('.').next() == Some(name)
        })
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

    fn run_for(
        &mut self,
        env: &mut Env,
        var: &ast::Name,
        over: &Expr,
        body: &ast::Block,
        tail: &BTreeSet<String>,
    ) -> Eval<Option<Value>> {
        let elements: Vec<Value> = match self.eval(env, over)? {
            Value::Stack(instances) => instances.iter().map(|own| Value::Instance(*own)).collect(),
            Value::Experts(_, instances) => {
                instances.iter().map(|own| Value::Instance(*own)).collect()
            }
            Value::List(parts) | Value::Tuple(parts) => parts,
            Value::Int(extent) => match extent.as_constant() {
                Some(count) if count as usize <= LIMIT => (0..count)
                    .map(|turn| Value::Int(girih_graph::Extent::constant(turn)))
                    .collect(),
                Some(count) => {
                    return self.error(
                        307,
                        over.span,
                        format!("{count} turns are too many"),
                        format!("at most {LIMIT}"),
                    );
                }
                None => {
                    return self.error_help(
                        309,
                        over.span,
                        format!(
                            "`{extent}` turns: the count has to be known before the model runs"
                        ),
                        "a `for` is unrolled",
                        "walk an axis with `recurrence over t { … }`",
                    );
                }
            },
            Value::Axes(_) => {
                return self.error_help(
                    405,
                    over.span,
                    "a `for` counts or walks a list",
                    "this is an axis",
                    "walk an axis with `recurrence over t { … }`, or count: `for i in size(t)`",
                );
            }
            Value::Poison => return Err(Reported),
            other => {
                return self.error(
                    405,
                    over.span,
                    format!("a `for` counts or walks a list, not {}", other.kind()),
                    format!("this is {}", other.kind()),
                );
            }
        };
        let before = env.locals.get(&var.text).cloned();
        for element in elements {
            self.spend(over.span, 1)?;
            env.locals.insert(var.text.clone(), element);
            if let Some(value) = self.run_block(env, &body.stmts, tail)? {
                return Ok(Some(value));
            }
        }
        match before {
            Some(value) => env.locals.insert(var.text.clone(), value),
            None => env.locals.remove(&var.text),
        };
        Ok(None)
    }

    /// The next values of an instance's own states take effect after the call.
    pub(crate) fn commit_states(
        &mut self,
        env: &mut Env,
        instance: InstanceId,
        method: &ast::Method,
    ) -> Eval<()> {
        let next: Vec<(String, Tensor)> = env
            .next
            .iter()
            .map(|(name, next)| (name.clone(), *next))
            .collect();
        for (name, next) in next {
            let span = method.name.span;
            let old = self.state_value(instance, &name, &env.lifted, span)?;
            let mut next = next;
            if let Some(when) = &method.when {
                let value = self.eval(env, when)?;
                let condition = self.tensor(value, DType::Bool, when.span)?;
                self.require_truth(condition, when.span)?;
                next = self.op(Op::Select, &[condition, next, old], when.span)?;
            }
            let wanted = self.ty(old).axes.clone();
            let extra: Vec<AxisId> = self.ty(next).without(&wanted);
            if let Some(axis) = extra.first() {
                let axis = self.b.axes.show_axis(*axis);
                let place = next_place(&method.body.stmts, &name).unwrap_or(span);
                return self.error_help(
                    403,
                    place,
                    format!("the next value of `{name}` has the axis `{axis}`, the state has not"),
                    format!("`{name}` is `{}`", self.b.axes.show(self.ty(old))),
                    "reduce it, or declare it with the state",
                );
            }
            let next = self.expand_to(next, &wanted, span)?;
            let path = &self.instances[instance.0].path;
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            // A later call in the same run reads what this one wrote.
            self.states.insert(path.clone(), next);
            self.updates.insert(path, next);
        }
        Ok(())
    }
}

/// Where the body sets the next value of a state.
pub(crate) fn next_place(stmts: &[Stmt], name: &str) -> Option<Span> {
    stmts.iter().find_map(|stmt| match &stmt.kind {
        StmtKind::Bind { places, .. } => (places.iter())
            .find(|place| place.next && place.name.text == name)
            .map(|place| place.span),
        StmtKind::Recurrence { body, .. } | StmtKind::For { body, .. } => {
            next_place(&body.stmts, name)
        }
        StmtKind::If { then, other, .. } => {
            next_place(&then.stmts, name).or_else(|| next_place(&other.as_ref()?.stmts, name))
        }
        _ => None,
    })
}

/// Names that a statement defines.
pub(crate) fn defined_names(kind: &StmtKind, names: &mut Vec<String>) {
    match kind {
        StmtKind::Bind { places, .. } => names.extend(places.iter().map(|place| {
            if place.next {
                format!("{}'", place.name.text)
            } else {
                place.name.text.clone()
            }
        })),
        StmtKind::Recurrence { body, .. }
        | StmtKind::For { body, .. }
        | StmtKind::While { body, .. } => {
            for stmt in &body.stmts {
                defined_names(&stmt.kind, names);
            }
        }
        StmtKind::If { then, other, .. } => {
            for stmt in then
                .stmts
                .iter()
                .chain(other.iter().flat_map(|block| &block.stmts))
            {
                defined_names(&stmt.kind, names);
            }
        }
        StmtKind::State(state) => {
            names.extend([state.name.text.clone(), format!("{}'", state.name.text)]);
        }
        StmtKind::Return(_) | StmtKind::Emit(_) | StmtKind::Do(_) => {}
    }
}

/// Names that a statement mentions; `S'` as `S'`.
pub(crate) fn stmt_names(stmt: &Stmt, names: &mut BTreeSet<String>) {
    match &stmt.kind {
        StmtKind::Bind { places, value } => {
            expr_names(value, names);
            for place in places {
                names.insert(place.name.text.clone());
                for index in place.indices.iter().flatten() {
                    if let ast::Index::Bind(_, expr) | ast::Index::At(expr) = index {
                        expr_names(expr, names);
                    }
                }
            }
        }
        StmtKind::Return(expr) | StmtKind::Emit(expr) | StmtKind::Do(expr) => {
            expr_names(expr, names);
        }
        StmtKind::State(state) => expr_names(&state.init, names),
        StmtKind::Recurrence { body, .. } => {
            body.stmts.iter().for_each(|stmt| stmt_names(stmt, names));
        }
        StmtKind::For { over, body, .. } => {
            expr_names(over, names);
            body.stmts.iter().for_each(|stmt| stmt_names(stmt, names));
        }
        StmtKind::While { cond, limit, body } => {
            expr_names(cond, names);
            expr_names(limit, names);
            body.stmts.iter().for_each(|stmt| stmt_names(stmt, names));
        }
        StmtKind::If { cond, then, other } => {
            expr_names(cond, names);
            let blocks = std::iter::once(then).chain(other);
            blocks
                .flat_map(|block| &block.stmts)
                .for_each(|stmt| stmt_names(stmt, names));
        }
    }
}

/// Names that an expression mentions.
pub(crate) fn expr_names(expr: &Expr, names: &mut BTreeSet<String>) {
    match &expr.kind {
        ExprKind::Name(name) => {
            names.insert(name.clone());
        }
        ExprKind::Next(name) => {
            names.insert(format!("{name}'"));
        }
        _ => children(expr)
            .into_iter()
            .for_each(|part| expr_names(part, names)),
    }
}
