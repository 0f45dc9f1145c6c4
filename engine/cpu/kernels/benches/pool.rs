//! What a parallel region costs: equal bodies, one for each thread, beside one body alone.
//!
//! `cargo bench -p girih-kernels --bench pool`

mod timing;

use girih_kernels::Pool;
use std::hint::black_box;
use timing::compare;

/// Arithmetic that takes time and no memory.
fn work(steps: usize) {
    let mut value = black_box(1.000_1_f64);
    for _ in 0..steps {
        value = value.mul_add(0.999_9, 1e-9);
    }
    black_box(value);
}

fn main() {
    let threads = Pool::machine_threads();
    let pool = Pool::new(threads);
    for steps in [0, 100, 1000, 4000, 12_000, 40_000] {
        compare(
            &format!("{threads} threads, bodies of {steps} steps"),
            (threads * steps) as f64,
            "step",
            &mut [
                ("one body, no region", &mut || work(steps)),
                ("split", &mut || {
                    pool.split(threads, 1, &|range, _| range.for_each(|_| work(steps)));
                }),
                ("run", &mut || pool.run(threads, &|_, _| work(steps))),
                ("run, four items for each", &mut || {
                    pool.run(4 * threads, &|_, _| work(steps / 4));
                }),
                ("threads of the standard library", &mut || {
                    std::thread::scope(|scope| {
                        for _ in 0..threads {
                            scope.spawn(|| work(steps));
                        }
                    });
                }),
            ],
        );
    }
}
