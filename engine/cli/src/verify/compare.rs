//! How far a tensor is from its reference.

use girih_runtime::tensor::Tensor;

use crate::tolerance::Bound;

/// What was found about one tensor.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which golden block, or which check of a kit.
    pub block: String,
    /// The tensor's name in the reference's file.
    pub tensor: String,
    /// `value`, `grad`, …
    pub kind: &'static str,
    /// In the reference's file.
    pub shape: Vec<usize>,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Largest difference relative to the reference.
    pub max_rel: f64,
    /// What is allowed.
    pub bound: String,
    /// Whether it holds.
    pub ok: bool,
    /// Why not, where numbers do not say it.
    pub note: Option<String>,
}

impl Row {
    /// A tensor that no block speaks of.
    pub(super) fn unclaimed(tensor: &str, shape: &[usize]) -> Self {
        Self::miss(
            "",
            tensor,
            "unclaimed",
            shape,
            "no golden block speaks of it",
        )
    }

    /// A tensor that could not be compared.
    pub(super) fn miss(
        block: &str,
        tensor: &str,
        kind: &'static str,
        shape: &[usize],
        note: impl Into<String>,
    ) -> Self {
        Self {
            block: block.to_owned(),
            tensor: tensor.to_owned(),
            kind,
            shape: shape.to_vec(),
            max_abs: f64::NAN,
            max_rel: f64::NAN,
            bound: String::new(),
            ok: false,
            note: Some(note.into()),
        }
    }
}

/// Compares element by element; `kept` leaves elements out. Both have one shape.
///
/// Integers and truth values must agree exactly. `NaN` agrees with `NaN` only, an infinity
/// with itself only.
pub(super) fn compare(
    (block, tensor, kind): (&str, &str, &'static str),
    ours: &Tensor,
    reference: &Tensor,
    bound: Bound,
    kept: Option<&[bool]>,
) -> Row {
    let shape = reference.shape();
    if ours.shape() != shape {
        let note = format!("the model's has shape {:?}", ours.shape());
        return Row::miss(block, tensor, kind, shape, note);
    }
    let bound = if reference.dtype().is_real() {
        bound
    } else {
        Bound::Exact
    };
    let exact = !ours.dtype().is_real() && !reference.dtype().is_real();
    let same: Vec<bool> = if exact {
        // Large integers are not numbers of `f64`.
        let pairs = ours.to_i64_vec().into_iter().zip(reference.to_i64_vec());
        pairs.map(|(a, b)| a == b).collect()
    } else {
        Vec::new()
    };
    let (ours, theirs) = (ours.to_f64_vec(), reference.to_f64_vec());
    let counts = |at: usize| kept.is_none_or(|kept| kept.get(at).copied().unwrap_or(true));
    let finite = theirs
        .iter()
        .enumerate()
        .filter(|(at, value)| counts(*at) && value.is_finite());
    let largest = finite.map(|(_, value)| value.abs()).fold(0.0, f64::max);
    let (mut max_abs, mut max_rel, mut ok) = (0.0f64, 0.0f64, true);
    for (at, (&a, &b)) in ours.iter().zip(&theirs).enumerate() {
        let equal = same.get(at).copied();
        #[expect(
            clippy::float_cmp,
            reason = "what is equal differs by nothing, infinities too"
        )]
        let equal = equal.unwrap_or(a == b || (a.is_nan() && b.is_nan()));
        if !counts(at) || equal {
            continue;
        }
        ok &= !exact;
        let difference = (a - b).abs();
        if difference.is_nan() || difference.is_infinite() {
            (max_abs, max_rel, ok) = (f64::INFINITY, f64::INFINITY, false);
            continue;
        }
        max_abs = max_abs.max(difference);
        if b != 0.0 {
            max_rel = max_rel.max(difference / b.abs());
        }
        ok &= difference <= bound.allows(b, largest);
    }
    Row {
        block: block.to_owned(),
        tensor: tensor.to_owned(),
        kind,
        shape: shape.to_vec(),
        max_abs,
        max_rel,
        bound: bound.to_string(),
        ok,
        note: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ours: &[f64], reference: &[f64], kept: Option<&[bool]>, ok: bool) {
        let tensor = |values: &[f64]| Tensor::new([values.len()], values.to_vec()).unwrap();
        let bound = Bound::Mixed {
            abs: 1e-3,
            rel: 1e-2,
        };
        let row = compare(
            ("b", "x", "value"),
            &tensor(ours),
            &tensor(reference),
            bound,
            kept,
        );
        assert_eq!(row.ok, ok, "{ours:?} {reference:?}: {row:?}");
    }

    #[test]
    fn differences_are_judged_element_by_element() {
        check(&[1.0, 2.0], &[1.0, 2.0], None, true);
        check(&[100.9], &[100.0], None, true);
        check(&[101.1], &[100.0], None, false);
        check(&[0.0005], &[0.0], None, true);
        check(&[0.002], &[0.0], None, false);
        check(&[9.0, 2.0], &[1.0, 2.0], Some(&[false, true]), true);
        check(&[1.0], &[1.0, 2.0], None, false);
    }

    #[test]
    fn what_is_no_number_agrees_with_itself_only() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        check(&[nan, inf], &[nan, inf], None, true);
        check(&[nan], &[1.0], None, false);
        check(&[1.0], &[nan], None, false);
        check(&[inf], &[-inf], None, false);
        check(&[1e300], &[inf], None, false);
    }

    #[test]
    fn integers_are_exact() {
        let ours = Tensor::new([2], vec![1i64, 3]).unwrap();
        let theirs = Tensor::new([2], vec![1i64, 2]).unwrap();
        let bound = Bound::Mixed { abs: 5.0, rel: 5.0 };
        assert!(!compare(("", "i", "value"), &ours, &theirs, bound, None).ok);
        let (large, next) = (Tensor::scalar(1i64 << 60), Tensor::scalar((1i64 << 60) + 1));
        assert!(!compare(("", "i", "value"), &large, &next, bound, None).ok);
        assert!(compare(("", "i", "value"), &theirs, &theirs, bound, None).ok);
    }
}
