//! The typed model as text: every instance with its parameters, then the named values.

use std::fmt::Write as _;

use girih_dsl::model::{Model, ParamInfo};
use girih_graph::ValueType;

/// The text, with a line end.
pub(super) fn print(model: &Model) -> String {
    let mut out = String::new();
    let axes = &model.graph.axes;
    // Writing to a `String` cannot fail, here and below.
    let _ = writeln!(out, "model {}", model.graph.name);
    for input in &model.inputs {
        if input.given {
            let ty = ValueType::new(input.dtype, input.axes.clone());
            let _ = writeln!(out, "  input {}: {}", input.name, axes.show(&ty));
        } else {
            let _ = writeln!(out, "  input {}: left out", input.name);
        }
    }
    for (name, value) in model.graph.results.iter().zip(model.graph.root.results()) {
        let ty = axes.show(model.graph.root.ty(*value));
        let _ = writeln!(out, "  output {name}: {ty}");
    }
    let _ = writeln!(out, "\ninstances");
    for (index, instance) in model.instances.iter().enumerate() {
        let path = if instance.path.is_empty() {
            "·"
        } else {
            &instance.path
        };
        let _ = writeln!(out, "  {path}: {}", instance.module);
        let own = model
            .params
            .iter()
            .filter(|param| owner(model, param) == Some(index));
        for param in own {
            let _ = writeln!(out, "    {}", show_param(model, param));
        }
    }
    if !model.values.is_empty() {
        let _ = writeln!(out, "\nvalues");
        for (path, ty) in &model.values {
            let _ = writeln!(out, "  {path}: {ty}");
        }
    }
    out
}

/// The instance with the longest path before the parameter's.
fn owner(model: &Model, param: &ParamInfo) -> Option<usize> {
    let owns = |path: &str| {
        path.is_empty() || (param.path.strip_prefix(path)).is_some_and(|rest| rest.starts_with('.'))
    };
    (model.instances.iter().enumerate())
        .filter(|(_, instance)| owns(&instance.path))
        .max_by_key(|(_, instance)| instance.path.len())
        .map(|(index, _)| index)
}

fn show_param(model: &Model, param: &ParamInfo) -> String {
    let axes = &model.graph.axes;
    let stored: Vec<String> = (param.stored.iter())
        .map(|group| {
            let shown: Vec<String> = group.iter().map(|axis| axes.show_axis(*axis)).collect();
            match shown.as_slice() {
                [one] => one.clone(),
                several => format!("({})", several.join(", ")),
            }
        })
        .collect();
    let mut text = format!("param {}: {}", param.path, param.dtype);
    if !stored.is_empty() {
        let _ = write!(text, "[{}]", stored.join(", "));
    }
    if param.stored_name != param.path {
        let _ = write!(text, " as \"{}\"", param.stored_name);
    }
    if let Some((kind, group)) = &param.storage {
        let _ = write!(text, " stored {kind}");
        if let Some(group) = group {
            let _ = write!(text, " group {group}");
        }
    }
    if param.frozen {
        text.push_str(" frozen");
    }
    text
}
