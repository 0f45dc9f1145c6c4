//! Does what a test expects hold?

use girih_dsl::procedure::{Claim, Type};
use girih_dsl::span::Span;
use girih_graph::DType;

use super::Value;
use super::machine::Machine;
use super::value::{line, permuted, shortest};
use crate::failure::Failure;

/// Most characters of a value that is shown.
const SHOWN: usize = 60;

/// One claim of a test and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The claim.
    pub span: Span,
    /// Whether it holds.
    pub holds: bool,
    /// In words: by how much it fails.
    pub detail: String,
}

impl Machine<'_, '_, '_> {
    /// Judges a claim.
    pub(super) fn expect(&mut self, claim: &Claim, span: Span) -> Result<(), Failure> {
        let within = match &claim.within {
            Some(place) => shortest(self.number(place, span)?, DType::F32),
            None => 0.0,
        };
        let (holds, detail) = match &claim.right {
            None => {
                let truths = self.tensor(&claim.left, span)?.to_f64_vec();
                let failing = truths.iter().filter(|truth| **truth == 0.0).count();
                let count = truths.len();
                (
                    failing == 0,
                    format!("the claim fails at {failing} of {count} positions"),
                )
            }
            Some(right) => {
                let sides = [&claim.left, right].map(|own| (self.at(own), self.type_at(own)));
                compared(sides[0], sides[1], within).map_err(|error| self.failed(&error, span))?
            }
        };
        self.verdicts.push(Verdict {
            span,
            holds,
            detail,
        });
        Ok(())
    }
}

type Side<'v> = (&'v Value, &'v Type);

/// Whether two values of one form are equal, and by how much they are not.
fn compared(
    left: Side<'_>,
    right: Side<'_>,
    within: f64,
) -> Result<(bool, String), girih_runtime::backend::RunError> {
    if let (Value::Parts(a), Value::Parts(b)) = (left.0, right.0) {
        let types = left.1.parts().zip(right.1.parts());
        for ((a, b), (own, other)) in a.iter().zip(b).zip(types) {
            let (holds, detail) = compared((a, own), (b, other), within)?;
            if !holds {
                return Ok((false, detail));
            }
        }
        return Ok((true, String::new()));
    }
    let (Value::Tensor(a), Value::Tensor(b)) = (left.0, right.0) else {
        let (a, b) = (line(left.0, left.1)?, line(right.0, right.1)?);
        return Ok((a == b, format!("`{a}` is not `{b}`")));
    };
    let names =
        |ty: &Type| -> Vec<String> { ty.axes().iter().map(|axis| axis.name.clone()).collect() };
    let (own, others) = (names(left.1), names(right.1));
    let b = if own.is_empty() || others.is_empty() {
        b.clone()
    } else {
        permuted(b.clone(), &others, &own)?
    };
    let (a, b) = (a.to_host()?, b.to_host()?);
    let (shape, other) = (a.shape().to_vec(), b.shape().to_vec());
    let (mut a, mut b) = (a.to_f64_vec(), b.to_f64_vec());
    // One number is held against every element.
    if own.is_empty() {
        a = vec![a.first().copied().unwrap_or(f64::NAN); b.len()];
    } else if others.is_empty() {
        b = vec![b.first().copied().unwrap_or(f64::NAN); a.len()];
    } else if shape != other {
        let detail = format!("the left side has shape {shape:?}, the right side {other:?}");
        return Ok((false, detail));
    }
    let worst = worst_difference(&a, &b);
    let mut detail = format!("the sides differ by up to {worst:.3e}, allowed is {within:e}");
    let shown = [line(left.0, left.1)?, line(right.0, right.1)?];
    if shown.iter().all(|text| text.len() <= SHOWN) {
        detail = format!("{detail}: `{}` and `{}`", shown[0], shown[1]);
    }
    Ok((worst <= within, detail))
}

/// The largest difference of two elements: infinite where only one of them is no number.
#[expect(clippy::float_cmp, reason = "equal infinities differ by nothing")]
pub fn worst_difference(left: &[f64], right: &[f64]) -> f64 {
    let mut worst = 0.0_f64;
    for (x, y) in left.iter().zip(right) {
        let difference = if x == y || x.is_nan() && y.is_nan() {
            0.0
        } else {
            (x - y).abs()
        };
        worst = if difference.is_nan() {
            f64::INFINITY
        } else {
            worst.max(difference)
        };
    }
    worst
}
