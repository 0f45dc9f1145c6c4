//! Which numbers the inputs of a measured model are: drawn by their dtype, the same each time.
//!
//! | input   | drawn from                                                              |
//! |---------|-------------------------------------------------------------------------|
//! | real    | its range; without one, the normal distribution                         |
//! | integer | its range; without one, the positions of the smallest table it indexes  |
//! | `bool`  | nothing: all are true, so that nothing is left out                      |
//!
//! Draws depend on the seed and the input's name.

use std::collections::BTreeMap;

use girih_dsl::model::{InputInfo, Model};
use girih_graph::{DType, Extent};
use girih_runtime::backend::Bindings;
use girih_runtime::tensor::{Tensor, byte_count, element_count};

use super::asked::Range;
use super::table::indexed_axes;
use crate::failure::Failure;

/// Every input that the model must be given.
///
/// # Errors
///
/// A size that is not given, an integer of which nothing is known, more elements than a run may have.
pub fn inputs(
    model: &Model,
    sizes: &BTreeMap<String, i64>,
    ranges: &BTreeMap<String, Range>,
    seed: u64,
) -> Result<BTreeMap<String, Tensor>, Failure> {
    if let Some(name) = (ranges.keys()).find(|name| !model.inputs.iter().any(|i| i.name == **name))
    {
        let names: Vec<&str> = model.inputs.iter().map(|i| i.name.as_str()).collect();
        return Err(Failure::Misuse(format!(
            "a range is given for `{name}`, but the model's inputs are `{}`",
            names.join("`, `")
        )));
    }
    let given = model.inputs.iter().filter(|input| input.given);
    given
        .map(|input| {
            let shape = shape(model, input, sizes)?;
            let range = ranges.get(&input.name).copied();
            Ok((
                input.name.clone(),
                tensor(model, input, sizes, shape, range, seed)?,
            ))
        })
        .collect()
}

fn shape(
    model: &Model,
    input: &InputInfo,
    sizes: &BTreeMap<String, i64>,
) -> Result<Vec<usize>, Failure> {
    let extents = input.axes.iter().map(|axis| model.graph.axes.extent(*axis));
    extents
        .map(|extent| {
            let size = evaluate(extent, sizes)?;
            usize::try_from(size).map_err(|_| {
                Failure::Misuse(format!(
                    "an axis of `{}` would have size {size}",
                    input.name
                ))
            })
        })
        .collect()
}

/// The size that an extent has with these sizes given.
///
/// # Errors
///
/// One that is needed is not given, or the result is no size.
pub fn evaluate(extent: &Extent, sizes: &BTreeMap<String, i64>) -> Result<i64, Failure> {
    let missing = extent
        .symbols()
        .into_iter()
        .find(|symbol| !sizes.contains_key(&**symbol));
    if let Some(symbol) = missing {
        return Err(Failure::Misuse(format!(
            "how large is `{symbol}`? Give it with `--extent {symbol}=128`, or write `let bench = {{ {symbol}: 128 }}` in the model file"
        )));
    }
    extent
        .evaluate(&|name| sizes.get(name).copied())
        .map_err(|error| Failure::Refused(error.to_string()))
}

fn tensor(
    model: &Model,
    input: &InputInfo,
    sizes: &BTreeMap<String, i64>,
    shape: Vec<usize>,
    range: Option<Range>,
    seed: u64,
) -> Result<Tensor, Failure> {
    // Elements are drawn as wide as any dtype is.
    let fits = byte_count(DType::I64, &shape)
        .is_some_and(|bytes| u64::try_from(bytes).is_ok_and(|bytes| bytes < Bindings::LIMIT));
    let Some(count) = element_count(&shape).filter(|_| fits) else {
        return Err(Failure::Misuse(format!(
            "the input `{}` of shape {shape:?} is more than a run may hold",
            input.name
        )));
    };
    let mut draws = Draws::new(seed, &input.name);
    if input.dtype.is_real() {
        let values: Vec<f32> = match range {
            Some(range) => (0..count).map(|_| draws.within(range) as f32).collect(),
            None => (0..count).map(|_| draws.normal() as f32).collect(),
        };
        return Ok(Tensor::new(shape, values)?.to_dtype(input.dtype));
    }
    let range = match (input.dtype, range) {
        (DType::Bool, _) => {
            return Ok(Tensor::new(shape, vec![1_i64; count])?.to_dtype(DType::Bool));
        }
        (_, Some(range)) => range,
        (_, None) => positions(model, input, sizes)?,
    };
    let values: Vec<i64> = (0..count)
        .map(|_| draws.within(range).floor() as i64)
        .collect();
    Ok(Tensor::new(shape, values)?.to_dtype(input.dtype))
}

/// The positions that are inside every table that the input indexes.
fn positions(
    model: &Model,
    input: &InputInfo,
    sizes: &BTreeMap<String, i64>,
) -> Result<Range, Failure> {
    let inputs = model.graph.inputs();
    let axes = inputs
        .get(input.name.as_str())
        .map(|value| indexed_axes(&model.graph, *value))
        .unwrap_or_default();
    let mut smallest = None;
    for axis in axes {
        let size = evaluate(model.graph.axes.extent(axis), sizes)?;
        smallest = Some(smallest.map_or(size, |own: i64| own.min(size)));
    }
    match smallest {
        Some(size) if size > 0 => Ok(Range {
            low: 0.0,
            high: size as f64,
        }),
        _ => Err(Failure::Misuse(format!(
            "the model file does not say what the integers of `{0}` may be; give it with `--range {0}=0..2`",
            input.name
        ))),
    }
}

/// Draws that depend on a seed and a name (Steele et al. 2014, "Fast splittable pseudorandom number generators").
struct Draws(u64);

impl Draws {
    fn new(seed: u64, name: &str) -> Self {
        // FNV-1a, so that each name has a stream of its own.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash ^ seed)
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn within(&mut self, range: Range) -> f64 {
        range.low + (range.high - range.low) * self.unit()
    }

    /// Box and Muller 1958.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_of_their_range_and_the_same_each_time() {
        let range = Range {
            low: -2.0,
            high: 3.0,
        };
        let draw = |seed, name| {
            let mut draws = Draws::new(seed, name);
            (0..1000).map(|_| draws.within(range)).collect::<Vec<f64>>()
        };
        let drawn = draw(0, "x");
        assert!(drawn.iter().all(|value| (-2.0..3.0).contains(value)));
        assert_eq!(drawn, draw(0, "x"));
        assert_ne!(drawn, draw(1, "x"));
        assert_ne!(drawn, draw(0, "y"));
    }

    #[test]
    fn normal_draws_have_mean_0_and_deviation_1() {
        let mut draws = Draws::new(0, "x");
        let drawn: Vec<f64> = (0..10_000).map(|_| draws.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / 1e4;
        let square = drawn.iter().map(|value| value * value).sum::<f64>() / 1e4;
        // Four deviations of a mean of 10 000.
        assert!(
            mean.abs() < 0.04 && (square - 1.0).abs() < 0.06,
            "{mean} {square}"
        );
    }
}
