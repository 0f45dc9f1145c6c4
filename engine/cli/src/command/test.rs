//! `girih test`: runs the `test` blocks of a model file, and checks what its modules promise.

use std::collections::BTreeMap;
use std::path::PathBuf;

use girih_dsl::diag::Colors;
use girih_dsl::model::{Expectation, Static, Test, TestModel};
use girih_dsl::procedure::Procedure;
use girih_dsl::program::Program;
use girih_dsl::span::Span;
use girih_runtime::backend::{Backend, Bindings, Outputs, silent};
use indicatif::ProgressBar;
use serde_json::json;

use super::Streams;
use crate::contract::{Asked, Contract, Finding, Table, check_modules};
use crate::failure::{Failure, Outcome};
use crate::procedure::{self, Ready, Setup, worst_difference};
use crate::source::{counted, load, mistakes};
use crate::{backend, setting};

/// Run the `test` blocks of a model file, and check every module as a stream.
///
/// Every `expect` must hold. A module whose sequence can come piece by piece must give what it
/// gives on the whole, for pieces of 1, 2, 3, 7 and 64 positions; what comes later and other
/// elements of a batch must change nothing. Parameters take their starting values, drawn from
/// the seed. Modules that are large as the file has them are named and left out unless they are made
/// small with `--set`, or `--large` is given. Status 1 if something does not hold.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih test model.girih
  girih test model.girih --seed 7
  girih test llama.girih --set d=64 --set depth=2
  girih test model.girih --table               what each module carries as a stream")]
pub(super) struct Args {
    /// The model file.
    file: PathBuf,
    /// Seed of random draws and starting values.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What computes: `cpu`, `reference`, or a device of a plugin by its name.
    #[arg(long, default_value = "reference")]
    backend: String,
    /// Show what each module carries from position to position.
    #[arg(long)]
    table: bool,
    /// A static argument of every module that has it. May be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting::parse)]
    settings: Vec<(String, Static)>,
    /// Check modules of any size.
    #[arg(long)]
    large: bool,
    /// Print the outcomes as JSON.
    #[arg(long)]
    json: bool,
}

/// One claim and what came of it.
struct Verdict {
    line: usize,
    holds: bool,
    /// In words: by how much it fails, or why it could not be computed.
    detail: String,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let backend = backend::by_name(&args.backend, &backend::Options::default())?;
    let (program, mut sink) = load(&args.file)?;
    let tests = procedure::tests(&program, &mut sink);
    if sink.has_errors() {
        return Err(mistakes(&program.sources, &sink, streams.colors));
    }
    let mut report = Vec::new();
    let mut failed = 0;
    let mut claims = 0;
    for test in &tests {
        let (name, verdicts) = match test {
            Test::Graph(test) => (&test.name, judged(test, backend.as_ref(), args.seed)),
            Test::Steps(steps, span) => {
                let made = (&program, backend.as_ref(), args.seed, streams.colors);
                (&steps.name, walked(made, steps, *span))
            }
        };
        let lines = verdicts.into_iter();
        let lines = lines.map(|(span, holds, detail)| Verdict {
            line: program.sources.position(span).line,
            holds,
            detail,
        });
        let lines: Vec<Verdict> = lines.collect();
        claims += lines.len();
        failed += lines.iter().filter(|verdict| !verdict.holds).count();
        if args.json {
            let claims = lines.iter().map(|verdict| {
                json!({ "line": verdict.line, "holds": verdict.holds, "detail": verdict.detail })
            });
            report.push(json!({ "test": name, "claims": claims.collect::<Vec<_>>() }));
            continue;
        }
        let holds = lines.iter().all(|verdict| verdict.holds);
        writeln!(
            streams.out,
            "{} {}",
            if holds { "ok  " } else { "FAIL" },
            name
        )?;
        for verdict in lines.iter().filter(|verdict| !verdict.holds) {
            let file = args.file.display();
            writeln!(
                streams.out,
                "     {file}:{}: {}",
                verdict.line, verdict.detail
            )?;
        }
    }
    let asked = Asked {
        statics: args.settings.clone(),
        seed: args.seed,
        large: args.large,
    };
    let bar = progress(streams.watched);
    let mut tell = |module: &str| bar.set_message(module.to_owned());
    let contracts = check_modules(&program, backend.as_ref(), &asked, &mut tell);
    bar.finish_and_clear();
    let broken = |contract: &&Contract| matches!(contract.finding, Finding::Broken(_));
    failed += contracts.iter().filter(broken).count();
    if args.json {
        let modules: Vec<_> = contracts.iter().map(described).collect();
        writeln!(
            streams.out,
            "{:#}",
            json!({ "tests": report, "modules": modules, "failed": failed })
        )?;
    } else {
        for contract in &contracts {
            for line in lines_of(contract, args.table) {
                writeln!(streams.out, "{line}")?;
            }
        }
        let (tests, claims) = (counted(tests.len(), "test"), counted(claims, "claim"));
        writeln!(streams.out, "{tests}, {claims}, {failed} failed")?;
    }
    Ok(if failed == 0 {
        Outcome::Holds
    } else {
        Outcome::DoesNotHold
    })
}

