//! What branches of routes keep from run to run: plans bound for a number of items, and memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use girih_plan::plan::BranchLaunch;
use girih_runtime::backend::RunError;

use crate::bind::{Binder, Bound, Symbols};
use crate::block::Block;

/// Branches that stay bound: those of some layers for one number of items each.
const KEPT: usize = 256;

/// Blocks that are kept: one for each route that is inside another.
const BLOCKS: usize = 4;

/// Where a branch lies in the plan, and how many threads share its launches.
type Place = (usize, usize);

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    bound: Mutex<Vec<(Place, Symbols, Arc<Bound>)>>,
    blocks: Mutex<Vec<Block>>,
}

impl Branches {
    /// The branch with numbers for the binder's sizes.
    ///
    /// # Errors
    ///
    /// As for [`Binder::section`].
    pub(super) fn bound(
        &self,
        branch: &BranchLaunch,
        binder: &Binder<'_>,
    ) -> Result<Arc<Bound>, RunError> {
        let place = (std::ptr::from_ref(branch).addr(), binder.threads);
        let known = lock(&self.bound);
        let found = known
            .iter()
            .find(|(own, symbols, _)| *own == place && *symbols == binder.numbers.symbols);
        if let Some((_, _, bound)) = found {
            return Ok(Arc::clone(bound));
        }
        drop(known);
        let bound = Arc::new(binder.section(&branch.section, &[])?);
        let mut known = lock(&self.bound);
        if known.len() >= KEPT {
            known.remove(0);
        }
        known.push((place, binder.numbers.symbols.clone(), Arc::clone(&bound)));
        Ok(bound)
    }

    /// Memory of at least so many bytes; `None` if there is none.
    pub(super) fn memory(&self, bytes: usize) -> Option<Block> {
        let mut blocks = lock(&self.blocks);
        if let Some(at) = blocks.iter().position(|block| block.bytes() >= bytes) {
            return Some(blocks.swap_remove(at));
        }
        drop(blocks);
        // The next number of items is seldom the same.
        Block::unwritten(bytes.checked_add(bytes / 4)?)
    }

    /// For the next branch.
    pub(super) fn give_back(&self, block: Block) {
        let mut blocks = lock(&self.blocks);
        blocks.push(block);
        if blocks.len() > BLOCKS {
            let smallest = (0..blocks.len()).min_by_key(|at| blocks[*at].bytes());
            smallest.map(|at| blocks.swap_remove(at));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept is valid after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
