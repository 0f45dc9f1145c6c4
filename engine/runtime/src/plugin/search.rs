//! Which plugins there are, and the one of an id.
//!
//! Looked at, in this order: files that the command line names, the folders of `GIRIH_PLUGIN_PATH`, the folder `plugins`
//! in the person's data (`GIRIH_DATA`, or the system's place). Never the current folder and never a model's: a model names
//! a plugin and cannot bring one. Wherever a library lies, it is loaded only if a person agreed to its bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use girih_plugin::raw;

use super::error::PluginError;
use super::kernel::PluginNative;
use super::library::Library;
use super::lock::Lock;
use super::native::{Native, Natives};
use super::note::Note;

/// The plugins that can be had, loaded when they are asked for.
#[derive(Debug)]
pub struct Plugins {
    /// Places by their rank: the first that has an id is taken.
    places: Vec<Vec<PathBuf>>,
    data: Option<PathBuf>,
    loaded: Mutex<BTreeMap<String, Arc<Library>>>,
}

/// A library that lies in one of the places.
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Who it is, or what is wrong with it.
    pub note: Result<Note, PluginError>,
    /// Why it cannot be used, if its note can be read.
    pub refused: Option<PluginError>,
}

/// A kind of device that a plugin offers.
#[derive(Clone, Debug)]
pub struct DeviceKind {
    /// As written after `--backend`.
    pub name: String,
    /// Whose it is.
    pub library: Arc<Library>,
    /// How well this machine serves, or why it cannot.
    pub score: Result<f64, String>,
}

/// The person's folder: `GIRIH_DATA`, or the system's.
///
/// # Errors
///
/// The system has none.
pub fn data_folder() -> Result<PathBuf, PluginError> {
    match env::var_os("GIRIH_DATA").filter(|folder| !folder.is_empty()) {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => Ok(dirs::data_dir().ok_or(PluginError::NoFolder)?.join("girih")),
    }
}

impl Plugins {
    /// The person's own, and `given` files before them.
    pub fn from_env(given: &[PathBuf]) -> Self {
        let listed = env::var_os("GIRIH_PLUGIN_PATH").unwrap_or_default();
        // An empty or relative entry would be the current folder.
        let folders: Vec<PathBuf> = env::split_paths(&listed)
            .filter(|path| path.is_absolute())
            .collect();
        Self::new(given, &folders, data_folder().ok())
    }

    /// `given` files, then the libraries in `folders`, then those in `data`.
    pub fn new(given: &[PathBuf], folders: &[PathBuf], data: Option<PathBuf>) -> Self {
        let own = data.as_ref().map(|data| data.join("plugins"));
        Self {
            places: vec![
                given.to_vec(),
                folders
                    .iter()
                    .flat_map(|folder| libraries(folder))
                    .collect(),
                own.iter().flat_map(|folder| libraries(folder)).collect(),
            ],
            data,
            loaded: Mutex::default(),
        }
    }

    /// Every library in every place.
    ///
    /// # Errors
    ///
    /// The list of agreed files cannot be read.
    pub fn found(&self) -> Result<Vec<Found>, PluginError> {
        let lock = self.lock()?;
        let look = |path: &PathBuf| {
            let note = Note::read(path);
            let refused = (note.as_ref().ok()).and_then(|note| Self::refusal(note, path, &lock));
            Found {
                path: path.clone(),
                note,
                refused,
            }
        };
        Ok(self.places.iter().flatten().map(look).collect())
    }

    /// The devices of all plugins that somebody agreed to, and which plugins that say they have some cannot be used. Loads
    /// the libraries whose notes say that they offer devices, and no others.
    ///
    /// # Errors
    ///
    /// The list of agreed files cannot be read.
    pub fn devices(&self) -> Result<(Vec<DeviceKind>, Vec<PluginError>), PluginError> {
        let (mut kinds, mut refused) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for found in self.found()? {
            let Ok(note) = found.note else { continue };
            let offers = |own: &String| own.as_bytes() == raw::DEVICES.to_bytes();
            if !note.capabilities.iter().any(offers) || !seen.insert(note.id.clone()) {
                continue;
            }
            match self.load(&note.id) {
                Ok(library) => {
                    for name in library.devices() {
                        let score = library.score(name);
                        kinds.extend(score.map(|score| DeviceKind {
                            name: name.to_owned(),
                            library: Arc::clone(&library),
                            score: score.map_err(|error| error.message),
                        }));
                    }
                }
                Err(error) => refused.push(error),
            }
        }
        Ok((kinds, refused))
    }

    fn refusal(note: &Note, path: &Path, lock: &Lock) -> Option<PluginError> {
        note.suits().err().or_else(|| {
            (!lock.allows(note)).then(|| PluginError::NotAgreed {
                id: note.id.clone(),
                path: path.to_owned(),
                lock: lock.path().to_owned(),
            })
        })
    }

    fn lock(&self) -> Result<Lock, PluginError> {
        Lock::open(self.data.as_deref().ok_or(PluginError::NoFolder)?)
    }

    /// The plugin of an id, loaded now if it was not.
    ///
    /// # Errors
    ///
    /// There is none, nobody agreed to it, or it is broken.
    pub fn load(&self, id: &str) -> Result<Arc<Library>, PluginError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = loaded.get(id) {
            return Ok(Arc::clone(library));
        }
        let (path, _) = self.locate(id)?;
        let lock = self.lock()?;
        let library = Library::open_if(&path, &|note| {
            Self::refusal(note, &path, &lock).map_or(Ok(()), Err)
        })?;
        loaded.insert(id.to_owned(), Arc::clone(&library));
        Ok(library)
    }

    fn locate(&self, id: &str) -> Result<(PathBuf, Note), PluginError> {
        for place in &self.places {
            let mut found: Option<(PathBuf, Note)> = None;
            for path in place {
                let Ok(note) = Note::read(path) else {
                    continue;
                };
                if note.id != id {
                    continue;
                }
                match &found {
                    Some((first, other)) if other.hash != note.hash => {
                        return Err(PluginError::Twice {
                            id: id.to_owned(),
                            first: first.clone(),
                            second: path.clone(),
                        });
                    }
                    Some(_) => {}
                    None => found = Some((path.clone(), note)),
                }
            }
            if let Some(found) = found {
                return Ok(found);
            }
        }
        // A named file that cannot be read is likely the one that is meant.
        for path in &self.places[0] {
            Note::read(path)?;
        }
        let searched = match &self.data {
            Some(data) => format!(
                "`GIRIH_PLUGIN_PATH` or `{}`",
                data.join("plugins").display()
            ),
            None => "`GIRIH_PLUGIN_PATH`".to_owned(),
        };
        Err(PluginError::Missing {
            id: id.to_owned(),
            searched,
        })
    }
}

impl Natives for Plugins {
    /// Operations of plugins that were loaded: whoever compiled the call has asked for their text.
    fn native(&self, callee: &str) -> Option<Arc<dyn Native>> {
        let (id, operation) = callee.split_once('/')?;
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::new(PluginNative::new(loaded.get(id)?, operation)?))
    }
}

/// Files of a folder whose name is one of a library, sorted.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending == env::consts::DLL_EXTENSION)
        })
        .collect();
    found.sort();
    found
}
