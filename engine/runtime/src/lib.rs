//! Reference backend, weights, tokenizers, running.
pub mod config;
pub mod pull;
pub mod tensor;
pub mod text;
pub mod weights;
