//! Reference backend, weights, tokenizers, running.
pub mod backend;
pub mod config;
pub mod device;
pub mod generate;
pub mod plugin;
pub mod pull;
pub mod reference;
pub mod run;
pub mod session;
pub mod tensor;
pub mod text;
pub mod weights;
