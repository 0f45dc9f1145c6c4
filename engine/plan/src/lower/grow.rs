//! Which values a kernel computes: it grows from its root towards the operands.
//!
//! Cheap values are computed at every place that reads them. A *solid* value –
//! a reduction, or something dear with several users – joins the kernel as a
//! *member*, computed once per point, if the kernel reads it point by point and
//! no launch that the kernel waits for reads it; else it is loaded. Candidates
//! are decided from the last to the first, so that everything that could read
//! a candidate has been decided before.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::op::{Binary, Unary};
use girih_graph::{AxisId, DType, Extent};

use super::Planner;
use super::emit::Tile;
use super::value::{Form, ValueIx, View};
use super::view::{self, Map};
use crate::kernel::{Affine, LoopKind};
use crate::plan::{Reason, tile};

/// What costs no more than this is computed again by every kernel that reads it.
pub(super) const CHEAP: u32 = 6;

/// What costs this much is not computed again for every position of a loop that it ignores.
const DEAR: u32 = 16;

/// What a function costs beside an addition.
pub(super) fn unary_cost(op: Unary) -> u32 {
    match op {
        Unary::Exp
        | Unary::Log
        | Unary::Log1p
        | Unary::Sin
        | Unary::Cos
        | Unary::Tanh
        | Unary::Sigmoid
        | Unary::Erf => 20,
        Unary::Sqrt | Unary::Rsqrt | Unary::PopCount => 4,
        Unary::Neg
        | Unary::Abs
        | Unary::Sign
        | Unary::Floor
        | Unary::Ceil
        | Unary::Round
        | Unary::Not => 1,
    }
}

/// What a function costs beside an addition.
pub(super) fn binary_cost(op: Binary) -> u32 {
    match op {
        Binary::Pow => 40,
        Binary::Div | Binary::FloorDiv | Binary::Rem => 4,
        Binary::Add
        | Binary::Sub
        | Binary::Mul
        | Binary::Max
        | Binary::Min
        | Binary::Eq
        | Binary::Ne
        | Binary::Lt
        | Binary::Le
        | Binary::Gt
        | Binary::Ge
        | Binary::And
        | Binary::Or
        | Binary::Xor
        | Binary::Shl
        | Binary::Shr => 1,
    }
}

/// A loop of a kernel that is being made.
#[derive(Clone, Debug)]
pub(super) struct Around {
    pub(super) axis: AxisId,
    pub(super) extent: Extent,
    pub(super) kind: LoopKind,
}

/// What a kernel computes, decided.
#[derive(Debug, Default)]
pub(super) struct Grown {
    pub(super) loops: Vec<Around>,
    /// What it is made for.
    root: ValueIx,
    /// Solid values computed here, with their positions in the loops.
    pub(super) members: BTreeMap<ValueIx, Map>,
    /// The loop that each reduction among the members runs over.
    pub(super) reduced: BTreeMap<ValueIx, usize>,
    /// Values that are read here: members and what is computed in passing.
    visited: BTreeSet<ValueIx>,
    /// Solid values that are loaded.
    pub(super) loaded: BTreeMap<ValueIx, Reason>,
    waiting: BTreeMap<ValueIx, Candidate>,
    /// Whether something reduces over the inner loop.
    reduces_inner: bool,
}

#[derive(Debug)]
struct Candidate {
    map: Map,
    /// Read at one place only, without a condition.
    single: bool,
    /// Read by something that varies along the walk.
    walked: bool,
}

impl Grown {
    pub(super) fn walk(&self) -> Option<usize> {
        let walk = |own: &Around| own.kind == LoopKind::Walk;
        self.loops.iter().position(walk)
    }

    pub(super) fn inner(&self) -> Option<usize> {
        let inner = |own: &Around| own.kind == LoopKind::Inner;
        self.loops.iter().position(inner)
    }

    /// Whether a value is computed here and nowhere else.
    fn computes(&self, ix: ValueIx) -> bool {
        ix == self.root || self.members.contains_key(&ix)
    }

    fn along(map: &Map, id: Option<usize>) -> bool {
        let uses = |affine: &Affine| affine.loops.iter().any(|(own, _)| Some(*own) == id);
        id.is_some() && map.iter().any(|(_, affine)| uses(affine))
    }

    /// Whether each axis is one loop's position, each loop at most once.
    fn is_identity(map: &Map) -> bool {
        let one = Extent::constant(1);
        let mut seen = Vec::new();
        map.iter().all(|(_, affine)| {
            let [(id, factor)] = affine.loops.as_slice() else {
                return false;
            };
            let fresh = !seen.contains(id);
            seen.push(*id);
            fresh
                && affine.steps.is_empty()
                && *factor == one
                && affine.offset.as_constant() == Some(0)
        })
    }

