//! Whether a plugin speaks the versions it claims, and whether its library, table and text agree.

use std::collections::BTreeSet;
use std::path::Path;

use girih_plugin::raw;
use girih_runtime::plugin::{Library, Note, Speak, answers};

use super::{Subject, Verdict};
use crate::plugin::meaning::text_of;
use crate::plugin::signature::Function;

/// The note, without running any code.
pub(super) fn metadata(path: &Path, _seed: u64) -> Verdict {
    let note = Note::read(path).map_err(text_of)?;
    note.suits().map_err(text_of)?;
    let known = [raw::OPS, raw::DEVICES].map(|own| own.to_string_lossy());
    if !known.iter().any(|own| lists(&note, own)) {
        return Err(format!(
            "the note lists neither the capability `{}`",
            known.join("` nor `")
        ));
    }
    if note.license.is_empty() {
        return Err("the note names no license".to_owned());
    }
    Ok(None)
}

/// Hosts of older and newer versions, as this one can play them.
pub(super) fn versions(path: &Path, _seed: u64) -> Verdict {
    let note = Note::read(path).map_err(text_of)?;
    for minor in note.oldest_minor..=raw::MINOR.max(note.minor) + 3 {
        let asked = Speak {
            major: raw::MAJOR,
            minor,
        };
        let wanted = minor.min(note.minor);
        let told = answers(path, asked).map_err(text_of)?;
        if told
            != Some(Speak {
                minor: wanted,
                ..asked
            })
        {
            return Err(match told {
                Some(told) => format!(
                    "a host of version {}.{minor} gets tables of {}.{} and not of {}.{wanted}",
                    raw::MAJOR,
                    told.major,
                    told.minor,
                    raw::MAJOR
                ),
                None => format!("a host of version {}.{minor} gets nothing", raw::MAJOR),
            });
        }
    }
    for minor in note.oldest_minor..=raw::MINOR {
        let asked = Speak {
            major: raw::MAJOR,
            minor,
        };
        Library::open_as(path, asked).map_err(text_of)?;
    }
    let other = Speak {
        major: raw::MAJOR + 1,
        minor: 0,
    };
    if answers(path, other).map_err(text_of)?.is_some() {
        return Err(format!(
            "a host of the major version {} gets tables",
            other.major
        ));
    }
    Ok(None)
}

/// Whether a note has a capability.
fn lists(note: &Note, capability: &str) -> bool {
    note.capabilities.iter().any(|own| own == capability)
}

/// Kernels and native functions, one for one; and that the note lists what there is.
pub(super) fn text(subject: &Subject) -> Verdict {
    let offers = [
        (raw::OPS, subject.library.operations().next().is_some()),
        (raw::DEVICES, subject.library.devices().next().is_some()),
    ];
    for (capability, has) in offers {
        let capability = capability.to_string_lossy();
        if has && !lists(subject.library.note(), &capability) {
            return Err(format!(
                "the library offers `{capability}`, and its note does not list it"
            ));
        }
    }
    let functions = &subject.declared.functions;
    let marked: BTreeSet<String> = (functions.iter())
        .filter(|function| function.version.is_some())
        .map(Function::operation)
        .collect();
    let kernels: BTreeSet<String> = subject.library.operations().map(str::to_owned).collect();
    if let Some(name) = kernels.difference(&marked).next() {
        return Err(format!(
            "there is a kernel `{name}` and no `@native fn {name}` in the text"
        ));
    }
    if let Some(name) = marked.difference(&kernels).next() {
        return Err(format!("`@native fn {name}` has no kernel in the library"));
    }
    for function in functions {
        if let Some(gradient) = &function.gradient
            && !functions.iter().any(|other| other.name == *gradient)
        {
            return Err(format!(
                "`@gradient({gradient})` of `{}` names no function with types",
                function.name
            ));
        }
    }
    let operations = subject.operations()?;
    Ok(operations
        .is_empty()
        .then(|| "it has no operations".to_owned()))
}
