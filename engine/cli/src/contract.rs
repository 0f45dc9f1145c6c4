//! What every module promises in a stream, checked without a test by its author.
//!
//! For a module that can be streamed: step = piece = whole for every size of piece, the
//! values it carries at the end included; what comes later changes nothing, whatever it is;
//! the elements of a batch do not see one another; nothing before the receptive field is
//! read. A module that needs its sequence as a whole says what does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use girih_dsl::ast::ItemKind;
use girih_dsl::diag::Sink;
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::{Model, Static};
use girih_dsl::program::Program;
use girih_graph::Extent;
use girih_graph::stream::{Kind, Source, Stream};
use girih_runtime::backend::{Backend, Bindings, BoxError, Data, Outputs, silent};
use girih_runtime::session::{Opening, Session, StreamModel};
use girih_runtime::tensor::Tensor;
use girih_transform::{stream, time_axis};

use crate::bench::draw;
use crate::streaming::reason;

/// Positions of the sequences that are tried.
const LENGTH: i64 = 67;

/// Sizes of pieces.
const PIECES: [usize; 5] = [1, 2, 3, 7, 64];

/// What free sizes are tried as: the first under which the model's conditions hold.
const SIZES: [i64; 4] = [8, 24, 12, 64];

/// Largest difference, relative to the larger of 1 and the number: both sides sum the same
/// numbers, perhaps in another order.
const ALLOWED: f64 = 1e-4;

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
            let bytes = stream.bytes_of(carry);
            if let Kind::Cache { .. } = carry.kind {
                let each = bytes.divided_exactly(&Extent::symbol(&stream.total));
                per_token = per_token.plus(&each.unwrap_or(bytes));
            } else {
                fixed = fixed.plus(&bytes);
            }
        }
        let reaches = stream.results.iter().map(|result| result.reach);
        let reach = reaches.fold(Some(0), |all, own| Some(all?.max(own?)));
        Self {
            states: states.into_iter().collect(),
            per_token,
            fixed,
            reach,
            // The transform refuses reads ahead.
            latency: 0,
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
        Err(whole) => return Finding::Whole(reason(program, &whole)),
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

/// A module with sizes, inputs and parameters.
struct Trial<'a> {
    backend: &'a dyn Backend,
    model: &'a Model,
    stream: &'a Stream,
    sizes: BTreeMap<String, i64>,
    inputs: BTreeMap<String, Tensor>,
    params: BTreeMap<String, Tensor>,
    whole: Outputs,
    seed: u64,
}

impl<'a> Trial<'a> {
    /// The whole run with free sizes of `size`, if it goes.
    fn prepare(
        backend: &'a dyn Backend,
        model: &'a Model,
        stream: &'a Stream,
        size: i64,
        seed: u64,
    ) -> Result<Self, String> {
        let graphs = [&model.graph, &model.init];
        let axes = graphs.iter().flat_map(|graph| graph.axes.iter());
        let symbols: BTreeSet<String> = axes
            .flat_map(|(_, axis)| axis.extent.symbols())
            .map(|symbol| symbol.to_string())
            .collect();
        let sizes: BTreeMap<String, i64> = symbols
            .into_iter()
            .map(|symbol| {
                let own = if symbol == stream.new { LENGTH } else { size };
                (symbol, own)
            })
            .collect();
        let inputs = draw::inputs(model, &sizes, &BTreeMap::new(), seed)
            .map_err(|failure| failure.to_string())?;
        let mut bindings = Bindings::new();
        bindings.symbols.clone_from(&sizes);
        bindings.seed = seed;
        let init = backend.compile(&model.init).map_err(text)?;
        let started = init.run(&bindings, &mut silent).map_err(text)?;
        let host = |(path, output): (&String, &girih_runtime::backend::Output)| {
            Ok::<_, String>((path.clone(), output.data.to_host().map_err(text)?))
        };
        let params: BTreeMap<String, Tensor> =
            started.results.iter().map(host).collect::<Result<_, _>>()?;
        let mut trial = Self {
            backend,
            model,
            stream,
            sizes,
            inputs,
            params,
            whole: Outputs::default(),
            seed,
        };
        trial.whole = trial.run_whole(&trial.inputs)?;
        Ok(trial)
    }

    fn run_whole(&self, inputs: &BTreeMap<String, Tensor>) -> Result<Outputs, String> {
        let mut bindings = Bindings::new();
        bindings.symbols.clone_from(&self.sizes);
        bindings.symbols.remove(&self.stream.new);
        bindings.seed = self.seed;
        let graph = &self.model.graph;
        for (name, value) in graph.inputs() {
            if let Some(tensor) = inputs.get(name) {
                let tensor = tensor.to_dtype(graph.root.ty(value).dtype);
                bindings = bindings.input(name, tensor);
            }
        }
        for (path, tensor) in &self.params {
            bindings = bindings.param(path, tensor.clone());
        }
        let executable = self.backend.compile(graph).map_err(text)?;
        executable.run(&bindings, &mut silent).map_err(text)
    }

