//! Recognizes attention: a softmax of scores made of products, contracted with
//! values, of which nothing else is read.
//!
//! Anything may stand between the products and the softmax as long as it is
//! computed element by element: scales, biases, caps, masks. It becomes a kernel
//! over one tile of scores. Of the softmax's domain, comparisons that are affine
//! in the positions and equalities of labels decide whole tiles.

use std::collections::BTreeSet;

use girih_graph::op::Binary;
use girih_graph::{AxisId, DType, Extent};

use super::contract::Product;
use super::emit::Tile;
use super::value::{Form, Softmax, ValueIx, View};
use super::view::{self, Map};
use super::{Planner, grow};
use crate::kernel::{Affine, Constant};
use crate::plan::{Attention, Domain, TensorId, Work, tile};

/// What was found, in the axes of the scores.
struct Found {
    softmax: Softmax,
    /// The softmax's result.
    weights: ValueIx,
    /// The products, perhaps scaled: what a tile holds at first.
    base: ValueIx,
    scale: f64,
    /// Operands of the product: queries, keys.
    queries: ValueIx,
    keys: ValueIx,
    width: AxisId,
    rows: AxisId,
    /// Operand of the outer contraction.
    values: ValueIx,
    /// Axis of the values.
    value: AxisId,
    /// Axes of the outer contraction as axes of the scores.
    renames: Vec<(AxisId, AxisId)>,
}

impl Planner<'_, '_> {
    /// Plans the contraction `ix` as attention, if it is.
    pub(super) fn attention(&mut self, ix: ValueIx, product: &Product, out: TensorId) -> bool {
        let operands = self.values.all[ix].operands.clone();
        let found = [(0, 1), (1, 0)].into_iter().find_map(|(weights, values)| {
            match self.find_attention(operands[weights], operands[values], ix, product) {
                Ok(found) => Some(found),
                Err(other) => {
                    if let Some((weights, why)) = other {
                        let origin = self.origin(weights);
                        self.shared.watch.softmax(origin, Err(why));
                    }
                    None
                }
            }
        });
        let Some(found) = found else {
            return false;
        };
        let hides = found.softmax.kept.map(|_| ());
        let hides = hides.ok_or("it has no `where` that hides anything");
        let origin = self.origin(found.weights);
        self.shared.watch.softmax(origin, hides);
        let scores = self.values.ty(found.softmax.scores).clone();
        let keys = found.softmax.axis;
        let points: Vec<AxisId> = scores.without(&[found.rows, keys]);
        let map = tile_map(&points, found.rows, keys);
        let tile = Tile {
            base: found.base,
            rows: found.rows,
            keys,
        };
        let kept = found.softmax.kept;
        let interior = (found.softmax.scores != found.base)
            .then(|| self.tile_kernel(&tile, found.softmax.scores, None, &map));
        let edge = kept.map(|kept| self.tile_kernel(&tile, found.softmax.scores, Some(kept), &map));
        let domain = kept.map_or(Domain::All, |kept| self.domain(kept, found.rows, keys));
        let mask = kept
            .filter(|_| domain.is_open())
            .map(|kept| self.tile_kernel(&tile, found.base, Some(kept), &map));
        let (q, k) = (self.demand(found.queries), self.demand(found.keys));
        let v = self.demand(found.values);
        let v = self.renamed(v, &found.renames);
        let out = self.renamed(out, &found.renames);
        let work = Attention {
            q,
            k,
            v,
            out,
            points,
            rows: found.rows,
            keys,
            width: found.width,
            value: found.value,
            scale: found.scale,
            interior,
            edge,
            mask,
            domain,
        };
        let mut reads = vec![found.queries, found.keys, found.values];
        reads.extend(self.tile_reads(&found));
        self.launch(ix, Work::Attention(Box::new(work)), reads, Vec::new());
        true
    }

