//! `cargo bench`: every workload of `examples/bench` once, in a table.
//!
//! Words after `--` pick workloads by parts of their names, options go to `girih bench`:
//! `cargo bench -p girih --bench models -- attention --threads 2`. Without `--bench`, which
//! `cargo bench` adds, nothing is measured, so that tests of all targets stay quick.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use girih::command::{Streams, run};
use girih_dsl::diag::Colors;
use serde_json::Value;

fn main() -> io::Result<ExitCode> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if !given.iter().any(|word| word == "--bench") {
        return Ok(ExitCode::SUCCESS);
    }
    let given: Vec<String> = given.into_iter().filter(|word| word != "--bench").collect();
    let first_option = given.iter().position(|word| word.starts_with('-'));
    let (parts, options) = given.split_at(first_option.unwrap_or(given.len()));
    let mut out = io::stdout().lock();
    let head = [
        "workload",
        "median ms",
        "min ms",
        "cpu ms",
        "tokens/s",
        "peak MiB",
        "compile ms",
    ];
    writeln!(out, "{}", line(&head.map(str::to_owned)))?;
    let mut status = ExitCode::SUCCESS;
    for file in workloads()? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        if !parts.is_empty() && !parts.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        match measure(&file, options) {
            Ok(found) => {
                let number = |key: &str, unit: f64| match found[key].as_f64() {
                    Some(number) => format!("{:.3}", number / unit),
                    None => "–".to_owned(),
                };
                let cells = [
                    name.into_owned(),
                    number("median_ms", 1.0),
                    number("min_ms", 1.0),
                    number("cpu_ms", 1.0),
                    number("tokens_per_s", 1.0),
                    number("peak_bytes", f64::from(1 << 20)),
                    number("compile_ms", 1.0),
                ];
                writeln!(out, "{}", line(&cells))?;
            }
            Err(said) => {
                writeln!(out, "{name}: {}", said.trim())?;
                status = ExitCode::FAILURE;
            }
        }
        out.flush()?;
    }
    Ok(status)
}

fn workloads() -> io::Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/bench");
    let mut files = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<PathBuf>>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "girih"));
    files.sort();
    Ok(files)
}

/// What `girih bench` finds, or says.
fn measure(file: &Path, options: &[String]) -> Result<Value, String> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut words: Vec<std::ffi::OsString> = vec!["girih".into(), "bench".into(), file.into()];
    words.push("--json".into());
    words.extend(options.iter().map(Into::into));
    let status = run(
        words,
        &mut Streams {
            input: &mut std::io::empty(),
            out: &mut out,
            err: &mut err,
            colors: Colors::No,
            watched: false,
        },
    );
    if status != 0 {
        return Err(String::from_utf8_lossy(&err).into_owned());
    }
    serde_json::from_slice(&out).map_err(|error| error.to_string())
}

fn line(cells: &[String; 7]) -> String {
    let [name, numbers @ ..] = cells;
    let numbers = numbers.iter().map(|cell| format!("{cell:>12}"));
    format!("{name:<20}{}", numbers.collect::<String>())
}
