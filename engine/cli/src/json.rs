//! Diagnostics as JSON, for editors and scripts.

use girih_dsl::diag::{Diagnostic, Label, Severity, Sink};
use girih_dsl::source::SourceMap;
use serde_json::{Value, json};

/// Every diagnostic with its places. Lines and columns count from 1, columns in characters;
/// `end` is one past the last character.
pub fn diagnostics(sources: &SourceMap, sink: &Sink) -> Value {
    let all = sink.sorted();
    Value::Array(all.into_iter().map(|d| diagnostic(sources, d)).collect())
}

fn diagnostic(sources: &SourceMap, diagnostic: &Diagnostic) -> Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let labels = diagnostic.labels.iter().map(|found| label(sources, found));
    json!({
        "code": diagnostic.code.to_string(),
        "severity": severity,
        "message": diagnostic.message,
        "labels": labels.collect::<Vec<_>>(),
        "notes": diagnostic.notes,
        "help": diagnostic.help,
    })
}

fn label(sources: &SourceMap, label: &Label) -> Value {
    let place = |offset| {
        let position = sources.position_of(label.span.file, offset);
        json!({"line": position.line, "column": position.column})
    };
    json!({
        "file": sources.name(label.span.file),
        "start": place(label.span.start),
        "end": place(label.span.end),
        "text": label.text,
        "primary": label.primary,
    })
}