    /// Whether a value at `map` has a value of its own at every outer point.
    fn covers_outer(&self, map: &Map) -> bool {
        let one = Extent::constant(1);
        self.loops.iter().enumerate().all(|(id, own)| {
            own.kind != LoopKind::Outer || own.extent == one || Self::along(map, Some(id))
        })
    }
}

/// The position of loop `id`.
pub(super) fn at(id: usize) -> Affine {
    let mut affine = view::zero();
    affine.loops.push((id, Extent::constant(1)));
    affine
}

impl Planner<'_, '_> {
    /// Decides what the kernel that computes `root` at every position of `axes` holds; `map` is
    /// the root's positions in these loops.
    pub(super) fn grow(&self, root: ValueIx, axes: &[AxisId], map: &Map, is_copy: bool) -> Grown {
        let mut grown = Grown {
            root,
            ..Grown::default()
        };
        for (place, axis) in axes.iter().enumerate() {
            let last = place + 1 == axes.len();
            grown.loops.push(Around {
                axis: *axis,
                extent: self.extent(*axis),
                kind: if last {
                    LoopKind::Inner
                } else {
                    LoopKind::Outer
                },
            });
        }
        if is_copy {
            grown.loaded.insert(root, Reason::Elsewhere);
            return grown;
        }
        if let Form::Reduce(..) = self.values.all[root].form {
            let joined = self.join(&mut grown, root, map, false);
            debug_assert!(joined, "a reduction alone always fits");
        } else {
            if self.solid[root] && Grown::is_identity(map) {
                grown.members.insert(root, map.clone());
            }
            self.visit(&mut grown, root, map, true, false);
        }
        let mut ancestors = None;
        while let Some((ix, candidate)) = grown.waiting.pop_last() {
            if grown.loaded.contains_key(&ix) {
                // Read elsewhere at positions that are data.
                continue;
            }
            let refused = self.refusal(&grown, ix, &candidate, &mut ancestors);
            let refused = refused.or_else(|| {
                let joined = self.join(&mut grown, ix, &candidate.map, candidate.walked);
                (!joined).then_some(Reason::OtherLoop)
            });
            if let Some(reason) = refused {
                grown.loaded.insert(ix, reason);
            }
        }
        grown
    }

    /// Why a value cannot join, whatever its loops.
    fn refusal(
        &self,
        grown: &Grown,
        ix: ValueIx,
        candidate: &Candidate,
        ancestors: &mut Option<BTreeSet<ValueIx>>,
    ) -> Option<Reason> {
        if self.group[ix].is_some() {
            Some(Reason::Elsewhere)
        } else if !candidate.single || !Grown::is_identity(&candidate.map) {
            Some(Reason::OtherPositions)
        } else if !grown.covers_outer(&candidate.map) {
            Some(Reason::Repeated)
        } else if !self.is_written_whole(grown, ix, &candidate.map) {
            Some(Reason::Partly)
        } else if !self.is_written_once(grown, ix, &candidate.map) {
            Some(Reason::WrittenTwice)
        } else if self.is_awaited(grown, ix, ancestors) {
            Some(Reason::Awaited)
        } else {
            None
        }
    }

    /// The kernel that rewrites a tile of scores: everything but the tile itself is computed in
    /// passing or loaded.
    pub(super) fn grow_tile(&self, tile: &Tile, roots: &[ValueIx], map: &Map) -> Grown {
        let mut grown = Grown {
            root: tile.base,
            ..Grown::default()
        };
        let sizes = [
            (tile.rows, tile::ROWS, LoopKind::Outer),
            (tile.keys, tile::KEYS, LoopKind::Inner),
        ];
        for (axis, symbol, kind) in sizes {
            grown.loops.push(Around {
                axis,
                extent: Extent::symbol(symbol),
                kind,
            });
        }
        grown.loaded.insert(tile.base, Reason::OwnLaunch);
        for root in roots.iter().filter(|root| **root != tile.base) {
            let inner = view::restricted(map, self.values.ty(*root));
            let form = &self.values.all[*root].form;
            if form.is_pointwise() || matches!(form, Form::View(_)) {
                self.visit(&mut grown, *root, &inner, true, false);
            } else {
                // A mask that comes from outside a loop, for example.
                self.pull(&mut grown, *root, &inner, true, false);
            }
        }
        let waiting = std::mem::take(&mut grown.waiting);
        let several = waiting.into_keys().map(|ix| (ix, Reason::OtherPositions));
        grown.loaded.extend(several);
        grown
    }

