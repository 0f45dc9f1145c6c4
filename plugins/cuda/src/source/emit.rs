//! The steps of a kernel in nested loops.
//!
//! A step is written where somebody needs it, in the outermost open loop that it varies along:
//! what does not vary along an inner loop stands before it. Reductions open loops of their own;
//! what several loops need is computed in each.

use std::collections::BTreeSet;

use girih_graph::op::{Binary, Combine};
use girih_graph::{DType, Extent};
use girih_plan::kernel::{Access, Affine, GuardOutside, Kernel, LoopId, LoopKind, StepId, StepOp};

use super::sizes::Sizes;
use super::types::{
    combined, combiner, constant, fitted, held, identity, real, running, to_stored,
};
use super::{Code, Refusal, steps};

/// An open loop, with the code in it.
struct Scope {
    /// The point's own scope is of no loop.
    kind: Option<LoopKind>,
    code: Code,
    known: BTreeSet<StepId>,
}

/// A kernel while its code is written.
pub(super) struct Emitter<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) sizes: Sizes,
    /// Threads that share a point; 1 if each has its own.
    pub(super) team: u32,
    /// The variable that stands for the elements of buffer 0, if it is a tile.
    pub(super) tile: Option<String>,
    /// Stores that the first loop over the walk does beside its sums.
    pub(super) along_walk: Vec<usize>,
    /// Steps that a store needs.
    pub(super) live: Vec<bool>,
    scopes: Vec<Scope>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(kernel: &'a Kernel, sizes: Sizes, team: u32, depth: usize) -> Self {
        let mut live = vec![false; kernel.steps.len()];
        let mut open: Vec<StepId> = kernel
            .stores
            .iter()
            .flat_map(|store| {
                let data = store.access.address.steps.iter().map(|(id, _)| *id);
                data.chain([store.step])
            })
            .collect();
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut live[id], true) {
                open.extend(kernel.steps[id].operands());
            }
        }
        Self {
            kernel,
            sizes,
            team,
            tile: None,
            along_walk: Vec::new(),
            live,
            scopes: vec![Scope {
                kind: None,
                code: Code::at(depth),
                known: BTreeSet::new(),
            }],
        }
    }

    /// What was written, and the sizes that it names.
    pub(super) fn finish(mut self) -> (String, Sizes) {
        let code = self.scopes.pop().map(|scope| scope.code.text);
        (code.unwrap_or_default(), self.sizes)
    }

    pub(super) fn line(&mut self, line: impl AsRef<str>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.code.line(line);
        }
    }

    fn is_known(&self, id: StepId) -> bool {
        self.scopes.iter().any(|scope| scope.known.contains(&id))
    }

    /// Has a step's variable written, if it is not in reach yet.
    pub(super) fn need(&mut self, id: StepId) -> Result<(), Refusal> {
        if self.is_known(id) {
            return Ok(());
        }
        let step = &self.kernel.steps[id];
        let open = |depth: usize, kind| {
            let mut scopes = self.scopes[..=depth].iter();
            scopes.any(|scope| scope.kind == Some(kind))
        };
        let fits = |depth: &usize| {
            (!step.walked || open(*depth, LoopKind::Walk))
                && (!step.inner || open(*depth, LoopKind::Inner))
        };
        let depth = (0..self.scopes.len()).find(fits).ok_or_else(|| {
            Refusal::new("a step of the kernel is needed outside the loops that it varies along")
        })?;
        let rest = self.scopes.split_off(depth + 1);
        let written = self.write(id);
        self.scopes.extend(rest);
        written
    }

    fn know(&mut self, id: StepId) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.known.insert(id);
        }
    }

    /// Writes a step into the innermost loop.
    fn write(&mut self, id: StepId) -> Result<(), Refusal> {
        let kernel = self.kernel;
        let step = &kernel.steps[id];
        if let StepOp::Reduce(_, _, kind) = step.op {
            return self.reduce(id, kind);
        }
        for operand in step.operands() {
            self.need(operand)?;
        }
        let dtype = step.dtype;
        let value = match &step.op {
            StepOp::Load(access) => self.load(access, dtype)?,
            StepOp::Position(affine) => self.affine(affine)?,
            StepOp::Constant(own) => constant(dtype, *own),
            StepOp::Size(extent) => self.sizes.text(extent)?,
            StepOp::Unary(op, x) => steps::unary(*op, dtype, &var(*x)),
            StepOp::Binary(op, x, y) => {
                steps::binary(*op, kernel.steps[*x].dtype, &var(*x), &var(*y))
            }
            StepOp::Select(c, x, y) => format!("{} ? {} : {}", var(*c), var(*x), var(*y)),
            StepOp::Cast(x) => steps::cast(kernel.steps[*x].dtype, dtype, &var(*x)),
            StepOp::Reduce(..) => unreachable!("handled above"),
        };
        self.line(format!("const {} {} = {value};", held(dtype), var(id)));
        self.know(id);
        Ok(())
    }

    /// `offset + Σ factor·position + Σ factor·data`, which wraps around where data are in it.
    pub(super) fn affine(&mut self, affine: &Affine) -> Result<String, Refusal> {
        let mut terms = Vec::new();
        for (id, factor) in &affine.loops {
            terms.push(self.term(&position(*id), factor)?);
        }
        if affine.offset.as_constant() != Some(0) || terms.is_empty() && affine.steps.is_empty() {
            terms.push(self.sizes.text(&affine.offset)?);
        }
        if affine.steps.is_empty() {
            return Ok(terms.join(" + "));
        }
        for (id, factor) in &affine.steps {
            self.need(*id)?;
            terms.push(self.term(&format!("(u64){}", var(*id)), factor)?);
        }
        Ok(format!("(i64)({})", terms.join(" + ")))
    }

    fn term(&mut self, name: &str, factor: &Extent) -> Result<String, Refusal> {
        Ok(match factor.as_constant() {
            Some(1) => name.to_owned(),
            _ => format!("{name} * {}", self.sizes.text(factor)?),
        })
    }

    fn load(&mut self, access: &Access, dtype: DType) -> Result<String, Refusal> {
        if access.buffer == 0
            && let Some(tile) = &self.tile
        {
            return Ok(tile.clone());
        }
        let element = format!(
            "read(b{}[{}])",
            access.buffer,
            self.affine(&access.address)?
        );
        if access.guards.is_empty() {
            return Ok(element);
        }
        let mut conditions = Vec::new();
        for zero in [true, false] {
            for guard in &access.guards {
                if (guard.outside == GuardOutside::Zero) != zero {
                    continue;
                }
                let (index, extent) = (self.affine(&guard.index)?, self.sizes.text(&guard.extent)?);
                conditions.push(match guard.outside {
                    GuardOutside::Zero => format!("inside({index}, {extent})"),
                    GuardOutside::Fail(status) => {
                        format!("checked(guard, {status}, {index}, {extent})")
                    }
                });
            }
        }
        let zero = if dtype.is_real() {
            real(dtype, 0.0)
        } else {
            "0".to_owned()
        };
        Ok(format!("{} ? {element} : {zero}", conditions.join(" && ")))
    }

    /// Writes an element; its step and what its address needs are in reach.
    pub(super) fn store(&mut self, store: usize) -> Result<(), Refusal> {
        let store = &self.kernel.stores[store];
        let dtype = self.kernel.steps[store.step].dtype;
        let address = self.affine(&store.access.address)?;
        let value = to_stored(dtype, &var(store.step));
        self.line(format!("b{}[{address}] = {value};", store.access.buffer));
        Ok(())
    }

    /// What a store needs.
    pub(super) fn need_store(&mut self, store: usize) -> Result<(), Refusal> {
        let store = &self.kernel.stores[store];
        self.need(store.step)?;
        for (id, _) in &store.access.address.steps {
            self.need(*id)?;
        }
        Ok(())
    }

    /// Opens a loop. `close` ends it and puts it where it belongs.
    pub(super) fn open(&mut self, kind: LoopKind) {
        let depth = self.scopes.last().map_or(0, |scope| scope.code.depth);
        self.scopes.push(Scope {
            kind: Some(kind),
            code: Code::at(depth + 1),
            known: BTreeSet::new(),
        });
    }

    pub(super) fn close(&mut self) -> Result<(), Refusal> {
        let Some(scope) = self.scopes.pop() else {
            return Ok(());
        };
        let id = match scope.kind {
            Some(LoopKind::Walk) => self.kernel.walk(),
            _ => self.kernel.inner(),
        };
        let id =
            id.ok_or_else(|| Refusal::new("a reduction runs over a loop that is not there"))?;
        let extent = self.sizes.text(&self.kernel.loops[id].extent)?;
        let own = position(id);
        let (first, step) = match scope.kind {
            Some(LoopKind::Inner) => ("lane", format!("{own} += {}", self.team)),
            _ => ("0", format!("++{own}")),
        };
        self.line(format!(
            "for (i64 {own} = {first}; {own} < {extent}; {step}) {{"
        ));
        if let Some(outer) = self.scopes.last_mut() {
            outer.code.text.push_str(&scope.code.text);
        }
        self.line("}");
        Ok(())
    }

    /// Writes a reduction, and others that can run through the same loop.
    fn reduce(&mut self, id: StepId, kind: LoopKind) -> Result<(), Refusal> {
        for other in self.awaited(id) {
            let step = &self.kernel.steps[other];
            // What varies along more loops than are open is written in the loop.
            let open = |kind| self.scopes.iter().any(|scope| scope.kind == Some(kind));
            if (!step.walked || open(LoopKind::Walk)) && (!step.inner || open(LoopKind::Inner)) {
                self.need(other)?;
            }
        }
        let group = self.companions(id, kind);
        for own in &group {
            let (combine, dtype, _) = self.parts(*own);
            let start = identity(combine, dtype);
            self.line(format!("{} {} = {start};", running(dtype), sum(*own)));
        }
        self.open(kind);
        for own in &group {
            let (combine, dtype, x) = self.parts(*own);
            let exact = matches!(dtype, DType::F32 | DType::F64) && combine == Combine::Sum;
            let next = match self.kernel.steps[x].op {
                StepOp::Binary(Binary::Mul, a, b) if exact && !self.is_known(x) => {
                    self.need(a)?;
                    self.need(b)?;
                    let fma = super::types::function("fma", dtype);
                    format!("{fma}({}, {}, {})", var(a), var(b), sum(*own))
                }
                _ => {
                    self.need(x)?;
                    combined(combine, dtype, &sum(*own), &var(x))
                }
            };
            self.line(format!("{} = {next};", sum(*own)));
        }
        if kind == LoopKind::Walk {
            self.stores_along_walk()?;
        }
        self.close()?;
        for own in group {
            let (combine, dtype, _) = self.parts(own);
            let whole = if kind == LoopKind::Inner {
                format!("across<{}, {}>({})", self.team, combiner(combine), sum(own))
            } else {
                sum(own)
            };
            let value = fitted(dtype, whole);
            self.line(format!("const {} {} = {value};", held(dtype), var(own)));
            self.know(own);
        }
        Ok(())
    }

    /// What is written in the innermost loop, which is the walk.
    pub(super) fn stores_along_walk(&mut self) -> Result<(), Refusal> {
        let stores = std::mem::take(&mut self.along_walk);
        for store in &stores {
            self.need_store(*store)?;
        }
        stores.into_iter().try_for_each(|store| self.store(store))
    }

    fn parts(&self, id: StepId) -> (Combine, DType, StepId) {
        let step = &self.kernel.steps[id];
        match step.op {
            StepOp::Reduce(combine, x, _) => (combine, step.dtype, x),
            _ => unreachable!("only reductions are reduced"),
        }
    }

    /// Reductions over the same loop at the same place that wait for no other one.
    fn companions(&self, id: StepId, kind: LoopKind) -> Vec<StepId> {
        let steps = &self.kernel.steps;
        let own = &steps[id];
        if own.inner {
            return vec![id];
        }
        let alike = |other: &StepId| {
            let step = &steps[*other];
            matches!(step.op, StepOp::Reduce(_, _, over) if over == kind)
                && (step.walked, step.inner) == (own.walked, own.inner)
                && self.live[*other]
                && !self.is_known(*other)
                && (*other == id || self.awaited(*other).is_empty())
        };
        (0..steps.len()).filter(alike).collect()
    }

    /// Reductions that a step needs and that are not in reach, in order.
    fn awaited(&self, id: StepId) -> BTreeSet<StepId> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = self.kernel.steps[id].operands();
        while let Some(id) = open.pop() {
            if self.is_known(id) || !seen.insert(id) {
                continue;
            }
            if matches!(self.kernel.steps[id].op, StepOp::Reduce(..)) {
                found.insert(id);
            }
            open.extend(self.kernel.steps[id].operands());
        }
        found
    }
}

/// The variable of a step.
pub(super) fn var(id: StepId) -> String {
    format!("v{id}")
}

/// The variable that a reduction's values are combined in.
fn sum(id: StepId) -> String {
    format!("sum{id}")
}

/// The variable of a loop.
pub(super) fn position(id: LoopId) -> String {
    format!("i{id}")
}
