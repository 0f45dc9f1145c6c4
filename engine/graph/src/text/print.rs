//! Graph to text.
//!
//! Nothing here depends on hash order, addresses or the axes' and values' ids:
//! equal graphs have equal texts.

mod attributes;

use std::fmt::Write as _;

use super::mentions::{is_input, mentions};
use super::{MAGIC, VERSION};
use crate::axis::AxisTable;
use crate::graph::{Graph, Node, Region, ValueId};
use crate::name;
use crate::op::{Call, Op, Recurrence, Route};

/// Where the colon before a type stands if what precedes is not longer.
const COLON: usize = 38;

/// Heads longer than this have one input and one result per line.
const WIDE: usize = 100;

/// The complete text of `graph`, as [`parse`](super::parse) reads it.
pub fn print(graph: &Graph) -> String {
    print_with(graph, false)
}

/// The text with long tables as hashes: for people and for snapshots, not for
/// [`parse`](super::parse).
pub fn snapshot(graph: &Graph) -> String {
    print_with(graph, true)
}

/// What a node computes, apart from which operands it has: nodes of one graph with equal
/// keys and equal operands hold equal values.
pub fn node_key(axes: &AxisTable, region: &Region, node: &Node) -> String {
    let mut printer = Printer {
        axes,
        brief: false,
        out: String::new(),
        depth: 0,
        next: 0,
    };
    // Inside the text of its own regions, operands are known by position alone.
    let positions = 0..node.operands.len();
    let operands: Vec<String> = positions.map(|position| format!("@{position}")).collect();
    let leaf = match &node.op {
        Op::Input(name, _) | Op::Param(name, _) | Op::State(name) => name::quote(name),
        _ => String::new(),
    };
    printer.computation(region, node, &leaf, &operands);
    printer.out
}

fn print_with(graph: &Graph, brief: bool) -> String {
    let mut printer = Printer {
        axes: &graph.axes,
        brief,
        out: format!("{MAGIC} {VERSION}\n"),
        depth: 0,
        next: 0,
    };
    printer.graph(graph);
    printer.out
}

struct Printer<'a> {
    axes: &'a AxisTable,
    brief: bool,
    out: String,
    depth: usize,
    next: usize,
}

