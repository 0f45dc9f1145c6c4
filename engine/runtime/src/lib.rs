//! Reference backend, weights, tokenizers, running.
