//! `girih explain`: the page of a diagnostic.

use girih_dsl::diag::{Code, explain};

use super::Streams;
use crate::failure::{Failure, Outcome};

/// Explain a diagnostic: its cause, a wrong and a right example.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih explain E0301
  girih explain 301
  girih explain              every code, with its title")]
pub(super) struct Args {
    /// A code such as `E0301`; without it, all codes are listed.
    code: Option<String>,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let Some(text) = &args.code else {
        for code in Code::all() {
            let page = explain(code).unwrap_or_default();
            let title = page.lines().next().unwrap_or_default();
            writeln!(streams.out, "{}", title.trim_start_matches("# "))?;
        }
        return Ok(Outcome::Holds);
    };
    let Some(code) = Code::parse(text) else {
        return Err(Failure::Misuse(format!(
            "`{text}` is no diagnostic code; codes look like `E0301`, and `girih explain` lists them"
        )));
    };
    let Some(page) = explain(code) else {
        return Err(Failure::Misuse(format!(
            "there is no diagnostic {code}; `girih explain` lists all that there are"
        )));
    };
    streams.out.write_all(page.as_bytes())?;
    Ok(Outcome::Holds)
}
