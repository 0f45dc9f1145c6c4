//! Whether a device keeps what is written, and gives what the processor gives.
//!
//! One small graph for each kind of launch runs on the device and on the cpu backend, for several sizes and real dtypes.
//! What the device refuses the host computes, so that only what it takes is tried.

use std::sync::Arc;

use girih_cpu::Cpu;
use girih_device::OnDevice;
use girih_graph::{DType, Graph, Op, text};
use girih_runtime::backend::{Backend, Bindings, Outputs, RunError, silent};
use girih_runtime::device::{Device, DeviceError, Place};
use girih_runtime::plugin::Library;
use girih_runtime::tensor::Tensor;

use super::{Verdict, mixed};
use crate::plugin::meaning::text_of;

/// Sizes of the symbol `t`.
const LENGTHS: [usize; 4] = [1, 5, 33, 0];

/// What is tried, with what it is called.
const GRAPHS: &[(&str, &str)] = &[
    (
        "elements and sums",
        "graph g(x: f32[t, d=6]) -> (y: f32[t, d=6], z: f32[t], s: f32[d=6]) {
  %0 = tanh x : f32[t, d=6]
  %1 = exp %0 : f32[t, d=6]
  %2 = reduce %1 {combine: sum, over: d} : f32[t]
  %3 = div %1, %2 : f32[t, d=6]
  %4 = reduce x {combine: max, over: d} : f32[t]
  %5 = reduce x {combine: sum, over: t} : f32[d=6]
  return %3, %4, %5
}
",
    ),
    (
        "products",
        "graph g(x: f32[t, d=6], w: f32[d=6, e=5]) -> (y: f32[t, e=5]) {
  %0 = contract x, w {over: d} : f32[t, e=5]
  return %0
}
",
    ),
    (
        "attention",
        "axis i=t over t time
axis j=t over t time
graph g(x: f32[t, d=6]) -> (y: f32[t, d=6]) {
  %0 = rename x {axes: [t: i]} : f32[i=t, d=6]
  %1 = rename x {axes: [t: j]} : f32[j=t, d=6]
  %2 = contract %0, %1 {over: d} : f32[i=t, j=t]
  %3 = index {axis: j} : i64[j=t]
  %4 = index {axis: i} : i64[i=t]
  %5 = le %3, %4 : bool[j=t, i=t]
  %6 = softmax %2, %5 {over: j} : f32[i=t, j=t]
  %7 = contract %6, %1 {over: j} : f32[i=t, d=6]
  %8 = rename %7 {axes: [i: t]} : f32[t, d=6]
  return %8
}
",
    ),
    (
        "loops",
        "graph g(x: f32[t, d=6], rate: f32[d=6]) -> (y: f32[t, d=6], last: f32[d=6]) {
  %0 = const 0.0 : f32
  %1 = expand %0 {axes: d} : f32[d=6]
  %2, %3 = recurrence {axis: t} : f32[d=6], f32[t, d=6] {
    carry %4 = %1 : f32[d=6]
    slice %5 = x : f32[d=6]
    keep %6 = rate : f32[d=6]
    %7 = tanh %4 : f32[d=6]
    %8 = mul %7, %6 : f32[d=6]
    %9 = add %8, %5 : f32[d=6]
    return %9, %9
  }
  return %3, %2
}
",
    ),
    (
        "gathers, whose positions may be outside",
        "graph g(x: f32[d=6, e=3], at: i64[t]) -> (y: f32[t, e=3]) {
  %0 = gather x, at {axis: d} : f32[t, e=3]
  return %0
}
",
    ),
    (
        "routines",
        "graph g(x: f32[t, d=6]) -> (p: i64[t, k=2], c: f32[t, d=6], s: f32[t, d=6]) {
  %0 = order x {axis: d, descending, into: k} : i64[t, k=2]
  %1 = cumulate x {axis: d, combine: sum} : f32[t, d=6]
  %2 = gather x, %0 {axis: d} : f32[t, k=2]
  %3 = scatter %0, %2 {axis: d, combine: sum, over: k} : f32[t, d=6]
  return %0, %1, %3
}
",
    ),
    (
        "routes",
        "graph g(g: f32[t, e=2], x: f32[t, d=6], w: f32[d=6, k=6]) -> (y: f32[t, d=6]) {
  %0 = const 0.0 : f32
  %1 = gt g, %0 : bool[t, e=2]
  %2 = route g, %1, x, w {branch: e, items: t} : f32[t, d=6] {
    branch(%3: f32[t, d=6], %4: f32[d=6, k=6]) {
      %5 = contract %3, %4 {over: d} : f32[t, k=6]
      %6 = rename %5 {axes: [k: d]} : f32[t, d=6]
      return %6
    }
    branch(%7: f32[t, d=6], %8: f32[d=6, k=6]) {
      %9 = tanh %7 : f32[t, d=6]
      return %9
    }
  }
  return %2
}
",
    ),
];

/// Runs `probe` on every kind of device that this machine serves.
fn each(
    library: &Arc<Library>,
    probe: impl Fn(&str, Arc<dyn Device>) -> Result<Option<String>, String>,
) -> Verdict {
    let mut skipped = Some("it has no devices".to_owned());
    let mut held = false;
    for name in library.devices() {
        if let Some(Err(error)) = library.score(name) {
            skipped = Some(error.to_string());
            continue;
        }
        let Some(device) = library.open_device(name, 0) else {
            continue;
        };
        let device: Arc<dyn Device> = Arc::new(device.map_err(text_of)?);
        match probe(name, device).map_err(|said| format!("`{name}`: {said}"))? {
            None => held = true,
            why => skipped = why,
        }
    }
    Ok(skipped.filter(|_| !held))
}

