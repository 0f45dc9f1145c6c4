//! Compiled code computes what the reference backend computes: random graphs run on both, at
//! every CPU level that the machine has, on one and two threads.
//!
//! Results are equal within a tolerance of their dtype; where they are infinite or `NaN`
//! agrees too. A graph that fails is made smaller while it still fails, and then printed.
//! `GIRIH_GRAPHS` says how many graphs to try.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use girih_cpu::{Cpu, CpuOptions, Level};
use girih_graph::{DType, Graph, Op, text, verify};
use girih_plan::{chunk_recurrences, drop_dead_values};
use girih_runtime::backend::{Backend, Bindings, Outputs, silent};
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;
use girih_tests::direct::{refusing, template};
use girih_tests::random_graph::{Numbers, Options, RandomGraph, grow, seeded_words};

/// Graphs that are tried unless `GIRIH_GRAPHS` says otherwise.
const GRAPHS: u64 = 200;

/// Failures that are made smaller and shown.
const SHOWN: usize = 5;

/// Most attempts to make a failing graph smaller.
const ATTEMPTS: usize = 3000;

fn tensor(numbers: &Numbers) -> Tensor {
    let shape = numbers.shape.clone();
    let tensor = match numbers.ty.dtype {
        DType::F32 => Tensor::new(shape, numbers.data.iter().map(|x| *x as f32).collect()),
        DType::Bool => Tensor::new(shape, numbers.data.iter().map(|x| *x != 0.0).collect()),
        _ => Tensor::new(shape, numbers.data.iter().map(|x| *x as i64).collect()),
    };
    tensor.expect("as many numbers as positions")
}

/// Inputs, parameters and sizes; states are given for odd `seed`s.
fn bindings(random: &RandomGraph, seed: u64) -> Bindings {
    let mut bindings = Bindings::new();
    for (name, size) in &random.sizes {
        bindings = bindings.symbol(name, *size);
    }
    let data = random.data(seed);
    for (_, node) in random.graph.root.nodes() {
        bindings = match &node.op {
            Op::Input(name, _) => bindings.input(name, tensor(&data[&**name])),
            Op::Param(name, _) => bindings.param(name, tensor(&data[&**name])),
            Op::State(name) if seed % 2 == 1 => bindings.state(name, tensor(&data[&**name])),
            _ => bindings,
        };
    }
    bindings
}

/// Every result and next state by name, or what the backend said.
fn run(
    backend: &dyn Backend,
    graph: &Graph,
    bindings: &Bindings,
) -> Result<BTreeMap<String, Tensor>, String> {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let executable = backend.compile(graph).map_err(|error| error.to_string())?;
        executable
            .run(bindings, &mut silent)
            .map_err(|error| error.to_string())
    }));
    let Outputs { results, states } = ran.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("panic: {}", text.unwrap_or_default())
    })??;
    let states = states
        .into_iter()
        .map(|(name, output)| (format!("state {name}"), output));
    let all = results.into_iter().chain(states);
    Ok(all
        .map(|(name, output)| (name, output.data.to_host().expect("it is in memory")))
        .collect())
}

/// Largest difference that is allowed, relative to the larger of 1 and the number.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-11,
        DType::F32 => 3e-5,
        DType::F16 => 4e-3,
        DType::BF16 => 3e-2,
        DType::I64 | DType::I32 | DType::I8 | DType::U8 | DType::Bool => 0.0,
    }
}

/// Whether every element of both is within the tolerance.
fn agree(one: &Tensor, other: &Tensor) -> bool {
    if one.dtype() != other.dtype() || one.shape() != other.shape() {
        return false;
    }
    if !one.dtype().is_real() {
        return one.bytes() == other.bytes();
    }
    let allowed = tolerance(one.dtype());
    let near = |x: f64, y: f64| {
        x.to_bits() == y.to_bits()
            || (x.is_nan() && y.is_nan())
            || (x - y).abs() <= allowed * x.abs().max(1.0)
    };
    let pairs = one.to_f64_vec().into_iter().zip(other.to_f64_vec());
    pairs.into_iter().all(|(x, y)| near(x, y))
}

/// A backend with its name.
type Tried = (String, Box<dyn Backend>);

