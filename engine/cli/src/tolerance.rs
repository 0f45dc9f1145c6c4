//! How far a tensor may be from its reference, as the reference's file says it in words.
//!
//! Understood are `atol 1e-5 rtol 1e-4; grad.* atol 1e-4 rtol 1e-3`, `abs 2e-5 outputs,
//! rel 2e-4 gradients`, `abs 1e-4 + rel 1e-3 against …`, `exact`, and lists of these. A
//! gradient that has a relative part only is measured by its tensor's largest element. Words
//! before `exact` name tensors that must agree exactly; integers and truth values always must.
//! Nothing is ever looser than what is written.

use std::fmt;

/// Bounds for the tensors of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerance {
    /// For values.
    pub values: Bound,
    /// For gradients.
    pub grads: Bound,
    /// Parts of names of tensors that must agree exactly.
    exact: Vec<String>,
}

/// How far one element may be from its reference `b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Not at all.
    Exact,
    /// `abs + rel·|b|`.
    Mixed {
        /// Absolute part.
        abs: f64,
        /// Relative part.
        rel: f64,
    },
    /// `rel` times the largest |b| of the tensor.
    OfLargest(f64),
}

/// What a gradient of zero may be: the rounding of its parts.
const TINY: f64 = 1e-7;

impl Bound {
    /// The most that an element may differ, given its reference and the largest of all.
    pub fn allows(self, reference: f64, largest: f64) -> f64 {
        match self {
            Self::Exact => 0.0,
            Self::Mixed { abs, rel } => abs + rel * reference.abs(),
            Self::OfLargest(rel) => rel * largest + TINY,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::Mixed { abs, rel } if *rel == 0.0 => write!(f, "abs {abs:e}"),
            Self::Mixed { abs, rel } if *abs == 0.0 => write!(f, "rel {rel:e}"),
            Self::Mixed { abs, rel } => write!(f, "abs {abs:e} + rel {rel:e}"),
            Self::OfLargest(rel) => write!(f, "{rel:e} of largest"),
        }
    }
}

impl Tolerance {
    /// For files that say nothing.
    pub const DEFAULT: Self = Self {
        values: Bound::Mixed {
            abs: 1e-5,
            rel: 1e-4,
        },
        grads: Bound::Mixed {
            abs: 1e-4,
            rel: 1e-3,
        },
        exact: Vec::new(),
    };

    /// Reads what a file says; `None` if there is neither a number nor `exact` in it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = without_parentheses(text);
        let mut values: Option<Bound> = None;
        let mut grads: Option<Bound> = None;
        let mut exact = Vec::new();
        let mut all_exact = false;
        let sentences = text.split(';').flat_map(|clause| clause.split(". "));
        for clause in sentences {
            for group in groups(clause) {
                match group {
                    Group::Exact(names) if names.is_empty() => all_exact = true,
                    Group::Exact(names) => exact.extend(names),
                    Group::Bound { abs, rel, grad } => {
                        let bound = match (grad, abs, rel) {
                            (true, None, Some(rel)) => Bound::OfLargest(rel),
                            _ => Bound::Mixed {
                                abs: abs.unwrap_or(0.0),
                                rel: rel.unwrap_or(0.0),
                            },
                        };
                        let place = if grad { &mut grads } else { &mut values };
                        place.get_or_insert(bound);
                    }
                }
            }
        }
        let values = match (values, all_exact, grads) {
            (Some(bound), _, _) => bound,
            (None, false, Some(_)) => Self::DEFAULT.values,
            (None, false, None) if exact.is_empty() => return None,
            (None, ..) => Bound::Exact,
        };
        Some(Self {
            values,
            grads: grads.unwrap_or(values),
            exact,
        })
    }

    /// The bound for a tensor's real elements.
    pub fn of(&self, name: &str, is_grad: bool) -> Bound {
        let mut words = name.split(|c: char| !c.is_alphanumeric());
        let is_exact = words.any(|word| {
            let word = word.to_lowercase();
            self.exact
                .iter()
                .any(|own| *own == word || own.strip_suffix('s') == Some(word.as_str()))
        });
        match (is_exact && !is_grad, is_grad) {
            (true, _) => Bound::Exact,
            (false, true) => self.grads,
            (false, false) => self.values,
        }
    }
}

enum Group {
    Bound {
        abs: Option<f64>,
        rel: Option<f64>,
        grad: bool,
    },
    Exact(Vec<String>),
}

