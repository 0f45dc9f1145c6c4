//! `girih cost`: operations, bytes, parameters and state as formulas of the sizes.

use std::collections::BTreeMap;

use girih_dsl::model::Model;
use girih_graph::stream::Stream;
use girih_graph::{Extent, cost};
use girih_transform::{stream, time_axis};
use serde_json::{Value, json};

use super::Streams;
use super::select::Selection;
use crate::failure::{Failure, Outcome};

/// Show what one run of a model costs, as formulas of its sizes.
///
/// An operation is one element of an elementwise result or one element that a reduction
/// takes in; a product and its sum are two. Bytes are what every operation reads and writes
/// if nothing is fused. A route counts all of its branches. Parameters count every instance,
/// state is what the model declares as such; carried are the bytes that a stream holds after a
/// sequence, where the model can be streamed, without the room to grow in: at most as much again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih cost model.girih
  girih cost model.girih --extent t=1024       numbers instead of formulas
  girih cost model.girih --modules             and every module's share")]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// The size of a symbolic axis. May be given several times.
    #[arg(long = "extent", value_name = "AXIS=SIZE", value_parser = parse_extent)]
    extents: Vec<(String, i64)>,
    /// Also list what each module instance costs, those inside it included.
    #[arg(long)]
    modules: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is counted, of a model or of one instance.
#[derive(Clone, Debug)]
struct Count {
    operations: Extent,
    bytes: Extent,
    parameters: Extent,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let (_, model) = args.selection.compile(streams.colors)?;
    let total = cost::of(&model.graph);
    let sizes: BTreeMap<&str, i64> = args
        .extents
        .iter()
        .map(|(name, size)| (name.as_str(), *size))
        .collect();
    known_symbols(&model, &sizes)?;
    let parameters = sum(model.params.iter().map(|param| product(&param.shape)));
    let mut rows = vec![
        ("operations", total.flops),
        ("bytes", total.bytes),
        ("parameters", parameters),
        ("state", total.state),
    ];
    if let Some(stream) = streamed(&model) {
        rows.push(("carried", carried(&stream)));
        rows.push(("latency", Extent::constant(stream.latency())));
    }
    let shown = |extent: &Extent| show(extent, &sizes);
    let modules = if args.modules {
        by_instance(&model)
    } else {
        Vec::new()
    };
    if args.json {
        let mut report = serde_json::Map::new();
        for (name, extent) in &rows {
            report.insert((*name).to_owned(), to_json(extent, &sizes)?);
        }
        if args.modules {
            let mut list = Vec::new();
            for (path, module, count) in &modules {
                list.push(json!({
                    "path": path,
                    "module": module,
                    "operations": to_json(&count.operations, &sizes)?,
                    "bytes": to_json(&count.bytes, &sizes)?,
                    "parameters": to_json(&count.parameters, &sizes)?,
                }));
            }
            report.insert("modules".to_owned(), Value::Array(list));
        }
        writeln!(streams.out, "{:#}", Value::Object(report))?;
        return Ok(Outcome::Holds);
    }
    for (name, extent) in &rows {
        writeln!(streams.out, "{name:10}  {}", shown(extent)?)?;
    }
    for (path, module, count) in &modules {
        writeln!(streams.out, "\n{path}: {module}")?;
        writeln!(streams.out, "  operations  {}", shown(&count.operations)?)?;
        writeln!(streams.out, "  bytes       {}", shown(&count.bytes)?)?;
        writeln!(streams.out, "  parameters  {}", shown(&count.parameters)?)?;
    }
    Ok(Outcome::Holds)
}

/// The model as a stream, if it is one.
fn streamed(model: &Model) -> Option<Stream> {
    stream(&model.graph, &time_axis(&model.graph)?).ok()
}

/// Bytes that a stream carries after a sequence of this length.
fn carried(stream: &Stream) -> Extent {
    let length = Extent::symbol(&stream.new);
    let bytes = stream.carried_bytes();
    bytes.substitute(&|symbol| (symbol == stream.total).then(|| length.clone()))
}

