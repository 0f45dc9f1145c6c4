//! `unary`, `binary`, `select`, `cast`: elementwise, aligned by axis name.
//!
//! The maximum and minimum of `NaN` and anything is `NaN`; every comparison
//! with `NaN` is false, except `ne`. The sign of `NaN` is `NaN`. Casts clamp
//! integers that do not fit; `NaN` becomes 0.

use girih_graph::{AxisId, Binary, DType, Unary};
use half::{bf16, f16};

use super::array::Array;
use super::number::{Number, Real, Whole, Wide, per_number};
use super::scope::Value;
use super::walk::{self, Strided, cell_count};
use crate::tensor::Scalar;

/// `f` of every element.
pub(super) fn unary(op: Unary, x: &Array) -> Array {
    match x.dtype() {
        DType::F64 => unary_real::<f64>(op, x),
        DType::F32 => unary_real::<f32>(op, x),
        DType::F16 => unary_real::<f16>(op, x),
        DType::BF16 => unary_real::<bf16>(op, x),
        DType::I64 => unary_whole::<i64>(op, x),
        DType::I32 => unary_whole::<i32>(op, x),
        DType::I8 => unary_whole::<i8>(op, x),
        DType::U8 => unary_whole::<u8>(op, x),
        DType::Bool => match op {
            Unary::Not => mapped(x, |x: u8| 1 - x),
            _ => mistyped(op.word()),
        },
    }
}

/// What the graph's builder rules out.
fn mistyped(op: &str) -> ! {
    unreachable!("`{op}` is not defined for this dtype, as was checked when the graph was built")
}

fn mapped<T: Number>(x: &Array, f: impl Fn(T) -> T) -> Array {
    let cells = walk::map(x.shape(), x.strided(), f);
    Array::new(x.dtype(), x.shape().to_vec(), cells)
}

fn unary_real<T: Real>(op: Unary, x: &Array) -> Array {
    let one = T::Wide::ONE;
    match op {
        Unary::Neg => mapped(x, |x: T| T::narrow(-x.wide())),
        Unary::Abs => mapped(x, |x: T| T::narrow(x.wide().abs())),
        Unary::Sign => mapped(x, |x: T| T::narrow(x.wide().sign())),
        Unary::Exp => mapped(x, |x: T| T::narrow(x.wide().exp())),
        Unary::Log => mapped(x, |x: T| T::narrow(x.wide().ln())),
        Unary::Log1p => mapped(x, |x: T| T::narrow(x.wide().ln_1p())),
        Unary::Sqrt => mapped(x, |x: T| T::narrow(x.wide().sqrt())),
        Unary::Rsqrt => mapped(x, |x: T| T::narrow(one / x.wide().sqrt())),
        Unary::Sin => mapped(x, |x: T| T::narrow(x.wide().sin())),
        Unary::Cos => mapped(x, |x: T| T::narrow(x.wide().cos())),
        Unary::Tanh => mapped(x, |x: T| T::narrow(x.wide().tanh())),
        Unary::Sigmoid => mapped(x, |x: T| T::narrow(one / (one + (-x.wide()).exp()))),
        Unary::Erf => mapped(x, |x: T| T::narrow(x.wide().erf())),
        Unary::Floor => mapped(x, |x: T| T::narrow(x.wide().floor())),
        Unary::Ceil => mapped(x, |x: T| T::narrow(x.wide().ceil())),
        Unary::Round => mapped(x, |x: T| T::narrow(x.wide().round_ties_even())),
        Unary::Not | Unary::PopCount => mistyped(op.word()),
    }
}

fn unary_whole<T: Whole>(op: Unary, x: &Array) -> Array {
    match op {
        Unary::Neg => mapped(x, T::wrapping_neg),
        Unary::Abs => mapped(x, T::wrapping_abs),
        Unary::Sign => mapped(x, T::sign),
        Unary::Not => mapped(x, T::complement),
        Unary::PopCount => mapped(x, T::ones),
        Unary::Exp
        | Unary::Log
        | Unary::Log1p
        | Unary::Sqrt
        | Unary::Rsqrt
        | Unary::Sin
        | Unary::Cos
        | Unary::Tanh
        | Unary::Sigmoid
        | Unary::Erf
        | Unary::Floor
        | Unary::Ceil
        | Unary::Round => mistyped(op.word()),
    }
}

/// Two operands along the axes of their result.
struct Pair<'a> {
    x: Value<'a>,
    y: Value<'a>,
    along_x: Vec<isize>,
    along_y: Vec<isize>,
    shape: &'a [usize],
}

impl Pair<'_> {
    fn zip<T: Number, R: Number>(&self, dtype: DType, f: impl Fn(T, T) -> R) -> Array {
        let x = self.x.array.along(&self.along_x);
        let y = self.y.array.along(&self.along_y);
        let cells = walk::zip(self.shape, x, y, f);
        Array::new(dtype, self.shape.to_vec(), cells)
    }

    /// Same dtype.
    fn same<T: Number>(&self, f: impl Fn(T, T) -> T) -> Array {
        self.zip(self.x.array.dtype(), f)
    }

    /// A truth value.
    fn test<T: Number>(&self, f: impl Fn(&T, &T) -> bool) -> Array {
        self.zip(DType::Bool, |x: T, y: T| u8::from(f(&x, &y)))
    }
}

