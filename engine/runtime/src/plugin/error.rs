//! Why a plugin is not there, in words for the person who wants it.

use std::io;
use std::path::PathBuf;

/// Why a plugin cannot be used. Every text ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The library cannot be read.
    #[error("cannot read the plugin `{}`: {source}", path.display())]
    Read {
        /// The library.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has no note.
    #[error(
        "`{}` is no Girih plugin: it holds no note; build it with `GIRIH_NOTE` (C) or `girih_plugin::export!` (Rust)",
        path.display()
    )]
    NoNote {
        /// The file.
        path: PathBuf,
    },
    /// The note says what cannot be.
    #[error("the note of the plugin `{}` is broken: {problem}; ask its author for another build", path.display())]
    Note {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Built for another machine.
    #[error("the plugin `{id}` is built for {built}, and this is {here}; get its build for {here}")]
    Target {
        /// The plugin.
        id: String,
        /// From its note.
        built: String,
        /// Processor and system of this program.
        here: String,
    },
    /// Built against another version of the border.
    #[error(
        "the plugin `{id}` speaks version {speaks} of the plugin border, and this program speaks {host}; {remedy}"
    )]
    Version {
        /// The plugin.
        id: String,
        /// Its versions.
        speaks: String,
        /// Ours.
        host: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Nobody has agreed to it.
    #[error(
        "the plugin `{id}` in `{}` is not in `{}`: nobody has agreed to run this file; look at it and run `girih plugin add {}`",
        path.display(),
        lock.display(),
        path.display()
    )]
    NotAgreed {
        /// The plugin.
        id: String,
        /// The library.
        path: PathBuf,
        /// The list of agreed files.
        lock: PathBuf,
    },
    /// The system does not load it.
    #[error(
        "the system does not load the plugin `{id}`: {reason}; install what it needs, or build it again here"
    )]
    Load {
        /// The plugin.
        id: String,
        /// What the system said.
        reason: String,
    },
    /// The one function is missing.
    #[error(
        "the plugin `{id}` does not export `girih_plugin_query`; mark the function `GIRIH_EXPORT`"
    )]
    NoQuery {
        /// The plugin.
        id: String,
    },
    /// A table is not as the border says.
    #[error(
        "the plugin `{id}` breaks the border: {problem}; run `girih plugin check` and tell its author"
    )]
    Broken {
        /// The plugin.
        id: String,
        /// What is wrong, and where.
        problem: String,
    },
    /// It wants what this host has not.
    #[error(
        "the plugin `{id}` needs `{capability}`, which this program does not offer; get a newer Girih"
    )]
    Needs {
        /// The plugin.
        id: String,
        /// What it needs.
        capability: String,
    },
    /// It does not start.
    #[error("the plugin `{id}` does not start: {message}; its author's page is `{url}`")]
    Init {
        /// The plugin.
        id: String,
        /// What it said.
        message: String,
        /// From its note.
        url: String,
    },
    /// There is none of this id.
    #[error(
        "there is no plugin `{id}` in {searched}; give its library with `--plugin PATH` or `girih plugin add PATH`"
    )]
    Missing {
        /// What a model names.
        id: String,
        /// Where was looked.
        searched: String,
    },
    /// Two libraries of one id.
    #[error(
        "two libraries call themselves `{id}`: `{}` and `{}`; leave one out",
        first.display(),
        second.display()
    )]
    Twice {
        /// The id.
        id: String,
        /// One.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// The list of agreed files cannot be used.
    #[error("`{}` cannot be used: {problem}; mend it, or remove it and add your plugins again", path.display())]
    Lock {
        /// The list.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is no place for a person's data.
    #[error("this system names no folder for your data; set `GIRIH_DATA` to one")]
    NoFolder,
}
