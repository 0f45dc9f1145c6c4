//! Types, and the axes they mention.

use super::super::error::{TextCause, TextError};
use super::super::scan::{Scanner, Token};
use super::Parser;
use crate::axis::{AxisId, AxisTable, ValueType};
use crate::dtype::DType;
use crate::extent::Extent;

impl Parser<'_> {
    /// `: type, type`, or `: _` for none.
    pub(super) fn types(&mut self) -> Result<Vec<ValueType>, TextError> {
        self.at.wants_mark(":")?;
        if self.at.takes_word("_")? {
            return Ok(Vec::new());
        }
        let mut types = vec![self.ty()?];
        while self.at.takes_mark(",")? {
            types.push(self.ty()?);
        }
        Ok(types)
    }

    /// `f32[t, d=16]`.
    pub(super) fn ty(&mut self) -> Result<ValueType, TextError> {
        let start = self.at;
        let Token::Word(word) = self.at.next()? else {
            return Err(start.expected("a type such as `f32[t]`"));
        };
        let unknown = |_| start.error(TextCause::UnknownDType(word.to_owned()));
        let dtype: DType = word.parse().map_err(unknown)?;
        let mut axes = Vec::new();
        if self.at.takes_mark("[")? {
            self.listed("]", |parser| {
                let start = parser.at;
                let axis = parser.mentioned_axis()?;
                if axes.contains(&axis) {
                    let name = parser.builder.axes.name(axis).to_owned();
                    return Err(start.error(TextCause::Twice { what: "axis", name }));
                }
                axes.push(axis);
                Ok(())
            })?;
        }
        Ok(ValueType::new(dtype, axes))
    }

    /// `d=16` or `t`: a new axis, or one that was mentioned with the same extent.
    fn mentioned_axis(&mut self) -> Result<AxisId, TextError> {
        let start = self.at;
        let name = self.at.wants_name("the name of an axis")?;
        let extent = if self.at.takes_mark("=")? {
            Some(self.at.extent()?)
        } else {
            None
        };
        let axes = &mut self.builder.axes;
        match (axes.find(&name), extent) {
            (Some(axis), None) => Ok(axis),
            (Some(axis), Some(here)) if *axes.extent(axis) == here => Ok(axis),
            (Some(axis), Some(here)) => Err(start.error(TextCause::AxisExtent {
                here: here.to_string(),
                before: axes.extent(axis).to_string(),
                axis: name,
            })),
            (None, extent) => {
                let extent = extent.unwrap_or_else(|| Extent::symbol(&name));
                Ok(axes.add(&name, extent, None, false))
            }
        }
    }
}

/// The written type must be the one that follows.
pub(super) fn same_type(
    start: Scanner<'_>,
    axes: &AxisTable,
    inferred: &ValueType,
    written: &ValueType,
) -> Result<(), TextError> {
    if inferred == written {
        return Ok(());
    }
    Err(start.error(TextCause::Type {
        inferred: axes.show(inferred),
        written: axes.show(written),
    }))
}
