//! `girih plugin list`: which plugins there are, why one is not to be had, and how well their devices serve.

use girih_runtime::device::Device as _;
use girih_runtime::plugin::{DeviceKind, Found, PluginError};
use serde_json::json;

use super::Streams;
use crate::failure::{Failure, Outcome};
use crate::plugin::at_hand;

/// List the plugins that models can name, with their devices, and say why others cannot be used.
///
/// Of those that somebody agreed to, the ones that offer devices are loaded and asked how well this machine serves
/// them – 1 is as good as a processor – and what the first device of a kind is. No others are run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let plugins = at_hand();
    let found = plugins.found()?;
    let (kinds, broken) = plugins.devices()?;
    if args.json {
        let all: Vec<_> = found.iter().map(|own| described(own, &kinds)).collect();
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
                for kind in of(found, &kinds) {
                    match &kind.score {
                        Ok(score) => writeln!(
                            streams.out,
                            "  device `{}`, score {score}: {}",
                            kind.name,
                            first(kind).unwrap_or_else(|error| error)
                        )?,
                        Err(reason) => writeln!(
                            streams.out,
                            "  device `{}` cannot serve here: {reason}",
                            kind.name
                        )?,
                    }
                }
            }
            Err(refused) => writeln!(
                streams.out,
                "{}\n  not used: {refused}",
                found.path.display()
            )?,
        }
    }
    for error in broken {
        // Those that are not loaded have said so above.
        let said = matches!(
            error,
            PluginError::NotAgreed { .. }
                | PluginError::Target { .. }
                | PluginError::Version { .. }
        );
        if !said {
            writeln!(streams.out, "not used: {error}")?;
        }
    }
    Ok(Outcome::Holds)
}

/// The devices of the library that was found.
fn of<'a>(found: &'a Found, kinds: &'a [DeviceKind]) -> impl Iterator<Item = &'a DeviceKind> {
    let path = found.path.as_path();
    kinds.iter().filter(move |kind| kind.library.path() == path)
}

/// What the first device of a kind says that it is, or why it does not open.
fn first(kind: &DeviceKind) -> Result<String, String> {
    let opened = kind.library.open_device(&kind.name, 0);
    let opened = opened.ok_or_else(|| "there is none".to_owned())?;
    let device = opened.map_err(|error| error.to_string())?;
    Ok(device.info().name.clone())
}

fn described(found: &Found, kinds: &[DeviceKind]) -> serde_json::Value {
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
            "devices": of(found, kinds).map(|kind| json!({
                "name": kind.name,
                "score": kind.score.as_ref().ok(),
                "reason": kind.score.as_ref().err(),
                "first": kind.score.as_ref().ok().and_then(|_| first(kind).ok()),
            })).collect::<Vec<_>>(),
            "refused": found.refused.as_ref().map(ToString::to_string),
        }),
        Err(refused) => json!({ "path": path, "refused": refused.to_string() }),
    }
}
