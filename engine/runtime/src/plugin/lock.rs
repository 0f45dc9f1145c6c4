//! The libraries that a person has agreed to run, by the hash of their bytes.
//!
//! `plugins.lock` in the person's data folder is JSON that one can read and mend. It is replaced as a whole, so that it is
//! never half-written. Nothing but `girih plugin add` writes it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::PluginError;
use super::note::Note;

/// The list, as it is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    path: PathBuf,
    agreed: BTreeMap<String, Agreed>,
}

/// One library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// SHA-256 of the file.
    pub sha256: String,
    /// From its note.
    pub version: String,
    /// From its note.
    pub capabilities: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    plugins: BTreeMap<String, Agreed>,
}

/// Version of the file.
const FORMAT: u32 = 1;

impl Lock {
    /// The list in `folder`; an empty one if there is no file.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read.
    pub fn open(folder: &Path) -> Result<Self, PluginError> {
        let path = folder.join("plugins.lock");
        let failed = |problem: String| PluginError::Lock {
            path: path.clone(),
            problem,
        };
        let agreed = match std::fs::read_to_string(&path) {
            Ok(text) => {
                let stored: Stored =
                    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
                if stored.format != FORMAT {
                    return Err(failed(format!(
                        "it has format {}, known is {FORMAT}",
                        stored.format
                    )));
                }
                stored.plugins
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed(error.to_string())),
        };
        Ok(Self { path, agreed })
    }

    /// Whether exactly this file was agreed to.
    pub fn allows(&self, note: &Note) -> bool {
        (self.agreed.get(&note.id)).is_some_and(|agreed| agreed.sha256 == note.hash)
    }

    /// What was agreed to under an id.
    pub fn agreed(&self, id: &str) -> Option<&Agreed> {
        self.agreed.get(id)
    }

    /// Agrees to a library, in place of another of its id, and writes the file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn add(&mut self, note: &Note) -> Result<(), PluginError> {
        let agreed = Agreed {
            sha256: note.hash.clone(),
            version: note.version.clone(),
            capabilities: note.capabilities.clone(),
        };
        self.agreed.insert(note.id.clone(), agreed);
        self.write().map_err(|error| PluginError::Lock {
            path: self.path.clone(),
            problem: error.to_string(),
        })
    }

    fn write(&self) -> std::io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let stored = Stored {
            format: FORMAT,
            plugins: self.agreed.clone(),
        };
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, &stored)?;
        file.write_all(b"\n")?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// Where the list is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
