//! Who a library is, from its bytes alone.
//!
//! A note is 512 bytes that begin with a magic number, anywhere in the file. It is read before the library is loaded, so
//! that another machine's, another version's or an unknown library is refused without running any of its code.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::Path;

use girih_plugin::note::TARGET;
use girih_plugin::raw;
use ring::digest::{SHA256, digest};

use super::error::PluginError;

/// The largest library that is looked at.
const LIMIT: u64 = 1 << 30;

/// What a library says about itself, and the hash of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Unique, in reverse domain order.
    pub id: String,
    /// The plugin's own.
    pub version: String,
    /// Of its code.
    pub license: String,
    /// Where to ask.
    pub url: String,
    /// Processor and system.
    pub target: String,
    /// What it offers.
    pub capabilities: Vec<String>,
    /// Of the border.
    pub major: u16,
    /// The newest of the border that it speaks.
    pub minor: u16,
    /// The oldest.
    pub oldest_minor: u16,
    /// SHA-256 of the file, in hexadecimal digits.
    pub hash: String,
}

impl Note {
    /// The note of the library at `path`, checked in itself only; see [`suits`](Self::suits).
    ///
    /// # Errors
    ///
    /// The file cannot be read, has no note, or one that says nothing.
    pub fn read(path: &Path) -> Result<Self, PluginError> {
        Self::opened(path).map(|(note, _)| note)
    }

    /// As [`read`](Self::read), with the file that it was read from, whatever the path means by now.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(super) fn opened(path: &Path) -> Result<(Self, File), PluginError> {
        let failed = |source| PluginError::Read {
            path: path.to_owned(),
            source,
        };
        let suits = |about: Metadata| {
            if about.is_file() && about.len() <= LIMIT {
                return Ok(());
            }
            let problem = format!("only files up to {} MiB are read", LIMIT >> 20);
            Err(std::io::Error::other(problem))
        };
        // Before it is opened, too: a pipe would wait for somebody to write.
        std::fs::metadata(path).and_then(suits).map_err(failed)?;
        let file = File::open(path).map_err(failed)?;
        file.metadata().and_then(suits).map_err(failed)?;
        let mut bytes = Vec::new();
        let read = (&file).take(LIMIT).read_to_end(&mut bytes);
        read.map_err(failed)?;
        match find(&bytes) {
            Ok(Some(note)) => Ok((note, file)),
            Ok(None) => Err(PluginError::NoNote {
                path: path.to_owned(),
            }),
            Err(problem) => Err(PluginError::Note {
                path: path.to_owned(),
                problem,
            }),
        }
    }

    /// Whether the library is for this machine and this version of the border.
    ///
    /// # Errors
    ///
    /// [`PluginError::Target`], [`PluginError::Version`].
    pub fn suits(&self) -> Result<(), PluginError> {
        if self.target != TARGET {
            return Err(PluginError::Target {
                id: self.id.clone(),
                built: self.target.clone(),
                here: TARGET.to_owned(),
            });
        }
        let newer =
            self.major > raw::MAJOR || (self.major == raw::MAJOR && self.oldest_minor > raw::MINOR);
        if self.major != raw::MAJOR || newer {
            return Err(PluginError::Version {
                id: self.id.clone(),
                speaks: self.speaks(),
                host: format!("{}.{}", raw::MAJOR, raw::MINOR),
                remedy: if newer {
                    "get a newer Girih, or an older build of the plugin"
                } else {
                    "get a newer build of the plugin"
                },
            });
        }
        Ok(())
    }

    /// `0.1`, or `0.1 to 0.3`.
    pub fn speaks(&self) -> String {
        let newest = format!("{}.{}", self.major, self.minor);
        if self.oldest_minor == self.minor {
            newest
        } else {
            format!("{}.{} to {newest}", self.major, self.oldest_minor)
        }
    }
}

/// The note in a file's bytes, if there is one.
fn find(bytes: &[u8]) -> Result<Option<Note>, String> {
    let magic = raw::Note::magic();
    let mut found: Option<Note> = None;
    let mut rest = bytes;
    while let Some(at) = rest.windows(magic.len()).position(|part| part == magic) {
        let from_here = &rest[at..];
        let Some(note) = from_here.get(..raw::NOTE_SIZE as usize) else {
            return Err("the file ends inside it".to_owned());
        };
        let note = parse(note, bytes)?;
        // A linker may keep two copies of one note.
        if found.as_ref().is_some_and(|other| *other != note) {
            return Err("the file holds two that differ".to_owned());
        }
        found = Some(note);
        rest = &from_here[magic.len()..];
    }
    Ok(found)
}

