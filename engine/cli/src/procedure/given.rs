//! What are models and inputs given, by file and by `--set`?

use std::collections::BTreeMap;
use std::path::PathBuf;

use girih_dsl::ast::{ItemKind, Procedure};
use girih_dsl::elaborate::{ProcedureRequest, procedure_names};
use girih_dsl::model::Static;
use girih_dsl::procedure::Type;
use girih_dsl::program::Program;
use girih_graph::DType;
use girih_runtime::backend::Data;
use girih_runtime::tensor::Tensor;

use super::{Setup, Value};
use crate::failure::Failure;

/// What `--set` says beside static parameters.
#[derive(Debug, Default)]
pub(super) struct Split {
    pub(super) inputs: BTreeMap<String, Static>,
    pub(super) sizes: BTreeMap<String, i64>,
}

/// Shares settings out: `m.d` to a model, `m` names one, an input's name is an input, a static parameter
/// goes to every model that has it, what is left is a size.
pub(super) fn split(setup: &Setup<'_>, request: &mut ProcedureRequest) -> Result<Split, Failure> {
    let mut split = Split::default();
    let Some(procedure) = find(setup.program, setup.name) else {
        // Whoever looks for it says so.
        return Ok(split);
    };
    let mut modules: Vec<(String, String)> = Vec::new();
    for parameter in &procedure.params {
        let word = parameter.ty.as_ref().and_then(word_of);
        let is_module = |word: &str| setup.program.find(setup.program.entry(), word);
        let module = word.filter(|word| {
            *word == "module"
                || is_module(word).is_some_and(|place| {
                    matches!(setup.program.item(place).kind, ItemKind::Module(_))
                })
        });
        if let Some(word) = module {
            modules.push((parameter.name.text.clone(), word.to_owned()));
        }
    }
    for (name, value) in setup.set {
        if let (Static::Text(text), Some(slot)) =
            (value, modules.iter_mut().find(|own| own.0 == *name))
        {
            request.modules.push((name.clone(), text.clone()));
            slot.1.clone_from(text);
        }
    }
    for (name, value) in setup.set {
        if modules.iter().any(|own| own.0 == *name) && matches!(value, Static::Text(_)) {
            continue;
        }
        if let Some((model, key)) = name.split_once('.') {
            if !modules.iter().any(|own| own.0 == model) {
                return Err(Failure::Misuse(format!(
                    "`{name}`: the procedure is given no model `{model}`"
                )));
            }
            let given = (model.to_owned(), key.to_owned(), value.clone());
            request.statics.push(given);
            continue;
        }
        if procedure.params.iter().any(|own| own.name.text == *name) {
            split.inputs.insert(name.clone(), value.clone());
            continue;
        }
        let mut taken = false;
        for (model, module) in &modules {
            if has_static(setup.program, module, name) {
                let given = (model.clone(), name.clone(), value.clone());
                request.statics.push(given);
                taken = true;
            }
        }
        match value {
            _ if taken => {}
            Static::Int(size) => {
                split.sizes.insert(name.clone(), *size);
            }
            _ => {
                return Err(Failure::Misuse(format!(
                    "`{name}`: neither the procedure nor a model of it has such a parameter"
                )));
            }
        }
    }
    Ok(split)
}

fn find<'p>(program: &'p Program, name: Option<&str>) -> Option<&'p Procedure> {
    let names = procedure_names(program);
    let wanted = match name {
        Some(name) => name,
        None => names.last()?.as_str(),
    };
    let place = program.find(program.entry(), wanted)?;
    match &program.item(place).kind {
        ItemKind::Procedure(procedure) => Some(procedure),
        _ => None,
    }
}

fn word_of(ty: &girih_dsl::ast::Type) -> Option<&str> {
    match &ty.kind {
        girih_dsl::ast::TypeKind::Tensor { name, axes } if axes.is_empty() => Some(&name.text),
        _ => None,
    }
}

fn has_static(program: &Program, module: &str, name: &str) -> bool {
    let place = program.find(program.entry(), module);
    place.is_some_and(|place| match &program.item(place).kind {
        ItemKind::Module(module) => module.params.iter().any(|own| own.name.text == name),
        _ => false,
    })
}