    /// Attention whose weights and values are these operands of the contraction `user`, or the
    /// softmax that is not, and why.
    fn find_attention(
        &self,
        weights: ValueIx,
        values: ValueIx,
        user: ValueIx,
        product: &Product,
    ) -> Result<Found, Option<(ValueIx, &'static str)>> {
        // From the contraction's axes back to those of the softmax.
        let mut renames: Vec<(AxisId, AxisId)> = self
            .values
            .ty(weights)
            .axes
            .iter()
            .map(|axis| (*axis, *axis))
            .collect();
        let (mut at, mut reader, mut alone) = (weights, user, true);
        let softmax = loop {
            alone &= self.users[at] == [reader] && !self.home.contains_key(&at);
            if let Some(softmax) = self.values.softmaxes.get(&at) {
                break softmax.clone();
            }
            match &self.values.all[at].form {
                Form::View(View::Rename(pairs)) => {
                    for (_, own) in &mut renames {
                        if let Some((old, _)) = pairs.iter().find(|(_, new)| new == own) {
                            *own = *old;
                        }
                    }
                }
                Form::View(View::Expand)
                    if self
                        .values
                        .ty(at)
                        .is_permuted(self.values.ty(self.values.all[at].operands[0])) => {}
                _ => return Err(None),
            }
            reader = at;
            at = self.values.all[at].operands[0];
        };
        let why = |why: &'static str| Some((at, why));
        if !alone {
            return Err(why("its weights are read by something else, too"));
        }
        let one_sum = "its weights are not summed with values along the softmax's axis alone";
        let [inner] = product.inner.as_slice() else {
            return Err(why(one_sum));
        };
        let old = |axis: AxisId| {
            let pair = renames.iter().find(|(new, _)| *new == axis);
            pair.map_or(axis, |(_, old)| *old)
        };
        if old(*inner) != softmax.axis {
            return Err(why(one_sum));
        }
        if self.values.ty(softmax.scores).dtype != DType::F32 {
            return Err(why("its scores are not `f32`"));
        }
        let value: Vec<AxisId> = {
            let weights = self.values.ty(weights);
            self.values
                .ty(values)
                .axes
                .iter()
                .copied()
                .filter(|axis| !weights.has(*axis))
                .collect()
        };
        let [value] = value.as_slice() else {
            return Err(why(
                "the values that its weights sum have not exactly one axis of their own",
            ));
        };
        let sums =
            "its scores are not made, element by element, of one sum of products over one axis";
        let (base, scale, dots) = self.products(&softmax).ok_or(why(sums))?;
        let Form::Contract(own) = &self.values.all[dots].form else {
            return Err(why(sums));
        };
        let [width] = own.inner.as_slice() else {
            return Err(why(sums));
        };
        let [left, right] = [
            self.values.all[dots].operands[0],
            self.values.all[dots].operands[1],
        ];
        let (queries, keys, rows) = if self.values.ty(right).has(softmax.axis)
            && !self.values.ty(left).has(softmax.axis)
        {
            (left, right, &own.rows)
        } else if self.values.ty(left).has(softmax.axis) && !self.values.ty(right).has(softmax.axis)
        {
            (right, left, &own.columns)
        } else {
            return Err(why("queries and keys both have the softmax's axis"));
        };
        let open = |axis: &&AxisId| self.extent(**axis).as_constant().is_none();
        let rows = rows.iter().find(open).or_else(|| rows.first());
        let rows = *rows.ok_or(why("its queries have no axis of their own"))?;
        // Everything that the values have must be a point, the keys or the value axis.
        let scores = self.values.ty(softmax.scores);
        let clash = scores.has(*value);
        let stray = self
            .values
            .ty(values)
            .axes
            .iter()
            .any(|axis| axis != value && (!scores.has(old(*axis)) || old(*axis) == rows));
        let complete = scores.axes.len() == self.values.ty(at).axes.len();
        if clash || stray || !complete {
            return Err(why("the values that its weights sum have other axes"));
        }
        Ok(Found {
            weights: at,
            base,
            scale,
            queries,
            keys,
            width: *width,
            rows,
            values,
            value: *value,
            renames,
            softmax,
        })
    }

