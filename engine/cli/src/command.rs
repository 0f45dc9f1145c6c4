//! The `girih` command: its arguments, and which file does what.
//!
//! Every sub-command is one file with its arguments and one function `run`. Results go to
//! standard output, whatever is said about the work to standard error. Status 0: done; 1:
//! what was checked does not hold, or the world did not cooperate; 2: misuse.

mod bench;
mod chat;
mod check;
mod choice;
mod cost;
mod explain;
mod fmt;
mod generate;
mod graph;
mod plugin;
pub(crate) mod pull;
mod run;
mod select;
mod show;
mod telling;
mod test;
mod verify;
mod voice;
mod weights;

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use girih_dsl::diag::Colors;

use crate::failure::{Failure, Outcome};

/// Sequence models from one file: checked, compiled, run.
#[derive(Debug, Parser)]
#[command(
    name = "girih",
    version,
    arg_required_else_help = true,
    after_help = "\
First steps:
  girih generate smollm2 --prompt \"The capital of France is\"
  girih check model.girih          what is wrong with a model file
  girih graph model.girih          what it becomes
  girih show Attention             a module of the standard library
  girih explain E0301              what a diagnostic means

Every command explains itself: `girih check --help`."
)]
struct Line {
    /// The library of a plugin that models may name, before those that were added. May be given several times.
    #[arg(long = "plugin", value_name = "PATH", global = true)]
    plugins: Vec<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    Fmt(fmt::Args),
    Show(show::Args),
    Graph(graph::Args),
    Cost(cost::Args),
    Weights(weights::Args),
    Explain(explain::Args),
    Pull(pull::Args),
    Test(test::Args),
    Verify(verify::Args),
    Run(run::Args),
    Generate(generate::Args),
    Chat(chat::Args),
    Bench(bench::Args),
    Plugin(plugin::Args),
}

/// Where a command reads and writes, and what it may write there.
pub struct Streams<'a> {
    /// What is said to the command.
    pub input: &'a mut dyn BufRead,
    /// Results.
    pub out: &'a mut dyn Write,
    /// What is said about the work.
    pub err: &'a mut dyn Write,
    /// Whether diagnostics are colored.
    pub colors: Colors,
    /// Whether progress is drawn: a person is watching.
    pub watched: bool,
}

/// Runs the command that the process was called as.
pub fn run_from_env() -> ExitCode {
    let (mut input, mut out, mut err) = (io::stdin().lock(), io::stdout().lock(), io::stderr());
    let watched = io::stderr().is_terminal();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut streams = Streams {
        input: &mut input,
        out: &mut out,
        err: &mut err,
        colors: if watched && !plain {
            Colors::Yes
        } else {
            Colors::No
        },
        watched,
    };
    ExitCode::from(run(std::env::args_os(), &mut streams))
}

/// Runs one command line, the program's name first, and gives the exit status.
pub fn run(line: impl IntoIterator<Item = OsString>, streams: &mut Streams<'_>) -> u8 {
    let line = match Line::try_parse_from(line) {
        Ok(line) => line,
        Err(usage) => {
            // Help and version are asked for; everything else is a mistake in the call.
            let _ = usage.print();
            return u8::try_from(usage.exit_code()).unwrap_or(2);
        }
    };
    crate::plugin::give(&line.plugins);
    match dispatch(&line.command, streams).and_then(|outcome| {
        streams.out.flush()?;
        Ok(outcome)
    }) {
        Ok(Outcome::Holds) => 0,
        Ok(Outcome::DoesNotHold) => 1,
        Err(failure) if failure.is_closed_pipe() => 0,
        Err(failure) => {
            // Nobody is left to hear of an error stream that is gone.
            let _ = match &failure {
                Failure::Mistakes(text) => writeln!(streams.err, "{text}"),
                _ => writeln!(streams.err, "error: {failure}"),
            };
            failure.status()
        }
    }
}

fn dispatch(command: &Command, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    match command {
        Command::Check(args) => check::run(args, streams),
        Command::Fmt(args) => fmt::run(args, streams),
        Command::Show(args) => show::run(args, streams),
        Command::Graph(args) => graph::run(args, streams),
        Command::Cost(args) => cost::run(args, streams),
        Command::Weights(args) => weights::run(args, streams),
        Command::Explain(args) => explain::run(args, streams),
        Command::Pull(args) => pull::run(args, streams),
        Command::Test(args) => test::run(args, streams),
        Command::Verify(args) => verify::run(args, streams),
        Command::Run(args) => run::run(args, streams),
        Command::Generate(args) => generate::run(args, streams),
        Command::Chat(args) => chat::run(args, streams),
        Command::Bench(args) => bench::run(args, streams),
        Command::Plugin(args) => plugin::run(args, streams),
    }
}