/// The bounds of one clause: numbers that stand together, with the words around them.
fn groups(clause: &str) -> Vec<Group> {
    let words: Vec<String> = clause
        .split(|c: char| c.is_whitespace() || c == ',' || c == '+')
        .filter(|word| !word.is_empty())
        .map(|word| word.trim_end_matches('.').to_lowercase())
        .collect();
    let mut result = Vec::new();
    let mut before: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if words[at] == "exact" && says_which(&words, at) {
            // `indices exact`, `exact for attended/score`.
            let mut names: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
            at += 1;
            if words.get(at).is_some_and(|word| word == "for") {
                names.extend(
                    words[at + 1..]
                        .iter()
                        .flat_map(|word| word.split('/'))
                        .map(str::to_owned),
                );
                at = words.len();
            }
            before.clear();
            result.push(Group::Exact(names));
            continue;
        }
        let (mut abs, mut rel) = (None, None);
        while let Some((which, number)) = pair(&words, at) {
            *(if which { &mut abs } else { &mut rel }) = Some(number);
            at += 2;
        }
        if abs.is_none() && rel.is_none() {
            before.push(&words[at]);
            at += 1;
            continue;
        }
        let mut after = at;
        while after < words.len() && pair(&words, after).is_none() && words[after] != "exact" {
            after += 1;
        }
        let about = before
            .iter()
            .copied()
            .chain(words[at..after].iter().map(String::as_str));
        let grad = about.into_iter().any(|word| word.starts_with("grad"));
        before.clear();
        if words.get(after).is_some_and(|word| word == "exact") {
            // These words belong to what is exact.
            before.extend(words[at..after].iter().map(String::as_str));
        }
        at = after;
        result.push(Group::Bound { abs, rel, grad });
    }
    result
}

/// Whether `exact` is about what stands before it or after `for`, not about the next word (`exact zeros`).
fn says_which(words: &[String], at: usize) -> bool {
    let after = words.get(at + 1).map(String::as_str);
    matches!(after, None | Some("for")) || pair(words, at + 1).is_some()
}

/// `atol 1e-5` as (true, 1e-5), `rel 1e-3` as (false, 1e-3).
fn pair(words: &[String], at: usize) -> Option<(bool, f64)> {
    let which = match words.get(at)?.as_str() {
        "abs" | "atol" => true,
        "rel" | "rtol" => false,
        _ => return None,
    };
    let number: f64 = words.get(at + 1)?.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some((which, number))
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0usize;
    let mut result = String::new();
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            letter if depth == 0 => result.push(letter),
            _ => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, values: &str, grads: &str) {
        let found = Tolerance::parse(text).unwrap();
        assert_eq!(
            (found.values.to_string(), found.grads.to_string()),
            (values.into(), grads.into()),
            "{text}"
        );
    }

    #[test]
    fn the_forms_of_golden_files_are_understood() {
        check(
            "atol 1e-5 rtol 1e-4; grad.* atol 1e-4 rtol 1e-3",
            "abs 1e-5 + rel 1e-4",
            "abs 1e-4 + rel 1e-3",
        );
        check(
            "atol 1e-5 rtol 1e-4 for values; grad.* atol 1e-4 rtol 1e-3; integer tensors exact. A sign taken of a value within 1e-6 of zero may flip",
            "abs 1e-5 + rel 1e-4",
            "abs 1e-4 + rel 1e-3",
        );
        check(
            "abs 2e-5 outputs, rel 2e-4 gradients (of the SUM, abs 1)",
            "abs 2e-5",
            "2e-4 of largest",
        );
        check(
            "abs 2e-5 on f32 outputs, rel 1e-4 on gradients; integer tensors exact",
            "abs 2e-5",
            "1e-4 of largest",
        );
        check(
            "rtol 1e-4, atol 1e-5 (f32)",
            "abs 1e-5 + rel 1e-4",
            "abs 1e-5 + rel 1e-4",
        );
        check(
            "abs 1e-4 + rel 1e-3 against float32 reference",
            "abs 1e-4 + rel 1e-3",
            "abs 1e-4 + rel 1e-3",
        );
        check("exact", "exact", "exact");
        check("abs 5e-5; indices exact", "abs 5e-5", "abs 5e-5");
        check(
            "spikes exact (never near), abs 5e-5 outputs, rel 1e-3 gradients",
            "abs 5e-5",
            "1e-3 of largest",
        );
    }

    #[test]
    fn names_that_must_be_exact_are_known() {
        let found =
            Tolerance::parse("exact for attended/score; abs 1e-5 + rel 1e-4 for logits").unwrap();
        assert_eq!(found.of("head.score", false), Bound::Exact);
        assert_eq!(
            found.of("logits", false),
            Bound::Mixed {
                abs: 1e-5,
                rel: 1e-4
            }
        );
        let found = Tolerance::parse(
            "atol 1e-5; integer tensors exact. A sign of a value may flip: none does except exact zeros in scores",
        )
        .unwrap();
        for name in ["value_scores0", "zeros"] {
            assert_ne!(found.of(name, false), Bound::Exact, "{name}");
        }
        let found = Tolerance::parse("spikes exact, abs 5e-5 outputs").unwrap();
        assert_eq!(found.of("layer.spike", false), Bound::Exact);
        assert_eq!(
            found.of("out", false),
            Bound::Mixed {
                abs: 5e-5,
                rel: 0.0
            }
        );
    }

    #[test]
    fn what_says_nothing_is_no_tolerance() {
        for text in ["", "close enough", "abs nan", "abs", "rel -1"] {
            assert_eq!(Tolerance::parse(text), None, "{text}");
        }
    }

    #[test]
    fn zero_gradients_have_room_for_rounding_only() {
        let bound = Bound::OfLargest(1e-3);
        assert!(bound.allows(0.0, 0.0) > 0.0 && bound.allows(0.0, 0.0) < 1e-6);
        assert!((bound.allows(0.5, 2.0) - 2e-3).abs() < 1e-6);
        assert!(Bound::Exact.allows(9.0, 9.0) == 0.0);
    }
}
