//! Loops that one kernel goes through.

use girih_plan::plan::{Section, Work};

use crate::host::{assert_close, emulator, noise, plan, run};

/// `S' = a·S + x ⊗ b; y = Σ_n S'·c`, cut along the features.
#[test]
fn a_selective_scan() {
    let Some(emulator) = emulator() else { return };
    for reverse in [false, true] {
        let flag = if reverse { ", reverse" } else { "" };
        let graph = format!(
            "axis t time\naxis d=70\naxis n=4\n\
             graph scan(x: f32[t, d=70], b: f32[t, n=4], c: f32[t, n=4], s: f32[d=70, n=4], a: f32[d=70, n=4]) \
             -> (last: f32[d=70, n=4], y: f32[t, d=70]) {{\n\
             %3, %4 = recurrence {{axis: t{flag}}} : f32[d=70, n=4], f32[t, d=70] {{\n\
             carry %5 = s : f32[d=70, n=4]\n\
             slice %6 = x : f32[d=70]\n\
             slice %7 = b : f32[n=4]\n\
             slice %8 = c : f32[n=4]\n\
             keep %10 = a : f32[d=70, n=4]\n\
             %11 = mul %10, %5 : f32[d=70, n=4]\n\
             %12 = tanh %11 : f32[d=70, n=4]\n\
             %14 = mul %6, %7 : f32[d=70, n=4]\n\
             %15 = add %12, %14 : f32[d=70, n=4]\n\
             %16 = contract %15, %8 {{over: n}} : f32[d=70]\n\
             return %15, %16\n}}\nreturn %3, %4\n}}\n"
        );
        let plan = plan(&graph);
        let Work::Recurrence(_) = &plan.root.launches[plan.root.launches.len() - 1].work else {
            panic!("the loop is planned as one");
        };
        for steps in [0, 1, 2, 9] {
            let mut state: Vec<f64> = (0..280).map(|at| noise("s", at)).collect();
            let mut y = vec![0.0; steps * 70];
            for step in 0..steps {
                let t = if reverse { steps - 1 - step } else { step };
                for d in 0..70 {
                    for n in 0..4 {
                        let own = &mut state[d * 4 + n];
                        let kept = (noise("a", d * 4 + n) * *own).tanh();
                        *own = kept + noise("x", t * 70 + d) * noise("b", t * 4 + n);
                        y[t * 70 + d] += *own * noise("c", t * 4 + n);
                    }
                }
            }
            let found = run(&emulator, &plan, &[("t", steps as i64)], &noise).unwrap();
            assert_close(&format!("last {steps}{flag}"), &found[0], &state);
            assert_close(&format!("y {steps}{flag}"), &found[1], &y);
        }
    }
}

/// `h' = tanh(x + W·h)`, with a product in every step and nothing to be cut along but the batch.
#[test]
fn a_recurrent_network() {
    let Some(emulator) = emulator() else { return };
    for (steps, batch) in [(1, 1), (5, 3), (3, 2)] {
        let graph = "axis t time\naxis b=BATCH\naxis d=24\naxis e=24 over d\n\
             graph rnn(x: f32[t, b=BATCH, d=24], s: f32[b=BATCH, d=24], w: f32[e=24, d=24]) \
             -> (last: f32[b=BATCH, d=24], y: f32[t, b=BATCH, d=24]) {\n\
             %3, %4 = recurrence {axis: t} : f32[b=BATCH, d=24], f32[t, b=BATCH, d=24] {\n\
             carry %5 = s : f32[b=BATCH, d=24]\n\
             slice %6 = x : f32[b=BATCH, d=24]\n\
             keep %7 = w : f32[e=24, d=24]\n\
             %8 = contract %5, %7 {over: d} : f32[b=BATCH, e=24]\n\
             %9 = rename %8 {axes: [e: d]} : f32[b=BATCH, d=24]\n\
             %10 = add %9, %6 : f32[b=BATCH, d=24]\n\
             %11 = tanh %10 : f32[b=BATCH, d=24]\n\
             return %11, %11\n}\nreturn %3, %4\n}\n";
        let plan = plan(&graph.replace("BATCH", &batch.to_string()));
        let mut state: Vec<f64> = (0..batch * 24).map(|at| noise("s", at)).collect();
        let mut y = Vec::new();
        for t in 0..steps {
            let before = state.clone();
            for b in 0..batch {
                for d in 0..24 {
                    let terms = (0..24).map(|e| noise("w", d * 24 + e) * before[b * 24 + e]);
                    let sum: f64 = terms.sum();
                    state[b * 24 + d] = (sum + noise("x", (t * batch + b) * 24 + d)).tanh();
                }
            }
            y.extend(&state);
        }
        let found = run(&emulator, &plan, &[("t", steps as i64)], &noise).unwrap();
        assert_close("last", &found[0], &state);
        assert_close("y", &found[1], &y);
    }
}

