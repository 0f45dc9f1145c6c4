//! What every module promises in a stream, checked without a test by its author.
//!
//! For a module that can be streamed: step = piece = whole for every size of piece, the
//! values it carries at the end included; what comes later than an output waits for changes
//! nothing, whatever it is, and what it waits for does; the elements of a batch do not see one
//! another; nothing before the receptive field is read; sequences of unequal lengths, in sessions
//! side by side and in a padded batch, give what each gives alone. A module that needs its sequence as a whole says what does.

mod trial;

use std::collections::{BTreeMap, BTreeSet};

use girih_dsl::ast::{ExprKind, ItemKind, Parameter};
use girih_dsl::diag::{Sink, render};
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::{Model, Static};
use girih_dsl::program::Program;
use girih_graph::stream::{Kind, Stream};
use girih_graph::{Extent, Graph, cost};
use girih_runtime::backend::Backend;
use girih_transform::{stream, time_axis};

use crate::streaming::refusal;
use trial::Trial;

/// What free sizes are tried as: the first under which the model's conditions hold.
const SIZES: [i64; 4] = [8, 24, 12, 64];

/// Parameters above which a module is large: drawing them takes seconds.
const MOST_PARAMETERS: f64 = 64e6;

/// Operations of a run above which it is.
const MOST_OPERATIONS: f64 = 16e9;

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
    /// It would take long and was not asked for: what a run costs, and what makes it small.
    Large(String),
}

/// What modules are tried with.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Static arguments, of every module that has them.
    pub statics: Vec<(String, Static)>,
    /// Of draws and starting values.
    pub seed: u64,
    /// Large modules, too.
    pub large: bool,
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

/// Checks every module of the entry file that can be elaborated with its defaults. `tell` hears the name of each before
/// it is checked.
pub fn check_modules(
    program: &Program,
    backend: &dyn Backend,
    asked: &Asked,
    tell: &mut dyn FnMut(&str),
) -> Vec<Contract> {
    let modules = program.entry_modules();
    let names = modules
        .iter()
        .filter_map(|place| match &program.item(*place).kind {
            ItemKind::Module(module) => Some(module.name.text.clone()),
            _ => None,
        });
    names
        .flat_map(|module| {
            tell(&module);
            check_module(program, backend, &module, asked)
        })
        .collect()
}

fn check_module(
    program: &Program,
    backend: &dyn Backend,
    module: &str,
    asked: &Asked,
) -> Vec<Contract> {
    let found = |along: Option<String>, finding| Contract {
        module: module.to_owned(),
        along,
        finding,
    };
    let mut sink = Sink::new();
    let Some(request) = request_of(program, module, &asked.statics) else {
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
        let finding = check_axis(program, backend, (&model, &request), &axis, asked);
        found(along, finding)
    });
    let tried = |own: &Contract| match own.finding {
        Finding::Holds(_) | Finding::Broken(_) | Finding::Large(_) => true,
        Finding::Whole(_) | Finding::Still | Finding::Skipped(_) => false,
    };
    let (mut streamed, refused): (Vec<Contract>, Vec<Contract>) = checked.partition(tried);
    if streamed.is_empty() {
        // Not every free axis is a sequence: one reason is enough.
        streamed.extend(refused.into_iter().next());
    }
    streamed
}

/// The parameters of a module of the entry file.
fn params_of<'p>(program: &'p Program, module: &str) -> Option<&'p [Parameter]> {
    let mut places = program.entry_modules().into_iter();
    places.find_map(|place| match &program.item(place).kind {
        ItemKind::Module(own) if own.name.text == module => Some(own.params.as_slice()),
        _ => None,
    })
}

/// What is asked of the elaborator: the arguments that the module has.
fn request_of(program: &Program, module: &str, statics: &[(String, Static)]) -> Option<Request> {
    let params = params_of(program, module)?;
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
    asked: &Asked,
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
        let sizes = Trial::sizes(model, &own, size);
        if !asked.large
            && let Some(cost) = large(&model.graph, &sizes)
        {
            let numbers = numbers(program, request);
            return Finding::Large(format!(
                "it has {cost}, and a check takes hundreds of runs; make it small with `--set` ({numbers}), \
                 or try it as it is with `--large`"
            ));
        }
        let trial = match Trial::prepare(backend, model, &own, sizes, asked.seed) {
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

/// What a run of a large graph costs, in words.
fn large(graph: &Graph, sizes: &BTreeMap<String, i64>) -> Option<String> {
    let cost = cost::of(graph);
    let number = |of: &Extent| {
        let found = of.evaluate(&|symbol| sizes.get(symbol).copied());
        // What is too large for a number is large.
        found.map_or(f64::INFINITY, |found| found as f64)
    };
    let (parameters, operations) = (number(&cost.params), number(&cost.flops));
    (parameters > MOST_PARAMETERS || operations > MOST_OPERATIONS).then(|| {
        let (parameters, operations) = (parameters / 1e6, operations / 1e9);
        format!(
            "{parameters:.0} million parameters and a run takes {operations:.0} billion operations"
        )
    })
}

/// The static numbers of a module, by which it is made smaller.
fn numbers(program: &Program, request: &Request) -> String {
    let name = request.module.as_deref().unwrap_or_default();
    let numbers = params_of(program, name).into_iter().flatten();
    let numbers = numbers.filter(|param| {
        let default = param.default.as_ref().map(|own| &own.kind);
        matches!(default, Some(ExprKind::Int(_)))
    });
    let names: Vec<&str> = numbers.map(|param| param.name.text.as_str()).collect();
    names.join(", ")
}
