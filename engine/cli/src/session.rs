//! A model that is ready to run: elaborated, compiled, its parameters loaded once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use girih_dsl::ast::{ItemKind, ModuleKind};
use girih_dsl::diag::{Colors, Sink};
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::{Model, Static};
use girih_dsl::program::{NoFiles, Program};
use girih_runtime::backend::{
    Backend, Bindings, BoxError, Data, Done, Executable, Outputs, ParamSource, Params, Progress,
    RunError, silent,
};
use girih_runtime::pull::{self, Sources};
use girih_runtime::session::{Opening, StreamModel};
use girih_runtime::tensor::Tensor;
use indicatif::ProgressBar;

use crate::checkpoint::{Checkpoint, CheckpointParams, fit};
use crate::command::pull::Bar;
use crate::failure::Failure;
use crate::known::known_model;
use crate::promise::check_promises;
use crate::source;
use crate::stored::StoredParams;
use crate::streaming::stream_of;

/// A model file with what belongs to it.
#[derive(Debug)]
pub struct Chosen {
    /// The model file.
    pub program: Program,
    /// Weights, if given or known.
    pub weights: Option<PathBuf>,
    /// Tokenizer, if given, known, or where one should lie.
    pub tokenizer: Option<PathBuf>,
}

/// Finds a model by file or by short name. A short name brings weights and tokenizer, which
/// are fetched once; `weights` and `tokenizer` go before. A hub's name may stand for weights.
///
/// # Errors
///
/// A file that cannot be read, mistakes in it, a checkpoint that cannot be fetched.
pub fn choose_model(
    model: &str,
    weights: Option<&Path>,
    tokenizer: Option<&Path>,
    colors: Colors,
    watched: bool,
) -> Result<Chosen, Failure> {
    let path = Path::new(model);
    let known = known_model(model).filter(|_| !path.is_file());
    let (program, sink) = match known {
        Some(known) => {
            let mut sink = Sink::new();
            let program = Program::load(known.file, known.text, &NoFiles, &mut sink);
            (program, sink)
        }
        None => source::load(path)?,
    };
    if sink.has_errors() {
        return Err(source::mistakes(&program.sources, &sink, colors));
    }
    let weights = match (weights, known) {
        (Some(path), _) => Some(local(path, watched)?),
        (None, Some(known)) => Some(fetched(known.name, watched)?),
        (None, None) => None,
    };
    Ok(Chosen {
        program,
        tokenizer: tokenizer.map(Path::to_owned).or_else(|| weights.clone()),
        weights,
    })
}

/// A path as it is, a name from the cache.
fn local(path: &Path, watched: bool) -> Result<PathBuf, Failure> {
    let text = path.to_string_lossy();
    if !path.exists() && pull::is_name(&text) {
        return fetched(&text, watched);
    }
    Ok(path.to_owned())
}

fn fetched(name: &str, watched: bool) -> Result<PathBuf, Failure> {
    let bar = Bar::new(watched);
    let path = pull::pull(name, &Sources::from_env()?, &mut |progress| {
        bar.show(progress);
    })?;
    bar.clear();
    Ok(path)
}

/// How long the parts of making a model ready took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// From the loaded file to the graph, fitted to the weights.
    pub check: Duration,
    /// From the graph to what runs.
    pub compile: Duration,
    /// Reading the parameters, or starting them.
    pub load: Duration,
}

/// A model that is ready to run.
pub struct Session {
    /// The model.
    pub model: Model,
    /// How long making it ready took.
    pub times: Times,
    executable: Box<dyn Executable>,
    params: Params,
    symbols: BTreeMap<String, i64>,
}

/// What a session is made of.
pub struct Setup<'a> {
    /// The model file.
    pub program: &'a Program,
    /// Where parameters come from; without one they start as the model file says.
    pub checkpoint: Option<&'a Checkpoint>,
    /// What computes.
    pub backend: &'a dyn Backend,
    /// Static parameters, and sizes that nothing else tells.
    pub set: &'a [(String, Static)],
    /// Random starts are keyed by it.
    pub seed: u64,
    /// Whether diagnostics are colored.
    pub colors: Colors,
    /// Whether progress is drawn.
    pub watched: bool,
}

