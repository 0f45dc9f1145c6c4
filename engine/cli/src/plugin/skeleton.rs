//! The files of a new plugin: a template of this repository under another name, with all that it needs to build.
//!
//! What is written builds on a machine without a network: the C header, or the Rust SDK's few files, come along.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Languages to write plugins in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// A crate.
    Rust,
    /// One file for `cc`.
    C,
}

const HEADER: &str = include_str!("../../../../plugins/api/include/girih_plugin.h");

/// The SDK's sources.
const SDK: &[(&str, &str)] = &[
    ("lib.rs", include_str!("../../../../plugins/api/src/lib.rs")),
    (
        "call.rs",
        include_str!("../../../../plugins/api/src/call.rs"),
    ),
    (
        "device.rs",
        include_str!("../../../../plugins/api/src/device.rs"),
    ),
    (
        "error.rs",
        include_str!("../../../../plugins/api/src/error.rs"),
    ),
    (
        "export.rs",
        include_str!("../../../../plugins/api/src/export.rs"),
    ),
    (
        "note.rs",
        include_str!("../../../../plugins/api/src/note.rs"),
    ),
    ("op.rs", include_str!("../../../../plugins/api/src/op.rs")),
    ("raw.rs", include_str!("../../../../plugins/api/src/raw.rs")),
    (
        "raw/device.rs",
        include_str!("../../../../plugins/api/src/raw/device.rs"),
    ),
    (
        "spec.rs",
        include_str!("../../../../plugins/api/src/spec.rs"),
    ),
];

const RUST: &str = include_str!("../../../../plugins/template/src/lib.rs");
const TEXT: &str = include_str!("../../../../plugins/template/src/template.girih");
const C: &str = include_str!("../../../../plugins/template-c/template.c");

/// Writes a new plugin into the folder `name` below `parent`, and gives the commands that come next.
///
/// # Errors
///
/// The name is none, the folder exists, or a file cannot be written.
pub fn write(parent: &Path, name: &str, lang: Lang) -> Result<Vec<String>, Failure> {
    let word = name.starts_with(|c: char| c.is_ascii_lowercase())
        && (name.chars()).all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !word || name.len() > 64 {
        return Err(Failure::Misuse(format!(
            "`{name}` is no name for a plugin: use lower-case letters, digits and `_`, like `flash_kit`"
        )));
    }
    let folder = parent.join(name);
    if folder.exists() {
        return Err(Failure::Refused(format!(
            "`{}` exists; choose another name, or remove it",
            folder.display()
        )));
    }
    let files = match lang {
        Lang::Rust => rust(name),
        Lang::C => c(name),
    };
    for (path, text) in files {
        let path = folder.join(path);
        let failed = |source| Failure::Write {
            path: path.clone(),
            source,
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        std::fs::write(&path, text).map_err(failed)?;
    }
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = match lang {
        Lang::Rust => folder
            .join("target/release")
            .join(format!("{prefix}{name}{suffix}")),
        Lang::C => folder.join(format!("{prefix}{name}{suffix}")),
    };
    let build = match lang {
        Lang::Rust => format!(
            "cargo build --release --manifest-path {}",
            folder.join("Cargo.toml").display()
        ),
        Lang::C => format!(
            "cc -O2 -shared -fPIC -o {} {}",
            library.display(),
            folder.join(format!("{name}.c")).display()
        ),
    };
    Ok(vec![
        build,
        format!("girih plugin check {}", library.display()),
        format!("girih plugin add {}", library.display()),
    ])
}

fn rust(name: &str) -> Vec<(PathBuf, String)> {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\npublish = false\n\n\
         # A workspace of its own, wherever it lies.\n[workspace]\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\ngirih-plugin = {{ path = \"girih-plugin\" }}\n\n\
         [lints.rust]\nunsafe_code = \"deny\"\n"
    );
    let sdk = format!(
        "[package]\nname = \"girih-plugin\"\nversion = \"{}\"\nedition = \"2024\"\npublish = false\n\n\
         [lints.rust]\nunsafe_code = \"deny\"\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut files = vec![
        (PathBuf::from("Cargo.toml"), manifest),
        (PathBuf::from("src/lib.rs"), named(RUST, name)),
        (
            Path::new("src").join(format!("{name}.girih")),
            TEXT.to_owned(),
        ),
        (PathBuf::from("girih-plugin/Cargo.toml"), sdk),
        (
            PathBuf::from("girih-plugin/include/girih_plugin.h"),
            HEADER.to_owned(),
        ),
    ];
    for (file, text) in SDK {
        files.push((Path::new("girih-plugin/src").join(file), (*text).to_owned()));
    }
    files
}

fn c(name: &str) -> Vec<(PathBuf, String)> {
    vec![
        (PathBuf::from(format!("{name}.c")), named(C, name)),
        (PathBuf::from("girih_plugin.h"), HEADER.to_owned()),
    ]
}

/// A template under another name.
fn named(template: &str, name: &str) -> String {
    template
        .replace(
            "org.girih.template-c",
            &format!("org.example.{}", name.replace('_', "-")),
        )
        .replace(
            "org.girih.template",
            &format!("org.example.{}", name.replace('_', "-")),
        )
        .replace("https://github.com/girih/girih", "")
        .replace("libtemplate_c.so", &format!("lib{name}.so"))
        .replace("template.girih", &format!("{name}.girih"))
        .replace("template.c ", &format!("{name}.c "))
}
