//! What the text of a plugin says about its native functions: operands, attributes, results, gradient.
//!
//! Types of native functions are written with plain axes – `f32[c, t]` –, in the order in which a kernel has them.

use std::collections::BTreeSet;

use girih_dsl::ast::{self, ExprKind, FnDecl, ItemKind, TypeKind, UnaryOp};
use girih_dsl::diag::{Colors, Sink};
use girih_dsl::parse::parse_file;
use girih_dsl::source::SourceMap;
use girih_graph::DType;
use girih_runtime::plugin::native::Attribute;

use crate::source::render_all;

/// What a text declares, as far as its operations are concerned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    /// Functions with types: those that are marked `@native`, and the gradients of such.
    pub functions: Vec<Function>,
    /// Axes of the text itself.
    pub axes: BTreeSet<String>,
}

/// A function with a signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The number of `@native(2)`: the library has to have a kernel for it.
    pub version: Option<i64>,
    /// Whether it has a body.
    pub body: bool,
    /// The function that `@gradient` names.
    pub gradient: Option<String>,
    /// Tensors, in order.
    pub operands: Vec<Operand>,
    /// Static parameters with their defaults.
    pub attributes: Vec<(String, Attribute)>,
    /// One type for each result.
    pub results: Vec<TensorType>,
}

/// A parameter that is a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Its name.
    pub name: String,
    /// What it is.
    pub ty: TensorType,
}

/// `f32[c, t]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Core axes, outermost first.
    pub axes: Vec<String>,
}

impl TensorType {
    /// As written.
    pub fn text(&self) -> String {
        if self.axes.is_empty() {
            self.dtype.to_string()
        } else {
            format!("{}[{}]", self.dtype, self.axes.join(", "))
        }
    }
}

impl Function {
    /// Its name among the library's operations.
    pub fn operation(&self) -> String {
        match self.version {
            None | Some(1) => self.name.clone(),
            Some(version) => format!("{}@{version}", self.name),
        }
    }
}

/// Reads the text of the plugin `id`.
///
/// # Errors
///
/// Mistakes in it, rendered; a native function whose signature cannot be tried, with its line.
pub fn read(id: &str, text: &str) -> Result<Declared, String> {
    let (mut sources, mut sink) = (SourceMap::new(), Sink::new());
    let file = sources.add(id, text);
    let tree = parse_file(&sources, file, &mut sink);
    if sink.has_errors() {
        return Err(render_all(&sources, &sink, Colors::No));
    }
    let mut declared = Declared::default();
    for item in &tree.items {
        match &item.kind {
            ItemKind::Axis(axis) => {
                declared.axes.insert(axis.name.text.clone());
            }
            ItemKind::Fn(decl) => {
                let version = version(decl);
                match function(decl, version) {
                    Ok(function) => declared.functions.push(function),
                    Err(said) if version.is_some() => {
                        let line = sources.position(decl.name.span).line;
                        return Err(format!("line {line}: `{}`: {said}", decl.name.text));
                    }
                    // Helpers of the text are nobody's operation.
                    Err(_) => {}
                }
            }
            _ => {}
        }
    }
    Ok(declared)
}

fn version(decl: &FnDecl) -> Option<i64> {
    let native = decl
        .attributes
        .iter()
        .find(|mark| mark.name.text == "native")?;
    match native.args.first().map(|arg| &arg.value.kind) {
        Some(ExprKind::Int(version)) => Some(*version),
        _ => Some(1),
    }
}

