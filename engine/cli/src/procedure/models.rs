//! Where do parameters come from, and what are sessions of?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use girih_dsl::ast::{ItemKind, MemberKind};
use girih_dsl::blocks::WeightPlan;
use girih_dsl::diag::Sink;
use girih_dsl::elaborate::{ProcedureRequest, Request, elaborate};
use girih_dsl::model::{Model, Static};
use girih_dsl::procedure::{ModelSlot, Procedure, Streamed as Asked};
use girih_dsl::program::Program;
use girih_runtime::backend::{Bindings, BoxError, Outputs, ParamData, ParamSource, silent};
use girih_runtime::session::StreamModel;
use girih_runtime::tensor::Tensor;

use super::Setup;
use super::loaded::Loaded;
use super::value::declared;
use crate::checkpoint::{Checkpoint, CheckpointParams, fit};
use crate::failure::Failure;
use crate::stored::StoredParams;
use crate::streaming::stream_of;

/// The models of a procedure.
pub(super) struct Models<'a> {
    slots: Vec<Slot>,
    pub(super) streams: Vec<Option<Streamed>>,
    /// What the streams have loaded.
    pub(super) loaded: Loaded,
    params: &'a BTreeMap<String, Tensor>,
}

/// A model that a procedure is given.
struct Slot {
    name: String,
    model: Model,
    weights: Option<(Checkpoint, WeightPlan)>,
    started: Outputs,
}

/// A model's stream, compiled.
pub(super) struct Streamed {
    pub(super) shared: Arc<StreamModel>,
    /// Names of the axes of each input.
    pub(super) inputs: BTreeMap<String, Vec<String>>,
    pub(super) model: Model,
}

impl<'a> Models<'a> {
    /// Opens weights and fits models to them; their static parameters go into the request. `None` after
    /// mistakes, which are in the sink.
    pub(super) fn open(
        setup: &Setup<'a>,
        slots: &[ModelSlot],
        request: &mut ProcedureRequest,
        sink: &mut Sink,
    ) -> Result<Option<Self>, Failure> {
        let unknown = setup
            .weights
            .keys()
            .find(|name| !slots.iter().any(|slot| slot.name == **name));
        if let Some(name) = unknown {
            let names: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
            return Err(Failure::Misuse(format!(
                "the procedure is given no model `{name}`; it is given `{}`",
                names.join("`, `")
            )));
        }
        let mut own = Vec::new();
        for slot in slots {
            let asked = Request {
                module: Some(slot.module.clone()),
                method: first_method(setup.program, &slot.module),
                statics: slot.statics.clone(),
                ..Request::default()
            };
            let ready = match setup.weights.get(&slot.name) {
                Some(path) => {
                    let checkpoint = Checkpoint::open(path)?;
                    // Only what the caller says goes before what the weights say.
                    let given: Vec<(String, Static)> = request
                        .statics
                        .iter()
                        .filter(|(name, _, _)| *name == slot.name)
                        .map(|(_, key, value)| (key.clone(), value.clone()))
                        .collect();
                    let asked = Request {
                        statics: given.clone(),
                        ..asked
                    };
                    let Some(fitted) = fit(setup.program, &checkpoint, &asked, &given, sink) else {
                        return Ok(None);
                    };
                    // Nothing of a default stays beside it.
                    request
                        .modules
                        .push((slot.name.clone(), slot.module.clone()));
                    request.statics.retain(|(name, _, _)| *name != slot.name);
                    let statics = fitted.statics.into_iter();
                    request
                        .statics
                        .extend(statics.map(|(key, value)| (slot.name.clone(), key, value)));
                    (fitted.model, Some((checkpoint, fitted.plan)))
                }
                None => match elaborate(setup.program, &asked, sink) {
                    Some(model) => (model, None),
                    None => return Ok(None),
                },
            };
            own.push(Slot {
                name: slot.name.clone(),
                model: ready.0,
                weights: ready.1,
                started: Outputs::default(),
            });
        }
        Ok(Some(Self {
            slots: own,
            streams: Vec::new(),
            loaded: Loaded::default(),
            params: setup.params,
        }))
    }

