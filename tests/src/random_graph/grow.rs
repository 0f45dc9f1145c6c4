//! The state of a growing graph: values to choose from, bounds on their numbers,
//! and the making of leaves and results.

use std::collections::BTreeMap;

use girih_graph::op::{Binary, Distribution, Literal, Op, Unary};
use girih_graph::{AxisId, Builder, DType, Extent, ValueId, ValueType, verify};

use super::{Options, RandomGraph};

/// Reals beyond this are brought back by `tanh`.
const REAL_BOUND: f64 = 4.0;

/// Integers beyond this are brought back by `rem`.
const INTEGER_BOUND: f64 = 100.0;

/// Values with more elements are not made.
const MAX_ELEMENTS: usize = 256;

/// Nodes of one region grow no further.
const MAX_STEPS: usize = 40;

/// A value of the innermost region, and a bound on its numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) value: ValueId,
    pub(super) bound: f64,
}

pub(super) struct Grow<'w> {
    pub(super) b: Builder,
    pub(super) options: Options,
    words: std::slice::Iter<'w, u16>,
    pub(super) sizes: BTreeMap<String, i64>,
    pub(super) axes: Vec<AxisId>,
    /// Values of the innermost region.
    pub(super) known: Vec<Known>,
    /// Axes whose positions must be treated apart.
    pub(super) frozen: Vec<AxisId>,
    names: usize,
    pub(super) calls: usize,
    updates: Vec<(std::sync::Arc<str>, ValueId)>,
}

pub(super) fn grow(words: &[u16], options: Options) -> RandomGraph {
    let sizes = [("t", 3), ("u", 2), ("z", 0), ("tt", 6)];
    let sizes = sizes.map(|(name, size)| (name.to_owned(), size));
    let mut own = Grow {
        b: Builder::new("random"),
        options,
        words: words.iter(),
        sizes: BTreeMap::from(sizes),
        axes: Vec::new(),
        known: Vec::new(),
        frozen: Vec::new(),
        names: 0,
        calls: 0,
        updates: Vec::new(),
    };
    own.declare_axes();
    for _ in 0..3 {
        own.given();
    }
    own.steps(MAX_STEPS);
    own.finish()
}

