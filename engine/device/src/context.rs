//! What all executables of one device share: regions that are compiled, by their texts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use girih_cpu::Cpu;
use girih_graph::DType;
use girih_runtime::device::{Code, Device, DeviceError};
use girih_runtime::plugin::native::NativeCode;

use crate::own::{Own, OwnCode};

/// A region's code, or why the device has none.
pub(crate) type Answer = Result<Arc<Code>, String>;

/// Regions of the host's own, by dtype; none where the device refuses.
type OwnCodes = BTreeMap<(Own, DType), Option<Arc<OwnCode>>>;

/// A device with what it was asked.
pub(crate) struct Context {
    /// As written after `--backend`.
    pub(crate) name: String,
    pub(crate) device: Arc<dyn Device>,
    /// Computes what the device refuses.
    pub(crate) cpu: Cpu,
    regions: Mutex<BTreeMap<String, Answer>>,
    pub(crate) own: Mutex<OwnCodes>,
}

impl Context {
    pub(crate) fn new(name: &str, device: Arc<dyn Device>, cpu: Cpu) -> Self {
        Self {
            name: name.to_owned(),
            device,
            cpu,
            regions: Mutex::default(),
            own: Mutex::default(),
        }
    }

    /// The code of a region; equal texts are asked for once.
    ///
    /// # Errors
    ///
    /// The device fails.
    pub(crate) fn region(&self, text: &str) -> Result<Answer, DeviceError> {
        if let Some(known) = lock(&self.regions).get(text) {
            return Ok(known.clone());
        }
        let answer = match self.device.compile(text) {
            Ok(code) => Ok(Arc::new(code)),
            Err(error) if error.code == NativeCode::Unsupported => Err(error.message),
            Err(error) => return Err(error),
        };
        lock(&self.regions).insert(text.to_owned(), answer.clone());
        Ok(answer)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept under these locks is valid after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
