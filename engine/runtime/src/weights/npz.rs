//! `NumPy`'s formats: one array in `.npy`, several in a `.npz` archive.
//!
//! The header of every array is read at once; data are expanded and copied
//! when asked for. Arrays in Fortran order are turned into row-major ones.
//! Little-endian numbers and truth values only; no pickled objects.
//!
//! Source: `NumPy`'s `numpy.lib.format` specification, versions 1 to 3.

mod header;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use zip::ZipArchive;

use super::decode::decode;
use super::directory::{Directory, at, measure};
use super::{Entry, Storage, TensorProblem, WeightError, WeightSource, map};
use crate::config::ConfigValue;
use crate::tensor::Tensor;
use header::ArrayHeader;

/// A mapped `.npy` or `.npz` file.
#[derive(Debug)]
pub struct Npz {
    directory: Directory,
    /// One for each entry.
    arrays: Vec<Array>,
    source: Source,
    metadata: ConfigValue,
}

#[derive(Debug)]
struct Array {
    /// Position in the archive.
    member: usize,
    /// Bytes before the data.
    header: usize,
    fortran: bool,
}

#[derive(Clone, Debug)]
enum Source {
    Single(Arc<Mmap>),
    Archive(ZipArchive<Cursor<Shared>>),
}

/// A map that an archive reader can own.
#[derive(Clone, Debug)]
struct Shared(Arc<Mmap>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Npz {
    /// Maps a file and reads the header of every array.
    pub fn open(file: &Path) -> Result<Self, WeightError> {
        Self::new(file.to_owned(), map::map(file)?)
    }

    pub(super) fn new(file: PathBuf, map: Arc<Mmap>) -> Result<Self, WeightError> {
        let mut source = if map.starts_with(header::MAGIC) {
            Source::Single(map)
        } else {
            let archive = ZipArchive::new(Cursor::new(Shared(map)));
            Source::Archive(archive.map_err(|source| WeightError::Archive {
                file: file.clone(),
                source,
            })?)
        };
        let mut entries = Vec::new();
        let mut arrays = Vec::new();
        for (member, name) in source.members(&file)? {
            let placed = source.with_member(&file, member, |size, reader| {
                let header = header::read_array_header(reader)?;
                place(&name, member, &header, size)
            })?;
            let (entry, array) = placed.map_err(|problem| at(&file, &name, problem))?;
            entries.push(entry);
            arrays.push(array);
        }
        let metadata = ConfigValue::Map(BTreeMap::new());
        Ok(Self {
            directory: Directory::new(file, entries)?,
            arrays,
            source,
            metadata,
        })
    }

    fn data(&self, name: &str) -> Result<(&Entry, &Array, Vec<u8>), WeightError> {
        let position = self.directory.position(name)?;
        let entry = &self.directory.entries[position];
        let array = &self.arrays[position];
        let mut source = self.source.clone();
        let data = source.with_member(&self.directory.file, array.member, |_, reader| {
            let mut data = Vec::new();
            let mut rest = reader.take((array.header + entry.bytes) as u64);
            rest.read_to_end(&mut data).map_err(TensorProblem::Expand)?;
            data.drain(..array.header.min(data.len()));
            if data.len() != entry.bytes {
                let shape = entry.shape.clone();
                let (expected, found) = (entry.bytes, data.len());
                return Err(TensorProblem::Bytes {
                    shape,
                    expected,
                    found,
                });
            }
            Ok(data)
        })?;
        Ok((
            entry,
            array,
            data.map_err(|problem| self.directory.at(name, problem))?,
        ))
    }
}

impl WeightSource for Npz {
    fn file(&self) -> &Path {
        &self.directory.file
    }

    fn entries(&self) -> &[Entry] {
        &self.directory.entries
    }

    fn entry(&self, name: &str) -> Result<&Entry, WeightError> {
        self.directory.entry(name)
    }

    fn tensor(&self, name: &str) -> Result<Tensor, WeightError> {
        let (entry, array, data) = self.data(name)?;
        let tensor = if array.fortran {
            let reversed: Vec<usize> = entry.shape.iter().rev().copied().collect();
            let axes: Vec<usize> = (0..reversed.len()).rev().collect();
            decode(entry.storage, &reversed, &data).and_then(|tensor| Ok(tensor.permute(&axes)?))
        } else {
            decode(entry.storage, &entry.shape, &data)
        };
        tensor.map_err(|problem| self.directory.at(name, problem))
    }

    fn raw(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightError> {
        self.data(name).map(|(_, _, data)| Cow::Owned(data))
    }

    fn metadata(&self) -> &ConfigValue {
        &self.metadata
    }
}

impl Source {
    /// Positions and names of the arrays.
    fn members(&self, file: &Path) -> Result<Vec<(usize, String)>, WeightError> {
        let archive = match self {
            Self::Single(_) => {
                let stem = file.file_stem().unwrap_or_default();
                return Ok(vec![(0, stem.to_string_lossy().into_owned())]);
            }
            Self::Archive(archive) => archive,
        };
        let mut members = Vec::new();
        for (position, name) in archive.file_names_raw().enumerate() {
            let name = str::from_utf8(name).map_err(|_| WeightError::NotUtf8 {
                file: file.to_owned(),
                part: "member name",
            })?;
            let Some(name) = name.strip_suffix(".npy") else {
                return Err(WeightError::Format {
                    file: file.to_owned(),
                    format: "npz",
                    what: "a member",
                    found: name.to_owned(),
                });
            };
            members.push((position, name.to_owned()));
        }
        Ok(members)
    }

    /// Calls a function with a member's size, if it is known, and content.
    fn with_member<T>(
        &mut self,
        file: &Path,
        member: usize,
        read: impl FnOnce(Option<u64>, &mut dyn Read) -> T,
    ) -> Result<T, WeightError> {
        match self {
            Self::Single(map) => {
                let mut bytes: &[u8] = map;
                Ok(read(Some(map.len() as u64), &mut bytes))
            }
            Self::Archive(archive) => {
                let mut content =
                    archive
                        .by_index(member)
                        .map_err(|source| WeightError::Archive {
                            file: file.to_owned(),
                            source,
                        })?;
                let size = content.size();
                Ok(read(Some(size), &mut content))
            }
        }
    }
}

/// The entry of an array, given the size of its member.
fn place(
    name: &str,
    member: usize,
    header: &ArrayHeader,
    size: Option<u64>,
) -> Result<(Entry, Array), TensorProblem> {
    let storage: Storage = header
        .storage()
        .ok_or_else(|| TensorProblem::Storage(header.descr.clone()))?;
    let (shape, bytes) = measure(storage, &header.shape)?;
    let found = size.and_then(|size| size.checked_sub(header.bytes as u64));
    if found != Some(bytes as u64) {
        let found = found
            .and_then(|found| usize::try_from(found).ok())
            .unwrap_or(0);
        return Err(TensorProblem::Bytes {
            shape,
            expected: bytes,
            found,
        });
    }
    let entry = Entry {
        name: name.to_owned(),
        shape,
        storage,
        bytes,
    };
    Ok((
        entry,
        Array {
            member,
            header: header.bytes,
            fortran: header.fortran,
        },
    ))
}
