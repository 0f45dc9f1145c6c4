//! The `girih` command: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    girih::command::run_from_env()
}