    /// The one contraction that scores are computed from, element by element: what a tile
    /// starts as, its factor, and the contraction.
    fn products(&self, softmax: &Softmax) -> Option<(ValueIx, f64, ValueIx)> {
        let mut dots = None;
        let mut seen = BTreeSet::new();
        let mut stack = vec![softmax.scores];
        while let Some(ix) = stack.pop() {
            if !seen.insert(ix) {
                continue;
            }
            let value = &self.values.all[ix];
            match &value.form {
                Form::Contract(_) if value.ty.has(softmax.axis) && dots.replace(ix).is_some() => {
                    return None;
                }
                form if form.is_pointwise() && !matches!(form, Form::Gather(..)) => {
                    stack.extend(&value.operands);
                }
                // Loaded: anything but another product behind a view.
                _ => {}
            }
        }
        let dots = dots?;
        let inside = |users: &[ValueIx]| users.iter().all(|user| seen.contains(user));
        let softmax_reads = |ix: ValueIx| ix == softmax.scores;
        if self.home.contains_key(&dots) || (!softmax_reads(dots) && !inside(&self.users[dots])) {
            return None;
        }
        let (mut base, mut scale) = (dots, 1.0);
        if let [user] = self.users[dots].as_slice()
            && let Form::Binary(op) = self.values.all[*user].form
        {
            let [x, y] = [
                self.values.all[*user].operands[0],
                self.values.all[*user].operands[1],
            ];
            let other = if x == dots { y } else { x };
            if let Form::Constant(Constant::Real(bits)) = self.values.all[other].form {
                let factor = f64::from_bits(bits);
                match op {
                    Binary::Mul => (base, scale) = (*user, factor),
                    Binary::Div if x == dots => (base, scale) = (*user, 1.0 / factor),
                    _ => {}
                }
            }
        }
        // Between products and softmax nobody else reads.
        let own = |ix: ValueIx| {
            ix == softmax.scores || ix == dots || inside(&self.users[ix]) || !self.depends(ix, dots)
        };
        seen.iter()
            .all(|ix| own(*ix) && !self.home_of_product(*ix, dots))
            .then_some((base, scale, dots))
    }

    fn home_of_product(&self, ix: ValueIx, dots: ValueIx) -> bool {
        self.home.contains_key(&ix) && self.depends(ix, dots)
    }

    /// Whether `ix` is computed from `dots`, element by element.
    fn depends(&self, ix: ValueIx, dots: ValueIx) -> bool {
        ix == dots
            || ix > dots
                && self.values.all[ix].form.is_pointwise()
                && self.values.all[ix]
                    .operands
                    .iter()
                    .any(|operand| self.depends(*operand, dots))
    }

    /// The tensor under the axes of the scores.
    fn renamed(&mut self, tensor: TensorId, renames: &[(AxisId, AxisId)]) -> TensorId {
        let mut tensor = self.section.tensors[tensor.index()].clone();
        for (axis, _) in &mut tensor.axes {
            if let Some((_, old)) = renames.iter().find(|(new, _)| new == axis) {
                *axis = *old;
            }
        }
        self.tensor(tensor)
    }

    /// What the tile's kernels load.
    fn tile_reads(&self, found: &Found) -> Vec<ValueIx> {
        let mut reads = Vec::new();
        let mut stack = vec![found.softmax.scores];
        stack.extend(found.softmax.kept);
        let mut seen = BTreeSet::new();
        while let Some(ix) = stack.pop() {
            if ix == found.base || !seen.insert(ix) {
                continue;
            }
            reads.push(ix);
            stack.extend(&self.values.all[ix].operands);
        }
        reads
    }

