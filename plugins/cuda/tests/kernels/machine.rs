//! Runs generated kernels in the emulator and compares with the interpreter.

use std::io::Write as _;
use std::sync::Arc;

use girih_cuda::driver::emulator::Emulator;
use girih_cuda::driver::{Driver, Module};
use girih_cuda::run::{Bound, Places};
use girih_cuda::source::{Program, program};
use girih_graph::Extent;
use girih_plan::kernel::{Kernel, Loop};
use girih_plan::plan::{Buffer, BufferId, BufferKind, KernelLaunch, Launch, Section, Work};

use crate::case::{Case, Cases, close};
use crate::interpret::{self, Sizes};

/// Kernels of one library.
const TOGETHER: usize = 100;

impl Cases {
    /// Runs all, many of them compiled together.
    pub(crate) fn run(self) {
        let Some(emulator) = emulator() else {
            return;
        };
        for cases in self.0.chunks(TOGETHER) {
            let kernels: Vec<Kernel> = cases.iter().map(|case| case.kernel.clone()).collect();
            let all = program(&kernels, &section(&kernels)).unwrap();
            let module = emulator.compile(&all).unwrap();
            for (at, case) in cases.iter().enumerate() {
                case.check(&emulator, &all, &module, at);
            }
        }
    }
}

/// The emulator; where there is no compiler for it, that is said.
fn emulator() -> Option<Emulator> {
    Emulator::new()
        .inspect_err(|error| say(&format!("SKIPPED: kernels are not emulated: {error}")))
        .ok()
}

/// Past the test harness, which keeps what passing tests print.
fn say(what: &str) {
    std::io::stderr()
        .write_all(format!("{what}\n").as_bytes())
        .unwrap();
}

/// A section that launches every kernel once, with buffers of its own.
fn section(kernels: &[Kernel]) -> Section {
    let mut section = Section::default();
    for (at, kernel) in kernels.iter().enumerate() {
        let first = section.buffers.len() as u32;
        section
            .buffers
            .extend(kernel.buffers.iter().map(|dtype| Buffer {
                dtype: *dtype,
                elements: Extent::constant(0),
                kind: BufferKind::Bound,
            }));
        let buffers = (first..section.buffers.len() as u32)
            .map(BufferId)
            .collect();
        section.launches.push(Launch {
            work: Work::Kernel(KernelLaunch {
                kernel: at,
                buffers,
                writes: Vec::new(),
                loops: Vec::new(),
                failures: Vec::new(),
            }),
            label: String::new(),
            stops: Vec::new(),
        });
    }
    section
}

/// What one kernel makes of buffers, and the failure that it tells.
fn run(
    emulator: &Emulator,
    all: &Program,
    module: &Arc<dyn Module>,
    at: usize,
    sizes: &Sizes,
    buffers: &[Vec<u8>],
) -> (Vec<Vec<u8>>, [i64; 4]) {
    let mut one = all.clone();
    one.launches = vec![all.launches[at].clone()];
    let first = all.launches[..at]
        .iter()
        .map(|launch| launch.choices[0].arguments.iter())
        .map(|arguments| {
            arguments
                .filter(|own| matches!(own, girih_cuda::source::Argument::Buffer(_)))
                .count()
        })
        .sum::<usize>();
    let bound = Bound::new(&one, &|name| sizes.get(name).copied(), &|_| false).unwrap();
    let memory: Vec<u64> = buffers
        .iter()
        .map(|bytes| {
            let address = emulator.alloc(bytes.len() as u64).unwrap();
            // SAFETY: memory of that many bytes.
            unsafe { emulator.write(address, bytes) }.unwrap();
            address
        })
        .collect();
    let failure = emulator.alloc(32).unwrap();
    // SAFETY: memory of that many bytes.
    unsafe { emulator.write(failure, &[0; 32]) }.unwrap();
    let mut places = vec![0; first];
    places.extend(&memory);
    let places = Places {
        buffers: &places,
        scratch: 0,
        failure,
        first: 0,
    };
    for call in bound.calls(module, places) {
        // SAFETY: the buffers are as long as the interpreter needs, and end at a page's end.
        unsafe { emulator.launch(&call) }.unwrap();
    }
    let mut told = [0; 32];
    // SAFETY: memory of that many bytes.
    unsafe { emulator.read(failure, &mut told) }.unwrap();
    let mut after = buffers.to_vec();
    for (address, bytes) in memory.iter().zip(&mut after) {
        // SAFETY: memory of that many bytes.
        unsafe { emulator.read(*address, bytes) }.unwrap();
        // SAFETY: nothing uses it any more.
        unsafe { emulator.free(*address, bytes.len() as u64) };
    }
    // SAFETY: nothing uses it any more.
    unsafe { emulator.free(failure, 32) };
    let word = |at: usize| i64::from_le_bytes(told[at * 8..at * 8 + 8].try_into().unwrap());
    (after, [word(0), word(1), word(2), word(3)])
}

/// What a kernel tells of a guard that fails.
pub(crate) fn failure_of(kernel: &Kernel, sizes: &Sizes, buffers: &[Vec<u8>]) -> [i64; 4] {
    let Some(emulator) = emulator() else {
        return expected_failure(kernel, sizes, buffers);
    };
    let kernels = [kernel.clone()];
    let all = program(&kernels, &section(&kernels)).unwrap();
    let module = emulator.compile(&all).unwrap();
    run(&emulator, &all, &module, 0, sizes, buffers).1
}

/// What the interpreter tells.
fn expected_failure(kernel: &Kernel, sizes: &Sizes, buffers: &[Vec<u8>]) -> [i64; 4] {
    match interpret::run(kernel, sizes, buffers) {
        Ok(_) => [0; 4],
        Err((status, position, extent)) => [i64::from(status), position, extent, 0],
    }
}

impl Case {
    fn check(&self, emulator: &Emulator, all: &Program, module: &Arc<dyn Module>, at: usize) {
        let Self {
            name,
            kernel,
            sizes,
            buffers,
            scale,
        } = self;
        let expected = interpret::run(kernel, sizes, buffers);
        let empty = |own: &Loop| interpret::size(&own.extent, sizes) == 0;
        let (found, failure) = run(emulator, all, module, at, sizes, buffers);
        let expected = match expected {
            Ok(expected) if failure[0] == 0 => expected,
            // What only an empty loop would use may be read, and its guard may fail.
            Ok(_) if kernel.loops.iter().any(empty) => return,
            Err((status, ..)) if i64::from(status) == failure[0] => return,
            other => panic!("{name}: {failure:?}, not {:?}\n{kernel}", other.err()),
        };
        for (buffer, dtype) in kernel.buffers.iter().enumerate() {
            for position in 0..expected[buffer].len() / dtype.size() {
                let x = interpret::read(*dtype, &found[buffer], position);
                let y = interpret::read(*dtype, &expected[buffer], position);
                assert!(
                    close(*dtype, x, y, *scale),
                    "{name}: buffer {buffer}[{position}] is {x:?}, not {y:?}\n{kernel}\n{}",
                    all.text
                );
            }
        }
    }
}
