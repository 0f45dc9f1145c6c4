//! Which steps are calls of precompiled routines, and what formulas are one call.
//!
//! A transcendental step of reals is a call over a block. The formulas of common activations
//! are recognized and become one call; their inner steps are then computed only if something
//! else needs them. Recognition is by shape: constants by their bits, factors of a product in
//! either order. A fused call rounds once where the formula rounds at every step.

use girih_graph::DType;
use girih_graph::op::{Binary, Combine, Unary};
use girih_plan::kernel::{Constant, Kernel, LoopKind, StepId, StepOp};

use super::routine::Routine;

/// A step that is computed by a routine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Which one.
    pub(super) routine: Routine,
    /// Operands in blocks; for `ExpSum` also the step that is subtracted.
    pub(super) operands: Vec<StepId>,
}

/// For each step its call, if it is one, and the sums that calls bring along.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// By step.
    pub(super) of: Vec<Option<Call>>,
    /// A sum over the inner loop that the call of this step also computes.
    pub(super) sum: Vec<Option<StepId>>,
}

/// Decides for every step.
pub(super) fn calls(kernel: &Kernel) -> Calls {
    let mut calls = Calls {
        of: (0..kernel.steps.len()).map(|id| call(kernel, id)).collect(),
        sum: vec![None; kernel.steps.len()],
    };
    for id in 0..kernel.steps.len() {
        if let StepOp::Reduce(Combine::Sum, x, LoopKind::Inner) = kernel.steps[id].op
            && let Some(call) = exp_sum(kernel, id, x)
            && calls.sum[x].is_none()
        {
            calls.of[x] = Some(call);
            calls.sum[x] = Some(id);
        }
    }
    calls
}

fn call(kernel: &Kernel, id: StepId) -> Option<Call> {
    let step = &kernel.steps[id];
    let fused = match step.dtype {
        DType::F32 | DType::F64 => fused(kernel, id),
        _ => None,
    };
    if let Some((routine, x)) = fused {
        return Some(Call {
            routine,
            operands: vec![x],
        });
    }
    match step.op {
        StepOp::Unary(op, x) => Routine::of_unary(op).map(|routine| Call {
            routine,
            operands: vec![x],
        }),
        StepOp::Binary(op, x, y) => Routine::of_binary(op, step.dtype).map(|routine| Call {
            routine,
            operands: vec![x, y],
        }),
        _ => None,
    }
}

/// `Σ exp(x - m)` with an `m` that does not vary along the inner loop.
fn exp_sum(kernel: &Kernel, sum: StepId, exp: StepId) -> Option<Call> {
    let step = &kernel.steps[exp];
    if step.dtype != DType::F32 || !step.inner || kernel.steps[sum].dtype != DType::F32 {
        return None;
    }
    let StepOp::Unary(Unary::Exp, difference) = step.op else {
        return None;
    };
    let StepOp::Binary(Binary::Sub, x, m) = kernel.steps[difference].op else {
        return None;
    };
    (kernel.steps[x].inner && !kernel.steps[m].inner).then(|| Call {
        routine: Routine::ExpSum,
        operands: vec![x, m],
    })
}

/// A formula over the operand.
fn fused(kernel: &Kernel, id: StepId) -> Option<(Routine, StepId)> {
    silu(kernel, id)
        .map(|x| (Routine::Silu, x))
        .or_else(|| gelu(kernel, id))
        .or_else(|| softplus(kernel, id).map(|x| (Routine::Softplus, x)))
}

fn unary(kernel: &Kernel, id: StepId, wanted: Unary) -> Option<StepId> {
    match kernel.steps[id].op {
        StepOp::Unary(op, x) if op == wanted => Some(x),
        _ => None,
    }
}

/// Operands of a commutative function, in both orders.
fn pairs(kernel: &Kernel, id: StepId, wanted: Binary) -> Vec<(StepId, StepId)> {
    match kernel.steps[id].op {
        StepOp::Binary(op, x, y) if op == wanted => vec![(x, y), (y, x)],
        _ => Vec::new(),
    }
}

/// A real constant near `wanted`, to the accuracy of `f32`.
fn is_constant(kernel: &Kernel, id: StepId, wanted: f64) -> bool {
    match kernel.steps[id].op {
        StepOp::Constant(Constant::Real(bits)) => {
            (f64::from_bits(bits) - wanted).abs() <= wanted.abs() * 1e-7
        }
        _ => false,
    }
}

