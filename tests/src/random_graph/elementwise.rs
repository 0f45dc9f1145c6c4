//! Random elementwise nodes.

use girih_graph::op::{Binary, Op, Unary};
use girih_graph::{DType, ValueId};

use super::grow::{Grow, Known};

impl Grow<'_> {
    /// x² + 1.
    fn above_one(&mut self, x: ValueId) -> ValueId {
        let square = self.made(Op::Binary(Binary::Mul), &[x, x]);
        let one = self.b.number(DType::F32, 1.0);
        self.made(Op::Binary(Binary::Add), &[square, one])
    }

    pub(super) fn unary(&mut self) -> Option<Known> {
        let x = self.value(|_, _| true)?;
        match self.dtype(x.value) {
            DType::F32 => self.real_unary(x),
            DType::Bool => self.add(Op::Unary(Unary::Not), &[x.value], 1.0),
            _ => {
                let ops = [
                    Unary::Neg,
                    Unary::Abs,
                    Unary::Sign,
                    Unary::Not,
                    Unary::PopCount,
                ];
                let op = self.pick(&ops);
                let bound = if op == Unary::PopCount {
                    64.0
                } else {
                    x.bound + 1.0
                };
                self.add(Op::Unary(op), &[x.value], bound)
            }
        }
    }

    fn real_unary(&mut self, x: Known) -> Option<Known> {
        let rough = [
            Unary::Abs,
            Unary::Sign,
            Unary::Floor,
            Unary::Ceil,
            Unary::Round,
        ];
        let ops = Unary::ALL.iter().copied();
        let ops = ops.filter(|op| !matches!(op, Unary::Not | Unary::PopCount));
        let ops: Vec<Unary> = ops
            .filter(|op| !self.options.smooth || !rough.contains(op))
            .collect();
        let op = self.pick(&ops);
        let (x, bound) = match op {
            Unary::Neg | Unary::Abs => (x.value, x.bound),
            Unary::Floor | Unary::Ceil | Unary::Round => (x.value, x.bound + 1.0),
            Unary::Exp => (x.value, x.bound.exp()),
            Unary::Log | Unary::Log1p | Unary::Sqrt | Unary::Rsqrt => {
                (self.above_one(x.value), 5.0)
            }
            Unary::Sign
            | Unary::Sin
            | Unary::Cos
            | Unary::Tanh
            | Unary::Sigmoid
            | Unary::Erf
            | Unary::Not
            | Unary::PopCount => (x.value, 1.0),
        };
        self.add(Op::Unary(op), &[x], bound)
    }

    pub(super) fn binary(&mut self) -> Option<Known> {
        let x = self.value(|_, _| true)?;
        let dtype = self.dtype(x.value);
        let y = self.value(|own, y| own.dtype(y) == dtype)?;
        match dtype {
            DType::F32 => self.real_binary(x, y),
            DType::Bool => {
                let ops = [Binary::And, Binary::Or, Binary::Xor, Binary::Eq, Binary::Ne];
                let op = self.pick(&ops);
                self.add(Op::Binary(op), &[x.value, y.value], 1.0)
            }
            _ => {
                let ops: Vec<Binary> = Binary::ALL
                    .iter()
                    .copied()
                    .filter(|op| !matches!(op, Binary::Div | Binary::Pow))
                    .collect();
                let op = self.pick(&ops);
                // Bits of numbers below 100, shifted by up to 7, may be large.
                let bound = match op {
                    Binary::Max | Binary::Min => x.bound.max(y.bound),
                    Binary::Rem => y.bound,
                    Binary::FloorDiv => x.bound + 1.0,
                    _ => f64::INFINITY,
                };
                self.add(Op::Binary(op), &[x.value, y.value], bound)
            }
        }
    }

    fn real_binary(&mut self, x: Known, y: Known) -> Option<Known> {
        let smooth = [
            Binary::Add,
            Binary::Sub,
            Binary::Mul,
            Binary::Div,
            Binary::Pow,
        ];
        let rough = [
            Binary::FloorDiv,
            Binary::Rem,
            Binary::Max,
            Binary::Min,
            Binary::Eq,
            Binary::Ne,
            Binary::Lt,
            Binary::Le,
            Binary::Gt,
            Binary::Ge,
        ];
        let all = [smooth.as_slice(), &rough].concat();
        let op = if self.options.smooth {
            self.pick(&smooth)
        } else {
            self.pick(&all)
        };
        let (a, c) = (x.value, y.value);
        let (a, c, bound) = match op {
            Binary::Add | Binary::Sub => (a, c, x.bound + y.bound),
            Binary::Mul => (a, c, x.bound * y.bound),
            Binary::Div => (a, self.above_one(c), x.bound),
            Binary::FloorDiv => (a, self.above_one(c), x.bound + 1.0),
            Binary::Rem => (a, self.above_one(c), y.bound * y.bound + 1.0),
            Binary::Pow => (self.above_one(a), c, f64::INFINITY),
            _ => (a, c, x.bound.max(y.bound)),
        };
        self.add(Op::Binary(op), &[a, c], bound)
    }

    pub(super) fn select(&mut self) -> Option<Known> {
        let condition = self.truth()?;
        let x = self.value(|_, _| true)?;
        let dtype = self.dtype(x.value);
        let y = self.value(|own, y| own.dtype(y) == dtype)?;
        let bound = x.bound.max(y.bound);
        self.add(Op::Select, &[condition.value, x.value, y.value], bound)
    }

    /// To another dtype, or through a wider or narrower one and back.
    pub(super) fn cast(&mut self) -> Option<Known> {
        let x = self.value(|own, x| !own.options.smooth || own.dtype(x) != DType::F32)?;
        let own = self.dtype(x.value);
        let targets = match own {
            DType::F32 => [DType::F64, DType::F16, DType::BF16, DType::I64],
            DType::Bool => [DType::F32, DType::I64, DType::U8, DType::F16],
            _ => [DType::F32, DType::I32, DType::Bool, DType::F64],
        };
        let target = self.pick(&targets);
        let cast = self.made(Op::Cast(target), &[x.value]);
        match target {
            DType::F32 | DType::I64 | DType::Bool => {
                let value = cast;
                Some(self.remember(Known { value, ..x }))
            }
            _ => self.add(Op::Cast(own), &[cast], x.bound + 1.0),
        }
    }

    pub(super) fn grad_as(&mut self) -> Option<Known> {
        if self.options.smooth {
            return None;
        }
        let x = self.real()?;
        let axes = self.axes_of(x.value);
        let inside = |own: &Self, y: ValueId| {
            own.dtype(y) == DType::F32 && own.axes_of(y).iter().all(|axis| axes.contains(axis))
        };
        let proxy = self.value(inside)?;
        self.add(Op::GradAs, &[x.value, proxy.value], x.bound)
    }
}
