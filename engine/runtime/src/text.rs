//! Text to token ids and back.
//!
//! A [`Tokenizer`] comes from a `tokenizer.json`, a folder that has one, or
//! the metadata of a GGUF file; which tokens are special, and the chat
//! template, come from the files beside it or from the same metadata. Files
//! are not trusted: whatever they say, the answer is a [`TextError`].
//!
//! Ids are what the tokenizer's file says; batches, padding and masks belong
//! to whoever runs the model.

mod gguf;
mod pattern;
mod special;
mod stop;
mod stream;
mod template;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tokenizers::{TruncationParams, TruncationStrategy};

use crate::config::{ConfigError, ConfigValue};
use crate::weights::{Gguf, WeightError, WeightSource};

pub use special::SpecialTokens;
pub use stop::StopText;
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, Message};

/// Turns text into token ids and back.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: SpecialTokens,
    template: Option<ChatTemplate>,
    file: PathBuf,
}

/// Why text cannot be turned into ids, or ids into text.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", file.display())]
    Read {
        /// As asked for.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The settings beside the tokenizer cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The GGUF file cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The folder has no tokenizer.
    #[error("`{}` has no `tokenizer.json` and no `.gguf` file", folder.display())]
    NoTokenizer {
        /// As asked for.
        folder: PathBuf,
    },
    /// The tokenizer's description cannot be understood.
    #[error("`{}` describes no tokenizer: {problem}", file.display())]
    Description {
        /// Whose description it is.
        file: PathBuf,
        /// What the tokenizer library said.
        problem: String,
    },
    /// Metadata that a tokenizer cannot do without.
    #[error("`{}` has no usable metadata `{key}`", file.display())]
    Metadata {
        /// Whose metadata it is.
        file: PathBuf,
        /// Name of the field.
        key: &'static str,
    },
    /// A kind of tokenizer that GGUF files name and this code does not know.
    #[error("`{}` has `{key}` `{found}`, which is not known here", file.display())]
    UnknownKind {
        /// Whose metadata it is.
        file: PathBuf,
        /// Name of the field.
        key: &'static str,
        /// Its value.
        found: String,
    },
    /// A limit that leaves no room for text.
    #[error("a limit of {limit} ids leaves no room beside {added} special ones")]
    Limit {
        /// As asked for.
        limit: usize,
        /// Ids that are added to every text.
        added: usize,
    },
    /// The text cannot be encoded.
    #[error("the text cannot be encoded: {0}")]
    Encode(String),
    /// The ids cannot be decoded.
    #[error("the ids cannot be decoded: {0}")]
    Decode(String),
    /// The chat template cannot be filled.
    #[error("the chat template cannot be filled: {0}")]
    Template(minijinja::Error),
}

impl Tokenizer {
    /// Opens a `tokenizer.json`, a GGUF file, or a folder with one of them.
    ///
    /// Padding and truncation that a `tokenizer.json` may ask for are left
    /// out, as they are habits of whoever saved it; a sentence encoder's own
    /// limit (`sentence_bert_config.json`) is kept.
    pub fn open(path: &Path) -> Result<Self, TextError> {
        let file = if path.is_dir() {
            tokenizer_in(path)?
        } else {
            path.to_owned()
        };
        if file
            .extension()
            .is_some_and(|extension| extension == "gguf")
        {
            let source = Gguf::open(&file)?;
            return Self::from_gguf(&file, source.metadata());
        }
        let json = std::fs::read(&file).map_err(|source| TextError::Read {
            file: file.clone(),
            source,
        })?;
        let inner = build(&file, || serde_json::from_slice(&json))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let settings = special::Settings::read(folder)?;
        let tokenizer = Self {
            special: settings.special_tokens(&inner),
            template: settings.chat_template(),
            inner,
            file,
        };
        tokenizer.with_limit(settings.limit())
    }

    /// Makes a tokenizer of a GGUF file's metadata; `file` is for messages.
    pub fn from_gguf(file: &Path, metadata: &ConfigValue) -> Result<Self, TextError> {
        let description = gguf::describe(file, metadata)?;
        let inner = build(file, || serde_json::from_value(description))?;
        let special = SpecialTokens::of_gguf(metadata);
        let token = |id: Option<u32>| id.and_then(|id| inner.id_to_token(id));
        let template = metadata
            .lookup("tokenizer.chat_template")
            .and_then(ConfigValue::as_str)
            .map(|text| ChatTemplate::new(text, token(special.bos), token(special.eos)));
        Self {
            inner,
            special,
            template,
            file: file.to_owned(),
        }
        .with_limit(None)
    }

