//! Products with stored weights: packed once, quantized or rounded, at every CPU level, on one and two threads, beside
//! the reference backend with the same parameters.

use std::collections::BTreeMap;

use girih::session::{Session, Setup};
use girih_cpu::{Compute, Cpu, CpuOptions};
use girih_dsl::diag::{Colors, Sink};
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::Model;
use girih_dsl::program::{NoFiles, Program};
use girih_runtime::backend::{
    Backend, Bindings, BoxError, Executable, ParamData, ParamSource, Params, silent,
};
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::{Blocks, Quantization};
use girih_template_device::Template;
use girih_tests::direct::direct;

/// Weights in every place where a plan may have them: rows and columns of several axes, the first factor, a part of a
/// matrix, the body of a loop, the branches of a route, an axis of experts, an embedding that is the head too.
const MODELS: &[(&str, &str)] = &[
    (
        "two layers, with an axis of weights that is no row of theirs",
        "
model M(d: axis = 64, e: axis = 96) {
  param w: f32[e, d] = normal(0.1)
  param u: f32[e, d] = normal(0.1)
  forward(x: f32[t, d]) -> f32[t, d] {
    h[t, e] = sum(d) x * w
    y[t, d] = sum(e) u * h
    return y
  }
}",
    ),
    (
        "heads",
        "
model M(d: axis = 64, heads = 2) {
  axis h = heads
  axis e = d / heads
  sub qkv = Linear(d -> { q: (h, e), k: (h, e), v: (h, e) }, bias = true)
  sub out = Linear((h, e) -> d, bias = false)
  forward(x: f32[t, d]) -> f32[t, d] {
    f = qkv(x)
    s[h, i, j] = sum(e) f.q[t = i] * f.k[t = j] / sqrt(size(e))
    a[h, i, j] = softmax(j) s where j <= i
    o[t, h, e] = sum(j) a[i = t] * f.v[t = j]
    return x + out(o)
  }
}",
    ),
    (
        "a loop",
        "
model M(d: axis = 64) {
  sub cell = LstmCell(d, d)
  forward(x: f32[t, d]) -> f32[t, d] {
    recurrence over t {
      state s: f32[d] = 0
      state c: f32[d] = 0
      s', c' = cell(x, s, c)
    }
    return s'
  }
}",
    ),
    (
        "branches",
        "
model M(d: axis = 64) {
  sub mix = SparseMlp(d, ff = 96, experts = 4, active = 2)
  forward(x: f32[t, d]) -> f32[t, d] {
    return mix(x)
  }
}",
    ),
    (
        "an axis of experts",
        "
model M(d: axis = 64, n: axis = 3, e: axis = 32) {
  param w: f32[n, e, d] = normal(0.1)
  param u: f32[d, n, e] = normal(0.1)
  forward(x: f32[t, d]) -> f32[t, d] {
    h[n, t, e] = sum(d) x * w
    y[t, d] = sum(n, e) h * u
    return y
  }
}",
    ),
    (
        "an embedding that is the head",
        "
model M(vocab: axis = 100, d: axis = 64) {
  param embed: f32[vocab, d] = normal(0.1)
  forward(x: f32[t, d]) -> f32[t, vocab] {
    ids[t] = argmax(d) x
    y = x + embed[vocab = ids]
    logits[t, vocab] = sum(d) y * embed
    return logits
  }
}",
    ),
];

fn model(text: &str) -> Model {
    let mut sink = Sink::new();
    let text = format!("axis t: time\n{text}\n");
    let program = Program::load("m.girih", &text, &NoFiles, &mut sink);
    let request = Request::default();
    let model = elaborate(&program, &request, &mut sink);
    assert!(!sink.has_errors(), "{:?}", sink.diagnostics());
    model.expect("without mistakes there is a model")
}

/// Numbers between -1 and 1 that a seed decides.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The parameters as the model file starts them.
fn started(model: &Model) -> BTreeMap<String, Tensor> {
    let init = Reference.compile(&model.init).expect("it compiles");
    let outputs = init.run(&Bindings::new(), &mut silent).expect("it runs");
    let names = outputs.results.keys();
    names
        .map(|name| (name.clone(), outputs.tensor(name).expect("it is there")))
        .collect()
}

