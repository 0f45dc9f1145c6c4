//! Times alternatives against each other in one run.
#![expect(clippy::print_stdout, reason = "a benchmark is there to be read")]

use std::time::{Duration, Instant};

/// Rounds in which every alternative has its turn.
const ROUNDS: usize = 7;

/// What a round spends on one alternative.
const TURN: Duration = Duration::from_millis(12);

/// One way to do the work: its name, and the work.
pub(crate) type Alternative<'a> = (&'a str, &'a mut dyn FnMut());

/// Prints how long each alternative takes, as the minimum of interleaved rounds, the rate of `work` units, and the
/// ratio to the first. The machine may be shared: trust the ratios.
pub(crate) fn compare(what: &str, work: f64, unit: &str, alternatives: &mut [Alternative]) {
    let mut best = vec![f64::INFINITY; alternatives.len()];
    for _ in 0..ROUNDS {
        for ((_, run), best) in alternatives.iter_mut().zip(&mut best) {
            let turn = Instant::now();
            run();
            loop {
                let start = Instant::now();
                run();
                *best = best.min(start.elapsed().as_secs_f64());
                if turn.elapsed() > TURN {
                    break;
                }
            }
        }
    }
    println!("{what}");
    for ((name, _), time) in alternatives.iter().zip(&best) {
        let (rate, ratio) = (work / time / 1e9, time / best[0]);
        println!(
            "  {name:<34} {:>10.2} us {rate:>9.2} G{unit}/s  x{ratio:.2}",
            time * 1e6
        );
    }
}
