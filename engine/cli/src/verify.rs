//! Whether a model file says what an independent implementation computes.
//!
//! Which tensor is what stands in the model file's `golden` blocks; here they are run and
//! compared, within the tolerance that the reference's file names. A tensor of the file that
//! no block speaks of counts as a miss: silence proves nothing.
//!
//! | file      | question                                                      |
//! |-----------|---------------------------------------------------------------|
//! | `block`   | what does one golden block ask for?                           |
//! | `procedure` | what does a procedure give, and does that agree?            |
//! | `run`     | what does it give, and does that agree?                       |
//! | `leaf`    | how do tensors of a file become inputs, parameters, states?   |
//! | `compare` | how far is a tensor from its reference?                       |
//! | `kit`     | what more does a folder with a checkpoint and answers ask?    |
//! | `table`   | how is it all shown?                                          |

mod block;
mod compare;
mod kit;
mod leaf;
mod procedure;
mod run;
mod stream;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use girih_dsl::blocks::{Stored, golden_blocks, is_for_procedure};
use girih_dsl::diag::{Colors, Sink};
use girih_dsl::model::Static;
use girih_dsl::program::Program;
use girih_runtime::backend::Backend;
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::{self, WeightError, WeightSource};

use crate::checkpoint::{Checkpoint, map_of, stored_of};
use crate::failure::Failure;
use crate::source::mistakes;
use crate::tolerance::Tolerance;
use block::{Block, prepare};
pub use compare::Row;
pub use table::{to_json, to_text};

/// What a verification found.
#[derive(Debug, Default)]
pub struct Report {
    /// One for each compared tensor.
    pub rows: Vec<Row>,
    /// Blocks that do not apply, and why.
    pub notes: Vec<String>,
}

impl Report {
    /// Tensors that do not agree.
    pub fn misses(&self) -> usize {
        self.rows.iter().filter(|row| !row.ok).count()
    }
}

/// What all blocks of one verification share.
struct Case<'a> {
    program: &'a Program,
    backend: &'a dyn Backend,
    colors: Colors,
    tensors: Tensors<'a>,
    stored: Vec<Stored>,
    config: BTreeMap<String, Static>,
    tolerance: Tolerance,
    /// Where parameters come from that no golden block gives.
    checkpoint: Option<&'a Checkpoint>,
    /// The tensor that says which positions count.
    mask: Option<&'static str>,
}

/// Tensors of the reference's file, some of them replaced for one run.
#[derive(Clone)]
struct Tensors<'a> {
    source: &'a dyn WeightSource,
    replaced: BTreeMap<String, Tensor>,
}

impl Tensors<'_> {
    fn get(&self, name: &str) -> Result<Tensor, WeightError> {
        match self.replaced.get(name) {
            Some(tensor) => Ok(tensor.clone()),
            None => self.source.tensor(name),
        }
    }
}

/// Verifies a model file against a golden file, or against a folder with `config.json`,
/// `model.safetensors` and `io.safetensors`.
///
/// # Errors
///
/// Files that cannot be read, mistakes in the model file, a run that fails.
pub fn verify(
    program: &Program,
    path: &Path,
    backend: &dyn Backend,
    colors: Colors,
) -> Result<Report, Failure> {
    if path.is_dir() {
        return kit::verify_kit(program, path, backend, colors);
    }
    let source = weights::open(path)?;
    let config = match source.metadata().lookup_json("config") {
        Some(config) => {
            let broken = |error| {
                Failure::Refused(format!(
                    "the `config` of `{}` is not JSON: {error}",
                    path.display()
                ))
            };
            map_of(&config.map_err(broken)?)
        }
        None => BTreeMap::new(),
    };
    let mut report = Report::default();
    let case = Case {
        program,
        backend,
        colors,
        stored: stored_of(source.as_ref()),
        config,
        tolerance: tolerance_of(source.as_ref(), &mut report),
        tensors: Tensors {
            source: source.as_ref(),
            replaced: BTreeMap::new(),
        },
        checkpoint: None,
        mask: None,
    };
    let mut claimed = BTreeSet::new();
    for block in case.blocks(&mut report)? {
        claimed.extend(block.claimed());
        report.rows.extend(case.run_block(&block)?);
    }
    let declared = golden_blocks(program);
    case.procedures(&declared, &mut claimed, &mut report)?;
    case.add_unclaimed(&claimed, &mut report);
    Ok(report)
}

fn tolerance_of(source: &dyn WeightSource, report: &mut Report) -> Tolerance {
    let text = source
        .metadata()
        .lookup("tolerance")
        .and_then(|text| text.as_str());
    text.and_then(Tolerance::parse).unwrap_or_else(|| {
        report.notes.push("the file names no tolerance".to_owned());
        Tolerance::DEFAULT
    })
}

impl Case<'_> {
    /// The golden blocks that speak of the file, elaborated.
    fn blocks(&self, report: &mut Report) -> Result<Vec<Block>, Failure> {
        let declared = golden_blocks(self.program);
        if declared.is_empty() {
            return Err(Failure::Refused(
                "the model file has no `golden` block, which says what the file's tensors are"
                    .to_owned(),
            ));
        }
        let mut blocks = Vec::new();
        let mut sink = Sink::new();
        for golden in &declared {
            if is_for_procedure(self.program, golden) {
                continue;
            }
            match prepare(self, golden, &mut sink)? {
                Some(Ok(block)) => blocks.push(block),
                Some(Err(reason)) => report.notes.push(format!(
                    "golden block `{}` does not apply: {reason}",
                    golden.name.text
                )),
                None => {}
            }
        }
        if sink.has_errors() {
            return Err(mistakes(&self.program.sources, &sink, self.colors));
        }
        Ok(blocks)
    }

    /// Tensors that nothing speaks of are misses.
    fn add_unclaimed(&self, claimed: &BTreeSet<String>, report: &mut Report) {
        for stored in &self.stored {
            if !claimed.contains(&stored.name) {
                report
                    .rows
                    .push(Row::unclaimed(&stored.name, &stored.shape));
            }
        }
    }
}

/// An error of the libraries below, in their words.
fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}
