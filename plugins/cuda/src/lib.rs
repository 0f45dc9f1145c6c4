//! A device plugin for NVIDIA GPUs: `girih run --backend cuda`.
//!
//! Four parts: [`source`] writes CUDA C for the launches of a region, [`driver`] compiles and runs
//! it – on a device, or emulated on the processor –, and multiplies matrices, [`region`] keeps what was made for regions and
//! their sizes, and [`device`] is what the host is offered.
//!
//! With `GIRIH_CUDA=emulate` no device is needed: the same source is compiled by the system's C++
//! compiler. That is slow and meant for tests.

pub mod device;
pub mod driver;
pub mod region;
pub mod run;
pub mod source;
