//! Whether a kernel's numbers are those of its text, whatever sizes, dtypes and layouts its operands have.

use girih_graph::DType;
use girih_runtime::plugin::native::Kernel as _;
use girih_runtime::tensor::Tensor;

use super::{Operation, Subject, Verdict, sizes};
use crate::plugin::trial::{
    How, Sizes, differs, prepare, run, run_scattered, run_shared, shapes, spec, spec_in,
};

/// Sizes that are no power of two, and ones that are.
pub(super) const MENU: [i64; 7] = [1, 2, 3, 5, 8, 17, 33];

/// How many draws a probe makes.
pub(super) const ROUNDS: u64 = 16;

/// Largest difference, relative to the larger of 1 and the largest number of the result, in `f32`: as between backends.
pub(super) const ALLOWED: f64 = 1e-4;

/// Kernel against text. `false` where one of both refuses these sizes.
fn agrees(operation: &Operation<'_>, sizes: &Sizes, seed: u64) -> Result<bool, String> {
    let operands = operation.meaning.draw(sizes, seed)?;
    agrees_on(operation, sizes, &operands)
}

fn agrees_on(
    operation: &Operation<'_>,
    sizes: &Sizes,
    operands: &[Tensor],
) -> Result<bool, String> {
    let spec = spec(operation.function, sizes, 1)?;
    let Some(kernel) = prepare(&operation.native, &spec)? else {
        return Ok(false);
    };
    let Some(found) = run(&kernel, &spec, operands, How::PLAIN)? else {
        return Ok(false);
    };
    // Conditions of the text that do not hold are a refusal, too.
    let Ok(wanted) = operation.meaning.run(sizes, operands) else {
        return Ok(false);
    };
    for (at, (own, text)) in found.iter().zip(&wanted).enumerate() {
        if let Some(difference) = differs(own, text, ALLOWED) {
            return Err(format!("result {at} is {difference} ({})", shapes(&spec)));
        }
    }
    Ok(true)
}

fn tried(count: u64, what: &str) -> Verdict {
    if count == 0 {
        Err(format!("kernel or text refused {what}"))
    } else {
        Ok(None)
    }
}

/// Drawn sizes and numbers.
pub(super) fn values(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let mut count = 0;
        for round in 0..ROUNDS {
            let seed = subject.seed.wrapping_add(round);
            let sizes = sizes(operation.function, seed, &MENU);
            count += u64::from(agrees(operation, &sizes, seed)?);
        }
        tried(count, "every size that was drawn")
    })
}

/// Each axis with 0 and 1 positions, then all of them.
pub(super) fn small(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let drawn = sizes(operation.function, subject.seed, &[4]);
        if drawn.is_empty() {
            return Ok(Some("it has no axes".to_owned()));
        }
        let mut count = 0;
        for size in [0, 1] {
            for axis in drawn.keys() {
                let mut one = drawn.clone();
                one.insert(axis.clone(), size);
                count += u64::from(agrees(operation, &one, subject.seed)?);
            }
            let all = drawn.keys().map(|axis| (axis.clone(), size)).collect();
            count += u64::from(agrees(operation, &all, subject.seed)?);
        }
        tried(count, "every small size")
    })
}

/// Other real dtypes than `f32`.
pub(super) fn dtypes(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let sizes = sizes(operation.function, subject.seed, &MENU);
        let single = spec(operation.function, &sizes, 1)?;
        let operands = operation.meaning.draw(&sizes, subject.seed)?;
        let mut computed = Vec::new();
        for (dtype, allowed) in [(DType::F64, 1e-9), (DType::F16, 2e-2), (DType::BF16, 1e-1)] {
            let spec = spec_in(single.clone(), dtype);
            if spec == single {
                return Ok(Some("it has no real numbers".to_owned()));
            }
            let Some(kernel) = prepare(&operation.native, &spec)? else {
                continue;
            };
            let operands: Vec<Tensor> = (operands.iter().zip(&spec.operands))
                .map(|(tensor, spec)| tensor.to_dtype(spec.dtype))
                .collect();
            let Some(found) = run(&kernel, &spec, &operands, How::PLAIN)? else {
                continue;
            };
            let Ok(wanted) = operation.meaning.run_in(dtype, &sizes, &operands) else {
                continue;
            };
            for (own, text) in found.iter().zip(&wanted) {
                if let Some(difference) = differs(own, text, allowed) {
                    return Err(format!(
                        "in `{dtype}` a result is {difference} ({})",
                        shapes(&spec)
                    ));
                }
            }
            computed.push(dtype);
        }
        Ok(computed
            .is_empty()
            .then(|| "only `f32` has a kernel, the text computes the rest".to_owned()))
    })
}

