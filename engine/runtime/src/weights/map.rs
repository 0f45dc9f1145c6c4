//! Files mapped into memory.
#![expect(unsafe_code, reason = "a mapped file is memory that others can change")]

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::WeightError;

/// Maps a whole file for reading.
///
/// The file must not be changed or truncated by anyone while the map lives,
/// as for every program that maps files; this is documented for users.
pub(super) fn map(path: &Path) -> Result<Arc<Mmap>, WeightError> {
    let failed = |source| WeightError::Read {
        file: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    // SAFETY: the map is private to this process and read-only; that nobody
    // truncates or rewrites the file meanwhile is the documented condition
    // under which weights may be opened.
    let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
    Ok(Arc::new(map))
}

/// Gives the memory of a part of a map back; it is read from the file again when it is asked for.
pub(crate) fn release(map: &Mmap, range: Range<usize>) {
    #[cfg(unix)]
    {
        let advice = memmap2::UncheckedAdvice::DontNeed;
        // SAFETY: the map is read-only and private, so the pages hold nothing but the file's bytes, which
        // `map` says nobody changes.
        let _ = unsafe { map.unchecked_advise_range(advice, range.start, range.len()) };
    }
    #[cfg(not(unix))]
    let _ = (map, range);
}
