//! Memory of the device: bytes behind a lock, and what a run holds of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use girih_plugin::Error;
use girih_plugin::device::RegionCall;
use girih_plugin::raw::Failure;

/// A piece of memory.
#[derive(Debug)]
pub struct Memory(Mutex<Vec<u8>>);

/// A piece of memory that nobody else touches now.
pub(crate) struct Locked<'a>(MutexGuard<'a, Vec<u8>>);

impl Memory {
    /// Zeros.
    pub(crate) fn new(bytes: u64) -> Result<Self, Error> {
        let refused = || Error::memory(format!("there is no memory of {bytes} bytes"));
        let length = usize::try_from(bytes).map_err(|_| refused())?;
        let mut all = Vec::new();
        all.try_reserve_exact(length).map_err(|_| refused())?;
        all.resize(length, 0);
        Ok(Self(Mutex::new(all)))
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        // Bytes are valid whatever happened.
        Locked(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Locked<'_> {
    /// So many bytes from one on.
    pub(crate) fn bytes(&self, offset: u64, length: usize) -> Result<&[u8], Error> {
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| self.0.get(start..start.checked_add(length)?));
        found.ok_or_else(|| outside(offset, length, self.0.len()))
    }

    pub(crate) fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), Error> {
        let all = self.0.len();
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| self.0.get_mut(start..start.checked_add(from.len())?));
        let to = found.ok_or_else(|| outside(offset, from.len(), all))?;
        to.copy_from_slice(from);
        Ok(())
    }
}

fn outside(offset: u64, length: usize, all: usize) -> Error {
    Error::internal(format!(
        "{length} bytes from {offset} on are not inside {all}"
    ))
}

/// All memory of a run, each piece locked once: several buffers may lie in one.
pub(crate) struct Held<'a> {
    pieces: Vec<Locked<'a>>,
    /// For each buffer its piece and its first byte; the failure comes last.
    places: Vec<(usize, u64)>,
}

impl<'a> Held<'a> {
    pub(crate) fn new(call: &RegionCall<'a, Memory>) -> Result<Self, Error> {
        let all = || call.buffers.iter().chain([&call.failure]);
        let address = |memory: &Memory| std::ptr::from_ref(memory).addr();
        // In one order for all runs, so that none waits for another that waits for it.
        let mut known: Vec<&'a Memory> = all().map(|place| place.memory).collect();
        known.sort_by_key(|memory| address(memory));
        known.dedup_by_key(|memory| address(memory));
        let mut places = Vec::new();
        for place in all() {
            let found = known.binary_search_by_key(&address(place.memory), |own| address(own));
            let piece = found.map_err(|_| Error::internal("a place without its memory"))?;
            places.push((piece, place.offset));
        }
        Ok(Self {
            pieces: known.into_iter().map(Memory::lock).collect(),
            places,
        })
    }

    /// Bytes of an element of a buffer.
    pub(crate) fn element(&self, buffer: usize, index: i64, size: usize) -> Result<&[u8], Error> {
        let (piece, offset) = self.at(buffer, index, size)?;
        self.pieces[piece].bytes(offset, size)
    }

    pub(crate) fn set(&mut self, buffer: usize, index: i64, bytes: &[u8]) -> Result<(), Error> {
        let (piece, offset) = self.at(buffer, index, bytes.len())?;
        self.pieces[piece].write(offset, bytes)
    }

    fn at(&self, buffer: usize, index: i64, size: usize) -> Result<(usize, u64), Error> {
        let absent = || Error::internal(format!("element {index} of buffer {buffer} is nowhere"));
        let (piece, first) = *self.places.get(buffer).ok_or_else(absent)?;
        let distance = index.checked_mul(size as i64).ok_or_else(absent)?;
        let offset = first.checked_add_signed(distance).ok_or_else(absent)?;
        Ok((piece, offset))
    }

    /// Tells the host which guard failed, unless another one did.
    pub(crate) fn fail(&mut self, failure: &Failure) -> Result<(), Error> {
        let own = self.places.len() - 1;
        if self.element(own, 0, 8)?.iter().any(|byte| *byte != 0) {
            return Ok(());
        }
        let words = [
            failure.status,
            failure.position,
            failure.extent,
            failure.launch,
        ];
        (0..)
            .zip(words)
            .try_for_each(|(index, word)| self.set(own, index, &word.to_ne_bytes()))
    }
}
