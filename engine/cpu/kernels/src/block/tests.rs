//! Every routine of every level this machine has, against f64.
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "calls on the same memory stand under one obligation"
)]
#![expect(clippy::float_cmp, reason = "exact results are compared exactly")]

use super::double;
use crate::guarded::Guarded;
use crate::level::{Level, available};
use crate::table::{BinaryF32, FadeArguments, Routines, Seen, UnaryF32, UnaryF64, routines};

/// One f32 in so many of all bit patterns.
const EVERY: usize = 1021;

/// Numbers where functions are different: borders, specials, multiples of pi, what is next to them.
fn samples() -> Vec<f32> {
    let mut samples: Vec<f32> = (0..=u32::MAX).step_by(EVERY).map(f32::from_bits).collect();
    let special = [
        0.0,
        1.0,
        0.95,
        1.5,
        std::f32::consts::LN_2,
        std::f32::consts::SQRT_2,
        std::f32::consts::FRAC_PI_2,
        std::f32::consts::PI,
        std::f32::consts::PI * 1000.0,
        3.95,
        10.0,
        87.336_54,
        87.34,
        88.0,
        88.722_83,
        88.73,
        104.0,
        1.0e6,
        f32::MIN_POSITIVE,
        f32::EPSILON,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
        f32::from_bits(0x7fff_ffff),
        f32::from_bits(0x7fc0_00ff),
    ];
    for value in special {
        for bits in [-2, -1, 0, 1, 2] {
            let near = f32::from_bits(value.to_bits().wrapping_add_signed(bits));
            samples.extend([near, -near]);
        }
    }
    // What activations are: dense around zero.
    samples.extend((-40_000..40_000).map(|i: i32| i as f32 * 0.000_731));
    samples
}

/// Whether `y` is as close to `exact` as a routine promises: relatively by `relative`, or absolutely by `absolute`.
fn is_close(y: f32, exact: f64, relative: f64, absolute: f64) -> bool {
    if exact.is_nan() || y.is_nan() {
        return exact.is_nan() && y.is_nan();
    }
    let (greatest, least) = (f64::from(f32::MAX), f64::from(f32::MIN_POSITIVE));
    if exact.abs() > greatest * (1.0 - relative) && y.is_infinite() {
        return (y > 0.0) == (exact > 0.0);
    }
    if exact.is_infinite() {
        return false;
    }
    // A result that is no normal number may be zero.
    let flushed = if exact.abs() < least * (1.0 + relative) {
        least * (1.0 + relative)
    } else {
        0.0
    };
    (f64::from(y) - exact).abs() <= (relative * exact.abs()).max(absolute).max(flushed)
}

fn check_unary(
    pick: fn(&Routines) -> UnaryF32,
    exact: fn(f64) -> f64,
    relative: f64,
    absolute: fn(f64) -> f64,
) {
    let samples = samples();
    for level in available() {
        let routine = pick(routines(level));
        let mut results = vec![0.0; samples.len()];
        let (mut worst, mut at) = (0.0, 0.0);
        // Lengths that end in every way.
        let (mut from, mut count) = (0, 0);
        while from < samples.len() {
            let n = count.min(samples.len() - from);
            // SAFETY: the machine has the level, and `n` elements remain in both.
            unsafe { routine(samples[from..].as_ptr(), results[from..].as_mut_ptr(), n) };
            from += n;
            count = (count + 1) % 300;
        }
        for (&x, &y) in samples.iter().zip(&results) {
            let expected = exact(f64::from(x));
            let near_zero = x.is_subnormal() && is_close(y, exact(0.0), relative, 0.0);
            assert!(
                near_zero || is_close(y, expected, relative, absolute(f64::from(x))),
                "{}: f({x:e}) = {y:e}, not {expected:e}",
                level.name()
            );
            let error = (f64::from(y) - expected).abs() / expected.abs();
            if expected.abs() > 1e-37 && absolute(f64::from(x)) == 0.0 && error > worst {
                (worst, at) = (error, x);
            }
        }
        if std::env::var_os("GIRIH_SHOW_ERRORS").is_some() {
            #[expect(clippy::print_stderr, reason = "shown when asked for")]
            {
                eprintln!("{} worst {worst:.2e} at {at:e}", level.name());
            }
        }
        // In place gives the same bits.
        let mut in_place = samples.clone();
        // SAFETY: `y` may equal `x`.
        unsafe { routine(in_place.as_ptr(), in_place.as_mut_ptr(), in_place.len()) };
        let same = in_place
            .iter()
            .zip(&results)
            .all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan());
        assert!(same, "{} in place", level.name());
    }
}