/// Parameters of which some are quantized.
struct Mixed {
    tensors: BTreeMap<String, Tensor>,
    blocks: BTreeMap<String, Blocks>,
}

impl ParamSource for Mixed {
    fn param(&mut self, path: &str) -> Result<ParamData, BoxError> {
        if let Some(blocks) = self.blocks.get(path) {
            return Ok(ParamData::Blocks(blocks.clone()));
        }
        let tensor = self.tensors.get(path);
        Ok(ParamData::Tensor(
            tensor.ok_or("no such parameter")?.clone(),
        ))
    }
}

fn run(executable: &dyn Executable, params: &Params, rows: usize, width: usize) -> Vec<f32> {
    let x = Tensor::new([rows, width], numbers(7, rows * width)).expect("as many as rows");
    let mut bindings = Bindings::new().input("x", x);
    bindings.params = params.clone();
    let outputs = executable.run(&bindings, &mut silent).expect("it runs");
    let out = outputs.tensor("out").expect("there is a result");
    out.into_vec().expect("it is `f32`")
}

/// The greatest difference, relative to the greatest number.
fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let greatest = |numbers: &mut dyn Iterator<Item = f32>| {
        numbers.fold(0.0_f32, |most, x| {
            assert!(!x.is_nan());
            most.max(x.abs())
        })
    };
    let scale = greatest(&mut expected.iter().copied());
    let pairs = found.iter().zip(expected);
    greatest(&mut pairs.map(|(found, expected)| found - expected)) / scale.max(1e-20)
}

/// Runs a model with the same parameters on both backends; gives the greatest distance.
fn check(
    name: &str,
    text: &str,
    compute: Compute,
    quantization: Option<Quantization>,
    tolerance: f32,
) -> f32 {
    let mut most = 0.0_f32;
    let model = model(text);
    let mut source = Mixed {
        tensors: started(&model),
        blocks: BTreeMap::new(),
    };
    if let Some(quantization) = quantization {
        for (path, tensor) in &source.tensors {
            let row = tensor.shape().last().copied().unwrap_or(1);
            if tensor.rank() > 1 && row.is_multiple_of(quantization.block_elements()) {
                let blocks = quantized(quantization, tensor.shape());
                source.blocks.insert(path.clone(), blocks);
            }
        }
        assert!(!source.blocks.is_empty(), "{name}: something is quantized");
    }
    let reference = Reference.compile(&model.graph).expect("it compiles");
    let plain = reference.load(&mut source, &mut silent).expect("it loads");
    for level in girih_cpu::levels() {
        for threads in [1, 2] {
            let backend = Cpu::new(CpuOptions {
                threads: Some(threads),
                level: Some(level),
                compute,
            });
            let executable = backend.compile(&model.graph).expect("it compiles");
            let params = executable.load(&mut source, &mut silent).expect("it loads");
            for rows in [1, 5, 40] {
                let expected = run(reference.as_ref(), &plain, rows, 64);
                let found = run(executable.as_ref(), &params, rows, 64);
                let distance = distance(&found, &expected);
                most = most.max(distance);
                assert!(
                    distance <= tolerance,
                    "{name}, {rows} rows, {} with {threads} threads: off by {distance}",
                    level.name()
                );
            }
            // What is packed can be given back, exactly unless it was rounded.
            for (path, data) in params.iter() {
                let expected = plain[path].to_host().expect("it is in memory");
                let found = data.to_host().expect("it is in memory");
                assert_eq!(found, expected, "{name}: `{path}`");
            }
        }
    }
    most
}

