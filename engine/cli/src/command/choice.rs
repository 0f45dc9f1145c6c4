//! How tokens are chosen, as the command line says it: what `generate` and `chat` have in common.

use girih_runtime::generate::{Request, Sampling};
use girih_runtime::text::{TextError, Tokenizer};

use crate::failure::Failure;
use crate::speaker::text_error;

#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// Most tokens that are added.
    #[arg(long, default_value_t = 128)]
    pub(super) max_tokens: usize,
    /// Take the likeliest token each time; so it is without `--temperature`, `--top-k`, `--top-p`, `--min-p`.
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "min_p"])]
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
    /// Draw among those that have at least this share of the likeliest one's probability.
    #[arg(long)]
    min_p: Option<f64>,
    /// Weaken tokens that the text already has; 1 does not.
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f64,
    /// Draws depend on it alone.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Text that ends the answer, and is not part of it. May be given several times.
    #[arg(long, value_name = "TEXT")]
    pub(super) stop: Vec<String>,
    /// Text that may not occur. May be given several times.
    #[arg(long, value_name = "TEXT")]
    forbid: Vec<String>,
    /// Text that the answer begins with.
    #[arg(long, value_name = "TEXT")]
    begin: Option<String>,
}

impl Choice {
    /// Checks what can be checked without a model.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let checked = self.sampling().check();
        checked.map_err(|error| Failure::Misuse(error.to_string()))
    }

    /// The request that they make, with the tokenizer's ends.
    pub(super) fn request(&self, tokenizer: &Tokenizer) -> Result<Request, Failure> {
        let forced = match &self.begin {
            Some(text) => tokenizer.encode_plain(text).map_err(text_error)?,
            None => Vec::new(),
        };
        let mut forbidden = Vec::new();
        for text in &self.forbid {
            forbidden.extend(spellings(tokenizer, text).map_err(text_error)?);
        }
        Ok(Request {
            sampling: self.sampling(),
            max_tokens: self.max_tokens,
            ends: tokenizer.special().ends.clone(),
            forced,
            forbidden,
            seed: self.seed,
            stream: 0,
        })
    }

    fn sampling(&self) -> Sampling {
        let is_drawn = self.temperature.is_some()
            || self.top_k.is_some()
            || self.top_p.is_some()
            || self.min_p.is_some();
        let base = if self.greedy || !is_drawn {
            Sampling::GREEDY
        } else {
            Sampling::PLAIN
        };
        Sampling {
            repetition_penalty: self.repetition_penalty,
            temperature: self.temperature.unwrap_or(base.temperature),
            top_k: self.top_k.unwrap_or(base.top_k),
            top_p: self.top_p.unwrap_or(base.top_p),
            min_p: self.min_p.unwrap_or(base.min_p),
        }
    }
}

/// A text's ids at the beginning of a word and after a space: tokenizers tell them apart.
fn spellings(tokenizer: &Tokenizer, text: &str) -> Result<Vec<Vec<u32>>, TextError> {
    let mut all = Vec::new();
    for spelled in [text.to_owned(), format!(" {text}")] {
        let ids = tokenizer.encode_plain(&spelled)?;
        if !ids.is_empty() && !all.contains(&ids) {
            all.push(ids);
        }
    }
    Ok(all)
}
