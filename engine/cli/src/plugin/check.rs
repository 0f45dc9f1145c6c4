//! Runs the probes: each in a process of its own, that may crash, hang or write where it may not.
//!
//! The process that asks never loads the library. A probe's answer is the last line of its output that begins with
//! [`MARK`]; whatever the plugin prints is not looked at.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::probe::{ALL, Probe};
use crate::failure::Failure;

/// What an answer begins with.
pub const MARK: &str = "girih-plugin-check: ";

/// What came of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The probe.
    pub probe: &'static str,
    /// What it claims.
    pub claim: &'static str,
    /// Whether it holds.
    pub outcome: Outcome,
    /// How it fails, or why it was left out.
    pub detail: String,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// There was nothing to try.
    Skipped,
    /// It does not hold.
    Fails,
    /// Its process ended by itself.
    Crashes,
    /// Its process did not end.
    Hangs,
}

impl Outcome {
    /// As in the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "ok",
            Self::Skipped => "-",
            Self::Fails => "FAILS",
            Self::Crashes => "CRASHES",
            Self::Hangs => "HANGS",
        }
    }

    /// Whether the plugin is at fault.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Holds | Self::Skipped)
    }
}

/// How probes are run.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The library.
    pub library: &'a Path,
    /// Of all draws.
    pub seed: u64,
    /// Time that each probe has.
    pub limit: Duration,
    /// Only the probe of this name.
    pub only: Option<&'a str>,
    /// Run them in this process, for a debugger.
    pub in_process: bool,
}

/// Tries everything.
///
/// # Errors
///
/// No such probe, or processes cannot be started.
pub fn check(asked: &Asked<'_>) -> Result<Vec<Row>, Failure> {
    let chosen: Vec<&Probe> = ALL
        .iter()
        .filter(|probe| asked.only.is_none_or(|only| only == probe.name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|probe| probe.name).collect();
        return Err(Failure::Misuse(format!(
            "there is no such probe; there are `{}`",
            names.join("`, `")
        )));
    }
    let mut rows: Vec<Row> = Vec::new();
    for probe in chosen {
        let mut row = row(probe, asked)?;
        let same = rows.iter().find(|other| {
            other.outcome.is_fault() && row.outcome.is_fault() && other.detail == row.detail
        });
        if let Some(first) = same {
            // One mistake, one fault.
            row.outcome = Outcome::Skipped;
            row.detail = format!("see `{}`", first.probe);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn row(probe: &Probe, asked: &Asked<'_>) -> Result<Row, Failure> {
    let (outcome, detail) = if asked.in_process {
        judged(&(probe.run)(asked.library, asked.seed))
    } else {
        apart(probe, asked)?
    };
    Ok(Row {
        probe: probe.name,
        claim: probe.claim,
        outcome,
        detail,
    })
}

fn judged(verdict: &Result<Option<String>, String>) -> (Outcome, String) {
    match verdict {
        Ok(None) => (Outcome::Holds, String::new()),
        Ok(Some(why)) => (Outcome::Skipped, why.clone()),
        Err(said) => (Outcome::Fails, said.clone()),
    }
}

/// What the process of a probe prints.
///
/// # Errors
///
/// No such probe.
pub fn answer(probe: &str, library: &Path, seed: u64) -> Result<String, Failure> {
    let probe = (ALL.iter().find(|known| known.name == probe))
        .ok_or_else(|| Failure::Misuse("there is no such probe".to_owned()))?;
    let (outcome, detail) = judged(&(probe.run)(library, seed));
    let answer = json!({ "outcome": outcome.word(), "detail": detail });
    Ok(format!("\n{MARK}{answer}"))
}

fn apart(probe: &Probe, asked: &Asked<'_>) -> Result<(Outcome, String), Failure> {
    let own = std::env::current_exe()?;
    let mut child = Command::new(own)
        .args(["plugin", "probe", probe.name])
        .arg(asked.library)
        .args(["--seed", &asked.seed.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = child.stdout.take();
    let complained = child.stderr.take();
    let reader = std::thread::spawn(move || all_of(said));
    let complaints = std::thread::spawn(move || all_of(complained));
    let ended = wait(&mut child, asked.limit)?;
    let Some(status) = ended else {
        return Ok((
            Outcome::Hangs,
            format!("it did not end in {} s", asked.limit.as_secs()),
        ));
    };
    let said = reader.join().unwrap_or_default();
    let complaints = complaints.join().unwrap_or_default();
    let answer = (said.lines().rev())
        .find_map(|line| line.strip_prefix(MARK))
        .and_then(|line| serde_json::from_str::<Value>(line).ok());
    let Some(answer) = answer else {
        let last = complaints
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default();
        let colon = if last.is_empty() { "" } else { ": " };
        return Ok((Outcome::Crashes, format!("{}{colon}{last}", end(status))));
    };
    let word = answer["outcome"].as_str().unwrap_or_default();
    let outcome = [Outcome::Holds, Outcome::Skipped]
        .into_iter()
        .find(|outcome| outcome.word() == word)
        .unwrap_or(Outcome::Fails);
    let detail = answer["detail"].as_str().unwrap_or_default().to_owned();
    if !status.success() {
        // It answered and fell over afterwards, as when threads outlive a run.
        return Ok((Outcome::Crashes, end(status)));
    }
    Ok((outcome, detail))
}

/// Everything a stream gives, as far as a megabyte.
fn all_of(stream: Option<impl std::io::Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What could not be read is not looked at; the rest is drained, so that nobody waits.
        let _ = stream.by_ref().take(1 << 20).read_to_end(&mut bytes);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for a process, and ends it after its time: `None`.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How a process ended, in words.
fn end(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            4 => "an illegal instruction",
            6 => "an abort",
            7 => "a bus error",
            8 => "an arithmetic error",
            11 => "touching memory that is not its own",
            _ => "a signal",
        };
        return format!("the process ended by {name} (signal {signal})");
    }
    format!(
        "the process ended with status {}",
        status.code().unwrap_or(-1)
    )
}
