//! Reference backend, weights, tokenizers, running.
pub mod config;
pub mod tensor;
pub mod text;
pub mod weights;
