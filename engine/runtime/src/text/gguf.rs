//! A tokenizer's description from the metadata of a GGUF file.
//!
//! The metadata have the vocabulary and, by kind, merges or scores; the
//! description is what the same tokenizer's `tokenizer.json` says.
//!
//! | `tokenizer.ggml.model` | what it is                            |
//! |------------------------|---------------------------------------|
//! | `gpt2`                 | byte-level pieces, merged by rank     |
//! | `llama`                | `SentencePiece` pieces, merged by score |
//! | `t5`                   | `SentencePiece` pieces, likeliest cut   |
//!
//! Source: the GGUF specification's section on tokenizers.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::pattern::{byte_level, cut};
use super::{SpecialTokens, TextError};
use crate::config::ConfigValue;

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const SCORES: &str = "tokenizer.ggml.scores";
const CHARACTERS: &str = "tokenizer.ggml.precompiled_charsmap";

/// Numbers of `tokenizer.ggml.token_type`.
const NORMAL: i64 = 1;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// What stands for a space in `SentencePiece` vocabularies.
const SPACE: char = '\u{2581}';

/// The description, as in a `tokenizer.json`.
pub(super) fn describe(file: &Path, metadata: &ConfigValue) -> Result<Value, TextError> {
    let source = Source { file, metadata };
    let kind = source.text(MODEL)?;
    let tokens = source.texts(TOKENS)?;
    let parts = match kind {
        "gpt2" => byte_pairs(&source, &tokens)?,
        "llama" => scored_pairs(&source, &tokens)?,
        "t5" => likeliest(&source, &tokens)?,
        found => {
            return Err(TextError::UnknownKind {
                file: file.to_owned(),
                key: MODEL,
                found: found.to_owned(),
            });
        }
    };
    Ok(json!({
        "version": "1.0",
        "added_tokens": added_tokens(&source, &tokens),
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": around(&source, &tokens, kind),
        "decoder": parts.decoder,
        "model": parts.model,
    }))
}

/// What differs between the kinds.
struct Parts {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    model: Value,
}

/// Metadata with the name of their file.
struct Source<'a> {
    file: &'a Path,
    metadata: &'a ConfigValue,
}

impl<'a> Source<'a> {
    fn text(&self, key: &'static str) -> Result<&'a str, TextError> {
        let text = self.metadata.lookup(key).and_then(ConfigValue::as_str);
        text.ok_or_else(|| self.unusable(key))
    }

    fn texts(&self, key: &'static str) -> Result<Vec<&'a str>, TextError> {
        let list = self.metadata.lookup(key).and_then(ConfigValue::as_list);
        let texts = list.and_then(|list| list.iter().map(ConfigValue::as_str).collect());
        texts.ok_or_else(|| self.unusable(key))
    }

    /// Numbers, one for each token.
    fn numbers(&self, key: &'static str, count: usize) -> Result<Vec<f64>, TextError> {
        let list = self.metadata.lookup(key).and_then(ConfigValue::as_list);
        let numbers: Option<Vec<f64>> =
            list.and_then(|list| list.iter().map(ConfigValue::as_float).collect());
        numbers
            .filter(|numbers| numbers.len() == count)
            .ok_or_else(|| self.unusable(key))
    }

    /// Kinds of tokens; normal where the file does not say.
    fn kinds(&self, count: usize) -> Vec<i64> {
        let kinds = self.metadata.lookup(TYPES).and_then(ConfigValue::as_list);
        let kinds = kinds.unwrap_or_default().iter();
        let mut kinds: Vec<i64> = kinds.map(|kind| kind.as_int().unwrap_or(NORMAL)).collect();
        kinds.resize(count, NORMAL);
        kinds
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        self.metadata
            .lookup(key)
            .and_then(ConfigValue::as_bool)
            .unwrap_or(default)
    }

    fn unusable(&self, key: &'static str) -> TextError {
        TextError::Metadata {
            file: self.file.to_owned(),
            key,
        }
    }
}

fn byte_pairs(source: &Source<'_>, tokens: &[&str]) -> Result<Parts, TextError> {
    let name = source.text(PRE).unwrap_or("default");
    let cut = cut(name).ok_or_else(|| TextError::UnknownKind {
        file: source.file.to_owned(),
        key: PRE,
        found: name.to_owned(),
    })?;
    let merges: Option<Vec<(&str, &str)>> = source
        .texts(MERGES)?
        .into_iter()
        .map(|merge| merge.split_once(' '))
        .collect();
    let merges = merges.ok_or_else(|| source.unusable(MERGES))?;
    Ok(Parts {
        normalizer: cut.normalizer,
        pre_tokenizer: cut.pre_tokenizer,
        decoder: byte_level(true),
        model: json!({
            "type": "BPE",
            "vocab": vocabulary(tokens),
            "merges": merges,
            "ignore_merges": cut.ignore_merges,
        }),
    })
}

fn scored_pairs(source: &Source<'_>, tokens: &[&str]) -> Result<Parts, TextError> {
    let scores = source.numbers(SCORES, tokens.len())?;
    let mut normalizers = vec![replace(" ", &SPACE.to_string())];
    let mut decoders = vec![
        replace(&SPACE.to_string(), " "),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if source.flag("tokenizer.ggml.add_space_prefix", true) {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": SPACE}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(Parts {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: Value::Null,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model: json!({
            "type": "BPE",
            "unk_token": unknown(source, tokens),
            "fuse_unk": true,
            "byte_fallback": true,
            "vocab": vocabulary(tokens),
            "merges": merges_by_score(source, tokens, &scores),
        }),
    })
}