/// The same with weights and what is carried in 16 bits: the product in the loop reads them as they are.
#[test]
fn a_recurrent_network_of_sixteen_bits() {
    let Some(emulator) = emulator() else { return };
    let graph = "axis t time\naxis b=2\naxis d=24\naxis e=24 over d\n\
         graph rnn(x: bf16[t, b=2, d=24], s: bf16[b=2, d=24], w: bf16[e=24, d=24]) -> (last: bf16[b=2, d=24]) {\n\
         %3 = recurrence {axis: t} : bf16[b=2, d=24] {\n\
         carry %5 = s : bf16[b=2, d=24]\n\
         slice %6 = x : bf16[b=2, d=24]\n\
         keep %7 = w : bf16[e=24, d=24]\n\
         %8 = contract %5, %7 {over: d} : bf16[b=2, e=24]\n\
         %9 = rename %8 {axes: [e: d]} : bf16[b=2, d=24]\n\
         %10 = add %9, %6 : bf16[b=2, d=24]\n\
         %11 = tanh %10 : bf16[b=2, d=24]\n\
         return %11\n}\nreturn %3\n}\n";
    let plan = plan(graph);
    let loops = plan.root.launches.iter().filter_map(|own| match &own.work {
        Work::Recurrence(own) => Some(&own.body),
        _ => None,
    });
    let narrow = |body: &&Section| {
        let is_narrow =
            |work: &Work| matches!(work, Work::Contract(own) if own.is_narrow(&body.tensors));
        body.launches.iter().any(|own| is_narrow(&own.work))
    };
    assert_eq!(loops.filter(narrow).count(), 1, "{plan}");
    let rounded = |x: f64| f64::from(half::bf16::from_f64(x));
    let given = |name: &str, at: usize| rounded(noise(name, at));
    let mut state: Vec<f64> = (0..48).map(|at| given("s", at)).collect();
    for t in 0..3 {
        let before = state.clone();
        for b in 0..2 {
            for d in 0..24 {
                let terms = (0..24).map(|e| given("w", d * 24 + e) * before[b * 24 + e]);
                let sum = rounded(rounded(terms.sum()) + given("x", (t * 2 + b) * 24 + d));
                state[b * 24 + d] = rounded(sum.tanh());
            }
        }
    }
    let found = run(&emulator, &plan, &[("t", 3)], &given).unwrap();
    for (x, y) in found[0].iter().zip(&state) {
        // Sums in another order may be rounded to the other neighbor.
        assert!((x - y).abs() <= 0.03, "{x} for {y}");
    }
}

/// What is too much for a block is left to the host.
#[test]
fn large_products_in_loops_are_refused() {
    let graph = "axis t time\naxis b\naxis d=1024\naxis e=1024 over d\n\
         graph rnn(x: f32[t, b, d=1024], s: f32[b, d=1024], w: f32[e=1024, d=1024]) -> (y: f32[t, b, d=1024]) {\n\
         %3, %4 = recurrence {axis: t} : f32[b, d=1024], f32[t, b, d=1024] {\n\
         carry %5 = s : f32[b, d=1024]\n\
         slice %6 = x : f32[b, d=1024]\n\
         keep %7 = w : f32[e=1024, d=1024]\n\
         %8 = contract %5, %7 {over: d} : f32[b, e=1024]\n\
         %9 = rename %8 {axes: [e: d]} : f32[b, d=1024]\n\
         %10 = add %9, %6 : f32[b, d=1024]\n\
         return %10, %10\n}\nreturn %4\n}\n";
    let plan = plan(graph);
    let refused = girih_cuda::source::program(&plan.kernels, &plan.root).unwrap_err();
    assert!(refused.0.contains("too much for"), "{refused}");
}