/// `x * sigmoid(x)`.
fn silu(kernel: &Kernel, id: StepId) -> Option<StepId> {
    let sigmoid_of =
        |(x, y): (StepId, StepId)| (unary(kernel, y, Unary::Sigmoid)? == x).then_some(x);
    pairs(kernel, id, Binary::Mul)
        .into_iter()
        .find_map(sigmoid_of)
}

/// Factors of a product of products, at most six.
fn factors(kernel: &Kernel, id: StepId, into: &mut Vec<StepId>) {
    match kernel.steps[id].op {
        StepOp::Binary(Binary::Mul, x, y) if into.len() < 6 => {
            factors(kernel, x, into);
            factors(kernel, y, into);
        }
        _ => into.push(id),
    }
}

/// The operand of a sum of 1 and another step.
fn one_plus(kernel: &Kernel, id: StepId) -> Option<StepId> {
    let with_one = |(x, y): (StepId, StepId)| is_constant(kernel, x, 1.0).then_some(y);
    pairs(kernel, id, Binary::Add)
        .into_iter()
        .find_map(with_one)
}

/// `x / 2 * (1 + erf(x / √2))` or `x / 2 * (1 + tanh(√(2/π) * (x + 0.044715 x³)))`, factors in any order.
fn gelu(kernel: &Kernel, id: StepId) -> Option<(Routine, StepId)> {
    let mut parts = Vec::new();
    factors(kernel, id, &mut parts);
    if parts.len() != 3 {
        // `x / 2` may be a quotient.
        if let [a, b] = parts[..] {
            return [(a, b), (b, a)].into_iter().find_map(|(half, rest)| {
                let StepOp::Binary(Binary::Div, x, two) = kernel.steps[half].op else {
                    return None;
                };
                if !is_constant(kernel, two, 2.0) {
                    return None;
                }
                gelu_of(kernel, x, rest)
            });
        }
        return None;
    }
    let half = parts
        .iter()
        .position(|part| is_constant(kernel, *part, 0.5))?;
    parts.remove(half);
    let [a, b] = parts[..] else { return None };
    gelu_of(kernel, a, b).or_else(|| gelu_of(kernel, b, a))
}

/// Whether `rest` is the other factor of a gelu of `x`.
fn gelu_of(kernel: &Kernel, x: StepId, rest: StepId) -> Option<(Routine, StepId)> {
    let inner = one_plus(kernel, rest)?;
    if let Some(scaled) = unary(kernel, inner, Unary::Erf) {
        let by_factor = |(y, c): (StepId, StepId)| {
            y == x && is_constant(kernel, c, std::f64::consts::FRAC_1_SQRT_2)
        };
        let quotient = match kernel.steps[scaled].op {
            StepOp::Binary(Binary::Div, y, c) => y == x && is_root_of_two(kernel, c),
            _ => false,
        };
        let product = pairs(kernel, scaled, Binary::Mul)
            .into_iter()
            .any(by_factor);
        return (quotient || product).then_some((Routine::GeluErf, x));
    }
    let scaled = unary(kernel, inner, Unary::Tanh)?;
    let root = (2.0 / std::f64::consts::PI).sqrt();
    pairs(kernel, scaled, Binary::Mul)
        .into_iter()
        .any(|(c, sum)| {
            let cubic = |(y, term): (StepId, StepId)| y == x && is_cubic(kernel, x, term);
            is_constant(kernel, c, root) && pairs(kernel, sum, Binary::Add).into_iter().any(cubic)
        })
        .then_some((Routine::GeluTanh, x))
}

fn is_root_of_two(kernel: &Kernel, id: StepId) -> bool {
    let root = |two: StepId| is_constant(kernel, two, 2.0);
    is_constant(kernel, id, std::f64::consts::SQRT_2)
        || unary(kernel, id, Unary::Sqrt).is_some_and(root)
}

/// `0.044715 x³` as a product, or with a power.
fn is_cubic(kernel: &Kernel, x: StepId, term: StepId) -> bool {
    let mut parts = Vec::new();
    factors(kernel, term, &mut parts);
    let Some(constant) = parts
        .iter()
        .position(|part| is_constant(kernel, *part, 0.044_715))
    else {
        return false;
    };
    parts.remove(constant);
    match parts[..] {
        [a, b, c] => a == x && b == x && c == x,
        [power] => match kernel.steps[power].op {
            StepOp::Binary(Binary::Pow, base, three) => {
                base == x && is_constant(kernel, three, 3.0)
            }
            _ => false,
        },
        _ => false,
    }
}

