//! One module with sizes, inputs and parameters, held to each of its promises.

mod exact;
mod ragged;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use girih_dsl::diag::Sink;
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::Model;
use girih_dsl::program::Program;
use girih_graph::stream::{Source, Stream, StreamResult};
use girih_runtime::backend::{Backend, Bindings, BoxError, Data, Executable, Outputs, silent};
use girih_runtime::session::{Opening, Session, StreamModel};
use girih_runtime::tensor::Tensor;

use crate::bench::draw;

/// Positions of the sequences that are tried.
const LENGTH: i64 = 67;

/// So many of the last positions are changed to see that nothing before them is.
const LATER: u64 = 5;

/// Sizes of pieces.
const PIECES: [usize; 5] = [1, 2, 3, 7, 64];

/// Largest difference, relative to the larger of 1 and the largest number of the tensor: both
/// sides sum the same numbers, perhaps in another order.
const ALLOWED: f64 = 1e-4;

/// A module with sizes, inputs and parameters.
pub(super) struct Trial<'a> {
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
    /// Every free size as `size`, but for the number of positions.
    pub(super) fn sizes(model: &Model, stream: &Stream, size: i64) -> BTreeMap<String, i64> {
        let graphs = [&model.graph, &model.init];
        let axes = graphs.iter().flat_map(|graph| graph.axes.iter());
        let symbols: BTreeSet<String> = axes
            .flat_map(|(_, axis)| axis.extent.symbols())
            .map(|symbol| symbol.to_string())
            .collect();
        let sized = symbols.into_iter().map(|symbol| {
            let own = if symbol == stream.new { LENGTH } else { size };
            (symbol, own)
        });
        sized.collect()
    }

    /// The whole run with these sizes, if it goes.
    pub(super) fn prepare(
        backend: &'a dyn Backend,
        model: &'a Model,
        stream: &'a Stream,
        sizes: BTreeMap<String, i64>,
        seed: u64,
    ) -> Result<Self, String> {
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
        let executable = self.backend.compile(&self.model.graph).map_err(text)?;
        self.run_on(executable.as_ref(), inputs)
    }

    /// A run of the model's graph, which is compiled already.
    fn run_on(
        &self,
        executable: &dyn Executable,
        inputs: &BTreeMap<String, Tensor>,
    ) -> Result<Outputs, String> {
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
        executable.run(&bindings, &mut silent).map_err(text)
    }

    pub(super) fn check(&self, program: &Program, request: &Request) -> Result<(), String> {
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
                agree(ends, &carried, "depends on the pieces")?;
            }
            ends.get_or_insert(carried);
        }
        self.check_read(&model, &ends.unwrap_or_default())?;
        if self.apart(&model)? {
            self.check_later()?;
        }
        self.check_exact()?;
        self.check_sessions(&model)?;
        self.check_padded(program, request)?;
        self.check_rows(program, request)
    }

    /// All positions in one piece, read for what comes after them: the results at the last one, and what is carried.
    fn check_read(
        &self,
        model: &Arc<StreamModel>,
        ends: &BTreeMap<String, Tensor>,
    ) -> Result<(), String> {
        let (mut session, steps) = self.begin(model)?;
        let outputs = session
            .prefill(&steps, LENGTH as usize, &mut silent)
            .map_err(text)?;
        for result in &self.stream.results {
            let (Source::Positions(place), 0) = (result.source, result.latency) else {
                continue;
            };
            let end = LENGTH as usize;
            let whole = rows(&self.whole, result, place, end - 1..end)?;
            let own = outputs.tensor(&result.name).map_err(text)?;
            if let Some(difference) = differs(&own, &whole) {
                return Err(format!(
                    "`{}` at the last position of a piece that is read for it is not that of the whole: {difference}",
                    result.name
                ));
            }
        }
        let what = "is another after a piece that is read for its end";
        agree(ends, &carried(&session)?, what)
    }

    /// Whether the last positions are not among those that read one another.
    fn apart(&self, model: &Arc<StreamModel>) -> Result<bool, String> {
        let (session, _) = self.begin(model)?;
        Ok(session.first_piece().map_err(text)? + LATER <= LENGTH.cast_unsigned())
    }

    /// All positions in pieces: the results, and what is carried in the end.
    fn run_pieces(
        &self,
        model: &Arc<StreamModel>,
        piece: usize,
    ) -> Result<(Outputs, BTreeMap<String, Tensor>), String> {
        let (mut session, steps) = self.begin(model)?;
        let outputs = session
            .run_to_end(&steps, piece, &mut silent)
            .map_err(text)?;
        let known = session.bytes_at(session.position());
        if known != Some(session.bytes()) {
            return Err(format!(
                "{} bytes are carried where the formula says {known:?}",
                session.bytes()
            ));
        }
        let carried = carried(&session)?;
        Ok((outputs, carried))
    }

    /// A session before its first position, and what its steps take.
    fn begin(&self, model: &Arc<StreamModel>) -> Result<(Session, BTreeMap<String, Data>), String> {
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
        let session = Session::open(model, opening).map_err(text)?;
        Ok((session, steps))
    }

    /// Streamed inputs with the positions of `range` replaced by something else.
    fn changed(&self, range: Range<usize>) -> Result<BTreeMap<String, Tensor>, String> {
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

    /// What comes later than an output waits for changes nothing.
    fn check_later(&self) -> Result<(), String> {
        let end = LENGTH as usize;
        let kept = end - LATER as usize;
        let outputs = self.run_whole(&self.changed(kept..end)?)?;
        for result in &self.stream.results {
            let Source::Positions(place) = result.source else {
                continue;
            };
            let late = usize::try_from(result.latency).unwrap_or(usize::MAX);
            let known = 0..kept.saturating_sub(late);
            let (own, whole) = (
                rows(&outputs, result, place, known.clone())?,
                rows(&self.whole, result, place, known)?,
            );
            if let Some(difference) = differs(&own, &whole) {
                return Err(format!(
                    "`{}` depends on positions that come later: {difference}",
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

/// What a session carries, in memory.
fn carried(session: &Session) -> Result<BTreeMap<String, Tensor>, String> {
    let all = session.carried().iter();
    all.map(|(name, data)| Ok((name.clone(), data.to_host().map_err(text)?)))
        .collect()
}

/// Whether the same is carried; `what` is said of what is not.
fn agree(
    ends: &BTreeMap<String, Tensor>,
    carried: &BTreeMap<String, Tensor>,
    what: &str,
) -> Result<(), String> {
    for (name, own) in carried {
        if let Some(difference) = ends.get(name).and_then(|other| differs(own, other)) {
            return Err(format!("what is carried as `{name}` {what}: {difference}"));
        }
    }
    Ok(())
}

/// Positions of a result.
fn rows(
    outputs: &Outputs,
    result: &StreamResult,
    place: usize,
    range: Range<usize>,
) -> Result<Tensor, String> {
    let tensor = outputs.tensor(&result.name).map_err(text)?;
    tensor.slice(place, range).map_err(text)
}

/// By how much two tensors differ, if by more than is allowed.
fn differs(one: &Tensor, other: &Tensor) -> Option<String> {
    if one.shape() != other.shape() {
        return Some(format!("shape {:?}, not {:?}", one.shape(), other.shape()));
    }
    let (one, other) = (one.to_f64_vec(), other.to_f64_vec());
    let finite = other.iter().map(|x| x.abs()).filter(|x| x.is_finite());
    let scale = finite.fold(1.0, f64::max);
    let differences = one.iter().zip(&other).map(|(x, y)| {
        if x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan() {
            return 0.0;
        }
        let difference = (x - y).abs() / scale;
        if difference.is_nan() {
            f64::INFINITY
        } else {
            difference
        }
    });
    let worst = differences.fold(0.0, f64::max);
    (worst > ALLOWED).then(|| format!("up to {worst:.3e}"))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
