//! Reads the values of a GGUF file one after another.
//!
//! Never reads past the end, and holds no more than the file fills: lists
//! grow element by element.

use std::path::Path;

use super::super::WeightError;
use crate::config::ConfigValue;

/// Lists in lists that are followed.
const MAX_DEPTH: usize = 4;

/// A position in a file.
pub(super) struct Reader<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    position: usize,
    /// Lengths have 32 bits in version 1, 64 since.
    wide: bool,
}

/// How much a file announces.
pub(super) struct Counts {
    pub(super) tensors: u64,
    pub(super) metadata: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, bytes: &'a [u8]) -> Self {
        Self {
            file,
            bytes,
            position: 0,
            wide: true,
        }
    }

    pub(super) fn file(&self) -> &'a Path {
        self.file
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Magic, version and counts.
    pub(super) fn preamble(&mut self) -> Result<Counts, WeightError> {
        let magic = self.take::<4>("magic")?;
        if &magic != b"GGUF" {
            return Err(self.no_gguf("the beginning", magic.escape_ascii().to_string()));
        }
        let version = self.u32("version")?;
        if !(1..=3).contains(&version) {
            return Err(self.no_gguf("the version", version.to_string()));
        }
        self.wide = version > 1;
        let tensors = self.length("tensor count")?;
        let metadata = self.length("metadata count")?;
        Ok(Counts { tensors, metadata })
    }

    pub(super) fn u32(&mut self, part: &'static str) -> Result<u32, WeightError> {
        self.take(part).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, part: &'static str) -> Result<u64, WeightError> {
        self.take(part).map(u64::from_le_bytes)
    }

    /// A length or a count, as wide as the version has them.
    pub(super) fn length(&mut self, part: &'static str) -> Result<u64, WeightError> {
        if self.wide {
            self.u64(part)
        } else {
            self.u32(part).map(u64::from)
        }
    }

    /// UTF-8 text after its length.
    pub(super) fn text(&mut self, part: &'static str) -> Result<String, WeightError> {
        let bytes = self.counted(part)?;
        let not_utf8 = |_| WeightError::NotUtf8 {
            file: self.file.to_owned(),
            part,
        };
        String::from_utf8(bytes.to_vec()).map_err(not_utf8)
    }

    /// The type and the value of a metadata field.
    pub(super) fn value(&mut self, key: &str) -> Result<ConfigValue, WeightError> {
        let kind = self.u32("metadata type")?;
        self.value_of(key, kind, 0)
    }

    fn value_of(&mut self, key: &str, kind: u32, depth: usize) -> Result<ConfigValue, WeightError> {
        let part = "metadata value";
        Ok(match kind {
            0 => ConfigValue::Int(self.take(part).map(u8::from_le_bytes)?.into()),
            1 => ConfigValue::Int(self.take(part).map(i8::from_le_bytes)?.into()),
            2 => ConfigValue::Int(self.take(part).map(u16::from_le_bytes)?.into()),
            3 => ConfigValue::Int(self.take(part).map(i16::from_le_bytes)?.into()),
            4 => ConfigValue::Int(self.u32(part)?.into()),
            5 => ConfigValue::Int(self.take(part).map(i32::from_le_bytes)?.into()),
            6 => ConfigValue::Float(self.take(part).map(f32::from_le_bytes)?.into()),
            7 => ConfigValue::Bool(self.take::<1>(part)? != [0]),
            8 => self.text_value(part)?,
            9 => return self.list(key, depth),
            10 => {
                let value = self.u64(part)?;
                i64::try_from(value).map_or(ConfigValue::Float(value as f64), ConfigValue::Int)
            }
            11 => ConfigValue::Int(self.take(part).map(i64::from_le_bytes)?),
            12 => ConfigValue::Float(self.take(part).map(f64::from_le_bytes)?),
            kind => return Err(self.metadata(key, "an unknown type: it", u64::from(kind))),
        })
    }

    /// Texts of metadata are replaced where they are not UTF-8: vocabularies
    /// of published files hold pieces of characters.
    fn text_value(&mut self, part: &'static str) -> Result<ConfigValue, WeightError> {
        let bytes = self.counted(part)?;
        Ok(ConfigValue::Str(
            String::from_utf8_lossy(bytes).into_owned(),
        ))
    }

    fn list(&mut self, key: &str, depth: usize) -> Result<ConfigValue, WeightError> {
        if depth == MAX_DEPTH {
            return Err(self.metadata(key, "a list within lists, and their depth", depth as u64));
        }
        let kind = self.u32("metadata type")?;
        let count = self.length("metadata list")?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value_of(key, kind, depth + 1)?);
        }
        Ok(ConfigValue::List(values))
    }

    fn counted(&mut self, part: &'static str) -> Result<&'a [u8], WeightError> {
        let length = self.length(part)?;
        let rest = &self.bytes[self.position..];
        let counted = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length));
        let counted = counted.ok_or_else(|| WeightError::Length {
            file: self.file.to_owned(),
            part,
            length,
            left: rest.len(),
        })?;
        self.position += counted.len();
        Ok(counted)
    }

    fn take<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], WeightError> {
        match self.bytes[self.position..].first_chunk::<N>() {
            Some(&bytes) => {
                self.position += N;
                Ok(bytes)
            }
            None => Err(WeightError::Truncated {
                file: self.file.to_owned(),
                part,
                size: self.bytes.len(),
            }),
        }
    }

    fn no_gguf(&self, what: &'static str, found: String) -> WeightError {
        WeightError::Format {
            file: self.file.to_owned(),
            format: "GGUF",
            what,
            found,
        }
    }

    fn metadata(&self, key: &str, what: &'static str, found: u64) -> WeightError {
        WeightError::Metadata {
            file: self.file.to_owned(),
            key: key.to_owned(),
            what,
            found,
        }
    }
}
