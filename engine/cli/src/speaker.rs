//! A model that goes on from a text: which input takes tokens, which result has logits, and how they
//! become a [`Continuation`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use girih_dsl::model::{InputInfo, Model, Static};
use girih_graph::AxisId;
use girih_runtime::backend::{Data, Outputs, silent};
use girih_runtime::generate::{Continuation, GenerateError};
use girih_runtime::session;
use girih_runtime::tensor::Tensor;
use girih_runtime::text::{TextError, Tokenizer};

use crate::backend;
use crate::checkpoint::Checkpoint;
use crate::failure::Failure;
use crate::session::{Chosen, PIECE, Session, Setup, Streaming, choose_model};
use crate::streaming::lateness;

/// What a person says about the model that is to speak.
#[derive(Debug, clap::Args)]
pub struct Asked {
    /// A model file, or a short name.
    pub model: String,
    /// A file or a folder of weights, or a name for `girih pull`.
    #[arg(long)]
    pub weights: Option<PathBuf>,
    /// `tokenizer.json`, a GGUF file, or a folder with one of them; by default that of the weights.
    #[arg(long)]
    pub tokenizer: Option<PathBuf>,
    /// A static argument of the model, before what the weights say.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = crate::setting::parse)]
    pub settings: Vec<(String, Static)>,
    /// What computes, and how.
    #[command(flatten)]
    pub backend: backend::Asked,
}

/// A model with its weights and its tokenizer, ready to speak.
pub struct Speaker {
    /// Turns text into ids and back.
    pub tokenizer: Tokenizer,
    streaming: Streaming,
    form: Form,
    /// What a target text begins with, if the model reads a source beside it.
    start: Option<u32>,
}

/// Which input takes tokens and which result has logits.
struct Form {
    input: String,
    /// The input that an encoder reads.
    source: Option<String>,
    result: String,
    /// Where the time axis lies in the result.
    time: usize,
}

impl Speaker {
    /// Makes a model ready.
    ///
    /// # Errors
    ///
    /// A model that does not take tokens and give logits, no weights or tokenizer, and all that can
    /// be wrong with those.
    pub fn open(
        asked: &Asked,
        colors: girih_dsl::diag::Colors,
        watched: bool,
    ) -> Result<Self, Failure> {
        let backend = asked.backend.make()?;
        let (weights, tokenizer) = (asked.weights.as_deref(), asked.tokenizer.as_deref());
        let chosen = choose_model(&asked.model, weights, tokenizer, colors, watched)?;
        let Some(weights) = &chosen.weights else {
            return Err(Failure::Misuse(
                "which weights? give them with `--weights`".to_owned(),
            ));
        };
        let checkpoint = Checkpoint::open(weights)?;
        let tokenizer = open_tokenizer(&chosen, weights)?;
        let setup = Setup {
            program: &chosen.program,
            checkpoint: Some(&checkpoint),
            backend: backend.as_ref(),
            set: &asked.settings,
            seed: 0,
            colors,
            watched,
        };
        let needed = Session::needed(&setup, &|_| false)?;
        let streaming = Streaming::open(&setup, Some(&needed))?;
        let results = &streaming.shared.stream().results;
        if let Some(late) = results.iter().find(|result| result.latency > 0) {
            let why = lateness(late);
            return Err(Failure::Refused(format!(
                "{why}: nothing can go on from its last position"
            )));
        }
        let form = Form::of(&streaming.model)?;
        let start = match form.source {
            Some(_) => Some(start_of_target(&checkpoint, &tokenizer)?),
            None => None,
        };
        Ok(Self {
            tokenizer,
            streaming,
            form,
            start,
        })
    }

    /// A text that has not begun, and the ids that it is to go on from, of a prompt's ids: the prompt itself, or
    /// the beginning of a target whose source is the prompt.
    ///
    /// # Errors
    ///
    /// Inputs that the model does not have.
    pub fn begin(&self, prompt: Vec<u32>) -> Result<(Stream<'_>, Vec<u32>), Failure> {
        let (source, begun) = match self.start {
            Some(start) => (prompt, vec![start]),
            None => (Vec::new(), prompt),
        };
        let stream = Stream {
            session: self.session(&source)?,
            speaker: self,
            source,
            ids: Vec::new(),
        };
        Ok((stream, begun))
    }

