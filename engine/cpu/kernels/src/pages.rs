//! Memory for what is read again and again, many megabytes of weights, in the large pages of the system.
//!
//! A core keeps a table of where pages are. On common CPUs it reaches 8 MiB far with pages of 4 KiB; reading more,
//! much of the time goes into looking pages up. Pages of 2 MiB take that away, if the system is told beforehand
//! that it may use them, and if what is put into them lies together. So pieces are cut from slabs, one after the
//! other. A slab goes back to the system with the last of its pieces.
#![expect(
    unsafe_code,
    reason = "a piece of a slab is a slice that nobody else has"
)]

use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use memmap2::{MmapMut, MmapOptions};

/// Bytes of a large page.
pub const LARGE_PAGE: usize = 2 << 20;

/// Bytes of a slab that pieces share. They take memory only when they are touched.
const SLAB: usize = 16 * LARGE_PAGE;

/// What the address of every piece is a multiple of: a cache line.
const ALIGN: usize = 64;

/// Elements of which zeros are a value.
///
/// # Safety
///
/// Bytes that are all zero are a valid element, and its alignment is at most a cache line.
pub(crate) unsafe trait Zeroed: Copy {}

// SAFETY: a number.
unsafe impl Zeroed for f32 {}
// SAFETY: as above.
unsafe impl Zeroed for u32 {}

/// A fixed number of elements of one's own.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    first: NonNull<T>,
    count: usize,
    /// Where they are.
    _slab: Arc<Slab>,
}

// SAFETY: the elements belong to whoever has the pages.
unsafe impl<T: Send> Send for Pages<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Pages<T> {}

impl<T: Zeroed> Pages<T> {
    /// Zeros. Without memory for them the process ends, as everywhere.
    pub(crate) fn zeros(count: usize) -> Self {
        let layout = Layout::array::<T>(count);
        let layout = layout.unwrap_or_else(|_| handle_alloc_error(Layout::new::<T>()));
        let (slab, first) = piece(layout.size()).unwrap_or_else(|()| handle_alloc_error(layout));
        Self {
            first: first.cast(),
            count,
            _slab: slab,
        }
    }
}

impl<T> Deref for Pages<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: so many elements that are this piece's alone, and were zeros at least.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }
}

impl<T> DerefMut for Pages<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.count) }
    }
}

impl<T: Zeroed> Clone for Pages<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.count);
        copy.copy_from_slice(self);
        copy
    }
}

/// Memory from the system, zeros where nobody wrote.
#[derive(Debug)]
struct Slab {
    first: NonNull<u8>,
    bytes: usize,
    /// Keeps it.
    _map: MmapMut,
}

// SAFETY: an address beside the map that it is of; pieces overlap nowhere.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

impl Slab {
    fn new(bytes: usize) -> Result<Self, ()> {
        let padded = bytes.checked_add(LARGE_PAGE).ok_or(())?;
        let mut map = MmapOptions::new().len(padded).map_anon().map_err(|_| ())?;
        // Without large pages it is memory all the same.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let start = map.as_mut_ptr();
        let first = start.wrapping_add(start.align_offset(LARGE_PAGE));
        Ok(Self {
            first: NonNull::new(first).ok_or(())?,
            bytes,
            _map: map,
        })
    }
}

/// The slab that pieces are cut from, if it is still there, and how much of it is given away.
static OPEN: Mutex<(Weak<Slab>, usize)> = Mutex::new((Weak::new(), 0));

/// So many bytes that nobody else has.
fn piece(bytes: usize) -> Result<(Arc<Slab>, NonNull<u8>), ()> {
    if bytes >= SLAB {
        let slab = Arc::new(Slab::new(bytes)?);
        let first = slab.first;
        return Ok((slab, first));
    }
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (slab, from) = match (open.0.upgrade(), open.1) {
        (Some(slab), used) if bytes <= slab.bytes - used => (slab, used),
        _ => (Arc::new(Slab::new(SLAB)?), 0),
    };
    let after = from + bytes.next_multiple_of(ALIGN);
    *open = (Arc::downgrade(&slab), after.min(slab.bytes));
    // SAFETY: at most the slab's bytes on.
    let first = unsafe { slab.first.add(from) };
    Ok((slab, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zeros_lines_apart_and_overlap_nowhere() {
        let sizes = [0, 1, 3, 16, 17, 5000, SLAB / 8, SLAB / 8, SLAB / 4 + 1, 7];
        let mut pieces: Vec<Pages<f32>> = sizes.map(Pages::zeros).into();
        for (at, piece) in pieces.iter_mut().enumerate() {
            assert_eq!(piece.len(), sizes[at]);
            assert!(piece.as_ptr().addr().is_multiple_of(ALIGN));
            assert!(piece.iter().all(|element| *element == 0.0), "piece {at}");
            piece.fill(at as f32);
        }
        let copies = pieces.clone();
        for (at, piece) in pieces.iter().enumerate() {
            assert_eq!(**piece, vec![at as f32; sizes[at]]);
            assert_eq!(**piece, *copies[at]);
        }
    }

    #[test]
    fn threads_have_pieces_of_their_own() {
        std::thread::scope(|scope| {
            for own in 0..4_u32 {
                scope.spawn(move || {
                    let pieces: Vec<Pages<u32>> = (0..200)
                        .map(|size| {
                            let mut piece = Pages::zeros(size * 100);
                            piece.fill(own);
                            piece
                        })
                        .collect();
                    assert!(pieces.iter().all(|piece| piece.iter().all(|e| *e == own)));
                });
            }
        });
    }
}