/// No absolute error is accepted.
fn none(_: f64) -> f64 {
    0.0
}

#[test]
fn exp_is_accurate() {
    check_unary(|r| r.exp_f32, f64::exp, 2e-7, none);
}

#[test]
fn log_is_accurate() {
    check_unary(|r| r.log_f32, f64::ln, 4e-7, none);
}

#[test]
fn log1p_is_accurate() {
    check_unary(|r| r.log1p_f32, f64::ln_1p, 4e-7, none);
}

#[test]
fn sin_and_cos_are_accurate() {
    check_unary(|r| r.sin_f32, f64::sin, 4e-7, none);
    check_unary(|r| r.cos_f32, f64::cos, 4e-7, none);
}

#[test]
fn tanh_is_accurate() {
    check_unary(|r| r.tanh_f32, f64::tanh, 4e-7, none);
}

#[test]
fn sigmoid_is_accurate() {
    check_unary(|r| r.sigmoid_f32, double::sigmoid, 4e-7, none);
}

#[test]
fn erf_is_accurate() {
    check_unary(|r| r.erf_f32, libm::erf, 4e-7, none);
}

#[test]
fn softplus_is_accurate() {
    check_unary(|r| r.softplus_f32, double::softplus, 4e-7, none);
}

#[test]
fn gated_functions_are_accurate() {
    // Where the sigmoid is no normal number, it is zero.
    check_unary(
        |r| r.silu_f32,
        double::silu,
        4e-7,
        |x| f64::from(f32::MIN_POSITIVE) * x.abs().min(100.0),
    );
    // The exponent is a product of x with a rounded polynomial: its relative error counts absolutely.
    check_unary(
        |r| r.gelu_tanh_f32,
        double::gelu_tanh,
        4e-7,
        |x| 2e-7 * x.abs().min(10.0),
    );
    // One plus a number near minus one: the sum's last bit counts.
    check_unary(
        |r| r.gelu_erf_f32,
        double::gelu_erf,
        4e-7,
        |x| 2e-7 * x.abs().min(10.0),
    );
}

fn check_binary(
    pick: fn(&Routines) -> BinaryF32,
    exact: fn(f64, f64) -> f64,
    pairs: &[(f32, f32)],
) {
    let (x, y): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
    for level in available() {
        let routine = pick(routines(level));
        let mut z = vec![0.0; x.len()];
        // SAFETY: the machine has the level; all three have as many elements.
        unsafe { routine(x.as_ptr(), y.as_ptr(), z.as_mut_ptr(), z.len()) };
        for (&(x, y), &z) in pairs.iter().zip(&z) {
            let expected = exact(f64::from(x), f64::from(y));
            assert!(
                is_close(z, expected, 4e-7, 0.0) || x.is_subnormal() || y.is_subnormal(),
                "{}: f({x:e}, {y:e}) = {z:e}, not {expected:e}",
                level.name()
            );
        }
        for in_place in [&x, &y] {
            let mut third = in_place.clone();
            let (left, right) = (x.as_ptr(), y.as_ptr());
            let to = third.as_mut_ptr();
            let (left, right) = if std::ptr::eq(in_place, &raw const x) {
                (to.cast_const(), right)
            } else {
                (left, to.cast_const())
            };
            // SAFETY: `z` may equal `x` or `y`.
            unsafe { routine(left, right, to, third.len()) };
            let same = third
                .iter()
                .zip(&z)
                .all(|(a, b)| a == b || a.is_nan() && b.is_nan());
            assert!(same, "{} in place", level.name());
        }
    }
}

