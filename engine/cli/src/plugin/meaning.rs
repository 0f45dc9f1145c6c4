//! What a native function means: its text, compiled for the reference backend.

use std::collections::{BTreeMap, BTreeSet};

use girih_dsl::diag::{Colors, Sink};
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::Model;
use girih_dsl::program::{Loader, Program};
use girih_graph::{CallAs, DType, Graph};
use girih_runtime::backend::{Backend as _, Bindings, Executable, Output, silent};
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;
use girih_transform::{Objective, grad};

use super::signature::{Declared, Function, TensorType};
use crate::bench::draw;
use crate::source::render_all;

/// The module that calls the function.
pub(super) const CALLER: &str = "GirihCheck";

/// A function as a model of its own.
pub(super) struct Meaning {
    pub(super) program: Program,
    pub(super) model: Model,
    function: Function,
    executable: Box<dyn Executable>,
}

impl Meaning {
    /// Compiles a function of the text of plugin `id`.
    pub(super) fn new(
        id: &str,
        text: &str,
        declared: &Declared,
        function: &Function,
    ) -> Result<Self, String> {
        let mut sink = Sink::new();
        let loader = OnePlugin { id, text };
        let caller = caller(id, declared, function);
        let program = Program::load("check.girih", &caller, &loader, &mut sink);
        let request = Request {
            module: Some(CALLER.to_owned()),
            ..Request::default()
        };
        let model = elaborate(&program, &request, &mut sink);
        if sink.has_errors() {
            return Err(render_all(&program.sources, &sink, Colors::No));
        }
        let mut model = model.ok_or("its text cannot be elaborated")?;
        // What is looked for is the meaning: bodies, and their own derivatives.
        model.graph = model.graph.with_calls(&|_| CallAs::Body);
        let executable = Reference.compile(&model.graph).map_err(text_of)?;
        Ok(Self {
            program,
            model,
            function: function.clone(),
            executable,
        })
    }

    /// Operands for sizes of the axes, the same for a seed each time.
    pub(super) fn draw(
        &self,
        sizes: &BTreeMap<String, i64>,
        seed: u64,
    ) -> Result<Vec<Tensor>, String> {
        let mut drawn =
            draw::inputs(&self.model, sizes, &BTreeMap::new(), seed).map_err(text_of)?;
        let operands = self.function.operands.iter();
        operands
            .map(|operand| {
                let found = drawn.remove(&operand.name);
                found.ok_or_else(|| format!("`{}` is not read by the text", operand.name))
            })
            .collect()
    }

    /// The results, with their core axes in the kernel's order.
    pub(super) fn run(
        &self,
        sizes: &BTreeMap<String, i64>,
        operands: &[Tensor],
    ) -> Result<Vec<Tensor>, String> {
        self.run_on(&*self.executable, &self.model.graph, sizes, operands)
    }

    /// The results as computed in another real dtype.
    pub(super) fn run_in(
        &self,
        dtype: DType,
        sizes: &BTreeMap<String, i64>,
        operands: &[Tensor],
    ) -> Result<Vec<Tensor>, String> {
        let graph = self.model.graph.with_real(dtype);
        let executable = Reference.compile(&graph).map_err(text_of)?;
        self.run_on(&*executable, &graph, sizes, operands)
    }

    fn bindings(
        &self,
        graph: &Graph,
        sizes: &BTreeMap<String, i64>,
        operands: &[Tensor],
    ) -> Bindings {
        let mut bindings = Bindings::new();
        bindings.symbols.clone_from(sizes);
        let inputs = graph.inputs();
        for (operand, tensor) in self.function.operands.iter().zip(operands) {
            if inputs.contains_key(operand.name.as_str()) {
                bindings = bindings.input(&operand.name, tensor.clone());
            }
        }
        bindings
    }

    fn run_on(
        &self,
        executable: &dyn Executable,
        graph: &Graph,
        sizes: &BTreeMap<String, i64>,
        operands: &[Tensor],
    ) -> Result<Vec<Tensor>, String> {
        let bindings = self.bindings(graph, sizes, operands);
        let outputs = executable.run(&bindings, &mut silent).map_err(text_of)?;
        let results = self.function.results.iter().enumerate();
        results
            .map(|(at, ty)| ordered(outputs.results.get(&result_name(at)), ty))
            .collect()
    }

