//! Models as streams: which axis, and why not.

use girih_dsl::diag::{Code, Colors, Diagnostic, Sink};
use girih_dsl::model::Model;
use girih_dsl::program::Program;
use girih_dsl::span::{FileId, Span};
use girih_graph::stream::{Stream, StreamResult};
use girih_transform::{Cause, Whole, stream, time_axis};

use crate::failure::Failure;
use crate::source::{counted, mistakes};

/// The stream of a model along `axis`, or along its time axis.
///
/// # Errors
///
/// There is no such axis, or something needs the sequence as a whole.
pub fn stream_of(
    program: &Program,
    model: &Model,
    axis: Option<&str>,
    colors: Colors,
) -> Result<Stream, Failure> {
    let own = time_axis(&model.graph);
    let axis = axis.or(own.as_deref()).ok_or_else(|| {
        Failure::Refused(
            "the model has no axis to stream: mark the axis of a sequence as `axis t: time`"
                .to_owned(),
        )
    })?;
    stream(&model.graph, axis).map_err(|whole| {
        let mut sink = Sink::new();
        sink.report(refusal(program, &whole));
        mistakes(&program.sources, &sink, colors)
    })
}

/// How much later a result comes than its positions.
pub fn lateness(late: &StreamResult) -> String {
    let by = usize::try_from(late.latency).unwrap_or(usize::MAX);
    format!(
        "`{}` comes {} late, as it depends on what comes later",
        late.name,
        counted(by, "position"),
    )
}

/// Why a model needs its sequence as a whole: the cause, its place, what to write instead.
pub fn refusal(program: &Program, whole: &Whole) -> Diagnostic {
    let code = match &whole.cause {
        Cause::Future { .. }
        | Cause::Ahead { .. }
        | Cause::Reverse { .. }
        | Cause::Computed { .. } => Code::new(420),
        Cause::Length(_) | Cause::AtEnd { .. } | Cause::Fixed(_) => Code::new(421),
        Cause::NoAxis(_)
        | Cause::Sorted { .. }
        | Cause::Regrouped { .. }
        | Cause::Stored { .. }
        | Cause::Pairs { .. }
        | Cause::Inside { .. }
        | Cause::Native { .. }
        | Cause::Op(_) => Code::new(422),
    };
    let message = format!("the model needs its sequence as a whole: {whole}");
    let mut told = Diagnostic::error(code, message);
    if let Some(origin) = &whole.origin {
        let span = Span::new(FileId(origin.file), origin.start, origin.end);
        if program.sources.files().any(|file| file == span.file) {
            told = told.at(span, "");
        }
        if !origin.path.is_empty() {
            told = told.note(format!("it is in `{}`", origin.path));
        }
    }
    match whole.mend() {
        Some(mend) => told.help(mend),
        None => told,
    }
}
