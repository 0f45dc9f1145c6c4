//! `girih plugin list`: which plugins there are, and why one is not to be had.

use girih_runtime::plugin::Found;
use serde_json::json;

use super::Streams;
use crate::failure::{Failure, Outcome};
use crate::plugin::at_hand;

/// List the plugins that models can name, and say why others cannot be used. Runs none of them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let found = at_hand().found()?;
    if args.json {
        let all: Vec<_> = found.iter().map(described).collect();
        writeln!(streams.out, "{:#}", json!({ "plugins": all }))?;
        return Ok(Outcome::Holds);
    }
    if found.is_empty() {
        writeln!(streams.out, "no plugins; `girih plugin add PATH` adds one")?;
    }
    for found in &found {
        match &found.note {
            Ok(note) => {
                writeln!(
                    streams.out,
                    "{} {}  {}  {}",
                    note.id,
                    note.version,
                    note.capabilities.join(" "),
                    found.path.display()
                )?;
                if let Some(refused) = &found.refused {
                    writeln!(streams.out, "  not used: {refused}")?;
                }
            }
            Err(refused) => writeln!(
                streams.out,
                "{}\n  not used: {refused}",
                found.path.display()
            )?,
        }
    }
    Ok(Outcome::Holds)
}

fn described(found: &Found) -> serde_json::Value {
    let path = found.path.display().to_string();
    match &found.note {
        Ok(note) => json!({
            "path": path,
            "id": note.id,
            "version": note.version,
            "license": note.license,
            "url": note.url,
            "capabilities": note.capabilities,
            "speaks": note.speaks(),
            "sha256": note.hash,
            "refused": found.refused.as_ref().map(ToString::to_string),
        }),
        Err(refused) => json!({ "path": path, "refused": refused.to_string() }),
    }
}
