//! The plan that the compiled backend makes of a graph, for whoever looks at it without running it.

use girih_graph::Graph;
use girih_plan::plan::Plan;
use girih_plan::{lower, settle_calls, simplify_all};
use girih_runtime::plugin::native::Natives as _;

use crate::plugin::at_hand;

/// The plan of a graph, with the kernels that are at hand.
pub fn planned(graph: &Graph) -> Plan {
    let natives = at_hand();
    let has_kernel = |call: &girih_graph::Call| natives.native(&call.callee).is_some();
    let (settled, calls) = settle_calls(graph, &has_kernel);
    let mut plan = lower(&simplify_all(&settled));
    plan.calls = calls;
    plan
}
