//! Which tensors of a file a procedure is given, and which it has to give.
//!
//! `set` lines are static parameters of its models, inputs and sizes; `input` lines are inputs,
//! `param` lines parameters of its models (of several models under their names), `value` lines
//! parts of what it returns.

use std::collections::BTreeMap;

use super::super::Stored;
use super::source::Names;
use super::{ConfigReader, Golden, Lines, Named, Reader};
use crate::ast::{ExprKind, GoldenBlock, GoldenEntry, GoldenRole, ItemKind};
use crate::diag::{Code, Diagnostic, Sink};
use crate::elaborate::Request;
use crate::model::{Model, Static};
use crate::program::Program;

/// What a block asks for of a procedure.
#[derive(Clone, Debug)]
pub struct ProcedureGolden {
    /// The block's name.
    pub name: String,
    /// The procedure.
    pub procedure: String,
    /// Static parameters of models, inputs, sizes.
    pub set: Vec<(String, Static)>,
    /// Inputs.
    pub inputs: Vec<Named>,
    /// Parts of the result, to be compared.
    pub values: Vec<Named>,
    /// Tensors that are not used on purpose.
    pub ignored: Vec<String>,
    /// Why the block has nothing to do with the file, if it has not.
    pub elsewhere: Option<String>,
    open: Vec<GoldenEntry>,
}

/// Whether a block is for a procedure.
pub fn is_for_procedure(program: &Program, block: &GoldenBlock) -> bool {
    let ExprKind::Name(name) = &block.model.kind else {
        return false;
    };
    program
        .find(program.entry(), name)
        .is_some_and(|place| matches!(program.item(place).kind, ItemKind::Procedure(_)))
}

/// What a block for a procedure asks for of a file with these tensors and this configuration.
/// Mistakes go to the sink; `None` if there was one.
pub fn read_procedure_golden(
    program: &Program,
    block: &GoldenBlock,
    config: &BTreeMap<String, Static>,
    stored: &[Stored],
    sink: &mut Sink,
) -> Option<ProcedureGolden> {
    let ExprKind::Name(procedure) = &block.model.kind else {
        return None;
    };
    let mut reader = Reader {
        program,
        block,
        config: ConfigReader::new(program, config, Vec::new()),
        names: Names::of(stored),
        sink,
        failed: false,
    };
    let mut golden = Golden {
        name: block.name.text.clone(),
        request: Request::default(),
        sizes: BTreeMap::new(),
        groups: BTreeMap::new(),
        elsewhere: None,
        lines: Lines::default(),
        open: Vec::new(),
    };
    for entry in &block.entries {
        let role = entry.role;
        if !matches!(
            role,
            GoldenRole::Input | GoldenRole::Param | GoldenRole::Value | GoldenRole::Ignore
        ) {
            let diagnostic = Diagnostic::error(
                Code::new(612),
                "a procedure has inputs, parameters and values".to_owned(),
            )
            .at(entry.span, "nothing of a procedure")
            .help("say this of the model: `golden name for Model { … }`");
            reader.fail(diagnostic);
        }
    }
    reader.read_lines(&mut golden);
    reader.decide(&mut golden);
    let mut set = Vec::new();
    if golden.elsewhere.is_none() {
        for setting in &block.sets {
            let read = reader.config.set(setting, reader.sink);
            reader.failed |= read.is_none();
            set.extend(read.and_then(|()| reader.config.above().last().cloned()));
        }
    }
    (!reader.failed).then(|| ProcedureGolden {
        name: golden.name,
        procedure: procedure.clone(),
        set,
        inputs: golden.lines.inputs,
        values: golden.lines.values,
        ignored: golden.lines.ignored,
        elsewhere: golden.elsewhere,
        open: golden.open,
    })
}

impl ProcedureGolden {
    /// The lines of parameters, their paths with the model's name first. Mistakes go to the sink;
    /// `None` if there was one.
    pub fn params(
        &self,
        models: &[(String, Model)],
        stored: &[Stored],
        sink: &mut Sink,
    ) -> Option<Vec<Named>> {
        let mut known: Vec<(String, String)> = Vec::new();
        for (name, model) in models {
            for param in &model.params {
                let path = format!("{name}.{}", param.path);
                for own in [&param.path, &param.stored_name] {
                    // The only model needs no name.
                    let written = match models {
                        [_] => own.clone(),
                        _ => format!("{name}.{own}"),
                    };
                    known.push((written, path.clone()));
                }
            }
        }
        let known: Vec<(&str, &str)> = known
            .iter()
            .map(|(written, path)| (written.as_str(), path.as_str()))
            .collect();
        let names = Names::of(stored);
        let mut found: Vec<Named> = Vec::new();
        for entry in &self.open {
            match names.for_model(entry, &known) {
                Ok(own) => found.extend(own),
                Err(diagnostic) => {
                    sink.report(*diagnostic);
                    return None;
                }
            }
        }
        // A line of its own goes before a wildcard's.
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|named| seen.insert(named.path.clone()));
        Some(found)
    }
}
