//! Procedures are run: their steps one after another, on a backend.
//!
//! What a procedure means is decided before anything runs: its types, its graphs, and that
//! each model that it streams can be streamed. Runs are deterministic: what is drawn
//! depends on the seed and on how many draws came before.
//!
//! | file      | question                                                    |
//! |-----------|-------------------------------------------------------------|
//! | `value`   | what does a variable hold, and how is it shown?             |
//! | `given`   | what are models and inputs given, by file and by `--set`?   |
//! | `models`  | where do parameters come from, and what are sessions of?    |
//! | `loaded`  | which parameters are there already?                         |
//! | `machine` | what does each step do?                                     |
//! | `operate` | what does each operation do?                                |
//! | `session` | what does a session do?                                     |
//! | `cache`   | what does a session carry, and what can go on from it?      |
//! | `event`   | what does an event say?                                     |
//! | `claim`   | does what a test expects hold?                              |

mod cache;
mod claim;
mod event;
mod given;
mod loaded;
mod machine;
mod models;
mod operate;
mod session;
mod value;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use girih_dsl::diag::{Code, Colors, Diagnostic, Sink};
use girih_dsl::elaborate::{
    ProcedureRequest, closed_procedures, elaborate_procedure, elaborate_tests, procedure_models,
};
use girih_dsl::model::{Model, Static, Test};
use girih_dsl::procedure::{Operation, Procedure, Step, StepKind, Type};
use girih_dsl::program::Program;
use girih_dsl::span::Span;
use girih_graph::stream::Source;
use girih_runtime::backend::{Backend, Bindings, Done, silent};
use girih_runtime::tensor::Tensor;
use girih_runtime::text::Tokenizer;
use girih_transform::stream;

use crate::failure::Failure;
use crate::source::mistakes;
use crate::streaming::{lateness, refusal};
use cache::carried;
pub use claim::{Verdict, worst_difference};
pub use given::{split_weights, static_tensor};
use machine::Machine;
use models::Models;
pub use value::{Value, json, line};

/// What a procedure is run with.
pub struct Setup<'a> {
    /// The model file.
    pub program: &'a Program,
    /// Which procedure; the last one when absent.
    pub name: Option<&'a str>,
    /// What computes.
    pub backend: &'a dyn Backend,
    /// Weights of models by their names; of all others parameters start as the file says.
    pub weights: &'a BTreeMap<String, PathBuf>,
    /// Parameters that go before all others, by model and path.
    pub params: &'a BTreeMap<String, Tensor>,
    /// Static parameters of models, inputs that are no tensors of a file, sizes.
    pub set: &'a [(String, Static)],
    /// Starts and draws depend on it.
    pub seed: u64,
    /// Whether diagnostics are colored.
    pub colors: Colors,
    /// Turns texts into tokens and back, if there is one.
    pub tokenizer: Option<&'a Tokenizer>,
}

/// What a procedure meets while it runs.
pub struct Around<'a> {
    /// Is told what is emitted.
    pub emit: &'a mut dyn FnMut(&Value, &Type) -> Result<(), Failure>,
    /// Gives the next event as it is written, `None` when there will be no more.
    pub wait: &'a mut dyn FnMut() -> Result<Option<serde_json::Value>, Failure>,
    /// Is told of progress; may cancel.
    pub progress: &'a mut dyn FnMut(Done) -> ControlFlow<()>,
    /// Most bytes that a value may have that positions are appended to.
    pub limit: u64,
}

/// A procedure that is ready to run.
pub struct Ready<'a> {
    /// Its steps.
    pub procedure: Procedure,
    setup: &'a Setup<'a>,
    models: Models<'a>,
    given: BTreeMap<String, Static>,
    sizes: BTreeMap<String, i64>,
    is_test: bool,
}

impl<'a> Ready<'a> {
    /// Makes a procedure ready: everything about it that can be wrong before it runs has been said.
    ///
    /// # Errors
    ///
    /// Mistakes in the file, weights that do not fit, a model that is streamed and cannot be.
    pub fn new(setup: &'a Setup<'a>) -> Result<Self, Failure> {
        let (request, models, split) = open(setup)?;
        let mut sink = Sink::new();
        let told = |sink: &Sink| mistakes(&setup.program.sources, sink, setup.colors);
        let procedure = elaborate_procedure(
            setup.program,
            &request,
            Some(&|asked, sink| carried(setup.program, asked, sink)),
            &mut sink,
        );
        let Some(procedure) = procedure.filter(|_| !sink.has_errors()) else {
            return Err(told(&sink));
        };
        Self::made(setup, procedure, models, split, false)
    }

