//! Tensors in the memory of a device.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use girih_cpu::Piece;
use girih_cpu::stretch::Stretch;
use girih_graph::DType;
use girih_runtime::backend::{Data, DeviceTensor, RunError};
use girih_runtime::device::{Device, Failure, Memory, Place};
use girih_runtime::tensor::{Tensor, byte_count};

use crate::context::Context;
use crate::own::{self, Own};

/// A tensor on a device, row-major. Clones share the data.
#[derive(Clone)]
pub(crate) struct Array {
    device: Arc<dyn Device>,
    store: Store,
    dtype: DType,
    shape: Vec<usize>,
    /// What the host has read of it.
    copy: Arc<OnceLock<Arc<Piece>>>,
}

/// Where a tensor lies.
#[derive(Clone)]
pub(crate) enum Store {
    /// From a byte of memory on.
    Written(Arc<Memory>, u64),
    /// In memory that may have room behind it.
    Grown(Stretch<Memory>),
}

impl Store {
    /// Where it starts.
    pub(crate) fn place(&self) -> Place<'_> {
        match self {
            Self::Written(memory, offset) => Place {
                memory,
                offset: *offset,
            },
            Self::Grown(stretch) => Place {
                memory: stretch.memory(),
                offset: stretch.start() as u64,
            },
        }
    }
}

/// Memory of so many bytes, or of one where there are none.
pub(crate) fn allocated(device: &dyn Device, bytes: u64) -> Result<Memory, RunError> {
    Ok(device.alloc(bytes.max(1))?)
}

/// Memory with these bytes.
pub(crate) fn written(device: &dyn Device, bytes: &[u8]) -> Result<Memory, RunError> {
    let memory = allocated(device, bytes.len() as u64)?;
    if !bytes.is_empty() {
        let to = Place {
            memory: &memory,
            offset: 0,
        };
        device.write(to, bytes)?;
    }
    Ok(memory)
}

/// A copy of what lies there.
///
/// # Errors
///
/// The device fails, or the host, which may use `limit` bytes, has no memory for it.
pub(crate) fn fetched(
    device: &Arc<dyn Device>,
    place: Place<'_>,
    bytes: usize,
    limit: u64,
) -> Result<Piece, RunError> {
    let mut piece = Piece::new(bytes).ok_or_else(|| RunError::Memory {
        what: "a copy for the processor".to_owned(),
        bytes: bytes as u64,
        limit,
    })?;
    if bytes > 0 {
        device.read(place, piece.bytes_mut())?;
    }
    Ok(piece)
}

impl Array {
    /// What lies there on the device.
    pub(crate) fn new(
        device: &Arc<dyn Device>,
        store: Store,
        dtype: DType,
        shape: Vec<usize>,
    ) -> Self {
        Self {
            device: Arc::clone(device),
            store,
            dtype,
            shape,
            copy: Arc::default(),
        }
    }

    /// Data as `dtype` on the device: where they are if they are there, else copied.
    ///
    /// # Errors
    ///
    /// A device that does not answer, or has no memory for them.
    pub(crate) fn prepared(
        device: &Arc<dyn Device>,
        data: &Data,
        dtype: DType,
    ) -> Result<Self, RunError> {
        if let Data::Device(tensor) = data
            && let Some(own) = tensor.as_any().downcast_ref::<Self>()
            && std::ptr::addr_eq(Arc::as_ptr(&own.device), Arc::as_ptr(device))
            && own.dtype == dtype
        {
            return Ok(own.clone());
        }
        Self::uploaded(device, &data.to_host()?, dtype)
    }

    /// A tensor as `dtype`, copied to the device.
    ///
    /// # Errors
    ///
    /// The device has no memory for it, or fails.
    pub(crate) fn uploaded(
        device: &Arc<dyn Device>,
        tensor: &Tensor,
        dtype: DType,
    ) -> Result<Self, RunError> {
        let converted = if tensor.dtype() != dtype {
            tensor.to_dtype(dtype)
        } else if dtype == DType::Bool && tensor.bytes().iter().any(|byte| *byte > 1) {
            // A file may hold other bytes than 0 and 1; all but 0 are true.
            Tensor::from_bytes(dtype, tensor.shape(), tensor.bytes())?
        } else {
            tensor.clone()
        };
        Ok(Self {
            store: Store::Written(Arc::new(written(&**device, converted.bytes())?), 0),
            device: Arc::clone(device),
            dtype,
            shape: converted.shape().to_vec(),
            copy: Arc::default(),
        })
    }

