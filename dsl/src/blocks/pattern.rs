//! Which names a pattern stands for.
//!
//! `{i}` stands for one or more characters, the same everywhere in an entry, and never
//! for half a segment's dot: its text neither begins nor ends with one. `*` is a wildcard
//! without a name, for one segment. A pattern may fit a name in several ways; all of them
//! are given, since another name decides which one is meant. Work is bounded whatever
//! the names are.

use std::collections::BTreeMap;

use crate::ast::{ExprKind, Index, Path, Segment};

/// What each wildcard of an entry stands for.
pub type Binding = BTreeMap<String, String>;

/// Names longer than this match no wildcard.
const LONGEST: usize = 512;

/// Ways to fit one name that are tried at most.
const MOST: usize = 256;

/// A name with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Wild(String),
    Star,
}

impl Pattern {
    /// `model.layers.{i}.weight`, as written in quotes.
    pub fn of_text(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, name, after)) = first_wildcard(rest) {
            push_text(&mut parts, before);
            parts.push(Part::Wild(name.to_owned()));
            rest = after;
        }
        push_text(&mut parts, rest);
        Self { parts }
    }

    /// A path of the model. Indices other than a constant position are left out: they
    /// name the axes of what the path leads to.
    pub fn of_path(path: &Path) -> Self {
        let mut parts = Vec::new();
        for segment in &path.segments {
            let part = match segment {
                Segment::Name(name) => Part::Text(name.text.clone()),
                Segment::Wild(name) => Part::Wild(name.text.clone()),
                Segment::Star(_) => Part::Star,
                Segment::Index(items) => match position(items) {
                    Some(position) => Part::Text(position),
                    None => continue,
                },
            };
            if !parts.is_empty() {
                push_text(&mut parts, ".");
            }
            match part {
                Part::Text(text) => push_text(&mut parts, &text),
                part => parts.push(part),
            }
        }
        Self { parts }
    }

    /// Names of the wildcards, each once, in order.
    pub fn wildcards(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for part in &self.parts {
            if let Part::Wild(name) = part
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        names
    }

    /// Whether there is any wildcard.
    pub fn is_open(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// Every way in which `name` fits, given what some wildcards stand for already.
    pub fn fits(&self, name: &str, known: &Binding) -> Vec<Binding> {
        let mut found = Vec::new();
        if name.len() > LONGEST && self.is_open() {
            return found;
        }
        let mut work = 64 * MOST;
        fit(&self.parts, name, known, &mut found, &mut work);
        found
    }

    /// The name that the wildcards' texts give; `None` while one is not known.
    pub fn fill(&self, known: &Binding) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Wild(name) => text.push_str(known.get(name)?),
                Part::Star => return None,
            }
        }
        Some(text)
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Wild(name) => write!(f, "{{{name}}}")?,
                Part::Star => f.write_str("*")?,
            }
        }
        Ok(())
    }
}

/// Numbers by value and before other texts: the order of stacked names.
pub(super) fn numeric(text: &str) -> (u64, &str) {
    (text.parse().unwrap_or(u64::MAX), text)
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if text.is_empty() {
        return;
    }
    if let Some(Part::Text(last)) = parts.last_mut() {
        last.push_str(text);
    } else {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// Splits at the first `{word}`.
fn first_wildcard(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let open = from + text.get(from..)?.find('{')?;
        let close = open + text[open..].find('}')?;
        let name = &text[open + 1..close];
        let is_word = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if is_word && !name.is_empty() {
            return Some((&text[..open], name, &text[close + 1..]));
        }
        from = open + 1;
    }
}

fn position(items: &[Index]) -> Option<String> {
    match items {
        [Index::At(expr)] => match &expr.kind {
            ExprKind::Int(number) => Some(number.to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn fit(parts: &[Part], name: &str, known: &Binding, found: &mut Vec<Binding>, work: &mut usize) {
    if *work == 0 || found.len() >= MOST {
        return;
    }
    *work -= 1;
    let Some((first, rest)) = parts.split_first() else {
        if name.is_empty() && !found.contains(known) {
            found.push(known.clone());
        }
        return;
    };
    match first {
        Part::Text(text) => {
            if let Some(after) = name.strip_prefix(text.as_str()) {
                fit(rest, after, known, found, work);
            }
        }
        Part::Wild(wild) => {
            if let Some(value) = known.get(wild) {
                if let Some(after) = name.strip_prefix(value.as_str()) {
                    fit(rest, after, known, found, work);
                }
                return;
            }
            for (start, letter) in name.char_indices() {
                let end = start + letter.len_utf8();
                let value = &name[..end];
                if value.starts_with('.') {
                    return;
                }
                if value.ends_with('.') || !may_follow(rest, &name[end..]) {
                    continue;
                }
                let mut known = known.clone();
                known.insert(wild.clone(), value.to_owned());
                fit(rest, &name[end..], &known, found, work);
            }
        }
        Part::Star => {
            let end = name.find('.').unwrap_or(name.len());
            if end > 0 {
                fit(rest, &name[end..], known, found, work);
            }
        }
    }
}

/// A cheap look ahead, so that most ends are not even tried.
fn may_follow(rest: &[Part], name: &str) -> bool {
    match rest.first() {
        None => name.is_empty(),
        Some(Part::Text(text)) => name.starts_with(text.as_str()),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, name: &str, expected: &str) {
        let pattern = Pattern::of_text(pattern);
        let found = pattern.fits(name, &Binding::new());
        let shown: Vec<String> = found
            .iter()
            .map(|binding| {
                let pairs: Vec<String> = binding.iter().map(|(k, v)| format!("{k}={v}")).collect();
                pairs.join(",")
            })
            .collect();
        assert_eq!(shown.join(" | "), expected, "{pattern} {name}");
        for binding in &found {
            assert_eq!(pattern.fill(binding).as_deref(), Some(name));
        }
    }

    #[test]
    fn wildcards_stand_for_whole_names() {
        check("a.{i}.w", "a.3.w", "i=3");
        check("a.{i}.w", "a.3.b.w", "i=3.b");
        check("a.{i}.w", "a.3.b", "");
        check("a.{i}.w", "a..w", "");
        check("x{s}", "x12", "s=12");
        check("x{s}", "x", "");
        check("{p}.{q}", "a.b.c", "p=a,q=b.c | p=a.b,q=c");
        check("{p}.{p}", "a.b.a.b", "p=a.b");
        check("{p}.{p}", "a.b", "");
        check("plain", "plain", "");
        check("a{b", "a{b", "");
        check("ä.{i}", "ä.ö", "i=ö");
    }

    #[test]
    fn plain_names_fit_themselves_only() {
        let pattern = Pattern::of_text("a.b");
        assert_eq!(pattern.fits("a.b", &Binding::new()), [Binding::new()]);
        assert!(pattern.fits("a.bc", &Binding::new()).is_empty());
        assert!(!pattern.is_open());
    }

    #[test]
    fn hostile_names_end_soon() {
        let name = "a.".repeat(200) + "b";
        let pattern = Pattern::of_text("{a}.{b}.{c}.{d}.{e}.x");
        assert!(pattern.fits(&name, &Binding::new()).is_empty());
        assert!(
            pattern
                .fits(&"y".repeat(10_000), &Binding::new())
                .is_empty()
        );
    }
}
