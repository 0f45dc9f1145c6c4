//! Which tokens mean something beside text, and other settings that lie
//! beside a tokenizer.

use std::fs;
use std::path::Path;

use super::{ChatTemplate, TextError};
use crate::config::ConfigValue;

/// Ids of tokens that mean something beside text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Stands for what the vocabulary cannot say.
    pub unk: Option<u32>,
    /// Fills up a batch.
    pub pad: Option<u32>,
    /// Stands between two texts.
    pub sep: Option<u32>,
    /// Stands for a whole text.
    pub cls: Option<u32>,
    /// Stands for what is to be guessed.
    pub mask: Option<u32>,
    /// All that end a generated text, in ascending order.
    pub ends: Vec<u32>,
}

impl SpecialTokens {
    /// As the metadata of a GGUF file has them.
    pub(super) fn of_gguf(metadata: &ConfigValue) -> Self {
        let id = |name: &str| {
            let id = metadata
                .lookup(&format!("tokenizer.ggml.{name}_token_id"))?
                .as_int()?;
            u32::try_from(id).ok()
        };
        let eos = id("eos");
        Self {
            bos: id("bos"),
            eos,
            unk: id("unknown"),
            pad: id("padding"),
            sep: id("seperator").or_else(|| id("separator")),
            cls: id("cls"),
            mask: id("mask"),
            ends: ascending([eos, id("eot"), id("eom")].into_iter().flatten()),
        }
    }
}

/// What the files beside a `tokenizer.json` say.
pub(super) struct Settings {
    /// `tokenizer_config.json`.
    tokenizer: ConfigValue,
    /// `generation_config.json`.
    generation: ConfigValue,
    /// `special_tokens_map.json`.
    map: ConfigValue,
    /// `sentence_bert_config.json`.
    sentence: ConfigValue,
    /// `chat_template.jinja`.
    template: Option<String>,
}

impl Settings {
    /// Reads those files of a folder that are there.
    pub(super) fn read(folder: &Path) -> Result<Self, TextError> {
        let json = |name: &str| {
            let file = folder.join(name);
            if file.is_file() {
                ConfigValue::read(&file)
            } else {
                Ok(ConfigValue::Null)
            }
        };
        let file = folder.join("chat_template.jinja");
        let template = if file.is_file() {
            let text = fs::read_to_string(&file);
            Some(text.map_err(|source| TextError::Read { file, source })?)
        } else {
            None
        };
        Ok(Self {
            tokenizer: json("tokenizer_config.json")?,
            generation: json("generation_config.json")?,
            map: json("special_tokens_map.json")?,
            sentence: json("sentence_bert_config.json")?,
            template,
        })
    }

    pub(super) fn special_tokens(&self, tokenizer: &tokenizers::Tokenizer) -> SpecialTokens {
        let id = |name: &str| tokenizer.token_to_id(self.token(name)?);
        let eos = id("eos_token");
        let generation = self.generation.lookup("eos_token_id");
        let list = generation
            .and_then(ConfigValue::as_list)
            .unwrap_or_default();
        let ends = generation
            .into_iter()
            .chain(list)
            .filter_map(ConfigValue::as_int);
        let ends = ends.filter_map(|id| u32::try_from(id).ok());
        SpecialTokens {
            bos: id("bos_token"),
            eos,
            unk: id("unk_token"),
            pad: id("pad_token"),
            sep: id("sep_token"),
            cls: id("cls_token"),
            mask: id("mask_token"),
            ends: ascending(ends.chain(eos)),
        }
    }

    /// The template, from its own file or the tokenizer's settings; of
    /// several the one that is called `default`.
    pub(super) fn chat_template(&self) -> Option<ChatTemplate> {
        let inline = self
            .tokenizer
            .lookup("chat_template")
            .and_then(|value| match value {
                ConfigValue::List(named) => named
                    .iter()
                    .find(|named| {
                        named.lookup("name").and_then(ConfigValue::as_str) == Some("default")
                    })
                    .and_then(|named| named.lookup("template")?.as_str()),
                value => value.as_str(),
            });
        let text = self.template.as_deref().or(inline)?;
        let token = |name| self.token(name).map(str::to_owned);
        Some(ChatTemplate::new(
            text,
            token("bos_token"),
            token("eos_token"),
        ))
    }

    /// Most ids that a sentence encoder was trained with.
    pub(super) fn limit(&self) -> Option<usize> {
        let limit = self.sentence.lookup("max_seq_length")?.as_int()?;
        usize::try_from(limit).ok()
    }

    /// A special token's text, which is written plainly or with its flags.
    fn token(&self, name: &str) -> Option<&str> {
        [&self.tokenizer, &self.map]
            .into_iter()
            .find_map(|settings| {
                let value = settings.lookup(name)?;
                value.as_str().or_else(|| value.lookup("content")?.as_str())
            })
    }
}

fn ascending(ids: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
