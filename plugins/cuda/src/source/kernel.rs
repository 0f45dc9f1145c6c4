//! A kernel as a device function over points.
//!
//! Where nothing is reduced over the inner loop, a thread has a point of all loops but the walk.
//! Where something is, a team of threads – a warp, or a block for long rows – has a point of the
//! outer loops and shares the inner one.

use std::fmt::Write as _;
use std::sync::Arc;

use girih_graph::Extent;
use girih_plan::kernel::{Kernel, LoopId, LoopKind, StepOp};

use super::emit::{Emitter, position};
use super::sizes::Sizes;
use super::types::stored;
use super::{Blocks, Code, Refusal, THREADS, listed};

/// Rows that are longer are shared by a block instead of a warp.
const LONG: i64 = 1024;

/// A kernel's function.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) sizes: Sizes,
    /// Extents of the loops that points have.
    pub(super) points: Vec<Extent>,
    /// Threads that share a point.
    pub(super) team: u32,
    /// The type of each buffer's elements, and whether it is written.
    pub(super) buffers: Vec<(&'static str, bool)>,
}

impl Function {
    /// Whether threads wait for one another.
    pub(super) fn synchronizes(&self) -> bool {
        self.team > 1
    }

    /// The grid for its entry.
    pub(super) fn blocks(&self) -> Blocks {
        let points = self.points.iter().map(|extent| (extent.clone(), 1));
        Blocks {
            x: points.collect(),
            per: u64::from(THREADS / self.team),
            y: Vec::new(),
        }
    }

    /// A function for a grid that runs it.
    pub(super) fn entry(&self, name: &str) -> String {
        let mut parameters = "Failure* failure, i64 launch".to_owned();
        let mut arguments = "Guard{failure, launch}".to_owned();
        for (at, (ty, written)) in self.buffers.iter().enumerate() {
            let qualifier = if *written { "" } else { "const " };
            let _ = write!(parameters, ", {qualifier}{ty}* b{at}");
            let _ = write!(arguments, ", b{at}");
        }
        for at in 0..self.sizes.iter().count() {
            let _ = write!(arguments, ", s{at}");
        }
        let (first, step) = self.range();
        format!(
            "extern \"C\" __global__ void __launch_bounds__({THREADS}) {name}({parameters}{}) {{\n  \
             {}({first}, {step}, {arguments});\n}}\n\n",
            self.sizes.parameters(),
            self.name
        )
    }

    /// The first point of a thread or team of a grid, and the distance of its points.
    fn range(&self) -> (String, String) {
        let per = THREADS / self.team;
        let first = match self.team {
            1 => format!("blockIdx.x * {per}ll + threadIdx.x"),
            THREADS => "blockIdx.x".to_owned(),
            team => format!("blockIdx.x * {per}ll + threadIdx.x / {team}"),
        };
        (first, format!("gridDim.x * {per}ll"))
    }

    /// The first point of a thread or team where a block runs the function alone, and the distance
    /// of its points.
    pub(super) fn range_of_block(&self) -> (String, String) {
        let per = THREADS / self.team;
        let first = match self.team {
            1 => "threadIdx.x".to_owned(),
            THREADS => "0".to_owned(),
            team => format!("threadIdx.x / {team}"),
        };
        (first, per.to_string())
    }
}

