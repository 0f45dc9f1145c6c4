//! Kernels of attention's tiles as functions of one score.

use std::fmt::Write as _;
use std::sync::Arc;

use girih_plan::kernel::{Kernel, LoopKind, StepOp};
use girih_plan::plan::{KernelLaunch, tile};

use super::emit::{Emitter, var};
use super::sizes::Sizes;
use super::types::stored;
use super::{Code, Refusal, listed};

/// A function of a score and its place.
pub(super) struct Inlined {
    pub(super) name: String,
    pub(super) text: String,
    /// What follows a score, its row and its key in the tile, the guard and where the tile lies.
    pub(super) arguments: String,
    /// Declarations of what an entry hands on.
    pub(super) parameters: String,
    pub(super) sizes: Sizes,
}

/// The function `name` of a tile's kernel; its buffers and sizes are called by `name`, too.
///
/// # Errors
///
/// The kernel does more than make each score from what it was.
pub(super) fn function(
    name: &str,
    kernel: &Kernel,
    launch: &KernelLaunch,
    points: usize,
) -> Result<Inlined, Refusal> {
    kernel.check().map_err(Refusal::new)?;
    let [store] = kernel.stores.as_slice() else {
        return Err(Refusal::new("a kernel of a tile writes more than scores"));
    };
    let reduces = kernel
        .steps
        .iter()
        .any(|step| matches!(step.op, StepOp::Reduce(..)));
    if reduces || store.access.buffer != 0 || kernel.loops.len() != 2 {
        return Err(Refusal::new(
            "a kernel of a tile does more than make each score from what it was",
        ));
    }
    let mut kernel = kernel.clone();
    for own in &mut kernel.loops {
        own.kind = LoopKind::Outer;
    }
    for step in &mut kernel.steps {
        (step.walked, step.inner) = (false, false);
    }
    let mut locals: Vec<(Arc<str>, String)> = vec![
        (Arc::from(tile::ROW), "row0".to_owned()),
        (Arc::from(tile::KEY), "key0".to_owned()),
    ];
    locals.extend((0..points).map(|at| (Arc::from(tile::point(at)), format!("p{at}"))));
    let mut emitter = Emitter::new(&kernel, Sizes::new(&locals), 1, 1);
    emitter.tile = Some("score".to_owned());
    let step = kernel.stores[0].step;
    emitter.need(step)?;
    emitter.line(format!("return {};", var(step)));
    let (body, sizes) = emitter.finish();
    let mut own = String::new();
    let mut parameters = String::new();
    let mut arguments = String::new();
    for at in 1..launch.buffers.len() {
        let ty = stored(kernel.buffers[at]);
        let _ = write!(own, ", const {ty}* b{at}");
        let _ = write!(parameters, ", const {ty}* {name}_b{at}");
        let _ = write!(arguments, ", {name}_b{at}");
    }
    for at in 0..sizes.iter().count() {
        let _ = write!(own, ", i64 s{at}");
        let _ = write!(parameters, ", i64 {name}_s{at}");
        let _ = write!(arguments, ", {name}_s{at}");
    }
    let places = listed((0..points).map(|at| format!("i64 p{at}")));
    let mut code = Code::default();
    code.text.push_str(&sizes.comment());
    code.open(format!(
        "FN float {name}(float score, i64 i0, i64 i1, Guard guard, i64 row0, i64 key0{places}{own})"
    ));
    code.text.push_str(&body);
    code.close();
    code.line("\n");
    Ok(Inlined {
        name: name.to_owned(),
        text: code.text,
        arguments,
        parameters,
        sizes,
    })
}