fn function(decl: &FnDecl, version: Option<i64>) -> Result<Function, String> {
    let gradient = (decl
        .attributes
        .iter()
        .find(|mark| mark.name.text == "gradient"))
    .and_then(|mark| match &mark.args.first()?.value.kind {
        ExprKind::Name(name) => Some(name.clone()),
        _ => None,
    });
    let mut function = Function {
        name: decl.name.text.clone(),
        version,
        body: decl.body.is_some(),
        gradient,
        operands: Vec::new(),
        attributes: Vec::new(),
        results: Vec::new(),
    };
    for parameter in &decl.params {
        let name = parameter.name.text.clone();
        if let Some(ty) = parameter.ty.as_ref().filter(|ty| !is_static(ty)) {
            let ty = tensor_type(ty)?;
            function.operands.push(Operand { name, ty });
            continue;
        }
        let default = parameter.default.as_ref().and_then(attribute);
        let default =
            default.ok_or_else(|| format!("`{name}` has no plain default to be tried with"))?;
        function.attributes.push((name, default));
    }
    match decl.result.as_ref() {
        None => return Err("it has no result type: write `-> f32[…]`".to_owned()),
        Some(ast::Type {
            kind: TypeKind::Tuple(types),
            ..
        }) => {
            for ty in types {
                function.results.push(tensor_type(ty)?);
            }
        }
        Some(ty) => function.results.push(tensor_type(ty)?),
    }
    Ok(function)
}

/// Whether a type is a word for what is fixed when a model is built.
fn is_static(ty: &ast::Type) -> bool {
    let TypeKind::Tensor { name, .. } = &ty.kind else {
        return false;
    };
    ["int", "real", "bool", "text"].contains(&name.text.as_str())
}

fn tensor_type(ty: &ast::Type) -> Result<TensorType, String> {
    let TypeKind::Tensor { name, axes } = &ty.kind else {
        return Err("a record is no type of a kernel's tensor".to_owned());
    };
    let dtype: DType =
        (name.text.parse()).map_err(|_| format!("`{}` is no type of a tensor", name.text))?;
    let axes = axes.iter().map(|axis| match axis {
        ast::Index::At(ast::Expr {
            kind: ExprKind::Name(axis),
            ..
        }) => Ok(axis.clone()),
        _ => Err("an axis of a kernel's tensor is a plain name".to_owned()),
    });
    Ok(TensorType {
        dtype,
        axes: axes.collect::<Result<_, _>>()?,
    })
}

fn attribute(default: &ast::Expr) -> Option<Attribute> {
    match &default.kind {
        ExprKind::Int(value) => Some(Attribute::Int(*value)),
        ExprKind::Float(digits) => digits.parse().ok().map(Attribute::Real),
        ExprKind::Bool(value) => Some(Attribute::Bool(*value)),
        ExprKind::Text(text) => Some(Attribute::Text(text.text.as_str().into())),
        ExprKind::Unary(UnaryOp::Neg, inner) => match attribute(inner)? {
            Attribute::Int(value) => Some(Attribute::Int(value.checked_neg()?)),
            Attribute::Real(value) => Some(Attribute::Real(-value)),
            Attribute::Bool(_) | Attribute::Text(_) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read() {
        let text = "axis t: time\n@native(2) @gradient(back)\nfn pick(x: f32[n, m], k: int = 3) -> (i64[n], f32) {\n  return x\n}\nfn help(x) = x\n";
        let declared = read("org.example.a", text).unwrap();
        let [pick] = &declared.functions[..] else {
            panic!("{declared:?}")
        };
        assert_eq!(
            (pick.operation().as_str(), pick.gradient.as_deref()),
            ("pick@2", Some("back"))
        );
        assert_eq!(pick.operands[0].ty.text(), "f32[n, m]");
        assert_eq!(pick.attributes, [("k".to_owned(), Attribute::Int(3))]);
        let results: Vec<String> = pick.results.iter().map(TensorType::text).collect();
        assert_eq!(results, ["i64[n]", "f32"]);
        assert!(declared.axes.contains("t"));
    }

    #[test]
    fn what_cannot_be_tried_says_its_line() {
        let check = |text: &str, said: &str| {
            let error = read("org.example.a", text).unwrap_err();
            assert!(error.contains(said), "{error}");
        };
        check(
            "\n@native\nfn f(x: f32[n]) = x\n",
            "line 3: `f`: it has no result type",
        );
        check("@native\nfn f(x: f32[2 * n]) -> f32 = x\n", "a plain name");
        check(
            "@native\nfn f(x: f32[n]) -> f32[2 * n] = x\n",
            "a plain name",
        );
        check(
            "@native\nfn f(x: f32[n], k: int) -> f32 = x\n",
            "`k` has no plain default",
        );
        check("@native\nfn f(x: f32[n) -> f32 = x\n", "error[E01");
    }
}