    fn check(&self, program: &Program, request: &Request) -> Result<(), String> {
        let mut model = StreamModel::compile(self.backend, self.stream.clone()).map_err(text)?;
        let mut source = |path: &str| -> Result<Tensor, BoxError> {
            let found = self.params.get(path).cloned();
            Ok(found.ok_or_else(|| format!("`{path}` has no start"))?)
        };
        model.load(&mut source, &mut silent).map_err(text)?;
        let model = Arc::new(model);
        let mut ends: Option<BTreeMap<String, Tensor>> = None;
        for piece in PIECES {
            let (outputs, carried) = self.run_pieces(&model, piece)?;
            for result in &self.stream.results {
                let (own, whole) = (
                    outputs.tensor(&result.name).map_err(text)?,
                    self.whole.tensor(&result.name).map_err(text)?,
                );
                if let Some(difference) = differs(&own, &whole) {
                    return Err(format!(
                        "`{}` in pieces of {piece} is not that of the whole: {difference}",
                        result.name
                    ));
                }
            }
            if let Some(ends) = &ends {
                for (name, own) in &carried {
                    if let Some(difference) = ends.get(name).and_then(|other| differs(own, other)) {
                        return Err(format!(
                            "what is carried as `{name}` depends on the pieces: {difference}"
                        ));
                    }
                }
            }
            ends.get_or_insert(carried);
        }
        self.check_later()?;
        self.check_reach()?;
        self.check_rows(program, request)
    }

    /// All positions in pieces: the results, and what is carried in the end.
    fn run_pieces(
        &self,
        model: &Arc<StreamModel>,
        piece: usize,
    ) -> Result<(Outputs, BTreeMap<String, Tensor>), String> {
        let graph = &self.model.graph;
        let mut opening = Opening {
            seed: self.seed,
            ..Opening::default()
        };
        opening.symbols.clone_from(&self.sizes);
        opening.symbols.remove(&self.stream.new);
        let mut steps: BTreeMap<String, Data> = BTreeMap::new();
        let at_start = model.opening_inputs();
        for (name, value) in graph.inputs() {
            let Some(tensor) = self.inputs.get(name) else {
                continue;
            };
            let data = Data::Host(tensor.to_dtype(graph.root.ty(value).dtype));
            if self.stream.inputs.iter().any(|(own, _)| own == name) {
                steps.insert(name.to_owned(), data);
            } else if at_start.contains(&name) {
                opening.inputs.insert(name.to_owned(), data);
            }
        }
        let mut session = Session::open(model, opening).map_err(text)?;
        let outputs = session.run_all(&steps, piece, &mut silent).map_err(text)?;
        let known = session.bytes_at(session.position());
        if known != Some(session.bytes()) {
            return Err(format!(
                "{} bytes are carried where the formula says {known:?}",
                session.bytes()
            ));
        }
        let host = |(name, data): (&String, &Data)| {
            Ok::<_, String>((name.clone(), data.to_host().map_err(text)?))
        };
        let carried = session
            .carried()
            .iter()
            .map(host)
            .collect::<Result<_, _>>()?;
        Ok((outputs, carried))
    }

    /// Streamed inputs with the positions of `range` replaced by something else.
    fn changed(&self, range: std::ops::Range<usize>) -> Result<BTreeMap<String, Tensor>, String> {
        let mut inputs = self.inputs.clone();
        for (name, place) in &self.stream.inputs {
            let Some(tensor) = inputs.get(name).cloned() else {
                continue;
            };
            if !tensor.dtype().is_real() {
                continue;
            }
            let part = tensor.slice(*place, range.clone()).map_err(text)?;
            let other: Vec<f32> = part.to_f64_vec().iter().map(|x| (3.0 - x) as f32).collect();
            let other = Tensor::new(part.shape(), other).map_err(text)?;
            let other = other.to_dtype(tensor.dtype());
            let length = tensor.shape()[*place];
            let before = tensor.slice(*place, 0..range.start).map_err(text)?;
            let after = tensor.slice(*place, range.end..length).map_err(text)?;
            let joined = Tensor::concat(&[&before, &other, &after], *place).map_err(text)?;
            inputs.insert(name.clone(), joined);
        }
        Ok(inputs)
    }

