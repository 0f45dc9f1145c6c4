//! Random graphs whose values at a position depend on positions up to it, or up to a few after it:
//! what can be streamed, in the ways in which models are written.
//!
//! A graph grows from words as in [`random_graph`](crate::random_graph); its axis `t` is a
//! sequence, `u` an axis of another sequence that is known before it.

use std::collections::BTreeMap;
use std::slice::Iter;

use girih_graph::op::{Binary, Combine, Distribution, Literal, Unary};
use girih_graph::{
    AxisId, Builder, Call, DType, Extent, Op, Outside, Recurrence, ValueId, ValueType, verify,
};

use crate::random_graph::RandomGraph;

struct Grow<'w> {
    b: Builder,
    /// Whether positions may read some that come later.
    ahead: bool,
    words: Iter<'w, u16>,
    t: AxisId,
    d: AxisId,
    u: AxisId,
    /// Real values over `t` and `d`.
    known: Vec<ValueId>,
    params: usize,
    results: Vec<(String, ValueId)>,
}

/// The graph that grows from these words, with a sequence of `length` positions.
pub fn grow(words: &[u16], length: i64) -> RandomGraph {
    grown(words, length, false)
}

/// The same where positions may read a bounded number of those that come later.
pub fn grow_ahead(words: &[u16], length: i64) -> RandomGraph {
    grown(words, length, true)
}

fn grown(words: &[u16], length: i64, ahead: bool) -> RandomGraph {
    let mut b = Builder::new("causal");
    let t = b.axes.add("t", Extent::symbol("t"), None, true);
    let d = b.axes.add("d", Extent::from(3), None, false);
    let u = b.axes.add("u", Extent::symbol("u"), None, false);
    let mut own = Grow {
        b,
        ahead,
        words: words.iter(),
        t,
        d,
        u,
        known: Vec::new(),
        params: 0,
        results: Vec::new(),
    };
    let x = own.input("x", DType::F32, vec![t, d]);
    own.known.push(x);
    let memory = own.input("memory", DType::F32, vec![u, d]);
    let labels = own.input("labels", DType::I64, vec![t]);
    while !own.words.as_slice().is_empty() {
        own.step(memory, labels);
    }
    let last = own.known[own.known.len() - 1];
    own.results.push(("out".to_owned(), last));
    let graph = own.b.finish(own.results, Vec::new());
    verify(&graph).unwrap_or_else(|error| panic!("{error}"));
    let sizes = [("t", length), ("u", 4)];
    RandomGraph {
        graph,
        sizes: BTreeMap::from(sizes.map(|(name, size)| (name.to_owned(), size))),
    }
}

