//! Products, attention, loops and routines, generated and emulated, against plain loops over `f64`.

#![expect(unsafe_code, reason = "launches are run on raw memory")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

#[path = "launches/attention.rs"]
mod attention;
#[path = "launches/contract.rs"]
mod contract;
#[path = "launches/host.rs"]
mod host;
#[path = "launches/recurrence.rs"]
mod recurrence;
#[path = "launches/routine.rs"]
mod routine;