    /// A session before the first token.
    fn session(&self, source: &[u32]) -> Result<session::Session, Failure> {
        let mut inputs = BTreeMap::new();
        if let Some(name) = &self.form.source {
            inputs.insert(name.clone(), tokens(source)?);
        }
        Ok(self.streaming.begin(inputs, 0)?.0)
    }

    /// Whether the model reads the whole prompt before it says its first token.
    pub fn has_source(&self) -> bool {
        self.start.is_some()
    }
}

/// A text that a model reads and goes on with.
#[derive(Clone)]
pub struct Stream<'a> {
    speaker: &'a Speaker,
    session: session::Session,
    source: Vec<u32>,
    ids: Vec<u32>,
}

impl Stream<'_> {
    /// Ids that have been read.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Forgets all but the first `position` ids. What cannot go back reads them again.
    ///
    /// # Errors
    ///
    /// Whatever fails in the model.
    pub fn rewind(&mut self, position: usize) -> Result<(), Failure> {
        let kept = self.ids.get(..position).unwrap_or(&self.ids).to_vec();
        if self.session.roll_back(kept.len() as u64).is_err() {
            let mut session = self.speaker.session(&self.source)?;
            if !kept.is_empty() {
                self.speaker.read(&mut session, &kept)?;
            }
            self.session = session;
        }
        self.ids = kept;
        Ok(())
    }
}

impl Continuation for Stream<'_> {
    type Error = Failure;

    fn push(&mut self, ids: &[u32]) -> Result<Vec<f64>, Failure> {
        let outputs = self.speaker.read(&mut self.session, ids)?;
        self.ids.extend_from_slice(ids);
        self.speaker.form.last_logits(&outputs)
    }

    fn push_together(streams: &mut [(&mut Self, &[u32])]) -> Result<Vec<Vec<f64>>, Failure> {
        let one_each = streams.iter().all(|(_, ids)| ids.len() == 1);
        let (true, Some((first, _))) = (one_each, streams.first()) else {
            // Prompts are read one after another: a weight is read once for many of their tokens.
            let each = streams.iter_mut();
            return each.map(|(stream, ids)| stream.push(ids)).collect();
        };
        let speaker = first.speaker;
        let inputs: Vec<BTreeMap<String, Data>> = streams
            .iter()
            .map(|(_, ids)| speaker.inputs(ids))
            .collect::<Result<_, _>>()?;
        let steps = streams.iter_mut().zip(&inputs);
        let mut steps: Vec<_> = steps
            .map(|((stream, _), inputs)| (&mut stream.session, inputs))
            .collect();
        let outputs = session::Session::step_together(&mut steps, &mut silent);
        let outputs = outputs.map_err(|error| Failure::Refused(error.to_string()))?;
        for (stream, ids) in &mut *streams {
            stream.ids.extend_from_slice(ids);
        }
        let logits = outputs.iter();
        logits.map(|own| speaker.form.last_logits(own)).collect()
    }

    fn fork(&self) -> Result<Self, Failure> {
        Ok(self.clone())
    }
}

impl Speaker {
    /// Reads ids; gives what the model says of the last of them.
    fn read(&self, session: &mut session::Session, ids: &[u32]) -> Result<Outputs, Failure> {
        let outputs = session.prefill(&self.inputs(ids)?, PIECE, &mut silent);
        outputs.map_err(|error| Failure::Refused(error.to_string()))
    }

    /// What a step takes for ids.
    fn inputs(&self, ids: &[u32]) -> Result<BTreeMap<String, Data>, Failure> {
        let inputs = BTreeMap::from([(self.form.input.clone(), tokens(ids)?)]);
        Ok(self.streaming.step_inputs(inputs))
    }
}