/// The compiled backends that this machine can run, and devices that refuse all, and all but kernels.
fn backends() -> Vec<Tried> {
    let refusing: Tried = ("a device that refuses all".to_owned(), Box::new(refusing()));
    let mut backends = vec![refusing];
    for level in girih_cpu::levels() {
        for threads in [1, 2] {
            let options = CpuOptions {
                threads: Some(threads),
                level: Some(level),
                ..CpuOptions::default()
            };
            backends.push((name(level, threads), Box::new(Cpu::new(options))));
        }
    }
    backends.push(("a device".to_owned(), Box::new(template())));
    backends
}

fn name(level: Level, threads: usize) -> String {
    format!("{} with {threads} threads", level.name())
}

/// Whether reals become integers somewhere: there, a real that is off by its last digit may
/// be another integer.
fn truncates(graph: &Graph) -> bool {
    let truncation = |node: &girih_graph::Node| match node.op {
        Op::Cast(to) => !to.is_real() && graph.root.ty(node.operands[0]).dtype.is_real(),
        _ => false,
    };
    graph.root.nodes().any(|(_, node)| truncation(node))
}

/// Whether the backend and the reference agree when reals have more digits.
fn agrees_in_f64(backend: &dyn Backend, random: &RandomGraph, bindings: &Bindings) -> bool {
    let (graph, bindings) = (random.graph.with_real(DType::F64), widened(bindings));
    let [one, other] = [
        run(&Reference, &graph, &bindings),
        run(backend, &graph, &bindings),
    ];
    let (Ok(one), Ok(other)) = (one, other) else {
        return false;
    };
    let same = |(name, tensor): (&String, &Tensor)| {
        other.get(name).is_some_and(|found| agree(tensor, found))
    };
    one.iter().all(same)
}

/// What a backend computes otherwise than the reference does. What a small error of the
/// reference's own could change, as a comparison of nearly equal numbers, is left out: it
/// changes when reals have more digits.
fn difference(backends: &[Tried], random: &RandomGraph, seed: u64) -> Option<String> {
    let bindings = bindings(random, seed);
    let expected = run(&Reference, &random.graph, &bindings);
    let exact = run(
        &Reference,
        &random.graph.with_real(DType::F64),
        &widened(&bindings),
    );
    for (name, backend) in backends {
        let found = run(&**backend, &random.graph, &bindings);
        match (&expected, found) {
            (Ok(expected), Ok(found)) => {
                for (result, tensor) in expected {
                    let stable = exact
                        .as_ref()
                        .is_ok_and(|exact| agree(tensor, &exact[result].to_dtype(tensor.dtype())));
                    let Some(other) = found.get(result) else {
                        return Some(format!("{name}: there is no `{result}`"));
                    };
                    if stable
                        && !agree(tensor, other)
                        && !(truncates(&random.graph)
                            && agrees_in_f64(&**backend, random, &bindings))
                    {
                        return Some(format!(
                            "{name}: `{result}` is {:?} where {:?} is right",
                            other.to_f64_vec(),
                            tensor.to_f64_vec()
                        ));
                    }
                }
            }
            (Ok(_), Err(error)) => return Some(format!("{name}: {error}")),
            (Err(error), Ok(_)) => return Some(format!("{name}: runs where {error}")),
            (Err(_), Err(error)) if error.starts_with("panic") => {
                return Some(format!("{name}: {error}"));
            }
            (Err(_), Err(_)) => {}
        }
    }
    // The best processor, and the device.
    let mut last = backends.iter().rev().take(2);
    last.find_map(|(_, backend)| chunked_difference(&**backend, random, &bindings))
}

/// What linear recurrences compute otherwise in chunks than in steps, in numbers of twice the
/// digits: chunks sum in another order.
fn chunked_difference(
    backend: &dyn Backend,
    random: &RandomGraph,
    bindings: &Bindings,
) -> Option<String> {
    let (graph, bindings) = (random.graph.with_real(DType::F64), widened(bindings));
    for length in [1, 2, 4] {
        let (chunked, choices) = chunk_recurrences(&graph, Some(length));
        if choices.iter().all(|choice| choice.chunk.is_none()) {
            return None;
        }
        if let Err(error) = verify(&chunked) {
            return Some(format!("in chunks of {length}: {error}"));
        }
        let Ok(expected) = run(&Reference, &graph, &bindings) else {
            return None;
        };
        for backend in [&Reference as &dyn Backend, backend] {
            let found = match run(backend, &chunked, &bindings) {
                Ok(found) => found,
                Err(error) => return Some(format!("in chunks of {length}: {error}")),
            };
            let other = |(name, tensor): &(&String, &Tensor)| !agree(tensor, &found[*name]);
            // Where reals become integers, any rounding may show.
            if let Some((name, tensor)) = expected.iter().find(other)
                && !truncates(&graph)
            {
                return Some(format!(
                    "in chunks of {length}: `{name}` is {:?} where {:?} is right",
                    found[name].to_f64_vec(),
                    tensor.to_f64_vec()
                ));
            }
        }
    }
    None
}