    /// What comes later changes nothing.
    fn check_later(&self) -> Result<(), String> {
        let end = LENGTH as usize;
        let kept = end - 5;
        let outputs = self.run_whole(&self.changed(kept..end)?)?;
        for result in &self.stream.results {
            if let Source::Positions(place) = result.source {
                let of = |outputs: &Outputs| {
                    let tensor = outputs.tensor(&result.name).map_err(text)?;
                    tensor.slice(place, 0..kept).map_err(text)
                };
                if let Some(difference) = differs(&of(&outputs)?, &of(&self.whole)?) {
                    return Err(format!(
                        "`{}` depends on positions that come later: {difference}",
                        result.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// Nothing before the receptive field is read.
    fn check_reach(&self) -> Result<(), String> {
        let outputs = self.run_whole(&self.changed(0..1)?)?;
        for result in &self.stream.results {
            let (Source::Positions(place), Some(reach)) = (result.source, result.reach) else {
                continue;
            };
            let first = usize::try_from(reach + 1).unwrap_or(usize::MAX);
            if first >= LENGTH as usize {
                continue;
            }
            let of = |outputs: &Outputs| {
                let tensor = outputs.tensor(&result.name).map_err(text)?;
                tensor.slice(place, first..LENGTH as usize).map_err(text)
            };
            if let Some(difference) = differs(&of(&outputs)?, &of(&self.whole)?) {
                return Err(format!(
                    "`{}` reads further back than {reach} positions: {difference}",
                    result.name
                ));
            }
        }
        Ok(())
    }

    /// The elements of a batch do not see one another: one of them is not a number.
    fn check_rows(&self, program: &Program, request: &Request) -> Result<(), String> {
        const ROWS: &str = "contract rows";
        let given = self.model.inputs.iter().filter(|input| input.given);
        let lifted: Vec<String> = given
            .filter(|input| input.dtype.is_real())
            .map(|input| input.name.clone())
            .collect();
        if lifted.is_empty() {
            return Ok(());
        }
        let mut request = request.clone();
        let axes = || vec![ROWS.to_owned()];
        request.lifted = lifted.iter().map(|name| (name.clone(), axes())).collect();
        let mut sink = Sink::new();
        let Some(model) = elaborate(program, &request, &mut sink) else {
            return Err("it cannot be mapped over a batch".to_owned());
        };
        let batch = |other: &dyn Fn(f64) -> f32| -> Result<Outputs, String> {
            let mut inputs = self.inputs.clone();
            for name in &lifted {
                let Some(tensor) = self.inputs.get(name) else {
                    continue;
                };
                let mut shape = vec![1];
                shape.extend_from_slice(tensor.shape());
                let one = tensor.reshape(shape.clone()).map_err(text)?;
                let second = tensor.to_f64_vec().into_iter().map(other).collect();
                let second = Tensor::new(shape, second).map_err(text)?;
                let second = second.to_dtype(tensor.dtype());
                let both = Tensor::concat(&[&one, &second], 0).map_err(text)?;
                inputs.insert(name.clone(), both);
            }
            let batch = Trial {
                model: &model,
                whole: Outputs::default(),
                inputs: BTreeMap::new(),
                params: self.params.clone(),
                sizes: self.sizes.clone(),
                ..*self
            };
            batch.run_whole(&inputs)
        };
        // Random draws differ between elements, so a batch is compared with a batch.
        let (outputs, whole) = (batch(&|_| f32::NAN)?, batch(&|x| (1.0 - x) as f32)?);
        for result in &self.stream.results {
            let output = outputs.results.get(&result.name);
            let place = output.and_then(|output| output.axes.iter().position(|own| own == ROWS));
            let Some(place) = place else {
                continue;
            };
            let of = |outputs: &Outputs| {
                let tensor = outputs.tensor(&result.name).map_err(text)?;
                tensor.slice(place, 0..1).map_err(text)
            };
            if let Some(difference) = differs(&of(&outputs)?, &of(&whole)?) {
                return Err(format!(
                    "`{}` of one element of a batch depends on another: {difference}",
                    result.name
                ));
            }
        }
        Ok(())
    }
}

/// By how much two tensors differ, if by more than is allowed.
fn differs(one: &Tensor, other: &Tensor) -> Option<String> {
    if one.shape() != other.shape() {
        return Some(format!("shape {:?}, not {:?}", one.shape(), other.shape()));
    }
    let pairs = one.to_f64_vec().into_iter().zip(other.to_f64_vec());
    let worst = pairs
        .map(|(x, y)| {
            if x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan() {
                return 0.0;
            }
            let difference = (x - y).abs() / y.abs().max(1.0);
            if difference.is_nan() {
                f64::INFINITY
            } else {
                difference
            }
        })
        .fold(0.0, f64::max);
    (worst > ALLOWED).then(|| format!("up to {worst:.3e}"))
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
