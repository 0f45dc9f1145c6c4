//! Reference backend, weights, tokenizers, running.
pub mod tensor;