/// The same with reals of twice the digits.
fn widened(bindings: &Bindings) -> Bindings {
    let mut wide = bindings.clone();
    let all = wide.inputs.values_mut().chain(wide.states.values_mut());
    for data in all {
        if data.dtype().is_real() {
            let tensor = data.to_host().expect("it is in memory");
            *data = tensor.to_dtype(DType::F64).into();
        }
    }
    wide
}

/// The smallest graph found that still fails.
fn shrunk(backends: &[Tried], words: Vec<u16>, seed: u64) -> RandomGraph {
    let mut attempts = 0;
    let mut fails = |random: &RandomGraph| {
        attempts += 1;
        attempts <= ATTEMPTS && difference(backends, random, seed).is_some()
    };
    let words = fewer_words(words, &mut |words| fails(&grow(words, Options::default())));
    let mut random = grow(&words, Options::default());
    while let Some(smaller) = smaller(&random).into_iter().find(|random| fails(random)) {
        random = smaller;
    }
    random
}

/// Fewer and smaller words for which `fails` still holds.
fn fewer_words(mut words: Vec<u16>, fails: &mut dyn FnMut(&[u16]) -> bool) -> Vec<u16> {
    let mut length = words.len();
    while length > 0 {
        let mut start = 0;
        while start < words.len() {
            let mut fewer = words.clone();
            fewer.drain(start..words.len().min(start + length));
            if fails(&fewer) {
                words = fewer;
            } else {
                start += length;
            }
        }
        length /= 2;
    }
    for at in 0..words.len() {
        let word = std::mem::take(&mut words[at]);
        if word != 0 && !fails(&words) {
            words[at] = word;
        }
    }
    words
}

/// Graphs with one result less, or with an input instead of a node.
fn smaller(random: &RandomGraph) -> Vec<RandomGraph> {
    let printed = text::print(&random.graph);
    let mut texts = fewer_results(&printed);
    let lines: Vec<&str> = printed.lines().collect();
    for (at, line) in lines.iter().enumerate().rev() {
        let Some((value, rest)) = line
            .strip_prefix("  %")
            .and_then(|rest| rest.split_once(" = "))
        else {
            continue;
        };
        let (Some((_, ty)), false) = (rest.split_once(" : "), rest.ends_with('{')) else {
            continue;
        };
        let graph = lines[..at]
            .iter()
            .position(|line| line.starts_with("graph "));
        let head = graph.unwrap_or(0);
        let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        changed.remove(at);
        for line in &mut changed {
            *line = replaced(line, &format!("%{value}"), &format!("new{value}"));
        }
        let input = format!("(new{value}: {}", ty.trim());
        changed[head] = if changed[head].contains("()") {
            changed[head].replacen("()", &format!("{input})"), 1)
        } else {
            changed[head].replacen('(', &format!("{input}, "), 1)
        };
        texts.push(changed.join("\n"));
    }
    let count = |graph: &Graph| graph.root.node_count() + graph.results.len();
    let graphs = texts.iter().filter_map(|text| text::parse(text).ok());
    graphs
        .map(|graph| drop_dead_values(&graph))
        .filter(|graph| {
            inputs(graph) < inputs(&random.graph) || count(graph) < count(&random.graph)
        })
        .map(|graph| RandomGraph {
            graph,
            sizes: random.sizes.clone(),
        })
        .collect()
}

/// Nodes that are no inputs: what makes a graph large.
fn inputs(graph: &Graph) -> usize {
    let nodes = graph.root.nodes();
    nodes
        .filter(|(_, node)| !matches!(node.op, Op::Input(..)))
        .count()
}

