//! Sizes that may be symbolic.
//!
//! An extent is a polynomial with integer coefficients over symbols and opaque
//! quotients, remainders, maxima and minima, kept in a normal form: two extents
//! that are equal as polynomials are equal as values. Arithmetic saturates
//! instead of overflowing; a saturated size is refused where sizes are used.

mod proof;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A size: a constant or a polynomial over symbols.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extent {
    /// Coefficient of each monomial; none is 0. The empty monomial is the constant.
    terms: BTreeMap<Monomial, i64>,
}

/// The most products of terms that one multiplication makes: no size that a person means
/// has so many, and a chain of them would fill the memory.
const MAX_PRODUCTS: usize = 1 << 12;

/// A product of atoms, sorted, with powers of at least 1.
type Monomial = Vec<(Atom, u32)>;

/// What a polynomial treats as one unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Atom {
    Symbol(Arc<str>),
    FloorDiv(Arc<Extent>, Arc<Extent>),
    Rem(Arc<Extent>, Arc<Extent>),
    Max(Arc<Extent>, Arc<Extent>),
    Min(Arc<Extent>, Arc<Extent>),
}

/// Why an extent has no value under given bindings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtentError {
    /// A symbol is not bound.
    #[error("the size `{0}` is not known")]
    Unbound(String),
    /// A divisor is 0.
    #[error("`{0}` divides by zero")]
    DivisionByZero(String),
    /// The value does not fit.
    #[error("`{0}` is too large")]
    Overflow(String),
}

impl Extent {
    /// The largest size that anything may have.
    pub const LIMIT: i64 = 1 << 48;

    /// The number `value`.
    pub fn constant(value: i64) -> Self {
        let mut terms = BTreeMap::new();
        if value != 0 {
            terms.insert(Vec::new(), value);
        }
        Self { terms }
    }

    /// The unknown size `name`.
    pub fn symbol(name: &str) -> Self {
        Self::atom(Atom::Symbol(Arc::from(name)))
    }

    fn atom(atom: Atom) -> Self {
        Self {
            terms: BTreeMap::from([(vec![(atom, 1)], 1)]),
        }
    }

    /// The number, if it is one.
    pub fn as_constant(&self) -> Option<i64> {
        match self.terms.len() {
            0 => Some(0),
            1 => self.terms.get(&Vec::new()).copied(),
            _ => None,
        }
    }

    /// The name, if it is exactly one symbol.
    pub fn as_symbol(&self) -> Option<&str> {
        let (monomial, coefficient) = self.terms.first_key_value()?;
        match (self.terms.len(), coefficient, monomial.as_slice()) {
            (1, 1, [(Atom::Symbol(name), 1)]) => Some(name),
            _ => None,
        }
    }

    /// Every symbol inside, sorted, each once.
    pub fn symbols(&self) -> Vec<Arc<str>> {
        let mut found = Vec::new();
        self.collect_symbols(&mut found);
        found.sort();
        found.dedup();
        found
    }

    fn collect_symbols(&self, found: &mut Vec<Arc<str>>) {
        for (atom, _) in self.terms.keys().flatten() {
            match atom {
                Atom::Symbol(name) => found.push(name.clone()),
                Atom::FloorDiv(a, b) | Atom::Rem(a, b) | Atom::Max(a, b) | Atom::Min(a, b) => {
                    a.collect_symbols(found);
                    b.collect_symbols(found);
                }
            }
        }
    }