/// Blocks with any quants and small scales.
fn quantized(quantization: Quantization, shape: &[usize]) -> Blocks {
    let (elements, bytes) = (quantization.block_elements(), quantization.block_bytes());
    let count: usize = shape.iter().product::<usize>() / elements;
    // Where a block keeps numbers in f16.
    let (halves, least): (&[usize], f32) = match quantization {
        Quantization::Q4_0 | Quantization::Q5_0 => (&[0], 0.01),
        Quantization::Q4_1 | Quantization::Q5_1 => (&[0, 2], 0.01),
        Quantization::Q8_0 => (&[0], 0.001),
        Quantization::Q2K => (&[80, 82], 0.002),
        Quantization::Q3K => (&[108], 0.001),
        Quantization::Q4K | Quantization::Q5K => (&[0, 2], 0.0002),
        Quantization::Q6K => (&[208], 0.0001),
        Quantization::Q8_1 | Quantization::Q8K => panic!("no kernel has this format"),
    };
    let mut data = Vec::new();
    for block in 0..count {
        let words = numbers(block as u64 + 1, bytes);
        let mut own: Vec<u8> = words.iter().map(|x| ((x + 1.0) * 127.9) as u8).collect();
        for (at, half) in halves.iter().enumerate() {
            let scale = least * (1.0 + words[at].abs());
            own[*half..half + 2].copy_from_slice(&half_of(scale));
        }
        data.extend(own);
    }
    Blocks::new(quantization, shape, &data).expect("rows are whole blocks")
}

/// A positive normal number as f16.
fn half_of(x: f32) -> [u8; 2] {
    let bits = x.to_bits();
    let exponent = (bits >> 23) as i32 - 127 + 15;
    if exponent <= 0 {
        return ((x * 16_777_216.0) as u16).to_le_bytes();
    }
    ((exponent as u16) << 10 | (bits >> 13) as u16 & 0x3ff).to_le_bytes()
}

#[test]
fn packed_weights_are_the_weights() {
    for (name, text) in MODELS {
        check(name, text, Compute::F32, None, 2e-5);
    }
}

#[test]
fn quantized_weights_are_their_numbers() {
    let formats = Quantization::ALL.into_iter();
    for quantization in formats.filter(|own| !matches!(own, Quantization::Q8_1 | Quantization::Q8K))
    {
        // Blocks of 256 elements want longer rows than these models have.
        if quantization.block_elements() == 32 {
            for (name, text) in MODELS {
                check(name, text, Compute::F32, Some(quantization), 5e-5);
            }
        }
        let wide = "
model M(d: axis = 64, e: axis = 256) {
  param w: f32[e, d] = normal(0.1)
  param u: f32[d, e] = normal(0.1)
  forward(x: f32[t, d]) -> f32[t, d] {
    h[t, e] = sum(d) x * w
    y[t, d] = sum(e) u * h
    return y
  }
}";
        check("wide rows", wide, Compute::F32, Some(quantization), 5e-5);
    }
}

#[test]
fn rounding_is_asked_for_and_stays_small() {
    for (name, text) in MODELS {
        for (compute, quantization, tolerance) in [
            (Compute::Bf16, None, 2e-2),
            (Compute::Int8, None, 5e-2),
            (Compute::Int8, Some(Quantization::Q4_1), 5e-2),
        ] {
            let distance = check(name, text, compute, quantization, tolerance);
            // Nothing is that close whose weights were not rounded.
            assert!(distance > 1e-5, "{name}: {compute:?} is off by {distance}");
        }
    }
}

