//! Static arguments on the command line: `--set layers=12`.
//!
//! A value is JSON. A bare word that is none is a text, so that `--set act=gelu` needs no
//! quotes within quotes.

use girih_dsl::model::Static;
use serde_json::Value;

/// Reads `name=value`; for the argument parser, hence an error in words.
///
/// # Errors
///
/// No `=`, no name, broken JSON, an integer past 64 bits.
pub fn parse(text: &str) -> Result<(String, Static), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("write `name=value`".to_owned());
    };
    let name = name.trim();
    if name.is_empty() {
        return Err("there is no name before `=`".to_owned());
    }
    let value = match serde_json::from_str(value) {
        Ok(json) => from_json(json)?,
        Err(_) if is_word(value) => Static::Text(value.to_owned()),
        Err(error) => {
            return Err(format!(
                "`{value}` is no value: {error}; write a number, `true`, `false`, a text, or a list such as `[1, 2]`"
            ));
        }
    };
    Ok((name.to_owned(), value))
}

/// A JSON value as a static one.
///
/// # Errors
///
/// An integer past 64 bits.
pub fn from_json(json: Value) -> Result<Static, String> {
    Ok(match json {
        Value::Null => Static::None,
        Value::Bool(value) => Static::Bool(value),
        Value::String(text) => Static::Text(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Static::Int(value),
            (None, Some(value)) if !number.is_u64() => Static::Real(value),
            _ => return Err(format!("{number} is too large for an integer")),
        },
        Value::Array(items) => {
            Static::List(items.into_iter().map(from_json).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => {
            let entry = |(name, value)| Ok::<_, String>((name, from_json(value)?));
            Static::Map(entries.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
    })
}

fn is_word(text: &str) -> bool {
    let starts = |c: char| c.is_alphabetic() || c == '_';
    text.chars().next().is_some_and(starts)
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_or_bare_words() {
        let check = |text: &str, wanted: Static| {
            assert_eq!(parse(text), Ok(("k".to_owned(), wanted)), "{text}");
        };
        check("k=12", Static::Int(12));
        check("k=-0.5", Static::Real(-0.5));
        check("k=1e-5", Static::Real(1e-5));
        check("k=true", Static::Bool(true));
        check("k=null", Static::None);
        check("k=gelu_tanh", Static::Text("gelu_tanh".to_owned()));
        check("k=\"a=b\"", Static::Text("a=b".to_owned()));
        check(
            "k=[1, 2]",
            Static::List(vec![Static::Int(1), Static::Int(2)]),
        );
    }

    #[test]
    fn what_is_no_setting_is_told() {
        let check = |text: &str, reason: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        };
        check("layers", "write `name=value`");
        check("=3", "no name");
        check("k=", "`` is no value");
        check("k=[1,", "`[1,` is no value");
        check("k=1 2", "no value");
        check("k=18446744073709551615", "too large");
    }
}
