//! From a path to a program, and from diagnostics to text: what every command that takes
//! a model file begins with.

use std::fmt::Write as _;
use std::path::Path;

use girih_dsl::diag::{Colors, Severity, Sink, render_with};
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::Model;
use girih_dsl::program::Program;
use girih_dsl::source::SourceMap;

use crate::failure::Failure;
use crate::loader::{DiskLoader, read_text};
use crate::promise::check_promises;

/// Reads a model file and all it uses. Mistakes in it are in the sink.
///
/// # Errors
///
/// The file cannot be read.
pub fn load(path: &Path) -> Result<(Program, Sink), Failure> {
    let text = read_text(path).map_err(|problem| Failure::Read {
        path: path.to_owned(),
        problem,
    })?;
    let mut sink = Sink::new();
    let program = Program::load(&path.display().to_string(), &text, &DiskLoader, &mut sink);
    Ok((program, sink))
}

/// Elaborates one module of a program, or says what is wrong with the files.
///
/// # Errors
///
/// The mistakes in the file, those that the sink already holds included.
pub fn compile(
    program: &Program,
    request: &Request,
    mut sink: Sink,
    colors: Colors,
) -> Result<Model, Failure> {
    let model = elaborate(program, request, &mut sink);
    if let Some(model) = &model {
        check_promises(&model.graph, &mut sink);
    }
    if sink.has_errors() {
        return Err(mistakes(&program.sources, &sink, colors));
    }
    model.ok_or_else(|| Failure::Refused("the model cannot be elaborated".to_owned()))
}

/// All that the sink holds, as the text of a failure.
pub fn mistakes(sources: &SourceMap, sink: &Sink, colors: Colors) -> Failure {
    Failure::Mistakes(render_all(sources, sink, colors))
}

/// Every diagnostic, a blank line after each, then how many there are.
pub fn render_all(sources: &SourceMap, sink: &Sink, colors: Colors) -> String {
    let mut text = String::new();
    for diagnostic in sink.sorted() {
        text.push_str(&render_with(sources, diagnostic, colors));
        text.push_str("\n\n");
    }
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{}", tally(sink));
    text
}

/// `2 errors, 1 warning`, `no mistakes`.
pub fn tally(sink: &Sink) -> String {
    let parts: Vec<String> = [
        (Severity::Error, "error"),
        (Severity::Warning, "warning"),
        (Severity::Note, "note"),
    ]
    .into_iter()
    .filter_map(|(severity, word)| {
        let count = (sink.diagnostics().iter())
            .filter(|found| found.severity == severity)
            .count();
        (count > 0).then(|| counted(count, word))
    })
    .collect();
    if parts.is_empty() {
        "no mistakes".to_owned()
    } else {
        parts.join(", ")
    }
}

/// `1 module`, `2 modules`.
pub fn counted(count: usize, word: &str) -> String {
    if count == 1 {
        format!("1 {word}")
    } else {
        format!("{count} {word}s")
    }
}