    /// Whether, if it is written, all of it is: a window may read a part.
    fn is_written_whole(&self, grown: &Grown, ix: ValueIx, map: &Map) -> bool {
        self.is_whole(grown, map) || !self.is_written(grown, ix)
    }

    /// Whether, if it is written, each element is written by one point only.
    fn is_written_once(&self, grown: &Grown, ix: ValueIx, map: &Map) -> bool {
        let inner = grown.inner();
        grown.reduces_inner
            || inner.is_none()
            || Grown::along(map, inner)
            || !self.is_written(grown, ix)
    }

    /// Whether the loops visit every position of a value: a window from 0 on visits some.
    fn is_whole(&self, grown: &Grown, map: &Map) -> bool {
        map.iter().all(|(axis, affine)| {
            let along = affine.loops.first();
            along.is_none_or(|(id, _)| grown.loops[*id].extent == self.extent(*axis))
        })
    }

    /// Makes a value a member, if the kernel's loops allow it.
    fn join(&self, grown: &mut Grown, ix: ValueIx, map: &Map, walked: bool) -> bool {
        if let Form::Reduce(_, axis) = self.values.all[ix].form {
            let operand = self.values.all[ix].operands[0];
            let Some(id) = self.reduction_loop(grown, axis, operand, map, walked) else {
                return false;
            };
            grown.members.insert(ix, map.clone());
            grown.reduced.insert(ix, id);
            grown.visited.insert(ix);
            let walked = walked || grown.loops[id].kind == LoopKind::Walk;
            let mut inside = view::restricted(map, self.values.ty(operand));
            for (own, affine) in &mut inside {
                if *own == axis {
                    *affine = at(id);
                }
            }
            self.pull(grown, operand, &inside, true, walked);
        } else {
            grown.members.insert(ix, map.clone());
            self.visit(grown, ix, map, true, walked);
        }
        true
    }

    /// The loop that a reduction along `axis` of `operand` runs over.
    fn reduction_loop(
        &self,
        grown: &mut Grown,
        axis: AxisId,
        operand: ValueIx,
        map: &Map,
        walked: bool,
    ) -> Option<usize> {
        let extent = self.extent(axis);
        let inner = grown.inner();
        let (along_inner, walk) = (Grown::along(map, inner), grown.walk());
        if let Some(walk) = walk {
            // Another sum over the walk that is there; nothing walked may read it.
            let fits =
                grown.loops[walk].extent == extent && !walked && !Grown::along(map, Some(walk));
            return fits.then_some(walk);
        }
        if let Some(inner) = inner
            && !along_inner
            && grown.loops[inner].extent == extent
        {
            grown.reduces_inner = true;
            return Some(inner);
        }
        if grown.reduces_inner {
            return None;
        }
        let covers =
            grown.loops.iter().enumerate().all(|(id, own)| {
                own.extent.as_constant() == Some(1) || Grown::along(map, Some(id))
            });
        if !covers {
            return None;
        }
        let kind = if self.lies_innermost(operand, axis) || inner.is_none() {
            if let Some(inner) = inner {
                if !grown
                    .members
                    .values()
                    .all(|map| Grown::along(map, Some(inner)))
                {
                    return None;
                }
                grown.loops[inner].kind = LoopKind::Outer;
            }
            grown.reduces_inner = true;
            LoopKind::Inner
        } else {
            LoopKind::Walk
        };
        grown.loops.push(Around { axis, extent, kind });
        Some(grown.loops.len() - 1)
    }

    /// Whether neighbors along `axis` are neighbors in the memory that `ix` is computed from.
    fn lies_innermost(&self, ix: ValueIx, axis: AxisId) -> bool {
        self.innermost(ix) == Some(axis)
    }

    /// Visits a value that is computed in passing or a member: pulls its operands.
    fn visit(&self, grown: &mut Grown, ix: ValueIx, map: &Map, single: bool, walked: bool) {
        grown.visited.insert(ix);
        let walked = walked || Grown::along(map, grown.walk());
        let value = &self.values.all[ix];
        if let Form::View(view) = &value.form {
            let operand = value.operands[0];
            let extent = |axis: AxisId| self.extent(axis);
            match view::through(view, self.values.ty(operand), map, &extent) {
                Some((inner, guards)) => {
                    self.pull(grown, operand, &inner, single && guards.is_empty(), walked);
                }
                None => {
                    grown.loaded.insert(ix, Reason::Merged);
                }
            }
            return;
        }
        if let Form::Gather(axis, _) = value.form {
            // What is read lies in memory.
            grown.loaded.insert(value.operands[0], Reason::Gathered);
            let positions = value.operands[1];
            let inner = view::restricted(map, self.values.ty(positions));
            debug_assert!(!self.values.ty(positions).has(axis), "the axis is gone");
            self.pull(grown, positions, &inner, single, walked);
            return;
        }
        for operand in value.operands.clone() {
            let inner = view::restricted(map, self.values.ty(operand));
            self.pull(grown, operand, &inner, single, walked);
        }
    }

