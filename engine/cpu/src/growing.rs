//! Memory that values grow in: rows are added behind a value where it lies.
//!
//! A [`Stretch`] is a part of a piece of memory that a value owns as long as it lives; values
//! that began alike share the beginning. A longer value takes the bytes behind a shorter one if no
//! living stretch has them, so that of several that want to go on from one place the first goes on
//! there, and the others go elsewhere. What a failed run took is free again when its stretch is
//! dropped. A value that has left the front of the memory behind, as the last positions of a
//! sequence do, comes back to the front when it reaches the end.

#![expect(
    unsafe_code,
    reason = "values are copied to where they have room, and seen as bytes"
)]

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::block::{Base, Block};

/// Memory with the parts that living stretches have.
#[derive(Debug)]
struct Growing {
    block: Block,
    taken: Mutex<Vec<Range<usize>>>,
}

impl Growing {
    fn taken(&self) -> MutexGuard<'_, Vec<Range<usize>>> {
        // No panic can come between two changes that belong together.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `range` for a new stretch if `wanted`, a part of it, is inside and nobody has it.
    fn take(self: &Arc<Self>, range: Range<usize>, wanted: &Range<usize>) -> Option<Stretch> {
        let apart = |own: &Range<usize>| own.end <= wanted.start || wanted.end <= own.start;
        let mut taken = self.taken();
        if wanted.end > self.block.bytes() || !taken.iter().all(apart) {
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
pub(crate) struct Stretch {
    memory: Arc<Growing>,
    range: Range<usize>,
}

impl Stretch {
    /// So many bytes with room behind them. `None` if there is no memory for them.
    pub(crate) fn new(bytes: usize, room: usize) -> Option<Self> {
        let memory = Arc::new(Growing {
            block: Block::unwritten(bytes.checked_add(room)?)?,
            taken: Mutex::default(),
        });
        memory.take(0..bytes, &(0..bytes))
    }

    /// The same bytes, and so many more behind them that are nobody's: where they lie, or else
    /// copied to the front. `None` if there is no room.
    pub(crate) fn longer(&self, by: usize) -> Option<Self> {
        let Range { start, end } = self.range;
        let last = end.checked_add(by)?;
        if let Some(longer) = self.memory.take(start..last, &(end..last)) {
            return Some(longer);
        }
        let front = self.memory.take(0..last - start, &(0..last - start))?;
        // SAFETY: these bytes are not the front's, which nobody else has yet; whoever wrote them is done.
        unsafe { front.begin(self.base(), end - start) };
        Some(front)
    }

    /// Some of its bytes, counted from its first.
    pub(crate) fn part(&self, range: Range<usize>) -> Option<Self> {
        let part = self.range.start.checked_add(range.start)?..self.range.start + range.end;
        if range.start > range.end || part.end > self.range.end {
            return None;
        }
        // Whoever has all may hand out a part.
        self.memory.take(part, &(0..0))
    }

    /// Copies bytes to its beginning.
    ///
    /// # Safety
    ///
    /// - So many bytes from `from` on can be read, lie apart from this stretch, and nobody writes them.
    /// - The stretch is new: nobody else reads or writes it yet.
    pub(crate) unsafe fn begin(&self, from: Base, bytes: usize) {
        assert!(bytes <= self.bytes(), "a beginning is not longer");
        // SAFETY: as the caller vouched; the stretch is as long, as just checked.
        unsafe { std::ptr::copy_nonoverlapping(from.0, self.base().0, bytes) };
    }

    /// Where it starts.
    pub(crate) fn base(&self) -> Base {
        self.memory.block.base().at(self.range.start.cast_signed())
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        self.range.len()
    }

    /// How many bytes the memory has that it lies in.
    pub(crate) fn held(&self) -> usize {
        self.memory.block.bytes()
    }

    /// Its bytes, when nobody writes them any more.
    ///
    /// # Safety
    ///
    /// The run that wrote it is over.
    pub(crate) unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: inside the block, which lives as long, was zeros at first and so is initialized; no
        // other stretch that is written has these bytes while this one lives, and its own run
        // is over.
        unsafe { std::slice::from_raw_parts(self.base().0, self.bytes()) }
    }
}

impl Clone for Stretch {
    fn clone(&self) -> Self {
        self.memory.taken().push(self.range.clone());
        Self {
            memory: Arc::clone(&self.memory),
            range: self.range.clone(),
        }
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        let mut taken = self.memory.taken();
        if let Some(at) = taken.iter().position(|own| *own == self.range) {
            taken.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bytes: &[u8], room: usize) -> Stretch {
        let new = Stretch::new(bytes.len(), room).unwrap();
        let from = Block::of(bytes).unwrap();
        // SAFETY: the block is as long, and the stretch is new.
        unsafe { new.begin(from.base(), bytes.len()) };
        new
    }

    fn read(stretch: &Stretch) -> Vec<u8> {
        // SAFETY: nothing is written.
        unsafe { stretch.as_slice() }.to_vec()
    }

    #[test]
    fn the_first_goes_on_in_place() {
        let short = filled(&[1, 2, 3], 4);
        let one = short.longer(2).unwrap();
        assert_eq!(one.base(), short.base());
        assert_eq!((one.bytes(), one.held()), (5, 7));
        // Somebody has the bytes behind.
        assert!(short.longer(1).is_none());
        let two = one.longer(2).unwrap();
        assert!(two.longer(1).is_none(), "it is full");
        assert_eq!(read(&two)[..3], [1, 2, 3]);
    }

    #[test]
    fn what_is_dropped_is_free() {
        let short = filled(&[1, 2, 3], 4);
        drop(short.longer(4).unwrap());
        let copy = short.clone();
        drop(copy.longer(3).unwrap());
        // A way back is a shorter stretch.
        let back = short.part(0..1).unwrap();
        assert!(back.longer(1).is_none(), "the longer one lives");
        drop((short, copy));
        assert_eq!(back.longer(6).unwrap().base(), back.base());
    }

    #[test]
    fn parts_are_inside() {
        let whole = filled(&[1, 2, 3], 4);
        assert!(whole.part(0..4).is_none() && whole.part(2..usize::MAX).is_none());
        assert_eq!(read(&whole.part(1..3).unwrap()), [2, 3]);
    }

    #[test]
    fn the_last_positions_come_back_to_the_front() {
        let mut last = filled(&[0, 1], 4);
        let start = last.base();
        for byte in 2..40_u8 {
            let whole = last.longer(1).expect("the front is free");
            let (new, from) = (whole.part(2..3).unwrap(), Block::of(&[byte]).unwrap());
            // SAFETY: the block has one byte, and nobody has read the part yet.
            unsafe { new.begin(from.base(), 1) };
            last = whole.part(1..3).unwrap();
            assert_eq!(read(&last), [byte - 1, byte]);
            assert_eq!(last.memory.block.base(), start);
        }
        // Unless somebody is there.
        let whole = last.longer(1).unwrap();
        let kept: Vec<Stretch> = (0..2).map(|at| whole.part(at..at + 1).unwrap()).collect();
        let mut moves = 0;
        while last.longer(1).is_some_and(|whole| {
            last = whole.part(1..3).unwrap();
            true
        }) {
            moves += 1;
        }
        assert!(moves < 6, "{moves}");
        drop(kept);
    }
}
