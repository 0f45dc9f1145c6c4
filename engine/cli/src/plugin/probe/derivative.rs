//! Whether a gradient is the derivative, and whether an operation streams as its text says.

use girih_runtime::plugin::PluginNative;
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;

use super::numbers::ALLOWED;
use super::{Operation, Subject, Verdict, mixed, sizes};
use crate::contract::{Asked, Finding, check_modules};
use crate::plugin::meaning::CALLER;
use crate::plugin::signature::TensorType;
use crate::plugin::trial::{How, Sizes, differs, prepare, run, shapes, spec};

/// Draws.
const ROUNDS: u64 = 8;

/// Draws that may lie at a kink, where differences say nothing.
const KINKS: u64 = 2;

/// Step of the differences: the cube root of what `f32` tells apart, rounded.
const STEP: f64 = 1.0 / 128.0;

/// What differences in `f32` with that step are good for.
const COARSE: f64 = 2e-2;

/// The gradient in the text against the derivative of the body, both against differences of the kernel.
pub(super) fn gradient(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let real = |ty: &TensorType| ty.dtype.is_real();
        let function = operation.function;
        if !function.operands.iter().any(|operand| real(&operand.ty)) || !function.results.iter().any(real) {
            return Ok(Some("nothing in it is differentiable".to_owned()));
        }
        let (mut count, mut apart, mut last) = (0, 0, String::new());
        for round in 0..ROUNDS {
            let seed = subject.seed.wrapping_add(round);
            let sizes = sizes(function, seed, &[1, 2, 3, 4]);
            let mut operands = operation.meaning.draw(&sizes, seed)?;
            for operand in &mut operands {
                // Smaller numbers, smaller curvature.
                scale(operand, 0.5)?;
            }
            let Some(results) = computed(operation, &sizes, &operands)? else {
                continue;
            };
            let cotangents: Vec<Tensor> = (results.iter().filter(|tensor| tensor.dtype().is_real()))
                .enumerate()
                .map(|(at, like)| noise(like, seed.wrapping_add(at as u64 + 1)))
                .collect::<Result<_, _>>()?;
            let Ok(wanted) = operation.meaning.derivative(&sizes, &operands, &cotangents) else {
                return Ok(Some("its text has no derivative".to_owned()));
            };
            if function.gradient.is_some() {
                let found = given(subject, operation, &sizes, &operands, &results, &cotangents)?;
                for (own, text) in found.iter().zip(&wanted) {
                    if let Some(difference) = differs(own, text, ALLOWED) {
                        return Err(format!("a cotangent is {difference}, where the derivative of the body has the latter"));
                    }
                }
            }
            if let Some(said) = slope_differs(operation, &sizes, &operands, &cotangents, &wanted, seed)? {
                apart += 1;
                last = said;
            }
            count += 1;
        }
        if count == 0 {
            return Err("kernel or text refused every size that was drawn".to_owned());
        }
        if apart > KINKS {
            return Err(format!("{apart} of {count} differences of the kernel are not its derivative: {last}"));
        }
        Ok(None)
    })
}

/// The kernel's results; `None` where it refuses.
fn computed(
    operation: &Operation<'_>,
    sizes: &Sizes,
    operands: &[Tensor],
) -> Result<Option<Vec<Tensor>>, String> {
    let spec = spec(operation.function, sizes, 1)?;
    match prepare(&operation.native, &spec)? {
        Some(kernel) => run(&kernel, &spec, operands, How::PLAIN),
        None => Ok(None),
    }
}

/// What the gradient's function gives, by its kernel if it has one.
fn given(
    subject: &Subject,
    operation: &Operation<'_>,
    sizes: &Sizes,
    operands: &[Tensor],
    results: &[Tensor],
    cotangents: &[Tensor],
) -> Result<Vec<Tensor>, String> {
    let name = operation.function.gradient.as_deref().unwrap_or_default();
    let function = subject
        .declared
        .functions
        .iter()
        .find(|function| function.name == name);
    let function = function.ok_or_else(|| format!("`{name}` is no function with types"))?;
    let all: Vec<Tensor> = [operands, results, cotangents].concat();
    if function.operands.len() != all.len() {
        return Err(format!(
            "`{name}` takes {} tensors and not {}: operands, results, cotangents",
            function.operands.len(),
            all.len()
        ));
    }
    if function.version.is_some()
        && let Some(native) = PluginNative::new(&subject.library, &function.operation())
    {
        let spec = spec(function, sizes, 1)?;
        if let Some(kernel) = prepare(&native, &spec)?
            && let Some(found) = run(&kernel, &spec, &all, How::PLAIN)?
        {
            return Ok(found);
        }
    }
    subject.meaning(function)?.run(sizes, &all)
}

