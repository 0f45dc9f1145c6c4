//! Parameters as they are read for a stream: each once, and with a number that tells them apart.

use std::collections::BTreeMap;

use crate::backend::{BoxError, ParamData, ParamSource};

/// Reads parameters from a source, hashes them, and keeps those that are asked for twice.
pub(super) struct Reader<'a> {
    source: &'a mut dyn ParamSource,
    /// Those that are asked for twice, once they were read.
    kept: BTreeMap<String, Option<ParamData>>,
    hashes: BTreeMap<String, u64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new<'p>(
        source: &'a mut dyn ParamSource,
        twice: impl Iterator<Item = &'p str>,
    ) -> Self {
        Self {
            source,
            kept: twice.map(|path| (path.to_owned(), None)).collect(),
            hashes: BTreeMap::new(),
        }
    }

    /// Of everything that was read, in whatever order.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = Hash::new();
        for (path, own) in &self.hashes {
            hash.add(path.as_bytes());
            hash.add(&own.to_le_bytes());
        }
        hash.value()
    }
}

impl ParamSource for Reader<'_> {
    fn param(&mut self, path: &str) -> Result<ParamData, BoxError> {
        if let Some(kept) = self.kept.get_mut(path).and_then(Option::take) {
            return Ok(kept);
        }
        let data = self.source.param(path)?;
        self.hashes.insert(path.to_owned(), hash_of(&data));
        if let Some(kept) = self.kept.get_mut(path) {
            *kept = Some(data.clone());
        }
        Ok(data)
    }
}

fn hash_of(data: &ParamData) -> u64 {
    let mut hash = Hash::new();
    hash.add(data.dtype().to_string().as_bytes());
    for extent in data.shape() {
        hash.add(&(*extent as u64).to_le_bytes());
    }
    match data {
        ParamData::Tensor(tensor) => hash.add(tensor.bytes()),
        ParamData::Blocks(blocks) => {
            hash.add(blocks.quantization().name().as_bytes());
            for row in 0..blocks.rows() {
                hash.add(blocks.row(row));
            }
        }
    }
    hash.value()
}

/// A hash that is the same on every machine and in every version: words of 8 bytes, each mixed in by
/// a rotation and the multiplication of Fowler, Noll and Vo. It finds out mistakes, not forgeries.
pub(super) struct Hash(u64);

impl Hash {
    pub(super) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Bytes and their number.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x0100_0000_01b3);
    }

    pub(super) const fn value(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    fn numbers(path: &str) -> Vec<f32> {
        (0..9).map(|at| at as f32 + path.len() as f32).collect()
    }

    #[test]
    fn each_is_read_once_and_hashed_in_any_order() {
        let mut reads = Vec::new();
        let mut source = |path: &str| {
            reads.push(path.to_owned());
            Ok(Tensor::new([9], numbers(path))?)
        };
        let mut reader = Reader::new(&mut source, ["w"].into_iter());
        for path in ["w", "bias", "w"] {
            assert!(reader.param(path).is_ok());
        }
        let hash = reader.hash();
        assert_eq!(reads, ["w", "bias"]);
        for (last, path, same) in [(0.0, "bias", true), (1.0, "bias", false), (0.0, "b", false)] {
            let mut source = |own: &str| {
                let mut numbers = numbers(own);
                numbers[8] += last;
                Ok(Tensor::new([9], numbers)?)
            };
            let mut reader = Reader::new(&mut source, std::iter::empty());
            for path in [path, "w"] {
                assert!(reader.param(path).is_ok());
            }
            assert_eq!(reader.hash() == hash, same, "{path} {last}");
        }
    }
}