/// Says which module is being checked, to whoever watches.
fn progress(watched: bool) -> ProgressBar {
    let bar = crate::progress::bar(watched, 4);
    bar.set_style(crate::progress::style(
        "{spinner:.cyan} checking {msg}, {elapsed}",
    ));
    if watched {
        bar.enable_steady_tick(std::time::Duration::from_millis(250));
    }
    bar
}

/// A module as JSON.
fn described(contract: &Contract) -> serde_json::Value {
    let (outcome, why) = match &contract.finding {
        Finding::Holds(table) => {
            return json!({
                "module": contract.module,
                "along": contract.along,
                "outcome": "holds",
                "states": table.states.iter().map(|(kind, count)| json!({"kind": kind, "count": count})).collect::<Vec<_>>(),
                "bytes_per_token": table.per_token.to_string(),
                "bytes": table.fixed.to_string(),
                "latency": table.latency,
                "reach": table.reach,
            });
        }
        Finding::Broken(why) => ("broken", why.as_str()),
        Finding::Whole(why) => ("whole", why.as_str()),
        Finding::Skipped(why) => ("skipped", why.as_str()),
        Finding::Large(why) => ("large", why.as_str()),
        Finding::Still => ("still", ""),
    };
    json!({
        "module": contract.module,
        "along": contract.along,
        "outcome": outcome,
        "why": why,
    })
}

/// A module in words: always what is broken or left out as it is large, with `table` what it carries or why it does not.
fn lines_of(contract: &Contract, table: bool) -> Vec<String> {
    let module = match &contract.along {
        Some(axis) => format!("{} along `{axis}`", contract.module),
        None => contract.module.clone(),
    };
    match &contract.finding {
        Finding::Broken(why) => vec![format!("FAIL {module}: {why}")],
        Finding::Large(why) => vec![format!("     {module}: not checked: {why}")],
        Finding::Holds(own) if table => vec![format!("ok   {module}: {}", shown(own))],
        Finding::Holds(_) => vec![format!("ok   {module} as a stream")],
        Finding::Whole(why) if table => {
            let mut lines = why.lines();
            let first = lines.next().unwrap_or_default();
            let mut all = vec![format!("     {module}: {first}")];
            all.extend(lines.map(|line| format!("     {line}")));
            all
        }
        Finding::Skipped(why) if table => vec![format!("     {module}: not run alone: {why}")],
        Finding::Still if table => vec![format!("     {module}: has no sequence")],
        Finding::Whole(_) | Finding::Skipped(_) | Finding::Still => Vec::new(),
    }
}

