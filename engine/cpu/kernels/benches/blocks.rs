//! Blocks of elementwise functions and reductions: levels beside each other and beside a plain copy or read.
//!
//! `cargo bench -p girih-kernels --bench blocks -- [part of a name]`
#![expect(unsafe_code, reason = "blocks are pointers and counts")]

mod timing;

use girih_kernels::level::available;
use girih_kernels::table::{ReduceF32, Routines, UnaryF32};
use girih_kernels::{Level, routines};
use timing::{Alternative, compare};

/// A routine's name, and the routine of a level.
type Routine<F> = (&'static str, fn(&Routines) -> F);

/// One way to do the work, owned.
type Way<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Elements of a block that stays in the first-level cache.
const BLOCK: usize = 2048;

/// Times `run` for every level, the best first, and `limit` after them.
fn levels<'a>(name: &str, run: &'a dyn Fn(Level), limit: &str, limit_run: &'a mut dyn FnMut()) {
    let mut ways: Vec<Way> = Vec::new();
    for level in available().into_iter().rev() {
        ways.push((level.name(), Box::new(move || run(level))));
    }
    ways.push((limit, Box::new(limit_run)));
    let mut alternatives: Vec<Alternative> = ways
        .iter_mut()
        .map(|(name, run)| -> Alternative { (name, run) })
        .collect();
    compare(name, BLOCK as f64, "element", &mut alternatives);
}

fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with('-'))
        .unwrap_or_default();
    let x: Vec<f32> = (0..BLOCK).map(|i| (i as f32 - 1000.0) * 0.004).collect();
    let positive: Vec<f32> = x.iter().map(|v| v.abs() + 0.01).collect();
    let unary: [Routine<UnaryF32>; 12] = [
        ("exp", |r| r.exp_f32),
        ("log", |r| r.log_f32),
        ("log1p", |r| r.log1p_f32),
        ("sin", |r| r.sin_f32),
        ("cos", |r| r.cos_f32),
        ("tanh", |r| r.tanh_f32),
        ("sigmoid", |r| r.sigmoid_f32),
        ("erf", |r| r.erf_f32),
        ("silu", |r| r.silu_f32),
        ("gelu_erf", |r| r.gelu_erf_f32),
        ("gelu_tanh", |r| r.gelu_tanh_f32),
        ("softplus", |r| r.softplus_f32),
    ];
    for (name, pick) in unary.into_iter().filter(|(name, _)| name.contains(&wanted)) {
        let x = if name.starts_with("log") {
            &positive
        } else {
            &x
        };
        let y = std::cell::RefCell::new(vec![0.0_f32; BLOCK]);
        let run = |level: Level| {
            let mut y = y.borrow_mut();
            // SAFETY: the level is available; as many elements in both.
            unsafe { pick(routines(level))(x.as_ptr(), y.as_mut_ptr(), BLOCK) };
        };
        let mut copy = vec![0.0_f32; BLOCK];
        let mut scalar = || {
            for (y, x) in copy.iter_mut().zip(x) {
                *y = if name.starts_with("log") {
                    x.ln()
                } else {
                    x.exp()
                };
            }
            std::hint::black_box(&mut copy);
        };
        levels(name, &run, "standard library's exp or log", &mut scalar);
    }
    let reductions: [Routine<ReduceF32>; 5] = [
        ("sum", |r| r.sum_f32),
        ("max", |r| r.max_f32),
        ("min", |r| r.min_f32),
        ("prod", |r| r.prod_f32),
        ("sum_squares", |r| r.sum_squares_f32),
    ];
    for (name, pick) in reductions
        .into_iter()
        .filter(|(name, _)| name.contains(&wanted))
    {
        let run = |level: Level| {
            // SAFETY: the level is available.
            std::hint::black_box(unsafe { pick(routines(level))(positive.as_ptr(), BLOCK) });
        };
        levels(name, &run, "plain sum", &mut || {
            std::hint::black_box(std::hint::black_box(&positive).iter().sum::<f32>());
        });
    }
    let mut to = vec![0.0_f32; BLOCK];
    let half: Vec<u16> = (0..BLOCK as u16).collect();
    if "f16_to_f32".contains(&wanted) {
        let y = std::cell::RefCell::new(vec![0.0_f32; BLOCK]);
        let run = |level: Level| {
            let mut y = y.borrow_mut();
            // SAFETY: the level is available; as many elements in both.
            unsafe { (routines(level).f16_to_f32)(half.as_ptr(), y.as_mut_ptr(), BLOCK) };
        };
        levels("f16_to_f32", &run, "copy of the results", &mut || {
            to.copy_from_slice(std::hint::black_box(&x));
        });
    }
    if "exp_sum".contains(&wanted) {
        let y = std::cell::RefCell::new(vec![0.0_f32; BLOCK]);
        let run = |level: Level| {
            let mut y = y.borrow_mut();
            // SAFETY: the level is available; as many elements in both.
            std::hint::black_box(unsafe {
                (routines(level).exp_sum_f32)(x.as_ptr(), y.as_mut_ptr(), BLOCK, 0.5)
            });
        };
        levels("exp_sum", &run, "copy", &mut || {
            to.copy_from_slice(std::hint::black_box(&x));
        });
    }
    if "pow".contains(&wanted) {
        let y = std::cell::RefCell::new(vec![0.0_f32; BLOCK]);
        let run = |level: Level| {
            let mut y = y.borrow_mut();
            let (x, exponents) = (positive.as_ptr(), x.as_ptr());
            // SAFETY: the level is available; as many elements in all three.
            unsafe { (routines(level).pow_f32)(x, exponents, y.as_mut_ptr(), BLOCK) };
        };
        levels("pow", &run, "standard library", &mut || {
            for ((to, x), y) in to.iter_mut().zip(&positive).zip(&x) {
                *to = x.powf(*y);
            }
        });
    }
}
