//! Backend over a device: the host walks a plan, the device compiles and runs its regions.
//!
//! Every launch of a plan is offered to the device as a region. Of what it refuses, loops are walked step by step here and
//! routes branch by branch, with the launches inside as regions of their own; everything else is computed by the cpu
//! backend on copies of the buffers that it touches. Parameters, tables, states and results stay on the device.

mod array;
mod backend;
mod bound;
mod context;
mod executable;
mod explain;
mod own;
mod pool;
mod program;
mod route;
mod run;
mod strided;
mod walk;

pub use backend::OnDevice;
pub use explain::{Explained, Taken};
