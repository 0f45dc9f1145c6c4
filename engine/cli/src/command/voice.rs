//! Tokens said as text, as they come.

use std::io::Write;
use std::ops::ControlFlow;

use girih_runtime::text::{StopText, StreamDecoder};

use crate::failure::Failure;
use crate::speaker::{Speaker, text_error};

/// Text of tokens as they come, up to a string that stops it.
pub(super) struct Voice<'a> {
    decoder: StreamDecoder<'a>,
    stop: StopText,
    text: String,
    /// Bytes of the text that have been printed.
    printed: usize,
    problem: Option<Failure>,
}

impl<'a> Voice<'a> {
    pub(super) fn new(speaker: &'a Speaker, stops: &[String]) -> Self {
        Self {
            decoder: speaker.tokenizer.stream().without_special(),
            stop: StopText::new(stops.iter().cloned()),
            text: String::new(),
            printed: 0,
            problem: None,
        }
    }

    /// Takes a token, and prints to `out` what it makes certain; `Break` after a stop, or when nothing can be said.
    pub(super) fn say(&mut self, id: u32, out: &mut dyn Write) -> ControlFlow<()> {
        self.hear(id)?;
        self.problem = self.print(out).err();
        self.flow()
    }

    /// Takes a token, and keeps what it makes certain; `Break` as for [`say`](Self::say).
    pub(super) fn hear(&mut self, id: u32) -> ControlFlow<()> {
        match self.decoder.push(id) {
            Ok(piece) => self.text.push_str(&self.stop.push(&piece)),
            Err(error) => self.problem = Some(text_error(error)),
        }
        self.flow()
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.problem.is_some() || self.stop.has_stopped() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Says what is left, ends the line, and gives all that was said.
    ///
    /// # Errors
    ///
    /// What kept a token from being said.
    pub(super) fn finish(&mut self, out: &mut dyn Write) -> Result<String, Failure> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let rest = self.decoder.finish().map_err(text_error)?;
        self.text.push_str(&self.stop.push(&rest));
        self.text.push_str(&self.stop.finish());
        self.print(out)?;
        writeln!(out)?;
        self.printed = 0;
        Ok(std::mem::take(&mut self.text))
    }

    /// Prints what has not been printed yet.
    pub(super) fn print(&mut self, out: &mut dyn Write) -> Result<(), Failure> {
        write!(out, "{}", &self.text[self.printed..])?;
        self.printed = self.text.len();
        Ok(out.flush()?)
    }
}
