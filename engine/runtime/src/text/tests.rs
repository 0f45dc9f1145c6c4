//! Tokenizers of every kind, from small descriptions, and what they refuse.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::json;

use super::*;

/// Metadata of a byte-level tokenizer in a GGUF file.
fn byte_level() -> serde_json::Value {
    let mut tokens: Vec<String> = ["<s>", "</s>", "<user>"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    // Bytes as letters: printable ones are themselves, the others are from U+0100 on.
    let mut other = 0x100;
    for byte in 0u8..=255 {
        let plain = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let letter = if plain { u32::from(byte) } else { other };
        other += u32::from(!plain);
        tokens.push(char::from_u32(letter).map(String::from).unwrap_or_default());
    }
    tokens.extend(["he", "ll", "hell", "Ġhell", "Ġhello", "Ġw"].map(str::to_owned));
    let kinds: Vec<u32> = (0..tokens.len())
        .map(|id| if id < 3 { 3 } else { 1 })
        .collect();
    json!({
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": ["h e", "l l", "he ll", "Ġ hell", "Ġhell o", "Ġ w"],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.chat_template": "{% for m in messages %}{{ '<' + m.role + '>' + m.content | trim }}\n{% endfor %}{{ eos_token }}",
    })
}

/// Metadata of a `SentencePiece` tokenizer in a GGUF file, of pieces and scores.
fn sentence_piece(model: &str, pieces: &[(&str, f64)]) -> serde_json::Value {
    let mut tokens = vec![json!("<unk>"), json!("<s>"), json!("</s>")];
    let mut scores = vec![0.0; 3];
    let mut kinds = vec![2, 3, 3];
    for byte in 0..=255 {
        tokens.push(json!(format!("<0x{byte:02X}>")));
        scores.push(-1e6);
        kinds.push(6);
    }
    for (piece, score) in pieces {
        tokens.push(json!(piece));
        scores.push(*score);
        kinds.push(1);
    }
    json!({
        "tokenizer.ggml.model": model,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    })
}

fn of_gguf(metadata: serde_json::Value) -> Result<Tokenizer, TextError> {
    Tokenizer::from_gguf(Path::new("x.gguf"), &ConfigValue::from(metadata))
}

/// Tokens of a text, special ones around it, and the text of its ids, at once
/// and as a stream.
fn check(tokenizer: &Tokenizer, text: &str, tokens: &str, decoded: &str) {
    let ids = tokenizer.encode(text).expect("the text can be encoded");
    let seen: Vec<String> = ids.iter().filter_map(|&id| tokenizer.token(id)).collect();
    assert_eq!(seen.join(" "), tokens, "{text:?}");
    assert_eq!(
        tokenizer.decode_text(&ids).expect("the ids can be decoded"),
        decoded
    );
    assert_eq!(streamed(tokenizer, &ids), decoded, "{text:?} as a stream");
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream().without_special();
    let mut text = String::new();
    for &id in ids {
        text += &stream.push(id).expect("the id can be decoded");
    }
    text + &stream.finish().expect("the ids can be decoded")
}

#[test]
fn byte_level_pieces_are_merged_by_rank() {
    let tokenizer = of_gguf(byte_level()).unwrap();
    check(&tokenizer, "hello hello", "hell o Ġhello", "hello hello");
    check(&tokenizer, " w2024", "Ġw 2 0 2 4", " w2024");
    check(&tokenizer, "<user>he", "<user> he", "he");
    check(&tokenizer, "é🦀", "Ã © ð Ł ¦ Ģ", "é🦀");
    check(&tokenizer, "", "", "");
    assert_eq!(tokenizer.decode(&[2, 36]).unwrap(), "<user>!");
    assert_eq!(tokenizer.decode(&[9999]).unwrap(), "");
    assert_eq!(tokenizer.id("<user>"), Some(2));
    assert_eq!(tokenizer.size(), 3 + 256 + 6);
    assert_eq!(tokenizer.special().ends, [1]);
    assert_eq!(tokenizer.special().bos, Some(0));

    let mut metadata = byte_level();
    metadata["tokenizer.ggml.add_bos_token"] = json!(true);
    metadata["tokenizer.ggml.add_eos_token"] = json!(true);
    let tokenizer = of_gguf(metadata).unwrap();
    check(&tokenizer, "he", "<s> he </s>", "he");
    assert_eq!(tokenizer.encode_plain("he").unwrap().len(), 1);
}

#[test]
fn sentence_pieces_are_merged_by_score() {
    let space = "\u{2581}";
    let with = |piece: &str| format!("{space}{piece}");
    let pieces = [
        (space.to_owned(), -9.0),
        ("a".to_owned(), -9.0),
        ("b".to_owned(), -9.0),
        ("c".to_owned(), -9.0),
        ("ab".to_owned(), -2.0),
        ("bc".to_owned(), -1.0),
        (with("a"), -3.0),
        (with("ab"), -4.0),
    ];
    let pieces: Vec<(&str, f64)> = pieces
        .iter()
        .map(|(piece, score)| (&**piece, *score))
        .collect();
    let tokenizer = of_gguf(sentence_piece("llama", &pieces)).unwrap();
    // `bc` scores best, so `ab` is not made.
    check(&tokenizer, "abc", "<s> ▁a bc", "abc");
    check(&tokenizer, "ab ab", "<s> ▁ab ▁ab", "ab ab");
    check(&tokenizer, "é", "<s> ▁ <0xC3> <0xA9>", "é");

    let tokenizer = of_gguf(sentence_piece("t5", &pieces)).unwrap();
    check(&tokenizer, "abc", "▁a bc </s>", "abc");
}

#[test]
fn a_limit_keeps_special_ids() {
    let mut metadata = byte_level();
    metadata["tokenizer.ggml.add_bos_token"] = json!(true);
    metadata["tokenizer.ggml.add_eos_token"] = json!(true);
    let tokenizer = of_gguf(metadata).unwrap();
    let check = |limit, expected: &str| {
        let seen = match tokenizer.clone().with_limit(Some(limit)) {
            Ok(tokenizer) => {
                assert_eq!(tokenizer.limit(), Some(limit));
                format!(
                    "{:?}",
                    tokenizer
                        .encode("abcdefg")
                        .expect("the text can be encoded")
                )
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(seen, expected);
    };
    check(4, "[0, 100, 101, 1]");
    check(3, "[0, 100, 1]");
    check(2, "a limit of 2 ids leaves no room beside 2 special ones");
    check(0, "a limit of 0 ids leaves no room beside 2 special ones");
}

#[test]
fn a_stream_gives_whole_characters_as_soon_as_they_are_certain() {
    let tokenizer = of_gguf(byte_level()).unwrap();
    let id = |token: &str| tokenizer.id(token).expect("in the vocabulary");
    let mut stream = tokenizer.stream();
    let mut push = |token: &str| stream.push(id(token)).expect("the id can be decoded");
    assert_eq!(push("Ġhello"), " hello");
    assert_eq!(push("Ã"), "");
    assert_eq!(push("©"), "é");
    assert_eq!(push("ð"), "");
    assert_eq!(push("o"), "\u{fffd}o");
    assert_eq!(push("<user>"), "<user>");
    for _ in 0..3 {
        assert_eq!(push("©"), "");
    }
    assert_eq!(push("©"), "\u{fffd}");
    assert_eq!(stream.finish().unwrap(), "\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(stream.finish().unwrap(), "");
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
    #![proptest_config(cases(128))]

    #[test]
    fn any_ids_stream_to_their_text(ids in prop::collection::vec(0u32..270, 0..24)) {
        let tokenizer = of_gguf(byte_level()).unwrap();
        prop_assert_eq!(streamed(&tokenizer, &ids), tokenizer.decode_text(&ids).unwrap());
    }

    #[test]
    fn any_text_survives(text in "\\PC{0,12}|[a-z \\n0-9']{0,12}") {
        let tokenizer = of_gguf(byte_level()).unwrap();
        let ids = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
}

#[test]
fn broken_metadata_are_refused() {
    let check = |key: &str, value: serde_json::Value, expected: &str| {
        let mut metadata = byte_level();
        metadata[key] = value;
        let error = of_gguf(metadata)
            .expect_err("the metadata are broken")
            .to_string();
        assert_eq!(error, expected);
    };
    check(
        "tokenizer.ggml.model",
        json!("bert"),
        "`x.gguf` has `tokenizer.ggml.model` `bert`, which is not known here",
    );
    check(
        "tokenizer.ggml.model",
        json!(1),
        "`x.gguf` has no usable metadata `tokenizer.ggml.model`",
    );
    check(
        "tokenizer.ggml.model",
        json!("llama"),
        "`x.gguf` has no usable metadata `tokenizer.ggml.scores`",
    );
    check(
        "tokenizer.ggml.pre",
        json!("nobody"),
        "`x.gguf` has `tokenizer.ggml.pre` `nobody`, which is not known here",
    );
    check(
        "tokenizer.ggml.tokens",
        json!([1]),
        "`x.gguf` has no usable metadata `tokenizer.ggml.tokens`",
    );
    check(
        "tokenizer.ggml.merges",
        json!(["he"]),
        "`x.gguf` has no usable metadata `tokenizer.ggml.merges`",
    );
    check(
        "tokenizer.ggml.merges",
        json!(["h nothing"]),
        "`x.gguf` describes no tokenizer: Token `nothing` out of vocabulary",
    );
    check(
        "tokenizer.ggml.tokens",
        json!([]),
        "`x.gguf` describes no tokenizer: Token `h` out of vocabulary",
    );
}

#[test]
fn conversations_are_written_by_the_template() {
    let turns = [
        Message::new("user", " Hi "),
        Message::new("assistant", "<b>"),
    ];
    let check = |source: &str, expected: &str| {
        let template = ChatTemplate::new(source, Some("<s>".to_owned()), None);
        let text = match template.render(&turns, true) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        };
        assert_eq!(text, expected);
    };
    check(
        "{{ bos_token }}{{ messages[0]['content'].strip() }}",
        "<s>Hi",
    );
    check(
        "  {% if add_generation_prompt %}\nx\n  {% endif %}\ny",
        "x\ny",
    );
    check("{{ messages[1].content }}{{ eos_token }}", "<b>");
    check(
        "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role.upper() }}{% endfor %}",
        "ASSISTANT",
    );
    check(
        "{{ messages[1] | tojson }}",
        r#"{"role": "assistant", "content": "<b>"}"#,
    );
    check("{{ tools is defined }} {{ none is none }}", "False True");
    check(
        "{{ raise_exception('roles must alternate') }}",
        "the chat template cannot be filled: invalid operation: roles must alternate (in <string>:1)",
    );
    check(
        "{% for m in %}",
        "the chat template cannot be filled: syntax error: unexpected end of block (in <string>:1)",
    );
    check(
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "the chat template cannot be filled: engine ran out of fuel (in <string>:1)",
    );
    let tokenizer = of_gguf(byte_level()).unwrap();
    let text = tokenizer
        .chat_template()
        .unwrap()
        .render(&turns, false)
        .unwrap();
    assert_eq!(text, "<user>Hi\n<assistant><b>\n</s>");
}
