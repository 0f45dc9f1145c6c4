//! `girih fmt`: the canonical text of model files.

use std::fs;
use std::path::{Path, PathBuf};

use girih_dsl::format::format_file;
use girih_dsl::source::SourceMap;

use super::Streams;
use crate::failure::{Failure, Outcome};
use crate::loader::read_text;
use crate::source::{counted, mistakes};

/// Format model files in place; comments stay.
///
/// There is one canonical text of a file, and no setting. A file with mistakes in its
/// syntax is left as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih fmt model.girih
  girih fmt --check models/*.girih     write nothing; status 1 if a file would change")]
pub(super) struct Args {
    /// The files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only tell which files are not formatted.
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let mut changed = 0;
    let mut broken = String::new();
    for path in &args.files {
        let text = read_text(path).map_err(|problem| Failure::Read {
            path: path.clone(),
            problem,
        })?;
        let mut sources = SourceMap::new();
        let file = sources.add(path.display().to_string(), text.as_str());
        let formatted = match format_file(&sources, file) {
            Ok(formatted) => formatted,
            Err(sink) => {
                // The other files are formatted all the same.
                if let Failure::Mistakes(text) = mistakes(&sources, &sink, streams.colors) {
                    broken.push_str(&text);
                    broken.push('\n');
                }
                continue;
            }
        };
        if formatted == text {
            continue;
        }
        changed += 1;
        if args.check {
            writeln!(streams.out, "{}: not formatted", path.display())?;
        } else {
            replace(path, &formatted)?;
            writeln!(streams.out, "{}: formatted", path.display())?;
        }
    }
    if !broken.is_empty() {
        return Err(Failure::Mistakes(broken.trim_end().to_owned()));
    }
    if args.check && changed > 0 {
        let files = counted(changed, "file");
        writeln!(
            streams.err,
            "{files} would change; `girih fmt` formats in place"
        )?;
        return Ok(Outcome::DoesNotHold);
    }
    Ok(Outcome::Holds)
}

/// Writes beside the file and renames, so that a full disk leaves the old text.
fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |source| Failure::Write {
        path: path.to_owned(),
        source,
    };
    // A link stays a link: what it points to is replaced.
    let target = fs::canonicalize(path).map_err(failed)?;
    let permissions = fs::metadata(&target).map_err(failed)?.permissions();
    let mut beside = target.clone().into_os_string();
    beside.push(".fmt");
    let beside = PathBuf::from(beside);
    fs::write(&beside, text).map_err(failed)?;
    let done =
        fs::set_permissions(&beside, permissions).and_then(|()| fs::rename(&beside, &target));
    done.map_err(|source| {
        // What failed first is what is told.
        let _ = fs::remove_file(&beside);
        failed(source)
    })
}
