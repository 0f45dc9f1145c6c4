//! Checkpoints in the cache: there whole, or not there.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::PullError;

/// A temporary folder in the cache, removed unless it is published.
pub(super) fn stage(cache: &Path) -> Result<TempDir, PullError> {
    fs::create_dir_all(cache).map_err(|source| kept(cache, source))?;
    tempfile::Builder::new()
        .prefix(".pull-")
        .tempdir_in(cache)
        .map_err(|source| kept(cache, source))
}

/// Makes a folder of a stage a checkpoint of the cache.
///
/// If another process was faster, its checkpoint stays.
pub(super) fn publish(folder: &Path, target: &Path) -> Result<(), PullError> {
    match fs::rename(folder, target) {
        Err(source) if !target.is_dir() => Err(kept(target, source)),
        _ => Ok(()),
    }
}

/// A folder in a stage, with those above it.
pub(super) fn make_folder(folder: &Path) -> Result<(), PullError> {
    fs::create_dir_all(folder).map_err(|source| kept(folder, source))
}

/// The path of a file within a folder, if its name stays within it.
pub(super) fn within(folder: &Path, name: &str) -> Option<PathBuf> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
    name.split('/').all(plain).then(|| folder.join(name))
}

/// Attaches a path to what the system said.
pub(super) fn kept(path: &Path, source: std::io::Error) -> PullError {
    PullError::Cache {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_their_folder() {
        let check = |name: &str, inside: bool| {
            assert_eq!(within(Path::new("cache"), name).is_some(), inside, "{name}");
        };
        check("config.json", true);
        check("1_Pooling/config.json", true);
        check("..config", true);
        for outside in [
            "",
            "/etc",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "C:x",
            "a\\..\\b",
            ".",
        ] {
            check(outside, false);
        }
    }
}
