//! Products that a driver carries out: every dtype and layout, and what is no product of its memory.

#![expect(unsafe_code, reason = "a driver is asked as the plugin does")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::io::Write as _;

use girih_cuda::driver::emulator::Emulator;
use girih_cuda::driver::product::{Product, Shape, Steps};
use girih_cuda::driver::{Call, Driver, cublaslt};
use girih_graph::DType;

/// Past the test harness, which keeps what passing tests print.
fn say(what: &str) {
    std::io::stderr()
        .write_all(format!("{what}\n").as_bytes())
        .unwrap();
}

fn emulator() -> Option<Emulator> {
    Emulator::new()
        .inspect_err(|error| say(&format!("SKIPPED: products are not emulated: {error}")))
        .ok()
}

/// A number that every dtype holds.
fn number(seed: u64, at: u64) -> f64 {
    ((seed * 7 + at * 5) % 17) as f64 / 8.0 - 1.0
}

fn bytes(dtype: DType, number: f64) -> Vec<u8> {
    match dtype {
        DType::F64 => number.to_ne_bytes().to_vec(),
        DType::F32 => (number as f32).to_ne_bytes().to_vec(),
        DType::F16 => half::f16::from_f64(number).to_ne_bytes().to_vec(),
        _ => half::bf16::from_f64(number).to_ne_bytes().to_vec(),
    }
}

fn number_of(dtype: DType, bytes: &[u8]) -> f64 {
    match dtype {
        DType::F64 => f64::from_ne_bytes(bytes.try_into().unwrap()),
        DType::F32 => f32::from_ne_bytes(bytes.try_into().unwrap()).into(),
        DType::F16 => half::f16::from_ne_bytes(bytes.try_into().unwrap()).to_f64(),
        _ => half::bf16::from_ne_bytes(bytes.try_into().unwrap()).to_f64(),
    }
}

/// Two products of 3 rows, 4 columns and 5 terms, with one column between rows of the left factor.
fn usual(factors: DType, out: DType) -> Shape {
    let steps = |[batch, row, column]: [u64; 3]| Steps { row, column, batch };
    Shape {
        factors,
        out,
        batches: 2,
        rows: 3,
        columns: 4,
        inner: 5,
        left: steps([18, 6, 1]),
        right: steps([20, 1, 5]),
        result: steps([12, 4, 1]),
    }
}

const PAIRS: [(DType, DType); 6] = [
    (DType::F32, DType::F32),
    (DType::F64, DType::F64),
    (DType::F16, DType::F16),
    (DType::BF16, DType::BF16),
    (DType::F16, DType::F32),
    (DType::BF16, DType::F32),
];

#[test]
fn every_dtype_is_multiplied() {
    let Some(emulator) = emulator() else { return };
    for (factors, out) in PAIRS {
        let shape = usual(factors, out);
        assert!(emulator.multiplies(&shape));
        let place = |steps: Steps, [batch, row, column]: [u64; 3]| {
            batch * steps.batch + row * steps.row + column * steps.column
        };
        let memory = |seed: u64, count: u64| {
            let content: Vec<u8> = (0..count)
                .flat_map(|at| bytes(factors, number(seed, at)))
                .collect();
            let address = emulator.alloc(content.len() as u64).unwrap();
            // SAFETY: memory of that many bytes.
            unsafe { emulator.write(address, &content) }.unwrap();
            (address, content.len() as u64)
        };
        let (left, right) = (memory(1, 35), memory(2, 40));
        let length = 24 * out.size() as u64;
        let result = emulator.alloc(length).unwrap();
        let call = Call::Product(Product {
            shape,
            addresses: [left.0, right.0, result],
        });
        // SAFETY: the matrices are as long as the shape reaches.
        unsafe { emulator.launch(&call) }.unwrap();
        let mut found = vec![0; length as usize];
        // SAFETY: memory of that many bytes.
        unsafe { emulator.read(result, &mut found) }.unwrap();
        let mut batches = found.chunks(out.size()).enumerate();
        assert!(batches.all(|(at, element)| {
            let at = at as u64;
            let (batch, row, column) = (at / 12, at / 4 % 3, at % 4);
            let terms = (0..5).map(|k| {
                number(1, place(shape.left, [batch, row, k]))
                    * number(2, place(shape.right, [batch, k, column]))
            });
            // Sums of few multiples of 1/64 are exact but in 16 bits, which are rounded once.
            let sum = number_of(out, &bytes(out, terms.sum()));
            sum.to_bits() == number_of(out, element).to_bits()
        }));
        for (address, bytes) in [left, right, (result, length)] {
            // SAFETY: nothing uses it any more.
            unsafe { emulator.free(address, bytes) };
        }
    }
}

#[test]
fn a_product_stays_in_its_memory() {
    let Some(emulator) = emulator() else { return };
    let shape = usual(DType::F32, DType::F32);
    let [left, right, out] = [35 * 4, 40 * 4, 24 * 4].map(|bytes| emulator.alloc(bytes).unwrap());
    let ask = |shape: Shape, addresses: [u64; 3]| {
        // SAFETY: the emulator looks whether this is memory of its own.
        unsafe { emulator.launch(&Call::Product(Product { shape, addresses })) }
            .map_err(|error| error.to_string())
    };
    assert_eq!(ask(shape, [left, right, out]), Ok(()));
    let leaves = "a matrix leaves the memory that it starts in";
    for addresses in [
        [left + 4, right, out],
        [left, right - 4, out],
        [left, right, out + 4],
        [left, 4096, out],
    ] {
        let said = ask(shape, addresses).unwrap_err();
        assert!(said.ends_with(leaves), "{said}");
    }
    let mut long = shape;
    long.left.batch = u64::MAX / 8;
    let said = ask(long, [left, right, out]).unwrap_err();
    assert!(said.ends_with(leaves), "{said}");
    let said = ask(shape, [left + 2, right, out]).unwrap_err();
    assert!(
        said.contains("leaves the memory") || said.contains("not aligned"),
        "{said}"
    );
    let mut windows = shape;
    windows.left.row = 1;
    let said = ask(windows, [left, right, out]).unwrap_err();
    assert!(said.ends_with("no library has one of this shape"), "{said}");
}

/// What can be seen of the library without a device: it takes every description.
#[test]
fn cublaslt_takes_what_shapes_become() {
    if let Err(error) = cublaslt::load() {
        say(&format!(
            "SKIPPED: products are not described to cuBLASLt: {error}"
        ));
        return;
    }
    for (factors, out) in PAIRS {
        cublaslt::Prepared::new(&usual(factors, out)).unwrap();
    }
    let mut windows = usual(DType::F32, DType::F32);
    windows.left.row = 1;
    let said = cublaslt::Prepared::new(&windows).unwrap_err().to_string();
    assert!(said.contains("cuBLASLt has none of this shape"), "{said}");
}
