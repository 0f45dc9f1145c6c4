//! Model files on disk.
//!
//! Other people's model files are safe to check: `use` takes relative paths to regular
//! files of bounded size only. What a file means is not decided here.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use girih_dsl::program::Loader;

use crate::plugin::at_hand;

/// The most bytes a model file may have; the parser's own limit.
const LIMIT: u64 = 16 << 20;

/// Reads the files that `use` names, relative to the file that names them.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskLoader;

impl Loader for DiskLoader {
    fn load(&self, from: &str, path: &str) -> Result<(String, String), String> {
        let wanted = Path::new(path);
        if wanted.is_absolute() || path.contains('\\') {
            return Err("write the path relative to this file, with `/`".to_owned());
        }
        let folder = Path::new(from).parent().unwrap_or(Path::new(""));
        let file = plain(&folder.join(wanted));
        if !file.is_file() {
            return Err(format!("there is no file `{}`", file.display()));
        }
        let text = read_text(&file)?;
        Ok((file.display().to_string(), text))
    }

    /// The text of a plugin that is at hand; its library is loaded by this.
    fn plugin(&self, id: &str) -> Result<String, String> {
        let library = at_hand().load(id).map_err(|refused| refused.to_string())?;
        Ok(library.source().to_owned())
    }
}

/// The text of a model file.
///
/// # Errors
///
/// In words for the user: what the system said, too long, no UTF-8.
pub fn read_text(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| reason(&error))?;
    let mut bytes = Vec::new();
    (file.take(LIMIT + 1).read_to_end(&mut bytes)).map_err(|error| reason(&error))?;
    if bytes.len() as u64 > LIMIT {
        return Err(format!("it is longer than {} MiB", LIMIT >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        format!("it is not UTF-8 text (byte {place})")
    })
}

/// What the system said, without its number.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// The path without `.` and, where a name stands before it, `..`: one name for one file.
fn plain(path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_name() {
        let check = |path: &str, name: &str| assert_eq!(plain(Path::new(path)), Path::new(name));
        check("a/./b.girih", "a/b.girih");
        check("a/../b.girih", "b.girih");
        check("./b.girih", "b.girih");
        check("../../b.girih", "../../b.girih");
        check("/a/../b.girih", "/b.girih");
    }

    #[test]
    fn files_that_cannot_be_used_are_refused() {
        for (path, reason) in [
            ("/etc/hosts", "relative to this file"),
            ("a\\b.girih", "relative to this file"),
            ("missing.girih", "there is no file `models/missing.girih`"),
            ("..", "there is no file"),
            ("", "there is no file"),
        ] {
            let error = DiskLoader.load("models/entry.girih", path).unwrap_err();
            assert!(error.contains(reason), "{path}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_no_text_says_where() {
        let path = std::env::temp_dir().join(format!("girih-loader-{}", std::process::id()));
        std::fs::write(&path, b"ab\xffc").unwrap();
        let error = read_text(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(error, "it is not UTF-8 text (byte 2)");
        assert_eq!(read_text(&path).unwrap_err(), "there is no such file");
    }
}