/// Memory keeps what is written, copied and read, in order.
pub(super) fn memory(library: &Arc<Library>, seed: u64) -> Verdict {
    each(library, |_, device| keeps(&*device, seed).map(|()| None))
}

fn keeps(device: &dyn Device, seed: u64) -> Result<(), String> {
    let mut state = seed;
    let bytes: Vec<u8> = (0..4096).map(|_| mixed(&mut state) as u8).collect();
    let told = |error: DeviceError| error.to_string();
    let (one, other) = (
        device.alloc(4096).map_err(told)?,
        device.alloc(5000).map_err(told)?,
    );
    let at = |memory, offset| Place { memory, offset };
    device.write(at(&one, 0), &bytes).map_err(told)?;
    device.write(at(&other, 8), &[7; 4992]).map_err(told)?;
    for (to, from, count) in [(16, 0, 4096), (8, 100, 1), (4900, 33, 100)] {
        device
            .copy(at(&other, to), at(&one, from), count)
            .map_err(told)?;
        let mut found = vec![0; count as usize];
        device.read(at(&other, to), &mut found).map_err(told)?;
        let start = from as usize;
        if found != bytes[start..start + count as usize] {
            return Err(format!(
                "{count} bytes that were written at {from}, and copied to {to}, are not what is read there"
            ));
        }
    }
    device.wait().map_err(told)
}

/// Regions give what the cpu backend gives.
pub(super) fn regions(library: &Arc<Library>, seed: u64) -> Verdict {
    each(library, |name, device| {
        let backend = OnDevice::new(name, device, Cpu::default());
        let mut taken = 0;
        for (what, source) in GRAPHS {
            let text = format!("girih-graph 1\naxis t time\n{source}");
            let graph = text::parse(&text).map_err(text_of)?;
            for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
                let graph = graph.with_real(dtype);
                let explained = backend.explain(&graph).map_err(text_of)?;
                taken += explained.counts().0;
                for length in LENGTHS {
                    agrees(&backend, &graph, length, seed)
                        .map_err(|said| format!("{what} in {dtype}, t = {length}: {said}"))?;
                }
            }
        }
        Ok((taken == 0).then(|| format!("`{name}` has no code for anything that was tried")))
    })
}

/// Numbers for every input.
fn drawn(graph: &Graph, length: usize, seed: u64) -> Result<Bindings, String> {
    let mut state = seed;
    let mut bindings = Bindings::new().symbol("t", length as i64);
    for (_, node) in graph.root.nodes() {
        let Op::Input(name, ty) = &node.op else {
            continue;
        };
        let extent = |axis: &girih_graph::AxisId| {
            let constant = graph.axes.extent(*axis).as_constant();
            constant.map_or(length, |extent| extent as usize)
        };
        let shape: Vec<usize> = ty.axes.iter().map(extent).collect();
        let count: usize = shape.iter().product();
        let mut unit = || (mixed(&mut state) >> 11) as f64 / (1_u64 << 53) as f64;
        let numbers: Vec<f64> = if ty.dtype.is_real() {
            (0..count).map(|_| 2.0 * unit() - 1.0).collect()
        } else {
            // Positions along six; for one seed in two one more than there are.
            let most = 6.0 + (seed % 2) as f64;
            (0..count).map(|_| (most * unit()).floor()).collect()
        };
        let tensor = Tensor::new(shape, numbers).map_err(text_of)?;
        bindings = bindings.input(name, tensor.to_dtype(ty.dtype));
    }
    Ok(bindings)
}

fn agrees(backend: &OnDevice, graph: &Graph, length: usize, seed: u64) -> Result<(), String> {
    let bindings = drawn(graph, length, seed)?;
    let run = |backend: &dyn Backend| -> Result<Outputs, RunError> {
        backend.compile(graph)?.run(&bindings, &mut silent)
    };
    let (found, expected) = match (run(backend), run(&Cpu::default())) {
        (Ok(found), Ok(expected)) => (found, expected),
        (Err(_), Err(_)) => return Ok(()),
        (Err(error), Ok(_)) => return Err(error.to_string()),
        (Ok(_), Err(error)) => return Err(format!("it runs where the processor says: {error}")),
    };
    for name in expected.results.keys() {
        let (own, right) = (
            found.tensor(name).map_err(text_of)?,
            expected.tensor(name).map_err(text_of)?,
        );
        let allowed = match right.dtype() {
            DType::F64 => 1e-11,
            DType::F32 => 3e-5,
            DType::F16 => 4e-3,
            DType::BF16 => 3e-2,
            DType::I64 | DType::I32 | DType::I8 | DType::U8 | DType::Bool => 0.0,
        };
        let pairs = own.to_f64_vec().into_iter().zip(right.to_f64_vec());
        let near = |(x, y): &(f64, f64)| {
            let same = x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
            same || (x - y).abs() <= allowed * y.abs().max(1.0)
        };
        if own.shape() != right.shape() {
            return Err(format!("`{name}` has shape {:?}", own.shape()));
        }
        if let Some((at, (x, y))) = pairs.enumerate().find(|(_, pair)| !near(pair)) {
            return Err(format!("`{name}`, element {at}: {x} where {y} is right"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_graph_runs_on_the_processor() {
        for (what, source) in GRAPHS {
            let text = format!("girih-graph 1\naxis t time\n{source}");
            let graph = text::parse(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
            let bindings = drawn(&graph, 5, 0).unwrap();
            let compiled = Cpu::default().compile(&graph).unwrap();
            compiled
                .run(&bindings, &mut silent)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}
