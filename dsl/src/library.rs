//! The standard library: read once in a process, shared by every program.
//!
//! Its files are the first of every program and in the same order, so that their trees and
//! the places in them mean the same everywhere.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::diag::{Diagnostic, Sink};
use crate::program::{ItemRef, Program};

/// Name and text of each file.
const FILES: &[(&str, &str)] = &[
    ("std/math.girih", include_str!("../std/math.girih")),
    ("std/linear.girih", include_str!("../std/linear.girih")),
    ("std/norm.girih", include_str!("../std/norm.girih")),
    ("std/position.girih", include_str!("../std/position.girih")),
    (
        "std/attention.girih",
        include_str!("../std/attention.girih"),
    ),
    (
        "std/feedforward.girih",
        include_str!("../std/feedforward.girih"),
    ),
    ("std/encoder.girih", include_str!("../std/encoder.girih")),
    (
        "std/recurrent.girih",
        include_str!("../std/recurrent.girih"),
    ),
    ("std/loss.girih", include_str!("../std/loss.girih")),
];

/// The library as every program begins with it.
pub(crate) struct Library {
    /// Its files, without an entry.
    pub(crate) program: Program,
    /// What it declares; every file sees all of it.
    pub(crate) names: BTreeMap<String, ItemRef>,
    /// What is wrong with it.
    pub(crate) found: Vec<Diagnostic>,
}

/// Reads the library, the first time.
pub(crate) fn library() -> &'static Library {
    static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
        let mut sink = Sink::new();
        let mut program = Program::default();
        let mut names = BTreeMap::new();
        for (name, text) in FILES {
            let file = program.read(name, text, &mut sink);
            names.extend(program.own_names(file, &mut sink));
        }
        let found = sink.sorted().into_iter().cloned().collect();
        Library {
            program,
            names,
            found,
        }
    });
    &LIBRARY
}
