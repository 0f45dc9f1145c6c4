//! How a conversation is written for a model.
//!
//! Templates are Jinja as published with models, with the settings and the
//! Python methods that they expect. They are not trusted: work and output are
//! bounded, and they see nothing but the conversation.

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;

use super::TextError;

/// Steps that a template may take, far above any that is published.
const FUEL: u64 = 10_000_000;

/// A chat template.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatTemplate {
    source: String,
    bos: Option<String>,
    eos: Option<String>,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of a conversation.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

impl ChatTemplate {
    /// A template with the tokens that begin and end a text, as text.
    pub fn new(source: impl Into<String>, bos: Option<String>, eos: Option<String>) -> Self {
        Self {
            source: source.into(),
            bos,
            eos,
        }
    }

    /// As published.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of a conversation; `answer` begins the model's own turn.
    ///
    /// It has its special tokens already: encode it with
    /// [`Tokenizer::encode_plain`](super::Tokenizer::encode_plain). Fails when
    /// the template is broken, refuses the conversation, or does not end.
    pub fn render(&self, messages: &[Message], answer: bool) -> Result<String, TextError> {
        let turn = |message: &Message| {
            context! { role => message.role.as_str(), content => message.content.as_str() }
        };
        let context = context! {
            messages => messages.iter().map(turn).collect::<Vec<Value>>(),
            add_generation_prompt => answer,
            bos_token => self.bos.as_deref().unwrap_or_default(),
            eos_token => self.eos.as_deref().unwrap_or_default(),
        };
        environment()
            .and_then(|environment| environment.render_str(&self.source, context))
            .map_err(TextError::Template)
    }
}

/// As the templates of published models expect it.
fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_function("raise_exception", refuse);
    environment.add_filter("tojson", to_json);
    Ok(environment)
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChatTemplate").field(&self.source).finish()
    }
}

/// The function by which templates refuse a conversation.
fn refuse(reason: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, reason))
}

/// JSON as Python writes it: spaces after separators, nothing escaped for
/// HTML.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands named arguments over by value"
)]
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.get::<Option<bool>>("ensure_ascii")?;
    options.assert_all_used()?;
    let mut text = Vec::new();
    let written = match indent {
        Some(indent) => {
            let indent = " ".repeat(indent.min(16));
            let format = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(
                &mut text, format,
            ))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(
            &mut text, Spaced,
        )),
    };
    written.map_err(|error| {
        Error::new(ErrorKind::BadSerialization, "not a JSON value").with_source(error)
    })?;
    Ok(Value::from_safe_string(
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// One line with a space after each separator.
struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