    /// `self + other`.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut terms = self.terms.clone();
        for (monomial, coefficient) in &other.terms {
            add_term(&mut terms, monomial.clone(), *coefficient);
        }
        Self { terms }
    }

    /// `self - other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.plus(&other.times(&Self::constant(-1)))
    }

    /// `self * other`. A product of too many terms is too large, as a number would be.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        if self.terms.len().saturating_mul(other.terms.len()) > MAX_PRODUCTS {
            return Self::constant(i64::MAX);
        }
        let mut terms = BTreeMap::new();
        for (a, x) in &self.terms {
            for (b, y) in &other.terms {
                add_term(&mut terms, multiply(a, b), x.saturating_mul(*y));
            }
        }
        Self { terms }
    }

    /// `self / other` if it can be proved to divide exactly.
    pub fn divided_exactly(&self, other: &Self) -> Option<Self> {
        let (lead, coefficient) = other.terms.last_key_value()?;
        let mut rest = self.clone();
        let mut quotient = Self::constant(0);
        // The order of monomials is not a term order: the number of steps is what ends this.
        for _ in 0..64 {
            let Some((monomial, value)) = rest.terms.last_key_value() else {
                return Some(quotient);
            };
            let factor = divide(monomial, lead)?;
            if value.checked_rem(*coefficient)? != 0 {
                return None;
            }
            let term = Self {
                terms: BTreeMap::from([(factor, value.checked_div(*coefficient)?)]),
            };
            rest = rest.minus(&term.times(other));
            quotient = quotient.plus(&term);
        }
        None
    }

    /// `floor(self / other)`; kept symbolic where it is not known. A zero divisor stays symbolic.
    #[must_use]
    pub fn floor_div(&self, other: &Self) -> Self {
        match (self.as_constant(), other.as_constant()) {
            (Some(a), Some(b)) if b != 0 => Self::constant(floor_div(a, b)),
            _ => self
                .divided_exactly(other)
                .unwrap_or_else(|| Self::atom(Atom::FloorDiv(self.shared(), other.shared()))),
        }
    }

    /// `ceil(self / other)`.
    #[must_use]
    pub fn ceil_div(&self, other: &Self) -> Self {
        self.divided_exactly(other)
            .unwrap_or_else(|| self.plus(other).minus(&Self::constant(1)).floor_div(other))
    }

    /// `self - other * floor(self / other)`.
    #[must_use]
    pub fn remainder(&self, other: &Self) -> Self {
        match (self.as_constant(), other.as_constant()) {
            (Some(a), Some(b)) if b != 0 => {
                Self::constant(a.saturating_sub(b.saturating_mul(floor_div(a, b))))
            }
            _ if self.divided_exactly(other).is_some() => Self::constant(0),
            _ => Self::atom(Atom::Rem(self.shared(), other.shared())),
        }
    }

    /// The larger one.
    #[must_use]
    pub fn maximum(&self, other: &Self) -> Self {
        if self.minus(other).is_at_least(0) {
            self.clone()
        } else if other.minus(self).is_at_least(0) {
            other.clone()
        } else {
            Self::atom(Atom::Max(self.shared(), other.shared()))
        }
    }

    /// The smaller one.
    #[must_use]
    pub fn minimum(&self, other: &Self) -> Self {
        if self.minus(other).is_at_least(0) {
            other.clone()
        } else if other.minus(self).is_at_least(0) {
            self.clone()
        } else {
            Self::atom(Atom::Min(self.shared(), other.shared()))
        }
    }

    fn shared(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    /// The number under `lookup`, which gives a symbol's value.
    ///
    /// # Errors
    ///
    /// An unbound symbol, a zero divisor, a value past 2^63.
    pub fn evaluate(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Result<i64, ExtentError> {
        let overflow = || ExtentError::Overflow(self.to_string());
        let mut total: i64 = 0;
        for (monomial, coefficient) in &self.terms {
            let mut product = *coefficient;
            for (atom, power) in monomial {
                let value = atom.evaluate(lookup)?;
                for _ in 0..*power {
                    product = product.checked_mul(value).ok_or_else(overflow)?;
                }
            }
            total = total.checked_add(product).ok_or_else(overflow)?;
        }
        Ok(total)
    }

    /// Every symbol replaced by `lookup`'s extent where it gives one.
    #[must_use]
    pub fn substitute(&self, lookup: &dyn Fn(&str) -> Option<Self>) -> Self {
        let mut total = Self::constant(0);
        for (monomial, coefficient) in &self.terms {
            let mut product = Self::constant(*coefficient);
            for (atom, power) in monomial {
                let value = match atom {
                    Atom::Symbol(name) => lookup(name).unwrap_or_else(|| Self::atom(atom.clone())),
                    Atom::FloorDiv(a, b) => a.substitute(lookup).floor_div(&b.substitute(lookup)),
                    Atom::Rem(a, b) => a.substitute(lookup).remainder(&b.substitute(lookup)),
                    Atom::Max(a, b) => a.substitute(lookup).maximum(&b.substitute(lookup)),
                    Atom::Min(a, b) => a.substitute(lookup).minimum(&b.substitute(lookup)),
                };
                for _ in 0..*power {
                    product = product.times(&value);
                }
            }
            total = total.plus(&product);
        }
        total
    }
}

impl Atom {
    fn evaluate(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Result<i64, ExtentError> {
        let pair = |a: &Extent, b: &Extent| Ok((a.evaluate(lookup)?, b.evaluate(lookup)?));
        Ok(match self {
            Self::Symbol(name) => {
                lookup(name).ok_or_else(|| ExtentError::Unbound(name.to_string()))?
            }
            Self::FloorDiv(a, b) | Self::Rem(a, b) => {
                let (x, y) = pair(a, b)?;
                if y == 0 {
                    return Err(ExtentError::DivisionByZero(self.to_string()));
                }
                let quotient = floor_div(x, y);
                match self {
                    Self::FloorDiv(..) => quotient,
                    _ => x.saturating_sub(y.saturating_mul(quotient)),
                }
            }
            Self::Max(a, b) => pair(a, b).map(|(x, y)| x.max(y))?,
            Self::Min(a, b) => pair(a, b).map(|(x, y)| x.min(y))?,
        })
    }
}

fn floor_div(a: i64, b: i64) -> i64 {
    let quotient = a.checked_div(b).unwrap_or(i64::MAX);
    if a % b != 0 && (a < 0) != (b < 0) {
        quotient - 1
    } else {
        quotient
    }
}

fn add_term(terms: &mut BTreeMap<Monomial, i64>, monomial: Monomial, coefficient: i64) {
    let sum = terms
        .get(&monomial)
        .copied()
        .unwrap_or(0)
        .saturating_add(coefficient);
    if sum == 0 {
        terms.remove(&monomial);
    } else {
        terms.insert(monomial, sum);
    }
}

fn multiply(a: &Monomial, b: &Monomial) -> Monomial {
    let mut powers: BTreeMap<Atom, u32> = a.iter().cloned().collect();
    for (atom, power) in b {
        let entry = powers.entry(atom.clone()).or_insert(0);
        *entry = entry.saturating_add(*power);
    }
    powers.into_iter().collect()
}

fn divide(a: &Monomial, b: &Monomial) -> Option<Monomial> {
    let mut powers: BTreeMap<Atom, u32> = a.iter().cloned().collect();
    for (atom, power) in b {
        let entry = powers.get_mut(atom)?;
        *entry = entry.checked_sub(*power)?;
    }
    powers.retain(|_, power| *power > 0);
    Some(powers.into_iter().collect())
}

impl From<i64> for Extent {
    fn from(value: i64) -> Self {
        Self::constant(value)
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        // Non-constant terms first, the constant last: `t + 1`.
        let ordered = self.terms.iter().filter(|(m, _)| !m.is_empty());
        let constant = self.terms.iter().filter(|(m, _)| m.is_empty());
        for (position, (monomial, coefficient)) in ordered.chain(constant).enumerate() {
            let magnitude = coefficient.unsigned_abs();
            match (position, *coefficient < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let mut first = true;
            if magnitude != 1 || monomial.is_empty() {
                write!(f, "{magnitude}")?;
                first = false;
            }
            for (atom, power) in monomial {
                for _ in 0..*power {
                    if !first {
                        f.write_str("*")?;
                    }
                    first = false;
                    write!(f, "{atom}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(name) => f.write_str(&crate::name::show(name)),
            Self::FloorDiv(a, b) => write!(f, "floor({a}, {b})"),
            Self::Rem(a, b) => write!(f, "rem({a}, {b})"),
            Self::Max(a, b) => write!(f, "max({a}, {b})"),
            Self::Min(a, b) => write!(f, "min({a}, {b})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(extent: &Extent, text: &str) {
        assert_eq!(extent.to_string(), text);
    }

    #[test]
    fn normal_form_and_division() {
        let (t, d) = (Extent::symbol("t"), Extent::symbol("d"));
        check(&t.plus(&d).minus(&t), "d");
        check(&t.times(&d).plus(&t), "d*t + t");
        let product = t.plus(&Extent::from(2)).times(&d);
        assert_eq!(product.divided_exactly(&d), Some(t.plus(&Extent::from(2))));
        assert_eq!(t.divided_exactly(&Extent::from(2)), None);
        check(&t.ceil_div(&Extent::from(64)), "floor(t + 63, 64)");
        check(&Extent::from(-7).floor_div(&Extent::from(2)), "-4");
        check(&Extent::from(-7).remainder(&Extent::from(2)), "1");
        assert_eq!(t.divided_exactly(&Extent::constant(0)), None);
    }

    #[test]
    fn products_of_long_sums_saturate() {
        let symbol = |n: usize| Extent::symbol(&format!("s{n}"));
        let sum = (0..100).fold(Extent::from(0), |sum, n| sum.plus(&symbol(n)));
        let product = sum.times(&sum);
        assert_eq!(product, Extent::from(i64::MAX));
        assert_eq!(product.times(&product), product);
    }

    #[test]
    fn evaluation_reports_what_is_missing() {
        let t = Extent::symbol("t");
        assert_eq!(t.evaluate(&|_| None), Err(ExtentError::Unbound("t".into())));
        let quotient = Extent::from(4).floor_div(&t);
        assert!(matches!(
            quotient.evaluate(&|_| Some(0)),
            Err(ExtentError::DivisionByZero(_))
        ));
        assert!(matches!(
            t.times(&t).evaluate(&|_| Some(i64::MAX)),
            Err(ExtentError::Overflow(_))
        ));
    }
}
