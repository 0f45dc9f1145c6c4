//! `girih generate`: a model goes on from a text.

use std::io::{Write, sink};

use girih_runtime::generate::{
    Beams, Begun, Generated, Reason, Request, generate_together, search,
};
use girih_runtime::text::Message;

use super::Streams;
use super::choice::Choice;
use super::telling::Telling;
use super::voice::Voice;
use crate::failure::{Failure, Outcome};
use crate::speaker::{Asked, Speaker, text_error};

/// Let a model go on from a text.
///
/// A short name (`smollm2`) stands for model file, weights and tokenizer; they are fetched
/// once. Several prompts are answered together: the first text is printed as it comes, the others in their order.
/// Without `--temperature` the likeliest token is taken each time. The text ends with
/// a token that the tokenizer's files name as an end, before a `--stop`, or after `--max-tokens`. A model
/// with an encoder reads the prompt there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih generate smollm2 --prompt \"The capital of France is\"
  girih generate smollm2 --chat --prompt \"Name three rivers.\" --temperature 0.7 --seed 1
  girih generate smollm2 --prompt \"One, two,\" --prompt \"Un, deux,\" --beams 4
  girih generate llama.girih --weights organization/model --prompt \"Once\"")]
pub(super) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// What the text begins with. May be given several times: each begins a text of its own.
    #[arg(long, required = true)]
    prompt: Vec<String>,
    /// Ask the model as its chat template does.
    #[arg(long)]
    chat: bool,
    /// Go on where the text would end.
    #[arg(long)]
    past_end: bool,
    #[command(flatten)]
    choice: Choice,
    /// Look for the likeliest text as a whole, keeping so many at once.
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "min_p", "repetition_penalty", "greedy"])]
    beams: Option<usize>,
    /// Judge a text of n tokens by its log-probability over n to this power.
    #[arg(
        long,
        default_value_t = 1.0,
        requires = "beams",
        allow_negative_numbers = true
    )]
    length_penalty: f64,
    /// Print JSON with the tokens' ids instead of the text as it comes.
    #[arg(long)]
    json: bool,
}

/// Prompts that are answered together: each adds little to a step, and has memory of its own.
const TOGETHER: usize = 16;

/// A text that came of a prompt.
struct Said {
    prompt: Vec<u32>,
    generated: Generated,
    text: String,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    args.choice.check()?;
    let speaker = Speaker::open(&args.asked, streams.colors, streams.watched)?;
    let mut request = args.choice.request(&speaker.tokenizer)?;
    if args.past_end {
        request.ends.clear();
    }
    let mut all = Vec::new();
    if let Some(width) = args.beams {
        let beams = Beams {
            width,
            length_penalty: args.length_penalty,
        };
        for prompt in &args.prompt {
            all.push(found(args, &speaker, prompt, &request, beams, streams)?);
        }
    } else {
        for prompts in args.prompt.chunks(TOGETHER) {
            all.extend(told(args, &speaker, prompts, &request, streams)?);
            request.stream += prompts.len() as u64;
        }
    }
    if args.json {
        let all: Vec<_> = all.iter().map(json).collect();
        let result = match all.as_slice() {
            [one] => one.clone(),
            several => serde_json::json!(several),
        };
        writeln!(streams.out, "{result:#}")?;
    }
    Ok(Outcome::Holds)
}

/// The ids of a prompt.
fn encoded(args: &Args, speaker: &Speaker, prompt: &str) -> Result<Vec<u32>, Failure> {
    let tokenizer = &speaker.tokenizer;
    if !args.chat {
        return tokenizer.encode(prompt).map_err(text_error);
    }
    let template = tokenizer.chat_template().ok_or_else(|| {
        Failure::Misuse("the tokenizer has no chat template; leave `--chat` out".to_owned())
    })?;
    let text = template
        .render(&[Message::new("user", prompt)], true)
        .map_err(text_error)?;
    tokenizer.encode_plain(&text).map_err(text_error)
}

/// Goes on from several prompts token by token, and prints the texts as they come.
fn told(
    args: &Args,
    speaker: &Speaker,
    prompts: &[String],
    request: &Request,
    streams: &mut Streams<'_>,
) -> Result<Vec<Said>, Failure> {
    let encode = |prompt: &String| encoded(args, speaker, prompt);
    let ids: Vec<Vec<u32>> = prompts.iter().map(encode).collect::<Result<_, _>>()?;
    let requests: Vec<Request> = (request.stream..)
        .zip(prompts)
        .map(|(stream, _)| Request {
            stream,
            ..request.clone()
        })
        .collect();
    let begin = |ids: &Vec<u32>| speaker.begin(ids.clone());
    let mut texts: Vec<_> = ids.iter().map(begin).collect::<Result<_, _>>()?;
    let voices = prompts.iter().map(|prompt| {
        let before = if is_read_on(args, speaker) {
            prompt
        } else {
            ""
        };
        (before, Voice::new(speaker, &args.choice.stop))
    });
    let mut silence = sink();
    let out: &mut dyn Write = if args.json { &mut silence } else { streams.out };
    let mut telling = Telling::begin(voices.collect(), out)?;
    let begun = texts.iter_mut().zip(&requests);
    let begun = begun.map(|((stream, prompt), request)| Begun {
        stream,
        before: &[],
        prompt,
        request,
    });
    let generated = generate_together(begun.collect(), &mut |at, event| telling.hear(at, event));
    let said = telling.finish();
    let all = ids.into_iter().zip(generated?).zip(said?);
    let all = all.map(|((prompt, generated), text)| Said {
        prompt,
        generated,
        text,
    });
    Ok(all.collect())
}

/// Whether the text is read on from the prompt.
fn is_read_on(args: &Args, speaker: &Speaker) -> bool {
    !args.chat && !speaker.has_source()
}

/// Searches, and prints the best text when it is found.
fn found(
    args: &Args,
    speaker: &Speaker,
    prompt: &str,
    request: &Request,
    beams: Beams,
    streams: &mut Streams<'_>,
) -> Result<Said, Failure> {
    let ids = encoded(args, speaker, prompt)?;
    let (stream, begun) = speaker.begin(ids.clone())?;
    let best = search(stream, &begun, request, beams)?;
    let generated = best.into_iter().next().unwrap_or(Generated {
        ids: Vec::new(),
        log_probability: 0.0,
        reason: Reason::Length,
    });
    let mut voice = Voice::new(speaker, &args.choice.stop);
    let _ = (generated.ids.iter()).try_for_each(|id| voice.hear(*id));
    let mut silence = sink();
    let out: &mut dyn Write = if args.json { &mut silence } else { streams.out };
    if is_read_on(args, speaker) {
        write!(out, "{prompt}")?;
    }
    Ok(Said {
        prompt: ids,
        text: voice.finish(out)?,
        generated,
    })
}

fn json(said: &Said) -> serde_json::Value {
    serde_json::json!({
        "prompt_ids": said.prompt,
        "ids": said.generated.ids,
        "text": said.text,
        "log_probability": said.generated.log_probability,
        "reason": match said.generated.reason {
            Reason::End => "end",
            Reason::Length => "length",
            Reason::Stopped => "stop",
        },
    })
}