/// Every instance with all that is inside it.
fn by_instance(model: &Model) -> Vec<(String, String, Count)> {
    let root = &model.graph.root;
    let inside = |path: &str, outer: &str| {
        outer.is_empty()
            || path == outer
            || path.strip_prefix(outer).is_some_and(|r| r.starts_with('.'))
    };
    let nodes: Vec<(&str, cost::Work)> = (root.nodes())
        .map(|(id, node)| {
            let path = root.origin(id).map_or("", |origin| &*origin.path);
            (path, cost::node(&model.graph.axes, root, node))
        })
        .collect();
    (model.instances.iter().skip(1))
        .map(|instance| {
            let own = |path: &str| inside(path, &instance.path);
            let work = || {
                nodes
                    .iter()
                    .filter(|(path, _)| own(path))
                    .map(|(_, work)| work)
            };
            let params = model.params.iter().filter(|param| own(&param.path));
            let count = Count {
                operations: sum(work().map(|work| work.flops.clone())),
                bytes: sum(work().map(|work| work.bytes.clone())),
                parameters: sum(params.map(|param| product(&param.shape))),
            };
            (instance.path.clone(), instance.module.clone(), count)
        })
        .collect()
}

fn sum(parts: impl Iterator<Item = Extent>) -> Extent {
    parts.fold(Extent::constant(0), |total, part| total.plus(&part))
}

fn product(parts: &[Extent]) -> Extent {
    parts
        .iter()
        .fold(Extent::constant(1), |total, part| total.times(part))
}

/// Fails when a size is given to a symbol that the model does not have.
fn known_symbols(model: &Model, sizes: &BTreeMap<&str, i64>) -> Result<(), Failure> {
    let mut known: Vec<String> = (model.graph.axes.iter())
        .flat_map(|(_, axis)| axis.extent.symbols())
        .map(|symbol| symbol.to_string())
        .collect();
    known.sort();
    known.dedup();
    for name in sizes.keys() {
        if !known.iter().any(|own| own == name) {
            let list = known
                .iter()
                .map(|own| format!("`{own}`"))
                .collect::<Vec<_>>()
                .join(", ");
            let there = if known.is_empty() {
                "every size is fixed".to_owned()
            } else {
                format!("there are {list}")
            };
            return Err(Failure::Misuse(format!(
                "no symbolic size is called `{name}`; {there}"
            )));
        }
    }
    Ok(())
}

/// The formula with the given sizes put in; a number with its thousands apart.
fn show(extent: &Extent, sizes: &BTreeMap<&str, i64>) -> Result<String, Failure> {
    let put = put_in(extent, sizes);
    match number(&put)? {
        Some(number) => Ok(readable(number)),
        None => Ok(put.to_string()),
    }
}

fn to_json(extent: &Extent, sizes: &BTreeMap<&str, i64>) -> Result<Value, Failure> {
    let put = put_in(extent, sizes);
    Ok(number(&put)?.map_or_else(|| json!(put.to_string()), |number| json!(number)))
}

fn put_in(extent: &Extent, sizes: &BTreeMap<&str, i64>) -> Extent {
    extent.substitute(&|name| sizes.get(name).map(|size| Extent::constant(*size)))
}

/// The number, if no symbol is left. Sizes past 2^63 are told, not shown wrongly.
fn number(extent: &Extent) -> Result<Option<i64>, Failure> {
    if !extent.symbols().is_empty() {
        return Ok(None);
    }
    match extent.evaluate(&|_| None) {
        Ok(i64::MAX | i64::MIN) => {
            Err(Failure::Refused("the cost does not fit 64 bits".to_owned()))
        }
        Ok(number) => Ok(Some(number)),
        Err(error) => Err(Failure::Refused(error.to_string())),
    }
}

/// `134_515_008 (134.5 M)`.
fn readable(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut apart = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            apart.push('_');
        }
        apart.push(digit);
    }
    if number < 0 {
        apart.insert(0, '-');
    }
    for (unit, size) in [("T", 1e12), ("G", 1e9), ("M", 1e6)] {
        if number as f64 >= size {
            return format!("{apart} ({:.1} {unit})", number as f64 / size);
        }
    }
    apart
}

pub(super) fn parse_extent(text: &str) -> Result<(String, i64), String> {
    let (name, size) = text
        .split_once('=')
        .ok_or("write `axis=size`, for instance `t=128`")?;
    let number: i64 = size.parse().map_err(|_| format!("`{size}` is no size"))?;
    if !(0..=Extent::LIMIT).contains(&number) {
        return Err(format!("a size lies between 0 and {}", Extent::LIMIT));
    }
    Ok((name.to_owned(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1_000"),
            (134_515_008, "134_515_008 (134.5 M)"),
            (-1234, "-1_234"),
        ] {
            assert_eq!(readable(number), text);
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(parse_extent("t=128"), Ok(("t".to_owned(), 128)));
        for bad in ["t", "t=", "t=-1", "t=x", "t=99999999999999999999"] {
            assert!(parse_extent(bad).is_err(), "{bad}");
        }
    }
}
