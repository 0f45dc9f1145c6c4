//! Text to tokens, one at a time, without a copy of the text.

use super::error::{TextCause, TextError};

/// A piece of graph text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// A plain name or keyword.
    Word(&'a str),
    /// A quoted text, unescaped.
    Quoted(String),
    /// `%12`.
    Value(&'a str),
    /// Digits with fraction and exponent; no sign.
    Number(&'a str),
    /// `->`, `==`, or one character.
    Mark(&'a str),
    /// The end of the text.
    End,
}

impl Token<'_> {
    /// For messages.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Word(text) | Self::Value(text) | Self::Number(text) | Self::Mark(text) => {
                let short: String = text.chars().take(40).collect();
                format!("`{short}`")
            }
            Self::Quoted(_) => "quoted text".to_owned(),
            Self::End => "the end of the text".to_owned(),
        }
    }
}

/// A position in a text. Cheap to copy: to look ahead, scan with a copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// An error at the next token.
    pub(super) fn error(mut self, cause: impl Into<TextCause>) -> TextError {
        self.skip_blank();
        let before = &self.text[..self.at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        TextError {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            cause: cause.into(),
        }
    }

    /// The error that something else should stand here.
    pub(super) fn expected(self, wanted: &str) -> TextError {
        match self.peek() {
            Ok(token) => self.error(TextCause::Expected {
                wanted: wanted.to_owned(),
                found: token.show(),
            }),
            Err(error) => error,
        }
    }

    /// The next token, without moving.
    pub(super) fn peek(mut self) -> Result<Token<'a>, TextError> {
        self.next()
    }

    fn skip_blank(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'#' => self.at += self.length(|c| c != '\n'),
                _ => break,
            }
        }
    }

    /// The next token; after it, the scanner stands behind it.
    pub(super) fn next(&mut self) -> Result<Token<'a>, TextError> {
        self.skip_blank();
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else {
            return Ok(Token::End);
        };
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        Ok(match first {
            '"' => Token::Quoted(self.quoted()?),
            '%' => {
                let digits = &rest[1..];
                let length = digits.find(|c: char| !c.is_ascii_digit());
                Token::Value(self.take(1 + length.unwrap_or(digits.len())))
            }
            '0'..='9' => Token::Number(self.take(number_length(rest))),
            c if c.is_alphabetic() || c == '_' => {
                let length = self.length(|c| is_name(c) || c == '.');
                let length = rest[..length].trim_end_matches('.').len();
                Token::Word(self.take(length))
            }
            _ if rest.starts_with("->") || rest.starts_with("==") => Token::Mark(self.take(2)),
            c => Token::Mark(self.take(c.len_utf8())),
        })
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.text[self.at..self.at + length];
        self.at += length;
        taken
    }

    /// Bytes of the longest beginning whose characters all pass.
    fn length(&self, pass: impl Fn(char) -> bool) -> usize {
        let rest = &self.text[self.at..];
        rest.find(|c| !pass(c)).unwrap_or(rest.len())
    }

    fn quoted(&mut self) -> Result<String, TextError> {
        let start = *self;
        let fails = |why| start.error(TextCause::Quote(why));
        let mut content = String::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let Some(c) = rest.chars().next().filter(|c| *c != '\n') else {
                return Err(fails("does not end on its line"));
            };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(content),
                '\\' => {
                    let escape = &self.text[self.at..];
                    let (c, length) = unescape(escape).ok_or_else(|| fails(UNKNOWN_ESCAPE))?;
                    content.push(c);
                    self.at += length;
                }
                _ => content.push(c),
            }
        }
    }
}

const UNKNOWN_ESCAPE: &str = r#"has an escape other than `\"`, `\\` and `\u{…}`"#;

/// What stands behind a backslash, and its length.
fn unescape(text: &str) -> Option<(char, usize)> {
    if let Some(hex) = text.strip_prefix("u{") {
        let end = hex.find('}').filter(|end| *end <= 6)?;
        let code = u32::from_str_radix(&hex[..end], 16).ok()?;
        return Some((char::from_u32(code)?, end + 3));
    }
    let c = text.chars().next()?;
    matches!(c, '"' | '\\').then_some((c, 1))
}

/// `12`, `1.5`, `1e-7`: digits, then a fraction, then an exponent.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let run = bytes[from..].iter().take_while(|b| b.is_ascii_digit());
        from + run.count()
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let start = end + 1 + sign;
        if start <= bytes.len() && digits(start) > start {
            end = digits(start);
        }
    }
    end
}
