//! `girih explain`: the page of a diagnostic, or why the kernels of a model are as they are.

use std::path::Path;

use girih_dsl::diag::{Code, explain};
use girih_dsl::model::Static;

use super::Streams;
use super::select::Selection;
use crate::backend;
use crate::failure::{Failure, Outcome};
use crate::planned::planned;
use crate::setting;

/// Explain a diagnostic, or what a model's compiled kernels hold and why.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih explain E0301
  girih explain 301
  girih explain              every code, with its title
  girih explain model.girih  what each kernel holds, what it reads and why it ended there
  girih explain model.girih --backend cuda   what a device of a plugin takes of it")]
pub(super) struct Args {
    /// A code such as `E0301`, or a model file; without it, all codes are listed.
    #[arg(value_name = "CODE|FILE")]
    subject: Option<String>,
    /// Which module of the file; without it the last `model`, or its last module.
    #[arg(long, value_name = "NAME")]
    module: Option<String>,
    /// Tell instead what this device computes of the model, and why it refuses the rest.
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// A static argument of the model; the value is JSON or a bare word. May be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting::parse)]
    settings: Vec<(String, Static)>,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let Some(text) = &args.subject else {
        for code in Code::all() {
            let page = explain(code).unwrap_or_default();
            let title = page.lines().next().unwrap_or_default();
            writeln!(streams.out, "{}", title.trim_start_matches("# "))?;
        }
        return Ok(Outcome::Holds);
    };
    let path = Path::new(text);
    if path
        .extension()
        .is_some_and(|extension| extension == "girih")
        || path.is_file()
    {
        return model(path, args, streams);
    }
    let Some(code) = Code::parse(text) else {
        return Err(Failure::Misuse(format!(
            "`{text}` is neither a model file nor a diagnostic code; codes look like `E0301`, and `girih explain` lists them"
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

/// Tells what the compiled backend makes of a model, and why.
fn model(path: &Path, args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let selection = Selection {
        file: path.to_owned(),
        module: args.module.clone(),
        settings: args.settings.clone(),
    };
    let (_, model) = selection.compile(streams.colors)?;
    if let Some(name) = args.backend.as_deref().filter(|name| *name != "cpu") {
        if backend::NAMES.contains(&name) {
            return Err(Failure::Misuse(format!(
                "the backend `{name}` has no plan to explain; name `cpu` or a device"
            )));
        }
        let device = backend::device(name, &backend::Options::default())?;
        let explained = device
            .explain(&model.graph)
            .map_err(|error| Failure::Refused(error.to_string()))?;
        write!(streams.out, "{explained}")?;
        return Ok(Outcome::Holds);
    }
    let plan = planned(&model.graph);
    streams
        .out
        .write_all(girih_plan::explain(&plan).as_bytes())?;
    Ok(Outcome::Holds)
}
