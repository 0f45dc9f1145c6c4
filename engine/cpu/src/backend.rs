//! The compiled CPU backend: graphs become plans, plans become machine code.

use std::sync::Arc;

use girih_graph::{Call, Graph};
use girih_kernels::{Level, Pool, level};
use girih_plan::{lower, settle_calls, simplify_all};
use girih_runtime::backend::{Backend, CompileError, Executable};
use girih_runtime::plugin::native::{Natives, NoNatives};

use crate::codegen::{Code, CodeOptions};
use crate::executable::Compiled;
use crate::fallback::{Fallback, Refused};

/// How this backend is called.
const NAME: &str = "cpu";

/// What products of parameters are computed with; results are of the graph's dtype.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compute {
    /// As the graph says.
    #[default]
    F32,
    /// Factors rounded to brain floats.
    Bf16,
    /// Parameters rounded to 8-bit integers with a scale for each row.
    Int8,
}

/// What may be asked of the backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuOptions {
    /// Threads that compute together, from 1 on; as many as the process may use when absent.
    pub threads: Option<usize>,
    /// CPU features to use: one that the machine has. What the environment asks for, or
    /// else the best, when absent.
    pub level: Option<Level>,
    /// What products are computed with.
    pub compute: Compute,
}

/// The compiled CPU backend. Its executables share its threads.
#[derive(Clone)]
pub struct Cpu {
    pub(crate) level: Level,
    compute: Compute,
    pub(crate) pool: Arc<Pool>,
    pub(crate) natives: Arc<dyn Natives>,
}

impl Cpu {
    /// A backend with threads of its own. A level that the machine lacks is replaced by the
    /// best that it has.
    pub fn new(options: CpuOptions) -> Self {
        let threads = options.threads.unwrap_or_else(Pool::machine_threads);
        let wanted = options.level.unwrap_or_else(level::chosen);
        let level = if level::available().contains(&wanted) {
            wanted
        } else {
            level::detected()
        };
        Self {
            level,
            compute: options.compute,
            pool: Arc::new(Pool::new(threads)),
            natives: Arc::new(NoNatives),
        }
    }

    /// A backend with threads and kernels that others have, too.
    pub(crate) fn sharing(
        (level, compute): (Level, Compute),
        pool: &Arc<Pool>,
        natives: &Arc<dyn Natives>,
    ) -> Self {
        Self {
            level,
            compute,
            pool: Arc::clone(pool),
            natives: Arc::clone(natives),
        }
    }

    /// The same backend with kernels for the operations of plugins.
    #[must_use]
    pub fn with_natives(self, natives: Arc<dyn Natives>) -> Self {
        Self { natives, ..self }
    }

    /// A graph compiled, with the bodies of `refused` operations in their place.
    pub(crate) fn compiled(
        &self,
        graph: &Graph,
        refused: &Refused,
    ) -> Result<Compiled, CompileError> {
        let has_kernel = |call: &Call| {
            let bare = call.body().is_none();
            let wanted = bare || !refused.contains(&*call.callee);
            wanted && self.natives.native(&call.callee).is_some()
        };
        let (settled, choices) = settle_calls(graph, &has_kernel);
        let missing = settled.calls().into_iter().find(|call| !has_kernel(call));
        if let Some(call) = missing {
            let reason = format!(
                "there is no kernel for `{}`, and its plugin gives no body to compute instead",
                call.callee
            );
            return Err(Self::unsupported(graph, reason));
        }
        let mut plan = lower(&simplify_all(&settled));
        plan.calls = choices;
        let options = CodeOptions {
            level: self.level,
            threads: self.pool.threads(),
        };
        let code = Code::compile(&plan.kernels, &options)
            .map_err(|error| Self::unsupported(graph, error.to_string()))?;
        let how = (self.level, self.compute);
        let compiled = Compiled::new(&settled, plan, code, how, &self.pool, &self.natives);
        compiled
            .ok_or_else(|| Self::unsupported(graph, "there is no memory for its tables".to_owned()))
    }

    fn unsupported(graph: &Graph, reason: String) -> CompileError {
        CompileError::Unsupported {
            backend: NAME.to_owned(),
            graph: graph.name.clone(),
            reason,
        }
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new(CpuOptions::default())
    }
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn compile(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        let compiled = self.compiled(graph, &Refused::new())?;
        let may_refuse = graph
            .calls()
            .into_iter()
            .any(|call| call.body().is_some() && self.natives.native(&call.callee).is_some());
        if may_refuse {
            return Ok(Box::new(Fallback::new(self.clone(), graph, compiled)));
        }
        Ok(Box::new(compiled))
    }
}
