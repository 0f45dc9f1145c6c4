//! Writes tensors as a safetensors file.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use super::directory::at;
use super::safetensors::{METADATA, dtype_name};
use super::{TensorProblem, WeightError};
use crate::tensor::Tensor;

/// Writes named tensors, in order, with texts beside them.
///
/// The file appears whole or not at all: it is written under another name in
/// the same folder and renamed. Wider elements are stored first, so that each
/// tensor is aligned for a reader that maps the file; the header keeps the
/// order given. Fails when a name stands twice or is the format's own
/// `__metadata__`, or the file cannot be written.
pub fn write_safetensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightError> {
    let tensors: Vec<(&str, &Tensor)> = tensors.into_iter().collect();
    let mut seen = HashSet::new();
    for &(name, _) in &tensors {
        if name == METADATA || !seen.insert(name) {
            return Err(at(path, name, TensorProblem::Duplicate));
        }
    }
    let mut stored = tensors.clone();
    stored.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype().size()));
    let header = header(&tensors, &stored, metadata);
    write_whole(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        stored
            .iter()
            .try_for_each(|(_, tensor)| file.write_all(tensor.bytes()))
    })
    .map_err(|source| WeightError::Write {
        file: path.to_owned(),
        source,
    })
}

/// JSON in the order of `tensors`, offsets in the order of `stored`, padded
/// so that the data are aligned.
fn header(
    tensors: &[(&str, &Tensor)],
    stored: &[(&str, &Tensor)],
    metadata: &BTreeMap<String, String>,
) -> String {
    let mut starts = BTreeMap::new();
    let mut end = 0;
    for &(name, tensor) in stored {
        starts.insert(name, end);
        end += tensor.bytes().len();
    }
    let mut fields = Map::new();
    if !metadata.is_empty() {
        fields.insert(METADATA.to_owned(), json!(metadata));
    }
    for &(name, tensor) in tensors {
        let start = starts[name];
        let description = json!({
            "dtype": dtype_name(tensor.dtype()),
            "shape": tensor.shape(),
            "data_offsets": [start, start + tensor.bytes().len()],
        });
        fields.insert(name.to_owned(), description);
    }
    let mut header = Value::Object(fields).to_string();
    let padded = header.len().next_multiple_of(8);
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    header
}

/// Writes a file under a temporary name beside `path`, then renames it.
fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&mut NamedTempFile>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".girih-");
    #[cfg(unix)]
    {
        // As any new file: the user's mask decides, not the temporary's.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    let mut writer = BufWriter::new(&mut file);
    fill(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
