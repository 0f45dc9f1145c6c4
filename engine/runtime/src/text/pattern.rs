//! How byte-level tokenizers cut a text before they merge.
//!
//! GGUF files name the way in `tokenizer.ggml.pre` and leave the way itself to
//! the reader. Each name here stands for what the model family publishes in
//! its `tokenizer.json`.

use serde_json::{Value, json};

/// How a family cuts text.
pub(super) struct Cut {
    /// Normalizer, pre-tokenizer as in a `tokenizer.json`.
    pub(super) normalizer: Value,
    pub(super) pre_tokenizer: Value,
    /// Whether a piece that is a token already is not merged anew.
    pub(super) ignore_merges: bool,
}

/// Contractions, words, digits by up to three, punctuation, white space.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The same with digits one by one.
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The way of cutting that has a name; `None` if the name is not known.
pub(super) fn cut(name: &str) -> Option<Cut> {
    Some(match name {
        "default" | "gpt-2" | "gpt2" | "olmo" | "phi-2" | "jina-es" | "jina-de" | "mpt" => {
            Cut::plain(byte_level(true))
        }
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            Cut::plain(sequence(&[digits, byte_level(true)]))
        }
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "lfm2" | "smaug-bpe" => Cut {
            ignore_merges: true,
            ..Cut::plain(by_pattern(LLAMA_3))
        },
        "qwen2" | "deepseek-r1-qwen" | "stablelm2" => Cut {
            normalizer: json!({"type": "NFC"}),
            ..Cut::plain(by_pattern(QWEN_2))
        },
        _ => return None,
    })
}

impl Cut {
    fn plain(pre_tokenizer: Value) -> Self {
        Self {
            normalizer: Value::Null,
            pre_tokenizer,
            ignore_merges: false,
        }
    }
}

/// Bytes as letters, after GPT-2's own way of cutting if asked for.
pub(super) fn byte_level(cut: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": cut,
    })
}

fn by_pattern(pattern: &str) -> Value {
    let split = json!({
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": false,
    });
    sequence(&[split, byte_level(false)])
}

fn sequence(parts: &[Value]) -> Value {
    json!({"type": "Sequence", "pretokenizers": parts})
}
