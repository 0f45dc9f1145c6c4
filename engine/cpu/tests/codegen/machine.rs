//! Runs compiled kernels on buffers that end where forbidden memory begins, and compares with
//! the interpreter.

use girih_cpu::codegen::{Code, CodeOptions, CompiledKernel, KernelFailure};
use girih_kernels::level;
use girih_plan::kernel::{Kernel, Loop};

use crate::case::{Cases, close};
use crate::interpret::{self, Sizes};

/// Memory of whole pages with forbidden pages around; what is in it ends at its end.
struct Fenced {
    map: *mut u8,
    length: usize,
    start: usize,
    count: usize,
}

const PAGE: usize = 4096;

impl Fenced {
    fn new(bytes: &[u8], at_end: bool) -> Self {
        let inside = bytes.len().div_ceil(PAGE).max(1) * PAGE;
        let length = inside + 2 * PAGE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, anywhere.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED);
        let map = map.cast::<u8>();
        for offset in [0, inside + PAGE] {
            // SAFETY: a page of the mapping.
            let page = unsafe { map.add(offset) };
            // SAFETY: as above; nothing lies in it.
            let done = unsafe { libc::mprotect(page.cast(), PAGE, libc::PROT_NONE) };
            assert_eq!(done, 0);
        }
        let start = PAGE + if at_end { inside - bytes.len() } else { 0 };
        let fenced = Self {
            map,
            length,
            start,
            count: bytes.len(),
        };
        // SAFETY: the bytes lie inside of the writable pages.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), fenced.first(), bytes.len()) };
        fenced
    }

    fn first(&self) -> *mut u8 {
        // SAFETY: inside of the mapping.
        unsafe { self.map.add(self.start) }
    }

    fn bytes(&self) -> Vec<u8> {
        // SAFETY: so many bytes lie there, and nobody else uses them.
        unsafe { std::slice::from_raw_parts(self.first(), self.count) }.to_vec()
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, which nothing uses any more.
        unsafe { libc::munmap(self.map.cast(), self.length) };
    }
}

/// What the compiled kernel writes, its points run in `pieces` calls.
pub(crate) fn run_compiled(
    kernel: &CompiledKernel,
    sizes: &Sizes,
    buffers: &[Vec<u8>],
    pieces: usize,
    at_end: bool,
) -> Result<Vec<Vec<u8>>, KernelFailure> {
    let values: Vec<i64> = kernel
        .sizes()
        .iter()
        .map(|extent| interpret::size(extent, sizes))
        .collect();
    let memory: Vec<Fenced> = buffers
        .iter()
        .map(|bytes| Fenced::new(bytes, at_end))
        .collect();
    let scratch_bytes = kernel.scratch_bytes(&values).next_multiple_of(64);
    let scratch = Fenced::new(&vec![0xff; scratch_bytes], true);
    let firsts: Vec<*mut u8> = memory.iter().map(Fenced::first).collect();
    let points = kernel.points(&values);
    let piece = points.div_ceil(pieces).max(1);
    let mut from = 0;
    while from < points {
        let to = (from + piece).min(points);
        // SAFETY: the level is one of this machine; every buffer is as long as the interpreter
        // needs, and what lies outside is forbidden memory.
        unsafe { kernel.run(&firsts, &values, from..to, scratch.first()) }?;
        from = to;
    }
    Ok(memory.iter().map(Fenced::bytes).collect())
}

impl Cases {
    /// Runs all, at every level.
    pub(crate) fn run(self) {
        for case in self.0 {
            run_close(
                &case.name,
                &case.kernel,
                &case.sizes,
                &case.buffers,
                case.scale,
            );
        }
    }
}

/// Runs a kernel at every level, in one piece and in several, and compares with the interpreter,
/// knowing the size of the terms that results come from.
pub(crate) fn run_close(
    name: &str,
    kernel: &Kernel,
    sizes: &Sizes,
    buffers: &[Vec<u8>],
    scale: f64,
) {
    let expected = interpret::run(kernel, sizes, buffers);
    let empty = |own: &Loop| interpret::size(&own.extent, sizes) == 0;
    let has_empty_loop = kernel.loops.iter().any(empty);
    for level in level::available() {
        let options = CodeOptions { level, threads: 1 };
        let code = Code::compile(std::slice::from_ref(kernel), &options)
            .unwrap_or_else(|error| panic!("{name} at {level:?}: {error}\n{kernel:#?}"));
        for (pieces, at_end) in [(1, true), (3, false)] {
            let found = run_compiled(code.kernel(0), sizes, buffers, pieces, at_end);
            match (&expected, found) {
                (Ok(expected), Ok(found)) => {
                    for (buffer, dtype) in kernel.buffers.iter().enumerate() {
                        let (found, expected) = (&found[buffer], &expected[buffer]);
                        for position in 0..expected.len() / dtype.size() {
                            let x = interpret::read(*dtype, found, position);
                            let y = interpret::read(*dtype, expected, position);
                            assert!(
                                close(*dtype, x, y, scale),
                                "{name} at {level:?}: buffer {buffer}[{position}] is {x:?}, not {y:?}\n{kernel:#?}"
                            );
                        }
                    }
                }
                (Err(expected), Err(found)) => assert_eq!(expected.0, found.status, "{name}"),
                // What only an empty loop would use may be read, and its guard may fail.
                (Ok(_), Err(_)) if has_empty_loop => {}
                (expected, found) => {
                    panic!(
                        "{name} at {level:?}: {:?}, not {:?}\n{kernel:#?}",
                        found.err(),
                        expected.as_ref().err()
                    );
                }
            }
        }
    }
}
