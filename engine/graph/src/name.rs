//! Names as graph text writes them: plain where they can be, quoted where they must.
//!
//! A plain name starts with a letter or `_` and goes on with letters, digits, `_`
//! and dots that do not end it: `layers.3.attn.wq`. Any other text is written in
//! double quotes with `\"`, `\\` and `\u{…}`.

use std::fmt::Write as _;

/// Whether `name` needs no quotes.
pub fn is_plain(name: &str) -> bool {
    let starts = |c: char| c.is_alphabetic() || c == '_';
    name.chars().next().is_some_and(starts)
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == '.')
        && !name.ends_with('.')
}

/// `name` as written in graph text.
pub fn show(name: &str) -> String {
    if is_plain(name) {
        name.to_owned()
    } else {
        quote(name)
    }
}

/// `text` in double quotes, on one line.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            // Invisible characters could forge lines.
            _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                // Writing to a `String` cannot fail.
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_and_others_are_quoted() {
        for plain in ["x", "h.1", "layers.3.attn.wq", "_", "größe"] {
            assert_eq!(show(plain), plain);
        }
        for (odd, text) in [
            ("", r#""""#),
            ("3", r#""3""#),
            ("a b", r#""a b""#),
            ("a.", r#""a.""#),
            ("a\"\\\n", r#""a\"\\\u{a}""#),
        ] {
            assert_eq!(show(odd), text);
        }
    }
}
