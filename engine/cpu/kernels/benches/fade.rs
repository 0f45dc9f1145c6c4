//! Steps of linear recurrences beside their multiply-adds alone.
//!
//! `cargo bench -p girih-kernels --bench fade -- [part of a name]`
#![expect(unsafe_code, reason = "routines are pointers and counts")]

mod timing;

use std::hint::black_box;
use std::ptr::null;

use girih_kernels::level::available;
use girih_kernels::table::{FadeArguments, Routines, Seen};
use girih_kernels::{Level, routines};
use timing::{Alternative, compare};

/// Rows and columns of a head's state.
const WIDE: usize = 64;

/// One way to do the work, owned.
type Way<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Steps of one run.
const STEPS: usize = 256;

/// A state as runs lay it out: on the border of a line of the cache.
#[repr(align(64))]
struct State([f32; WIDE * WIDE]);

/// What the steps read: `STEPS` rows each.
struct Inputs {
    q: Vec<f32>,
    k: Vec<f32>,
    x: Vec<f32>,
    decay: Vec<f32>,
    bonus: Vec<f32>,
}

/// One step: its arguments without what each step has of its own.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// Multiply-adds for each element of the state.
    work: usize,
    fades: bool,
    bonus: bool,
    seen: Seen,
    /// Also adds to it.
    writes: bool,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "fades, adds, reads with a bonus",
        work: 3,
        fades: true,
        bonus: true,
        seen: Seen::Before,
        writes: true,
    },
    Kind {
        name: "fades, adds, reads",
        work: 3,
        fades: true,
        bonus: false,
        seen: Seen::After,
        writes: true,
    },
    Kind {
        name: "adds, reads",
        work: 2,
        fades: false,
        bonus: false,
        seen: Seen::After,
        writes: true,
    },
    Kind {
        name: "reads",
        work: 1,
        fades: false,
        bonus: false,
        seen: Seen::Before,
        writes: false,
    },
];

fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with('-'))
        .unwrap_or_default();
    let numbers = |salt: usize| -> Vec<f32> {
        let number = |at: usize| ((at * 37 + salt * 11) % 101) as f32 / 60.0 - 0.8;
        (0..STEPS * WIDE).map(number).collect()
    };
    let inputs = Inputs {
        q: numbers(1),
        k: numbers(2),
        x: numbers(3),
        decay: vec![0.9; STEPS * WIDE],
        bonus: numbers(4),
    };
    for kind in KINDS.iter().filter(|kind| kind.name.contains(&wanted)) {
        measure(kind, &inputs);
    }
}

fn measure(kind: &Kind, inputs: &Inputs) {
    let mut ways: Vec<Way> = Vec::new();
    for level in available().into_iter().rev() {
        let mut state = Box::new(State([0.0; WIDE * WIDE]));
        let mut out = vec![0.0; STEPS * WIDE];
        let run = move || {
            steps(routines(level), kind, inputs, (&mut state.0, &mut out));
            black_box((&mut state, &mut out));
        };
        ways.push((level.name(), Box::new(run)));
    }
    let work = STEPS * WIDE * WIDE * kind.work;
    if available().contains(&Level::Avx512) {
        ways.push(("multiply-adds alone", Box::new(move || alone(work))));
    }
    let mut alternatives: Vec<Alternative> = ways
        .iter_mut()
        .map(|(name, run)| -> Alternative { (name, run) })
        .collect();
    compare(kind.name, work as f64, "multiply-add", &mut alternatives);
}

fn steps(table: &Routines, kind: &Kind, inputs: &Inputs, (state, out): (&mut [f32], &mut [f32])) {
    let some = |there: bool, numbers: &[f32]| if there { numbers.as_ptr() } else { null() };
    for (step, out) in out.chunks_exact_mut(WIDE).enumerate() {
        let own = step * WIDE..(step + 1) * WIDE;
        let arguments = FadeArguments {
            rows: WIDE,
            columns: WIDE,
            state: state.as_mut_ptr(),
            state_row: WIDE as isize,
            fade: some(kind.fades, &inputs.decay[own.clone()]),
            fade_row: 1,
            rates: null(),
            rates_row: 0,
            times: null(),
            k: some(kind.writes, &inputs.k[own.clone()]),
            k_row: 1,
            x: inputs.x[own.clone()].as_ptr(),
            then: null(),
            bonus: some(kind.bonus, &inputs.bonus[own.clone()]),
            bonus_row: 1,
            gain: inputs.x[own.clone()].as_ptr(),
            q: inputs.q[own].as_ptr(),
            q_row: 1,
            out: out.as_mut_ptr(),
            seen: kind.seen,
            writes: u64::from(kind.writes),
        };
        // SAFETY: the level is available, and everything named is as long as the shapes say.
        unsafe { (table.fade_f32)(&raw const arguments) };
    }
}

/// So many multiply-adds, none of which waits for another for long.
fn alone(work: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller found the level available.
    unsafe {
        wide(work / 16);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = work;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn wide(vectors: usize) {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    let mut sums = [_mm512_set1_ps(0.0); 16];
    let (x, y) = (
        _mm512_set1_ps(black_box(0.5)),
        _mm512_set1_ps(black_box(0.25)),
    );
    for _ in 0..vectors / 16 {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(x, y, *sum);
        }
    }
    black_box(sums);
}