    fn pull(&self, grown: &mut Grown, ix: ValueIx, map: &Map, single: bool, walked: bool) {
        if grown.loaded.contains_key(&ix) {
            return;
        }
        let value = &self.values.all[ix];
        let inline = value.form.is_pointwise() || matches!(value.form, Form::View(_));
        if !inline && !matches!(value.form, Form::Reduce(..)) {
            let given = matches!(value.form, Form::Given(_));
            let reason = if given {
                Reason::Given
            } else {
                Reason::OwnLaunch
            };
            grown.loaded.insert(ix, reason);
            return;
        }
        if let Form::View(view) = &value.form
            && self.is_apart(view, value.operands[0], map)
        {
            grown.loaded.insert(ix, Reason::Merged);
            return;
        }
        let dear = self.cost[ix] >= DEAR && value.form.is_pointwise() && !grown.covers_outer(map);
        if !self.solid[ix] && !dear && !self.is_stored(ix) {
            self.visit(grown, ix, map, single, walked);
            return;
        }
        let candidate = grown.waiting.entry(ix).or_insert_with(|| Candidate {
            map: map.clone(),
            single,
            walked,
        });
        candidate.single &= single && candidate.map == *map;
        candidate.walked |= walked;
    }

    /// Whether a view's positions are none of its operand that loops can say.
    fn is_apart(&self, view: &View, operand: ValueIx, map: &Map) -> bool {
        let extent = |axis: AxisId| self.extent(axis);
        view::through(view, self.values.ty(operand), map, &extent).is_none()
    }

    /// Whether a value lies in memory anyway and costs more to compute than to load.
    fn is_stored(&self, ix: ValueIx) -> bool {
        self.home.contains_key(&ix) && self.cost[ix] > 1
    }

    /// Whether something outside the kernel reads `ix` and the kernel waits for it.
    fn is_awaited(
        &self,
        grown: &Grown,
        ix: ValueIx,
        ancestors: &mut Option<BTreeSet<ValueIx>>,
    ) -> bool {
        let mut stack = vec![ix];
        let mut seen = BTreeSet::new();
        while let Some(next) = stack.pop() {
            for user in &self.users[next] {
                if !seen.insert(*user) || grown.computes(*user) {
                    continue;
                }
                if grown.visited.contains(user) {
                    // Computed in passing here, and perhaps elsewhere too.
                    stack.push(*user);
                    continue;
                }
                let known = ancestors.get_or_insert_with(|| self.ancestors(grown.root));
                if known.contains(user) {
                    return true;
                }
            }
        }
        false
    }

    /// Everything that must be computed before the kernel of `root`, whole launches at once.
    fn ancestors(&self, root: ValueIx) -> BTreeSet<ValueIx> {
        let mut members: BTreeMap<usize, Vec<ValueIx>> = BTreeMap::new();
        for (ix, group) in self.group.iter().enumerate() {
            if let Some(group) = group {
                members.entry(*group).or_default().push(ix);
            }
        }
        let mut found = BTreeSet::new();
        let mut stack = self.values.all[root].operands.clone();
        while let Some(ix) = stack.pop() {
            if !found.insert(ix) {
                continue;
            }
            stack.extend(&self.values.all[ix].operands);
            if let Some(group) = self.group[ix] {
                stack.extend(&self.groups[group]);
                stack.extend(members.get(&group).into_iter().flatten());
            }
        }
        found
    }

    /// Members that others read too, and the root's: those that must be written.
    pub(super) fn is_written(&self, grown: &Grown, ix: ValueIx) -> bool {
        if self.home.contains_key(&ix) {
            return true;
        }
        let mut stack = vec![ix];
        let mut seen = BTreeSet::new();
        while let Some(next) = stack.pop() {
            for user in &self.users[next] {
                if grown.computes(*user) || !seen.insert(*user) {
                    continue;
                }
                if !grown.visited.contains(user) || self.home.contains_key(user) {
                    return true;
                }
                stack.push(*user);
            }
        }
        false
    }

    /// The dtype that positions are computed in.
    pub(super) const POSITION: DType = DType::I64;
}