impl Grow<'_> {
    /// A number below `count`; 0 when the words are used up.
    pub(super) fn choose(&mut self, count: usize) -> usize {
        let word = self.words.next().copied().unwrap_or_default();
        usize::from(word) % count.max(1)
    }

    pub(super) fn flip(&mut self) -> bool {
        self.choose(2) == 1
    }

    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.choose(items.len())]
    }

    /// Some of the items, in order.
    pub(super) fn some<T: Copy>(&mut self, items: &[T]) -> Vec<T> {
        let kept = items.iter().copied().filter(|_| self.flip());
        kept.collect()
    }

    fn declare_axes(&mut self) {
        let mut add = |name: &str, extent: Extent, time| {
            let axis = self.b.axes.add(name, extent, None, time);
            self.axes.push(axis);
            axis
        };
        let t = add("t", Extent::symbol("t"), true);
        add("d", Extent::from(4), false);
        add("u", Extent::symbol("u"), false);
        add("h", Extent::from(2), false);
        add("h", Extent::from(2), false);
        add("one", Extent::from(1), false);
        add(
            "odd name",
            Extent::symbol("t").plus(&Extent::from(1)),
            false,
        );
        add("none", Extent::from(0), false);
        add("z", Extent::symbol("z"), false);
        let i = self.b.axes.add("i", Extent::symbol("t"), Some(t), true);
        self.axes.push(i);
        let twice = Extent::symbol("t").times(&Extent::from(2));
        let why = "`tt` must be twice `t`";
        self.b.check_equal(&Extent::symbol("tt"), &twice, why);
    }

    /// A new axis.
    pub(super) fn fresh_axis(&mut self, extent: Extent) -> AxisId {
        let name = self.pick(&["a", "k", "a b"]);
        self.b.axes.add(name, extent, None, false)
    }

    pub(super) fn size(&self, axis: AxisId) -> usize {
        let lookup = |symbol: &str| self.sizes.get(symbol).copied();
        let extent = self.b.axes.extent(axis).evaluate(&lookup);
        extent.expect("every symbol has a size") as usize
    }

    pub(super) fn count(&self, axes: &[AxisId]) -> usize {
        axes.iter().map(|axis| self.size(*axis)).product()
    }

    pub(super) fn dtype(&self, value: ValueId) -> DType {
        self.b.ty(value).dtype
    }

    pub(super) fn axes_of(&self, value: ValueId) -> Vec<AxisId> {
        self.b.ty(value).axes.clone()
    }

    /// The axes of a value whose positions may be mixed.
    pub(super) fn free_axes(&self, value: ValueId) -> Vec<AxisId> {
        let axes = &self.b.ty(value).axes;
        let free = axes.iter().filter(|axis| !self.frozen.contains(axis));
        free.copied().collect()
    }

    /// A known value that passes, the newest first.
    pub(super) fn value(&mut self, pass: impl Fn(&Self, ValueId) -> bool) -> Option<Known> {
        let known = self.known.iter().rev().copied();
        let passing: Vec<Known> = known.filter(|known| pass(self, known.value)).collect();
        (!passing.is_empty()).then(|| self.pick(&passing))
    }

    pub(super) fn real(&mut self) -> Option<Known> {
        self.value(|own, value| own.dtype(value) == DType::F32)
    }

    pub(super) fn integer(&mut self) -> Option<Known> {
        self.value(|own, value| own.dtype(value) == DType::I64)
    }

    pub(super) fn truth(&mut self) -> Option<Known> {
        self.value(|own, value| own.dtype(value) == DType::Bool)
    }

    /// Adds a node if its result is small enough, and remembers the result.
    pub(super) fn add(&mut self, op: Op, operands: &[ValueId], bound: f64) -> Option<Known> {
        let types: Vec<&ValueType> = operands.iter().map(|v| self.b.ty(*v)).collect();
        let name = op.name();
        let results = op.infer(&self.b.axes, &types);
        let results = results.unwrap_or_else(|error| panic!("`{name}` does not fit: {error}"));
        if results.iter().any(|ty| self.count(&ty.axes) > MAX_ELEMENTS) {
            return None;
        }
        let value = self.b.value(op, operands).expect("it was just inferred");
        Some(self.remember(Known { value, bound }))
    }

    /// Remembers a value, brought back into bounds.
    pub(super) fn remember(&mut self, mut known: Known) -> Known {
        let dtype = self.dtype(known.value);
        if dtype == DType::F32 && known.bound > REAL_BOUND {
            known.value = self.b.unary(Unary::Tanh, known.value).expect("it is real");
            known.bound = 1.0;
        } else if dtype == DType::I64 && known.bound > INTEGER_BOUND {
            let seven = self.b.number(DType::I64, 7.0);
            let value = self.b.binary(Binary::Rem, known.value, seven);
            known.value = value.expect("both are integers");
            known.bound = 6.0;
        }
        self.known.push(known);
        known
    }

    /// A node without operands of its own, or an elementwise one of a fresh constant.
    pub(super) fn made(&mut self, op: Op, operands: &[ValueId]) -> ValueId {
        let name = op.name();
        let value = self.b.value(op, operands);
        value.unwrap_or_else(|error| panic!("`{name}` does not fit: {error}"))
    }

    /// Some axes that may be mixed.
    pub(super) fn some_axes(&mut self) -> Vec<AxisId> {
        let free = self.axes.iter().filter(|axis| !self.frozen.contains(axis));
        let free: Vec<AxisId> = free.copied().collect();
        let mut axes = Vec::new();
        for _ in 0..self.choose(4) {
            let axis = self.pick(&free);
            if !axes.contains(&axis) {
                axes.push(axis);
            }
        }
        axes
    }

    /// An input, a parameter or a state.
    fn given(&mut self) {
        let axes = self.some_axes();
        let dtype = match self.names {
            0 => DType::F32,
            1 => DType::I64,
            _ => self.pick(&[DType::F32, DType::I64, DType::Bool]),
        };
        let ty = ValueType::new(dtype, axes.clone());
        self.names += 1;
        let odd = if self.flip() { "odd \"" } else { "layer." };
        let name: std::sync::Arc<str> = format!("{odd}{}", self.names).into();
        let value = match self.choose(3) {
            0 => self.made(Op::Input(name, ty), &[]),
            1 => self.made(Op::Param(name, ty), &[]),
            _ if self.options.smooth => self.made(Op::Input(name, ty), &[]),
            _ => {
                let start = self.constant_of(dtype, &axes);
                let state = self.made(Op::State(name.clone()), &[start]);
                self.updates.push((name, state));
                state
            }
        };
        self.known.push(Known { value, bound: 4.0 });
    }

    /// The same constant at every position of these axes.
    fn constant_of(&mut self, dtype: DType, axes: &[AxisId]) -> ValueId {
        let number = f64::from(self.choose(3) as u8) - 1.0;
        let number = self.b.number(dtype, number);
        self.made(Op::Expand(axes.to_vec()), &[number])
    }

    /// A value without operands.
    pub(super) fn leaf(&mut self) -> Option<Known> {
        let axes = self.some_axes();
        let fresh = |grow: &mut Self, op| grow.made(op, &[]);
        let (value, bound) = match self.choose(6) {
            0 => {
                let number = self.pick(&[0.0, 1.0, -0.0, 0.5, -1.25, 1e-3]);
                (
                    fresh(self, Op::Const(Literal::Real(DType::F32, number))),
                    2.0,
                )
            }
            1 => {
                let number = self.pick(&[0, 1, -3, 6]);
                (
                    fresh(self, Op::Const(Literal::Int(DType::I64, number))),
                    6.0,
                )
            }
            2 => {
                let truth = self.flip();
                (fresh(self, Op::Const(Literal::Bool(truth))), 1.0)
            }
            3 => {
                let constant = |own: &Self, axis: &AxisId| own.b.axes.extent(*axis).as_constant();
                let axes: Vec<AxisId> = axes
                    .into_iter()
                    .filter(|a| constant(self, a).is_some())
                    .collect();
                let dtype = self.pick(&[DType::F32, DType::I64, DType::Bool]);
                let count = self.count(&axes);
                let data = (0..count).map(|position| match dtype {
                    DType::F32 => position as f64 / 8.0 - 0.5,
                    DType::Bool => f64::from(position % 3 == 1),
                    _ => position as f64,
                });
                (fresh(self, Op::Table(dtype, axes, data.collect())), 32.0)
            }
            4 => {
                let axis = *axes.first()?;
                (fresh(self, Op::Index(axis)), 8.0)
            }
            _ if self.options.smooth => return None,
            _ => {
                if self.flip() {
                    let extent = Extent::symbol("t").times(&Extent::from(2));
                    (fresh(self, Op::Size(extent)), 6.0)
                } else {
                    let distribution = self.pick(Distribution::ALL);
                    let key = self.pick(&["a", "b.c", "a \"quoted\" key"]);
                    // A normal draw beyond 8 has never been seen.
                    (fresh(self, Op::random(distribution, key, &axes)), 8.0)
                }
            }
        };
        Some(self.remember(Known { value, bound }))
    }

    /// Grows the innermost region.
    pub(super) fn steps(&mut self, count: usize) {
        for _ in 0..count {
            if self.words.len() == 0 {
                return;
            }
            // A step that finds nothing to work on adds nothing.
            let _ = self.step();
        }
    }

    fn step(&mut self) -> Option<Known> {
        match self.choose(21) {
            0..=2 => self.leaf(),
            3..=5 => self.unary(),
            6..=8 => self.binary(),
            9 => self.select(),
            10 => self.cast(),
            11 => self.grad_as(),
            12 => self.contract(),
            13 => self.combine(),
            14 => self.order(),
            15 => self.read(),
            16 => self.strided(),
            17 => self.shape(),
            18 if self.flip() => self.linear_recurrence(),
            18 => self.recurrence(),
            19 => self.call(),
            _ => self.route(),
        }
    }

    /// The value with exactly these dtype and axes, in some order: other axes are summed, lacking
    /// ones repeated.
    pub(super) fn fit(&mut self, known: Known, ty: &ValueType) -> ValueId {
        let mut value = known.value;
        value = self
            .b
            .cast(value, DType::F32)
            .expect("everything can be cast");
        let extra = self.b.ty(value).without(&ty.axes);
        if !extra.is_empty() {
            value = self.made(Op::Reduce(girih_graph::Combine::Sum, extra), &[value]);
        }
        let has = self.axes_of(value);
        let lacking: Vec<AxisId> = ty
            .axes
            .iter()
            .filter(|a| !has.contains(a))
            .copied()
            .collect();
        if !lacking.is_empty() {
            value = self.made(Op::Expand(lacking), &[value]);
        }
        value = self.b.unary(Unary::Tanh, value).expect("it is real");
        self.b
            .cast(value, ty.dtype)
            .expect("everything can be cast")
    }

    fn finish(mut self) -> RandomGraph {
        let last = self.known.last().copied();
        let mut results: Vec<(String, ValueId)> = Vec::new();
        for position in 0..=self.choose(3) {
            let any = self.value(|_, _| true);
            let chosen = if position == 0 { last } else { any };
            if let Some(known) = chosen {
                results.push((format!("y.{position}"), known.value));
            }
        }
        let states = std::mem::take(&mut self.updates);
        let mut updates = Vec::new();
        for (path, state) in states {
            let ty = self.b.ty(state).clone();
            if let Some(known) = self.value(|_, _| true) {
                updates.push((path, self.fit(known, &ty)));
            }
        }
        let graph = self.b.finish(results, updates);
        if let Err(error) = verify(&graph) {
            panic!(
                "a random graph is not valid: {error}\n{}",
                girih_graph::text::print(&graph)
            );
        }
        RandomGraph {
            graph,
            sizes: self.sizes,
        }
    }
}
