//! What does each step do?

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::ops::ControlFlow;

use girih_dsl::procedure::{Compute, Constant, Place, Step, StepKind, Type, VariableId};
use girih_dsl::span::Span;
use girih_runtime::backend::{Bindings, BoxError, Data, Done, Executable, Outputs, Params};
use girih_runtime::tensor::Tensor;

use super::given::{static_input, tensor_input};
use super::loaded::Loaded;
use super::value::{declared, line, permuted};
use super::{Around, Ready, Value, Verdict};
use crate::failure::Failure;

/// Whether the steps after one are done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Returned,
}

/// Runs the steps of one procedure once.
pub(super) struct Machine<'m, 'a, 'b> {
    pub(super) ready: &'m Ready<'a>,
    pub(super) around: &'m mut Around<'b>,
    pub(super) values: Vec<Value>,
    /// What has been compiled, by the place of the graph.
    compiled: BTreeMap<usize, (Box<dyn Executable>, Params)>,
    loaded: Loaded,
    /// States of all models, by path.
    states: BTreeMap<String, Data>,
    /// How many graphs have run: random numbers within them depend on it.
    runs: u64,
    /// How many tokens have been drawn.
    pub(super) draws: u64,
    /// What is waited for before anything from outside: events of a test, with their types.
    pub(super) events: VecDeque<(Type, Value)>,
    /// What a test has emitted.
    pub(super) emitted: Vec<String>,
    /// What became of the claims of a test.
    pub(super) verdicts: Vec<Verdict>,
    returned: Option<(Value, Type)>,
}

impl<'m, 'a, 'b> Machine<'m, 'a, 'b> {
    pub(super) fn new(ready: &'m Ready<'a>, around: &'m mut Around<'b>) -> Self {
        Self {
            values: vec![Value::None; ready.procedure.variables.len()],
            ready,
            around,
            compiled: BTreeMap::new(),
            loaded: ready.models.loaded.clone(),
            states: BTreeMap::new(),
            runs: 0,
            draws: 0,
            events: VecDeque::new(),
            emitted: Vec::new(),
            verdicts: Vec::new(),
            returned: None,
        }
    }

    /// Gives inputs their values.
    pub(super) fn enter(&mut self, inputs: &BTreeMap<String, Tensor>) -> Result<(), Failure> {
        let procedure = &self.ready.procedure;
        let known = |name: &str| procedure.inputs.iter().any(|input| input.name == name);
        if let Some(name) = inputs.keys().find(|name| !known(name)) {
            let names: Vec<&str> = procedure
                .inputs
                .iter()
                .map(|own| own.name.as_str())
                .collect();
            return Err(Failure::Misuse(format!(
                "the procedure has no input `{name}`; its inputs are `{}`",
                names.join("`, `")
            )));
        }
        for input in &procedure.inputs {
            let name = &input.name;
            let ty = self.type_of(input.variable);
            let value = match (inputs.get(name), self.ready.given.get(name)) {
                (Some(tensor), _) => tensor_input(name, tensor, ty)?,
                (None, Some(value)) => static_input(name, value, ty)?,
                (None, None) => match &input.default {
                    Some(steps) => {
                        self.all(steps)?;
                        continue;
                    }
                    None => {
                        return Err(Failure::Misuse(format!(
                            "the procedure needs `{name}: {ty}`; give it with `--input FILE` or `--set {name}=…`"
                        )));
                    }
                },
            };
            self.values[input.variable.0] = value;
        }
        Ok(())
    }

    /// Runs steps to their end.
    pub(super) fn all(&mut self, steps: &[Step]) -> Result<(), Failure> {
        self.steps(steps).map(|_| ())
    }

    /// What a variable holds.
    pub(super) fn variable(&self, id: VariableId) -> Value {
        self.values[id.0].clone()
    }