#[test]
fn pow_is_accurate() {
    let mut pairs = Vec::new();
    let special = [
        0.0,
        1.0,
        2.0,
        3.0,
        0.5,
        1.5,
        7.0,
        1e-3,
        100.0,
        1e30,
        1e-30,
        4_194_305.0,
        1.0e9,
        f32::MAX,
        f32::MIN_POSITIVE,
        f32::INFINITY,
        f32::NAN,
        1.000_000_1,
        0.999_999_9,
    ];
    for x in special {
        for y in special {
            pairs.extend([(x, y), (-x, y), (x, -y), (-x, -y)]);
        }
    }
    for i in 0..20_000_u32 {
        let bits = |factor: u32| (i.wrapping_mul(factor) >> 8) as f32 / 16_777_216.0;
        let (u, v) = (bits(2_654_435_769), bits(2_246_822_519));
        pairs.push(((u * 180.0 - 90.0).exp2(), v * 2.0 - 1.0));
        pairs.push((u * 4.0 + 0.01, v * 60.0 - 30.0));
        pairs.push((-u * 4.0 - 0.01, (v * 20.0 - 10.0).round()));
    }
    check_binary(|r| r.pow_f32, f64::powf, &pairs);
}

#[test]
fn silu_mul_is_accurate() {
    let pairs: Vec<(f32, f32)> = (0..5000)
        .map(|i| (i as f32 * 0.02 - 50.0, (i % 37) as f32 - 18.5))
        .chain([(f32::NAN, 1.0), (1.0, f32::NAN), (f32::INFINITY, 2.0)])
        .collect();
    check_binary(|r| r.silu_mul_f32, |x, y| double::silu(x) * y, &pairs);
}

