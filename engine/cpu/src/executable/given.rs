//! What a caller gives to a run, as the plan reads it.

#![expect(
    unsafe_code,
    reason = "positions of rows are read where launches wrote them"
)]

use std::collections::BTreeMap;

use girih_graph::{DType, ValueType};
use girih_plan::plan::{BufferId, BufferKind, Given, GivenKind};
use girih_runtime::backend::{self, Bindings, Data, DeviceTensor, RunError};

use super::Compiled;
use crate::array::Array;
use crate::bind::Bound;
use crate::block::Cells;
use crate::frame::Frame;
use crate::growing::Stretch;
use crate::parameter::{Packs, Parameter};
use crate::weights::Form;

impl Compiled {
    pub(super) fn given_type(&self, given: &Given) -> ValueType {
        let tensor = &self.plan.root.tensors[given.tensor.index()];
        ValueType::new(
            tensor.dtype,
            tensor.axes.iter().map(|(axis, _)| *axis).collect(),
        )
    }

    /// What the caller gives for a leaf, as the plan reads it.
    pub(super) fn given(
        &self,
        at: usize,
        bindings: &Bindings,
        bound: &Bound,
    ) -> Result<Leaf, RunError> {
        let given = &self.plan.given[at];
        let (kind, named) = match given.kind {
            GivenKind::Input => (backend::Given::Input, &bindings.inputs),
            GivenKind::Param => (backend::Given::Param, &*bindings.params),
            GivenKind::State => (backend::Given::State, &bindings.states),
        };
        let Some(data) = named.get(&*given.name) else {
            if given.initial.is_some() {
                return Ok(Leaf::Absent);
            }
            return Err(RunError::Missing {
                given: kind,
                name: given.name.to_string(),
                wanted: self.plan.axes.show(&self.given_type(given)),
            });
        };
        let view = &bound.views[given.tensor.index()];
        // Two nodes of one name may be declared unlike; only one of them was checked.
        if data.shape() != view.shape() {
            return Err(RunError::Rank {
                given: kind,
                name: given.name.to_string(),
                wanted: self.plan.axes.show(&self.given_type(given)),
                found: data.shape().to_vec(),
            });
        }
        // Weights that only products read stay packed.
        let own = own_parameter(data).filter(|own| own.dtype() == view.dtype);
        if let (Some(own), false) = (own, self.weights.plain(at)) {
            let rows = self.weights.all_rows().iter();
            let mut rows = rows
                .filter(|(_, given, _)| *given == at)
                .map(|(_, _, rows)| rows.row);
            let Some(row) = rows.next() else {
                return Ok(Leaf::Packed);
            };
            if rows.all(|other| other == row)
                && let Some(table) = own.table(row)?
            {
                return Ok(Leaf::Plain(Array::written(view.dtype, view.shape(), table)));
            }
        }
        Array::prepared(data, view.dtype).map(Leaf::Plain)
    }

    /// Memory for what grows: where its beginning lies, if there is room behind it, or else a copy of that.
    /// A new piece of memory has room for as many positions again, as far as `room` bytes go.
    pub(super) fn grown(
        &self,
        arrays: &BTreeMap<BufferId, Array>,
        bound: &Bound,
        room: u64,
    ) -> Result<BTreeMap<BufferId, Stretch>, RunError> {
        let buffers = self.plan.root.buffers.iter().zip(&bound.bytes).enumerate();
        let growing = buffers.filter(|(_, (buffer, _))| matches!(buffer.kind, BufferKind::Grown));
        let growing: Vec<(BufferId, usize)> = growing
            .map(|(at, (_, bytes))| (BufferId(at as u32), *bytes))
            .collect();
        let sizes = growing.iter().map(|(_, bytes)| *bytes as u64);
        let all = sizes.fold(0, u64::saturating_add);
        let mut grown = BTreeMap::new();
        for (id, bytes) in growing {
            let old = arrays.get(&id);
            let past = old.map_or(0, Array::size).min(bytes);
            let stretch = old.and_then(Array::stretch);
            let longer = stretch.and_then(|own| own.longer(bytes - past));
            let stretch = if let Some(longer) = longer {
                longer
            } else {
                let share = u128::from(room) * bytes as u128 / u128::from(all.max(1));
                let share = usize::try_from(share).unwrap_or(usize::MAX).min(bytes);
                let wanted = bytes.saturating_add(share);
                let new = Stretch::new(bytes, share).ok_or_else(|| RunError::Memory {
                    what: "what a run adds positions to".to_owned(),
                    bytes: wanted as u64,
                    limit: wanted as u64,
                })?;
                if let Some(old) = old {
                    // SAFETY: the array has so many bytes and does not change while it lives; the stretch is new.
                    unsafe { new.begin(old.base(), past) };
                }
                new
            };
            grown.insert(id, stretch);
        }
        Ok(grown)
    }

    /// For each weight its packs, if the caller gives it as [`Executable::load`] made it.
    pub(super) fn packs(&self, bindings: &Bindings) -> Result<Vec<Option<Packs>>, RunError> {
        let weights = self.weights.all().iter();
        let packs = weights.map(|weight| {
            let data = bindings.params.get(&*self.plan.given[weight.given].name);
            let parameter = data.and_then(own_parameter);
            let parameter = parameter.filter(|own| own.dtype() == DType::F32);
            let packs = parameter.map(|own| own.packs(&weight.form, self.compute));
            packs.transpose()
        });
        packs.collect()
    }

    /// Decodes what a launch of the whole model reads of quantized parameters by rows.
    pub(super) fn decode(
        &self,
        at: usize,
        bindings: &Bindings,
        frame: &Frame<'_>,
    ) -> Result<(), RunError> {
        for (_, given, rows) in self
            .weights
            .all_rows()
            .iter()
            .filter(|(own, ..)| *own == at)
        {
            let data = bindings.params.get(&*self.plan.given[*given].name);
            if let Some(parameter) = data.and_then(own_parameter) {
                let count = frame.bound.bytes[rows.positions.index()] / size_of::<i64>();
                // SAFETY: the buffer is memory of the frame, as long as it is said to be, and the launches
                // that write it are over.
                let positions = unsafe { Cells::<i64>::new(frame.base(rows.positions), count) };
                parameter.decode((0..count.cast_signed()).map(|at| positions.get(at)))?;
            }
        }
        Ok(())
    }

    /// What products want packed of what is given.
    pub(super) fn forms(&self, given: usize) -> Vec<&Form> {
        let weights = self.weights.all().iter();
        let own = weights.filter(|weight| weight.given == given);
        own.map(|weight| &weight.form).collect()
    }
}

/// What a caller gives for one leaf.
pub(super) enum Leaf {
    /// Elements where they lie.
    Plain(Array),
    /// A weight that no launch reads but by its packs.
    Packed,
    /// A state without a value.
    Absent,
}

fn own_parameter(data: &Data) -> Option<&Parameter> {
    match data {
        Data::Device(device) => device.as_any().downcast_ref(),
        Data::Host(_) => None,
    }
}
