//! Compiled CPU backend: kernels of a plan to machine code.

mod alone;
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
pub mod items;
pub mod kept;
mod launch;
pub mod loops;
pub mod memory;
pub mod numbers;
mod pack;
mod parameter;
mod routine;
mod rows;
pub mod schedule;
pub mod stretch;
mod tables;
pub mod view;
pub mod walk;
mod weights;

pub use alone::{Alone, Piece};
pub use backend::{Compute, Cpu, CpuOptions};
pub use girih_kernels::Level;
pub use girih_kernels::level::{available as levels, requested as requested_level};
pub use routine::random::first_word;
