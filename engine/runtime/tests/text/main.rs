//! Tokenizers are opened from files and folders, with the settings that lie
//! beside them, and broken ones are refused.

use std::fs;
use std::path::Path;

use girih_runtime::text::{ChatTemplate, Message, Tokenizer};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

/// A word-piece tokenizer as published with sentence encoders.
const WORD_PIECE: &str = r###"{
    "version": "1.0",
    "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
    "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
    "added_tokens": [
        {"id": 0, "special": true, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
        {"id": 1, "special": true, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
        {"id": 2, "special": true, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}
    ],
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}
        }
    },
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
    "model": {
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "cafe": 4, "word": 5, "##s": 6, ".": 7}
    }
}"###;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("the folder is writable");
    }
    folder
}

/// Opens a folder and says what its tokenizer makes of a text.
fn check(files: &[(&str, &str)], text: &str, expected: &str) {
    let folder = folder(files);
    let seen = match Tokenizer::open(folder.path()) {
        Ok(tokenizer) => {
            let ids = tokenizer.encode(text).expect("the text can be encoded");
            let decoded = tokenizer.decode_text(&ids).expect("the ids can be decoded");
            format!("{ids:?} {decoded}")
        }
        Err(error) => error.to_string(),
    };
    let seen = seen.replace(&folder.path().display().to_string(), "FOLDER");
    assert_eq!(seen, expected);
}

#[test]
fn a_folder_stands_for_its_tokenizer() {
    let json = ("tokenizer.json", WORD_PIECE);
    check(&[json], "Café words.", "[1, 4, 5, 6, 7, 2] cafe words.");
    check(&[json], "", "[1, 2] ");
    check(&[json], "你 word", "[1, 3, 5, 2] [UNK] word");
    let limit = ("sentence_bert_config.json", r#"{"max_seq_length": 4}"#);
    check(&[json, limit], "words words words", "[1, 5, 6, 2] words");

    check(
        &[],
        "",
        "`FOLDER` has no `tokenizer.json` and no `.gguf` file",
    );
    check(
        &[
            json,
            ("sentence_bert_config.json", r#"{"max_seq_length": 2}"#),
        ],
        "",
        "a limit of 2 ids leaves no room beside 2 special ones",
    );
    check(
        &[("tokenizer.json", "{")],
        "",
        "`FOLDER/tokenizer.json` describes no tokenizer: EOF while parsing an object at line 1 column 1",
    );
    check(
        &[("tokenizer.json", "{}")],
        "",
        "`FOLDER/tokenizer.json` describes no tokenizer: Model missing. at line 1 column 2",
    );
    check(
        &[json, ("tokenizer_config.json", "[1")],
        "",
        "`FOLDER/tokenizer_config.json` is not JSON: EOF while parsing a list at line 1 column 2",
    );
    check(
        &[("x.gguf", "GGUF")],
        "",
        "`FOLDER/x.gguf` ends at byte 4, within its version",
    );
}

#[test]
fn settings_beside_a_tokenizer_are_used() {
    let settings = |text| {
        let files = [
            ("tokenizer.json", WORD_PIECE),
            ("generation_config.json", r#"{"eos_token_id": [2, 7]}"#),
            (
                "special_tokens_map.json",
                r#"{"pad_token": {"content": "[PAD]"}}"#,
            ),
            ("tokenizer_config.json", text),
        ];
        let folder = folder(&files);
        Tokenizer::open(folder.path()).expect("the files are sound")
    };
    let tokenizer = settings(
        r#"{"bos_token": "[CLS]", "eos_token": {"content": "word"}, "mask_token": "absent",
            "chat_template": "{{ bos_token }}{{ messages[0].content }}"}"#,
    );
    let special = tokenizer.special();
    assert_eq!(
        (special.bos, special.eos, special.pad),
        (Some(1), Some(5), Some(0))
    );
    assert_eq!((special.mask, special.unk), (None, None));
    assert_eq!(special.ends, [2, 5, 7]);
    let template = tokenizer.chat_template().expect("the settings have one");
    assert_eq!(
        template.render(&[Message::new("user", "x")], true).unwrap(),
        "[CLS]x"
    );

    let tokenizer = settings(
        r#"{"chat_template": [{"name": "tool", "template": "1"}, {"name": "default", "template": "2"}]}"#,
    );
    assert_eq!(
        tokenizer.chat_template().map(ChatTemplate::source),
        Some("2")
    );
    assert!(settings("{}").chat_template().is_none());
}

#[test]
fn a_missing_file_is_named() {
    let error = Tokenizer::open(Path::new("no/tokenizer.json"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot read `no/tokenizer.json`"),
        "{error}"
    );
}

/// The same random cases in every run.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn changed_descriptions_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 32u8..127), 1..4),
    ) {
        let mut text = WORD_PIECE.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let text = String::from_utf8(text).unwrap();
        let folder = folder(&[("tokenizer.json", &text)]);
        if let Ok(tokenizer) = Tokenizer::open(folder.path())
            && let Ok(ids) = tokenizer.encode("Café words [SEP] 你.")
        {
            let _ = tokenizer.decode(&ids);
        }
    }
}
