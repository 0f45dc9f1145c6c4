//! A model goes on from token ids.
//!
//! [`generate`] asks a [`Continuation`] for logits, lets [`Sampling`] choose, and
//! says each token as it comes; [`generate_together`] does so for several texts at once.
//! [`search`] keeps several continuations and gives the likeliest. All know ids alone: text,
//! its borders and strings that stop it are [`crate::text`]'s.
//!
//! What is drawn depends on the seed, the stream and the position of the token
//! in it, never on how work was divided: a stream that is restored or run on more threads
//! goes on as it would have.

mod beam;
mod sampling;
mod together;

use std::ops::ControlFlow;

pub use beam::{Beams, search};
pub use sampling::{Choice, Sampling, SamplingError, draw};
pub use together::{Begun, Event, generate_together};

/// A stream of tokens that a model reads and goes on with.
pub trait Continuation: Sized {
    /// Why a step fails.
    type Error;

    /// Reads ids, at least one, and gives the logits of what follows the last of them.
    ///
    /// # Errors
    ///
    /// Whatever fails in the model; the stream is then where it was.
    fn push(&mut self, ids: &[u32]) -> Result<Vec<f64>, Self::Error>;

    /// Reads ids into several streams, at least one into each; gives the logits of each, in their order.
    ///
    /// # Errors
    ///
    /// Whatever fails in the model; streams may then be where they were, or behind what they were to read.
    fn push_together(streams: &mut [(&mut Self, &[u32])]) -> Result<Vec<Vec<f64>>, Self::Error> {
        streams
            .iter_mut()
            .map(|(stream, ids)| stream.push(ids))
            .collect()
    }

    /// A second stream that is where this one is.
    ///
    /// # Errors
    ///
    /// No memory for it.
    fn fork(&self) -> Result<Self, Self::Error>;
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens that are added.
    pub max_tokens: usize,
    /// Tokens that end the text; they are not part of what is generated.
    pub ends: Vec<u32>,
    /// What the continuation begins with, whatever the model thinks.
    pub forced: Vec<u32>,
    /// Continuations that may not occur: the last token of none of them is chosen after
    /// the others.
    pub forbidden: Vec<Vec<u32>>,
    /// Draws depend on it and on `stream`.
    pub seed: u64,
    /// Which of several texts with one seed this is.
    pub stream: u64,
}

impl Request {
    /// The likeliest token each time, at most `max_tokens` of them.
    pub fn greedy(max_tokens: usize) -> Self {
        Self {
            sampling: Sampling::GREEDY,
            max_tokens,
            ends: Vec::new(),
            forced: Vec::new(),
            forbidden: Vec::new(),
            seed: 0,
            stream: 0,
        }
    }

    /// Tokens that may not follow `ids`, of which the first `prompt` were given.
    fn barred<'a>(&'a self, ids: &'a [u32], prompt: usize) -> impl Iterator<Item = u32> + 'a {
        let added = ids.get(prompt..).unwrap_or_default();
        self.forbidden.iter().filter_map(move |sequence| {
            let (last, before) = sequence.split_last()?;
            added.ends_with(before).then_some(*last)
        })
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Tokens after the prompt.
    pub ids: Vec<u32>,
    /// Sum of their log-probabilities under the model, before any sampling rule; that of the
    /// token that ended the text is part of it.
    pub log_probability: f64,
    /// Why there are no more.
    pub reason: Reason,
}

/// Why a text has no more tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The model chose a token that ends it.
    End,
    /// As many as were asked for.
    Length,
    /// Whoever was told of the tokens said so.
    Stopped,
}

/// Why nothing can be generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError<E> {
    /// There is nothing to go on from.
    #[error("the prompt has no tokens; write some text")]
    EmptyPrompt,
    /// No token is left to choose.
    #[error(
        "after {position} tokens no token can be chosen: the model's logits are not numbers, or all are forbidden"
    )]
    NoChoice {
        /// Tokens so far, with the prompt.
        position: usize,
    },
    /// A token that the model does not have.
    #[error("the token {id} is asked for, but the model has {size} of them")]
    UnknownToken {
        /// Which.
        id: u32,
        /// Number of tokens.
        size: usize,
    },
    /// No beams.
    #[error("a search needs at least one beam")]
    NoBeams,
    /// The model.
    #[error(transparent)]
    Model(#[from] E),
}

/// Goes on from `prompt`, telling `say` every token.
///
/// `stream` must be where the prompt begins, or may have read a beginning of it: then `prompt` is what
/// it has not read, and `before` what it has. At the end `stream` has read everything but the last
/// token.
///
/// # Errors
///
/// An empty prompt, logits of which none is a number, and what the model says. Tokens that
/// were said stay said.
pub fn generate<C: Continuation>(
    stream: &mut C,
    before: &[u32],
    prompt: &[u32],
    request: &Request,
    say: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Result<Generated, GenerateError<C::Error>> {
    let begun = Begun {
        stream,
        before,
        prompt,
        request,
    };
    let mut all = generate_together(vec![begun], &mut |_, event| match event {
        Event::Token(id) => say(id),
        Event::Over => ControlFlow::Continue(()),
    })?;
    Ok(all.pop().expect("as many as were begun"))
}

/// The token that follows `ids`, of which the first `given` are the prompt.
fn next<E>(
    logits: &[f64],
    ids: &[u32],
    given: usize,
    request: &Request,
) -> Result<Choice, GenerateError<E>> {
    if let Some(&id) = request.forced.get(ids.len() - given) {
        let log_probability = sampling::log_probability(logits, id);
        return match log_probability {
            Some(log_probability) => Ok(Choice {
                id,
                log_probability,
            }),
            None => Err(GenerateError::UnknownToken {
                id,
                size: logits.len(),
            }),
        };
    }
    let barred: Vec<u32> = request.barred(ids, given).collect();
    let draw = sampling::draw(request.seed, request.stream, ids.len() as u64);
    let choice = request.sampling.choose(logits, ids, &barred, draw);
    choice.ok_or(GenerateError::NoChoice {
        position: ids.len(),
    })
}

#[cfg(test)]
mod tests;
