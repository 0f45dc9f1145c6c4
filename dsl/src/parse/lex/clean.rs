//! Characters that the language does not have, and what was meant by them.

use std::collections::HashSet;

use super::{Kind, Token};
use crate::diag::Diagnostic;
use crate::parse::code;
use crate::span::{FileId, Span};

/// The text with foreign characters replaced by what was meant, padded with spaces.
pub(super) fn clean(
    file: FileId,
    source: &str,
    tokens: &[Token],
    found: &mut Vec<Diagnostic>,
) -> String {
    let Some(&line) = tokens.first() else {
        return source.to_owned();
    };
    let mut cleaner = Cleaner {
        line,
        round: 0,
        file,
        source,
        text: source.to_owned(),
        found,
        until: 0,
        told: HashSet::new(),
        tokens,
    };
    let mut place = 0;
    while let Some(&token) = tokens.get(place) {
        place += 1;
        if token.first {
            cleaner.line = token;
        }
        if token.start < cleaner.until {
            continue;
        }
        match token.kind {
            Kind::Stray => {
                let run = tokens[place..]
                    .iter()
                    .zip(place..)
                    .take_while(|(next, at)| {
                        next.kind == Kind::Stray
                            && tokens[at - 1].end == next.start
                            && is_letter(next.text(source, 0))
                            && is_letter(token.text(source, 0))
                    });
                place += run.count();
                cleaner.stray(token, tokens[place - 1].end);
            }
            Kind::OpenText => cleaner.open_text(token),
            Kind::Text if source[token.start..].starts_with("\"\"\"") => cleaner.long_text(token),
            Kind::Symbol => cleaner.symbol(
                token,
                tokens[..place - 1].last(),
                tokens.get(place).copied(),
            ),
            _ => {}
        }
    }
    cleaner.text
}

fn is_letter(text: &str) -> bool {
    text.chars().all(char::is_alphabetic)
}

struct Cleaner<'a> {
    file: FileId,
    source: &'a str,
    tokens: &'a [Token],
    text: String,
    found: &'a mut Vec<Diagnostic>,
    /// How many `(` and `[` are open; braces inside them are not told apart.
    round: usize,
    /// The first token of the current line.
    line: Token,
    /// Messages that are told once for a file.
    told: HashSet<String>,
    /// Tokens before this place are done.
    until: usize,
}

