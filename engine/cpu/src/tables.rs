//! Numbers that are written in a model, in the dtype that they are read in.
//!
//! Made once per plan and shared by all sections that read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_graph::DType;
use girih_plan::plan::{BufferKind, Plan};
use girih_runtime::tensor::Tensor;

use crate::bind::sections;
use crate::block::{Base, Block};

/// The tables of a plan.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// By where the numbers of the plan lie, and dtype.
    blocks: BTreeMap<(usize, DType), Block>,
}

impl Tables {
    /// `None` if there is no memory for them.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let mut tables = Self::default();
        for section in sections(plan) {
            for buffer in &section.buffers {
                if let BufferKind::Table(numbers) = &buffer.kind {
                    let block = stored(numbers, buffer.dtype)?;
                    tables.blocks.insert(key(numbers, buffer.dtype), block);
                }
            }
        }
        Some(tables)
    }

    /// Where the numbers of one of the plan's tables are.
    pub(crate) fn base(&self, numbers: &Arc<[f64]>, dtype: DType) -> Base {
        let block = self.blocks.get(&key(numbers, dtype));
        block.expect("every table of the plan was stored").base()
    }
}

fn key(numbers: &Arc<[f64]>, dtype: DType) -> (usize, DType) {
    (numbers.as_ptr().addr(), dtype)
}

fn stored(numbers: &Arc<[f64]>, dtype: DType) -> Option<Block> {
    let tensor = Tensor::new([numbers.len()], numbers.to_vec()).ok()?;
    let tensor = tensor.to_dtype(dtype);
    Block::of(tensor.bytes())
}
