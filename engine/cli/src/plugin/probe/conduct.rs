//! Whether a kernel keeps to what is its own: bounds, memory, threads.

use girih_runtime::plugin::native::Spec;
use girih_runtime::plugin::{PluginKernel, held};
use girih_runtime::tensor::Tensor;

use super::numbers::{MENU, ROUNDS};
use super::{Operation, Subject, Verdict, sizes};
use crate::plugin::guard::Side;
use crate::plugin::meaning::text_of;
use crate::plugin::trial::{How, prepare, run, shapes, spec};

/// Threads that runs are tried with.
const THREADS: [usize; 4] = [1, 2, 3, 4];

/// A kernel with operands, for the `round`th draw; `None` where it is left to the text.
fn drawn(
    operation: &Operation<'_>,
    seed: u64,
    menu: &[i64],
    threads: usize,
) -> Result<Option<(PluginKernel, Spec, Vec<Tensor>)>, String> {
    let sizes = sizes(operation.function, seed, menu);
    let spec = spec(operation.function, &sizes, threads)?;
    let Some(kernel) = prepare(&operation.native, &spec)? else {
        return Ok(None);
    };
    let operands = operation.meaning.draw(&sizes, seed)?;
    Ok(Some((kernel, spec, operands)))
}

/// Why there is no verdict, if nothing was tried.
fn untried(count: u32) -> Option<String> {
    (count == 0).then(|| "it left every size that was tried to its text".to_owned())
}

/// Blocks that end, then begin, at pages that nobody may touch; operands that nobody may write.
pub(super) fn bounds(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let mut count = 0;
        for round in 0..ROUNDS {
            let seed = subject.seed.wrapping_add(round);
            let Some((kernel, spec, operands)) =
                drawn(operation, seed, &[0, 1, 2, 3, 5, 8, 17, 33], 2)?
            else {
                continue;
            };
            count += 1;
            let plain = run(&kernel, &spec, &operands, How::PLAIN)?;
            for side in [Side::End, Side::Start] {
                for threads in [1, 2] {
                    let how = How {
                        threads,
                        side,
                        ..How::PLAIN
                    };
                    if run(&kernel, &spec, &operands, how)? != plain {
                        return Err(format!(
                            "results depend on where tensors lie ({})",
                            shapes(&spec)
                        ));
                    }
                }
            }
        }
        Ok(untried(count))
    })
}

/// Results and workspace hold zeros, ones, large numbers before.
pub(super) fn dirt(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let mut count = 0;
        for round in 0..ROUNDS {
            let seed = subject.seed.wrapping_add(round);
            let Some((kernel, spec, operands)) = drawn(operation, seed, &MENU, 1)? else {
                continue;
            };
            count += 1;
            let plain = run(&kernel, &spec, &operands, How::PLAIN)?;
            for dirt in [1, 0x41, 0xff] {
                let how = How { dirt, ..How::PLAIN };
                if run(&kernel, &spec, &operands, how)? != plain {
                    return Err(format!(
                        "results depend on what was in memory before ({})",
                        shapes(&spec)
                    ));
                }
            }
        }
        Ok(untried(count))
    })
}

/// Runs with several threads, and several runs at once.
pub(super) fn threads(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let mut count = 0;
        for round in 0..ROUNDS / 2 {
            let seed = subject.seed.wrapping_add(round);
            let Some((kernel, spec, operands)) =
                drawn(operation, seed, &[5, 17, 33], THREADS.len())?
            else {
                continue;
            };
            count += 1;
            let plain = run(&kernel, &spec, &operands, How::PLAIN)?;
            for threads in THREADS {
                for _ in 0..4 {
                    let how = How {
                        threads,
                        ..How::PLAIN
                    };
                    if run(&kernel, &spec, &operands, how)? != plain {
                        return Err(format!(
                            "{threads} threads give other bits ({})",
                            shapes(&spec)
                        ));
                    }
                }
            }
            let outcomes: Vec<_> = std::thread::scope(|scope| {
                let runs: Vec<_> = THREADS
                    .iter()
                    .map(|_| scope.spawn(|| run(&kernel, &spec, &operands, How::PLAIN)))
                    .collect();
                runs.into_iter()
                    .map(std::thread::ScopedJoinHandle::join)
                    .collect()
            });
            for outcome in outcomes {
                let outcome = outcome.map_err(|_| "a run panicked".to_owned())?;
                if outcome? != plain {
                    return Err(format!("runs at once give other bits ({})", shapes(&spec)));
                }
            }
        }
        Ok(untried(count))
    })
}

/// Kernels made and ended, before it is measured and while it is.
const CYCLES: (usize, usize) = (256, 4096);

/// Growth that is no leak, in bytes: a hundred for each cycle is one.
const SLACK: u64 = CYCLES.1 as u64 * 100;

/// Memory of the host, and of the process where the system tells it.
pub(super) fn memory(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let mut draws =
            (0..ROUNDS).map(|round| drawn(operation, subject.seed.wrapping_add(round), &[3, 5], 1));
        let Some((_, spec, operands)) = draws.find_map(Result::transpose).transpose()? else {
            return Ok(untried(0));
        };
        let before = held();
        let cycle = |count: usize| -> Result<(), String> {
            for _ in 0..count {
                if let Some(kernel) = prepare(&operation.native, &spec)? {
                    let asked = held().refused;
                    run(&kernel, &spec, &operands, How::PLAIN)?;
                    if held().refused > asked {
                        return Err("a run asks the host for memory".to_owned());
                    }
                }
            }
            Ok(())
        };
        cycle(CYCLES.0)?;
        let (start, taken) = (process_bytes(), held());
        cycle(CYCLES.1)?;
        let after = held();
        if after.blocks > taken.blocks || taken.blocks > before.blocks + 16 {
            return Err(format!(
                "kernels that were released keep {} blocks of the host's memory",
                after.blocks - before.blocks
            ));
        }
        if after.strange > before.strange {
            return Err("it frees memory that the host did not give".to_owned());
        }
        if let (Some(start), Some(end)) = (start, process_bytes())
            && end > start + SLACK
        {
            return Err(format!(
                "the process grows by {} bytes with each kernel that is made, run and released",
                (end - start) / CYCLES.1 as u64
            ));
        }
        Ok(None)
    })
}

/// Private memory of this process, where the system says it.
fn process_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmData:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Costs of drawn sizes.
pub(super) fn cost(subject: &Subject) -> Verdict {
    subject.each(|operation| {
        let mut known = false;
        for round in 0..ROUNDS {
            let sizes = sizes(
                operation.function,
                subject.seed.wrapping_add(round),
                &[0, 1, 5, 33],
            );
            let spec = spec(operation.function, &sizes, 1)?;
            known |= operation.native.cost(&spec).map_err(text_of)?.is_some();
        }
        Ok((!known).then(|| "it leaves costs to its text".to_owned()))
    })
}
