//! What was bound for the last few sets of sizes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::numbers::Symbols;

/// How many.
const KEPT: usize = 4;

/// Plans with numbers, the newest last.
#[derive(Debug)]
pub struct Kept<T>(Mutex<Vec<(Symbols, Arc<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Kept<T> {
    /// What is kept for these sizes; it is the newest from now on.
    pub fn find(&self, symbols: &Symbols) -> Option<Arc<T>> {
        let mut all = self.all();
        let at = all.iter().position(|(known, _)| known == symbols)?;
        let entry = all.remove(at);
        let found = Arc::clone(&entry.1);
        all.push(entry);
        Some(found)
    }

    /// The oldest, which is no longer kept, where another one would be too many.
    pub fn oldest(&self) -> Option<Arc<T>> {
        let mut all = self.all();
        (all.len() >= KEPT).then(|| all.remove(0).1)
    }

    /// Keeps what was bound for these sizes, and as many others as may be.
    pub fn keep(&self, symbols: Symbols, bound: &Arc<T>) {
        let mut all = self.all();
        while all.len() >= KEPT {
            all.remove(0);
        }
        all.push((symbols, Arc::clone(bound)));
    }

    fn all(&self) -> MutexGuard<'_, Vec<(Symbols, Arc<T>)>> {
        // Entries are whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
