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
    out: Option<&'a mut dyn Write>,
    text: String,
    problem: Option<Failure>,
}

impl<'a> Voice<'a> {
    /// Prints to `out`, if it is there.
    pub(super) fn new(
        speaker: &'a Speaker,
        stops: &[String],
        out: Option<&'a mut dyn Write>,
    ) -> Self {
        Self {
            decoder: speaker.tokenizer.stream().without_special(),
            stop: StopText::new(stops.iter().cloned()),
            out,
            text: String::new(),
            problem: None,
        }
    }

    /// Says what a token makes certain; `Break` after a stop, or when nothing can be said.
    pub(super) fn say(&mut self, id: u32) -> ControlFlow<()> {
        let piece = self.decoder.push(id).map_err(text_error);
        let said = piece.and_then(|piece| {
            let piece = self.stop.push(&piece);
            self.print(&piece)
        });
        self.problem = said.err();
        if self.problem.is_some() || self.stop.has_stopped() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Says what is left, ends the line, and gives all that was said.
    ///
    /// # Errors
    ///
    /// What kept [`say`](Self::say) from going on.
    pub(super) fn finish(mut self) -> Result<String, Failure> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let rest = self.decoder.finish().map_err(text_error)?;
        let mut rest = self.stop.push(&rest);
        rest.push_str(&self.stop.finish());
        self.print(&rest)?;
        if let Some(out) = &mut self.out {
            writeln!(out)?;
        }
        Ok(self.text)
    }

    fn print(&mut self, piece: &str) -> Result<(), Failure> {
        self.text.push_str(piece);
        if let Some(out) = &mut self.out {
            write!(out, "{piece}")?;
            out.flush()?;
        }
        Ok(())
    }
}