    /// The derivative by each real operand of the sum of results times cotangents, one for each real result.
    pub(super) fn derivative(
        &self,
        sizes: &BTreeMap<String, i64>,
        operands: &[Tensor],
        cotangents: &[Tensor],
    ) -> Result<Vec<Tensor>, String> {
        let real = |(at, ty): (usize, &TensorType)| ty.dtype.is_real().then_some((at, ty.clone()));
        let results: Vec<(usize, TensorType)> = self
            .function
            .results
            .iter()
            .enumerate()
            .filter_map(real)
            .collect();
        let names: Vec<String> = results.iter().map(|(at, _)| result_name(*at)).collect();
        let wanted: Vec<_> = (self.function.operands.iter())
            .filter(|operand| operand.ty.dtype.is_real())
            .collect();
        let paths: Vec<String> = wanted.iter().map(|operand| operand.name.clone()).collect();
        let objective = Objective::paired(names.iter().map(String::as_str));
        let graph = grad(&self.model.graph, &objective, &paths).map_err(text_of)?;
        let executable = Reference.compile(&graph).map_err(text_of)?;
        let mut bindings = self.bindings(&graph, sizes, operands);
        for (((_, ty), name), cotangent) in results.iter().zip(&names).zip(cotangents) {
            let input = format!("cotangent.{name}");
            // The input has the axes of the result in the graph's order.
            let inputs = graph.inputs();
            let value = inputs.get(input.as_str());
            let value = *value.ok_or_else(|| format!("`{input}` is no input"))?;
            let order = graph.root.ty(value).axes.iter().map(|axis| {
                let name = graph.axes.name(*axis);
                (ty.axes.iter().position(|own| own == name))
                    .ok_or_else(|| format!("`{input}` has an axis `{name}`"))
            });
            let order: Vec<usize> = order.collect::<Result<_, _>>()?;
            bindings = bindings.input(&input, cotangent.permute(&order).map_err(text_of)?);
        }
        let outputs = executable.run(&bindings, &mut silent).map_err(text_of)?;
        (wanted.iter())
            .map(|operand| {
                ordered(
                    outputs.results.get(&format!("grad.{}", operand.name)),
                    &operand.ty,
                )
            })
            .collect()
    }
}

/// Names of the caller's results.
fn result_name(at: usize) -> String {
    format!("result{at}")
}

/// A result with its axes in the order of `ty`.
fn ordered(found: Option<&Output>, ty: &TensorType) -> Result<Tensor, String> {
    let found = found.ok_or("a result is missing")?;
    let order = ty.axes.iter().map(|axis| {
        (found.axes.iter().position(|own| own == axis)).ok_or_else(|| {
            format!(
                "the text gives axes [{}] where the type says {}",
                found.axes.join(", "),
                ty.text()
            )
        })
    });
    let order: Vec<usize> = order.collect::<Result<_, _>>()?;
    if order.len() != found.axes.len() {
        return Err(format!(
            "the text gives axes [{}] where the type says {}",
            found.axes.join(", "),
            ty.text()
        ));
    }
    let tensor = found.data.to_host().map_err(text_of)?;
    tensor.permute(&order).map_err(text_of)
}

/// Gives one text.
struct OnePlugin<'a> {
    id: &'a str,
    text: &'a str,
}

impl Loader for OnePlugin<'_> {
    fn load(&self, _: &str, _: &str) -> Result<(String, String), String> {
        Err("the text of a plugin uses no files".to_owned())
    }

    fn plugin(&self, id: &str) -> Result<String, String> {
        if id == self.id {
            Ok(self.text.to_owned())
        } else {
            Err("the text of a plugin names no other plugin here".to_owned())
        }
    }
}

/// A file that names the plugin, with a module that calls the function.
fn caller(id: &str, declared: &Declared, function: &Function) -> String {
    let types = function.operands.iter().map(|operand| &operand.ty);
    let axes: BTreeSet<&str> = (types.chain(&function.results))
        .flat_map(|ty| ty.axes.iter().map(String::as_str))
        .collect();
    let own = axes.iter().filter(|axis| !declared.axes.contains(**axis));
    let own: Vec<String> = own.map(|axis| format!("axis {axis}\n")).collect();
    let parameters: Vec<String> = (function.operands.iter())
        .map(|operand| format!("{}: {}", operand.name, operand.ty.text()))
        .collect();
    let operands = function.operands.iter();
    let arguments: Vec<String> = operands
        .map(|operand| format!("{0} = {0}", operand.name))
        .collect();
    let names: Vec<String> = (0..function.results.len()).map(result_name).collect();
    let fields: Vec<String> = names.iter().map(|name| format!("{name}: {name}")).collect();
    format!(
        "plugin \"{id}\"\n{}module {CALLER}() {{\n  forward({}) {{\n    {} = {}({})\n    return {{ {} }}\n  }}\n}}\n",
        own.concat(),
        parameters.join(", "),
        names.join(", "),
        function.name,
        arguments.join(", "),
        fields.join(", "),
    )
}

/// An error in words.
pub(super) fn text_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}
