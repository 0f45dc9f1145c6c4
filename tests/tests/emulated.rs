//! Code for GPUs computes what the reference backend computes: random graphs, on an emulated one.
//!
//! `GIRIH_GRAPHS` says how many graphs to try: each of their launches is compiled.

use std::io::Write as _;
use std::sync::Arc;

use girih_cpu::Cpu;
use girih_cuda::device::{Gpu, Settings};
use girih_cuda::driver::emulator::Emulator;
use girih_cuda::run::Products;
use girih_device::OnDevice;
use girih_graph::text;
use girih_runtime::backend::{Backend, Bindings, silent};
use girih_runtime::reference::Reference;
use girih_tests::compare::{Tried, failures};
use girih_tests::direct::Direct;
use girih_tests::narrow;

/// Graphs that are tried unless `GIRIH_GRAPHS` says otherwise.
const GRAPHS: u64 = 3;

/// Most attempts to make a failing graph smaller.
const ATTEMPTS: usize = 100;

/// The backend over an emulated GPU, some of whose products are the driver's; where there is none, that is said.
fn emulated(products: Products) -> Option<OnDevice> {
    match Emulator::new() {
        Ok(emulator) => {
            let settings = Settings {
                products,
                ..Settings::default()
            };
            let device = Direct::over(Gpu::with(Arc::new(emulator), settings));
            let device = device.expect("it says what it is");
            Some(OnDevice::new("cuda", device, Cpu::default()))
        }
        Err(error) => {
            let said = format!("SKIPPED: no graph runs on an emulated gpu: {error}\n");
            // Past the test harness, which keeps what passing tests print.
            std::io::stderr()
                .write_all(said.as_bytes())
                .expect("it is open");
            None
        }
    }
}

#[test]
fn random_graphs_compute_what_the_reference_does() {
    let mut backends: Vec<Tried> = Vec::new();
    for products in [Products::Off, Products::All] {
        let Some(backend) = emulated(products) else {
            return;
        };
        let name = format!("an emulated gpu, products {products:?}");
        backends.push((name, Box::new(backend)));
    }
    let graphs = std::env::var("GIRIH_GRAPHS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(GRAPHS);
    let failures = failures(&backends, 0..graphs, ATTEMPTS);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Whole graphs whose factors have 16 bits, by the driver's products and by generated code.
#[test]
fn narrow_factors_compute_what_the_reference_does() {
    for products in [Products::Off, Products::All] {
        let Some(backend) = emulated(products) else {
            return;
        };
        narrow::check(&backend);
    }
}

/// Two keys, in one region.
const DRAWS: &str = "girih-graph 1
graph g() -> (y: f32[t=5, d=3], z: f32[t=5, d=3]) {
  %0 = random {distribution: uniform, key: \"a.b\"} : f32[t=5, d=3]
  %1 = random {distribution: normal, key: \"c\"} : f32[t=5, d=3]
  return %0, %1
}
";

#[test]
fn draws_are_those_of_the_run() {
    let Some(backend) = emulated(Products::default()) else {
        return;
    };
    let graph = text::parse(DRAWS).unwrap_or_else(|error| panic!("{error}"));
    let explained = backend.explain(&graph).expect("it has a plan");
    assert_eq!(explained.counts(), (2, 2), "{explained}");
    let own = backend.compile(&graph).expect("it compiles");
    let reference = Reference.compile(&graph).expect("it runs every graph");
    let mut seen = Vec::new();
    for (seed, step) in [(7, 0), (7, 1), (8, 0), (7, 0)] {
        let mut bindings = Bindings::new();
        (bindings.seed, bindings.step) = (seed, step);
        let drawn = |executable: &dyn girih_runtime::backend::Executable| {
            let outputs = executable.run(&bindings, &mut silent).expect("it runs");
            ["y", "z"].map(|name| {
                let tensor = outputs.results[name].data.to_host();
                tensor.expect("it is read").to_f64_vec()
            })
        };
        let (found, expected) = (drawn(&*own), drawn(&*reference));
        let pairs = found.concat().into_iter().zip(expected.concat());
        for (x, y) in pairs {
            assert!((x - y).abs() <= 1e-6, "{x} for {y}");
        }
        seen.push(found);
    }
    assert_eq!(seen[0], seen[3]);
    assert!(seen[0] != seen[1] && seen[0] != seen[2]);
}
