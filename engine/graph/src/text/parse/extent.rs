//! Sizes and other small things that a token or a few of them say.

use std::str::FromStr;
use std::sync::Arc;

use super::super::error::{TextCause, TextError};
use super::super::scan::{Scanner, Token};
use crate::axis::{AxisId, AxisTable};
use crate::dtype::DType;
use crate::extent::Extent;
use crate::op::{Attribute, Literal};

/// How many terms, and factors of one term, a size may have.
const MAX_PARTS: usize = 256;

/// How deep functions may lie in one another in a size.
const MAX_NESTING: usize = 32;

impl FromStr for Extent {
    type Err = TextError;

    /// Reads what is printed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut scanner = Scanner::new(text, 0);
        let extent = scanner.extent()?;
        match scanner.next()? {
            Token::End => Ok(extent),
            _ => Err(scanner.expected("the end of the size")),
        }
    }
}

impl Scanner<'_> {
    /// Whether this mark stands here; then it is consumed.
    pub(super) fn takes_mark(&mut self, mark: &str) -> Result<bool, TextError> {
        let mut ahead = *self;
        let stands = ahead.next()? == Token::Mark(mark);
        if stands {
            *self = ahead;
        }
        Ok(stands)
    }

    /// Whether this word stands here; then it is consumed.
    pub(super) fn takes_word(&mut self, word: &str) -> Result<bool, TextError> {
        let mut ahead = *self;
        let stands = ahead.next()? == Token::Word(word);
        if stands {
            *self = ahead;
        }
        Ok(stands)
    }

    pub(super) fn wants_mark(&mut self, mark: &'static str) -> Result<(), TextError> {
        if self.takes_mark(mark)? {
            Ok(())
        } else {
            Err(self.expected(&format!("`{mark}`")))
        }
    }

    pub(super) fn wants_word(&mut self, word: &'static str) -> Result<(), TextError> {
        if self.takes_word(word)? {
            Ok(())
        } else {
            Err(self.expected(&format!("`{word}`")))
        }
    }

    /// A plain or quoted name.
    pub(super) fn wants_name(&mut self, wanted: &str) -> Result<String, TextError> {
        let start = *self;
        match self.next()? {
            Token::Word(name) => Ok(name.to_owned()),
            Token::Quoted(name) => Ok(name),
            _ => Err(start.expected(wanted)),
        }
    }

    pub(super) fn wants_quoted(&mut self, wanted: &str) -> Result<String, TextError> {
        let start = *self;
        match self.next()? {
            Token::Quoted(text) => Ok(text),
            _ => Err(start.expected(wanted)),
        }
    }

    /// An axis that was mentioned.
    pub(super) fn known_axis(&mut self, axes: &AxisTable) -> Result<AxisId, TextError> {
        let start = *self;
        let name = self.wants_name("the name of an axis")?;
        let axis = axes.find(&name);
        axis.ok_or_else(|| start.error(TextCause::UnknownAxis(name)))
    }

    /// `d*t + floor(t + 63, 64) - 1`.
    pub(super) fn extent(&mut self) -> Result<Extent, TextError> {
        self.nested_extent(0)
    }

    fn nested_extent(&mut self, depth: usize) -> Result<Extent, TextError> {
        let start = *self;
        if depth > MAX_NESTING {
            return Err(start.error(TextCause::Depth(MAX_NESTING)));
        }
        let mut negative = self.takes_mark("-")?;
        let mut total = Extent::constant(0);
        for _ in 0..MAX_PARTS {
            let term = self.term(negative, depth)?;
            total = total.plus(&term);
            negative = self.takes_mark("-")?;
            if !negative && !self.takes_mark("+")? {
                return Ok(total);
            }
        }
        Err(start.error(TextCause::ExtentParts(MAX_PARTS)))
    }

    fn term(&mut self, negative: bool, depth: usize) -> Result<Extent, TextError> {
        let start = *self;
        let mut product = self.factor(negative, depth)?;
        for _ in 0..MAX_PARTS {
            if !self.takes_mark("*")? {
                return Ok(product);
            }
            product = product.times(&self.factor(false, depth)?);
        }
        Err(start.error(TextCause::ExtentParts(MAX_PARTS)))
    }

    fn factor(&mut self, negative: bool, depth: usize) -> Result<Extent, TextError> {
        let start = *self;
        let value = match self.next()? {
            Token::Number(digits) => {
                let value = signed(start, digits, negative)?;
                return Ok(Extent::constant(value));
            }
            Token::Word(function) if self.takes_mark("(")? => {
                let left = self.nested_extent(depth + 1)?;
                self.wants_mark(",")?;
                let right = self.nested_extent(depth + 1)?;
                self.wants_mark(")")?;
                match function {
                    "floor" => left.floor_div(&right),
                    "rem" => left.remainder(&right),
                    "max" => left.maximum(&right),
                    "min" => left.minimum(&right),
                    _ => return Err(start.expected("`floor`, `rem`, `max` or `min`")),
                }
            }
            Token::Word(name) => Extent::symbol(name),
            Token::Quoted(name) => Extent::symbol(&name),
            _ => return Err(start.expected("a size")),
        };
        let sign = Extent::constant(if negative { -1 } else { 1 });
        Ok(value.times(&sign))
    }

    /// Moves past a number or truth value.
    pub(super) fn skip_literal(&mut self) -> Result<(), TextError> {
        self.takes_mark("-")?;
        let start = *self;
        match self.next()? {
            Token::Number(_) | Token::Word(_) => Ok(()),
            _ => Err(start.expected("a number, `true` or `false`")),
        }
    }

    /// A number or truth value of this dtype.
    pub(super) fn literal(mut self, dtype: DType) -> Result<Literal, TextError> {
        let start = self;
        if dtype.is_real() {
            return Ok(Literal::Real(dtype, self.real()?));
        }
        let negative = self.takes_mark("-")?;
        let token = self.next()?;
        let refuses = |number: &str| {
            let sign = if negative { "-" } else { "" };
            start.error(TextCause::Literal {
                number: format!("{sign}{number}"),
                dtype,
            })
        };
        match token {
            Token::Word(word @ ("true" | "false")) if dtype == DType::Bool && !negative => {
                Ok(Literal::Bool(word == "true"))
            }
            Token::Number(digits) if dtype.is_integer() => {
                let literal = Literal::Int(dtype, signed(start, digits, negative)?);
                if literal.fits() {
                    Ok(literal)
                } else {
                    Err(refuses(digits))
                }
            }
            Token::Word(text) | Token::Number(text) => Err(refuses(text)),
            _ => Err(start.expected("a number, `true` or `false`")),
        }
    }

    /// `true`, `-3`, `0.5`, `"text"`.
    pub(super) fn attribute(&mut self) -> Result<Attribute, TextError> {
        let mut after = *self;
        after.takes_mark("-")?;
        match (self.peek()?, after.peek()?) {
            (Token::Quoted(text), _) => {
                self.next()?;
                Ok(Attribute::Text(Arc::from(text)))
            }
            (Token::Word(word @ ("true" | "false")), _) => {
                self.next()?;
                Ok(Attribute::Bool(word == "true"))
            }
            (_, Token::Number(digits)) if !digits.contains(['.', 'e', 'E']) => {
                let start = *self;
                let negative = self.takes_mark("-")?;
                self.next()?;
                Ok(Attribute::Int(signed(start, digits, negative)?))
            }
            _ => Ok(Attribute::Real(self.real()?)),
        }
    }

    /// `0.1`, `-inf`, `nan`.
    pub(super) fn real(&mut self) -> Result<f64, TextError> {
        let negative = self.takes_mark("-")?;
        let start = *self;
        let magnitude = match self.next()? {
            // A decimal beyond the largest number would be read as infinite.
            Token::Number(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => number,
                _ => return Err(start.error(TextCause::Number(shortened(text)))),
            },
            Token::Word("inf") => f64::INFINITY,
            Token::Word("nan") => f64::NAN,
            _ => return Err(start.expected("a number")),
        };
        Ok(if negative { -magnitude } else { magnitude })
    }

    /// `[0.1, 2.0]`.
    pub(super) fn reals(&mut self) -> Result<Arc<[f64]>, TextError> {
        let mut numbers = Vec::new();
        self.wants_mark("[")?;
        while !self.takes_mark("]")? {
            numbers.push(self.real()?);
            if !self.takes_mark(",")? {
                self.wants_mark("]")?;
                break;
            }
        }
        Ok(numbers.into())
    }
}

/// An integer; the sign first, because the least one has no positive twin.
fn signed(start: Scanner<'_>, digits: &str, negative: bool) -> Result<i64, TextError> {
    if digits.contains(['.', 'e', 'E']) {
        return Err(start.expected("an integer"));
    }
    let value = if negative {
        format!("-{digits}").parse()
    } else {
        digits.parse()
    };
    value.map_err(|_| start.error(TextCause::Number(shortened(digits))))
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