/// The slope of Σ results · cotangents along a drawn direction, by differences and by the derivative.
fn slope_differs(
    operation: &Operation<'_>,
    sizes: &Sizes,
    operands: &[Tensor],
    cotangents: &[Tensor],
    derivative: &[Tensor],
    seed: u64,
) -> Result<Option<String>, String> {
    let mut derivatives = derivative.iter();
    let mut wanted = 0.0;
    let (mut ahead, mut behind) = (operands.to_vec(), operands.to_vec());
    for (at, operand) in operands.iter().enumerate() {
        if !operand.dtype().is_real() {
            continue;
        }
        let direction = noise(operand, seed.wrapping_mul(31).wrapping_add(at as u64))?.to_f64_vec();
        if let Some(derivative) = derivatives.next() {
            wanted += (derivative.to_f64_vec().iter().zip(&direction))
                .map(|(g, v)| g * v)
                .sum::<f64>();
        }
        for (moved, step) in [(&mut ahead[at], STEP), (&mut behind[at], -STEP)] {
            let elements = moved
                .as_mut_slice::<f32>()
                .map_err(|error| error.to_string())?;
            for (element, direction) in elements.iter_mut().zip(&direction) {
                *element = (f64::from(*element) + step * direction) as f32;
            }
        }
    }
    let total = |operands: &[Tensor]| -> Result<Option<f64>, String> {
        let results = computed(operation, sizes, operands)?;
        Ok(results.map(|results| {
            let real = results.iter().filter(|tensor| tensor.dtype().is_real());
            real.zip(cotangents)
                .map(|(y, dy)| {
                    y.to_f64_vec()
                        .iter()
                        .zip(dy.to_f64_vec())
                        .map(|(y, dy)| y * dy)
                        .sum::<f64>()
                })
                .sum()
        }))
    };
    let (Some(ahead), Some(behind)) = (total(&ahead)?, total(&behind)?) else {
        return Ok(None);
    };
    let found = (ahead - behind) / (2.0 * STEP);
    let near = (found - wanted).abs() <= COARSE * wanted.abs().max(1.0);
    Ok((!near).then(|| {
        let spec = spec(operation.function, sizes, 1)
            .map(|spec| shapes(&spec))
            .unwrap_or_default();
        format!("{found} by differences, {wanted} by the text ({spec})")
    }))
}

fn scale(tensor: &mut Tensor, by: f32) -> Result<(), String> {
    if tensor.dtype().is_real() {
        let elements = tensor
            .as_mut_slice::<f32>()
            .map_err(|error| error.to_string())?;
        for element in elements {
            *element *= by;
        }
    }
    Ok(())
}

/// A tensor of numbers between -1 and 1 in the shape of `like`.
fn noise(like: &Tensor, seed: u64) -> Result<Tensor, String> {
    let mut state = seed;
    let elements: Vec<f32> = (0..like.count())
        .map(|_| (mixed(&mut state) >> 11) as f32 / (1u64 << 52) as f32 - 1.0)
        .collect();
    Tensor::new(like.shape(), elements).map_err(|error| error.to_string())
}

/// The contract of a stream, for a module that calls the operation.
pub(super) fn stream(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let asked = Asked {
            seed: subject.seed,
            ..Asked::default()
        };
        let program = &operation.meaning.program;
        let contracts = check_modules(program, &Reference, &asked, &mut |_| {});
        for contract in contracts
            .into_iter()
            .filter(|contract| contract.module == CALLER)
        {
            match contract.finding {
                Finding::Broken(said) => return Err(said),
                Finding::Holds(_) => return Ok(None),
                Finding::Whole(why) | Finding::Skipped(why) | Finding::Large(why) => {
                    return Ok(Some(why));
                }
                Finding::Still => {}
            }
        }
        Ok(Some("it has no axis that is a sequence".to_owned()))
    })
}
