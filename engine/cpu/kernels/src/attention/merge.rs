//! Merging attention over parts of the keys into attention over all of them.
//!
//! A part is described by the largest score m, the sum l = Σ exp(s − m) and the
//! weighted values a = Σ exp(s − m) v; (m, l, a) merge in any grouping up to
//! rounding, and (−∞, 0, 0) changes nothing. Finished rows merge as well, through
//! their results and log-sum-exp.
//!
//! Source: Sanovar et al. 2024, arXiv 2405.10480, section 3.

/// Unfinished rows of one part of the keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    /// Largest score of each row, −∞ before any key.
    pub maximum: Vec<f32>,
    /// Σ exp(s − maximum) of each row.
    pub sum: Vec<f32>,
    /// Σ exp(s − maximum) v of each row: `[rows, values]`.
    pub weighted: Vec<f32>,
}

/// By what two parts are scaled when they become one: e^(m − max), 0 for an empty part.
pub(super) fn factors(first: f32, second: f32) -> (f32, f32) {
    let maximum = first.max(second).max(f32::MIN);
    ((first - maximum).exp(), (second - maximum).exp())
}

/// Adds `part`, over other keys, to `into`, row by row. Rows that only one of them has stay as in `into`.
pub fn merge_partial(into: &mut Partial, part: &Partial) {
    let rows = into
        .maximum
        .len()
        .min(part.maximum.len())
        .min(into.sum.len())
        .min(part.sum.len());
    let values = if rows == 0 {
        0
    } else {
        into.weighted.len() / into.maximum.len()
    };
    for row in 0..rows {
        let (old, new) = factors(into.maximum[row], part.maximum[row]);
        into.maximum[row] = into.maximum[row].max(part.maximum[row]);
        into.sum[row] = into.sum[row] * old + part.sum[row] * new;
        let range = row * values..(row + 1) * values;
        if let Some(part) = part.weighted.get(range.clone()) {
            for (a, b) in into.weighted[range].iter_mut().zip(part) {
                *a = *a * old + *b * new;
            }
        }
    }
}

/// Merges finished rows over other keys into `o` and `log_sum_exp`.
///
/// | argument            | shape            | meaning                          |
/// |---------------------|------------------|----------------------------------|
/// | `o`, `other`        | `[rows, values]` | results over two sets of keys    |
/// | `log_sum_exp`, `other_log_sum_exp` | `[rows]` | ln Σ exp(s) of the two    |
///
/// Rows that one of the four lacks stay as they are.
pub fn merge_rows(
    values: usize,
    o: &mut [f32],
    log_sum_exp: &mut [f32],
    other: &[f32],
    other_log_sum_exp: &[f32],
) {
    for (row, (lse, other_lse)) in log_sum_exp.iter_mut().zip(other_log_sum_exp).enumerate() {
        let range = row * values..(row + 1) * values;
        let (Some(o), Some(other)) = (o.get_mut(range.clone()), other.get(range)) else {
            return;
        };
        let (first, second) = factors(*lse, *other_lse);
        let sum = first + second;
        // Both empty: zeros stay.
        let inverse = if sum == 0.0 { 0.0 } else { 1.0 / sum };
        for (a, b) in o.iter_mut().zip(other) {
            *a = (*a * first + b * second) * inverse;
        }
        *lse = lse.max(*other_lse).max(f32::MIN) + sum.ln();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attend(scores: &[f32], values: &[f32]) -> (f32, f32) {
        let maximum = scores
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max)
            .max(f32::MIN);
        let sum: f32 = scores.iter().map(|s| (s - maximum).exp()).sum();
        let weighted: f32 = scores
            .iter()
            .zip(values)
            .map(|(s, v)| (s - maximum).exp() * v)
            .sum();
        (
            if sum == 0.0 { 0.0 } else { weighted / sum },
            maximum + sum.ln(),
        )
    }

    #[test]
    fn finished_rows_of_two_parts_give_the_whole() {
        let scores = [0.5, -3.0, f32::NEG_INFINITY, 8.0, 1e4, -1e4];
        let values = [1.0, 2.0, 3.0, -4.0, 5.0, 6.0];
        for cut in 0..=scores.len() {
            let (mut o, mut lse) = attend(&scores[..cut], &values[..cut]);
            let (other, other_lse) = attend(&scores[cut..], &values[cut..]);
            merge_rows(
                1,
                core::slice::from_mut(&mut o),
                core::slice::from_mut(&mut lse),
                &[other],
                &[other_lse],
            );
            let (expected, expected_lse) = attend(&scores, &values);
            assert!(
                (o - expected).abs() < 1e-5 && (lse - expected_lse).abs() < 1e-2,
                "cut {cut}: {o} {lse}"
            );
        }
    }

    #[test]
    fn an_empty_part_changes_nothing() {
        let empty = Partial {
            maximum: vec![f32::NEG_INFINITY],
            sum: vec![0.0],
            weighted: vec![0.0; 2],
        };
        let full = Partial {
            maximum: vec![3.0],
            sum: vec![1.5],
            weighted: vec![1.0, -2.0],
        };
        let (mut first, mut second) = (empty.clone(), full.clone());
        merge_partial(&mut first, &full);
        merge_partial(&mut second, &empty);
        assert_eq!((&first, &second), (&full, &full));
        let mut both = empty.clone();
        merge_partial(&mut both, &empty);
        assert_eq!(both, empty);
        let (mut o, mut lse) = ([0.0], [f32::NEG_INFINITY]);
        merge_rows(1, &mut o, &mut lse, &[0.0], &[f32::NEG_INFINITY]);
        assert_eq!((o, lse), ([0.0], [f32::NEG_INFINITY]));
    }
}