/// `f` of every pair of elements; the result is over `axes`.
pub(super) fn binary(
    op: Binary,
    x: Value<'_>,
    y: Value<'_>,
    axes: &[AxisId],
    shape: &[usize],
) -> Array {
    let pair = Pair {
        x,
        y,
        along_x: x.strides(axes),
        along_y: y.strides(axes),
        shape,
    };
    match x.array.dtype() {
        DType::F64 => binary_real::<f64>(op, &pair),
        DType::F32 => binary_real::<f32>(op, &pair),
        DType::F16 => binary_real::<f16>(op, &pair),
        DType::BF16 => binary_real::<bf16>(op, &pair),
        DType::I64 => binary_whole::<i64>(op, &pair),
        DType::I32 => binary_whole::<i32>(op, &pair),
        DType::I8 => binary_whole::<i8>(op, &pair),
        // Bitwise is logical on 0 and 1.
        DType::U8 | DType::Bool => binary_whole::<u8>(op, &pair),
    }
}

fn binary_real<T: Real>(op: Binary, pair: &Pair<'_>) -> Array {
    match op {
        Binary::Add => pair.same(|x: T, y: T| T::narrow(x.wide() + y.wide())),
        Binary::Sub => pair.same(|x: T, y: T| T::narrow(x.wide() - y.wide())),
        Binary::Mul => pair.same(|x: T, y: T| T::narrow(x.wide() * y.wide())),
        Binary::Div => pair.same(|x: T, y: T| T::narrow(x.wide() / y.wide())),
        Binary::FloorDiv => pair.same(|x: T, y: T| T::narrow((x.wide() / y.wide()).floor())),
        Binary::Rem => pair.same(|x: T, y: T| T::narrow(x.wide().floor_rem(y.wide()))),
        Binary::Pow => pair.same(|x: T, y: T| T::narrow(x.wide().powf(y.wide()))),
        Binary::Max => pair.same(T::larger),
        Binary::Min => pair.same(T::smaller),
        Binary::Eq => pair.test(T::eq),
        Binary::Ne => pair.test(T::ne),
        Binary::Lt => pair.test(T::lt),
        Binary::Le => pair.test(T::le),
        Binary::Gt => pair.test(T::gt),
        Binary::Ge => pair.test(T::ge),
        Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => mistyped(op.word()),
    }
}

fn binary_whole<T: Whole>(op: Binary, pair: &Pair<'_>) -> Array {
    match op {
        Binary::Add => pair.same(T::wrapping_add),
        Binary::Sub => pair.same(T::wrapping_sub),
        Binary::Mul => pair.same(T::wrapping_mul),
        Binary::FloorDiv => pair.same(T::floor_div),
        Binary::Rem => pair.same(T::floor_rem),
        Binary::Max => pair.same(T::larger),
        Binary::Min => pair.same(T::smaller),
        Binary::Eq => pair.test(T::eq),
        Binary::Ne => pair.test(T::ne),
        Binary::Lt => pair.test(T::lt),
        Binary::Le => pair.test(T::le),
        Binary::Gt => pair.test(T::gt),
        Binary::Ge => pair.test(T::ge),
        Binary::And => pair.same(T::and),
        Binary::Or => pair.same(T::or),
        Binary::Xor => pair.same(T::xor),
        Binary::Shl => pair.same(T::shl),
        Binary::Shr => pair.same(T::shr),
        Binary::Div | Binary::Pow => mistyped(op.word()),
    }
}

/// `condition ? x : y`, over `axes`. What is not chosen is not touched.
pub(super) fn select(
    condition: Value<'_>,
    x: Value<'_>,
    y: Value<'_>,
    axes: &[AxisId],
    shape: &[usize],
) -> Array {
    let (along, along_x, along_y) = (condition.strides(axes), x.strides(axes), y.strides(axes));
    let dtype = x.array.dtype();
    per_number!(dtype, T => {
        let (x, y) = (x.array.along::<T>(&along_x), y.array.along::<T>(&along_y));
        let cells = select_cells(shape, condition.array.along(&along), x, y);
        Array::new(dtype, shape.to_vec(), cells)
    })
}

fn select_cells<T: Number>(
    shape: &[usize],
    condition: Strided<'_, u8>,
    x: Strided<'_, T>,
    y: Strided<'_, T>,
) -> Vec<T> {
    let mut out = Vec::with_capacity(cell_count(shape));
    walk::rows(
        shape,
        [condition.strides, x.strides, y.strides],
        [condition.offset, x.offset, y.offset],
        |[c, i, j], length, [r, s, t]| {
            if r == 0 {
                if condition.cells[c as usize] != 0 {
                    out.extend(walk::row(x.cells, i, length, s));
                } else {
                    out.extend(walk::row(y.cells, j, length, t));
                }
                return;
            }
            let condition = walk::row(condition.cells, c, length, r);
            let pairs = walk::row(x.cells, i, length, s).zip(walk::row(y.cells, j, length, t));
            out.extend(
                condition
                    .zip(pairs)
                    .map(|(c, (x, y))| if c != 0 { x } else { y }),
            );
        },
    );
    out
}

/// Every element in another dtype.
pub(super) fn cast(x: &Array, dtype: DType) -> Array {
    if x.dtype() == dtype {
        return x.clone();
    }
    let shape = x.shape().to_vec();
    per_number!(x.dtype(), S => {
        if dtype == DType::Bool {
            let cells = walk::map(&shape, x.strided::<S>(), |x| {
                u8::from(x.ne(&S::default()))
            });
            return Array::new(dtype, shape, cells);
        }
        per_number!(dtype, D => {
            let cells = walk::map(&shape, x.strided::<S>(), converted::<S, D>);
            Array::new(dtype, shape, cells)
        })
    })
}

fn converted<S: Scalar, D: Scalar>(x: S) -> D {
    if S::IS_REAL {
        D::from_real(x.to_real())
    } else {
        D::from_integer(x.to_integer())
    }
}
