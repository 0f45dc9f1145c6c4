//! What is known of an extent before its symbols are: that it is not below a number.

use super::{Atom, Extent};

impl Extent {
    /// Whether `self >= bound` is proved for all symbols of at least 1. `false` means "not proved".
    pub fn is_at_least(&self, bound: i64) -> bool {
        /// Choices that are followed; more are not proved.
        const CHOICES: u32 = 6;
        self.is_proved(bound, CHOICES)
    }

    fn is_proved(&self, bound: i64, choices: u32) -> bool {
        if self.grows_to(bound) {
            return true;
        }
        let Some(choices) = choices.checked_sub(1) else {
            return false;
        };
        if let Some(less) = self.without_blocks() {
            return less.is_proved(bound, choices);
        }
        // k·max(x, y) is at least k·x and k·y, and so is -k·min(x, y) beside -k·x and -k·y.
        let choice = self.terms.iter().find_map(|(monomial, coefficient)| {
            let [(atom, 1)] = monomial.as_slice() else {
                return None;
            };
            match atom {
                Atom::Max(x, y) if *coefficient > 0 => Some((atom, *coefficient, [x, y])),
                Atom::Min(x, y) if *coefficient < 0 => Some((atom, *coefficient, [x, y])),
                _ => None,
            }
        });
        choice.is_some_and(|(atom, coefficient, parts)| {
            let factor = Self::constant(coefficient);
            let rest = self.minus(&Self::atom(atom.clone()).times(&factor));
            parts
                .iter()
                .any(|part| rest.plus(&part.times(&factor)).is_proved(bound, choices))
        })
    }

    /// With x in place of y·⌊x/y⌋ where that is taken off, which is never more: as many blocks of y positions as
    /// fit into x.
    fn without_blocks(&self) -> Option<Self> {
        self.terms.iter().find_map(|(monomial, coefficient)| {
            let taken = Self::constant(coefficient.checked_neg().filter(|own| *own > 0)?);
            let quotient =
                |(atom, power): &&(Atom, u32)| matches!((atom, power), (Atom::FloorDiv(..), 1));
            monomial.iter().filter(quotient).find_map(|own| {
                let Atom::FloorDiv(x, y) = &own.0 else {
                    return None;
                };
                let others = monomial.iter().filter(|other| *other != own);
                let power = |(atom, power): &(Atom, u32)| {
                    (0..*power).fold(Self::constant(1), |all, _| {
                        all.times(&Self::atom(atom.clone()))
                    })
                };
                let others = others.fold(taken.clone(), |all, other| all.times(&power(other)));
                let count = others
                    .divided_exactly(y)
                    .filter(|own| own.as_constant().is_some())?;
                let blocks = others.times(&Self::atom(own.0.clone()));
                (y.is_at_least(1)).then(|| self.plus(&blocks).minus(&count.times(x)))
            })
        })
    }

    /// Whether no term takes it below `bound` when symbols grow from 1.
    fn grows_to(&self, bound: i64) -> bool {
        if let Some(value) = self.as_constant() {
            return value >= bound;
        }
        // Substituting symbol = 1 + s with s >= 0, only coefficients decide. Products
        // of sums are expanded by `times`.
        let mut shifted = Self::constant(0);
        for (monomial, coefficient) in &self.terms {
            let mut product = Self::constant(*coefficient);
            for (atom, power) in monomial {
                let base = match atom {
                    Atom::Symbol(_) => Self::atom(atom.clone()).plus(&Self::constant(1)),
                    // A quotient of sizes is at least 0.
                    _ => Self::atom(atom.clone()),
                };
                for _ in 0..*power {
                    product = product.times(&base);
                    // A product of n sums has 2ⁿ terms.
                    if product.terms.len() > 1000 {
                        return false;
                    }
                }
            }
            shifted = shifted.plus(&product);
        }
        let constant = shifted.terms.get(&Vec::new()).copied().unwrap_or(0);
        constant >= bound && shifted.terms.iter().all(|(m, c)| m.is_empty() || *c >= 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_assume_sizes_of_at_least_one() {
        let t = Extent::symbol("t");
        assert!(t.minus(&Extent::from(1)).is_at_least(0));
        assert!(!t.minus(&Extent::from(2)).is_at_least(0));
        assert!(t.times(&t).minus(&t).is_at_least(0));
    }

    #[test]
    fn blocks_are_no_longer_than_what_they_are_blocks_of() {
        let (t, one) = (Extent::symbol("t"), Extent::from(1));
        let even = t.floor_div(&Extent::from(512)).times(&Extent::from(2));
        let chosen = even.plus(&one).maximum(&Extent::from(33));
        for length in [Extent::from(64), chosen] {
            let blocks = t.floor_div(&length).times(&length);
            assert!(t.minus(&blocks).is_at_least(0), "{length}");
            assert!(t.minus(&blocks).plus(&one).is_at_least(1), "{length}");
            assert!(!t.minus(&blocks).is_at_least(1), "{length}");
            assert!(!t.minus(&blocks).minus(&blocks).is_at_least(0), "{length}");
        }
        let more = t.floor_div(&Extent::from(64)).times(&Extent::from(65));
        assert!(!t.minus(&more).is_at_least(0));
    }
}
