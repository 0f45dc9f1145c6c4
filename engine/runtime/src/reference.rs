//! The reference backend: interprets every primitive as its documentation says.
//!
//! It is what other backends are compared with: plain loops over strided
//! elements, matrix products by `candle-core`. Sums of reals are
//! accumulated in `f64` where no matrix product is meant; each primitive's file
//! says how. Every value is let go after its last use. Nothing is fused. A plugin's
//! operation is computed by its body; only one without a body asks for a native kernel.

mod array;
mod call;
mod contract;
mod elementwise;
mod interpret;
mod layout;
mod leaf;
mod number;
mod order;
mod program;
mod random;
mod read;
mod recurrence;
mod reduce;
mod route;
mod scan;
mod scope;
mod walk;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use girih_graph::{Graph, Op, ValueType};

use crate::backend::{
    Backend, Bindings, CompileError, Data, Done, Executable, Output, Outputs, ParamSource, Params,
    Progress, RunError, Sizes,
};
use crate::plugin::native::{Natives, NoNatives};
use program::Program;
use scope::{Run, Scope};

/// The reference backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Backend for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn compile(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        Ok(Box::new(Interpreter::new(graph, Arc::new(NoNatives))))
    }
}

/// The reference backend with kernels for the operations of plugins that have no body.
#[derive(Clone)]
pub struct ReferenceWith(pub Arc<dyn Natives>);

impl Backend for ReferenceWith {
    fn name(&self) -> &'static str {
        Reference.name()
    }

    fn compile(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        Ok(Box::new(Interpreter::new(graph, Arc::clone(&self.0))))
    }
}

/// A graph with its schedule.
struct Interpreter {
    graph: Graph,
    program: Program,
    natives: Arc<dyn Natives>,
}

impl Interpreter {
    fn new(graph: &Graph, natives: Arc<dyn Natives>) -> Self {
        Self {
            program: Program::of(&graph.root),
            graph: graph.clone(),
            natives,
        }
    }

    /// Parameters that are read, by path.
    fn params(&self) -> BTreeMap<&str, &ValueType> {
        let nodes = self
            .program
            .nodes()
            .map(|node| &self.graph.root.node(node).op);
        nodes
            .filter_map(|op| match op {
                Op::Param(path, ty) => Some((&**path, ty)),
                _ => None,
            })
            .collect()
    }
}

impl Executable for Interpreter {
    fn load(
        &self,
        source: &mut dyn ParamSource,
        progress: &mut Progress<'_>,
    ) -> Result<Params, RunError> {
        let wanted = self.params();
        let total = wanted.len();
        let mut params = BTreeMap::new();
        for (finished, (path, ty)) in wanted.into_iter().enumerate() {
            tell(progress, finished, total)?;
            let data = source.given(path)?;
            Sizes::check_param(&self.graph.axes, path, ty, data.dtype(), data.shape())?;
            let data = Data::Host(data.into_tensor(path)?);
            let array = leaf::prepared(&data, ty.dtype)?;
            params.insert(path.to_owned(), Data::Device(Arc::new(array)));
        }
        tell(progress, total, total)?;
        Ok(Arc::new(params))
    }

    fn run(&self, bindings: &Bindings, progress: &mut Progress<'_>) -> Result<Outputs, RunError> {
        let graph = &self.graph;
        let total = self.program.steps.len();
        let run = Run::new(graph, bindings, &*self.natives, total, progress)?;
        let values = interpret::run_root(&Scope::new(&run), &self.program)?;
        let mut outputs = Outputs::default();
        for (place, (value, array)) in graph.root.results().iter().zip(values).enumerate() {
            let axes = graph.root.ty(*value).axes.iter();
            let output = Output {
                axes: axes.map(|axis| graph.axes.name(*axis).to_owned()).collect(),
                data: Data::Device(Arc::new(array.compact())),
            };
            if let Some(name) = graph.results.get(place) {
                outputs.results.insert(name.clone(), output);
            } else if let Some(path) = graph.updates.get(place - graph.results.len()) {
                outputs.states.insert(path.to_string(), output);
            }
        }
        Ok(outputs)
    }

    fn sibling(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        Ok(Box::new(Self::new(graph, Arc::clone(&self.natives))))
    }
}

fn tell(progress: &mut Progress<'_>, finished: usize, total: usize) -> Result<(), RunError> {
    match progress(Done { finished, total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(RunError::Cancelled),
    }
}
