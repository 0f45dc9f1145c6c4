//! Regions: launches that belong together, with all that a device must know to compile them.
//!
//! A region has one section. Whoever runs it gives a place for every one of the section's
//! buffers, tables included, and a value for every symbol; sections inside (bodies of loops,
//! branches) keep buffers of their own. Buffers, tensors, axes and kernels are numbered in the
//! order in which they are met and nothing but draws has a name, so that equal layers are equal regions.
//!
//! The text of a region is JSON with the fields of [`Section`] and [`Kernel`]; sizes, dtypes and
//! operations are text as in graphs, and so are real numbers, because JSON has no NaN:
//!
//! ```
//! # let graph = girih_graph::text::parse("girih-graph 1
//! # graph g(x: f32[t]) -> (y: f32[t]) { %0 = exp x : f32[t] return %0 }")?;
//! use girih_plan::region::Region;
//!
//! let plan = girih_plan::lower(&graph);
//! let (region, buffers) = Region::new(&plan, &plan.root, 0..1).expect("no operation of a plugin");
//! assert_eq!(buffers.len(), 2);
//! let text = region.to_text();
//! assert!(text.contains(r#"{"op":{"unary":["exp",0]},"dtype":"f32","walked":false,"inner":true}"#));
//! assert_eq!(Region::from_text(&text)?, region);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod number;
pub(crate) mod text;
mod visit;

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::kernel::Kernel;
use crate::plan::{BufferId, Plan, Section};

/// The version of the text, which a change that old readers would misread makes larger.
pub const VERSION: u32 = 1;

/// Launches with all that they refer to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// [`VERSION`].
    #[serde(rename = "girih-region")]
    version: u32,
    /// Sizes that whoever runs the region gives, in this order; among them the words that draws begin with, called by
    /// [`draw_symbol`].
    #[serde(with = "text::names")]
    pub symbols: Vec<Arc<str>>,
    /// The kernels of all launches, those inside too.
    pub kernels: Vec<Kernel>,
    /// The launches. It has neither parameters nor results: all its buffers are given.
    pub section: Section,
}

/// The symbol whose value is the word that draws of a key begin with, `h` in the equations of the reference backend's
/// `random`: hashed from the seed, the stage and the step of the run, and the key.
pub fn draw_symbol(key: &str) -> String {
    number::draw_symbol(key)
}

/// The key whose draws begin with the value of a symbol.
pub fn drawn_key(symbol: &str) -> Option<&str> {
    symbol.strip_prefix(number::DRAW)
}

/// Why a text is no region.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// It is no JSON, or lacks something.
    #[error("this is no region: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It is of a later version.
    #[error("the region has version {0}; version {VERSION} is known here")]
    Version(u32),
    /// It refers to something that it lacks.
    #[error("the region is broken: {0}")]
    Broken(String),
}

impl Region {
    /// The launches of a section of the plan, and its buffers in the order of the region's.
    /// `None` if one of them, or one inside, is an operation of a plugin.
    pub fn new(
        plan: &Plan,
        section: &Section,
        launches: Range<usize>,
    ) -> Option<(Self, Vec<BufferId>)> {
        number::region(&plan.kernels, section, launches)
    }

    /// Some of its launches as a region of their own, equal to what the plan gives for them alone, and its buffers in the
    /// order of the part's. `None` if there are no such launches.
    pub fn part(&self, launches: Range<usize>) -> Option<(Self, Vec<BufferId>)> {
        number::region(&self.kernels, &self.section, launches)
    }

    /// As text.
    pub fn to_text(&self) -> String {
        // Every map has keys that are text, and nothing is written but to memory.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Region::to_text`] wrote, or what somebody else did. Whatever the result
    /// refers to exists: every number of a kernel, tensor, buffer, loop or step is in its list,
    /// kernels keep the guarantees of [`crate::kernel`], and lists that belong together are as
    /// long as one another.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn from_text(text: &str) -> Result<Self, RegionError> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(rename = "girih-region")]
            version: u32,
        }
        let Head { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(RegionError::Version(version));
        }
        let region: Self = serde_json::from_str(text)?;
        check::region(&region).map_err(RegionError::Broken)?;
        Ok(region)
    }
}

#[cfg(test)]
mod tests;
