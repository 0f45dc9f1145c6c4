//! What is no declaration at the top level of a file.

use super::expected::shown;
use crate::diag::Diagnostic;
use crate::parse::code;
use crate::parse::lex::Kind;
use crate::parse::slip;
use crate::parse::split::{ITEM_WORDS, Outline};

/// Something between items, from the token `first` on.
pub(in crate::parse) fn not_an_item(outline: &Outline<'_>, first: usize, end: usize) -> Diagnostic {
    let text = outline.text(first);
    let span = outline.span(first);
    if let Some(found) = slip::foreign_declaration(text, span) {
        return found;
    }
    let next = if first + 1 < end {
        outline.text(first + 1)
    } else {
        ""
    };
    let place = |message: String, help: &str| {
        Diagnostic::error(code::PLACE, message)
            .at(span, "")
            .help(help)
    };
    match text {
        "param" | "sub" | "stack" | "experts" | "state" | "shared" | "forward" => {
            return place(
                format!("`{text}` stands in the braces of a module"),
                "move it into `module Name(d: axis) { … }`",
            );
        }
        "return" | "recurrence" | "if" | "for" | "while" | "emit" | "expect" | "@" => {
            return place(
                format!("`{text}` stands in a body"),
                "move it into the method of a module, `forward(x: f32[t, d]) -> f32[t, d] { … }`, or into a test",
            );
        }
        _ => {}
    }
    if outline.kind(first) == Some(Kind::Word) && next == "=" {
        return place(
            format!("an equation of `{text}` does not stand at the top level"),
            &format!(
                "for a static value write `let {text} = …`; other equations stand in a method"
            ),
        );
    }
    let diagnostic = Diagnostic::error(
        code::ITEM,
        format!("{} does not begin a declaration", shown(text)),
    )
    .at(span, "");
    match nearest(text) {
        Some(word) => diagnostic.help(format!("did you mean `{word}`?")),
        None => diagnostic.help("a file holds `axis`, `let`, `fn`, `module`, `model`, `memory`, `weights`, `golden`, `test`, `train`, `probe` and other declarations; code stands in their braces"),
    }
}

/// The item word that a misspelled one was meant to be.
fn nearest(word: &str) -> Option<&'static str> {
    if word.len() < 2 || word.len() > 16 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    ITEM_WORDS
        .into_iter()
        .map(|item| (distance(&lower, item), item))
        .filter(|&(distance, item)| distance <= item.len().div_ceil(4))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, item)| item)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_words_are_recognized() {
        for (word, meant) in [
            ("modul", Some("module")),
            ("Module", Some("module")),
            ("weigths", Some("weights")),
            ("banana", None),
        ] {
            assert_eq!(nearest(word), meant, "{word}");
        }
    }
}