    pub(super) fn type_of(&self, id: VariableId) -> &'m Type {
        &self.ready.procedure.variables[id.0].ty
    }

    fn steps(&mut self, steps: &[Step]) -> Result<Flow, Failure> {
        for step in steps {
            if self.step(step)? == Flow::Returned {
                return Ok(Flow::Returned);
            }
        }
        Ok(Flow::Next)
    }

    fn step(&mut self, step: &Step) -> Result<Flow, Failure> {
        let span = step.span;
        match &step.kind {
            StepKind::Compute(compute) => self.compute(compute, span)?,
            StepKind::Constant(id, constant) => {
                self.values[id.0] = written(constant);
            }
            StepKind::Copy(place, id) => {
                let value = self.at(place).clone();
                self.set(*id, value, self.type_at(place), span)?;
            }
            StepKind::Gather(places, id) => {
                let parts = places.iter().map(|place| self.at(place).clone()).collect();
                self.values[id.0] = Value::Parts(parts);
            }
            StepKind::Operate(operation, id) => {
                let value = self.operate(operation, span)?;
                self.values[id.0] = value;
            }
            StepKind::If { cond, then, other } => {
                let way = if self.truth(cond, span)? { then } else { other };
                return self.steps(way);
            }
            StepKind::While {
                test,
                cond,
                limit,
                body,
            } => {
                let limit = self.integer(limit, span)?;
                let mut turns = 0;
                while turns < limit {
                    self.go_on(span)?;
                    if self.steps(test)? == Flow::Returned {
                        return Ok(Flow::Returned);
                    }
                    if !self.truth(cond, span)? {
                        break;
                    }
                    if self.steps(body)? == Flow::Returned {
                        return Ok(Flow::Returned);
                    }
                    turns += 1;
                }
            }
            StepKind::For { turn, count, body } => {
                for number in 0..self.integer(count, span)? {
                    self.go_on(span)?;
                    self.values[turn.0] = Value::Tensor(Data::Host(Tensor::scalar(number)));
                    if self.steps(body)? == Flow::Returned {
                        return Ok(Flow::Returned);
                    }
                }
            }
            StepKind::Inline { body, result } => {
                self.steps(body)?;
                if let (Some(id), Some((value, ty))) = (result, self.returned.take()) {
                    self.set(*id, value, &ty, span)?;
                }
            }
            StepKind::Return(place) => {
                self.returned = place
                    .as_ref()
                    .map(|place| (self.at(place).clone(), self.type_at(place).clone()));
                return Ok(Flow::Returned);
            }
            StepKind::Expect(claim) => self.expect(claim, span)?,
            StepKind::Emit(place) => {
                let (value, ty) = (self.at(place).clone(), self.type_at(place));
                if self.ready.is_test {
                    let text = line(&value, ty).map_err(|error| self.failed(&error, span))?;
                    self.emitted.push(text);
                }
                (self.around.emit)(&value, ty)?;
            }
        }
        Ok(Flow::Next)
    }

    /// Stops where the caller wants no more.
    fn go_on(&mut self, span: Span) -> Result<(), Failure> {
        let done = Done {
            finished: 0,
            total: 1,
        };
        match (self.around.progress)(done) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(self.failed(&"it was cancelled", span)),
        }
    }

    fn set(&mut self, id: VariableId, value: Value, ty: &Type, span: Span) -> Result<(), Failure> {
        let value = value
            .ordered(ty, self.type_of(id))
            .map_err(|error| self.failed(&error, span))?;
        self.values[id.0] = value;
        Ok(())
    }

    pub(super) fn at(&self, place: &Place) -> &Value {
        let ty = self.type_of(place.variable);
        self.values[place.variable.0]
            .at(ty, &place.path)
            .unwrap_or(&Value::None)
    }

    pub(super) fn type_at(&self, place: &Place) -> &'m Type {
        let ty = self.type_of(place.variable);
        ty.at(&place.path).unwrap_or(&Type::None)
    }

    pub(super) fn data(&self, place: &Place, span: Span) -> Result<Data, Failure> {
        match self.at(place) {
            Value::Tensor(data) => Ok(data.clone()),
            _ => Err(self.failed(&"a value is read before it is there", span)),
        }
    }

    pub(super) fn tensor(&self, place: &Place, span: Span) -> Result<Tensor, Failure> {
        let data = self.data(place, span)?;
        data.to_host().map_err(|error| self.failed(&error, span))
    }

    pub(super) fn number(&self, place: &Place, span: Span) -> Result<f64, Failure> {
        let numbers = self.tensor(place, span)?.to_f64_vec();
        let first = numbers.first().copied();
        first.ok_or_else(|| self.failed(&"one number is needed", span))
    }

    pub(super) fn integer(&self, place: &Place, span: Span) -> Result<i64, Failure> {
        let numbers = self.tensor(place, span)?.to_i64_vec();
        let first = numbers.first().copied();
        first.ok_or_else(|| self.failed(&"one integer is needed", span))
    }

    fn truth(&self, place: &Place, span: Span) -> Result<bool, Failure> {
        Ok(self.number(place, span)? != 0.0)
    }

    fn compute(&mut self, compute: &Compute, span: Span) -> Result<(), Failure> {
        // The graph's place in memory is its name as long as the procedure lives.
        let key = std::ptr::from_ref(compute).addr();
        if !self.compiled.contains_key(&key) {
            let made = self.compile(compute);
            let made = made.map_err(|error| self.failed(&error, span))?;
            self.compiled.insert(key, made);
        }
        let mut bindings = Bindings::new();
        for (name, place) in &compute.inputs {
            bindings
                .inputs
                .insert(name.clone(), self.data(place, span)?);
        }
        bindings.symbols.clone_from(&self.ready.sizes);
        bindings.seed = self.ready.setup.seed;
        bindings.step = self.runs;
        for path in compute.graph.states().keys() {
            if let Some(data) = self.states.get(*path) {
                bindings.states.insert((*path).to_owned(), data.clone());
            }
        }
        self.runs += 1;
        let Some((executable, params)) = self.compiled.get(&key) else {
            return Ok(());
        };
        bindings.params = Params::clone(params);
        let outputs = executable.run(&bindings, self.around.progress);
        let mut outputs = outputs.map_err(|error| self.failed(&error, span))?;
        for (path, output) in std::mem::take(&mut outputs.states) {
            self.states.insert(path, output.data);
        }
        for (at, id) in compute.outputs.iter().enumerate() {
            let ty = self.type_of(*id);
            // Constants have been set by steps of their own.
            let mut leaves = Vec::new();
            ty.leaves(&at.to_string(), &mut leaves);
            if leaves
                .iter()
                .all(|(name, _)| outputs.results.contains_key(name))
                && !leaves.is_empty()
            {
                let value = results(&mut outputs, &at.to_string(), ty);
                self.values[id.0] = value.map_err(|error| self.failed(&error, span))?;
            }
        }
        Ok(())
    }

    fn compile(&mut self, compute: &Compute) -> Result<(Box<dyn Executable>, Params), BoxError> {
        let executable = self.ready.setup.backend.compile(&compute.graph)?;
        if let Some(params) = self.loaded.of(&[&compute.graph], "") {
            return Ok((executable, params));
        }
        let models = &self.ready.models;
        let mut source = Source(models);
        let params = executable.load(&mut source, &mut girih_runtime::backend::silent)?;
        self.loaded.keep(&params, "");
        Ok((executable, params))
    }

    /// What went wrong in a step, with its place.
    pub(super) fn failed(&self, error: &dyn std::fmt::Display, span: Span) -> Failure {
        let sources = &self.ready.setup.program.sources;
        let mut text = error.to_string();
        let place = sources.position(span);
        let line = sources.slice(span).lines().next().unwrap_or("");
        // Writing to a `String` cannot fail.
        let _ = write!(
            text,
            "\n --> {}:{}:{}\n  |  {line}",
            sources.name(span.file),
            place.line,
            place.column
        );
        Failure::Refused(text)
    }
}

