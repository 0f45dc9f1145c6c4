//! Several texts at once, token by token: each step of the model takes one token of every text that goes on.

use std::ops::ControlFlow;

use super::{Continuation, GenerateError, Generated, Reason, Request, next};

/// A text that is to go on.
#[derive(Debug)]
pub struct Begun<'a, C> {
    /// Where the prompt begins, or behind `before`.
    pub stream: &'a mut C,
    /// What the stream has read already.
    pub before: &'a [u32],
    /// What it has not read yet.
    pub prompt: &'a [u32],
    /// How the text goes on.
    pub request: &'a Request,
}

/// What happens to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has one token more.
    Token(u32),
    /// It has no more tokens.
    Over,
}

/// A text on its way.
struct Text<'a, C> {
    stream: &'a mut C,
    request: &'a Request,
    ids: Vec<u32>,
    /// Ids that were given.
    given: usize,
    /// The first id that the stream has not read.
    unread: usize,
    log_probability: f64,
    /// Why it is over, if it is.
    reason: Option<Reason>,
}

/// Goes on from several prompts at once, telling `say` what happens to which of them. Each becomes what
/// [`generate`](super::generate) makes of it alone.
///
/// # Errors
///
/// As for [`generate`](super::generate), of any of them. Tokens that were said stay said.
pub fn generate_together<C: Continuation>(
    begun: Vec<Begun<'_, C>>,
    say: &mut dyn FnMut(usize, Event) -> ControlFlow<()>,
) -> Result<Vec<Generated>, GenerateError<C::Error>> {
    if begun.iter().any(|own| own.prompt.is_empty()) {
        return Err(GenerateError::EmptyPrompt);
    }
    let mut texts: Vec<Text<'_, C>> = begun.into_iter().map(Text::new).collect();
    loop {
        for (at, text) in texts.iter_mut().enumerate() {
            let added = text.ids.len() - text.given;
            if text.reason.is_none() && added >= text.request.max_tokens {
                text.end(Reason::Length, &mut |event| say(at, event));
            }
        }
        let mut going: Vec<(usize, &mut Text<'_, C>)> = (texts.iter_mut().enumerate())
            .filter(|(_, text)| text.reason.is_none())
            .collect();
        if going.is_empty() {
            break;
        }
        let mut reads: Vec<(&mut C, &[u32])> = going
            .iter_mut()
            .map(|(_, text)| (&mut *text.stream, &text.ids[text.unread..]))
            .collect();
        let logits = C::push_together(&mut reads)?;
        for ((at, text), logits) in going.iter_mut().zip(logits) {
            text.go_on(&logits, &mut |event| say(*at, event))?;
        }
    }
    Ok(texts.into_iter().map(Text::generated).collect())
}

impl<'a, C> Text<'a, C> {
    fn new(begun: Begun<'a, C>) -> Self {
        let Begun {
            stream,
            before,
            prompt,
            request,
        } = begun;
        let ids = [before, prompt].concat();
        Self {
            stream,
            request,
            given: ids.len(),
            ids,
            unread: before.len(),
            log_probability: 0.0,
            reason: None,
        }
    }

    /// Adds the token that logits make.
    fn go_on<E>(
        &mut self,
        logits: &[f64],
        say: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), GenerateError<E>> {
        self.unread = self.ids.len();
        let choice = next(logits, &self.ids, self.given, self.request)?;
        self.log_probability += choice.log_probability;
        if self.request.ends.contains(&choice.id) {
            self.end(Reason::End, say);
            return Ok(());
        }
        self.ids.push(choice.id);
        if say(Event::Token(choice.id)).is_break() {
            self.end(Reason::Stopped, say);
        }
        Ok(())
    }

    fn end(&mut self, reason: Reason, say: &mut dyn FnMut(Event) -> ControlFlow<()>) {
        self.reason = Some(reason);
        // Whatever is answered, nothing is left to stop.
        let _ = say(Event::Over);
    }

    fn generated(mut self) -> Generated {
        Generated {
            ids: self.ids.split_off(self.given),
            log_probability: self.log_probability,
            reason: self.reason.unwrap_or(Reason::Length),
        }
    }
}
