//! Several safetensors files behind one index.
//!
//! The index is JSON: `weight_map` says which file, in the index's own
//! folder, stores which tensor. It is held to be complete: a tensor that a
//! shard stores and the index does not name is an error, as is the reverse.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path};

use serde::Deserialize;

use super::directory::{Directory, at};
use super::{Entry, SafeTensors, TensorProblem, WeightError, WeightSource};
use crate::config::ConfigValue;
use crate::tensor::Tensor;

/// All shards of an index.
#[derive(Debug)]
pub struct Sharded {
    directory: Directory,
    /// Position of the shard, one for each entry.
    homes: Vec<usize>,
    shards: Vec<SafeTensors>,
    metadata: ConfigValue,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
    #[serde(default)]
    metadata: serde_json::Value,
}

impl Sharded {
    /// Reads an index and maps every shard that it names.
    pub fn open(file: &Path) -> Result<Self, WeightError> {
        let text = fs::read(file).map_err(|source| WeightError::Read {
            file: file.to_owned(),
            source,
        })?;
        let index: Index = serde_json::from_slice(&text).map_err(|source| WeightError::Json {
            file: file.to_owned(),
            source,
        })?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
        let mut shards = Vec::new();
        for shard in index.weight_map.values() {
            if !is_plain(shard) {
                return Err(WeightError::ShardName {
                    file: file.to_owned(),
                    shard: shard.clone(),
                });
            }
            if !positions.contains_key(shard.as_str()) {
                positions.insert(shard, shards.len());
                shards.push(SafeTensors::open(&folder.join(shard))?);
            }
        }
        for (name, shard) in &index.weight_map {
            if shards[positions[shard.as_str()]].entry(name).is_err() {
                return Err(at(file, name, TensorProblem::NotInShard(shard.clone())));
            }
        }
        let mut entries = Vec::with_capacity(index.weight_map.len());
        let mut homes = Vec::with_capacity(index.weight_map.len());
        for (position, shard) in shards.iter().enumerate() {
            for entry in shard.entries() {
                // One that another shard has as well is found by the directory.
                if !index.weight_map.contains_key(&entry.name) {
                    let problem = TensorProblem::NotInIndex(file.display().to_string());
                    return Err(at(shard.file(), &entry.name, problem));
                }
                entries.push(entry.clone());
                homes.push(position);
            }
        }
        let metadata = match ConfigValue::from(index.metadata) {
            ConfigValue::Map(values) => ConfigValue::Map(values),
            _ => ConfigValue::Map(BTreeMap::new()),
        };
        Ok(Self {
            directory: Directory::new(file.to_owned(), entries)?,
            homes,
            shards,
            metadata,
        })
    }

    fn home(&self, name: &str) -> Result<&SafeTensors, WeightError> {
        Ok(&self.shards[self.homes[self.directory.position(name)?]])
    }
}

impl WeightSource for Sharded {
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
        self.home(name)?.tensor(name)
    }

    fn raw(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightError> {
        self.home(name)?.raw(name)
    }

    fn metadata(&self) -> &ConfigValue {
        &self.metadata
    }
}

/// Whether a name is that of a file, without any folder.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(_)), None)
    ) && !name.contains(['/', '\\'])
}
