//! The backend over a device.

use std::sync::Arc;

use girih_cpu::Cpu;
use girih_graph::{Call, Graph};
use girih_plan::{Wants, lower_for, settle_calls, simplify_all};
use girih_runtime::backend::{Backend, CompileError, Executable, RunError};
use girih_runtime::device::Device;

use crate::context::Context;
use crate::executable::Planned;
use crate::explain::{Explained, explained};

/// A backend over a device. Clones share what is compiled.
#[derive(Clone)]
pub struct OnDevice {
    context: Arc<Context>,
}

impl OnDevice {
    /// A backend called `name` over a device; `cpu` computes what the device refuses.
    pub fn new(name: &str, device: Arc<dyn Device>, cpu: Cpu) -> Self {
        Self {
            context: Arc::new(Context::new(name, device, cpu)),
        }
    }

    pub(crate) fn sharing(context: &Arc<Context>) -> Self {
        Self {
            context: Arc::clone(context),
        }
    }

    /// Which launches of a graph the device takes, and why it refuses the others.
    ///
    /// # Errors
    ///
    /// As for [`compile`](Backend::compile).
    pub fn explain(&self, graph: &Graph) -> Result<Explained, CompileError> {
        let planned = self.planned(graph)?;
        let device = &self.context.device.info().name;
        Ok(explained(device, planned.plan(), planned.compiled()))
    }

    fn planned(&self, graph: &Graph) -> Result<Planned, CompileError> {
        // On a device the text of an operation is computed, if there is one: that needs no copies.
        let has_kernel =
            |call: &Call| call.body().is_none() && self.context.cpu.has_native(&call.callee);
        let (settled, choices) = settle_calls(graph, &has_kernel);
        let missing = settled.calls().into_iter().find(|call| !has_kernel(call));
        if let Some(call) = missing {
            let reason = format!(
                "there is no kernel for `{}`, and its plugin gives no body to compute instead",
                call.callee
            );
            return Err(self.unsupported(graph, reason));
        }
        let mut plan = lower_for(&simplify_all(&settled), Wants::DEVICE);
        plan.calls = choices;
        match Planned::new(&self.context, &settled, plan) {
            Ok(planned) => Ok(planned),
            Err(RunError::Compile(error)) => Err(error),
            Err(error) => Err(self.unsupported(graph, error.to_string())),
        }
    }

    fn unsupported(&self, graph: &Graph, reason: String) -> CompileError {
        CompileError::Unsupported {
            backend: self.context.name.clone(),
            graph: graph.name.clone(),
            reason,
        }
    }
}

impl Backend for OnDevice {
    fn name(&self) -> &str {
        &self.context.name
    }

    fn compile(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        Ok(Box::new(self.planned(graph)?))
    }
}
