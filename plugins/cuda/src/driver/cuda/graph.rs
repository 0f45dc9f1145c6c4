//! Graphs of NVIDIA's driver: launches that are asked for at once.
//!
//! They are captured on a stream that is for nothing else. Which node of the graph a launch became is what the
//! stream goes on from after it; by that node the launch gets other arguments later, where the driver says that it is one
//! of the function.

#![expect(unsafe_code, reason = "the driver's functions are called")]

use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{result, sys};

use super::{Shared, failed, function, places};
use crate::driver::{Call, DriverError, Grid, Module, Recorded};
use crate::source::THREADS;

/// A graph of launches.
pub(super) struct Graph {
    shared: Arc<Shared>,
    /// By one thread at a time.
    made: Mutex<Made>,
    /// For each call the node that it became, if that is known.
    nodes: Vec<Option<Node>>,
    /// Code that it runs.
    _modules: Vec<Arc<dyn Module>>,
}

/// What was captured, and what that became.
struct Made {
    captured: sys::CUgraph,
    executable: sys::CUgraphExec,
}

struct Node(sys::CUgraphNode);

// SAFETY: handles of the driver may be used by any thread.
unsafe impl Send for Made {}
// SAFETY: as above.
unsafe impl Send for Node {}
// SAFETY: as above; it is only read.
unsafe impl Sync for Node {}

impl Graph {
    /// The graph of calls.
    ///
    /// # Errors
    ///
    /// A call that failed.
    ///
    /// # Safety
    ///
    /// As for [`Driver::record`](crate::driver::Driver::record).
    pub(super) unsafe fn of(shared: &Arc<Shared>, calls: &[Call]) -> Result<Self, DriverError> {
        shared.enter()?;
        let turn = shared.capturing.lock();
        let turn = turn.unwrap_or_else(PoisonError::into_inner);
        // What other threads ask for meanwhile is no part of it.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives, and nobody else captures on it.
        let begun = unsafe { result::stream::begin_capture(turn.0, mode) };
        begun.map_err(|error| failed("beginning a graph", error))?;
        let asked = calls.iter().map(|call| {
            // SAFETY: nothing runs; the caller vouches for when it does.
            unsafe { shared.ask(call, turn.0) }?;
            // SAFETY: the stream captures.
            let node = unsafe { newest(turn.0) };
            Ok(node.filter(|node| is_launch(node, call)))
        });
        let asked: Result<Vec<Option<Node>>, DriverError> = asked.collect();
        // SAFETY: it captures since above, whatever became of the calls.
        let captured = unsafe { result::stream::end_capture(turn.0) };
        let destroyed = |captured: sys::CUgraph| {
            // SAFETY: nobody else has it.
            let _ = unsafe { result::graph::destroy(captured) };
        };
        let nodes = match asked {
            Ok(nodes) => nodes,
            Err(error) => {
                captured.into_iter().for_each(destroyed);
                return Err(error);
            }
        };
        let captured = captured.map_err(|error| failed("ending a graph", error))?;
        // SAFETY: the graph was just captured.
        let made =
            unsafe { result::graph::instantiate(captured, sys::CUgraphInstantiate_flags(0)) };
        match made {
            Ok(executable) => Ok(Self {
                shared: Arc::clone(shared),
                made: Mutex::new(Made {
                    captured,
                    executable,
                }),
                nodes,
                _modules: calls.iter().filter_map(Call::module).collect(),
            }),
            Err(error) => {
                destroyed(captured);
                Err(failed("making a graph", error))
            }
        }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node that a stream goes on from, if it is one.
///
/// # Safety
///
/// The stream captures.
unsafe fn newest(stream: sys::CUstream) -> Option<Node> {
    let mut status = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
    let (mut id, mut graph) = (0, std::ptr::null_mut());
    let (mut nodes, mut edges) = (std::ptr::null(), std::ptr::null());
    let mut count = 0;
    // SAFETY: the stream lives, and everything is written before it is read.
    let told = unsafe {
        sys::cuStreamGetCaptureInfo_v3(
            stream,
            &raw mut status,
            &raw mut id,
            &raw mut graph,
            &raw mut nodes,
            &raw mut edges,
            &raw mut count,
        )
    };
    let active = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if told.result().is_err() || status != active || count != 1 || nodes.is_null() {
        return None;
    }
    // SAFETY: the driver says that there is one.
    Some(Node(unsafe { *nodes }))
}

/// Whether a node is the launch that a call is.
fn is_launch(node: &Node, call: &Call) -> bool {
    let Call::Grid(grid) = call else { return false };
    let mut kind = sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_EMPTY;
    // SAFETY: the node was just captured.
    let told = unsafe { sys::cuGraphNodeGetType(node.0, &raw mut kind) };
    if told.result().is_err() || kind != sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_KERNEL {
        return false;
    }
    let mut params = MaybeUninit::<sys::CUDA_KERNEL_NODE_PARAMS>::zeroed();
    // SAFETY: it is a kernel's node; the driver fills the parameters in.
    let told = unsafe { sys::cuGraphKernelNodeGetParams_v2(node.0, params.as_mut_ptr()) };
    if told.result().is_err() {
        return false;
    }
    // SAFETY: handles and numbers, for which zeros are valid, filled in by the driver.
    let params = unsafe { params.assume_init() };
    let blocks = [params.gridDimX, params.gridDimY];
    function(grid).is_ok_and(|own| own == params.func) && blocks == grid.grid
}

impl Recorded for Graph {
    unsafe fn replay(&self) -> Result<(), DriverError> {
        self.shared.enter()?;
        let made = self.made();
        // SAFETY: both live; the caller vouches for the memory.
        let launched = unsafe { result::graph::launch(made.executable, self.shared.stream) };
        launched.map_err(|error| failed("launching a graph", error))
    }

    unsafe fn change(&self, at: usize, grid: &Grid) -> Result<(), DriverError> {
        const WHAT: &str = "changing a launch of a graph";
        self.shared.enter()?;
        let Some(Some(node)) = self.nodes.get(at) else {
            return Err(DriverError::Call {
                what: WHAT,
                why: "which node it is is not known".to_owned(),
            });
        };
        let mut places = places(grid);
        let [x, y] = grid.grid;
        let params = sys::CUDA_KERNEL_NODE_PARAMS {
            func: function(grid)?,
            gridDimX: x,
            gridDimY: y,
            gridDimZ: 1,
            blockDimX: THREADS,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: 0,
            kernelParams: places.as_mut_ptr(),
            extra: std::ptr::null_mut(),
            kern: std::ptr::null_mut(),
            ctx: std::ptr::null_mut(),
        };
        let made = self.made();
        // SAFETY: the node is one of the graph that this was made of; the arguments are copied; runs that were asked for keep
        // theirs.
        let changed = unsafe {
            sys::cuGraphExecKernelNodeSetParams_v2(made.executable, node.0, &raw const params)
        };
        changed.result().map_err(|error| failed(WHAT, error))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.shared.wait().is_ok() {
            let made = self.made();
            // SAFETY: nothing of it runs any more, and nobody else has it.
            let _ = unsafe { result::graph::exec_destroy(made.executable) };
            // SAFETY: as above.
            let _ = unsafe { result::graph::destroy(made.captured) };
        }
    }
}