fn likeliest(source: &Source<'_>, tokens: &[&str]) -> Result<Parts, TextError> {
    let scores = source.numbers(SCORES, tokens.len())?;
    let pieces: Vec<(&&str, f64)> = tokens.iter().zip(scores).collect();
    let prefix = source.flag("tokenizer.ggml.add_space_prefix", true);
    let metaspace = json!({
        "type": "Metaspace",
        "replacement": SPACE,
        "prepend_scheme": if prefix { "always" } else { "never" },
        "split": true,
    });
    let mut normalizers = Vec::new();
    if let Some(map) = source
        .metadata
        .lookup(CHARACTERS)
        .and_then(ConfigValue::as_list)
    {
        // Bytes, which some files write as signed numbers.
        let byte = |value: &ConfigValue| u8::try_from(value.as_int()? & 0xff).ok();
        let bytes: Option<Vec<u8>> = map.iter().map(byte).collect();
        let bytes = bytes.ok_or_else(|| source.unusable(CHARACTERS))?;
        let encoded = BASE64_STANDARD.encode(bytes);
        normalizers.push(json!({"type": "Precompiled", "precompiled_charsmap": encoded}));
    }
    if source.flag("tokenizer.ggml.remove_extra_whitespaces", false) {
        let several = json!({"Regex": " {2,}"});
        normalizers.push(json!({"type": "Replace", "pattern": several, "content": " "}));
    }
    Ok(Parts {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: metaspace.clone(),
        decoder: metaspace,
        model: json!({
            "type": "Unigram",
            "unk_id": SpecialTokens::of_gguf(source.metadata).unk,
            "vocab": pieces,
        }),
    })
}

/// Every way to join two tokens into a third, best first.
///
/// `SentencePiece` merges the pair whose result scores best, which is a merge
/// list in order of scores; among equals the longer left part goes first.
fn merges_by_score<'a>(
    source: &Source<'_>,
    tokens: &[&'a str],
    scores: &[f64],
) -> Vec<(&'a str, &'a str)> {
    let ids: HashMap<&str, usize> = tokens.iter().copied().zip(0..).collect();
    let mut merges = Vec::new();
    let kinds = source.kinds(tokens.len());
    for (id, &token) in tokens.iter().enumerate() {
        if kinds[id] != NORMAL {
            continue;
        }
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if ids.contains_key(left) && ids.contains_key(right) {
                merges.push((scores[id], left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.len().cmp(&a.1.len())));
    merges
        .into_iter()
        .map(|(_, left, right)| (left, right))
        .collect()
}

/// Ids by token. Of equal tokens the last wins, as the first cannot be met.
fn vocabulary(tokens: &[&str]) -> Map<String, Value> {
    tokens
        .iter()
        .zip(0u32..)
        .map(|(token, id)| ((*token).to_owned(), json!(id)))
        .collect()
}

/// Tokens that are found in a text before it is cut: control tokens, which
/// are not text, and others that stand for themselves.
fn added_tokens(source: &Source<'_>, tokens: &[&str]) -> Vec<Value> {
    let mut added = Vec::new();
    for (id, (token, kind)) in tokens.iter().zip(source.kinds(tokens.len())).enumerate() {
        if kind == CONTROL || kind == USER_DEFINED {
            added.push(json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": kind == CONTROL,
            }));
        }
    }
    added
}

/// Adds the tokens that begin and end every text, where the file asks for it.
fn around(source: &Source<'_>, tokens: &[&str], kind: &str) -> Value {
    let special = SpecialTokens::of_gguf(source.metadata);
    let wanted = |key: &str, default: bool, id: Option<u32>| {
        let id = id.filter(|_| source.flag(key, default))?;
        Some((id, *tokens.get(id as usize)?))
    };
    let first = wanted("tokenizer.ggml.add_bos_token", kind == "llama", special.bos);
    let last = wanted("tokenizer.ggml.add_eos_token", kind == "t5", special.eos);
    if first.is_none() && last.is_none() {
        return Value::Null;
    }
    let piece = |token: &str, side: u32| json!({"SpecialToken": {"id": token, "type_id": side}});
    let text = |name: &str, side: u32| {
        let mut pieces: Vec<Value> = Vec::new();
        pieces.extend(first.map(|(_, token)| piece(token, side)));
        pieces.push(json!({"Sequence": {"id": name, "type_id": side}}));
        pieces.extend(last.map(|(_, token)| piece(token, side)));
        pieces
    };
    let mut tokens = Map::new();
    for (id, token) in first.into_iter().chain(last) {
        let described = json!({"id": token, "ids": [id], "tokens": [token]});
        tokens.insert(token.to_owned(), described);
    }
    let pair = [text("A", 0), text("B", 1)].concat();
    json!({
        "type": "TemplateProcessing",
        "single": text("A", 0),
        "pair": pair,
        "special_tokens": tokens,
    })
}

fn unknown<'a>(source: &Source<'_>, tokens: &[&'a str]) -> Option<&'a str> {
    let id = SpecialTokens::of_gguf(source.metadata).unk.unwrap_or(0);
    tokens.get(id as usize).copied()
}

fn replace(pattern: &str, content: &str) -> Value {
    json!({"type": "Replace", "pattern": {"String": pattern}, "content": content})
}