impl Printer<'_> {
    fn graph(&mut self, graph: &Graph) {
        for axis in mentions(graph).declared {
            let mut line = format!("axis {}", self.axes.show_axis(axis));
            if let Some(parent) = self.axes[axis].over {
                // Writing to a `String` cannot fail, here and below.
                let _ = write!(line, " over {}", name::show(self.axes.name(parent)));
            }
            if self.axes[axis].time {
                line.push_str(" time");
            }
            self.line(&line);
        }
        let mut names = vec![String::new(); graph.root.value_count()];
        self.head(graph, &mut names);
        self.depth += 1;
        for check in &graph.checks {
            let reason = name::quote(&check.reason);
            self.line(&format!("check {} == {} {reason}", check.left, check.right));
        }
        self.nodes(&graph.root, &mut names);
        let shown: Vec<&str> = shown(&names, graph.root.results()).collect();
        let (results, updates) = shown.split_at(graph.results.len().min(shown.len()));
        for (path, value) in graph.updates.iter().zip(updates) {
            self.line(&format!("update {} = {value}", name::show(path)));
        }
        self.line(format!("return {}", results.join(", ")).trim_end());
        self.depth -= 1;
        self.line("}");
    }

    fn head(&mut self, graph: &Graph, names: &mut [String]) {
        let mut inputs = Vec::new();
        for (_, node) in graph.root.nodes() {
            if let (Op::Input(input, ty), [value]) = (&node.op, node.results.as_slice()) {
                names[value.index()] = name::show(input);
                inputs.push(format!("{}: {}", name::show(input), self.axes.show(ty)));
            }
        }
        let results = graph.results.iter().zip(graph.root.results());
        let results: Vec<String> = results
            .map(|(result, value)| {
                let ty = self.axes.show(graph.root.ty(*value));
                format!("{}: {ty}", name::show(result))
            })
            .collect();
        let start = format!("graph {}", name::show(&graph.name));
        let (given, made) = (inputs.join(", "), results.join(", "));
        let line = format!("{start}({given}) -> ({made}) {{");
        if line.chars().count() <= WIDE {
            self.line(&line);
            return;
        }
        self.line(&format!("{start}("));
        self.list(&inputs);
        self.line(") -> (");
        self.list(&results);
        self.line(") {");
    }

    fn list(&mut self, items: &[String]) {
        for item in items {
            self.line(&format!("  {item},"));
        }
    }

    fn nodes(&mut self, region: &Region, names: &mut [String]) {
        for (_, node) in region.nodes() {
            match (&node.op, node.results.as_slice()) {
                (op, _) if is_input(op) => {}
                (Op::Param(path, ty), [value]) => {
                    let path = name::show(path);
                    self.line(&format!("param {path}: {}", self.axes.show(ty)));
                    names[value.index()] = path;
                }
                (Op::State(path), [value]) => {
                    let path = name::show(path);
                    let start: Vec<&str> = shown(names, &node.operands).collect();
                    let left = format!("state {path} = {}", start.join(", "));
                    self.typed(&left, &self.axes.show(region.ty(*value)), "");
                    names[value.index()] = path;
                }
                _ => self.node(region, node, names),
            }
        }
    }

    fn node(&mut self, region: &Region, node: &Node, names: &mut [String]) {
        let operands: Vec<String> = shown(names, &node.operands).map(str::to_owned).collect();
        let mut left = Vec::new();
        for result in &node.results {
            let name = self.fresh();
            names[result.index()].clone_from(&name);
            left.push(name);
        }
        if left.is_empty() {
            left.push("_".to_owned());
        }
        let left = left.join(", ");
        self.computation(region, node, &format!("{left} = "), &operands);
    }

    /// What a node computes of these operands, behind the names of its results.
    fn computation(&mut self, region: &Region, node: &Node, left: &str, operands: &[String]) {
        let op = &node.op;
        let types = node.results.iter().map(|v| self.axes.show(region.ty(*v)));
        let types = match node.results.as_slice() {
            [] => "_".to_owned(),
            _ => types.collect::<Vec<_>>().join(", "),
        };
        let mut line = format!("{left}{}", op.name());
        if !operands.is_empty() && !matches!(op, Op::Recurrence(_)) {
            let _ = write!(line, " {}", operands.join(", "));
        }
        line.push_str(&attributes::show(self.axes, op, self.brief));
        match op {
            Op::Recurrence(recurrence) => {
                self.typed(&line, &types, " {");
                self.recurrence(recurrence, operands);
            }
            Op::Route(route) => {
                self.typed(&line, &types, " {");
                self.route(route, operands);
            }
            Op::Call(call) if call.body().or(call.gradient()).is_some() => {
                self.typed(&line, &types, " {");
                self.call(call);
            }
            _ => self.typed(&line, &types, ""),
        }
    }

    fn recurrence(&mut self, recurrence: &Recurrence, operands: &[String]) {
        let body = &recurrence.body;
        let mut names = vec![String::new(); body.value_count()];
        self.depth += 1;
        for (position, (param, outer)) in body.params().iter().zip(operands).enumerate() {
            let word = match position {
                _ if position < recurrence.carried => "carry",
                _ if position < recurrence.carried + recurrence.sequences => "slice",
                _ => "keep",
            };
            let inner = self.fresh();
            let ty = self.axes.show(body.ty(*param));
            self.typed(&format!("{word} {inner} = {outer}"), &ty, "");
            names[param.index()] = inner;
        }
        self.body(body, &mut names);
    }

    fn route(&mut self, route: &Route, operands: &[String]) {
        self.depth += 1;
        for (branch, reads) in route.parts() {
            let mut names = vec![String::new(); branch.value_count()];
            let mut params = Vec::new();
            for (param, input) in branch.params().iter().zip(reads) {
                let inner = self.fresh();
                let outer = operands.get(input + 2).map_or("_", String::as_str);
                let ty = self.axes.show(branch.ty(*param));
                params.push(format!("{inner} = {outer}: {ty}"));
                names[param.index()] = inner;
            }
            self.line(&format!("branch({}) {{", params.join(", ")));
            self.depth += 1;
            self.body(branch, &mut names);
        }
        self.depth -= 1;
        self.line("}");
    }

    fn call(&mut self, call: &Call) {
        self.depth += 1;
        let regions = [("body", call.body()), ("gradient", call.gradient())];
        for (word, region) in regions {
            let Some(region) = region else {
                continue;
            };
            let mut names = vec![String::new(); region.value_count()];
            let mut params = Vec::new();
            for param in region.params() {
                let inner = self.fresh();
                params.push(format!("{inner}: {}", self.axes.show(region.ty(*param))));
                names[param.index()] = inner;
            }
            self.line(&format!("{word}({}) {{", params.join(", ")));
            self.depth += 1;
            self.body(region, &mut names);
        }
        self.depth -= 1;
        self.line("}");
    }

    /// Nodes, results and the closing brace of a region whose parameters are named.
    fn body(&mut self, region: &Region, names: &mut [String]) {
        self.nodes(region, names);
        let results: Vec<&str> = shown(names, region.results()).collect();
        self.line(format!("return {}", results.join(", ")).trim_end());
        self.depth -= 1;
        self.line("}");
    }

    fn fresh(&mut self) -> String {
        let number = self.next;
        self.next += 1;
        format!("%{number}")
    }

    fn typed(&mut self, left: &str, ty: &str, end: &str) {
        let column = COLON.saturating_sub(2 * self.depth);
        self.line(&format!("{left:column$} : {ty}{end}"));
    }

    fn line(&mut self, line: &str) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(line);
        self.out.push('\n');
    }
}

fn shown<'a>(names: &'a [String], values: &'a [ValueId]) -> impl Iterator<Item = &'a str> {
    values.iter().map(|value| names[value.index()].as_str())
}
