//! Copies what one view sees to where another one sees it.

use crate::block::Base;
use crate::frame::{Plain, cells};
use crate::routine::number::per_word;
use crate::view::View;
use crate::walk;

/// Copies elements by the names of their axes: over the axes of `to`, along which `from` is
/// repeated where it lacks them. Both are of one dtype.
///
/// # Safety
///
/// As for [`cells`], of both.
#[expect(unsafe_code, reason = "whoever calls vouches for both memories")]
pub(crate) unsafe fn copy(from: (&View, Base), to: (&View, Base)) {
    assert_eq!(from.0.dtype, to.0.dtype, "a copy keeps the dtype");
    per_word!(to.0.dtype, W => {
        // SAFETY: as the caller vouched.
        let source = unsafe { cells::<W>(from.0, from.1) };
        // SAFETY: as the caller vouched.
        let target = unsafe { cells::<W>(to.0, to.1) };
        copy_words(from.0, source, to.0, target);
    });
}

fn copy_words<W: Plain>(
    from: &View,
    source: crate::block::Cells<W>,
    to: &View,
    target: crate::block::Cells<W>,
) {
    let steps = [&*from.steps(to.axes()), &*to.own_steps()];
    walk::rows(
        &to.shape(),
        steps,
        [from.offset, to.offset],
        |[i, o], length, [s, t]| {
            if s == 1 && t == 1 {
                target.copy_run(o, source, i, length);
            } else {
                for k in 0..length as isize {
                    target.set(o + k * t, source.get(i + k * s));
                }
            }
        },
    );
}
