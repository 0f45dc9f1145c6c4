//! Numbers that are none: `2d`, `1.`, `.5`, `0x10`.

use super::{Kind, Token};
use crate::diag::Diagnostic;
use crate::parse::code;
use crate::span::{FileId, Span};

/// Reports malformed numbers and blanks what makes them so. Says whether the text changed.
pub(super) fn check(
    file: FileId,
    clean: &mut String,
    tokens: &[Token],
    found: &mut Vec<Diagnostic>,
) -> bool {
    let mut blanked: Vec<(usize, usize)> = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        let done = blanked.last().is_some_and(|&(_, end)| token.start < end);
        if token.kind != Kind::Number || done {
            continue;
        }
        let before = place.checked_sub(1).map(|place| tokens[place]);
        let next = tokens.get(place + 1).copied();
        let number = token.text(clean, 0);
        let touches = next.filter(|next| next.start == token.end);
        let after_dot = before
            .filter(|dot| dot.end == token.start && dot.text(clean, 0) == ".")
            .filter(|_| !number.contains(['e', 'E']));
        if let Some(word) = touches.filter(|next| next.kind == Kind::Word) {
            let span = span_of(file, token.start, word.end);
            found.push(glued(span, number, word.text(clean, 0)));
            blanked.push((word.start, word.end));
        } else if let Some(end) = range_end(clean, tokens, place) {
            found.push(
                Diagnostic::error(code::NUMBER, "there are no ranges")
                    .at(span_of(file, token.start, end), "")
                    .help("a repetition counts from 0: `for i in 3 { … }`; a part of an axis is chosen by `where`"),
            );
            blanked.push((token.end, end));
        } else if let Some(dot) = touches.filter(|next| next.text(clean, 0) == ".")
            && !tokens
                .get(place + 2)
                .is_some_and(|after| continues(clean, dot, *after))
        {
            let span = span_of(file, token.start, dot.end);
            found.push(
                Diagnostic::error(
                    code::NUMBER,
                    format!("`{number}.` lacks a digit after the point"),
                )
                .at(span, "")
                .help(format!("write `{number}.0`")),
            );
            blanked.push((dot.start, dot.end));
        } else if let Some(dot) = after_dot
            && !place
                .checked_sub(2)
                .is_some_and(|at| ends_operand(clean, tokens[at], dot))
        {
            let span = span_of(file, dot.start, token.end);
            found.push(
                Diagnostic::error(
                    code::NUMBER,
                    format!("`.{number}` lacks a digit before the point"),
                )
                .at(span, "")
                .help(format!("write `0.{number}`")),
            );
            blanked.push((dot.start, dot.end));
        }
    }
    for &(start, end) in &blanked {
        clean.replace_range(start..end, &" ".repeat(end - start));
    }
    !blanked.is_empty()
}

/// Where `0..3` ends, if a range begins with the number at this place.
fn range_end(clean: &str, tokens: &[Token], place: usize) -> Option<usize> {
    let next = |at: usize| tokens.get(place + at).copied();
    let touching = |at: usize| {
        next(at).filter(|one| next(at - 1).is_some_and(|before| before.end == one.start))
    };
    let dots = touching(1)
        .zip(touching(2))
        .filter(|(first, second)| first.text(clean, 0) == "." && second.text(clean, 0) == ".")?;
    let last = touching(3).filter(|last| matches!(last.kind, Kind::Number | Kind::Word));
    Some(last.map_or(dots.1.end, |last| last.end))
}

fn glued(span: Span, number: &str, word: &str) -> Diagnostic {
    let whole = format!("{number}{word}");
    let diagnostic = Diagnostic::error(
        code::NUMBER,
        format!("`{whole}` is neither a number nor a name"),
    )
    .at(span, "");
    if number == "0" && word.starts_with(['x', 'X', 'b', 'o']) {
        return diagnostic.help("numbers are written in decimal digits");
    }
    if matches!(word, "e" | "E") {
        return diagnostic.help(format!("write the exponent: `{number}e3`"));
    }
    diagnostic.help(format!(
        "write `{number} * {word}`, or a name that begins with a letter: `{word}{number}`"
    ))
}

/// Whether something that a dot may stand before follows it: `mlp.0.weight`, `h.0.{p}`.
fn continues(clean: &str, dot: Token, after: Token) -> bool {
    after.start == dot.end
        && (matches!(after.kind, Kind::Word | Kind::Number)
            || matches!(after.text(clean, 0), "{" | "*"))
}

/// Whether a dot after this token selects a field.
fn ends_operand(clean: &str, token: Token, dot: Token) -> bool {
    token.end == dot.start
        && (matches!(token.kind, Kind::Word | Kind::Number | Kind::Text)
            || matches!(token.text(clean, 0), ")" | "]" | "}" | "*" | "'"))
}

fn span_of(file: FileId, start: usize, end: usize) -> Span {
    Span::new(file, start as u32, end as u32)
}
