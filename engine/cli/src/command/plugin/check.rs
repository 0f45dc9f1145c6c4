//! `girih plugin check`: does a plugin keep what it promises?

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::Streams;
use crate::failure::{Failure, Outcome};
use crate::plugin::check::{self, Asked};

/// Try a plugin's library: versions, numbers, bounds, threads, memory, gradient, stream.
///
/// Every probe runs in a process of its own with a time limit, so that a library that crashes or hangs is told and nothing
/// else suffers. Numbers are held against the plugin's own text. The library's code runs, agreed to or not. Status 1 if
/// something does not hold.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The library.
    library: PathBuf,
    /// Of all draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Seconds that each probe has.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    limit: u64,
    /// Only this probe.
    #[arg(long, value_name = "PROBE")]
    only: Option<String>,
    /// Run the probes in this process, for a debugger.
    #[arg(long)]
    in_process: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What the process of a probe is called with.
#[derive(Debug, clap::Args)]
pub(super) struct ProbeArgs {
    probe: String,
    library: PathBuf,
    #[arg(long)]
    seed: u64,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let rows = check::check(&Asked {
        library: &args.library,
        seed: args.seed,
        limit: Duration::from_secs(args.limit),
        only: args.only.as_deref(),
        in_process: args.in_process,
    })?;
    let faults = rows.iter().filter(|row| row.outcome.is_fault()).count();
    if args.json {
        let all: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({ "probe": row.probe, "claim": row.claim, "outcome": row.outcome.word(), "detail": row.detail })
            })
            .collect();
        writeln!(
            streams.out,
            "{:#}",
            json!({ "library": args.library, "seed": args.seed, "probes": all, "faults": faults })
        )?;
    } else {
        for row in &rows {
            // The rest of a long story is in the JSON.
            let said = row.detail.lines().next().unwrap_or(row.claim);
            writeln!(
                streams.out,
                "{:8} {:9} {said}",
                row.outcome.word(),
                row.probe
            )?;
        }
        let seed = args.seed;
        match faults {
            0 => writeln!(streams.out, "\nnothing wrong (seed {seed})")?,
            1 => writeln!(streams.out, "\n1 fault (seed {seed})")?,
            _ => writeln!(streams.out, "\n{faults} faults (seed {seed})")?,
        }
    }
    Ok(if faults == 0 {
        Outcome::Holds
    } else {
        Outcome::DoesNotHold
    })
}

/// Answers for one probe; always status 0, as the answer says the rest.
pub(super) fn probe(args: &ProbeArgs, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let answer = check::answer(&args.probe, &args.library, args.seed)?;
    writeln!(streams.out, "{answer}")?;
    Ok(Outcome::Holds)
}
