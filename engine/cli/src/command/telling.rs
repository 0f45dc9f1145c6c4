//! Texts that come together, printed one after another.

use std::io::Write;
use std::ops::ControlFlow;

use girih_runtime::generate::Event;

use super::voice::Voice;
use crate::failure::Failure;

/// Several texts. The first one is printed as it comes, each other one when it is its turn.
pub(super) struct Telling<'v, 'o> {
    /// What is printed before a text, and the text.
    voices: Vec<(&'v str, Voice<'v>)>,
    over: Vec<bool>,
    /// Texts whose turn was; the next one has its turn.
    said: Vec<String>,
    out: &'o mut dyn Write,
    problem: Option<Failure>,
}

impl<'v, 'o> Telling<'v, 'o> {
    /// Texts of which none has come.
    ///
    /// # Errors
    ///
    /// Nothing can be printed.
    pub(super) fn begin(
        voices: Vec<(&'v str, Voice<'v>)>,
        out: &'o mut dyn Write,
    ) -> Result<Self, Failure> {
        let mut own = Self {
            over: vec![false; voices.len()],
            voices,
            said: Vec::new(),
            out,
            problem: None,
        };
        own.introduce()?;
        Ok(own)
    }

    /// Says what happens to a text; `Break` after a stop, or when nothing can be said.
    pub(super) fn hear(&mut self, at: usize, event: Event) -> ControlFlow<()> {
        let turn = at == self.said.len();
        match event {
            Event::Token(id) if turn => self.voices[at].1.say(id, self.out)?,
            Event::Token(id) => self.voices[at].1.hear(id)?,
            Event::Over => {
                self.over[at] = true;
                if turn {
                    self.problem = self.pass().err();
                }
            }
        }
        match self.problem {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    }

    /// Ends the text that has its turn, if one has not come to its end, and gives all texts.
    ///
    /// # Errors
    ///
    /// What kept a text from being said.
    pub(super) fn finish(mut self) -> Result<Vec<String>, Failure> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        if let Some((_, voice)) = self.voices.get_mut(self.said.len()) {
            self.said.push(voice.finish(self.out)?);
        }
        Ok(self.said)
    }

    /// It is the turn of the next text that is not over.
    fn pass(&mut self) -> Result<(), Failure> {
        while let Some((_, voice)) = self.voices.get_mut(self.said.len()) {
            if !self.over[self.said.len()] {
                return voice.print(self.out);
            }
            self.said.push(voice.finish(self.out)?);
            self.introduce()?;
        }
        Ok(())
    }

    /// Prints what stands before the text that has its turn.
    fn introduce(&mut self) -> Result<(), Failure> {
        if let Some((before, _)) = self.voices.get(self.said.len()) {
            write!(self.out, "{before}")?;
            self.out.flush()?;
        }
        Ok(())
    }
}
