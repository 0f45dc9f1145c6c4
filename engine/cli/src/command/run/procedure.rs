//! `girih run --procedure`: what is emitted comes as it is made, then what is returned.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use girih_dsl::procedure::Type;
use girih_runtime::backend::{Bindings, silent};
use girih_runtime::tensor::Tensor;
use girih_runtime::text::Tokenizer;
use girih_runtime::weights::write_safetensors;
use serde_json::json;

use super::{Args, read_inputs};
use crate::command::Streams;
use crate::failure::{Failure, Outcome};
use crate::procedure::{Around, Ready, Setup, Value, json as as_json, line, split_weights};
use crate::session::choose_model;
use crate::speaker::text_error;

pub(super) fn run(args: &Args, name: &str, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    if !args.text.is_empty() || args.mode != super::Mode::Full {
        return Err(Failure::Misuse(
            "a procedure says itself how it runs; leave `--text` and `--mode` out".to_owned(),
        ));
    }
    let backend = args.backend.make()?;
    let chosen = choose_model(&args.model, None, None, streams.colors, streams.watched)?;
    let weights = split_weights(&chosen.program, Some(name), &args.weights)?;
    let place = args.tokenizer.as_deref().or_else(|| {
        let beside = weights.values().next().map(std::path::PathBuf::as_path);
        beside.filter(|path| path.join("tokenizer.json").is_file())
    });
    let tokenizer = place.map(Tokenizer::open).transpose().map_err(text_error)?;
    let setup = Setup {
        program: &chosen.program,
        name: Some(name),
        backend: backend.as_ref(),
        weights: &weights,
        params: &BTreeMap::new(),
        set: &args.settings,
        seed: args.seed,
        colors: streams.colors,
        tokenizer: tokenizer.as_ref(),
    };
    let ready = Ready::new(&setup)?;
    let inputs = match &args.input {
        Some(file) => read_inputs(file)?,
        None => BTreeMap::new(),
    };
    let (input, out) = (&mut *streams.input, &mut *streams.out);
    let mut emit = |value: &Value, ty: &Type| -> Result<(), Failure> {
        if args.json {
            let shown = as_json(value, ty).map_err(refused)?;
            writeln!(out, "{}", json!({ "emit": shown }))?;
        } else {
            writeln!(out, "{}", line(value, ty).map_err(refused)?)?;
        }
        // Whoever reads along sees it now.
        out.flush()?;
        Ok(())
    };
    let result = ready.run(
        &inputs,
        &mut Around {
            emit: &mut emit,
            wait: &mut || event(input),
            progress: &mut silent,
            limit: Bindings::LIMIT,
        },
    )?;
    if let Some((ty, value)) = result {
        let shown = as_json(&value, &ty).map_err(refused)?;
        if args.json {
            writeln!(streams.out, "{}", json!({ "return": shown }))?;
        } else {
            writeln!(streams.out, "return: {ty}")?;
            writeln!(streams.out, "{}", line(&value, &ty).map_err(refused)?)?;
        }
        if let Some(path) = &args.output {
            write(path, &value, &ty)?;
        }
    }
    Ok(Outcome::Holds)
}

/// The next event: a line with what it says, such as `[4, 17]` or `{"question": [4, 17]}`.
fn event(input: &mut dyn BufRead) -> Result<Option<serde_json::Value>, Failure> {
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        let parsed = serde_json::from_str(text);
        return parsed.map(Some).map_err(|error| {
            Failure::Refused(format!(
                "`{text}` is no event: {error}; an event is a line such as `[4, 17]`"
            ))
        });
    }
}

/// The tensors of what was returned, by the names of its fields.
fn write(path: &Path, value: &Value, ty: &Type) -> Result<(), Failure> {
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    let mut leaves = Vec::new();
    ty.leaves("out", &mut leaves);
    for (name, _) in leaves {
        let words: Vec<String> = name.split('.').skip(1).map(str::to_owned).collect();
        if let Some(tensor) = value.tensor(ty, &words).map_err(refused)? {
            let name = name.strip_prefix("out.").unwrap_or(&name).to_owned();
            tensors.push((name, tensor));
        }
    }
    let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    write_safetensors(path, named, &BTreeMap::new())?;
    Ok(())
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}
