//! Gradients against central differences, in double precision, on the reference backend.

mod check;
mod composed;
mod interface;
mod primitives;
mod random;
mod recurrence;
mod route;
mod subgradients;