/// Weights by model: `m=PATH`, or a path alone for the only model.
///
/// # Errors
///
/// A path alone where the procedure is given several models, or none.
pub fn split_weights(
    program: &Program,
    name: Option<&str>,
    given: &[PathBuf],
) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut weights = BTreeMap::new();
    let Some(procedure) = find(program, name) else {
        return Ok(weights);
    };
    let models: Vec<&str> = procedure
        .params
        .iter()
        .filter(|own| {
            let word = own.ty.as_ref().and_then(word_of);
            word.is_some_and(|word| {
                word == "module"
                    || program.find(program.entry(), word).is_some_and(|place| {
                        matches!(program.item(place).kind, ItemKind::Module(_))
                    })
            })
        })
        .map(|own| own.name.text.as_str())
        .collect();
    for path in given {
        let text = path.to_string_lossy();
        let named = text
            .split_once('=')
            .filter(|(name, _)| models.contains(name));
        let (model, path) = match (named, models.as_slice()) {
            (Some((model, path)), _) => (model.to_owned(), PathBuf::from(path)),
            (None, [one]) => ((*one).to_owned(), path.clone()),
            (None, models) => {
                return Err(Failure::Misuse(format!(
                    "which model has the weights `{text}`? Write `--weights NAME={text}`; the procedure is given `{}`",
                    models.join("`, `")
                )));
            }
        };
        weights.insert(model, path);
    }
    Ok(weights)
}

/// A tensor of a file as an input of a type.
pub(super) fn tensor_input(name: &str, tensor: &Tensor, ty: &Type) -> Result<Value, Failure> {
    let Type::Tensor { dtype, axes } = ty else {
        return Err(Failure::Misuse(format!(
            "the input `{name}` is {}, not a tensor; give it with `--set {name}=…`",
            ty.kind()
        )));
    };
    let own = tensor.dtype();
    let same_kind =
        own == *dtype || own.is_real() && dtype.is_real() || own.is_integer() && dtype.is_integer();
    let fixed = axes.iter().zip(tensor.shape()).all(|(axis, size)| {
        let wanted = axis
            .size
            .as_ref()
            .and_then(girih_graph::Extent::as_constant);
        wanted.is_none_or(|wanted| usize::try_from(wanted).is_ok_and(|wanted| wanted == *size))
    });
    if tensor.rank() != axes.len() || !same_kind || !fixed {
        return Err(Failure::Misuse(format!(
            "the input `{name}` is `{ty}`, and a `{own}` of shape {:?} is given",
            tensor.shape()
        )));
    }
    Ok(Value::Tensor(Data::Host(tensor.to_dtype(*dtype))))
}

/// A setting as an input of a type.
pub(super) fn static_input(name: &str, value: &Static, ty: &Type) -> Result<Value, Failure> {
    match (value, ty) {
        (Static::Text(text), Type::Text) => Ok(Value::Text(text.clone())),
        (value, Type::Tensor { dtype, .. }) => {
            let tensor = static_tensor(value, *dtype).ok_or_else(|| {
                Failure::Misuse(format!(
                    "the input `{name}` is `{ty}`, which its value is not"
                ))
            })?;
            tensor_input(name, &tensor, ty)
        }
        _ => Err(Failure::Misuse(format!(
            "the input `{name}` is {}, which no setting is",
            ty.kind()
        ))),
    }
}

/// A number, or lists of numbers of one shape, as a tensor.
pub fn static_tensor(value: &Static, dtype: DType) -> Option<Tensor> {
    let mut shape = Vec::new();
    let mut at = value;
    while let Static::List(parts) = at {
        shape.push(parts.len());
        match parts.first() {
            Some(first) => at = first,
            None => break,
        }
    }
    let mut numbers = Vec::new();
    flat(value, &shape, &mut numbers)?;
    let whole = |number: &f64| number.fract() == 0.0;
    if !dtype.is_real() && !numbers.iter().all(whole) {
        return None;
    }
    let tensor = Tensor::new(shape, numbers).ok()?;
    Some(if dtype == DType::Bool {
        tensor.to_dtype(DType::Bool)
    } else {
        tensor.to_dtype(dtype)
    })
}

fn flat(value: &Static, shape: &[usize], numbers: &mut Vec<f64>) -> Option<()> {
    match (value, shape.split_first()) {
        (Static::List(parts), Some((count, rest))) if parts.len() == *count => {
            parts.iter().try_for_each(|part| flat(part, rest, numbers))
        }
        (Static::Int(number), None) => {
            numbers.push(*number as f64);
            Some(())
        }
        (Static::Real(number), None) => {
            numbers.push(*number);
            Some(())
        }
        (Static::Bool(truth), None) => {
            numbers.push(f64::from(u8::from(*truth)));
            Some(())
        }
        _ => None,
    }
}