/// Parameters of all models.
struct Source<'s, 'a>(&'s super::models::Models<'a>);

impl girih_runtime::backend::ParamSource for Source<'_, '_> {
    fn param(&mut self, path: &str) -> Result<girih_runtime::backend::ParamData, BoxError> {
        self.0.param(path)
    }
}

/// A value of a run's results, whose names begin with `name`.
fn results(
    outputs: &mut Outputs,
    name: &str,
    ty: &Type,
) -> Result<Value, girih_runtime::backend::RunError> {
    Ok(match ty {
        Type::Tensor { axes, .. } => match outputs.results.remove(name) {
            Some(output) => {
                let wanted: Vec<String> = axes.iter().map(|axis| axis.name.clone()).collect();
                let own: Vec<String> = output.axes.iter().map(|name| declared(name)).collect();
                Value::Tensor(permuted(output.data, &own, &wanted)?)
            }
            None => Value::None,
        },
        Type::Record(fields) => {
            let parts: Result<Vec<Value>, _> = fields
                .iter()
                .map(|(field, ty)| results(outputs, &format!("{name}.{field}"), ty))
                .collect();
            Value::Parts(parts?)
        }
        Type::List(types) => {
            let parts: Result<Vec<Value>, _> = types
                .iter()
                .enumerate()
                .map(|(at, ty)| results(outputs, &format!("{name}.{at}"), ty))
                .collect();
            Value::Parts(parts?)
        }
        Type::None | Type::Text | Type::Session(_) => Value::None,
    })
}

fn written(constant: &Constant) -> Value {
    let tensor = |tensor: Tensor| Value::Tensor(Data::Host(tensor));
    match constant {
        Constant::None => Value::None,
        Constant::Int(number) => tensor(Tensor::scalar(*number)),
        Constant::Real(number) => tensor(Tensor::scalar(*number as f32)),
        Constant::Bool(truth) => tensor(Tensor::scalar(*truth)),
        Constant::Text(text) => Value::Text(text.clone()),
    }
}