fn fewer_results(printed: &str) -> Vec<String> {
    let lines: Vec<&str> = printed.lines().collect();
    let head = lines.iter().position(|line| line.contains(") -> ("));
    let last = lines.iter().rposition(|line| line.starts_with("  return "));
    let (Some(head), Some(last)) = (head, last) else {
        return Vec::new();
    };
    let (Some((inputs, results)), Some(values)) = (
        lines[head].split_once(") -> ("),
        lines[last].strip_prefix("  return "),
    ) else {
        return Vec::new();
    };
    let results = split_list(results.trim_end_matches(['{', ' ']).trim_end_matches(')'));
    let values = split_list(values);
    let mut texts = Vec::new();
    for kept in 0..results.len().min(values.len()) {
        if results.len() < 2 {
            break;
        }
        let mut changed = lines.clone();
        let head_line = format!("{inputs}) -> ({}) {{", results[kept]);
        let last_line = format!("  return {}", values[kept]);
        changed[head] = &head_line;
        changed[last] = &last_line;
        changed.retain(|line| !line.starts_with("  update "));
        texts.push(changed.join("\n"));
    }
    texts
}

/// Parts between commas that stand outside brackets.
fn split_list(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in list.chars() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// A word replaced where it is not the start of a longer one.
fn replaced(line: &str, word: &str, by: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        out.push_str(before);
        let longer = after.starts_with(|c: char| c.is_ascii_digit());
        out.push_str(if longer { word } else { by });
        rest = after;
    }
    out + rest
}

/// What was said, without numbers and where it was said.
fn kind(said: &str) -> String {
    let (_, said) = said.split_once(": ").unwrap_or(("", said));
    let letters = said.chars().filter(|c| c.is_alphabetic());
    letters.take(60).collect()
}

#[test]
fn random_graphs_compute_what_the_reference_does() {
    let backends = backends();
    let graphs = std::env::var("GIRIH_GRAPHS")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut kinds = BTreeSet::new();
    let mut failures = Vec::new();
    let mut chunked = 0;
    for seed in 0..graphs.unwrap_or(GRAPHS) {
        let words = seeded_words(seed);
        let random = grow(&words, Options::default());
        let (_, choices) = chunk_recurrences(&random.graph, Some(2));
        chunked += choices.iter().filter(|own| own.chunk.is_some()).count();
        let Some(said) = difference(&backends, &random, seed) else {
            continue;
        };
        // One graph for each kind of failure says enough.
        if failures.len() < SHOWN && kinds.insert(kind(&said)) {
            let small = shrunk(&backends, words, seed);
            let said = difference(&backends, &small, seed).unwrap_or(said);
            failures.push(format!("graph {seed}: {said}\n{small:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(chunked > 0, "no graph has a linear recurrence");
}

#[test]
fn an_input_of_a_route_may_lack_the_first_item_axis() {
    let printed = "girih-graph 1
axis t time
axis i=t over t time
graph route(
  weights: f32[a=1, t, i=t],
  kept: bool[a=1, t, i=t],
  own: f32[i=t],
) -> (
  y: f32[t, i=t],
) {
  %0 = route weights, kept, own {branch: a, items: [t, i]} : f32[t, i=t] {
    branch(%1 = own: f32[i=t]) {
      %2 = tanh %1                     : f32[i=t]
      %3 = expand %2 {axes: t}         : f32[t, i=t]
      return %3
    }
  }
  return %0
}
";
    let graph = text::parse(printed).expect("it is well-formed");
    for (seed, size) in (0..20).zip([3, 5, 1, 0].into_iter().cycle()) {
        let random = RandomGraph {
            graph: graph.clone(),
            sizes: BTreeMap::from([("t".to_owned(), size)]),
        };
        assert_eq!(difference(&backends(), &random, seed), None, "{size}");
    }
}

/// The same in a process whose memory has fences: pages that nobody may touch around every buffer.
#[test]
fn no_kernel_leaves_its_memory() {
    let own = std::env::current_exe().expect("this test runs from a file");
    let run = std::process::Command::new(own)
        .args(["random_graphs_compute_what_the_reference_does", "--exact"])
        .env("GIRIH_CPU_FENCES", "1")
        .env("GIRIH_GRAPHS", "150")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}\n{said}", run.status);
}