/// The function of a kernel. `locals` are symbols that it takes as variables, behind its sizes.
///
/// # Errors
///
/// What is not generated.
pub(super) fn function(
    name: &str,
    kernel: &Kernel,
    locals: &[(Arc<str>, String)],
) -> Result<Function, Refusal> {
    kernel.check().map_err(Refusal::new)?;
    let team = team(kernel);
    let kernel = if team == 1 {
        flat(kernel)
    } else {
        kernel.clone()
    };
    let mut order: Vec<LoopId> = (0..kernel.loops.len())
        .filter(|id| kernel.loops[*id].kind == LoopKind::Outer)
        .collect();
    if team == 1 {
        contiguous_last(&kernel, &mut order);
    }
    let points: Vec<Extent> = order
        .iter()
        .map(|id| kernel.loops[*id].extent.clone())
        .collect();
    let mut sizes = Sizes::new(locals);
    let mut head = Code::at(2);
    let mut factors = Vec::new();
    if !order.is_empty() {
        head.line("i64 rest = point;");
    }
    for (place, id) in order.iter().enumerate().rev() {
        let extent = sizes.text(&kernel.loops[*id].extent)?;
        let own = position(*id);
        if place == 0 {
            head.line(format!("const i64 {own} = rest;"));
        } else {
            head.line(format!(
                "const i64 {own} = rest % {extent};\nrest /= {extent};"
            ));
        }
        factors.push(extent);
    }
    factors.reverse();
    let count = product(&factors);
    let mut emitter = Emitter::new(&kernel, sizes, team, 2);
    if team == 1 {
        alone(&mut emitter)?;
    } else {
        shared(&mut emitter)?;
    }
    let (body, sizes) = emitter.finish();
    let buffers: Vec<(&'static str, bool)> = kernel
        .buffers
        .iter()
        .enumerate()
        .map(|(at, dtype)| {
            let written = kernel.stores.iter().any(|store| store.access.buffer == at);
            (stored(*dtype), written)
        })
        .collect();
    let mut parameters = "i64 first, i64 step, Guard guard".to_owned();
    for (at, (ty, written)) in buffers.iter().enumerate() {
        let qualifier = if *written { "" } else { "const " };
        let _ = write!(parameters, ", {qualifier}{ty}* b{at}");
    }
    let variables = listed(locals.iter().map(|(_, own)| format!("i64 {own}")));
    let mut code = Code::default();
    code.text.push_str(&sizes.comment());
    code.open(format!(
        "static __device__ void {name}({parameters}{}{variables})",
        sizes.parameters()
    ));
    if team > 1 {
        code.line(format!("const i64 lane = threadIdx.x % {team};"));
    }
    code.open(format!(
        "for (i64 point = first; point < {count}; point += step)"
    ));
    code.text.push_str(&head.text);
    code.text.push_str(&body);
    code.close();
    code.close();
    code.line("\n");
    Ok(Function {
        name: name.to_owned(),
        text: code.text,
        sizes,
        points,
        team,
        buffers,
    })
}

/// A product of sizes, of which those that are numbers are one.
pub(super) fn product(factors: &[String]) -> String {
    let number = |factor: &String| factor.trim_end_matches("ll").parse::<i64>().ok();
    let constant = factors
        .iter()
        .filter_map(number)
        .fold(1, i64::saturating_mul);
    let rest = factors.iter().filter(|factor| number(factor).is_none());
    let mut all: Vec<String> = rest.cloned().collect();
    if constant != 1 || all.is_empty() {
        all.insert(0, format!("{constant}ll"));
    }
    all.join(" * ")
}

/// How many threads share a point.
fn team(kernel: &Kernel) -> u32 {
    let Some(inner) = kernel.inner() else {
        return 1;
    };
    let single = kernel.stores.iter().any(|store| {
        let address = &store.access.address;
        let along = address.loops.iter().any(|(id, _)| *id == inner)
            || address.steps.iter().any(|(id, _)| kernel.steps[*id].inner);
        !kernel.steps[store.step].inner && !along
    });
    if !kernel.reduces_inner() && !single {
        return 1;
    }
    match kernel.loops[inner].extent.as_constant() {
        Some(extent) if extent > LONG => THREADS,
        _ => 32,
    }
}

/// The kernel with its inner loop as one more outer one.
fn flat(kernel: &Kernel) -> Kernel {
    let mut kernel = kernel.clone();
    for own in &mut kernel.loops {
        if own.kind == LoopKind::Inner {
            own.kind = LoopKind::Outer;
        }
    }
    for step in &mut kernel.steps {
        step.inner = false;
    }
    kernel
}

/// Moves the loop that most accesses are contiguous along to the end: neighboring threads are
/// neighbors along it.
fn contiguous_last(kernel: &Kernel, order: &mut Vec<LoopId>) {
    let one = Extent::constant(1);
    let count = |id: LoopId| {
        let loads = kernel.steps.iter().filter_map(|step| match &step.op {
            StepOp::Load(access) => Some(access),
            _ => None,
        });
        let accesses = loads.chain(kernel.stores.iter().map(|store| &store.access));
        accesses
            .filter(|access| access.address.factor(id) == one)
            .count()
    };
    let best = (0..order.len()).max_by_key(|at| count(order[*at]));
    if let Some(best) = best {
        let id = order.remove(best);
        order.push(id);
    }
}

/// What a thread does that has a point of its own.
fn alone(emitter: &mut Emitter<'_>) -> Result<(), Refusal> {
    let (walked, single) = divided(emitter.kernel, |kernel, store| varies(kernel, store).0);
    emitter.along_walk = walked;
    for store in &single {
        emitter.need_store(*store)?;
    }
    if !emitter.along_walk.is_empty() {
        emitter.open(LoopKind::Walk);
        emitter.stores_along_walk()?;
        emitter.close()?;
    }
    for store in single {
        emitter.store(store)?;
    }
    Ok(())
}

/// What a thread does that shares a point with others.
fn shared(emitter: &mut Emitter<'_>) -> Result<(), Refusal> {
    let kernel = emitter.kernel;
    let (walked, single) = divided(kernel, |kernel, store| varies(kernel, store).0);
    let along = |kernel: &Kernel, store: usize| varies(kernel, store).1;
    let inner: Vec<usize> = single
        .iter()
        .copied()
        .filter(|own| along(kernel, *own))
        .collect();
    let lonely: Vec<usize> = single
        .into_iter()
        .filter(|own| !along(kernel, *own))
        .collect();
    if rereads(kernel, &inner, &walked) {
        return Err(Refusal::new(
            "the kernel reads along the walk what it writes outside of it",
        ));
    }
    for store in &lonely {
        emitter.need_store(*store)?;
    }
    if !inner.is_empty() {
        emitter.open(LoopKind::Inner);
        for store in &inner {
            emitter.need_store(*store)?;
        }
        for store in inner {
            emitter.store(store)?;
        }
        emitter.close()?;
    }
    if !walked.is_empty() {
        emitter.open(LoopKind::Walk);
        let (rows, cells): (Vec<usize>, Vec<usize>) =
            walked.into_iter().partition(|own| along(kernel, *own));
        for store in &cells {
            emitter.need_store(*store)?;
        }
        if !rows.is_empty() {
            emitter.open(LoopKind::Inner);
            for store in &rows {
                emitter.need_store(*store)?;
            }
            for store in rows {
                emitter.store(store)?;
            }
            emitter.close()?;
        }
        store_once(emitter, &cells)?;
        emitter.close()?;
    }
    store_once(emitter, &lonely)
}

/// Stores of what all threads of a team have, by the first of them.
fn store_once(emitter: &mut Emitter<'_>, stores: &[usize]) -> Result<(), Refusal> {
    if stores.is_empty() {
        return Ok(());
    }
    if is_read(emitter.kernel, stores) {
        // The others have read it by then.
        let team = emitter.team;
        emitter.line(format!("together<{team}>();"));
    }
    emitter.line("if (lane == 0) {");
    for store in stores {
        emitter.store(*store)?;
    }
    emitter.line("}");
    Ok(())
}

/// Stores for which something holds, and the others.
fn divided(kernel: &Kernel, holds: impl Fn(&Kernel, usize) -> bool) -> (Vec<usize>, Vec<usize>) {
    (0..kernel.stores.len()).partition(|store| holds(kernel, *store))
}

/// Whether a store writes along the walk, and along the inner loop.
fn varies(kernel: &Kernel, store: usize) -> (bool, bool) {
    let store = &kernel.stores[store];
    let step = &kernel.steps[store.step];
    let address = &store.access.address;
    let data = address.steps.iter().map(|(id, _)| &kernel.steps[*id]);
    let own = |kind| {
        let mut loops = address.loops.iter();
        loops.any(|(id, _)| kernel.loops[*id].kind == kind)
    };
    data.fold(
        (
            step.walked || own(LoopKind::Walk),
            step.inner || own(LoopKind::Inner),
        ),
        |all, step| (all.0 || step.walked, all.1 || step.inner),
    )
}

/// Whether what some stores write is read by the kernel.
fn is_read(kernel: &Kernel, stores: &[usize]) -> bool {
    let written: Vec<usize> = stores
        .iter()
        .map(|own| kernel.stores[*own].access.buffer)
        .collect();
    let reads = |step: &girih_plan::kernel::Step| match &step.op {
        StepOp::Load(access) => written.contains(&access.buffer),
        _ => false,
    };
    kernel.steps.iter().any(reads)
}

/// Whether stores that come later need what earlier ones overwrite.
fn rereads(kernel: &Kernel, earlier: &[usize], later: &[usize]) -> bool {
    let written: Vec<usize> = earlier
        .iter()
        .map(|own| kernel.stores[*own].access.buffer)
        .collect();
    let mut open: Vec<usize> = later.iter().map(|own| kernel.stores[*own].step).collect();
    let mut seen = vec![false; kernel.steps.len()];
    while let Some(id) = open.pop() {
        if std::mem::replace(&mut seen[id], true) {
            continue;
        }
        if matches!(&kernel.steps[id].op, StepOp::Load(access) if written.contains(&access.buffer))
        {
            return true;
        }
        open.extend(kernel.steps[id].operands());
    }
    false
}