impl Cleaner<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start as u32, end as u32)
    }

    /// Replaces a range by a text that is not longer, and spaces.
    fn replace(&mut self, start: usize, end: usize, with: &str) {
        let lines: String = self.source[start..end]
            .bytes()
            .skip(with.len())
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
            .collect();
        self.text
            .replace_range(start..end, &format!("{with}{lines}"));
        self.until = self.until.max(end);
    }

    /// Reports a character once for the file and counts the others.
    fn report_first(&mut self, character: char, diagnostic: Diagnostic) {
        if !self.told.insert(diagnostic.message.clone()) {
            return;
        }
        let mut text = [0; 4];
        let text: &str = character.encode_utf8(&mut text);
        let same = |token: &&Token| token.text(self.source, 0) == text;
        let count = self.tokens.iter().filter(same).count();
        let diagnostic = if count > 1 {
            diagnostic.note(format!("the file has {count} of them"))
        } else {
            diagnostic
        };
        self.found.push(diagnostic);
    }

    fn stray(&mut self, token: Token, end: usize) {
        let (until, length) = (end, end - token.start);
        let text = &self.source[token.start..end];
        let Some(character) = text.chars().next() else {
            return;
        };
        let (start, end) = if character.is_alphabetic() {
            self.word_around(token.start, end)
        } else {
            (token.start, end)
        };
        let text = &self.source[start..end];
        let (with, message, help) = meaning(character, text, token.start);
        if let Some(message) = message {
            let diagnostic = Diagnostic::error(code::CHARACTER, message)
                .at(self.span(start, end), "")
                .help(help);
            self.report_first(character, diagnostic);
        }
        let length = length.min(with.len());
        self.replace(token.start, until, with.get(..length).unwrap_or(with));
    }

    /// The letters, digits and `_` around a range.
    fn word_around(&self, start: usize, end: usize) -> (usize, usize) {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let before = self.source[..start].trim_end_matches(is_part).len();
        let after = self.source[end..]
            .find(|c| !is_part(c))
            .unwrap_or(self.source.len() - end);
        (before, end + after)
    }

    fn open_text(&mut self, token: Token) {
        if self.source[token.start..].starts_with("\"\"\"") {
            self.long_text(token);
            return;
        }
        self.found.push(
            Diagnostic::error(code::OPEN_TEXT, "the text has no closing `\"`")
                .at(self.span(token.start, token.start + 1), "opened here")
                .help("close it on the same line; a line end inside a text is written `\\n`"),
        );
        self.replace(token.start, token.end, "");
    }

    /// `"""…"""`.
    fn long_text(&mut self, token: Token) {
        let rest = &self.source[token.start + 3..];
        let end = rest
            .find("\"\"\"")
            .map_or(self.source.len(), |at| token.start + 3 + at + 3);
        self.found.push(
            Diagnostic::error(code::COMMENT, "`\"\"\"` does not begin a text")
                .at(self.span(token.start, token.start + 3), "")
                .help(
                    "write documentation as lines that begin with `##`, before what they document",
                ),
        );
        self.replace(token.start, end, "");
    }

    fn symbol(&mut self, token: Token, previous: Option<&Token>, next: Option<Token>) {
        let (start, end) = (token.start, token.end);
        let span = self.span(start, end);
        match token.text(self.source, 0) {
            "(" | "[" => self.round += 1,
            ")" | "]" => self.round = self.round.saturating_sub(1),
            "{" | "}" => self.round = 0,
            "\t" => {
                self.report_first(
                    '\t',
                    Diagnostic::error(code::CHARACTER, "a tab is not white space here")
                        .at(span, "")
                        .help("indent with two spaces; the formatter does it"),
                );
                self.replace(start, end, "");
            }
            ";" if self.round > 0 => {
                let found =
                    Diagnostic::error(code::SEMICOLON, "entries are separated by `,`, not by `;`")
                        .at(span, "")
                        .help("write `,`");
                self.found.push(found);
                self.replace(start, end, ",");
            }
            ";" => {
                self.report_first(
                    ';',
                    Diagnostic::error(
                        code::SEMICOLON,
                        "`;` is not needed: a statement ends where the next one begins",
                    )
                    .at(span, "")
                    .help("remove it, and give each statement its own line"),
                );
                self.replace(start, end, "");
            }
            "\\" => {
                self.found.push(
                    Diagnostic::error(
                        code::CHARACTER,
                        "`\\` is not needed: a line goes on by itself",
                    )
                    .at(span, "")
                    .help("remove it; a line that ends or begins with an operator goes on"),
                );
                self.replace(start, end, "");
            }
            "//" if token.first => self.line_comment(start),
            "/" if next.is_some_and(|next| {
                next.start == end && next.text(self.source, 0).starts_with('*')
            }) =>
            {
                let close = self.source[end..]
                    .find("*/")
                    .map_or(self.source.len(), |at| end + at + 2);
                self.found.push(
                    Diagnostic::error(code::COMMENT, "`/*` does not begin a comment")
                        .at(self.span(start, end + 1), "")
                        .help("begin each line of a comment with `#`"),
                );
                self.replace(start, close, "");
            }
            "'" if !previous.is_some_and(|word| word.end == start && word.kind == Kind::Word) => {
                self.single_quotes(start);
            }
            "@" if !begins_attribute(self.source, token, previous, self.line) => {
                self.found.push(
                    Diagnostic::error(
                        code::OPERATOR,
                        "`@` is not an operator: products name the axis they sum over",
                    )
                    .at(span, "")
                    .help("write `y[…] = sum(e) a * b` with the axis `e` that both have"),
                );
                self.replace(start, end, "*");
            }
            "?" | "$" | "`" => self.foreign(span, &self.source[start..end]),
            control if control.chars().all(char::is_control) => {
                let message = format!("the control character {control:?} has no meaning");
                self.found.push(
                    Diagnostic::error(code::CHARACTER, message)
                        .at(span, "")
                        .help("remove it"),
                );
                self.replace(start, end, "");
            }
            _ => {}
        }
    }

    fn foreign(&mut self, span: Span, text: &str) {
        let help = match text {
            "?" => "write a choice as `if c then a else b`",
            _ => "remove it; names are made of letters, digits and `_`",
        };
        let message = format!("`{text}` is not a character of the language");
        let message = if text == "`" {
            "a backquote is not a character of the language".to_owned()
        } else {
            message
        };
        self.found.push(
            Diagnostic::error(code::CHARACTER, message)
                .at(span, "")
                .help(help),
        );
        self.replace(span.start as usize, span.end as usize, "");
    }

    /// `// …` on a line of its own.
    fn line_comment(&mut self, start: usize) {
        let end = self.source[start..]
            .find('\n')
            .map_or(self.source.len(), |at| start + at);
        self.found.push(
            Diagnostic::error(
                code::COMMENT,
                "`//` does not begin a comment: it divides and rounds down",
            )
            .at(self.span(start, start + 2), "")
            .help("begin a comment with `#`, documentation with `##`"),
        );
        self.replace(start, end, "");
    }

    /// `'text'`.
    fn single_quotes(&mut self, start: usize) {
        let rest = &self.source[start + 1..];
        let Some(length) = rest
            .find(['\'', '\n'])
            .filter(|&at| rest[at..].starts_with('\''))
        else {
            self.found.push(
                Diagnostic::error(code::CHARACTER, "`'` stands after nothing")
                    .at(self.span(start, start + 1), "")
                    .help(
                        "the next value of a state `S` is written `S'`; texts have double quotes",
                    ),
            );
            self.replace(start, start + 1, "");
            return;
        };
        let end = start + 1 + length + 1;
        let inner = &self.source[start + 1..end - 1];
        self.found.push(
            Diagnostic::error(code::TEXT, "a text has double quotes")
                .at(self.span(start, end), "")
                .help(format!("write `\"{inner}\"`")),
        );
        let inner: String = inner
            .chars()
            .map(|c| if c == '"' || c == '\\' { ' ' } else { c })
            .collect();
        self.replace(start, end, &format!("\"{inner}\""));
    }
}