impl Session {
    /// The inputs that must be given, and those with a default that `also` names, each with
    /// its number of declared axes.
    ///
    /// # Errors
    ///
    /// Mistakes in the model file, weights that do not fit.
    pub fn needed(
        setup: &Setup<'_>,
        also: &dyn Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, usize>, Failure> {
        let (statics, _) = split_settings(setup)?;
        let mut request = Request {
            statics: statics.clone(),
            without_init: true,
            ..Request::default()
        };
        let (model, _) = prepare(setup, &request, &statics)?;
        let names = model.inputs.iter().map(|input| input.name.clone());
        // An input without a default is given all the same.
        request.absent = names.filter(|name| !also(name)).collect();
        let (model, _) = prepare(setup, &request, &statics)?;
        let given = model.inputs.iter().filter(|input| input.given);
        Ok(given
            .map(|input| (input.name.clone(), input.axes.len()))
            .collect())
    }

    /// Makes a model ready. `ranks` says how many axes each given input has: those beyond the
    /// declared ones are mapped over.
    ///
    /// # Errors
    ///
    /// Mistakes in the model file, weights that do not fit, inputs that are not declared.
    pub fn open(
        setup: &Setup<'_>,
        ranks: Option<&BTreeMap<String, usize>>,
    ) -> Result<Self, Failure> {
        let ready = ready(setup, ranks)?;
        let mut times = Times::default();
        let mut lap = Lap::after(ready.start, &mut times.check);
        let executable = setup.backend.compile(&ready.model.graph).map_err(refused)?;
        lap.end(&mut times.compile);
        let params = ready.load(setup, &mut |source, progress| {
            executable.load(source, progress)
        })?;
        lap.end(&mut times.load);
        Ok(Self {
            model: ready.model,
            times,
            executable,
            params,
            symbols: ready.symbols,
        })
    }

    fn bindings(&self) -> Bindings {
        let mut bindings = Bindings::new();
        bindings.params = self.params.clone();
        bindings.symbols.clone_from(&self.symbols);
        bindings
    }

    /// Runs once. Inputs are converted to the declared dtypes.
    ///
    /// # Errors
    ///
    /// Inputs that are missing or do not fit, and whatever fails in the run.
    pub fn run(&self, inputs: BTreeMap<String, Tensor>, seed: u64) -> Result<Outputs, Failure> {
        self.execute(&self.bind(inputs, seed))
    }

    /// Everything that a run is given. Inputs are converted to the declared dtypes.
    pub fn bind(&self, inputs: BTreeMap<String, Tensor>, seed: u64) -> Bindings {
        let mut bindings = self.bindings();
        bindings.seed = seed;
        bindings.inputs = declared(&self.model, inputs);
        bindings
    }

    /// Runs once with what [`bind`](Self::bind) made.
    ///
    /// # Errors
    ///
    /// Inputs that are missing or do not fit, and whatever fails in the run.
    pub fn execute(&self, bindings: &Bindings) -> Result<Outputs, Failure> {
        self.executable.run(bindings, &mut silent).map_err(refused)
    }
}

/// Most positions of a prompt that are taken at once.
pub const PIECE: usize = 256;

/// A model whose sequence comes piece by piece.
#[derive(Debug)]
pub struct Streaming {
    /// The model.
    pub model: Model,
    /// How long making it ready took.
    pub times: Times,
    /// What sessions share.
    pub shared: Arc<StreamModel>,
    symbols: Sizes,
}

impl Streaming {
    /// Makes a model ready as [`Session::open`] does, along its time axis.
    ///
    /// # Errors
    ///
    /// As [`Session::open`], and what needs the sequence as a whole.
    pub fn open(
        setup: &Setup<'_>,
        ranks: Option<&BTreeMap<String, usize>>,
    ) -> Result<Self, Failure> {
        let ready = ready(setup, ranks)?;
        let stream = stream_of(setup.program, &ready.model, None, setup.colors)?;
        let mut times = Times::default();
        let mut lap = Lap::after(ready.start, &mut times.check);
        let mut shared = StreamModel::compile(setup.backend, stream).map_err(refused)?;
        lap.end(&mut times.compile);
        ready.load(setup, &mut |source, progress| shared.load(source, progress))?;
        lap.end(&mut times.load);
        Ok(Self {
            model: ready.model,
            times,
            shared: Arc::new(shared),
            symbols: ready.symbols,
        })
    }

    /// A session before its first position, and the inputs that its steps take. Inputs are
    /// converted to the declared dtypes.
    ///
    /// # Errors
    ///
    /// Inputs that the model does not have.
    pub fn begin(
        &self,
        inputs: BTreeMap<String, Tensor>,
        seed: u64,
    ) -> Result<(girih_runtime::session::Session, BTreeMap<String, Data>), Failure> {
        let mut own = declared(&self.model, inputs);
        let steps = self.new_positions(&own);
        let mut opening = Opening {
            symbols: self.symbols.clone(),
            seed,
            ..Opening::default()
        };
        for name in self.shared.opening_inputs() {
            if let Some(data) = own.remove(name) {
                opening.inputs.insert(name.to_owned(), data);
            }
        }
        let session = girih_runtime::session::Session::open(&self.shared, opening);
        Ok((session.map_err(refused)?, steps))
    }

