//! Memory that values grow in: rows are added behind a value where it lies.
//!
//! A [`Stretch`] is a part of a piece of memory that a value owns as long as it lives; values
//! that began alike share the beginning. A longer value takes the bytes behind a shorter one if no
//! living stretch has them, so that of several that want to go on from one place the first goes on
//! there, and the others go elsewhere. What a failed run took is free again when its stretch is
//! dropped. A value that has left the front of the memory behind, as the last positions of a
//! sequence do, comes back to the front when it reaches the end. Whose memory it is, and how bytes
//! are copied there, is not known here.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory with the parts that living stretches have.
#[derive(Debug)]
struct Growing<M> {
    memory: M,
    bytes: usize,
    taken: Mutex<Vec<Range<usize>>>,
}

impl<M> Growing<M> {
    fn taken(&self) -> MutexGuard<'_, Vec<Range<usize>>> {
        // No panic can come between two changes that belong together.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `range` for a new stretch if `wanted`, a part of it, is inside and nobody has it.
    fn take(self: &Arc<Self>, range: Range<usize>, wanted: &Range<usize>) -> Option<Stretch<M>> {
        let apart = |own: &Range<usize>| own.end <= wanted.start || wanted.end <= own.start;
        let mut taken = self.taken();
        if wanted.end > self.bytes || !taken.iter().all(apart) {
            return None;
        }
        taken.push(range.clone());
        drop(taken);
        Some(Stretch {
            memory: Arc::clone(self),
            range,
        })
    }
}

/// Bytes that a value has, in memory that may have room behind them.
#[derive(Debug)]
pub struct Stretch<M> {
    memory: Arc<Growing<M>>,
    range: Range<usize>,
}

impl<M> Stretch<M> {
    /// The first `bytes` of memory that has `held` in all. `None` if it has fewer.
    pub fn over(memory: M, held: usize, bytes: usize) -> Option<Self> {
        let memory = Arc::new(Growing {
            memory,
            bytes: held,
            taken: Mutex::default(),
        });
        memory.take(0..bytes, &(0..bytes))
    }

    /// The same bytes, and so many more behind them that are nobody's. `None` if there is no room.
    pub fn longer_here(&self, by: usize) -> Option<Self> {
        let Range { start, end } = self.range;
        let last = end.checked_add(by)?;
        self.memory.take(start..last, &(end..last))
    }

    /// As many bytes and so many more at the front of the memory, which are nobody's yet: these are to be copied there.
    /// `None` if there is no room.
    pub fn longer_in_front(&self, by: usize) -> Option<Self> {
        let length = self.bytes().checked_add(by)?;
        self.memory.take(0..length, &(0..length))
    }

    /// Some of its bytes, counted from its first.
    pub fn part(&self, range: Range<usize>) -> Option<Self> {
        let part = self.range.start.checked_add(range.start)?..self.range.start + range.end;
        if range.start > range.end || part.end > self.range.end {
            return None;
        }
        // Whoever has all may hand out a part.
        self.memory.take(part, &(0..0))
    }

    /// The memory that it is a part of.
    pub fn memory(&self) -> &M {
        &self.memory.memory
    }

    /// Which of the memory's bytes is its first.
    pub fn start(&self) -> usize {
        self.range.start
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.range.len()
    }

    /// How many bytes the memory has that it lies in.
    pub fn held(&self) -> usize {
        self.memory.bytes
    }
}

impl<M> Clone for Stretch<M> {
    fn clone(&self) -> Self {
        self.memory.taken().push(self.range.clone());
        Self {
            memory: Arc::clone(&self.memory),
            range: self.range.clone(),
        }
    }
}

impl<M> Drop for Stretch<M> {
    fn drop(&mut self) {
        let mut taken = self.memory.taken();
        if let Some(at) = taken.iter().position(|own| *own == self.range) {
            taken.swap_remove(at);
        }
    }
}