    /// Makes a test ready that does what procedures do; of the setup it has the program, the backend and the seed.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn test(setup: &'a Setup<'a>, procedure: Procedure) -> Result<Self, Failure> {
        let mut sink = Sink::new();
        let mut request = ProcedureRequest::default();
        let models = Models::open(setup, &procedure.models, &mut request, &mut sink)?;
        match models.filter(|_| !sink.has_errors()) {
            Some(models) => Self::made(setup, procedure, models, given::Split::default(), true),
            None => Err(mistakes(&setup.program.sources, &sink, setup.colors)),
        }
    }

    fn made(
        setup: &'a Setup<'a>,
        procedure: Procedure,
        models: Models<'a>,
        split: given::Split,
        is_test: bool,
    ) -> Result<Self, Failure> {
        let mut sink = Sink::new();
        let mut ready = Self {
            procedure,
            setup,
            models,
            given: split.inputs,
            sizes: split.sizes,
            is_test,
        };
        ready.models.start(setup, &ready.sizes)?;
        check_streams(setup.program, &ready.procedure, &mut sink);
        if sink.has_errors() {
            return Err(mistakes(&setup.program.sources, &sink, setup.colors));
        }
        ready.models.compile_streams(setup, &ready.procedure)?;
        Ok(ready)
    }

    fn tokenizer(&self) -> Option<&Tokenizer> {
        self.setup.tokenizer
    }

    fn seed(&self) -> u64 {
        self.setup.seed
    }

    const fn sizes(&self) -> &BTreeMap<String, i64> {
        &self.sizes
    }

    /// Runs a test; what became of its claims, as far as it came, and why it came no further.
    pub fn judge(&self) -> (Vec<Verdict>, Option<Failure>) {
        let mut around = Around {
            emit: &mut |_, _| Ok(()),
            wait: &mut || Ok(None),
            progress: &mut silent,
            limit: Bindings::LIMIT,
        };
        let mut machine = Machine::new(self, &mut around);
        let done = machine.all(&self.procedure.body);
        (machine.verdicts, done.err())
    }

    /// Runs it once; what it returns, with its type. `inputs` go before what `--set` gives.
    ///
    /// # Errors
    ///
    /// Inputs that are missing or do not fit, and what fails in a step, with its place.
    pub fn run(
        &self,
        inputs: &BTreeMap<String, Tensor>,
        around: &mut Around<'_>,
    ) -> Result<Option<(Type, Value)>, Failure> {
        let mut machine = Machine::new(self, around);
        machine.enter(inputs)?;
        machine.all(&self.procedure.body)?;
        Ok(self.procedure.result.map(|id| {
            let ty = self.procedure.variables[id.0].ty.clone();
            (ty, machine.variable(id))
        }))
    }
}

/// The models that a procedure is given, by their names.
///
/// # Errors
///
/// Mistakes in the file, weights that do not fit.
pub fn models_of(setup: &Setup<'_>) -> Result<Vec<(String, Model)>, Failure> {
    let (_, models, _) = open(setup)?;
    Ok(models.into_models())
}

/// Says for every procedure of the entry file which of its models cannot be sessions.
pub fn check_sessions(program: &Program, sink: &mut Sink) {
    for name in closed_procedures(program) {
        let request = ProcedureRequest {
            name: Some(name),
            ..ProcedureRequest::default()
        };
        if let Some(procedure) = elaborate_procedure(
            program,
            &request,
            Some(&|asked, sink| carried(program, asked, sink)),
            sink,
        ) {
            check_streams(program, &procedure, sink);
        }
    }
}

/// Says which models are streamed that need their sequence as a whole.
pub fn check_streams(program: &Program, procedure: &Procedure, sink: &mut Sink) {
    for (number, form) in procedure.sessions.iter().enumerate() {
        if form.steps.is_empty() {
            continue;
        }
        let Some(model) = models::streamed(
            program,
            &form.streamed(&procedure.models, &procedure.variables),
            sink,
        ) else {
            continue;
        };
        let here = "a session of it is opened here";
        match stream(&model.graph, &form.axis) {
            Ok(own) => {
                let late = own.results.iter().find(|result| {
                    result.latency > 0 && matches!(result.source, Source::Positions(_))
                });
                if let (Some(late), Some(span)) = (late, single_call(&procedure.body, number)) {
                    sink.report(
                        Diagnostic::error(
                            Code::new(420),
                            format!("one position of a session gives none: {}", lateness(late)),
                        )
                        .at(span, "one position is given here")
                        .also(form.span, here)
                        .help(format!(
                            "give it along `{0}`, `s(tokens({0}, x))`; `flush(s)` gives what is left",
                            form.axis
                        )),
                    );
                }
            }
            Err(whole) => {
                let told = refusal(program, &whole);
                sink.report(if told.span().is_some() {
                    told.also(form.span, here)
                } else {
                    told.at(form.span, here)
                });
            }
        }
    }
}

/// Where sessions of a form are given one position without its axis.
fn single_call(steps: &[Step], wanted: usize) -> Option<Span> {
    steps.iter().find_map(|step| match &step.kind {
        StepKind::Operate(
            Operation::Call {
                form, single: true, ..
            },
            _,
        ) if *form == wanted => Some(step.span),
        kind => kind
            .bodies()
            .into_iter()
            .find_map(|body| single_call(body, wanted)),
    })
}

/// The tests of the entry file. Mistakes go to the sink; a test that has one is absent.
pub fn tests(program: &Program, sink: &mut Sink) -> Vec<Test> {
    elaborate_tests(
        program,
        Some(&|asked, sink| carried(program, asked, sink)),
        sink,
    )
}

/// The models of a procedure, with what their weights and the settings say in the request.
fn open<'a>(setup: &Setup<'a>) -> Result<(ProcedureRequest, Models<'a>, given::Split), Failure> {
    let mut sink = Sink::new();
    let told = |sink: &Sink| mistakes(&setup.program.sources, sink, setup.colors);
    let mut request = ProcedureRequest {
        name: setup.name.map(str::to_owned),
        ..ProcedureRequest::default()
    };
    let split = given::split(setup, &mut request)?;
    let slots = procedure_models(setup.program, &request, &mut sink);
    let Some(slots) = slots.filter(|_| !sink.has_errors()) else {
        return Err(told(&sink));
    };
    let models = Models::open(setup, &slots, &mut request, &mut sink)?;
    match models.filter(|_| !sink.has_errors()) {
        Some(models) => Ok((request, models, split)),
        None => Err(told(&sink)),
    }
}