impl Form {
    fn of(model: &Model) -> Result<Self, Failure> {
        let given: Vec<&InputInfo> = model.inputs.iter().filter(|input| input.given).collect();
        let takes_tokens = |input: &InputInfo| input.dtype.is_integer() && input.axes.len() == 1;
        if let Some(other) = given.iter().find(|input| !takes_tokens(input)) {
            return Err(Failure::Refused(format!(
                "a model that goes on from a text takes tokens: `{}: i64[t]`",
                other.name
            )));
        }
        let table = &model.graph.axes;
        let root = |axis: &AxisId| table.root(*axis);
        let along =
            |input: &InputInfo, axis: AxisId| input.axes.iter().any(|own| root(own) == axis);
        let mut results: Vec<&(String, Vec<AxisId>)> = model.results.iter().collect();
        // Models that show more than logits name them.
        results.sort_by_key(|(name, _)| name != "logits");
        // Which result, where its time axis lies, and which input has that axis.
        let logits = results.iter().find_map(|(name, axes)| {
            let [a, b] = axes.as_slice() else { return None };
            let input = |axis: &AxisId| given.iter().find(|input| along(input, root(axis)));
            match (input(a), input(b)) {
                (Some(input), None) => Some((name, 0, input)),
                (None, Some(input)) => Some((name, 1, input)),
                _ => None,
            }
        });
        let Some((result, time, input)) = logits else {
            return Err(Failure::Refused(
                "a model that goes on from a text takes tokens and gives logits: `forward(ids: i64[t]) -> f32[t, vocab]`".to_owned(),
            ));
        };
        let others: Vec<_> = given
            .iter()
            .filter(|other| other.name != input.name)
            .collect();
        let source = match others.as_slice() {
            [] => None,
            [source] => Some(source.name.clone()),
            several => {
                return Err(Failure::Refused(format!(
                    "a model that goes on from a text takes it, and perhaps a source; this one takes {} inputs",
                    several.len() + 1
                )));
            }
        };
        Ok(Self {
            input: input.name.clone(),
            source,
            result: result.clone(),
            time,
        })
    }

    /// The logits of the next token.
    fn last_logits(&self, outputs: &Outputs) -> Result<Vec<f64>, Failure> {
        let refused = |error: girih_runtime::backend::RunError| Failure::Refused(error.to_string());
        let logits = outputs.tensor(&self.result).map_err(refused)?;
        let extent = logits.shape().get(self.time).copied().unwrap_or(0);
        if extent == 0 {
            return Err(Failure::Refused(format!(
                "the result `{}` has no positions",
                self.result
            )));
        }
        Ok(logits.slice(self.time, extent - 1..extent)?.to_f64_vec())
    }
}

fn tokens(ids: &[u32]) -> Result<Tensor, Failure> {
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    Ok(Tensor::new([ids.len()], ids)?)
}

/// What a decoder's text begins with, by the checkpoint's settings.
fn start_of_target(checkpoint: &Checkpoint, tokenizer: &Tokenizer) -> Result<u32, Failure> {
    let special = tokenizer.special();
    let id = match checkpoint.config.get("decoder_start_token_id") {
        Some(Static::Int(id)) => u32::try_from(*id).ok(),
        _ => special.bos.or(special.pad),
    };
    id.ok_or_else(|| {
        Failure::Refused(
            "the settings of the weights have no `decoder_start_token_id`, and the tokenizer no token that begins a text".to_owned(),
        )
    })
}

fn open_tokenizer(chosen: &Chosen, weights: &Path) -> Result<Tokenizer, Failure> {
    let place = chosen.tokenizer.as_deref().unwrap_or(weights);
    let place = if place.is_file() && !is_tokenizer(place) {
        place.parent().unwrap_or(place)
    } else {
        place
    };
    Tokenizer::open(place).map_err(text_error)
}

/// Whether a file can be a tokenizer itself; else one is looked for beside it.
fn is_tokenizer(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "json" || extension == "gguf")
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
pub(crate) fn text_error(error: TextError) -> Failure {
    Failure::Refused(error.to_string())
}

impl From<GenerateError<Failure>> for Failure {
    fn from(error: GenerateError<Failure>) -> Self {
        match error {
            GenerateError::Model(failure) => failure,
            GenerateError::EmptyPrompt | GenerateError::NoBeams => Self::Misuse(error.to_string()),
            GenerateError::NoChoice { .. } | GenerateError::UnknownToken { .. } => {
                Self::Refused(error.to_string())
            }
        }
    }
}
