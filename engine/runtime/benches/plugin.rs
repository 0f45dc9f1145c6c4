//! What a call of a plugin's kernel costs beyond the kernel.
//!
//! The same loop over a vector, called through the border and by its address: `cargo bench --bench plugin`. For vectors of
//! one element the difference is the border's own cost. Needs `cc`.
#![expect(unsafe_code, reason = "calls a C function by its address")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use girih_graph::DType;
use girih_runtime::plugin::native::{
    Native as _, NativeCall, Operand, Parallel, Spec, TensorSpec, Written,
};
use girih_runtime::plugin::{Library, PluginNative};

const SOURCE: &str = r#"
#include "girih_plugin.h"
#include <string.h>
GIRIH_NOTE(note, "org.example.bench", "1.0.0", "MIT", "", GIRIH_OPS);
GIRIH_EXPORT void direct(const float *x, float *y, int64_t n) { for (int64_t i = 0; i < n; i++) y[i] = 2 * x[i]; }
static girih_status prepare(void *self, const girih_spec *spec, girih_prepared *out) {
    (void)self; (void)spec; (void)out; return NULL;
}
static girih_status run(void *kernel, const girih_call *call) {
    (void)kernel;
    direct(call->operands[0].data, call->results[0].data, call->results[0].shape[0]);
    return NULL;
}
static const girih_op op = {sizeof op, 0, "twice", prepare, run, NULL, NULL};
static const girih_op *const all[] = {&op};
static const girih_ops ops = {sizeof ops, 1, all};
static const void *get(void *self, const char *cap) { (void)self; return strcmp(cap, GIRIH_OPS) ? NULL : &ops; }
static const girih_plugin plugin = {sizeof plugin, GIRIH_MAJOR, GIRIH_MINOR, &note, "", NULL, NULL, NULL, get};
const girih_plugin *girih_plugin_query(const girih_host_info *host) {
    return girih_negotiate(host) == GIRIH_MINOR ? &plugin : NULL;
}
"#;

type Direct = unsafe extern "C" fn(*const f32, *mut f32, i64);

struct Alone;

impl Parallel for Alone {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, items: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        (0..items).for_each(|item| body(item, 0));
    }
}

/// The shortest of several rounds, in nanoseconds for each call.
fn measure(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 20_000;
    let round = || {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    std::iter::repeat_with(round)
        .take(50)
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (source, path) = (
        folder.path().join("bench.c"),
        folder.path().join("libbench.so"),
    );
    std::fs::write(&source, SOURCE).unwrap();
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/api/include");
    let built = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-I"])
        .args([&header, &source])
        .arg("-o")
        .arg(&path)
        .status()
        .unwrap();
    assert!(built.success());
    // SAFETY: the library has no constructors.
    let library = unsafe { libloading::Library::new(&path) }.unwrap();
    // SAFETY: `direct` has this type, in the text above.
    let direct: Direct = *unsafe { library.get::<Direct>(b"direct\0") }.unwrap();
    let plugin = Library::open(&path).unwrap();
    println!("elements   direct, ns   plugin, ns   beyond, ns");
    for n in [1usize, 64, 4096] {
        let tensor = TensorSpec {
            dtype: DType::F32,
            shape: vec![n],
        };
        let spec = Spec {
            attributes: Vec::new(),
            operands: vec![tensor.clone()],
            results: vec![tensor],
            threads: 1,
        };
        let kernel = PluginNative::new(&plugin, "twice")
            .unwrap()
            .prepare(&spec)
            .unwrap();
        let (x, mut y) = (vec![1.0f32; n], vec![0.0f32; n]);
        let by_address = measure(|| {
            let (x, y) = (black_box(x.as_ptr()), black_box(y.as_mut_ptr()));
            // SAFETY: both have `n` elements.
            unsafe { direct(x, y, n as i64) };
        });
        let by_plugin = measure(|| {
            kernel
                .run(&mut NativeCall {
                    operands: &[Operand {
                        dtype: DType::F32,
                        shape: &[n],
                        strides: &[1],
                        bytes: black_box(bytemuck::cast_slice(&x)),
                    }],
                    results: &mut [Written {
                        dtype: DType::F32,
                        shape: &[n],
                        bytes: bytemuck::cast_slice_mut(black_box(&mut y)),
                    }],
                    workspace: &mut [],
                    parallel: &Alone,
                })
                .unwrap();
        });
        println!(
            "{n:8} {by_address:12.1} {by_plugin:12.1} {:12.1}",
            by_plugin - by_address
        );
    }
}
