//! `girih show`: the source of a module, wherever it is declared.

use std::collections::BTreeSet;
use std::path::PathBuf;

use girih_dsl::ast::{Expr, ExprKind, ItemKind, MemberKind, Module, ModuleKind};
use girih_dsl::diag::Sink;
use girih_dsl::program::{ItemRef, NoFiles, Program};
use serde_json::json;

use super::Streams;
use crate::failure::{Failure, Outcome};
use crate::source::load;

/// Show the source of a module, function or axis, of the standard library too.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih show RmsNorm
  girih show Block model.girih
  girih show                     every module of the standard library, in a line each")]
pub(super) struct Args {
    /// What to show; without it, everything that can be shown is listed.
    name: Option<String>,
    /// Look in this file and what it uses, then in the standard library.
    file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    // Mistakes in the file do not hide what can be read of it.
    let program = match &args.file {
        Some(path) => load(path)?.0,
        None => Program::load("nothing", "", &NoFiles, &mut Sink::new()),
    };
    let entry = program.entry();
    let Some(name) = &args.name else {
        list(&program, args.json, streams)?;
        return Ok(Outcome::Holds);
    };
    let Some(place) = program.find(entry, name) else {
        let mut message = format!("there is no `{name}`");
        let near: Vec<String> = (program.names(entry))
            .filter(|own| own.to_lowercase().contains(&name.to_lowercase()))
            .map(|own| format!("`{own}`"))
            .collect();
        if !near.is_empty() {
            let near = near.join(" or ");
            message = format!("{message}; did you mean {near}?");
        } else if args.file.is_none() {
            message.push_str(" in the standard library; `girih show` lists it");
        }
        return Err(Failure::Misuse(message));
    };
    show(&program, name, place, args.json, streams)?;
    Ok(Outcome::Holds)
}

fn show(
    program: &Program,
    name: &str,
    place: ItemRef,
    as_json: bool,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let item = program.item(place);
    let source = program.sources.slice(item.span);
    let file = program.sources.name(item.span.file);
    let line = program.sources.position(item.span).line;
    let used = match &item.kind {
        ItemKind::Module(module) => uses(program, place, module),
        _ => Vec::new(),
    };
    if as_json {
        let uses: Vec<_> = (used.iter())
            .map(|(path, module, file)| json!({"path": path, "module": module, "file": file}))
            .collect();
        let report = json!({
            "name": name, "file": file, "line": line, "doc": item.doc, "source": source, "uses": uses,
        });
        writeln!(streams.out, "{report:#}")?;
        return Ok(());
    }
    writeln!(streams.out, "# {file}:{line}")?;
    for line in item.doc.iter().flat_map(|doc| doc.lines()) {
        writeln!(streams.out, "{}", format!("## {}", line.trim()).trim_end())?;
    }
    writeln!(streams.out, "{source}")?;
    if !used.is_empty() {
        writeln!(streams.out, "\n# uses")?;
        let wide = used.iter().map(|(path, ..)| path.len()).max().unwrap_or(0);
        let wider = used
            .iter()
            .map(|(_, module, _)| module.len())
            .max()
            .unwrap_or(0);
        for (path, module, file) in &used {
            writeln!(streams.out, "#   {path:wide$}  {module:wider$}  {file}")?;
        }
    }
    Ok(())
}

/// The modules inside a module: path, name, file.
fn uses(program: &Program, place: ItemRef, module: &Module) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for member in &module.members {
        let entries: Vec<(&str, &Expr)> = match &member.kind {
            MemberKind::Sub(sub) => vec![(program.sources.slice(sub.path.span), &sub.value)],
            MemberKind::Stack(stack) => {
                vec![(program.sources.slice(stack.path.span), &stack.value)]
            }
            MemberKind::Experts(experts) => (experts.branches.iter())
                .map(|branch| (branch.name.text.as_str(), &branch.value))
                .collect(),
            _ => continue,
        };
        for (path, value) in entries {
            let mut names = BTreeSet::new();
            modules_in(value, &mut names);
            for name in names {
                let Some(target) = program.find(place.file, name) else {
                    continue;
                };
                let item = program.item(target);
                if matches!(item.kind, ItemKind::Module(_)) {
                    let file = program.sources.name(item.span.file).to_owned();
                    found.push((path.to_owned(), name.to_owned(), file));
                }
            }
        }
    }
    found
}

/// Names in a module value that may be modules.
fn modules_in<'a>(value: &'a Expr, names: &mut BTreeSet<&'a str>) {
    match &value.kind {
        ExprKind::Name(name) => {
            names.insert(name);
        }
        ExprKind::Call { callee, args } => {
            modules_in(callee, names);
            for arg in args {
                modules_in(&arg.value, names);
            }
        }
        ExprKind::If { then, other, .. } => {
            modules_in(then, names);
            modules_in(other, names);
        }
        ExprKind::List(items) | ExprKind::Tuple(items) => {
            for item in items {
                modules_in(item, names);
            }
        }
        _ => {}
    }
}

/// Every item that the entry file can name, library first, with the first line of its doc.
fn list(program: &Program, as_json: bool, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let entry = program.entry();
    let mut rows = Vec::new();
    for name in program.names(entry) {
        let Some(place) = program.find(entry, name) else {
            continue;
        };
        let item = program.item(place);
        let kind = match &item.kind {
            ItemKind::Module(module) => match module.kind {
                ModuleKind::Module => "module",
                ModuleKind::Model => "model",
                ModuleKind::Memory => "memory",
            },
            ItemKind::Fn(_) => "fn",
            ItemKind::Axis(_) => "axis",
            ItemKind::Let(..) => "let",
            ItemKind::Procedure(_) => "procedure",
            _ => continue,
        };
        let doc = item
            .doc
            .as_deref()
            .and_then(|doc| doc.lines().next())
            .unwrap_or("")
            .trim();
        let file = program.sources.name(item.span.file);
        rows.push((
            file.to_owned(),
            item.span.start,
            kind,
            name.to_owned(),
            doc.to_owned(),
        ));
    }
    rows.sort();
    if as_json {
        let rows: Vec<_> = (rows.iter())
            .map(|(file, _, kind, name, doc)| json!({"name": name, "kind": kind, "file": file, "doc": doc}))
            .collect();
        writeln!(streams.out, "{:#}", json!(rows))?;
        return Ok(());
    }
    let wide = rows
        .iter()
        .map(|row| row.3.chars().count())
        .max()
        .unwrap_or(0);
    let mut last = String::new();
    for (file, _, kind, name, doc) in rows {
        if file != last {
            let gap = if last.is_empty() { "" } else { "\n" };
            writeln!(streams.out, "{gap}{file}")?;
            last = file;
        }
        writeln!(
            streams.out,
            "{}",
            format!("  {kind:6} {name:wide$}  {doc}").trim_end()
        )?;
    }
    Ok(())
}
