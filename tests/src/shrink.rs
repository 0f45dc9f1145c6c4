//! Makes a random graph smaller that a test fails on.

use girih_graph::{Graph, Op, text};
use girih_plan::drop_dead_values;

use crate::random_graph::{Options, RandomGraph, grow};

/// The smallest graph found that still fails.
pub fn shrunk(
    words: Vec<u16>,
    most: usize,
    fails: &mut dyn FnMut(&RandomGraph) -> bool,
) -> RandomGraph {
    let mut attempts = 0;
    let mut fails = |random: &RandomGraph| {
        attempts += 1;
        attempts <= most && fails(random)
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