fn parse(note: &[u8], file: &[u8]) -> Result<Note, String> {
    let mut at = 16;
    let mut take = |length: usize| {
        let part = note.get(at..at + length).unwrap_or_default();
        at += length;
        part
    };
    let size = number(take(4));
    if size != u64::from(raw::NOTE_SIZE) {
        return Err(format!("its size is {size} and not {}", raw::NOTE_SIZE));
    }
    let (major, minor, oldest_minor) = (number(take(2)), number(take(2)), number(take(2)));
    take(6);
    let id = text("id", take(96))?;
    let version = text("version", take(32))?;
    let license = text("license", take(32))?;
    let url = text("url", take(128))?;
    let target = text("target", take(48))?;
    let capabilities = text("capabilities", take(144))?;
    let well_formed = id.split('.').count() >= 2
        && (id.split('.')).all(|part| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && (part.chars())
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
        });
    if !well_formed {
        return Err(format!(
            "its id `{id}` is no lower-case reverse domain like `org.example.name`"
        ));
    }
    if !version.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("its version `{version}` begins with no number"));
    }
    if oldest_minor > minor {
        return Err(format!("it speaks minors {oldest_minor} to {minor}"));
    }
    let hash = digest(&SHA256, file);
    Ok(Note {
        id,
        version,
        license,
        url,
        target,
        capabilities: capabilities.split_whitespace().map(str::to_owned).collect(),
        // Each came from two bytes.
        major: major as u16,
        minor: minor as u16,
        oldest_minor: oldest_minor as u16,
        hash: digits(hash.as_ref()),
    })
}

/// Hexadecimal digits.
fn digits(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    (bytes.iter())
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn number(bytes: &[u8]) -> u64 {
    // The note's numbers have the byte order of the target; another target is refused by its name, later.
    (bytes.iter().rev()).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// A text that ends with zeros and holds nothing a terminal would act on.
fn text(what: &str, bytes: &[u8]) -> Result<String, String> {
    let end = (bytes.iter().position(|&byte| byte == 0))
        .ok_or_else(|| format!("its {what} does not end"))?;
    let text =
        std::str::from_utf8(&bytes[..end]).map_err(|_| format!("its {what} is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(format!("its {what} holds control characters"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A note's bytes, as a compiler lays them out.
    fn bytes(id: &str) -> Vec<u8> {
        let mut bytes = raw::Note::magic().to_vec();
        bytes.extend(512u32.to_le_bytes());
        for part in [0u16, 1, 0, 0, 0, 0] {
            bytes.extend(part.to_le_bytes());
        }
        for (text, size) in [
            (id, 96),
            ("1.2.3", 32),
            ("MIT", 32),
            ("", 128),
            (TARGET, 48),
        ] {
            bytes.extend(text.bytes().chain(std::iter::repeat(0)).take(size));
        }
        bytes.extend(
            b"girih.op/1 girih.draft.x/1"
                .iter()
                .copied()
                .chain(std::iter::repeat(0))
                .take(144),
        );
        bytes
    }

    #[test]
    fn a_note_is_found_wherever_it_lies() {
        let file = [vec![7; 1001], bytes("org.example.a"), vec![9; 50]].concat();
        let note = find(&file).unwrap().unwrap();
        assert_eq!(
            (
                note.id.as_str(),
                note.version.as_str(),
                note.speaks().as_str()
            ),
            ("org.example.a", "1.2.3", "0.0 to 0.1")
        );
        assert_eq!(note.capabilities, ["girih.op/1", "girih.draft.x/1"]);
        assert_eq!(note.hash.len(), 64);
        note.suits().unwrap();
        assert_eq!(find(&file[..900]), Ok(None));
    }

    #[test]
    fn broken_notes_are_named() {
        let check = |change: &dyn Fn(&mut Vec<u8>), said: &str| {
            let mut note = bytes("org.example.a");
            change(&mut note);
            let error = find(&note).unwrap_err();
            assert!(error.contains(said), "{error}");
        };
        check(&|note| note.truncate(300), "ends inside");
        check(&|note| note[16] = 1, "its size is");
        check(&|note| note[32] = b'X', "no lower-case reverse domain");
        check(&|note| note[34] = 0x1b, "control characters");
        check(&|note| note[34] = 0xff, "not UTF-8");
        check(&|note| note[128..160].fill(b'1'), "version does not end");
        check(&|note| note[24] = 9, "speaks minors 9 to 1");
        check(
            &|note| note.extend(bytes("org.example.b")),
            "two that differ",
        );
    }

    #[test]
    fn other_machines_and_versions_are_refused_without_loading() {
        let mut note = find(&bytes("org.example.a")).unwrap().unwrap();
        note.major = 7;
        assert!(
            note.suits()
                .unwrap_err()
                .to_string()
                .contains("get a newer Girih")
        );
        note.target = "vax-vms".to_owned();
        assert!(
            note.suits()
                .unwrap_err()
                .to_string()
                .contains("built for vax-vms")
        );
    }
}
