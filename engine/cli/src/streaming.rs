//! Models as streams: which axis, and why not.

use std::fmt::Write as _;

use girih_dsl::model::Model;
use girih_dsl::program::Program;
use girih_dsl::span::{FileId, Span};
use girih_graph::stream::Stream;
use girih_transform::{Whole, stream, time_axis};

use crate::failure::Failure;

/// The stream of a model along `axis`, or along its time axis.
///
/// # Errors
///
/// There is no such axis, or something needs the sequence as a whole.
pub fn stream_of(program: &Program, model: &Model, axis: Option<&str>) -> Result<Stream, Failure> {
    let own = time_axis(&model.graph);
    let axis = axis.or(own.as_deref()).ok_or_else(|| {
        Failure::Refused(
            "the model has no axis to stream: mark the axis of a sequence as `axis t: time`"
                .to_owned(),
        )
    })?;
    stream(&model.graph, axis).map_err(|whole| Failure::Refused(reason(program, &whole)))
}

/// Why a model needs its sequence as a whole: the cause, its place, what to write instead.
pub fn reason(program: &Program, whole: &Whole) -> String {
    let mut text = format!("the model needs its sequence as a whole: {whole}");
    if let Some(origin) = &whole.origin {
        let span = Span::new(FileId(origin.file), origin.start, origin.end);
        let known = program.sources.files().any(|file| file == span.file);
        if known {
            let place = program.sources.position(span);
            let name = program.sources.name(span.file);
            let line = program.sources.slice(span).lines().next().unwrap_or("");
            // Writing to a `String` cannot fail.
            let _ = write!(
                text,
                "\n --> {name}:{}:{}\n  |  {line}",
                place.line, place.column
            );
        }
        if !origin.path.is_empty() {
            let _ = write!(text, "\n  = in `{}`", origin.path);
        }
    }
    if let Some(mend) = whole.mend() {
        let _ = write!(text, "\n  = help: {mend}");
    }
    text
}
