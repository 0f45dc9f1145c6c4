//! Plugins: libraries that bring operations, and what keeps the engine safe from what they say.
//!
//! `native` is what a backend sees: operations and kernels, wherever they come from. The rest is one way to have some:
//! `note` reads who a library is before any of its code runs, `lock` holds what a person has agreed to, `search` finds a
//! plugin by its id, `library` loads it and checks its tables, `host` is what a plugin may call, `kernel` calls its
//! operations and `device` its devices.
//! Plugins are never unloaded. What a plugin's text means is not known here.

mod device;
pub mod error;
mod host;
mod kernel;
mod library;
pub mod lock;
pub mod native;
pub mod note;
pub mod search;

pub use device::PluginDevice;
pub use error::PluginError;
pub use host::{Held, held};
pub use kernel::{PluginKernel, PluginNative};
pub use library::{Library, Speak, answers};
pub use lock::Lock;
pub use note::Note;
pub use search::{DeviceKind, Found, Plugins};
