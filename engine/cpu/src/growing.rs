//! Values that grow in the processor's memory.

#![expect(
    unsafe_code,
    reason = "values are copied to where they have room, and seen as bytes"
)]

use crate::block::{Base, Block};

/// Bytes that a value has, in memory that may have room behind them.
pub(crate) type Stretch = crate::stretch::Stretch<Block>;

impl Stretch {
    /// So many bytes with room behind them. `None` if there is no memory for them.
    pub(crate) fn new(bytes: usize, room: usize) -> Option<Self> {
        let held = bytes.checked_add(room)?;
        Self::over(Block::unwritten(held)?, held, bytes)
    }

    /// The same bytes, and so many more behind them that are nobody's: where they lie, or else
    /// copied to the front. `None` if there is no room.
    pub(crate) fn longer(&self, by: usize) -> Option<Self> {
        if let Some(longer) = self.longer_here(by) {
            return Some(longer);
        }
        let front = self.longer_in_front(by)?;
        // SAFETY: these bytes are not the front's, which nobody else has yet; whoever wrote them is done.
        unsafe { front.begin(self.base(), self.bytes()) };
        Some(front)
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
        self.memory().base().at(self.start().cast_signed())
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
            assert_eq!(last.memory().base(), start);
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