    /// What a step takes of these inputs. They are converted to the declared dtypes.
    pub fn step_inputs(&self, inputs: BTreeMap<String, Tensor>) -> BTreeMap<String, Data> {
        self.new_positions(&declared(&self.model, inputs))
    }

    fn new_positions(&self, inputs: &BTreeMap<String, Data>) -> BTreeMap<String, Data> {
        let own = self.shared.stream().inputs.iter();
        own.filter_map(|(name, _)| Some((name.clone(), inputs.get(name)?.clone())))
            .collect()
    }
}

/// Tensors in the dtypes of the model's inputs; others are left out.
fn declared(model: &Model, inputs: BTreeMap<String, Tensor>) -> BTreeMap<String, Data> {
    let own = model.graph.inputs();
    let convert = |(name, tensor): (String, Tensor)| {
        let dtype = model.graph.root.ty(*own.get(name.as_str())?).dtype;
        Some((name, Data::Host(tensor.to_dtype(dtype))))
    };
    inputs.into_iter().filter_map(convert).collect()
}

/// One part of a longer work, timed.
struct Lap(Instant);

impl Lap {
    /// The lap that begins now, after one that began at `start` and took `time`.
    fn after(start: Instant, time: &mut Duration) -> Self {
        let mut lap = Self(start);
        lap.end(time);
        lap
    }

    /// Ends this lap and begins the next.
    fn end(&mut self, time: &mut Duration) {
        let now = Instant::now();
        *time = now - self.0;
        self.0 = now;
    }
}

/// A model before it is compiled.
struct Ready {
    model: Model,
    plan: Option<girih_dsl::blocks::WeightPlan>,
    symbols: Sizes,
    start: Instant,
}

fn ready(setup: &Setup<'_>, ranks: Option<&BTreeMap<String, usize>>) -> Result<Ready, Failure> {
    let (statics, symbols) = split_settings(setup)?;
    let mut request = Request {
        statics: statics.clone(),
        ..Request::default()
    };
    let mut start = Instant::now();
    let mut prepared = prepare(setup, &request, &statics)?;
    if let Some(ranks) = ranks {
        let (lifted, absent) = lifted_axes(&prepared.0, ranks)?;
        if !lifted.is_empty() || !absent.is_empty() {
            request.lifted = lifted;
            request.absent = absent;
            // The first time only told how many axes the inputs have.
            start = Instant::now();
            prepared = prepare(setup, &request, &statics)?;
        }
    }
    let (model, plan) = prepared;
    require_sizes(&model, &symbols)?;
    Ok(Ready {
        model,
        plan,
        symbols,
        start,
    })
}

/// Takes a source of parameters and who is told of progress.
type Load<'a, T> = dyn FnMut(&mut dyn ParamSource, &mut Progress<'_>) -> Result<T, RunError> + 'a;

impl Ready {
    /// Parameters from the checkpoint, or as the model file starts them.
    fn load<T>(&self, setup: &Setup<'_>, load: &mut Load<'_, T>) -> Result<T, Failure> {
        match (setup.checkpoint, &self.plan) {
            (Some(checkpoint), Some(plan)) => {
                let mut numbers = CheckpointParams::new(checkpoint, plan);
                let mut read = StoredParams::new(&self.model, &mut numbers);
                let bar = LoadBar::new(setup.watched);
                let loaded = load(&mut read, &mut |done| bar.show(done));
                bar.clear();
                loaded.map_err(refused)
            }
            _ => self.start(setup, load),
        }
    }

    fn start<T>(&self, setup: &Setup<'_>, load: &mut Load<'_, T>) -> Result<T, Failure> {
        let outputs = if self.model.params.is_empty() {
            Outputs::default()
        } else {
            let init = setup.backend.compile(&self.model.init).map_err(refused)?;
            let mut bindings = Bindings::new();
            bindings.symbols.clone_from(&self.symbols);
            bindings.seed = setup.seed;
            init.run(&bindings, &mut silent).map_err(|error| {
                refused(format!(
                    "the parameters cannot be started: {error}; give missing sizes with `--set name=…`"
                ))
            })?
        };
        let mut numbers = |path: &str| -> Result<Tensor, BoxError> { Ok(outputs.tensor(path)?) };
        let mut read = StoredParams::new(&self.model, &mut numbers);
        load(&mut read, &mut silent).map_err(refused)
    }
}

type Statics = Vec<(String, Static)>;
type Sizes = BTreeMap<String, i64>;

