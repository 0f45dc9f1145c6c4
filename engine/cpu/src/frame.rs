//! A section's memory while it runs.
//!
//! A [`Frame`] knows where every buffer of a section starts, and hands out the
//! elements that a tensor sees. Whoever makes a frame vouches for its bases;
//! everything that is read and written through it is then checked.

#![expect(
    unsafe_code,
    reason = "where a frame's bases are valid, so are the elements of its tensors"
)]

use girih_plan::plan::{BufferId, TensorId};
use half::{bf16, f16};

use crate::bind::Bound;
use crate::block::{Base, Cells};
use crate::view::View;

/// A number without bit patterns that are none.
pub(crate) trait Plain: Copy + Send + Sync + 'static {}

impl Plain for f64 {}
impl Plain for f32 {}
impl Plain for f16 {}
impl Plain for bf16 {}
impl Plain for i64 {}
impl Plain for i32 {}
impl Plain for i8 {}
impl Plain for u64 {}
impl Plain for u32 {}
impl Plain for u16 {}
impl Plain for u8 {}

/// Where the buffers of a section start.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) bound: &'a Bound,
    bases: &'a [Base],
    /// Where the section's own memory starts.
    pub(crate) arena: Base,
}

impl<'a> Frame<'a> {
    /// # Safety
    ///
    /// There is a base for every buffer of the section, and `arena` is as long as the section
    /// wants. For every view of `bound`, all
    /// elements that it reaches from its buffer's base on are memory that is aligned for its
    /// dtype, lives as long as the frame, and is touched by nobody but the section's launches.
    pub(crate) unsafe fn new(bound: &'a Bound, bases: &'a [Base], arena: Base) -> Self {
        debug_assert_eq!(bound.bytes.len(), bases.len());
        Self {
            bound,
            bases,
            arena,
        }
    }

    /// What a tensor sees.
    pub(crate) fn view(&self, tensor: TensorId) -> &'a View {
        &self.bound.views[tensor.index()]
    }

    /// Where a buffer starts.
    pub(crate) fn base(&self, buffer: BufferId) -> Base {
        self.bases[buffer.index()]
    }

    /// The elements of the tensor's buffer, as far as the tensor reaches: its first is at the
    /// view's offset.
    pub(crate) fn cells<T: Plain>(&self, tensor: TensorId) -> Cells<T> {
        let view = self.view(tensor);
        // SAFETY: the view's reach is valid memory, as whoever made the frame vouched.
        unsafe { cells(view, self.base(view.buffer)) }
    }
}

/// The elements of a view whose buffer starts at `base`.
///
/// # Safety
///
/// All elements that the view reaches from `base` on are memory that is aligned for its dtype,
/// lives as long as the cells, and is not written by one thread while another touches it.
pub(crate) unsafe fn cells<T: Plain>(view: &View, base: Base) -> Cells<T> {
    assert_eq!(
        size_of::<T>(),
        view.dtype.size(),
        "cells are of the tensor's dtype"
    );
    let count = view.reach().map_or(0, |(_, last)| last.max(-1) + 1);
    // SAFETY: valid up to the last element that is reached, as the caller vouched; every bit
    // pattern is a `Plain`.
    unsafe { Cells::new(base, count.cast_unsigned()) }
}