/// Operands with gaps, for operations that take strides.
pub(super) fn strides(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        for round in 0..ROUNDS {
            let seed = subject.seed.wrapping_add(round);
            let sizes = sizes(operation.function, seed, &MENU);
            let spec = spec(operation.function, &sizes, 1)?;
            let Some(kernel) = prepare(&operation.native, &spec)? else {
                continue;
            };
            if !kernel.strided() {
                return Ok(Some("it takes row-major operands only".to_owned()));
            }
            let operands = operation.meaning.draw(&sizes, seed)?;
            let packed = run(&kernel, &spec, &operands, How::PLAIN)?;
            if run_scattered(&kernel, &spec, &operands)? != packed {
                return Err(format!("results depend on strides ({})", shapes(&spec)));
            }
        }
        Ok(None)
    })
}

/// One element of each real operand is not a number, then infinite.
pub(super) fn not_numbers(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let (mut count, mut real) = (0, false);
        for round in 0..ROUNDS {
            let seed = subject.seed.wrapping_add(round);
            let sizes = sizes(operation.function, seed, &[1, 3, 8]);
            let mut operands = operation.meaning.draw(&sizes, seed)?;
            for operand in &mut operands {
                if operand.dtype() != DType::F32 || operand.count() == 0 {
                    continue;
                }
                real = true;
                let at = (seed % operand.count() as u64) as usize;
                let elements = operand
                    .as_mut_slice::<f32>()
                    .map_err(|error| error.to_string())?;
                elements[at] = if round % 2 == 0 {
                    f32::NAN
                } else {
                    f32::INFINITY
                };
            }
            if operation
                .function
                .results
                .iter()
                .all(|ty| ty.dtype.is_real())
            {
                count += u64::from(agrees_on(operation, &sizes, &operands)?);
            } else {
                // Where a choice falls among what is no number is nobody's promise; that it ends is.
                let spec = spec(operation.function, &sizes, 1)?;
                if let Some(kernel) = prepare(&operation.native, &spec)? {
                    run(&kernel, &spec, &operands, How::PLAIN)?;
                }
                count += 1;
            }
        }
        if !real {
            return Ok(Some("it takes no `f32`".to_owned()));
        }
        tried(count, "every draw with a NaN")
    })
}

/// Operands of equal type that are one tensor.
pub(super) fn sharing(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let mut shared = false;
        for round in 0..ROUNDS {
            let seed = subject.seed.wrapping_add(round);
            let sizes = sizes(operation.function, seed, &[3, 3, 8]);
            let spec = spec(operation.function, &sizes, 1)?;
            let sources: Vec<usize> = (spec.operands.iter())
                .map(|own| {
                    spec.operands
                        .iter()
                        .position(|other| other == own)
                        .unwrap_or(0)
                })
                .collect();
            if sources.iter().enumerate().all(|(at, source)| at == *source) {
                continue;
            }
            let Some(kernel) = prepare(&operation.native, &spec)? else {
                continue;
            };
            shared = true;
            let drawn = operation.meaning.draw(&sizes, seed)?;
            let copies: Vec<Tensor> = sources
                .iter()
                .map(|&source| drawn[source].clone())
                .collect();
            let apart = run(&kernel, &spec, &copies, How::PLAIN)?;
            if run_shared(&kernel, &spec, &drawn, &sources)? != apart {
                return Err(format!(
                    "results depend on where operands lie ({})",
                    shapes(&spec)
                ));
            }
        }
        Ok((!shared).then(|| "no two operands have one type".to_owned()))
    })
}
