//! Kernels whose walk is a step of a linear recurrence, which one routine computes.
//!
//! Rows of the state are the positions of the walk, columns those of the inner loop. The routine
//! works in vectors as wide as the machine has them, with the sums in registers; the formulas
//! around it – what is added, what becomes of the sums – are code as everywhere. Recognition is by
//! shape: operands of sums and products in either order.

use std::collections::BTreeSet;

use girih_graph::DType;
use girih_graph::op::{Binary, Combine, Unary};
use girih_plan::kernel::{Kernel, LoopKind, StepId, StepOp};

use super::schedule::{lies_in_blocks, store_varies};

/// Rows of a matrix that is only read and that a walk visits in pieces, so that memory is read in
/// longer runs.
const MANY_ROWS: i64 = 256;

/// `next = decay · state + added`, and the sum over rows of `q` times what is seen of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fade {
    /// Load of the state.
    pub(super) state: StepId,
    pub(super) decay: Decay,
    pub(super) added: Option<Added>,
    /// The store of the next state.
    pub(super) store: Option<usize>,
    pub(super) read: Option<Read>,
}

impl Fade {
    /// What the routine reads along the inner loop beside the state.
    pub(super) fn columns(&self) -> Vec<StepId> {
        let mut columns = Vec::new();
        if let Some(added) = self.added {
            columns.push(added.x);
            columns.extend(added.then);
        }
        if let Some(Seen::Bonus(_, gain)) = self.read.map(|read| read.seen) {
            columns.push(gain);
        }
        if let Decay::Exponential { times, .. } = self.decay {
            columns.push(times);
        }
        columns
    }
}

/// What the state is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decay {
    Nothing,
    /// Alike in a row.
    Row(StepId),
    /// `exp(times · rates)`; times are alike in a column, rates lie as the state does.
    Exponential {
        times: StepId,
        rates: StepId,
    },
}

/// `k · x · then`: `k` is alike in a row, the others in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) k: StepId,
    pub(super) x: StepId,
    pub(super) then: Option<StepId>,
}

/// A sum over the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) sum: StepId,
    /// Alike in a row.
    pub(super) q: StepId,
    pub(super) seen: Seen,
}

/// What is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The state.
    Before,
    /// The state and a product: of what is alike in a row, and in a column.
    Bonus(StepId, StepId),
    /// The next state.
    After,
}

/// The walk as a step of a linear recurrence, if it is one and nothing else.
pub(super) fn fade(kernel: &Kernel, live: &[bool]) -> Option<Fade> {
    let finder = Finder { kernel };
    kernel.walk()?;
    kernel.inner()?;
    let walked = |id: &StepId| {
        let sums = matches!(kernel.steps[*id].op, StepOp::Reduce(_, _, LoopKind::Walk));
        live[*id] && (kernel.steps[*id].walked || sums)
    };
    let all: BTreeSet<StepId> = (0..kernel.steps.len()).filter(walked).collect();
    let mut stores =
        (0..kernel.stores.len()).filter(|own| store_varies(kernel, *own, LoopKind::Walk));
    let (store, None) = (stores.next(), stores.next()) else {
        return None;
    };
    let mut sums = all
        .iter()
        .filter(|id| matches!(kernel.steps[**id].op, StepOp::Reduce(..)));
    let (sum, None) = (sums.next().copied(), sums.next()) else {
        return None;
    };
    let rows = kernel.loops[kernel.walk()?].extent.as_constant();
    if store.is_none() && rows.is_none_or(|rows| rows > MANY_ROWS) {
        return None;
    }
    let found = finder.found(store, sum)?;
    let explained = finder.explained(&found, sum);
    (all == explained && finder.is_apart(&found)).then_some(found)
}

struct Finder<'a> {
    kernel: &'a Kernel,
}

