//! Plugins from the command line's side: what their texts mean, whether they keep what they promise, how one begins.

pub mod check;
mod guard;
mod meaning;
mod probe;
pub mod signature;
pub mod skeleton;
mod trial;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use girih_runtime::plugin::Plugins;

/// The plugins that this process can use. Libraries are never unloaded, so that they are the process's.
static AT_HAND: Mutex<Option<Arc<Plugins>>> = Mutex::new(None);

/// The plugins that models of this process can name: those given with `--plugin`, then the person's own.
pub fn at_hand() -> Arc<Plugins> {
    let mut at_hand = AT_HAND.lock().unwrap_or_else(PoisonError::into_inner);
    let plugins = at_hand.get_or_insert_with(|| Arc::new(Plugins::from_env(&[])));
    Arc::clone(plugins)
}

/// Puts libraries before the person's own.
pub(crate) fn give(libraries: &[PathBuf]) {
    let plugins = Arc::new(Plugins::from_env(libraries));
    *AT_HAND.lock().unwrap_or_else(PoisonError::into_inner) = Some(plugins);
}
