//! What every module promises in a stream, checked without a test by its author.
//!
//! For a module that can be streamed: step = piece = whole for every size of piece, the
//! values it carries at the end included; what comes later than an output waits for changes
//! nothing, whatever it is, and what it waits for does; the elements of a batch do not see one
//! another; nothing before the receptive field is read; sequences of unequal lengths, in sessions
//! side by side and in a padded batch, give what each gives alone. A module that needs its sequence as a whole says what does.

mod trial;

use std::collections::{BTreeMap, BTreeSet};

use girih_dsl::ast::ItemKind;
use girih_dsl::diag::{Sink, render};
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::{Model, Static};
use girih_dsl::program::Program;
use girih_graph::Extent;
use girih_graph::stream::{Kind, Stream};
use girih_runtime::backend::Backend;
use girih_transform::{stream, time_axis};

use crate::streaming::refusal;
use trial::Trial;

/// What free sizes are tried as: the first under which the model's conditions hold.
const SIZES: [i64; 4] = [8, 24, 12, 64];

/// What became of one module.
#[derive(Clone, Debug)]
pub struct Contract {
    /// Its name.
    pub module: String,
    /// The streamed axis, where it is not marked as time.
    pub along: Option<String>,
    /// What was found.
    pub finding: Finding,
}

/// What was found about a module.
#[derive(Clone, Debug)]
pub enum Finding {
    /// It streams, and keeps what it promises.
    Holds(Table),
    /// It streams and breaks a promise: which, in words.
    Broken(String),
    /// It needs its sequence as a whole: why.
    Whole(String),
    /// It has no sequence.
    Still,
    /// It cannot be run alone: why.
    Skipped(String),
}

/// What a module's stream carries.
#[derive(Clone, Debug)]
pub struct Table {
    /// Kinds of what is carried, with their number: `2 cache`.
    pub states: Vec<(&'static str, usize)>,
    /// Bytes that each position adds.
    pub per_token: Extent,
    /// Bytes that stay.
    pub fixed: Extent,
    /// How many positions before its own an output depends on; `None` if on all.
    pub reach: Option<i64>,
    /// How much later than its input an output comes.
    pub latency: i64,
}

impl Table {
    fn of(stream: &Stream) -> Self {
        let mut states: BTreeMap<&'static str, usize> = BTreeMap::new();
        let (mut per_token, mut fixed) = (Extent::constant(0), Extent::constant(0));
        for carry in &stream.carries {
            *states.entry(carry.kind.word()).or_insert(0) += 1;
            if carry.kind == Kind::Cache {
                per_token = per_token.plus(&stream.bytes_of_one(carry));
            } else {
                fixed = fixed.plus(&stream.bytes_of(carry));
            }
        }
        let reaches = stream.results.iter().map(|result| result.reach);
        let reach = reaches
            .into_iter()
            .try_fold(0, |all, own| Some(all.max(own?)));
        Self {
            states: states.into_iter().collect(),
            per_token,
            fixed,
            reach,
            latency: stream.latency(),
        }
    }
}

/// Checks every module of the entry file that can be elaborated with its defaults.
pub fn check_modules(
    program: &Program,
    backend: &dyn Backend,
    statics: &[(String, Static)],
    seed: u64,
) -> Vec<Contract> {
    let modules = program.entry_modules();
    let names = modules
        .iter()
        .filter_map(|place| match &program.item(*place).kind {
            ItemKind::Module(module) => Some(module.name.text.clone()),
            _ => None,
        });
    names
        .flat_map(|module| check_module(program, backend, &module, statics, seed))
        .collect()
}

fn check_module(
    program: &Program,
    backend: &dyn Backend,
    module: &str,
    statics: &[(String, Static)],
    seed: u64,
) -> Vec<Contract> {
    let found = |along: Option<String>, finding| Contract {
        module: module.to_owned(),
        along,
        finding,
    };
    let mut sink = Sink::new();
    let Some(request) = request_of(program, module, statics) else {
        return Vec::new();
    };
    let Some(model) = elaborate(program, &request, &mut sink) else {
        let why = "it needs arguments that have no default".to_owned();
        return vec![found(None, Finding::Skipped(why))];
    };
    let axes: Vec<(Option<String>, String)> = match time_axis(&model.graph) {
        Some(axis) => vec![(None, axis)],
        None => sequences(&model)
            .into_iter()
            .map(|axis| (Some(axis.clone()), axis))
            .collect(),
    };
    if axes.is_empty() {
        return vec![found(None, Finding::Still)];
    }
    let checked = axes.into_iter().map(|(along, axis)| {
        let finding = check_axis(program, backend, (&model, &request), &axis, seed);
        found(along, finding)
    });
    let (mut streamed, refused): (Vec<Contract>, Vec<Contract>) =
        checked.partition(|own| matches!(own.finding, Finding::Holds(_) | Finding::Broken(_)));
    if streamed.is_empty() {
        // Not every free axis is a sequence: one reason is enough.
        streamed.extend(refused.into_iter().next());
    }
    streamed
}

/// What is asked of the elaborator: the arguments that the module has.
fn request_of(program: &Program, module: &str, statics: &[(String, Static)]) -> Option<Request> {
    let params =
        program
            .entry_modules()
            .into_iter()
            .find_map(|place| match &program.item(place).kind {
                ItemKind::Module(own) if own.name.text == module => Some(&own.params),
                _ => None,
            })?;
    let has = |name: &str| params.iter().any(|param| param.name.text == name);
    let statics = statics.iter().filter(|(name, _)| has(name)).cloned();
    Some(Request {
        module: Some(module.to_owned()),
        statics: statics.collect(),
        ..Request::default()
    })
}

/// Free axes that an input and a result have: a module of the library leaves open what it is
/// applied along.
fn sequences(model: &Model) -> Vec<String> {
    let table = &model.graph.axes;
    let results = model.results.iter().flat_map(|(_, axes)| axes);
    let shown: BTreeSet<&str> = results
        .filter_map(|axis| table.extent(*axis).as_symbol())
        .collect();
    let mut names: Vec<String> = Vec::new();
    for axis in model.inputs.iter().flat_map(|input| &input.axes) {
        let free = table.extent(*axis).as_symbol();
        let name = table.name(*axis).to_owned();
        if free.is_some_and(|free| shown.contains(free)) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn check_axis(
    program: &Program,
    backend: &dyn Backend,
    (model, request): (&Model, &Request),
    axis: &str,
    seed: u64,
) -> Finding {
    let own = match stream(&model.graph, axis) {
        Ok(own) => own,
        Err(whole) => {
            return Finding::Whole(render(&program.sources, &refusal(program, &whole)));
        }
    };
    if own.inputs.is_empty() {
        return Finding::Still;
    }
    let mut last = String::new();
    for size in SIZES {
        let trial = match Trial::prepare(backend, model, &own, size, seed) {
            Ok(trial) => trial,
            Err(problem) => {
                last = problem;
                continue;
            }
        };
        return match trial.check(program, request) {
            Ok(()) => Finding::Holds(Table::of(&own)),
            Err(broken) => Finding::Broken(broken),
        };
    }
    Finding::Skipped(last)
}
