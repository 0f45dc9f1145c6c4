//! Results that continue what is given: positions are added where it lies.
//!
//! A cache goes into a step and comes out with the new positions behind the old ones. Where
//! nothing else reads what went in, both are one piece of memory, and only the new positions
//! are written. Whoever runs the plan finds the room, or copies the old positions once.

use std::collections::BTreeSet;

use girih_graph::Extent;

use super::Planner;
use super::value::{Form, ValueIx, View};
use crate::plan::{BufferKind, TensorId};

impl Planner<'_, '_> {
    /// The tensor of the result `ix` if it is one of `inputs` with positions behind it along the
    /// outermost axis, or the last positions of that. `wanted` are the values of all results.
    pub(super) fn continued(
        &mut self,
        ix: ValueIx,
        inputs: &BTreeSet<TensorId>,
        wanted: &[ValueIx],
    ) -> Option<TensorId> {
        let value = self.values.all[ix].clone();
        let (joined, view) = match value.form {
            Form::View(view @ View::Window { .. }) => (value.operands[0], Some(view)),
            _ => (ix, None),
        };
        let whole = self.values.all[joined].clone();
        let Form::Concat(from, axis) = &whole.form else {
            return None;
        };
        let before = *whole.operands.first()?;
        let Form::Given(old) = self.values.all[before].form else {
            return None;
        };
        let alone = self.users[before] == [joined]
            && whole.operands.iter().filter(|own| **own == before).count() == 1
            && !wanted.contains(&before)
            && !self.home.contains_key(&joined);
        let (first, rest) = whole.ty.axes.split_first()?;
        let outermost = first == axis
            && self.values.ty(before).axes.split_first() == Some((from.first()?, rest));
        if !alone || !outermost || !inputs.contains(&old) {
            return None;
        }
        if let Some(View::Window {
            axis: own, into, ..
        }) = &view
        {
            let [(_, stride)] = into.as_slice() else {
                return None;
            };
            if own != axis || *stride != Extent::constant(1) {
                return None;
            }
        }
        let home = self.dense(&whole.ty, BufferKind::Grown);
        let out = match &view {
            None => home,
            Some(view) => {
                let Some(last) = self.viewed(view, home, &value.ty) else {
                    // Positions that may lie outside are copied.
                    self.section.tensors.pop();
                    self.section.buffers.pop();
                    return None;
                };
                self.tensor(last)
            }
        };
        self.drop_buffer(old);
        let part = self.slice(home, *axis, from[0], &Extent::constant(0));
        self.section.tensors[old.index()] = self.section.tensors[part.index()].clone();
        self.home.insert(joined, home);
        if joined != ix {
            self.home.insert(ix, out);
            self.group[ix] = Some(self.alias_group(joined));
        }
        Some(out)
    }

    /// Whether a value is given in the buffer of `home`: it is the beginning of what lies there.
    pub(super) fn lies_in(&self, ix: ValueIx, home: TensorId) -> bool {
        let buffer = |tensor: TensorId| self.section.tensors[tensor.index()].buffer;
        match self.values.all[ix].form {
            Form::Given(tensor) => buffer(tensor) == buffer(home),
            _ => false,
        }
    }

    /// Nothing lies in the buffer of a tensor any more.
    fn drop_buffer(&mut self, tensor: TensorId) {
        let buffer = self.section.tensors[tensor.index()].buffer;
        let buffer = &mut self.section.buffers[buffer.index()];
        buffer.kind = BufferKind::Temporary;
        buffer.elements = Extent::constant(0);
    }
}