/// `log1p(exp(x))`, `log(1 + exp(x))`, and `max(x, 0) + log1p(exp(-|x|))`.
fn softplus(kernel: &Kernel, id: StepId) -> Option<StepId> {
    if let Some(x) = unary(kernel, id, Unary::Log1p) {
        return unary(kernel, x, Unary::Exp);
    }
    if let Some(sum) = unary(kernel, id, Unary::Log) {
        return unary(kernel, one_plus(kernel, sum)?, Unary::Exp);
    }
    pairs(kernel, id, Binary::Add)
        .into_iter()
        .find_map(|(large, small)| {
            let exp = unary(kernel, small, Unary::Log1p)?;
            let negative = unary(kernel, exp, Unary::Exp)?;
            let x = unary(kernel, unary(kernel, negative, Unary::Neg)?, Unary::Abs)?;
            let of_x = |(own, zero): (StepId, StepId)| own == x && is_zero(kernel, zero);
            pairs(kernel, large, Binary::Max)
                .into_iter()
                .any(of_x)
                .then_some(x)
        })
}

fn is_zero(kernel: &Kernel, id: StepId) -> bool {
    match kernel.steps[id].op {
        StepOp::Constant(Constant::Real(bits)) => f64::from_bits(bits) == 0.0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use girih_plan::kernel::{Access, Affine, Step};

    use super::*;

    /// One loaded value and what the formula makes of it; numbers are constants, step 0 is `x`.
    fn check(formula: &[StepOp], routine: Option<Routine>) {
        let address = Affine {
            offset: girih_graph::Extent::constant(0),
            loops: Vec::new(),
            steps: Vec::new(),
        };
        let load = StepOp::Load(Access {
            buffer: 0,
            address,
            guards: Vec::new(),
        });
        let steps = std::iter::once(load).chain(formula.iter().cloned());
        let kernel = Kernel {
            loops: Vec::new(),
            steps: steps
                .map(|op| Step {
                    op,
                    dtype: DType::F32,
                    walked: false,
                    inner: true,
                })
                .collect(),
            stores: Vec::new(),
            buffers: vec![DType::F32],
        };
        let last = calls(&kernel).of.pop().flatten();
        assert_eq!(last.map(|call| (call.routine, call.operands)), {
            routine.map(|routine| (routine, vec![0]))
        });
    }

    fn real(value: f64) -> StepOp {
        StepOp::Constant(Constant::Real(value.to_bits()))
    }

    fn times(x: StepId, y: StepId) -> StepOp {
        StepOp::Binary(Binary::Mul, x, y)
    }

    fn plus(x: StepId, y: StepId) -> StepOp {
        StepOp::Binary(Binary::Add, x, y)
    }

    fn of(op: Unary, x: StepId) -> StepOp {
        StepOp::Unary(op, x)
    }

    #[test]
    fn formulas_are_recognized_and_their_neighbors_are_not() {
        check(&[of(Unary::Sigmoid, 0), times(0, 1)], Some(Routine::Silu));
        check(&[of(Unary::Sigmoid, 0), times(1, 1)], None);
        let exp = of(Unary::Exp, 0);
        check(&[exp.clone(), of(Unary::Log1p, 1)], Some(Routine::Softplus));
        let one_more = [exp, real(1.0), plus(1, 2), of(Unary::Log, 3)];
        check(&one_more, Some(Routine::Softplus));
        let gelu = |root: f64, half: f64| {
            let erf = [
                real(root),
                times(0, 1),
                of(Unary::Erf, 2),
                real(1.0),
                plus(3, 4),
            ];
            let product = [real(half), times(0, 6), times(7, 5)];
            [erf.as_slice(), product.as_slice()].concat()
        };
        check(
            &gelu(std::f64::consts::FRAC_1_SQRT_2, 0.5),
            Some(Routine::GeluErf),
        );
        check(&gelu(0.7, 0.5), None);
        check(&gelu(std::f64::consts::FRAC_1_SQRT_2, 0.25), None);
    }
}