#[test]
fn parameters_serve_executables_that_read_them_otherwise() {
    let text = |body: &str| {
        format!(
            "
model M(d: axis = 64, e: axis = 96) {{
  param w: f32[e, d] = normal(0.1)
  forward(x: f32[t, d]) -> f32[t, d] {{
    {body}
  }}
}}"
        )
    };
    let product = model(&text(
        "h[t, e] = sum(d) x * w\n    y[t, d] = sum(e) h * w\n    return y",
    ));
    let plain = model(&text("y[t, d] = x * (sum(e) abs(w))\n    return y"));
    let tensors = started(&product);
    for quantization in [None, Some(Quantization::Q5_0)] {
        let blocks = quantization.map(|own| ("w".to_owned(), quantized(own, &[96, 64])));
        let mut source = Mixed {
            tensors: tensors.clone(),
            blocks: blocks.into_iter().collect(),
        };
        let reference = Reference.compile(&plain.graph).expect("it compiles");
        let expected = reference.load(&mut source, &mut silent).expect("it loads");
        let expected = run(reference.as_ref(), &expected, 3, 64);
        let backend = Cpu::default();
        let packed = backend.compile(&product.graph).expect("it compiles");
        let params = packed.load(&mut source, &mut silent).expect("it loads");
        let other = backend.compile(&plain.graph).expect("it compiles");
        let found = run(other.as_ref(), &params, 3, 64);
        assert!(distance(&found, &expected) < 1e-5);
        // A device decodes what is quantized, and computes with that.
        let device = direct::<Template>();
        let other = device.compile(&plain.graph).expect("it compiles");
        let own = other.load(&mut source, &mut silent).expect("it loads");
        let found = run(other.as_ref(), &own, 3, 64);
        assert!(distance(&found, &expected) < 1e-5);
        // And the reference reads what the compiled backend packed.
        let found = run(reference.as_ref(), &params, 3, 64);
        assert!(distance(&found, &expected) < 1e-5);
    }
}

/// What a model with this declaration of its weights gives for the unit rows, on every backend.
fn declared(storage: &str) -> Vec<f32> {
    let text = format!(
        "
axis t: time
model M(d: axis = 64, h: axis = 3, e: axis = 32) {{
  param w: f32[d, (h, e)] = normal(0.5){storage}
  forward(x: f32[t, d]) -> f32[t, h, e] {{
    y[t, h, e] = sum(d) x * w
    return y
  }}
}}
"
    );
    let mut sink = Sink::new();
    let program = Program::load("m.girih", &text, &NoFiles, &mut sink);
    assert!(!sink.has_errors(), "{:?}", sink.diagnostics());
    let cpu = Cpu::default();
    let device = direct::<Template>();
    let backends: [&dyn Backend; 3] = [&Reference, &cpu, &device];
    let found = backends.map(|backend| {
        let setup = Setup {
            program: &program,
            checkpoint: None,
            backend,
            set: &[],
            seed: 3,
            colors: Colors::No,
            watched: false,
        };
        let session = Session::open(&setup, None).expect("it opens");
        let unit = (0..64 * 64).map(|i| f32::from(u8::from(i / 64 == i % 64)));
        let x = Tensor::new([64, 64], unit.collect::<Vec<f32>>()).expect("as many numbers");
        let inputs = BTreeMap::from([("x".to_owned(), x)]);
        let outputs = session.run(inputs, 0).expect("it runs");
        let out = outputs.tensor("out").expect("there is a result");
        out.into_vec::<f32>().expect("it is `f32`")
    });
    for other in &found[1..] {
        assert!(
            distance(other, &found[0]) < 1e-6,
            "{storage}: backends agree"
        );
    }
    found[0].clone()
}

#[test]
fn declared_storage_rounds_on_every_backend() {
    let exact = declared("");
    for (storage, group, levels, most) in [
        (" stored int8", 32, 255, 0.5 / 127.0),
        (" stored int4 group 96", 96, 15, 0.5 / 7.0),
        (" stored bit", 32, 2, 1.0),
    ] {
        let rounded = declared(storage);
        for (exact, rounded) in exact.chunks(group).zip(rounded.chunks(group)) {
            let greatest = exact.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let mut distinct: Vec<u32> = rounded.iter().map(|x| x.to_bits()).collect();
            distinct.sort_unstable();
            distinct.dedup();
            assert!(
                distinct.len() <= levels,
                "{storage}: {} numbers",
                distinct.len()
            );
            for (x, y) in exact.iter().zip(rounded) {
                assert!(
                    (x - y).abs() <= greatest * (most + 1e-3),
                    "{storage}: {x} became {y}"
                );
            }
        }
        assert_ne!(exact, rounded, "{storage} rounds");
    }
    let halves = declared(" stored bf16");
    assert!(halves.iter().all(|x| x.to_bits().trailing_zeros() >= 16));
}