fn shown(table: &Table) -> String {
    let states: Vec<String> = table
        .states
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let states = if states.is_empty() {
        "nothing carried".to_owned()
    } else {
        states.join(", ")
    };
    let reach = table
        .reach
        .map_or("all before".to_owned(), |reach| format!("{reach} before"));
    format!(
        "{states}; {} bytes per token and {} bytes; latency {}; reads {reach}",
        table.per_token, table.fixed, table.latency
    )
}

/// The claims of a test that computes values: where they stand, whether they hold, and in words.
fn judged(test: &TestModel, backend: &dyn Backend, seed: u64) -> Vec<(Span, bool, String)> {
    let outputs = outputs_of(test, backend, seed);
    let verdict = |own: &Expectation| {
        let (holds, detail) = match &outputs {
            Ok(outputs) => judge(own, outputs),
            Err(problem) => (false, problem.clone()),
        };
        (own.span, holds, detail)
    };
    test.expectations.iter().map(verdict).collect()
}

/// The claims of a test that does what procedures do. What ends it before its end is a claim that fails.
fn walked(
    (program, backend, seed, colors): (&Program, &dyn Backend, u64, Colors),
    steps: &Procedure,
    name: Span,
) -> Vec<(Span, bool, String)> {
    let setup = Setup {
        program,
        name: None,
        backend,
        weights: &BTreeMap::new(),
        params: &BTreeMap::new(),
        set: &[],
        seed,
        colors,
        tokenizer: None,
    };
    let (verdicts, end) = match Ready::test(&setup, steps.clone()) {
        Ok(ready) => ready.judge(),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    let verdicts = verdicts.into_iter();
    let verdicts = verdicts.map(|own| (own.span, own.holds, own.detail));
    let end = end.map(|failure| (name, false, failure.to_string()));
    verdicts.chain(end).collect()
}

fn outputs_of(test: &TestModel, backend: &dyn Backend, seed: u64) -> Result<Outputs, String> {
    let mut bindings = Bindings::new();
    bindings.seed = seed;
    let start = backend
        .compile(&test.init)
        .map_err(|error| error.to_string())?;
    let start = start
        .run(&bindings, &mut silent)
        .map_err(|error| error.to_string())?;
    for (path, output) in start.results {
        bindings = bindings.param(&path, output.data);
    }
    let graph = backend
        .compile(&test.graph)
        .map_err(|error| error.to_string())?;
    graph
        .run(&bindings, &mut silent)
        .map_err(|error| error.to_string())
}

fn judge(expectation: &Expectation, outputs: &Outputs) -> (bool, String) {
    let found = compare(expectation, outputs);
    found.unwrap_or_else(|problem| (false, problem))
}

fn compare(expectation: &Expectation, outputs: &Outputs) -> Result<(bool, String), String> {
    let values = |name: &str| {
        let tensor = outputs.tensor(name).map_err(|error| error.to_string())?;
        Ok::<_, String>(tensor.to_f64_vec())
    };
    let left = values(&expectation.left)?;
    let Some(right_name) = &expectation.right else {
        let failing = left.iter().filter(|truth| **truth == 0.0).count();
        return Ok((
            failing == 0,
            format!("the claim fails at {failing} of {} positions", left.len()),
        ));
    };
    let axes = |name: &str| {
        outputs
            .results
            .get(name)
            .map(|output| output.axes.clone())
            .unwrap_or_default()
    };
    let order: Option<Vec<usize>> = (axes(&expectation.left).iter())
        .map(|axis| axes(right_name).iter().position(|own| own == axis))
        .collect();
    let right = outputs
        .tensor(right_name)
        .map_err(|error| error.to_string())?;
    let right = match order {
        Some(order) => right.permute(&order).map_err(|error| error.to_string())?,
        None => return Err("the two sides have unlike axes".to_owned()),
    };
    let right = right.to_f64_vec();
    let worst = worst_difference(&left, &right);
    let tolerance = expectation.tolerance.unwrap_or(0.0);
    let detail = format!("the sides differ by up to {worst:.3e}, allowed is {tolerance:e}");
    Ok((left.len() == right.len() && worst <= tolerance, detail))
}
