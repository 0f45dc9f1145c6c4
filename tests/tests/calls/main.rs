//! Operations of plugins, with kernels that lie in this process: what a native kernel computes is
//! what its body says, on every backend, along lifted axes, in gradients and in streams.

mod graphs;
mod language;
mod natives;
mod random;
mod run;
