//! `girih plugin add`: agrees to a library.

use std::io::Write as _;
use std::path::PathBuf;

use girih_runtime::plugin::{Lock, Note, search};

use super::Streams;
use crate::failure::{Failure, Outcome};

/// Agree to run a plugin: its library is copied into your data folder, its hash is kept.
///
/// Shows who the library says it is, without running it, and asks. A library in the place of another of its id replaces
/// it. Whatever is not in this list of yours is never run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The library.
    library: PathBuf,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let note = Note::read(&args.library)?;
    note.suits()?;
    let data = search::data_folder()?;
    let mut lock = Lock::open(&data)?;
    let out = &mut streams.out;
    writeln!(out, "id            {}", note.id)?;
    writeln!(out, "version       {}", note.version)?;
    writeln!(out, "license       {}", note.license)?;
    writeln!(out, "url           {}", note.url)?;
    writeln!(out, "offers        {}", note.capabilities.join(" "))?;
    writeln!(out, "sha256        {}", note.hash)?;
    if let Some(before) = lock
        .agreed(&note.id)
        .filter(|before| before.sha256 != note.hash)
    {
        writeln!(
            out,
            "in place of   version {}, {}",
            before.version, before.sha256
        )?;
    }
    if !args.yes {
        write!(
            streams.err,
            "Its code can do whatever you can. Run it from now on? [y/N] "
        )?;
        streams.err.flush()?;
        let mut answer = String::new();
        streams.input.read_line(&mut answer)?;
        if !["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
            writeln!(streams.err, "nothing was added")?;
            return Ok(Outcome::DoesNotHold);
        }
    }
    // What is copied is what was shown, even if the file changes meanwhile.
    let folder = data.join("plugins");
    let failed = |source| Failure::Write {
        path: folder.clone(),
        source,
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let ending = std::env::consts::DLL_EXTENSION;
    let fresh = folder.join(format!(".{}-{}", note.id, std::process::id()));
    std::fs::copy(&args.library, &fresh).map_err(failed)?;
    if Note::read(&fresh)?.hash != note.hash {
        // It may be gone already.
        let _ = std::fs::remove_file(&fresh);
        return Err(Failure::Refused(
            "the library changed while it was looked at; try again".to_owned(),
        ));
    }
    std::fs::rename(&fresh, folder.join(format!("{}.{ending}", note.id))).map_err(failed)?;
    lock.add(&note)?;
    Ok(Outcome::Holds)
}