    /// What is known of whole tiles of a domain.
    fn domain(&mut self, kept: ValueIx, rows: AxisId, keys: AxisId) -> Domain {
        let value = self.values.all[kept].clone();
        let Form::Binary(op) = value.form else {
            return match value.form {
                Form::Constant(Constant::Bool(true)) => Domain::All,
                _ => Domain::Unknown,
            };
        };
        let [x, y] = [value.operands[0], value.operands[1]];
        match op {
            Binary::And | Binary::Or => {
                let left = Box::new(self.domain(x, rows, keys));
                let right = Box::new(self.domain(y, rows, keys));
                if op == Binary::And {
                    Domain::And(left, right)
                } else {
                    Domain::Or(left, right)
                }
            }
            Binary::Le | Binary::Ge | Binary::Lt | Binary::Gt => {
                let (Some(x), Some(y)) = (self.index(x, rows, keys), self.index(y, rows, keys))
                else {
                    return Domain::Unknown;
                };
                let (mut big, small) = if matches!(op, Binary::Le | Binary::Lt) {
                    (y, x)
                } else {
                    (x, y)
                };
                big.0 -= small.0;
                big.1 -= small.1;
                let strict = i64::from(matches!(op, Binary::Lt | Binary::Gt));
                Domain::Affine {
                    row: big.0,
                    key: big.1,
                    offset: big.2.minus(&small.2).minus(&Extent::constant(strict)),
                }
            }
            Binary::Eq if self.values.ty(x).dtype == DType::I64 => {
                let (has, lacks) = (
                    |ty: &girih_graph::ValueType| ty.has(rows) && !ty.has(keys),
                    |ty: &girih_graph::ValueType| ty.has(keys) && !ty.has(rows),
                );
                let (tx, ty) = (self.values.ty(x), self.values.ty(y));
                if has(tx) && lacks(ty) {
                    Domain::SameLabel(self.demand(x), self.demand(y))
                } else if lacks(tx) && has(ty) {
                    Domain::SameLabel(self.demand(y), self.demand(x))
                } else {
                    Domain::Unknown
                }
            }
            _ => Domain::Unknown,
        }
    }

    /// A position as `row·i + key·j + offset`.
    fn index(&self, ix: ValueIx, rows: AxisId, keys: AxisId) -> Option<(i64, i64, Extent)> {
        let value = &self.values.all[ix];
        let zero = Extent::constant(0);
        let operand = |place: usize| self.index(value.operands[place], rows, keys);
        Some(match &value.form {
            Form::Position(axis) if *axis == rows => (1, 0, zero),
            Form::Position(axis) if *axis == keys => (0, 1, zero),
            Form::Constant(Constant::Int(number)) => (0, 0, Extent::constant(*number)),
            Form::Size(size) => (0, 0, size.clone()),
            Form::Binary(op @ (Binary::Add | Binary::Sub)) => {
                let (x, y) = (operand(0)?, operand(1)?);
                if *op == Binary::Add {
                    (x.0 + y.0, x.1 + y.1, x.2.plus(&y.2))
                } else {
                    (x.0 - y.0, x.1 - y.1, x.2.minus(&y.2))
                }
            }
            Form::Binary(Binary::Mul) => {
                let (x, y) = (operand(0)?, operand(1)?);
                match (x, y) {
                    ((0, 0, factor), other) | (other, (0, 0, factor)) => {
                        let number = factor.as_constant()?;
                        (
                            other.0.checked_mul(number)?,
                            other.1.checked_mul(number)?,
                            other.2.times(&factor),
                        )
                    }
                    _ => return None,
                }
            }
            // Positions renamed to positions.
            Form::View(View::Rename(_) | View::Expand) => {
                let inner = value.operands[0];
                match (&self.values.all[inner].form, value.ty.axes.as_slice()) {
                    (Form::Position(_), [axis]) if *axis == rows => (1, 0, zero),
                    (Form::Position(_), [axis]) if *axis == keys => (0, 1, zero),
                    _ => return None,
                }
            }
            _ => return None,
        })
    }
}

/// Positions in a tile: rows and keys by loops, points by symbols.
fn tile_map(points: &[AxisId], rows: AxisId, keys: AxisId) -> Map {
    let from = |symbol: &str, id: Option<usize>| {
        let mut affine: Affine = id.map_or_else(view::zero, grow::at);
        affine.offset = Extent::symbol(symbol);
        affine
    };
    let mut map: Map = Vec::new();
    for (number, axis) in points.iter().enumerate() {
        map.push((*axis, from(&tile::point(number), None)));
    }
    map.push((rows, from(tile::ROW, Some(0))));
    map.push((keys, from(tile::KEY, Some(1))));
    map
}
