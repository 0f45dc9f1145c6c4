//! Girih: sequence models from one file, checked, compiled and run.
//!
//! This package sees every other one and joins them: [`source`] reads model files from
//! disk, [`command`] is the `girih` command, one file for each sub-command.

pub mod backend;
pub mod bench;
pub mod checkpoint;
pub mod command;
pub mod contract;
pub mod failure;
pub mod json;
pub mod known;
pub mod legend;
pub mod loader;
pub mod planned;
pub mod plugin;
pub mod procedure;
mod progress;
pub mod promise;
pub mod session;
pub mod setting;
pub mod source;
pub mod speaker;
mod stored;
pub mod streaming;
pub mod svg;
pub mod tolerance;
pub mod verify;