    /// A tensor as `dtype`, copied to the device. What has 16 bits and is wanted in 32 gets them there: less is copied, and the
    /// host converts nothing.
    ///
    /// # Errors
    ///
    /// As for [`uploaded`](Self::uploaded).
    pub(crate) fn loaded(
        context: &Context,
        tensor: &Tensor,
        dtype: DType,
    ) -> Result<Self, RunError> {
        let device = &context.device;
        let is_narrow = matches!(tensor.dtype(), DType::F16 | DType::BF16);
        if is_narrow
            && dtype == DType::F32
            && let Some(code) = own::code(context, Own::Widen, tensor.dtype())?
        {
            let narrow = Self::uploaded(device, tensor, tensor.dtype())?;
            let count = narrow.size() / tensor.dtype().size();
            let bytes = (count * dtype.size()) as u64;
            let wide = Arc::new(allocated(&**device, bytes)?);
            let spare = allocated(&**device, Failure::BYTES as u64)?;
            let of = |memory| Place { memory, offset: 0 };
            let sizes = [("n0", count as i64), ("s0", 1), ("t0", 1)];
            let sizes = sizes.map(|(name, size)| (name.to_owned(), size)).into();
            let places = [narrow.place(), of(&wide)];
            own::run(context, &code, &places, &sizes, of(&spare))?;
            return Ok(Self {
                store: Store::Written(wide, 0),
                dtype,
                copy: Arc::default(),
                ..narrow
            });
        }
        Self::uploaded(device, tensor, dtype)
    }

    /// Where it lies.
    pub(crate) fn place(&self) -> Place<'_> {
        self.store.place()
    }

    /// The memory that it lies in, if that may have room behind it.
    pub(crate) fn stretch(&self) -> Option<&Stretch<Memory>> {
        match &self.store {
            Store::Grown(stretch) => Some(stretch),
            Store::Written(..) => None,
        }
    }

    /// Whether it begins there.
    pub(crate) fn is_at(&self, place: Place<'_>) -> bool {
        let own = self.place();
        std::ptr::eq(own.memory, place.memory) && own.offset == place.offset
    }

    /// Its elements for the processor. They are kept as long as it is: only for what nobody writes.
    ///
    /// # Errors
    ///
    /// As for [`fetched`].
    pub(crate) fn on_host(&self, limit: u64) -> Result<Arc<Piece>, RunError> {
        if let Some(known) = self.copy.get() {
            return Ok(Arc::clone(known));
        }
        let piece = Arc::new(fetched(&self.device, self.place(), self.size(), limit)?);
        // Others may have read it meanwhile.
        Ok(Arc::clone(self.copy.get_or_init(|| piece)))
    }

    /// Bytes of its elements.
    pub(crate) fn size(&self) -> usize {
        byte_count(self.dtype, &self.shape).unwrap_or(0)
    }
}

impl DeviceTensor for Array {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn to_host(&self) -> Result<Tensor, RunError> {
        let mut bytes = vec![0; self.size()];
        if !bytes.is_empty() {
            self.device.read(self.place(), &mut bytes)?;
        }
        Ok(Tensor::from_bytes(self.dtype, self.shape.clone(), &bytes)?)
    }

    fn held(&self) -> u64 {
        self.place().memory.bytes()
    }

    fn rows(&self, range: Range<usize>) -> Option<Arc<dyn DeviceTensor>> {
        let (rows, inner) = self.shape.split_first()?;
        if range.start > range.end || range.end > *rows {
            return None;
        }
        let row = byte_count(self.dtype, inner)?;
        let shape = [range.len()].into_iter().chain(inner.iter().copied());
        let (start, end) = (range.start * row, range.end * row);
        let store = match &self.store {
            Store::Written(memory, offset) => {
                Store::Written(Arc::clone(memory), offset + start as u64)
            }
            Store::Grown(stretch) => Store::Grown(stretch.part(start..end)?),
        };
        Some(Arc::new(Self {
            store,
            shape: shape.collect(),
            copy: Arc::default(),
            ..self.clone()
        }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?} on {:?}", self.dtype, self.shape, self.device)
    }
}
