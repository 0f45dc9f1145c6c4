//! Code for GPUs computes what the reference backend computes: random graphs, on an emulated one.
//!
//! `GIRIH_GRAPHS` says how many graphs to try: each of their launches is compiled.

use std::io::Write as _;
use std::sync::Arc;

use girih_cpu::Cpu;
use girih_cuda::device::Gpu;
use girih_cuda::driver::emulator::Emulator;
use girih_device::OnDevice;
use girih_tests::compare::{Tried, failures};
use girih_tests::direct::Direct;

/// Graphs that are tried unless `GIRIH_GRAPHS` says otherwise.
const GRAPHS: u64 = 5;

/// Most attempts to make a failing graph smaller.
const ATTEMPTS: usize = 100;

#[test]
fn random_graphs_compute_what_the_reference_does() {
    let emulator = match Emulator::new() {
        Ok(emulator) => emulator,
        Err(error) => {
            let said = format!("SKIPPED: no graph runs on an emulated gpu: {error}\n");
            // Past the test harness, which keeps what passing tests print.
            std::io::stderr()
                .write_all(said.as_bytes())
                .expect("it is open");
            return;
        }
    };
    let device = Direct::over(Gpu::over(Arc::new(emulator))).expect("it says what it is");
    let backend = OnDevice::new("cuda", device, Cpu::default());
    let backends: [Tried; 1] = [("an emulated gpu".to_owned(), Box::new(backend))];
    let graphs = std::env::var("GIRIH_GRAPHS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(GRAPHS);
    let failures = failures(&backends, 0..graphs, ATTEMPTS);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
