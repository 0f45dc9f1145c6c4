//! Compiled CPU backend: kernels of a plan to machine code.
