//! Memory that runs use one after another.

use std::sync::Mutex;

use girih_runtime::backend::RunError;
use girih_runtime::device::{Device, Memory};

use crate::array::allocated;
use crate::context::lock;

/// Pieces that are kept.
const KEPT: usize = 8;

/// Memory that is free.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Memory>>);

impl Pool {
    /// So many bytes at least: of an earlier run, or new.
    pub(crate) fn take(&self, device: &dyn Device, bytes: u64) -> Result<Memory, RunError> {
        let mut free = lock(&self.0);
        let fits = (0..free.len()).filter(|at| free[*at].bytes() >= bytes);
        if let Some(at) = fits.min_by_key(|at| free[*at].bytes()) {
            return Ok(free.swap_remove(at));
        }
        drop(free);
        allocated(device, bytes)
    }

    /// For the next run: what was asked before happens before what that asks.
    pub(crate) fn give_back(&self, memory: Memory) {
        let mut free = lock(&self.0);
        free.push(memory);
        if free.len() > KEPT {
            let smallest = (0..free.len()).min_by_key(|at| free[*at].bytes());
            smallest.map(|at| free.swap_remove(at));
        }
    }
}
