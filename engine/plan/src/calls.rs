//! Which operations of plugins run as kernels, and which are computed by their bodies.

use std::sync::Arc;

use girih_graph::{Call, CallAs, Graph, Op, Origin, Region};

/// How a call is computed, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallChoice {
    /// The operation's full name.
    pub callee: Arc<str>,
    /// Where in the model it is called.
    pub origin: Option<Origin>,
    /// Whether by a kernel; else by its body.
    pub by_kernel: bool,
}

/// The graph in which every call that has a kernel is a call and nothing more, and every other
/// one is what its body computes. A call with neither stays as it is.
pub fn settle_calls(graph: &Graph, has_kernel: &dyn Fn(&Call) -> bool) -> (Graph, Vec<CallChoice>) {
    let settled = graph.with_calls(&|call| {
        if has_kernel(call) {
            CallAs::Kernel
        } else {
            CallAs::Body
        }
    });
    let mut choices = Vec::new();
    collect(&graph.root, has_kernel, &mut choices);
    (settled, choices)
}

fn collect(region: &Region, has_kernel: &dyn Fn(&Call) -> bool, choices: &mut Vec<CallChoice>) {
    for (id, node) in region.nodes() {
        let Op::Call(call) = &node.op else {
            for inner in node.op.regions() {
                collect(inner, has_kernel, choices);
            }
            continue;
        };
        let by_kernel = has_kernel(call);
        choices.push(CallChoice {
            callee: Arc::clone(&call.callee),
            origin: region.origin(id).cloned(),
            by_kernel,
        });
        if let Some(body) = call.body().filter(|_| !by_kernel) {
            collect(body, has_kernel, choices);
        }
    }
}