    /// Starts the parameters of models without weights, each model from a seed of its own.
    pub(super) fn start(
        &mut self,
        setup: &Setup<'_>,
        sizes: &BTreeMap<String, i64>,
    ) -> Result<(), Failure> {
        let given = self.params;
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let all_given = slot
                .model
                .params
                .iter()
                .all(|own| given.contains_key(&format!("{}.{}", slot.name, own.path)));
            if slot.weights.is_some() || all_given {
                continue;
            }
            let init = setup.backend.compile(&slot.model.init).map_err(refused)?;
            let mut bindings = Bindings::new();
            bindings.symbols.clone_from(sizes);
            bindings.seed = setup.seed.wrapping_add(at as u64);
            let started = init.run(&bindings, &mut silent);
            slot.started = started.map_err(|error| {
                refused(format!(
                    "the parameters of `{}` cannot be started: {error}; give missing sizes with `--set {}.name=…`",
                    slot.name, slot.name
                ))
            })?;
        }
        Ok(())
    }

    /// The models by their names.
    pub(super) fn into_models(self) -> Vec<(String, Model)> {
        let slots = self.slots.into_iter();
        slots.map(|slot| (slot.name, slot.model)).collect()
    }

    /// Compiles what is streamed.
    pub(super) fn compile_streams(
        &mut self,
        setup: &Setup<'_>,
        procedure: &Procedure,
    ) -> Result<(), Failure> {
        for form in &procedure.sessions {
            if form.steps.is_empty() {
                // It is opened and never moved on.
                self.streams.push(None);
                continue;
            }
            let mut sink = Sink::new();
            let Some(model) = streamed(
                setup.program,
                &form.streamed(&procedure.models, &procedure.variables),
                &mut sink,
            ) else {
                return Err(crate::source::mistakes(
                    &setup.program.sources,
                    &sink,
                    setup.colors,
                ));
            };
            let stream = stream_of(setup.program, &model, Some(&form.axis), setup.colors)?;
            let mut shared = StreamModel::compile(setup.backend, stream).map_err(refused)?;
            let name = procedure.models[form.model].name.clone();
            let prefix = format!("{name}.");
            let graphs = [&shared.stream().once, &shared.stream().step];
            if let Some(params) = self.loaded.of(&graphs, &prefix) {
                shared.share(&params);
            } else {
                let mut source = Prefixed {
                    models: self,
                    prefix: name,
                };
                shared.load(&mut source, &mut silent).map_err(refused)?;
                for params in shared.params() {
                    self.loaded.keep(params, &prefix);
                }
            }
            let table = &model.graph.axes;
            let inputs = model.inputs.iter().map(|input| {
                let axes = input.axes.iter().map(|axis| declared(table.name(*axis)));
                (input.name.clone(), axes.collect())
            });
            self.streams.push(Some(Streamed {
                inputs: inputs.collect(),
                shared: Arc::new(shared),
                model,
            }));
        }
        Ok(())
    }

    /// The parameter of a model: `m.layers.0.w`.
    pub(super) fn param(&self, path: &str) -> Result<ParamData, BoxError> {
        if let Some(tensor) = self.params.get(path) {
            return Ok(ParamData::Tensor(tensor.clone()));
        }
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        let slot = self
            .slots
            .iter()
            .find(|slot| slot.name == name)
            .ok_or_else(|| format!("there is no model `{name}`"))?;
        if let Some((checkpoint, plan)) = &slot.weights {
            let mut numbers = CheckpointParams::new(checkpoint, plan);
            return StoredParams::new(&slot.model, &mut numbers).param(rest);
        }
        let mut numbers =
            |path: &str| -> Result<Tensor, BoxError> { Ok(slot.started.tensor(path)?) };
        StoredParams::new(&slot.model, &mut numbers).param(rest)
    }
}

/// Parameters of one model, by their paths within it.
struct Prefixed<'m, 'a> {
    models: &'m Models<'a>,
    prefix: String,
}

impl ParamSource for Prefixed<'_, '_> {
    fn param(&mut self, path: &str) -> Result<ParamData, BoxError> {
        self.models.param(&format!("{}.{path}", self.prefix))
    }
}

/// The model that a session streams, over the axes that it is given.
pub(super) fn streamed(program: &Program, asked: &Asked<'_>, sink: &mut Sink) -> Option<Model> {
    let slot = asked.model;
    let mut request = Request {
        module: Some(slot.module.clone()),
        method: Some(asked.method.to_owned()),
        statics: slot.statics.clone(),
        ..Request::default()
    };
    let plain = elaborate(program, &request, sink)?;
    let mut absent = BTreeSet::new();
    for input in &plain.inputs {
        let Some((_, ty)) = asked.inputs.iter().find(|own| own.0 == input.name) else {
            absent.insert(input.name.clone());
            continue;
        };
        let own: Vec<String> = input
            .axes
            .iter()
            .map(|axis| declared(plain.graph.axes.name(*axis)))
            .collect();
        let lifted: Vec<String> = ty
            .axes()
            .iter()
            .filter(|axis| !own.contains(&axis.name))
            .map(|axis| axis.name.clone())
            .collect();
        if !lifted.is_empty() {
            request.lifted.insert(input.name.clone(), lifted);
        }
    }
    if request.lifted.is_empty() && absent.is_empty() {
        return Some(plain);
    }
    request.absent = absent;
    elaborate(program, &request, sink)
}

/// A method that a model can be looked at with: one whose inputs all have types.
fn first_method(program: &Program, module: &str) -> Option<String> {
    let place = program.find(program.entry(), module)?;
    let ItemKind::Module(module) = &program.item(place).kind else {
        return None;
    };
    let mut methods = module
        .members
        .iter()
        .filter_map(|member| match &member.kind {
            MemberKind::Method(method) => Some(method),
            _ => None,
        });
    let typed = methods.find(|method| method.params.iter().all(|own| own.ty.is_some()))?;
    Some(typed.name.text.clone())
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}