impl Finder<'_> {
    fn found(&self, store: Option<usize>, sum: Option<StepId>) -> Option<Fade> {
        let next = store.map(|store| self.kernel.stores[store].step);
        let Some(sum) = sum else {
            return self.next(next?, store, None);
        };
        let step = &self.kernel.steps[sum];
        let StepOp::Reduce(Combine::Sum, product, _) = step.op else {
            return None;
        };
        if !step.inner || step.dtype != DType::F32 {
            return None;
        }
        let (q, seen) = self
            .pairs(product, Binary::Mul)
            .into_iter()
            .find(|(q, seen)| !self.kernel.steps[*q].inner && self.kernel.steps[*seen].inner)?;
        let read = |seen| Some(Read { sum, q, seen });
        match next {
            Some(next) if next == seen => self.next(next, store, read(Seen::After)),
            Some(next) => {
                let found = self.next(next, store, None)?;
                let seen = self.seen(&found, seen)?;
                Some(Fade {
                    read: read(seen),
                    ..found
                })
            }
            None if self.is_row(seen) => self.next(seen, None, read(Seen::Before)),
            None => self.next(seen, None, read(Seen::After)),
        }
    }

    /// The step `id` as the state before the step, or that and a product.
    fn seen(&self, fade: &Fade, id: StepId) -> Option<Seen> {
        if fade.state == id {
            return Some(Seen::Before);
        }
        if matches!(fade.decay, Decay::Exponential { .. }) {
            return None;
        }
        let sums = self.pairs(id, Binary::Add).into_iter();
        let mut bonus = sums.filter_map(|(state, more)| {
            let (k, x) = self.row_by_column(more)?;
            (state == fade.state).then_some(Seen::Bonus(k, x))
        });
        bonus.next()
    }

    /// The step `id` as a next state.
    fn next(&self, id: StepId, store: Option<usize>, read: Option<Read>) -> Option<Fade> {
        let sums = self.pairs(id, Binary::Add).into_iter();
        let mut sums = sums.filter_map(|(x, y)| Some((self.faded(x)?, Some(self.added(y)?))));
        let ((state, decay), added) = match sums.next() {
            Some(found) => found,
            None => (self.faded(id)?, None),
        };
        Some(Fade {
            state,
            decay,
            added,
            store,
            read,
        })
    }

    fn faded(&self, id: StepId) -> Option<(StepId, Decay)> {
        if self.is_row(id) {
            return Some((id, Decay::Nothing));
        }
        self.pairs(id, Binary::Mul)
            .into_iter()
            .find_map(|(decay, state)| {
                if !self.is_row(state) {
                    return None;
                }
                if !self.kernel.steps[decay].inner {
                    return Some((state, Decay::Row(decay)));
                }
                let StepOp::Unary(Unary::Exp, x) = self.kernel.steps[decay].op else {
                    return None;
                };
                let parts = self.pairs(x, Binary::Mul).into_iter();
                let mut parts =
                    parts.filter(|(times, rates)| self.is_column(*times) && self.is_row(*rates));
                let (times, rates) = parts.next()?;
                Some((state, Decay::Exponential { times, rates }))
            })
    }

    fn added(&self, id: StepId) -> Option<Added> {
        if let Some((k, x)) = self.row_by_column(id) {
            return Some(Added { k, x, then: None });
        }
        let mut products = self.pairs(id, Binary::Mul).into_iter();
        products.find_map(|(product, then)| {
            let (k, x) = self.row_by_column(product)?;
            let then = self.is_column(then).then_some(then)?;
            Some(Added {
                k,
                x,
                then: Some(then),
            })
        })
    }

    /// The factors of a product of what is alike in a row and what is alike in a column.
    fn row_by_column(&self, id: StepId) -> Option<(StepId, StepId)> {
        let alike = |(k, x): &(StepId, StepId)| !self.kernel.steps[*k].inner && self.is_column(*x);
        self.pairs(id, Binary::Mul).into_iter().find(alike)
    }

    /// Both operands of an `f32` function, in both orders.
    fn pairs(&self, id: StepId, wanted: Binary) -> Vec<(StepId, StepId)> {
        let step = &self.kernel.steps[id];
        match step.op {
            StepOp::Binary(op, x, y) if op == wanted && step.dtype == DType::F32 => {
                vec![(x, y), (y, x)]
            }
            _ => Vec::new(),
        }
    }

    /// Alike in a column, and another one in each.
    fn is_column(&self, id: StepId) -> bool {
        let step = &self.kernel.steps[id];
        step.inner && !step.walked && step.dtype == DType::F32
    }

    /// A load of rows whose elements lie together.
    fn is_row(&self, id: StepId) -> bool {
        let step = &self.kernel.steps[id];
        step.inner
            && step.walked
            && step.dtype == DType::F32
            && lies_in_blocks(self.kernel, id)
            && self.is_plain(id)
    }

    /// A load at an address that loops alone tell.
    fn is_plain(&self, id: StepId) -> bool {
        match &self.kernel.steps[id].op {
            StepOp::Load(access) => access.guards.is_empty() && access.address.steps.is_empty(),
            _ => false,
        }
    }

    /// Alike in a row: one number for all rows, or a load.
    fn is_strided(&self, id: StepId) -> bool {
        let step = &self.kernel.steps[id];
        step.dtype == DType::F32 && !step.inner && (!step.walked || self.is_plain(id))
    }

    /// Every step of the walk that the routine stands for.
    fn explained(&self, found: &Fade, sum: Option<StepId>) -> BTreeSet<StepId> {
        let mut open: Vec<StepId> = sum.into_iter().collect();
        open.extend(found.store.map(|store| self.kernel.stores[store].step));
        let mut explained = BTreeSet::new();
        while let Some(id) = open.pop() {
            let step = &self.kernel.steps[id];
            let sums = matches!(step.op, StepOp::Reduce(_, _, LoopKind::Walk));
            if (step.walked || sums) && explained.insert(id) {
                open.extend(step.operands());
            }
        }
        explained
    }

    /// Whether operands are where the routine can read them, and nothing that it reads is written
    /// but the state, where it is read.
    fn is_apart(&self, found: &Fade) -> bool {
        let mut strided: Vec<StepId> = found.read.iter().map(|read| read.q).collect();
        let mut rows = vec![found.state];
        strided.extend(found.added.map(|added| added.k));
        if let Some(Seen::Bonus(bonus, _)) = found.read.map(|read| read.seen) {
            strided.push(bonus);
        }
        match found.decay {
            Decay::Nothing => {}
            Decay::Row(decay) => strided.push(decay),
            Decay::Exponential { rates, .. } => rows.push(rates),
        }
        let buffer = |id: &StepId| match &self.kernel.steps[*id].op {
            StepOp::Load(access) => Some(access.buffer),
            _ => None,
        };
        let written = |id: &StepId| {
            let stores = self.kernel.stores.iter().enumerate();
            let mut others =
                stores.filter(|(own, _)| *id != found.state || Some(*own) != found.store);
            others.any(|(_, store)| buffer(id) == Some(store.access.buffer))
        };
        let columns = found.columns();
        let same = found.store.is_none_or(|store| {
            let StepOp::Load(access) = &self.kernel.steps[found.state].op else {
                return false;
            };
            let store = &self.kernel.stores[store].access;
            (access.buffer, &access.address) == (store.buffer, &store.address)
        });
        same && strided.iter().all(|id| self.is_strided(*id))
            && !strided.iter().chain(&rows).chain(&columns).any(written)
    }
}
