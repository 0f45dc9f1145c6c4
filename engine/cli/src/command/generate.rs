//! `girih generate`: a model goes on from a text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use girih_dsl::model::{Model, Static};
use girih_graph::AxisId;
use girih_runtime::backend::Outputs;
use girih_runtime::tensor::Tensor;
use girih_runtime::text::{Message, TextError, Tokenizer};

use super::Streams;
use crate::checkpoint::Checkpoint;
use crate::failure::{Failure, Outcome};
use crate::sampling::{Draws, Sampling, choose};
use crate::session::{Session, Setup, choose_model};
use crate::{backend, setting};

/// Let a model go on from a text.
///
/// A short name (`smollm2`) stands for model file, weights and tokenizer; they are fetched
/// once. Without `--temperature` the likeliest token is taken each time. The text ends with
/// a token that the tokenizer's files name as an end, or after `--max-tokens`.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "every flag of the command line is one"
)]
#[command(after_help = "\
Examples:
  girih generate smollm2 --prompt \"The capital of France is\"
  girih generate smollm2 --chat --prompt \"Name three rivers.\" --temperature 0.7 --seed 1
  girih generate llama.girih --weights organization/model --prompt \"Once\"")]
pub(super) struct Args {
    /// A model file, or a short name.
    model: String,
    /// A file or a folder of weights, or a name for `girih pull`.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// `tokenizer.json`, a GGUF file, or a folder with one of them; by default that of the weights.
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    /// What the text begins with.
    #[arg(long)]
    prompt: String,
    /// Ask the model as its chat template does.
    #[arg(long)]
    chat: bool,
    /// Most tokens that are added.
    #[arg(long, default_value_t = 128)]
    max_tokens: usize,
    /// Go on where the text would end.
    #[arg(long)]
    past_end: bool,
    /// Take the likeliest token each time.
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p"])]
    greedy: bool,
    /// Draw tokens: below 1 the likely ones more often, above 1 less.
    #[arg(long)]
    temperature: Option<f64>,
    /// Draw among so many of the likeliest only.
    #[arg(long)]
    top_k: Option<usize>,
    /// Draw among the likeliest whose probabilities sum to this only.
    #[arg(long)]
    top_p: Option<f64>,
    /// Draws depend on it alone.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A static argument of the model, before what the weights say.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting::parse)]
    settings: Vec<(String, Static)>,
    /// What computes.
    #[arg(long, default_value = "cpu")]
    backend: String,
    /// Print JSON with the tokens' ids instead of the text as it comes.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let sampling = sampling(args)?;
    let backend = backend::by_name(&args.backend, &backend::Options::default())?;
    let chosen = choose_model(
        &args.model,
        args.weights.as_deref(),
        args.tokenizer.as_deref(),
        streams.colors,
        streams.watched,
    )?;
    let Some(weights) = &chosen.weights else {
        return Err(Failure::Misuse(
            "which weights? give them with `--weights`".to_owned(),
        ));
    };
    let checkpoint = Checkpoint::open(weights)?;
    let place = chosen.tokenizer.as_ref().unwrap_or(weights);
    let place = if place.is_file() && !is_tokenizer(place) {
        place.parent().unwrap_or(place)
    } else {
        place
    };
    let tokenizer = Tokenizer::open(place).map_err(text_error)?;
    let ids = if args.chat {
        let template = tokenizer.chat_template().ok_or_else(|| {
            Failure::Misuse("the tokenizer has no chat template; leave `--chat` out".to_owned())
        })?;
        let text = template
            .render(&[Message::new("user", args.prompt.as_str())], true)
            .map_err(text_error)?;
        tokenizer.encode_plain(&text).map_err(text_error)?
    } else {
        tokenizer.encode(&args.prompt).map_err(text_error)?
    };
    if ids.is_empty() {
        return Err(Failure::Misuse(
            "the prompt has no tokens; write some text".to_owned(),
        ));
    }
    let setup = Setup {
        program: &chosen.program,
        checkpoint: Some(&checkpoint),
        backend: backend.as_ref(),
        set: &args.settings,
        seed: args.seed,
        colors: streams.colors,
        watched: streams.watched,
    };
    let session = Session::open(&setup, None)?;
    let speaker = Speaker::of(&session.model)?;
    let mut draws = Draws::new(args.seed);
    let mut all: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    let mut decoder = tokenizer.stream().without_special();
    let mut text = String::new();
    let mut say = |piece: &str, streams: &mut Streams<'_>| -> Result<(), Failure> {
        text.push_str(piece);
        if !args.json {
            write!(streams.out, "{piece}")?;
            streams.out.flush()?;
        }
        Ok(())
    };
    if !args.json && !args.chat {
        write!(streams.out, "{}", args.prompt)?;
        streams.out.flush()?;
    }
    let start = all.len();
    for _ in 0..args.max_tokens {
        let tokens = Tensor::new([all.len()], all.clone())?;
        let outputs = session.run(BTreeMap::from([(speaker.input.clone(), tokens)]), args.seed)?;
        let logits = speaker.last_logits(&outputs)?;
        let Some(next) = choose(&logits, &sampling, &mut draws) else {
            return Err(Failure::Refused(
                "the model's logits are not numbers".to_owned(),
            ));
        };
        all.push(next as i64);
        let next = u32::try_from(next).unwrap_or(u32::MAX);
        if !args.past_end && tokenizer.special().ends.contains(&next) {
            break;
        }
        let piece = decoder.push(next).map_err(text_error)?;
        say(&piece, streams)?;
    }
    let rest = decoder.finish().map_err(text_error)?;
    say(&rest, streams)?;
    if args.json {
        let result = serde_json::json!({"prompt_ids": ids, "ids": all[start..], "text": text});
        writeln!(streams.out, "{result:#}")?;
    } else {
        writeln!(streams.out)?;
    }
    Ok(Outcome::Holds)
}