/// `--set` names that are static parameters of the entry module, and those that are sizes.
fn split_settings(setup: &Setup<'_>) -> Result<(Statics, Sizes), Failure> {
    let modules = setup.program.entry_modules();
    let modules: Vec<_> = modules
        .iter()
        .filter_map(|place| match &setup.program.item(*place).kind {
            ItemKind::Module(module) => Some(module),
            _ => None,
        })
        .collect();
    let entry = modules
        .iter()
        .rfind(|module| module.kind == ModuleKind::Model)
        .or(modules.last());
    let params: BTreeSet<&str> = entry
        .iter()
        .flat_map(|module| &module.params)
        .map(|param| param.name.text.as_str())
        .collect();
    let mut statics = Vec::new();
    let mut symbols = BTreeMap::new();
    for (name, value) in setup.set {
        match value {
            _ if params.contains(name.as_str()) => statics.push((name.clone(), value.clone())),
            Static::Int(size) => {
                symbols.insert(name.clone(), *size);
            }
            _ => {
                let known: Vec<&str> = params.iter().copied().collect();
                return Err(Failure::Misuse(format!(
                    "`{name}`: the model has no such parameter; it has {}",
                    if known.is_empty() {
                        "none".to_owned()
                    } else {
                        known.join(", ")
                    }
                )));
            }
        }
    }
    Ok((statics, symbols))
}

/// Says which sizes given by `--set` the model does not have.
fn require_sizes(model: &Model, symbols: &Sizes) -> Result<(), Failure> {
    let graphs = [&model.graph, &model.init];
    let axes = graphs.iter().flat_map(|graph| graph.axes.iter());
    let known: BTreeSet<String> = axes
        .flat_map(|(_, axis)| axis.extent.symbols())
        .map(|symbol| symbol.to_string())
        .collect();
    match symbols.keys().find(|name| !known.contains(*name)) {
        None => Ok(()),
        Some(name) => Err(Failure::Misuse(format!(
            "`{name}`: the model has neither a parameter nor a free size of this name"
        ))),
    }
}

type Prepared = (Model, Option<girih_dsl::blocks::WeightPlan>);

fn prepare(
    setup: &Setup<'_>,
    request: &Request,
    statics: &[(String, Static)],
) -> Result<Prepared, Failure> {
    let mut sink = Sink::new();
    let prepared = match setup.checkpoint {
        Some(checkpoint) => fit(setup.program, checkpoint, request, statics, &mut sink)
            .map(|fitted| (fitted.model, Some(fitted.plan))),
        None => elaborate(setup.program, request, &mut sink).map(|model| (model, None)),
    };
    if let Some((model, _)) = &prepared {
        check_promises(&model.graph, &mut sink);
    }
    match prepared {
        Some(prepared) if !sink.has_errors() => Ok(prepared),
        _ => Err(source::mistakes(
            &setup.program.sources,
            &sink,
            setup.colors,
        )),
    }
}

type Lifted = (BTreeMap<String, Vec<String>>, BTreeSet<String>);

/// Names for axes beyond the declared ones, and the inputs that are left out.
fn lifted_axes(model: &Model, ranks: &BTreeMap<String, usize>) -> Result<Lifted, Failure> {
    let mut lifted = BTreeMap::new();
    let mut absent = BTreeSet::new();
    if let Some(name) = ranks
        .keys()
        .find(|name| !model.inputs.iter().any(|input| input.name == **name))
    {
        let names: Vec<&str> = model
            .inputs
            .iter()
            .map(|input| input.name.as_str())
            .collect();
        return Err(Failure::Misuse(format!(
            "the model has no input `{name}`; its inputs are `{}`",
            names.join("`, `")
        )));
    }
    for input in &model.inputs {
        let Some(&rank) = ranks.get(&input.name) else {
            absent.insert(input.name.clone());
            continue;
        };
        let extra = rank.saturating_sub(input.axes.len()).min(16);
        let name = |at: usize| {
            if at == 0 {
                "b".to_owned()
            } else {
                format!("b{at}")
            }
        };
        if extra > 0 {
            lifted.insert(input.name.clone(), (0..extra).map(name).collect());
        }
    }
    Ok((lifted, absent))
}

/// Progress of a load on a terminal.
struct LoadBar(ProgressBar);

impl LoadBar {
    fn new(watched: bool) -> Self {
        let bar = crate::progress::bar(watched, 12);
        bar.set_style(crate::progress::style(
            "loading weights {bar:28.cyan/dim} {pos}/{len}",
        ));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    fn show(&self, done: Done) -> ControlFlow<()> {
        self.0.set_length(done.total as u64);
        self.0.set_position(done.finished as u64);
        ControlFlow::Continue(())
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}
