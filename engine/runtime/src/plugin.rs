//! Operations that are not compiled from a model: what plugins bring.

pub mod native;
