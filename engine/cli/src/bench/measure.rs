//! How long a run takes: warmed up, repeated, summed up in a few figures.

use std::time::{Duration, Instant};

use super::process::{forget_peak, peak_bytes, processor_time};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Measuring goes on for so long.
    pub time: Duration,
    /// And for so many runs; fewer, but at least one, when these would take [`PATIENCE`]
    /// times as long.
    pub runs: usize,
}

/// How many times [`Effort::time`] is waited for the wanted number of runs.
pub const PATIENCE: u32 = 8;

/// Most runs of one measurement, so that tiny models end.
const MOST: usize = 100_000;

/// What was measured. Times in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The very first run.
    pub first: f64,
    /// Measured runs.
    pub runs: usize,
    /// Middle one.
    pub median: f64,
    /// Fastest.
    pub min: f64,
    /// From the fastest quarter's slowest to the slowest quarter's fastest.
    pub quartile_range: f64,
    /// Processor time of all threads, middle one.
    pub processor: Option<f64>,
    /// Most memory that was resident during the measured runs.
    pub peak_bytes: Option<u64>,
}

/// Runs `once` again and again; `tell` hears the number of finished runs.
///
/// # Errors
///
/// What `once` says.
pub fn measure<E>(
    effort: Effort,
    once: &mut dyn FnMut() -> Result<(), E>,
    tell: &mut dyn FnMut(usize),
) -> Result<Figures, E> {
    let (first, _) = timed(once)?;
    // Caches and clock rates settle; a run that takes long has settled within itself.
    if Duration::from_secs_f64(first / 1e3) < effort.time {
        timed(once)?;
    }
    forget_peak();
    let start = Instant::now();
    let (mut walls, mut processors) = (Vec::new(), Vec::new());
    loop {
        let (wall, processor) = timed(once)?;
        walls.push(wall);
        processors.extend(processor);
        tell(walls.len());
        let elapsed = start.elapsed();
        let enough = elapsed >= effort.time && walls.len() >= effort.runs;
        if enough || elapsed >= effort.time * PATIENCE || walls.len() >= MOST {
            break;
        }
    }
    let [lower, median, upper] = quartiles(&mut walls);
    Ok(Figures {
        first,
        runs: walls.len(),
        median,
        min: walls[0],
        quartile_range: upper - lower,
        processor: (!processors.is_empty()).then(|| quartiles(&mut processors)[1]),
        peak_bytes: peak_bytes(),
    })
}

/// Milliseconds on the wall and on all processors.
fn timed<E>(once: &mut dyn FnMut() -> Result<(), E>) -> Result<(f64, Option<f64>), E> {
    let (processor, wall) = (processor_time(), Instant::now());
    once()?;
    let wall = milliseconds(wall.elapsed());
    let processor = processor_time()
        .zip(processor)
        .map(|(after, before)| milliseconds(after.saturating_sub(before)));
    Ok((wall, processor))
}

/// In units that people compare runs in.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Sorts at least one number; gives those at a quarter, in the middle, at three quarters,
/// between neighbors in proportion.
fn quartiles(numbers: &mut [f64]) -> [f64; 3] {
    numbers.sort_by(f64::total_cmp);
    let last = numbers.len() - 1;
    [0.25, 0.5, 0.75].map(|part| {
        let place = part * last as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        numbers[below] + (numbers[above] - numbers[below]) * place.fract()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "these sums are exact")]
    fn quartiles_stand_between_neighbors() {
        assert_eq!(
            quartiles(&mut [5.0, 1.0, 2.0, 4.0, 3.0, 6.0]),
            [2.25, 3.5, 4.75]
        );
        assert_eq!(quartiles(&mut [7.0]), [7.0; 3]);
    }

    #[test]
    fn the_wanted_runs_are_made() {
        let effort = Effort {
            time: Duration::ZERO,
            runs: 5,
        };
        let mut calls = 0;
        // Without time there is no patience either: one run.
        let figures = measure::<()>(
            effort,
            &mut || {
                calls += 1;
                Ok(())
            },
            &mut |_| {},
        );
        assert_eq!((figures.unwrap().runs, calls), (1, 2));
        assert_eq!(measure(effort, &mut || Err("no"), &mut |_| {}), Err("no"));
    }
}
