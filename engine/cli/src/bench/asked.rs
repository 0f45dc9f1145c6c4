//! What is asked of a measurement: sizes of free axes, a batch, what inputs are drawn from.
//!
//! A model file may say it itself, as a static value:
//!
//! ```girih
//! let bench = { t: 1024, batch: 8, decay: [0.9, 1.0] }
//! ```
//!
//! A number is a static parameter or a free size, `batch` how many sequences are mapped over,
//! a list of two numbers what an input is drawn from. The command line goes before the file.
//! Whether the model has such a size is not decided here: see `Session::open`.

use std::collections::BTreeMap;

use girih_dsl::ast::ItemKind;
use girih_dsl::diag::{Colors, Sink};
use girih_dsl::elaborate::evaluate_static;
use girih_dsl::model::Static;
use girih_dsl::program::Program;

use crate::failure::Failure;
use crate::source::mistakes;

/// The static value of a model file that says what is measured.
pub const NAME: &str = "bench";

/// What is asked of a measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// Static parameters, and sizes of free axes.
    pub set: Vec<(String, Static)>,
    /// How many elements every input is mapped over.
    pub batch: Option<i64>,
    /// What inputs are drawn from.
    pub ranges: BTreeMap<String, Range>,
}

/// What the elements of an input are drawn from, evenly. Integers: without `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest.
    pub low: f64,
    /// Past the largest.
    pub high: f64,
}

impl Asked {
    /// What the file says where `self`, the command line, says nothing.
    ///
    /// # Errors
    ///
    /// Mistakes in the file's `bench` value.
    pub fn or_file(mut self, program: &Program, colors: Colors) -> Result<Self, Failure> {
        for (name, value) in file_value(program, colors)? {
            match value {
                Static::Int(batch) if name == "batch" => {
                    self.batch = self.batch.or(Some(batch));
                }
                Static::Int(_) | Static::Real(_) | Static::Bool(_) | Static::Text(_) => {
                    if !self.set.iter().any(|(own, _)| *own == name) {
                        self.set.push((name, value));
                    }
                }
                Static::List(ends) => {
                    let range = range_of(&ends).ok_or_else(|| {
                        Failure::Refused(format!(
                            "`{name}` in `let {NAME}` is drawn from two numbers, the smaller one first: `{name}: [0.0, 1.0]`"
                        ))
                    })?;
                    self.ranges.entry(name).or_insert(range);
                }
                Static::None | Static::Map(_) => {
                    return Err(Failure::Refused(format!(
                        "`{name}` in `let {NAME}` is a size, as in `{name}: 128`, or what an input is drawn from, as in `{name}: [0.0, 1.0]`"
                    )));
                }
            }
        }
        Ok(self)
    }

    /// The sizes among what is set, the batch's own included.
    pub fn sizes(&self) -> BTreeMap<String, i64> {
        let named = self.set.iter().filter_map(|(name, value)| match value {
            Static::Int(size) => Some((name.clone(), *size)),
            _ => None,
        });
        let batch = self.batch.map(|batch| (BATCH.to_owned(), batch));
        named.chain(batch).collect()
    }
}

/// The size of the axis that a session maps over, see `Session::open`.
pub const BATCH: &str = "b";

fn file_value(
    program: &Program,
    colors: Colors,
) -> Result<impl Iterator<Item = (String, Static)>, Failure> {
    let file = program.entry();
    let items = program.files[file].ast.items.iter();
    let declared = items.filter_map(|item| match &item.kind {
        ItemKind::Let(name, value) if name.text == NAME => Some(value),
        _ => None,
    });
    let mut fields = BTreeMap::new();
    for expr in declared {
        let mut sink = Sink::new();
        let value = evaluate_static(program, file, expr, &BTreeMap::new(), &mut sink);
        fields = match value {
            Some(Static::Map(fields)) => fields,
            Some(_) => {
                return Err(Failure::Refused(format!(
                    "`let {NAME}` says what is measured: write a record, as in `let {NAME} = {{ t: 128 }}`"
                )));
            }
            None => return Err(mistakes(&program.sources, &sink, colors)),
        };
    }
    Ok(fields.into_iter())
}

fn range_of(ends: &[Static]) -> Option<Range> {
    let number = |end: &Static| match end {
        Static::Int(number) => Some(*number as f64),
        Static::Real(number) => Some(*number),
        _ => None,
    };
    let [low, high] = ends else { return None };
    range(number(low)?, number(high)?)
}

fn range(low: f64, high: f64) -> Option<Range> {
    (low.is_finite() && high.is_finite() && low < high).then_some(Range { low, high })
}

/// Reads `name=low..high`; for the argument parser, hence an error in words.
///
/// # Errors
///
/// No name, no two numbers, or the larger one first.
pub fn parse_range(text: &str) -> Result<(String, Range), String> {
    let parts = text.split_once('=').and_then(|(name, ends)| {
        let (low, high) = ends.split_once("..")?;
        range(low.trim().parse().ok()?, high.trim().parse().ok()?)
            .filter(|_| !name.trim().is_empty())
            .map(|range| (name.trim().to_owned(), range))
    });
    parts.ok_or_else(|| "write `name=low..high`, as in `ids=0..50257`".to_owned())
}

#[cfg(test)]
mod tests {
    use girih_dsl::program::NoFiles;

    use super::*;

    fn read(value: &str) -> Result<Asked, String> {
        let mut sink = Sink::new();
        let text = format!("let bench = {value}\n");
        let program = Program::load("m.girih", &text, &NoFiles, &mut sink);
        let asked = Asked {
            set: vec![("u".to_owned(), Static::Int(7))],
            ..Asked::default()
        };
        let found = asked.or_file(&program, Colors::No);
        found.map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_file_says_what_is_measured() {
        let asked = read("{ t: 12, u: 3, batch: 4, x: [-1.0, 1], }").unwrap();
        let sizes: Vec<_> = asked.sizes().into_iter().collect();
        let wanted = [("b", 4), ("t", 12), ("u", 7)].map(|(name, size)| (name.to_owned(), size));
        assert_eq!(sizes, wanted);
        let range = Range {
            low: -1.0,
            high: 1.0,
        };
        assert_eq!(asked.ranges.get("x"), Some(&range));
    }

    #[test]
    fn what_means_nothing_is_told() {
        for (value, said) in [
            ("3", "write a record"),
            ("{ x: [1, 0] }", "the smaller one first"),
            ("{ x: [1] }", "two numbers"),
            ("{ x: none }", "is a size"),
            ("{ x: unknown }", "E0"),
        ] {
            let told = read(value).unwrap_err();
            assert!(told.contains(said), "{value}: {told}");
        }
    }

    #[test]
    fn ranges_are_read() {
        let wanted = Range {
            low: 0.0,
            high: 50.0,
        };
        assert_eq!(parse_range("ids=0..50"), Ok(("ids".to_owned(), wanted)));
        for bad in [
            "ids", "ids=", "ids=3", "ids=3..2", "=0..1", "x=nan..1", "x=0..inf",
        ] {
            assert!(parse_range(bad).is_err(), "{bad}");
        }
    }
}