    /// The same tokenizer, which cuts what it encodes to a number of ids.
    ///
    /// Special ids that are added to every text are kept; ids at the end of
    /// the text go first. Fails when no id of the text would be left.
    pub fn with_limit(mut self, limit: Option<usize>) -> Result<Self, TextError> {
        use tokenizers::PostProcessor;
        let added = self
            .inner
            .get_post_processor()
            .map_or(0, |post| post.added_tokens(false));
        if let Some(limit) = limit
            && limit <= added
        {
            return Err(TextError::Limit { limit, added });
        }
        let truncation = limit.map(|max_length| TruncationParams {
            max_length,
            strategy: TruncationStrategy::LongestFirst,
            ..TruncationParams::default()
        });
        self.inner.with_padding(None);
        self.inner
            .with_truncation(truncation)
            .map_err(|error| TextError::Encode(error.to_string()))?;
        Ok(self)
    }

    /// Most ids that a text is encoded to, if there is a limit.
    pub fn limit(&self) -> Option<usize> {
        self.inner
            .get_truncation()
            .map(|truncation| truncation.max_length)
    }

    /// The ids of a text, special ones around it as its model expects them.
    ///
    /// Special tokens that are written out in the text become their ids.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        self.encode_with(text, true)
    }

    /// The ids of a text alone, for text that continues another, and for what
    /// a chat template gives, as that has its special tokens already.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, TextError> {
        self.encode_with(text, false)
    }

    /// The text of some ids, special tokens written out.
    ///
    /// Ids without a token give nothing; bytes that are no UTF-8 become
    /// U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        guarded(|| self.inner.decode(ids, false)).map_err(TextError::Decode)
    }

    /// The text of some ids without special tokens.
    pub fn decode_text(&self, ids: &[u32]) -> Result<String, TextError> {
        guarded(|| self.inner.decode(ids, true)).map_err(TextError::Decode)
    }

    /// Decodes ids one by one as they come.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self)
    }

    /// The id of a token, as written in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id, as written in the vocabulary.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Number of tokens, added ones included.
    pub fn size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Which tokens mean something beside text.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// How a conversation is written for the model, if it was made for one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// Where the tokenizer comes from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn encode_with(&self, text: &str, special: bool) -> Result<Vec<u32>, TextError> {
        let encoding = guarded(|| self.inner.encode_fast(text, special));
        Ok(encoding.map_err(TextError::Encode)?.get_ids().to_vec())
    }
}

/// Makes the library's tokenizer of a description.
fn build(
    file: &Path,
    parse: impl FnOnce() -> serde_json::Result<tokenizers::Tokenizer>,
) -> Result<tokenizers::Tokenizer, TextError> {
    guarded(|| {
        let tokenizer = parse()?;
        // Shows what the library does not check, such as special tokens that are not there.
        tokenizer.encode_fast("", true)?;
        Ok(tokenizer)
    })
    .map_err(|problem| TextError::Description {
        file: file.to_owned(),
        problem,
    })
}

/// Calls the tokenizer library, which panics on some descriptions that it
/// should refuse; those are errors here. It has no state that a panic could
/// leave half changed, but for a cache whose entries are whole.
fn guarded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the tokenizer library gave up on its description".to_owned()),
    }
}

/// The file of a folder that has its tokenizer.
fn tokenizer_in(folder: &Path) -> Result<PathBuf, TextError> {
    let file = folder.join("tokenizer.json");
    if file.is_file() {
        return Ok(file);
    }
    let failed = |source| TextError::Read {
        file: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "gguf")
        {
            found.push(file);
        }
    }
    // Several files of one folder are quantizations of one model, with one tokenizer.
    found.sort();
    found
        .into_iter()
        .next()
        .ok_or_else(|| TextError::NoTokenizer {
            folder: folder.to_owned(),
        })
}

#[cfg(test)]
mod tests;