/// Reductions of numbers with rounding in them, for every length up to some and a few long ones.
fn check_reductions(level: Level) {
    let table = routines(level);
    let values: Vec<f32> = (0..20_011_u32)
        .map(|i| (i.wrapping_mul(2_654_435_769) >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect();
    let other: Vec<f32> = values.iter().map(|v| 0.3 - v * v).collect();
    for n in (0..300).chain([4095, 4096, 4097, 8192, 12_289, 20_011]) {
        let (x, y) = (&values[..n], &other[..n]);
        let wide = || x.iter().map(|&v| f64::from(v));
        let both = || wide().zip(y.iter().map(|&v| f64::from(v)));
        let close = |name: &str, result: f32, exact: f64, size: f64| {
            let error = (f64::from(result) - exact).abs();
            assert!(
                error <= 1e-6 * size,
                "{} {name} of {n}: {result}, not {exact}",
                level.name()
            );
        };
        let wide_x: Vec<f64> = wide().collect();
        let near_one: Vec<f32> = x.iter().map(|v| 1.0 + v / 64.0).collect();
        let mut exps = vec![0.0; n];
        let (p, q, w) = (x.as_ptr(), y.as_ptr(), wide_x.as_ptr());
        // SAFETY: the machine has the level, and `n` elements are everywhere.
        let (sum, squares, dot, max, min, product, exp_sum) = unsafe {
            (
                (table.sum_f32)(p, n),
                (table.sum_squares_f32)(p, n),
                (table.dot_f32)(p, q, n),
                (table.max_f32)(p, n),
                (table.min_f32)(p, n),
                (table.prod_f32)(near_one.as_ptr(), n),
                (table.exp_sum_f32)(p, exps.as_mut_ptr(), n, 0.75),
            )
        };
        close("sum", sum, wide().sum(), wide().map(f64::abs).sum());
        let exact_squares: f64 = wide().map(|v| v * v).sum();
        close("sum_squares", squares, exact_squares, exact_squares);
        let size: f64 = both().map(|(a, b)| (a * b).abs()).sum();
        close("dot", dot, both().map(|(a, b)| a * b).sum(), size);
        assert_eq!(max, x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        assert_eq!(min, x.iter().copied().fold(f32::INFINITY, f32::min));
        let exact: f64 = near_one.iter().map(|&v| f64::from(v)).product();
        close("prod", product, exact, exact * n.max(1) as f64 / 8.0);
        let exact: f64 = wide().map(|v| (v - 0.75).exp()).sum();
        close("exp_sum", exp_sum, exact, exact);
        for (&e, v) in exps.iter().zip(wide()) {
            assert!(is_close(e, (v - 0.75).exp(), 3e-7, 0.0));
        }
        // SAFETY: as above.
        let (sum, squares, max) = unsafe {
            (
                (table.sum_f64)(w, n),
                (table.dot_f64)(w, w, n),
                (table.max_f64)(w, n),
            )
        };
        assert!((sum - wide().sum::<f64>()).abs() < 1e-9);
        assert!((squares - exact_squares).abs() < 1e-9);
        assert_eq!(max, wide().fold(f64::NEG_INFINITY, f64::max));
    }
}

#[test]
fn reductions_are_accurate() {
    for level in available() {
        check_reductions(level);
    }
}

#[test]
fn one_nan_is_enough() {
    for level in available() {
        let table = routines(level);
        for n in [1, 5, 16, 17, 64, 100, 4097] {
            for at in [0, n / 2, n - 1] {
                let mut x = vec![1.0_f32; n];
                x[at] = f32::NAN;
                let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
                let mut y = vec![0.0; n];
                // SAFETY: the machine has the level, and `n` elements are there.
                let results = unsafe {
                    [
                        (table.sum_f32)(x.as_ptr(), n),
                        (table.max_f32)(x.as_ptr(), n),
                        (table.min_f32)(x.as_ptr(), n),
                        (table.prod_f32)(x.as_ptr(), n),
                        (table.dot_f32)(x.as_ptr(), y.as_ptr(), n),
                        (table.sum_squares_f32)(x.as_ptr(), n),
                        (table.exp_sum_f32)(x.as_ptr(), y.as_mut_ptr(), n, 0.0),
                        (table.max_f64)(wide.as_ptr(), n) as f32,
                        (table.min_f64)(wide.as_ptr(), n) as f32,
                        (table.prod_f64)(wide.as_ptr(), n) as f32,
                    ]
                };
                assert!(
                    results.iter().all(|r| r.is_nan()),
                    "{} {n} {at}: {results:?}",
                    level.name()
                );
            }
        }
    }
}

#[test]
fn half_precision_is_exact() {
    let halves: Vec<u16> = (0..=u16::MAX).collect();
    for level in available() {
        let table = routines(level);
        let mut wide = vec![0.0_f32; halves.len()];
        let mut back = vec![0_u16; halves.len()];
        // SAFETY: the machine has the level; as many elements everywhere. The odd first element shifts the tail.
        unsafe {
            (table.f16_to_f32)(halves.as_ptr(), wide.as_mut_ptr(), 1);
            (table.f16_to_f32)(
                halves[1..].as_ptr(),
                wide[1..].as_mut_ptr(),
                halves.len() - 1,
            );
            (table.f32_to_f16)(wide.as_ptr(), back.as_mut_ptr(), 3);
            (table.f32_to_f16)(wide[3..].as_ptr(), back[3..].as_mut_ptr(), halves.len() - 3);
        }
        for (&half, (&value, &again)) in halves.iter().zip(wide.iter().zip(&back)) {
            let exponent = i32::from(half >> 10 & 0x1f);
            let mantissa = f64::from(half & 0x3ff);
            let size = match exponent {
                0 => mantissa * 2.0_f64.powi(-24),
                31 if mantissa == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1.0 + mantissa / 1024.0) * 2.0_f64.powi(exponent - 15),
            };
            assert!(value.is_nan() == size.is_nan(), "{half:x}");
            if size.is_nan() {
                assert_eq!(again & 0x7e00, 0x7e00);
            } else {
                assert_eq!(f64::from(value.abs()), size, "{} {half:x}", level.name());
                assert_eq!(value.is_sign_negative(), half >= 0x8000);
                assert_eq!(again, half, "{}", level.name());
            }
        }
        // Between two halves: to nearest, ties to even.
        for pair in wide
            .windows(2)
            .filter(|pair| pair[1].is_finite() && pair[0].signum() == pair[1].signum())
        {
            let half = |value: f32| {
                let mut half = 0;
                // SAFETY: the machine has the level; one element each.
                unsafe { (table.f32_to_f16)(&raw const value, &raw mut half, 1) };
                half
            };
            let (low, high) = (half(pair[0]), half(pair[1]));
            let middle = f32::midpoint(pair[0], pair[1]);
            assert_eq!(
                half(middle),
                if low % 2 == 0 { low } else { high },
                "{} {middle:e}",
                level.name()
            );
            assert_eq!(
                half(middle.next_up()),
                if middle > 0.0 { high } else { low },
                "{middle:e}"
            );
            assert_eq!(
                half(middle.next_down()),
                if middle > 0.0 { low } else { high },
                "{middle:e}"
            );
        }
    }
}

#[test]
fn bf16_rounds_to_nearest_even() {
    for level in available() {
        let table = routines(level);
        for value in samples() {
            let (mut narrow, mut wide) = (0_u16, 0_f32);
            // SAFETY: the machine has the level; one element each.
            unsafe {
                (table.f32_to_bf16)(&raw const value, &raw mut narrow, 1);
                (table.bf16_to_f32)(&raw const narrow, &raw mut wide, 1);
            }
            assert_eq!(wide.to_bits(), u32::from(narrow) << 16);
            if value.is_nan() {
                assert!(wide.is_nan());
                continue;
            }
            let below = value.to_bits() >> 16;
            let rest = value.to_bits() & 0xffff;
            let up = rest > 0x8000 || rest == 0x8000 && below % 2 == 1;
            assert_eq!(u32::from(narrow), below + u32::from(up), "{value:e}");
        }
    }
}

#[test]
fn strides_go_everywhere() {
    let source: Vec<f32> = (0..100).map(|i| i as f32).collect();
    for level in available() {
        let table = routines(level);
        for (start, stride, n) in [
            (0, 1, 100),
            (0, 3, 33),
            (99, -1, 100),
            (98, -7, 14),
            (5, 0, 9),
            (5, 4, 0),
        ] {
            let mut gathered = vec![0.0; n];
            let mut scattered = vec![-1.0; 100];
            // SAFETY: the machine has the level; starts, strides and counts stay within 100 elements.
            unsafe {
                (table.strided_gather_f32)(
                    source[start..].as_ptr(),
                    stride,
                    gathered.as_mut_ptr(),
                    n,
                );
                (table.strided_scatter_f32)(
                    source.as_ptr(),
                    scattered.as_mut_ptr().add(start),
                    stride,
                    n,
                );
            }
            for (i, &value) in gathered.iter().enumerate() {
                let at = start.wrapping_add_signed(i as isize * stride);
                assert_eq!(value, at as f32);
                let last = if stride == 0 { n - 1 } else { i };
                assert_eq!(scattered[at], last as f32);
            }
        }
        let mut y = source.clone();
        // SAFETY: the machine has the level; 100 elements.
        unsafe { (table.scale_f32)(y.as_mut_ptr(), 3.0, 100) };
        assert!(y.iter().zip(&source).all(|(y, x)| *y == x * 3.0));
    }
}

#[test]
fn doubles_are_the_standard_library_s() {
    /// A routine, and what it computes.
    type Case = (fn(&Routines) -> UnaryF64, fn(f64) -> f64);
    let cases: [Case; 6] = [
        (|r| r.exp_f64, f64::exp),
        (|r| r.log_f64, f64::ln),
        (|r| r.tanh_f64, f64::tanh),
        (|r| r.erf_f64, libm::erf),
        (|r| r.softplus_f64, double::softplus),
        (
            |r| r.gelu_tanh_f64,
            |x| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh()),
        ),
    ];
    let x: Vec<f64> = (-100..=100)
        .map(|i| f64::from(i) * 0.07)
        .chain([f64::NAN])
        .collect();
    for level in available() {
        for (pick, exact) in cases {
            let mut y = vec![0.0; x.len()];
            // SAFETY: the machine has the level; as many elements in both.
            unsafe { pick(routines(level))(x.as_ptr(), y.as_mut_ptr(), x.len()) };
            for (&x, &y) in x.iter().zip(&y) {
                let exact = exact(x);
                assert!(
                    (y - exact).abs() <= 1e-14 * exact.abs().max(1.0)
                        || exact == y
                        || exact.is_nan() && y.is_nan(),
                    "{x}: {y} {exact}"
                );
            }
        }
    }
}

/// Runs every routine of a level on `n` elements that touch pages nobody may access.
fn check_touches(level: Level, n: usize, at_end: bool) {
    let table = routines(level);
    let (mut x, mut y, mut z) = (
        Guarded::<f32>::new(n, at_end),
        Guarded::<f32>::new(n, at_end),
        Guarded::<f32>::new(n, at_end),
    );
    let (mut u, mut v) = (
        Guarded::<f64>::new(n, at_end),
        Guarded::<f64>::new(n, at_end),
    );
    let mut half = Guarded::<u16>::new(n, at_end);
    let (x, y, z) = (
        x.elements().as_mut_ptr(),
        y.elements().as_mut_ptr(),
        z.elements().as_mut_ptr(),
    );
    let (u, v, half) = (
        u.elements().as_mut_ptr(),
        v.elements().as_mut_ptr(),
        half.elements().as_mut_ptr(),
    );
    let unary = [
        table.exp_f32,
        table.log_f32,
        table.log1p_f32,
        table.sin_f32,
        table.cos_f32,
        table.tanh_f32,
        table.sigmoid_f32,
        table.erf_f32,
        table.silu_f32,
        table.gelu_erf_f32,
        table.gelu_tanh_f32,
        table.softplus_f32,
    ];
    // SAFETY: the machine has the level, and `n` elements are everywhere.
    unsafe {
        for routine in unary {
            routine(x, y, n);
        }
        for routine in [table.pow_f32, table.silu_mul_f32] {
            routine(x, y, z, n);
        }
        for routine in [
            table.sum_f32,
            table.max_f32,
            table.min_f32,
            table.prod_f32,
            table.sum_squares_f32,
        ] {
            routine(x, n);
        }
        for routine in [table.sum_f64, table.max_f64, table.prod_f64] {
            routine(u, n);
        }
        (table.dot_f32)(x, y, n);
        (table.dot_f64)(u, v, n);
        (table.exp_f64)(u, v, n);
        (table.pow_f64)(u, v, u, n);
        (table.exp_sum_f32)(x, y, n, 1.0);
        (table.scale_f32)(x, 2.0, n);
        (table.f32_to_f16)(x, half, n);
        (table.f16_to_f32)(half, y, n);
        (table.f32_to_bf16)(x, half, n);
        (table.bf16_to_f32)(half, y, n);
        (table.strided_gather_f32)(x, 1, y, n);
        (table.strided_scatter_f32)(x, y, 1, n);
    }
}

#[test]
fn routines_touch_nothing_else() {
    for level in available() {
        for n in (0..70).chain([127, 128, 129, 1000]) {
            check_touches(level, n, true);
            check_touches(level, n, false);
        }
    }
}

/// A step of a linear recurrence with every choice, beside plain loops in f64.
#[test]
fn fading_states_are_accurate() {
    for level in available() {
        for (rows, columns) in [(0, 5), (1, 1), (3, 16), (5, 37), (4, 64), (2, 131)] {
            for choice in 0..144 {
                check_fade(level, rows, columns, choice);
            }
        }
    }
}

fn check_fade(level: Level, rows: usize, columns: usize, choice: usize) {
    let seen = [Seen::Before, Seen::After, Seen::Nothing][choice % 3];
    let (exponential, writes) = (choice / 3 % 2 == 1, choice / 6 % 2 == 1);
    let adds = choice % 24 < 12;
    let (three, more, fades) = (choice / 24 % 3 == 1, choice / 24 % 3 == 2, choice < 72);
    // The routine's caller has exponentials only where the state is written.
    let exponential = exponential && writes;
    let bonus = more && seen == Seen::Before && writes && !exponential;
    let numbers = |count: usize, salt: usize| -> Vec<f32> {
        let number = |at: usize| ((at * 37 + salt * 11) % 101) as f32 / 60.0 - 0.8;
        (0..count).map(number).collect()
    };
    // Rows lie apart, and what is alike in all rows has no distance.
    let apart = columns + 3;
    let before = numbers(rows * apart, 1);
    let mut state = Guarded::<f32>::new(rows * apart, choice.is_multiple_of(2));
    state.elements().copy_from_slice(&before);
    let (rates, times) = (numbers(rows * apart, 2), numbers(columns, 3));
    let (fade, k, x) = (numbers(1, 4), numbers(rows * 2, 5), numbers(columns, 6));
    let q = numbers(rows, 7);
    let (then, gain, extra) = (numbers(columns, 8), numbers(columns, 9), numbers(rows, 10));
    let some = |there: bool, numbers: &[f32]| {
        if there {
            numbers.as_ptr()
        } else {
            std::ptr::null()
        }
    };
    let mut out = Guarded::<f32>::new(columns, true);
    let arguments = FadeArguments {
        rows,
        columns,
        state: state.elements().as_mut_ptr(),
        state_row: apart as isize,
        fade: some(fades, &fade),
        fade_row: 0,
        rates: some(exponential, &rates),
        rates_row: apart as isize,
        times: times.as_ptr(),
        k: some(adds, &k),
        k_row: 2,
        x: x.as_ptr(),
        then: some(three, &then),
        bonus: some(bonus, &extra),
        bonus_row: 1,
        gain: gain.as_ptr(),
        q: q.as_ptr(),
        q_row: 1,
        out: out.elements().as_mut_ptr(),
        seen,
        writes: u64::from(writes),
    };
    // SAFETY: the machine has the level, and everything named is as long as the shapes say.
    unsafe { (routines(level).fade_f32)(&raw const arguments) };
    let mut sums = vec![0.0_f64; columns];
    for row in 0..rows {
        for column in 0..columns {
            let at = row * apart + column;
            let old = f64::from(before[at]);
            let fades = if exponential {
                f64::from(times[column] * rates[at]).exp()
            } else if fades {
                f64::from(fade[0])
            } else {
                1.0
            };
            let factor = if three { f64::from(then[column]) } else { 1.0 };
            let added = f64::from(k[row * 2]) * f64::from(x[column]) * factor;
            let new = fades * old + if adds { added } else { 0.0 };
            let found = f64::from(state.elements()[at]);
            let wanted = if writes { new } else { old };
            assert!(
                (found - wanted).abs() < 1e-5,
                "{level:?} {choice}: {found} for {wanted}"
            );
            let more = f64::from(extra[row]) * f64::from(gain[column]);
            let old = if bonus { old + more } else { old };
            let read = if seen == Seen::After { new } else { old };
            sums[column] += f64::from(q[row]) * read;
        }
        let rest = row * apart + columns..(row + 1) * apart;
        assert_eq!(
            state.elements()[rest.clone()],
            before[rest],
            "{level:?} {choice}"
        );
    }
    for (found, wanted) in out.elements().iter().zip(sums) {
        let wanted = if seen == Seen::Nothing { 0.0 } else { wanted };
        assert!(
            (f64::from(*found) - wanted).abs() < 1e-5,
            "{level:?} {choice}: {found} for {wanted}"
        );
    }
}
