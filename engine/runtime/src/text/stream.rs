//! Text from ids as they come.
//!
//! What is given out is final: characters whose bytes are spread over several
//! tokens wait until they are whole. All pieces together, with the last from
//! `finish`, are the text of all ids.

use super::{TextError, Tokenizer};

/// Most U+FFFD at the end of a text that may still become one character: its
/// bytes, save the last.
const UNFINISHED: usize = 3;

/// Decodes ids one by one.
#[derive(Clone, Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    /// Ids that are not given out in full, after those that decide how these
    /// are read (a space at the beginning of a text, for example).
    ids: Vec<u32>,
    /// How many of `ids` are there for the sake of the others.
    read: usize,
    /// The text of `ids` that has been given out.
    given: String,
    visible: bool,
}

impl<'a> StreamDecoder<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            ids: Vec::new(),
            read: 0,
            given: String::new(),
            visible: true,
        }
    }

    /// The same decoder, which gives no text for special tokens.
    #[must_use]
    pub fn without_special(mut self) -> Self {
        self.visible = false;
        self
    }

    /// Takes an id and gives the text that is certain now, often none.
    pub fn push(&mut self, id: u32) -> Result<String, TextError> {
        self.ids.push(id);
        let text = self.decode(&self.ids)?;
        let certain = certain(&text);
        if certain < text.len() {
            let text = &text[..certain];
            let piece = text
                .strip_prefix(&self.given)
                .unwrap_or_default()
                .to_owned();
            self.given.push_str(&piece);
            return Ok(piece);
        }
        let piece = self.rest(&text)?;
        // All is given out: the newest ids suffice as what comes before the next.
        self.ids.drain(..self.read);
        self.read = self.ids.len();
        self.given = self.decode(&self.ids)?;
        Ok(piece)
    }

    /// Gives what is left, unfinished characters as U+FFFD, and begins anew.
    pub fn finish(&mut self) -> Result<String, TextError> {
        let text = self.decode(&self.ids)?;
        let piece = self.rest(&text)?;
        *self = Self {
            visible: self.visible,
            ..Self::new(self.tokenizer)
        };
        Ok(piece)
    }

    /// What `text`, that of `ids`, has beyond what was given out.
    fn rest(&self, text: &str) -> Result<String, TextError> {
        if let Some(rest) = text.strip_prefix(&self.given) {
            return Ok(rest.to_owned());
        }
        // The new ids have changed how older ones are read, which cannot be taken back: an
        // invalid byte after a character, for example.
        let before = self.decode(&self.ids[..self.read])?;
        let text = self.decode(&self.ids[self.read..])?;
        let given = self.given.strip_prefix(&before).unwrap_or_default();
        Ok(text.strip_prefix(given).unwrap_or(&text).to_owned())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        if self.visible {
            self.tokenizer.decode(ids)
        } else {
            self.tokenizer.decode_text(ids)
        }
    }
}

/// Bytes of a text that no further id can change.
fn certain(text: &str) -> usize {
    let mut end = text.len();
    for _ in 0..UNFINISHED {
        match text[..end].strip_suffix(char::REPLACEMENT_CHARACTER) {
            Some(rest) => end = rest.len(),
            None => break,
        }
    }
    end
}