impl Grow<'_> {
    fn choose(&mut self, count: usize) -> usize {
        usize::from(self.words.next().copied().unwrap_or_default()) % count.max(1)
    }

    fn node(&mut self, op: Op, operands: &[ValueId]) -> ValueId {
        let name = op.name();
        let value = self.b.value(op, operands);
        value.unwrap_or_else(|error| panic!("`{name}` does not fit: {error}"))
    }

    fn input(&mut self, name: &str, dtype: DType, axes: Vec<AxisId>) -> ValueId {
        self.node(Op::Input(name.into(), ValueType::new(dtype, axes)), &[])
    }

    fn param(&mut self, axes: Vec<AxisId>) -> ValueId {
        self.params += 1;
        let name = format!("w{}", self.params);
        let ty = ValueType::new(DType::F32, axes);
        self.node(Op::Param(name.as_str().into(), ty), &[])
    }

    fn pick(&mut self) -> ValueId {
        let back = self.choose(self.known.len().min(3));
        self.known[self.known.len() - 1 - back]
    }

    fn real(&mut self, number: f64) -> ValueId {
        self.b.number(DType::F32, number)
    }

    fn int(&mut self, number: i64) -> ValueId {
        self.node(Op::Const(Literal::Int(DType::I64, number)), &[])
    }

    fn binary(&mut self, op: Binary, x: ValueId, y: ValueId) -> ValueId {
        self.node(Op::Binary(op), &[x, y])
    }

    /// Remembers a value over `t` and `d`, kept moderate.
    fn keep(&mut self, x: ValueId) {
        let x = self.node(Op::Unary(Unary::Tanh), &[x]);
        self.known.push(x);
    }

    fn copy(&mut self, name: &str) -> AxisId {
        self.b
            .axes
            .add(name, Extent::symbol("t"), Some(self.t), true)
    }

    fn rename(&mut self, x: ValueId, from: AxisId, to: AxisId) -> ValueId {
        self.node(Op::Rename(vec![(from, to)]), &[x])
    }

    /// Another projection of a value.
    fn projected(&mut self, x: ValueId) -> ValueId {
        let e = self.b.axes.add("e", Extent::from(3), None, false);
        let w = self.param(vec![e, self.d]);
        let y = self.node(Op::Contract(vec![self.d]), &[x, w]);
        self.rename(y, e, self.d)
    }

    fn step(&mut self, memory: ValueId, labels: ValueId) {
        let x = self.pick();
        match self.choose(17) {
            0 => {
                let y = self.pick();
                let op = if self.choose(2) == 0 {
                    Binary::Add
                } else {
                    Binary::Mul
                };
                let z = self.binary(op, x, y);
                self.keep(z);
            }
            1 => {
                let y = self.projected(x);
                self.keep(y);
            }
            2 => self.convolution(x),
            3 | 4 => self.attention(x, labels),
            5 => {
                let combine = [Combine::Sum, Combine::Max, Combine::Min][self.choose(3)];
                let exclusive = self.choose(2) == 1 && combine == Combine::Sum;
                let op = Op::Cumulate {
                    combine,
                    axis: self.t,
                    reverse: false,
                    exclusive,
                };
                let y = self.node(op, &[x]);
                self.keep(y);
            }
            6 | 7 => self.recurrence(x),
            8 => self.cross(x, memory),
            14 => self.call(x),
            9 => self.sums(x),
            10 => {
                // What is known at the end.
                let combine = [Combine::Sum, Combine::Max][self.choose(2)];
                let y = self.node(Op::Reduce(combine, vec![self.t]), &[x]);
                let name = format!("end{}", self.results.len());
                self.results.push((name, y));
            }
            11 => {
                // Positions themselves.
                let index = self.node(Op::Index(self.t), &[]);
                let index = self.node(Op::Cast(DType::F32), &[index]);
                let tenth = self.real(0.1);
                let angle = self.binary(Binary::Mul, index, tenth);
                let wave = self.node(Op::Unary(Unary::Sin), &[angle]);
                let y = self.binary(Binary::Add, x, wave);
                self.keep(y);
            }
            12 => {
                let n = self.b.axes.add("n", Extent::from(5), None, false);
                let table = self.param(vec![n, self.d]);
                let gather = Op::Gather {
                    axis: n,
                    outside: Outside::Error,
                };
                let y = self.node(gather, &[table, labels]);
                let y = self.binary(Binary::Add, y, x);
                self.keep(y);
            }
            13 => {
                // A read at a computed place behind, or a little ahead.
                let i = self.copy("i");
                let index = self.node(Op::Index(i), &[]);
                let ahead = self.ahead_by(5);
                let by = self.int(2 - ahead);
                let behind = self.binary(Binary::Sub, index, by);
                let gather = Op::Gather {
                    axis: self.t,
                    outside: Outside::Zero,
                };
                let y = self.node(gather, &[x, behind]);
                let y = self.rename(y, i, self.t);
                self.keep(y);
            }
            15 => {
                // Draws at every position, which later ones may read.
                let noise = self.noise(&[self.d, self.t]);
                let y = self.binary(Binary::Add, x, noise);
                self.keep(y);
                self.known.push(noise);
            }
            _ => {
                let index = self.results.len();
                self.results.push((format!("r{index}"), x));
            }
        }
    }

    fn noise(&mut self, axes: &[AxisId]) -> ValueId {
        let key = format!("noise{}", self.choose(3));
        self.node(Op::random(Distribution::Uniform, &key, axes), &[])
    }

    fn convolution(&mut self, x: ValueId) {
        let width = 1 + self.choose(4) as i64;
        let lag = self.choose(3) as i64 - self.ahead_by(5);
        let k = self.b.axes.add("k", Extent::from(width), None, false);
        let i = self.copy("i");
        let window = Op::Window {
            axis: self.t,
            into: vec![(i, Extent::from(1)), (k, Extent::from(-1))],
            offset: Extent::from(-lag),
        };
        let y = self.node(window, &[x]);
        let w = self.param(vec![k, self.d]);
        let y = self.node(Op::Contract(vec![k]), &[y, w]);
        let y = self.rename(y, i, self.t);
        self.keep(y);
    }

    /// What positions `i` see of positions `j`.
    fn mask(&mut self, i: AxisId, j: AxisId, labels: ValueId) -> ValueId {
        let row = self.node(Op::Index(i), &[]);
        let column = self.node(Op::Index(j), &[]);
        let causal = match self.choose(3) {
            _ if self.ahead => self.mask_ahead(row, column),
            0 => self.binary(Binary::Le, column, row),
            1 => self.binary(Binary::Ge, row, column),
            _ => self.binary(Binary::Lt, column, row),
        };
        match self.choose(5) {
            0 | 1 => causal,
            2 | 3 => {
                let width = self.choose(5) as i64 + 1;
                let width = self.int(width);
                let behind = self.binary(Binary::Sub, row, column);
                let near = self.binary(Binary::Lt, behind, width);
                self.binary(Binary::And, near, causal)
            }
            _ => {
                let (own, other) = (
                    self.rename(labels, self.t, i),
                    self.rename(labels, self.t, j),
                );
                let same = self.binary(Binary::Eq, own, other);
                self.binary(Binary::And, causal, same)
            }
        }
    }

    /// At most so many positions ahead.
    fn ahead_by(&mut self, count: usize) -> i64 {
        if self.ahead {
            self.choose(count) as i64
        } else {
            0
        }
    }

    /// A mask that lets some later positions in.
    fn mask_ahead(&mut self, row: ValueId, column: ValueId) -> ValueId {
        let size = 2 + self.choose(4) as i64;
        let ahead = self.choose(4) as i64;
        let (n, more) = (self.int(size), self.int(ahead));
        let shifted = |own: &mut Self, x: ValueId| own.binary(Binary::Add, x, more);
        let block = |own: &mut Self, x: ValueId| own.binary(Binary::FloorDiv, x, n);
        match self.choose(6) {
            0 => {
                let limit = shifted(self, row);
                self.binary(Binary::Le, column, limit)
            }
            1 => {
                let (i, j) = (block(self, row), block(self, column));
                self.binary(Binary::Le, j, i)
            }
            2 => {
                // Blocks that do not begin at the first position.
                let (i, j) = (shifted(self, row), shifted(self, column));
                let (i, j) = (block(self, i), block(self, j));
                let both = self.binary(Binary::Eq, i, j);
                let before = self.binary(Binary::Lt, column, row);
                self.binary(Binary::Or, both, before)
            }
            3 => {
                // To the end of the own block, or of the next one.
                let (i, j) = (block(self, row), block(self, column));
                let apart = self.binary(Binary::Sub, j, i);
                let one = self.int(ahead % 2);
                self.binary(Binary::Le, apart, one)
            }
            4 => {
                let rest = self.binary(Binary::Rem, row, n);
                let start = self.binary(Binary::Sub, row, rest);
                let last = self.int(size - 1);
                let end = self.binary(Binary::Add, start, last);
                self.binary(Binary::Ge, end, column)
            }
            _ => self.binary(Binary::Lt, column, row),
        }
    }

    fn attention(&mut self, x: ValueId, labels: ValueId) {
        let (i, j) = (self.copy("i"), self.copy("j"));
        let (q, k, v) = (self.projected(x), self.projected(x), self.pick());
        let (q, k, v) = (
            self.rename(q, self.t, i),
            self.rename(k, self.t, j),
            self.rename(v, self.t, j),
        );
        let mut scores = self.node(Op::Contract(vec![self.d]), &[q, k]);
        if self.choose(4) == 0 {
            let noise = self.noise(&[i, j]);
            scores = self.binary(Binary::Add, scores, noise);
        }
        let mask = self.mask(i, j, labels);
        let weights = match self.choose(3) {
            0 => {
                let zero = self.real(0.0);
                self.node(Op::Select, &[mask, scores, zero])
            }
            _ => self.node(Op::Softmax(vec![j]), &[scores, mask]),
        };
        let y = self.node(Op::Contract(vec![j]), &[weights, v]);
        let y = self.rename(y, i, self.t);
        self.keep(y);
    }

    /// A combination of all before under a mask.
    fn sums(&mut self, x: ValueId) {
        let (i, j) = (self.copy("i"), self.copy("j"));
        let labels = self.node(Op::Index(self.t), &[]);
        let mask = self.mask(i, j, labels);
        let other = self.rename(x, self.t, j);
        let (combine, neutral) = [
            (Combine::Sum, 0.0),
            (Combine::Max, f64::NEG_INFINITY),
            (Combine::Min, f64::INFINITY),
        ][self.choose(3)];
        let neutral = self.real(neutral);
        let kept = self.node(Op::Select, &[mask, other, neutral]);
        let y = self.node(Op::Reduce(combine, vec![j]), &[kept]);
        let y = self.rename(y, i, self.t);
        self.keep(y);
    }

    /// Attention to what is known before.
    fn cross(&mut self, x: ValueId, memory: ValueId) {
        let (k, v) = (self.projected(memory), self.projected(memory));
        let scores = self.node(Op::Contract(vec![self.d]), &[x, k]);
        let weights = self.node(Op::Softmax(vec![self.u]), &[scores]);
        let y = self.node(Op::Contract(vec![self.u]), &[weights, v]);
        self.keep(y);
    }

    /// An operation of a plugin, along `d`, or along `t`, where its body says how it steps.
    fn call(&mut self, x: ValueId) {
        let ty = self.b.ty(x).clone();
        let (core, op) = if self.choose(2) == 0 {
            (vec![self.d], Op::Softmax(vec![self.d]))
        } else {
            let op = Op::Cumulate {
                combine: Combine::Sum,
                axis: self.t,
                reverse: false,
                exclusive: false,
            };
            (vec![self.t], op)
        };
        self.b.open_region();
        let own = self.b.add_parameter(ty.clone());
        let result = self.node(op, &[own]);
        let body = self.b.close_region(vec![result]);
        let name = "org.girih.causal/operation@1".into();
        let call = Call::new(name, Vec::new(), vec![core.clone()], vec![(ty, core)]);
        let y = self.node(Op::Call(Box::new(call.with_body(body))), &[x]);
        self.keep(y);
    }

    fn recurrence(&mut self, x: ValueId) {
        let gate = self.pick();
        let ty = ValueType::new(DType::F32, vec![self.d]);
        let w = self.param(vec![self.d]);
        let shown = self.choose(2) == 1;
        self.b.open_region();
        let state = self.b.add_parameter(ty.clone());
        let own = self.b.add_parameter(ty.clone());
        let gate_now = self.b.add_parameter(ty.clone());
        let scale = self.b.add_parameter(ty);
        let keep = self.node(Op::Unary(Unary::Sigmoid), &[gate_now]);
        let old = self.binary(Binary::Mul, keep, state);
        let scaled = self.binary(Binary::Mul, own, scale);
        let next = self.binary(Binary::Add, old, scaled);
        let body = self
            .b
            .close_region(vec![next, if shown { next } else { state }]);
        let start = self.real(0.0);
        let start = self.node(Op::Expand(vec![self.d]), &[start]);
        let op = Op::Recurrence(Box::new(Recurrence {
            axis: self.t,
            reverse: false,
            carried: 1,
            sequences: 2,
            body,
        }));
        let results = self.b.node(op, &[start, x, gate, w]);
        let results = results.unwrap_or_else(|error| panic!("{error}"));
        if self.choose(4) == 0 {
            let name = format!("end{}", self.results.len());
            self.results.push((name, results[0]));
        }
        self.keep(results[1]);
    }
}