/// Whether an `@` begins an attribute: first on its line, first in a block, or after
/// another attribute with which its line begins.
fn begins_attribute(source: &str, token: Token, before: Option<&Token>, line: Token) -> bool {
    token.first
        || before.is_none_or(|before| before.text(source, 0) == "{")
        || line.text(source, 0) == "@"
}

/// What a foreign character stands for: its replacement, what is wrong, what to write.
fn meaning(character: char, text: &str, start: usize) -> (&'static str, Option<String>, String) {
    let replaced = |with: &'static str, write: &str| {
        let message = format!("`{character}` is not a character of the language");
        (with, Some(message), format!("write {write}"))
    };
    match character {
        '\u{feff}' if start == 0 => ("", None, String::new()),
        '“' | '”' | '„' | '«' | '»' => (
            "\"",
            Some("the quotes of a text are straight".to_owned()),
            "write `\"`".to_owned(),
        ),
        '‘' | '’' | '′' => replaced("'", "`'`"),
        '×' | '·' | '⋅' | '∗' | '⊙' => replaced("*", "the product `*`"),
        '÷' => replaced("/", "the quotient `/`"),
        '−' | '–' | '—' => replaced("-", "the minus `-`"),
        '≤' => replaced("<=", "`<=`"),
        '≥' => replaced(">=", "`>=`"),
        '≠' => replaced("!=", "`!=`"),
        '→' => replaced("->", "`->`"),
        '←' => replaced("=", "`=`"),
        '²' => replaced("^2", "`^2`"),
        '³' => replaced("^3", "`^3`"),
        '∧' => replaced("*", "`and`"),
        '∨' => replaced("*", "`or`"),
        '¬' => replaced("-", "`not`"),
        '∈' => replaced("==", "`in`"),
        '∑' => replaced("-", "the reducer `sum(axis)`"),
        '∏' => replaced("-", "the reducer `prod(axis)`"),
        '√' => replaced("-", "the function `sqrt(x)`"),
        '∞' => (
            "0",
            Some("there is no infinity in the language".to_owned()),
            "leave elements out with `where`: a reducer skips what is outside its domain"
                .to_owned(),
        ),
        'µ' => replaced("uu", "the Greek letter `μ`"),
        _ if character.is_whitespace() || is_invisible(character) => (
            "",
            Some(format!(
                "the character U+{:04X} looks like white space and is none",
                u32::from(character)
            )),
            "write a space".to_owned(),
        ),
        _ if character.is_alphabetic() => (
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            Some(format!("`{text}` cannot be a name")),
            "names are made of ASCII and Greek letters, digits and `_`".to_owned(),
        ),
        _ => (
            "",
            Some(format!("`{character}` is not a character of the language")),
            "remove it, or write it inside a comment or a text".to_owned(),
        ),
    }
}

fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}' | '\u{202a}'..='\u{202e}')
}
