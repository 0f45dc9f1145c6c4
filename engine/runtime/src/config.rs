//! Settings that come with stored models, as one tree of values.
//!
//! A `config.json`, the typed metadata of a GGUF file and the JSON text in the
//! metadata of a golden file all become a [`ConfigValue`]; a model's static
//! parameters are looked up in it by dotted path. What the settings mean is
//! left to the model file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A setting, or a tree of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ConfigValue {
    /// Written, but without a value.
    Null,
    /// Truth value.
    Bool(bool),
    /// Integer of up to 64 bits; a larger one is a `Float`.
    Int(i64),
    /// Number with a fraction or an exponent, infinite or `NaN`.
    Float(f64),
    /// Text.
    Str(String),
    /// Values in order.
    List(Vec<ConfigValue>),
    /// Values by name.
    Map(BTreeMap<String, ConfigValue>),
}

/// Why settings cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", file.display())]
    Read {
        /// As asked for.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not JSON.
    #[error("`{}` is not JSON: {source}", file.display())]
    Json {
        /// As asked for.
        file: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl ConfigValue {
    /// Reads a JSON file such as `config.json`.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file).map_err(|source| ConfigError::Read {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|source| ConfigError::Json {
            file: file.to_owned(),
            source,
        })
    }

    /// Parses JSON text.
    ///
    /// An object `{"__float__": "Infinity"}` (also `-Infinity`, `NaN`) is the
    /// `Float` that JSON cannot write.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<serde_json::Value>(text).map(Self::from)
    }

    /// The value at a dotted path: names of maps, positions of lists.
    ///
    /// A name may contain dots itself, as the names of GGUF metadata do; the
    /// longest name that is there wins. The empty path is the value itself.
    ///
    /// ```
    /// # use girih_runtime::config::ConfigValue;
    /// let config = ConfigValue::parse(r#"{"rope": {"theta": [1e4]}, "llama.vocab": 8}"#)?;
    /// assert_eq!(config.lookup("rope.theta.0"), Some(&ConfigValue::Float(1e4)));
    /// assert_eq!(config.lookup("llama.vocab"), Some(&ConfigValue::Int(8)));
    /// assert_eq!(config.lookup("rope.base"), None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn lookup(&self, path: &str) -> Option<&Self> {
        if path.is_empty() {
            Some(self)
        } else {
            self.descend(path)
        }
    }

    /// The settings whose JSON text stands at a path, as in the metadata of a
    /// golden file, where `config` is one.
    ///
    /// `None` when there is no text.
    pub fn lookup_json(&self, path: &str) -> Option<Result<Self, serde_json::Error>> {
        self.lookup(path)?.as_str().map(Self::parse)
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if it is an integer or a float.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(value) => Some(value),
            _ => None,
        }
    }

    /// The values in order, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    /// The values by name, if it is a map.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Map(values) => Some(values),
            _ => None,
        }
    }

    fn descend(&self, path: &str) -> Option<&Self> {
        let ends = path
            .char_indices()
            .filter(|&(_, c)| c == '.')
            .map(|(at, _)| at);
        let mut ends: Vec<usize> = ends.collect();
        ends.push(path.len());
        ends.iter().rev().find_map(|&end| {
            let inner = self.child(&path[..end])?;
            if end == path.len() {
                Some(inner)
            } else {
                inner.descend(&path[end + 1..])
            }
        })
    }

    fn child(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(values) => values.get(name),
            Self::List(values) => values.get(name.parse::<usize>().ok()?),
            _ => None,
        }
    }
}

impl From<serde_json::Value> for ConfigValue {
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value;
        match json {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(value) => Self::Str(value),
            Value::Array(values) => Self::List(values.into_iter().map(Self::from).collect()),
            Value::Object(values) => match special_float(&values) {
                Some(value) => Self::Float(value),
                None => Self::Map(
                    values
                        .into_iter()
                        .map(|(k, v)| (k, Self::from(v)))
                        .collect(),
                ),
            },
        }
    }
}

/// As JSON, except that an infinite number or `NaN` is `null`.
impl fmt::Display for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

fn special_float(values: &serde_json::Map<String, serde_json::Value>) -> Option<f64> {
    if values.len() != 1 {
        return None;
    }
    match values.get("__float__")?.as_str()? {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        other => other.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: &str) {
        let config = ConfigValue::parse(
            r#"{
                "model_type": "mamba2", "layers": 2, "eps": 1e-12, "big": 18446744073709551615,
                "tie": true, "bos": null, "kinds": ["full", {"window": 4}],
                "limits": [0.0, {"__float__": "Infinity"}, {"__float__": "-Infinity"}],
                "a": {"b.c": 1, "b": {"c": 2, "d": 3}}, "a.b": 4
            }"#,
        )
        .unwrap();
        let found = config.lookup(path);
        assert_eq!(
            found.map_or("none".to_owned(), |value| format!("{value:?}")),
            expected
        );
    }

    #[test]
    fn values_are_found_by_path() {
        check("model_type", "Str(\"mamba2\")");
        check("layers", "Int(2)");
        check("eps", "Float(1e-12)");
        check("big", "Float(1.8446744073709552e19)");
        check("tie", "Bool(true)");
        check("bos", "Null");
        check("kinds.0", "Str(\"full\")");
        check("kinds.1.window", "Int(4)");
        check("limits.1", "Float(inf)");
        check("limits.2", "Float(-inf)");
        check("a.b", "Int(4)");
        check("a.b.c", "Int(1)");
        check("a.b.d", "Int(3)");
        for absent in [
            "none",
            "kinds.2",
            "kinds.-1",
            "kinds.0.x",
            "layers.0",
            ".",
            "a.",
            "a..b",
        ] {
            check(absent, "none");
        }
    }

    #[test]
    fn broken_text_is_an_error() {
        for text in [
            "",
            "{",
            "{\"a\": NaN}",
            "{\"a\": 1e999}",
            &"[".repeat(10_000),
        ] {
            assert!(ConfigValue::parse(text).is_err(), "{text:.20}");
        }
        let error = ConfigValue::read(Path::new("no/such/config.json")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot read `no/such/config.json`")
        );
    }

    #[test]
    fn text_within_metadata_is_parsed() {
        let metadata = ConfigValue::parse(r#"{"config": "{\"heads\": 4}", "n": 1}"#).unwrap();
        let config = metadata.lookup_json("config").unwrap().unwrap();
        assert_eq!(config.lookup("heads"), Some(&ConfigValue::Int(4)));
        assert!(metadata.lookup_json("n").is_none());
    }

    #[test]
    fn prints_as_json() {
        let config = ConfigValue::parse(r#"{"b": [1, 2.5, null], "a": "x"}"#).unwrap();
        assert_eq!(config.to_string(), r#"{"a":"x","b":[1,2.5,null]}"#);
    }
}