fn sampling(args: &Args) -> Result<Sampling, Failure> {
    let drawn = args.temperature.is_some() || args.top_k.is_some() || args.top_p.is_some();
    if args.greedy || !drawn {
        return Ok(Sampling::GREEDY);
    }
    let sampling = Sampling {
        temperature: args.temperature.unwrap_or(1.0),
        top_k: args.top_k.unwrap_or(0),
        top_p: args.top_p.unwrap_or(1.0),
    };
    if !(sampling.temperature.is_finite() && sampling.temperature >= 0.0) {
        return Err(Failure::Misuse(
            "`--temperature` is a number from 0 on".to_owned(),
        ));
    }
    if !(0.0..=1.0).contains(&sampling.top_p) {
        return Err(Failure::Misuse(
            "`--top-p` is a number between 0 and 1".to_owned(),
        ));
    }
    Ok(sampling)
}

/// Whether a file can be a tokenizer itself; else one is looked for beside it.
fn is_tokenizer(path: &std::path::Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "json" || extension == "gguf")
}

#[expect(clippy::needless_pass_by_value, reason = "given to `map_err`")]
fn text_error(error: TextError) -> Failure {
    Failure::Refused(error.to_string())
}

/// Which input takes tokens and which result has logits.
struct Speaker {
    input: String,
    result: String,
    /// Positions of the time axis and of the vocabulary in the result.
    places: (usize, usize),
}

impl Speaker {
    fn of(model: &Model) -> Result<Self, Failure> {
        let given: Vec<_> = model.inputs.iter().filter(|input| input.given).collect();
        let [input] = given.as_slice() else {
            return Err(Failure::Refused(format!(
                "a model that goes on from a text takes tokens, as in `forward(ids: i64[t])`; this one takes {} inputs",
                given.len()
            )));
        };
        let ([time], true) = (input.axes.as_slice(), input.dtype.is_integer()) else {
            return Err(Failure::Refused(format!(
                "a model that goes on from a text takes tokens: `{}: i64[t]`",
                input.name
            )));
        };
        let table = &model.graph.axes;
        let speaks = |(name, axes): &(String, Vec<AxisId>)| {
            let [a, b] = axes.as_slice() else { return None };
            let places = match (table.root(*a) == *time, table.root(*b) == *time) {
                (true, false) => (0, 1),
                (false, true) => (1, 0),
                _ => return None,
            };
            Some((name.clone(), places))
        };
        let mut results: Vec<&(String, Vec<AxisId>)> = model.results.iter().collect();
        // Models that show more than logits name them.
        results.sort_by_key(|(name, _)| name != "logits");
        let (result, places) = results.into_iter().find_map(speaks).ok_or_else(|| {
            Failure::Refused(
                "a model that goes on from a text gives logits: `f32[t, vocab]`".to_owned(),
            )
        })?;
        Ok(Self {
            input: input.name.clone(),
            result,
            places,
        })
    }

    /// The logits of the next token.
    fn last_logits(&self, outputs: &Outputs) -> Result<Vec<f64>, Failure> {
        let refused = |error: girih_runtime::backend::RunError| Failure::Refused(error.to_string());
        let logits = outputs.tensor(&self.result).map_err(refused)?;
        let (time, _) = self.places;
        let extent = logits.shape().get(time).copied().unwrap_or(0);
        if extent == 0 {
            return Err(Failure::Refused(format!(
                "the result `{}` has no positions",
                self.result
            )));
        }
        Ok(logits.slice(time, extent - 1..extent)?.to_f64_vec())
    }
}
