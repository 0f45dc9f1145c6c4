//! Compiled CPU backend: kernels of a plan to machine code.

mod array;
mod backend;
mod bind;
mod block;
pub mod codegen;
mod executable;
mod fallback;
mod fence;
mod frame;
mod growing;
mod launch;
mod memory;
mod pack;
mod parameter;
mod routine;
mod rows;
mod schedule;
mod tables;
mod view;
mod walk;
mod weights;

pub use backend::{Compute, Cpu, CpuOptions};
pub use girih_kernels::Level;
pub use girih_kernels::level::{available as levels, requested as requested_level};
