//! The numbers of diagnostics and the pages that explain them.

use std::fmt;

/// A kind of mistake, such as `E0301`.
///
/// | family | about                       |
/// |--------|-----------------------------|
/// | E01    | syntax                      |
/// | E02    | names                       |
/// | E03    | axes and dtypes             |
/// | E04    | structure, state and modes  |
/// | E05    | graph and plan              |
/// | E06    | weights and files           |
/// | E07    | plugins                     |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

impl Code {
    /// The code with this number: `Code::new(301)` is `E0301`.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Reads `E0301`, `e0301`, `E301` or `301`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['E', 'e']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits
            .parse()
            .ok()
            .filter(|&number| number < 10_000)
            .map(Self)
    }

    /// Every code that has a page, in ascending order.
    pub fn all() -> impl Iterator<Item = Self> {
        PAGES.iter().map(|&(number, _)| Self(number))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{:04}", self.0)
    }
}

/// The page of a code: cause, wrong example, right example.
pub fn explain(code: Code) -> Option<&'static str> {
    PAGES
        .iter()
        .find(|&&(number, _)| number == code.0)
        .map(|&(_, page)| page)
}

macro_rules! pages {
    ($($number:literal)*) => {
        /// Ascending. A new code is one number here and one file `codes/E0NNN.md`.
        const PAGES: &[(u16, &str)] =
            &[$(($number, include_str!(concat!("codes/E0", $number, ".md"))),)*];
    };
}

pages! {
    101 102 103 104 105 106 107 108 110 111 112 113 114 115 116 117 118 119 120 121 122 123 124 125 126 127 128 129 201 202 203 204 205 206 207 208 209 210 301 302 303 304 305 306 307 308 309 310 401 402 403 404 405 406 408 409 410 411 412 420 421 422 501 601 602 603 604 605 606 607 608 609 610 612 613 614 701 702
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written() {
        for text in ["E0301", "e0301", "E301", "301"] {
            assert_eq!(Code::parse(text), Some(Code::new(301)), "{text}");
        }
        for text in ["", "E", "E-1", "x", "99999", "E0301x"] {
            assert_eq!(Code::parse(text), None, "{text}");
        }
        assert_eq!(Code::new(301).to_string(), "E0301");
    }

    #[test]
    fn pages_are_in_order_and_titled_by_their_code() {
        assert!(PAGES.is_sorted_by(|a, b| a.0 < b.0));
        for &(number, page) in PAGES {
            assert!(
                page.starts_with(&format!("# {}: ", Code(number))),
                "E{number:04}"
            );
        }
    }
}
