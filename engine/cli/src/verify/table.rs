//! A report as a table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Report, Row};

/// The table, then the totals and what does not apply.
pub fn to_text(report: &Report) -> String {
    let head = [
        "tensor", "kind", "shape", "max abs", "max rel", "allowed", "",
    ]
    .map(str::to_owned);
    let mut lines = vec![head];
    for row in &report.rows {
        lines.push([
            row.tensor.clone(),
            row.kind.to_owned(),
            shape(&row.shape),
            number(row.max_abs),
            number(row.max_rel),
            row.bound.clone(),
            match (&row.note, row.ok) {
                (_, true) => "ok".to_owned(),
                (None, false) => "MISS".to_owned(),
                (Some(note), false) => format!("MISS: {note}"),
            },
        ]);
    }
    let mut widths = [0; 7];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells =
            line.iter()
                .zip(widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    3 | 4 => format!("{cell:>width$}"),
                    6 => cell.clone(),
                    _ => format!("{cell:<width$}"),
                });
        let joined = cells.collect::<Vec<_>>().join("  ");
        text.push_str(joined.trim_end());
        text.push('\n');
    }
    text.push('\n');
    for note in &report.notes {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "note: {note}");
    }
    let (total, misses) = (report.rows.len(), report.misses());
    let _ = match misses {
        0 => writeln!(text, "{total} tensors, all agree"),
        misses => writeln!(text, "{total} tensors, {misses} do not agree"),
    };
    text
}

/// Everything that the table shows. Numbers that JSON cannot write are `null`.
pub fn to_json(report: &Report) -> Value {
    let row = |row: &Row| {
        json!({
            "block": row.block,
            "tensor": row.tensor,
            "kind": row.kind,
            "shape": row.shape,
            "max_abs": row.max_abs,
            "max_rel": row.max_rel,
            "allowed": row.bound,
            "ok": row.ok,
            "note": row.note,
        })
    };
    json!({
        "tensors": report.rows.iter().map(row).collect::<Vec<_>>(),
        "notes": report.notes,
        "total": report.rows.len(),
        "misses": report.misses(),
    })
}

fn shape(shape: &[usize]) -> String {
    let extents: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", extents.join(", "))
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "–".to_owned()
    } else if value == 0.0 {
        "0".to_owned()
    } else {
        format!("{value:.1e}")
    }
}
