//! Precompiled CPU routines, chosen at run time by CPU level, and the thread pool.
//!
//! What generated code cannot do well by itself is here: blocks of expensive elementwise functions and
//! reductions (`table`), matrix products (`gemm`), and the threads that share the work (`pool`). Everything is
//! compiled once per CPU [`Level`] and picked when the program runs. Knows nothing about graphs, plans or tensors:
//! its values are pointers, strides and counts.

#![expect(
    clippy::inline_always,
    reason = "a routine takes the CPU features of the level it is compiled for from its caller, so it has to be inlined there"
)]

pub mod attention;
pub mod bf16;
mod block;
mod denormal;
pub mod gemm;
#[cfg(test)]
mod guarded;
mod lanes;
pub mod level;
mod pages;
pub mod pool;
pub mod quant;
pub mod table;
mod tiles;

pub use lanes::fetch;
pub use level::{Level, LevelError};
pub use pages::LARGE_PAGE;
pub use pool::Pool;
pub use table::{Routines, routines};
