//! A graph whose operations of plugins may have no kernel for some sizes.
//!
//! A kernel says so when it is made for them: then the operation's body is computed instead, by
//! another executable of the same graph. Which one runs depends on the sizes of the run alone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use girih_graph::Graph;
use girih_runtime::backend::{
    Backend, Bindings, CompileError, Executable, Outputs, ParamSource, Params, Progress, RunError,
};
use girih_runtime::plugin::native::NativeCode;

use crate::backend::Cpu;
use crate::executable::Compiled;

/// Names of operations that are computed by their bodies.
pub(crate) type Refused = BTreeSet<String>;

/// What is compiled, by the operations without kernels.
pub(crate) struct Fallback {
    backend: Cpu,
    graph: Graph,
    first: Compiled,
    others: Mutex<Vec<(Refused, Arc<Compiled>)>>,
}

impl Fallback {
    pub(crate) fn new(backend: Cpu, graph: &Graph, first: Compiled) -> Self {
        Self {
            backend,
            graph: graph.clone(),
            first,
            others: Mutex::default(),
        }
    }

    fn other(&self, refused: &Refused) -> Result<Arc<Compiled>, RunError> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = others.iter().find(|(own, _)| own == refused) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(self.backend.compiled(&self.graph, refused)?);
        others.push((refused.clone(), Arc::clone(&made)));
        Ok(made)
    }

    fn has_body(&self, callee: &str) -> bool {
        let calls = self.graph.calls();
        let mut own = calls.into_iter().filter(|call| &*call.callee == callee);
        own.any(|call| call.body().is_some())
    }
}

impl Executable for Fallback {
    fn load(
        &self,
        source: &mut dyn ParamSource,
        progress: &mut Progress<'_>,
    ) -> Result<Params, RunError> {
        self.first.load(source, progress)
    }

    fn run(&self, bindings: &Bindings, progress: &mut Progress<'_>) -> Result<Outputs, RunError> {
        let mut result = self.first.run(bindings, progress);
        let mut refused = Refused::new();
        while let Err(error) = &result {
            let callee = unsupported(error).filter(|callee| self.has_body(callee));
            let Some(callee) = callee.map(str::to_owned) else {
                break;
            };
            if !refused.insert(callee) {
                break;
            }
            result = self.other(&refused)?.run(bindings, progress);
        }
        result
    }

    fn run_together(
        &self,
        all: &[Bindings],
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Outputs>, RunError> {
        let result = self.first.run_together(all, progress);
        if let Err(error) = &result
            && unsupported(error).is_some()
        {
            // The sizes of some have a kernel.
            let each = all.iter().map(|bindings| self.run(bindings, progress));
            return each.collect();
        }
        result
    }

    fn sibling(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        self.backend.compile(graph)
    }
}

/// The operation that has no kernel for the sizes of the run.
fn unsupported(error: &RunError) -> Option<&str> {
    match error {
        RunError::Within { source, .. } => unsupported(source),
        RunError::Native { callee, source } if source.code == NativeCode::Unsupported => {
            Some(callee)
        }
        _ => None,
    }
}
