//! The note: who a plugin is, readable in the file before any of its code runs.

use std::ffi::CStr;

use crate::raw::{MAGIC_PARTS, MAJOR, MINOR, NOTE_SIZE, Note};

/// Processor and system that this was built for, as `x86_64-linux`.
pub const TARGET: &str = {
    const ARCH: &str = std::env::consts::ARCH;
    const OS: &str = std::env::consts::OS;
    const LENGTH: usize = ARCH.len() + 1 + OS.len();
    const BYTES: [u8; LENGTH] = {
        let mut bytes = [b'-'; LENGTH];
        copy(&mut bytes, 0, ARCH.as_bytes());
        copy(&mut bytes, ARCH.len() + 1, OS.as_bytes());
        bytes
    };
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => panic!("names of targets are text"),
    }
};

impl Note {
    /// The first bytes of every note. Made of parts, so that only notes hold them in one piece.
    pub fn magic() -> [u8; 16] {
        let mut magic = [0; 16];
        copy(&mut magic, 0, MAGIC_PARTS[0]);
        copy(&mut magic, MAGIC_PARTS[0].len(), MAGIC_PARTS[1]);
        magic
    }

    /// The note of a plugin. A text that does not fit, or holds a zero, does not compile.
    pub const fn new(
        id: &str,
        version: &str,
        license: &str,
        url: &str,
        capabilities: &CStr,
    ) -> Self {
        let mut magic = [0; 16];
        copy(&mut magic, 0, MAGIC_PARTS[0]);
        copy(&mut magic, MAGIC_PARTS[0].len(), MAGIC_PARTS[1]);
        Self {
            magic,
            size: NOTE_SIZE,
            major: MAJOR,
            minor: MINOR,
            oldest_minor: 0,
            unused: 0,
            reserved: 0,
            id: padded(id.as_bytes()),
            version: padded(version.as_bytes()),
            license: padded(license.as_bytes()),
            url: padded(url.as_bytes()),
            target: padded(TARGET.as_bytes()),
            capabilities: padded(capabilities.to_bytes()),
        }
    }
}

/// `text`, then zeros; at least one.
const fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
    assert!(text.len() < N, "a text of the plugin's note is too long");
    let mut bytes = [0; N];
    copy(&mut bytes, 0, text);
    bytes
}

const fn copy(into: &mut [u8], start: usize, from: &[u8]) {
    let mut at = 0;
    while at < from.len() {
        into[start + at] = from[at];
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_it_was_built_for() {
        let note = Note::new("org.example.a", "1.2.3", "MIT", "", c"girih.op/1");
        assert_eq!(note.magic, Note::magic());
        assert_eq!(&note.id[..14], b"org.example.a\0");
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        assert_eq!(TARGET, target);
        assert_eq!(&note.target[..target.len()], target.as_bytes());
    }
}
