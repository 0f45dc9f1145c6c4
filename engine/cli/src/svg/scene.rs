//! From a graph to cards, boxes and wires.
//!
//! One card is one statement of one instance: all nodes that came from it. A statement
//! that calls another module in its middle has one card before and one after, so that
//! cards never wait for each other in a circle. Parameters are chips on the cards that read
//! them; scalars that depend on nothing are left out, as the text of the card shows them.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::{AxisTable, DType, Graph, Node, NodeId, Op, Region, ValueId, ValueType};

use super::Legend;

/// What a picture shows, without places.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    /// Boxes; the first one is the whole model.
    pub(super) frames: Vec<Frame>,
    /// In the order of the graph.
    pub(super) cards: Vec<Card>,
    /// One for each value that another card reads.
    pub(super) wires: Vec<Wire>,
}

/// A box: an instance of a module.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Path of the instance.
    pub(super) path: String,
    /// Name of the module.
    pub(super) module: String,
    /// The box around it; the model has none.
    pub(super) parent: Option<usize>,
    /// How many instances it stands for.
    pub(super) count: usize,
}

/// What dominates a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Plain,
    Read,
    Reduce,
    Contract,
    Route,
    Loop,
    Input,
    Output,
}

/// An equation, an input or a result.
#[derive(Clone, Debug)]
pub(super) struct Card {
    /// The box it stands in.
    pub(super) frame: usize,
    /// What dominates it.
    pub(super) kind: Kind,
    /// Its text.
    pub(super) lines: Vec<String>,
    /// Parameters that it reads: name and axes.
    pub(super) chips: Vec<(String, String)>,
    /// What a loop carries from step to step.
    pub(super) carried: Vec<String>,
    /// Whether it only gives axes other names or other groups.
    pub(super) view: bool,
}

/// A value on its way from one card to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    /// The card that makes it.
    pub(super) from: usize,
    /// Which of the values of that card, in the order of the graph.
    pub(super) output: usize,
    /// Its type.
    pub(super) label: String,
    /// The cards that read it, ascending.
    pub(super) to: Vec<usize>,
}

/// The longest line of a card, in characters.
const LINE: usize = 56;

/// More values than one card makes.
const VIEW: usize = 1 << 20;

/// The most lines of a card.
const LINES: usize = 14;

/// Which statement of which instance: box, statement, visit.
type Key = (usize, u64, usize);

pub(super) fn scene(graph: &Graph, legend: &dyn Legend) -> Scene {
    let frames = frames(graph, legend);
    let region = &graph.root;
    let drawn = drawn_nodes(region);
    let (keys, texts) = statements(region, legend, &frames, &drawn);
    let mut scene = Scene {
        frames,
        ..Scene::default()
    };
    let mut card_of: BTreeMap<Key, usize> = BTreeMap::new();
    let mut cards: Vec<Option<usize>> = vec![None; region.node_count()];
    for (id, node) in region.nodes() {
        let place = id.index();
        match &node.op {
            Op::Input(name, _) => {
                let line = name.to_string();
                cards[place] = Some(scene.add(0, Kind::Input, vec![line]));
            }
            Op::State(path) => {
                cards[place] = Some(scene.add(0, Kind::Input, vec![format!("state {path}")]));
            }
            _ => {
                let Some(key) = keys[place] else { continue };
                let card = *card_of.entry(key).or_insert_with(|| {
                    let text = texts.get(&key.1);
                    let lines = text.map_or_else(|| vec![plain_name(node)], |text| wrap(text));
                    scene.add(key.0, Kind::Plain, lines)
                });
                cards[place] = Some(card);
                note(&mut scene, card, graph, node);
            }
        }
    }
    wires(&mut scene, graph, &cards);
    for card in &mut scene.cards {
        card.chips = numbered(std::mem::take(&mut card.chips));
    }
    scene.skip_views()
}

impl Scene {
    fn add(&mut self, frame: usize, kind: Kind, lines: Vec<String>) -> usize {
        self.cards.push(Card {
            frame,
            kind,
            lines,
            chips: Vec::new(),
            carried: Vec::new(),
            view: kind == Kind::Plain,
        });
        self.cards.len() - 1
    }

    /// Without cards that only look at another card's value: their wires begin there.
    fn skip_views(mut self) -> Self {
        let mut gone = BTreeSet::new();
        for card in 0..self.cards.len() {
            let inputs: Vec<usize> = (0..self.wires.len())
                .filter(|wire| self.wires[*wire].to.contains(&card))
                .collect();
            let ([input], true) = (inputs.as_slice(), self.cards[card].view) else {
                continue;
            };
            let (from, output) = (self.wires[*input].from, self.wires[*input].output);
            self.wires[*input].to.retain(|to| *to != card);
            for wire in self.wires.iter_mut().filter(|wire| wire.from == card) {
                // Another form of a value is another wire.
                wire.output = output + VIEW * (wire.output + 1);
                wire.from = from;
            }
            gone.insert(card);
        }
        self.without(&gone)
    }

    /// The scene without some cards, which no wire reads any more.
    pub(super) fn without(mut self, gone: &BTreeSet<usize>) -> Self {
        let mut place = vec![0; self.cards.len()];
        let mut next = 0;
        for (card, place) in place.iter_mut().enumerate() {
            *place = next;
            next += usize::from(!gone.contains(&card));
        }
        let mut index = 0;
        self.cards.retain(|_| {
            index += 1;
            !gone.contains(&(index - 1))
        });
        self.wires.retain(|wire| !wire.to.is_empty());
        for wire in &mut self.wires {
            wire.from = place[wire.from];
            wire.to = wire.to.iter().map(|to| place[*to]).collect();
        }
        self.wires.sort_by_key(|wire| (wire.from, wire.output));
        self
    }
}

/// One box for each instance; the parent is the instance with the longest path before it.
fn frames(graph: &Graph, legend: &dyn Legend) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut by_path: BTreeMap<String, usize> = BTreeMap::new();
    let mut instances = legend.instances();
    instances.sort_by_key(|(path, _)| path.matches('.').count() + usize::from(!path.is_empty()));
    if instances.first().is_none_or(|(path, _)| !path.is_empty()) {
        instances.insert(0, ("", &graph.name));
    }
    for (path, module) in instances {
        let mut above = path;
        let parent = loop {
            if above.is_empty() {
                break by_path.get("").copied();
            }
            above = above.rfind('.').map_or("", |dot| &above[..dot]);
            if let Some(&parent) = by_path.get(above) {
                break Some(parent);
            }
        };
        by_path.insert(path.to_owned(), frames.len());
        frames.push(Frame {
            path: path.to_owned(),
            module: module.to_owned(),
            parent,
            count: 1,
        });
    }
    frames
}

/// Nodes that a picture shows: not parameters, not scalars that depend on nothing.
fn drawn_nodes(region: &Region) -> Vec<bool> {
    let mut constant = vec![false; region.node_count()];
    let mut drawn = vec![true; region.node_count()];
    for (id, node) in region.nodes() {
        let place = id.index();
        let given = matches!(
            node.op,
            Op::Input(..) | Op::Param(..) | Op::State(_) | Op::Random(..)
        );
        constant[place] = !given
            && (node.operands.iter()).all(|operand| match region.definition(*operand) {
                girih_graph::Definition::Parameter(_) => false,
                girih_graph::Definition::Result(node, _) => constant[node.index()],
            });
        let scalar = (node.results.iter()).all(|value| region.ty(*value).axes.is_empty());
        let leaf = matches!(node.op, Op::Param(..) | Op::Index(_));
        drawn[place] = !(leaf || constant[place] && scalar);
    }
    for result in region.results() {
        if let girih_graph::Definition::Result(node, _) = region.definition(*result) {
            drawn[node.index()] |= !matches!(region.node(node).op, Op::Param(..));
        }
    }
    drawn
}

/// The statement of each node, visits apart, and the texts of statements. Nodes of functions
/// go with whoever reads them.
fn statements(
    region: &Region,
    legend: &dyn Legend,
    frames: &[Frame],
    drawn: &[bool],
) -> (Vec<Option<Key>>, BTreeMap<u64, String>) {
    let by_path: BTreeMap<&str, usize> = (frames.iter().enumerate())
        .map(|(index, frame)| (&*frame.path, index))
        .collect();
    let mut texts: BTreeMap<u64, String> = BTreeMap::new();
    let mut keys: Vec<Option<(usize, u64)>> = vec![None; region.node_count()];
    // The functions of nodes that no statement of a module made.
    let mut functions: Vec<Option<(usize, u64)>> = vec![None; region.node_count()];
    let mut homes = vec![0; region.node_count()];
    for (id, _) in region.nodes() {
        let place = id.index();
        let Some(origin) = region.origin(id) else {
            continue;
        };
        homes[place] = by_path.get(&*origin.path).copied().unwrap_or(0);
        let Some(statement) = legend.statement(origin).filter(|_| drawn[place]) else {
            continue;
        };
        if let Some(module) = &statement.module {
            // What a caller does to a value on its way in or out belongs to the caller.
            while let (true, Some(parent)) = (
                frames[homes[place]].module != *module,
                frames[homes[place]].parent,
            ) {
                homes[place] = parent;
            }
            keys[place] = Some((homes[place], statement.key));
        } else {
            functions[place] = Some((homes[place], statement.key));
        }
        texts.insert(statement.key, statement.text);
    }
    let mut readers: Vec<BTreeSet<(usize, u64)>> = vec![BTreeSet::new(); region.node_count()];
    let nodes: Vec<(NodeId, &Node)> = region.nodes().collect();
    for (id, node) in nodes.iter().rev() {
        let place = id.index();
        if keys[place].is_none() && drawn[place] && !is_given(&node.op) {
            let same_home = |key: &&(usize, u64)| key.0 == homes[place];
            keys[place] = (readers[place].iter().find(same_home).copied())
                .or(functions[place])
                .or(Some((homes[place], own_key(place))));
        }
        if let Some(key) = keys[place] {
            for operand in &node.operands {
                if let girih_graph::Definition::Result(maker, _) = region.definition(*operand) {
                    readers[maker.index()].insert(key);
                }
            }
        }
    }
    (visits(region, &keys), texts)
}

fn is_given(op: &Op) -> bool {
    matches!(op, Op::Input(..) | Op::Param(..) | Op::State(_))
}

/// The key of a node that no statement made: past all keys of statements.
fn own_key(place: usize) -> u64 {
    u64::MAX - place as u64
}

/// Counts how often the way to a node left its statement and came back.
fn visits(region: &Region, keys: &[Option<(usize, u64)>]) -> Vec<Option<Key>> {
    let mut members: BTreeMap<(usize, u64), Vec<usize>> = BTreeMap::new();
    for (place, key) in keys.iter().enumerate() {
        if let Some(key) = key {
            members.entry(*key).or_default().push(place);
        }
    }
    let nodes: Vec<&Node> = region.nodes().map(|(_, node)| node).collect();
    let mut visit = vec![0; keys.len()];
    for (key, places) in &members {
        let (Some(&first), Some(&last)) = (places.first(), places.last()) else {
            continue;
        };
        if first == last {
            continue;
        }
        // For nodes from `first` on: how many visits lie before, and whether outside since.
        let mut seen: Vec<Option<usize>> = vec![None; last - first + 1];
        for place in first..=last {
            let inside = keys[place] == Some(*key);
            let mut most = None;
            for operand in &nodes[place].operands {
                let girih_graph::Definition::Result(maker, _) = region.definition(*operand) else {
                    continue;
                };
                let Some(before) = maker.index().checked_sub(first).and_then(|at| seen[at]) else {
                    continue;
                };
                let left =
                    inside && keys[maker.index()] != Some(*key) && keys[maker.index()].is_some();
                most = most.max(Some(before + usize::from(left)));
            }
            if inside {
                visit[place] = most.unwrap_or(0);
                seen[place - first] = Some(visit[place]);
            } else {
                seen[place - first] = most;
            }
        }
    }
    (keys.iter().zip(visit))
        .map(|(key, visit)| key.map(|(frame, own)| (frame, own, visit)))
        .collect()
}

fn plain_name(node: &Node) -> String {
    match &node.op {
        Op::Unary(op) => op.word().to_owned(),
        Op::Binary(op) => op.word().to_owned(),
        Op::Reduce(combine, _) => combine.word().to_owned(),
        op => op.name().to_owned(),
    }
}

/// Kind, chips and carried values that a node brings to its card.
fn note(scene: &mut Scene, card: usize, graph: &Graph, node: &Node) {
    let frame = scene.frames[scene.cards[card].frame].path.clone();
    let region = &graph.root;
    let card = &mut scene.cards[card];
    let kind = match &node.op {
        Op::Recurrence(_) => Kind::Loop,
        Op::Route(_) => Kind::Route,
        Op::Contract(_) => Kind::Contract,
        Op::Reduce(..) | Op::Softmax(_) | Op::Cumulate { .. } | Op::Order { .. } => Kind::Reduce,
        Op::Gather { .. } | Op::Scatter { .. } | Op::Window { .. } | Op::Fold { .. } => Kind::Read,
        _ => Kind::Plain,
    };
    card.kind = card.kind.max(kind);
    card.view &= matches!(
        node.op,
        Op::Split(..) | Op::Merge(..) | Op::Rename(_) | Op::Expand(_)
    );
    for operand in &node.operands {
        let Some(Node {
            op: Op::Param(path, ty),
            ..
        }) = region.defining_node(*operand)
        else {
            continue;
        };
        let inner = path
            .strip_prefix(&*frame)
            .and_then(|rest| rest.strip_prefix('.'));
        let name = inner.unwrap_or(path).to_owned();
        let chip = (name, show_type(&graph.axes, ty));
        if !card.chips.contains(&chip) {
            card.chips.push(chip);
        }
    }
    if let Op::Recurrence(recurrence) = &node.op {
        let carried = node.results.iter().take(recurrence.carried);
        card.carried
            .extend(carried.map(|value| show_type(&graph.axes, region.ty(*value))));
    }
}

/// Chips that differ in one number of their names become one: `ffn.0…7.up`.
fn numbered(chips: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut groups: Vec<(String, String, String, Vec<u64>)> = Vec::new();
    for (name, ty) in chips {
        let parts: Vec<&str> = name.split('.').collect();
        let number =
            (parts.iter().enumerate()).find_map(|(at, part)| Some((at, part.parse().ok()?)));
        let (before, after, numbers) = match number {
            Some((at, number)) => (
                parts[..at].join("."),
                parts[at + 1..].join("."),
                vec![number],
            ),
            None => (name.clone(), String::new(), Vec::new()),
        };
        let same = groups.iter_mut().find(|group| {
            !numbers.is_empty()
                && !group.3.is_empty()
                && (&group.0, &group.1, &group.2) == (&before, &after, &ty)
        });
        match same {
            Some(group) => group.3.extend(numbers),
            None => groups.push((before, after, ty, numbers)),
        }
    }
    (groups.into_iter())
        .map(|(before, after, ty, numbers)| {
            let middle = match numbers.as_slice() {
                [] => return (before, ty),
                [one] => one.to_string(),
                [first, .., last] => format!("{first}…{last}"),
            };
            let parts = [before, middle, after];
            let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            (parts.join("."), ty)
        })
        .collect()
}

/// Values that cross from card to card, and the results.
fn wires(scene: &mut Scene, graph: &Graph, cards: &[Option<usize>]) {
    let region = &graph.root;
    let mut outputs: BTreeMap<usize, Vec<ValueId>> = BTreeMap::new();
    for (id, node) in region.nodes() {
        if let Some(card) = cards[id.index()] {
            outputs.entry(card).or_default().extend(&node.results);
        }
    }
    let mut readers: BTreeMap<(usize, usize), BTreeSet<usize>> = BTreeMap::new();
    let mut labels: BTreeMap<(usize, usize), String> = BTreeMap::new();
    let mut connect = |value: ValueId, to: usize| {
        let girih_graph::Definition::Result(maker, _) = region.definition(value) else {
            return;
        };
        let Some(from) = cards[maker.index()].filter(|from| *from != to) else {
            return;
        };
        let output = outputs[&from]
            .iter()
            .position(|own| *own == value)
            .unwrap_or(0);
        readers.entry((from, output)).or_default().insert(to);
        labels
            .entry((from, output))
            .or_insert_with(|| show_type(&graph.axes, region.ty(value)));
    };
    for (id, node) in region.nodes() {
        if let Some(card) = cards[id.index()] {
            node.operands
                .iter()
                .for_each(|operand| connect(*operand, card));
        }
    }
    let updates = graph.updates.iter().map(|path| format!("next {path}"));
    let names = graph.results.iter().cloned().chain(updates);
    for (name, value) in names.zip(region.results()) {
        let card = scene.add(0, Kind::Output, vec![name]);
        connect(*value, card);
    }
    scene.wires = (readers.into_iter())
        .map(|((from, output), to)| Wire {
            from,
            output,
            label: labels[&(from, output)].clone(),
            to: to.into_iter().collect(),
        })
        .collect();
}

/// `[t, d=16]`, `i64[t]`, `f32` of a scalar; copies of an axis without their numbers.
fn show_type(axes: &AxisTable, ty: &ValueType) -> String {
    if ty.axes.is_empty() {
        return ty.dtype.to_string();
    }
    let dtype = if ty.dtype == DType::F32 {
        String::new()
    } else {
        ty.dtype.to_string()
    };
    let shown: Vec<String> = ty.axes.iter().map(|axis| show_axis(axes, *axis)).collect();
    format!("{dtype}[{}]", shown.join(", "))
}

fn show_axis(axes: &AxisTable, axis: girih_graph::AxisId) -> String {
    let name = axes.name(axis);
    let short = name
        .rsplit_once('.')
        .filter(|(_, copy)| copy.bytes().all(|b| b.is_ascii_digit()));
    let short = short.map_or(name, |(stem, _)| stem);
    match axes.extent(axis).as_constant() {
        Some(extent) => format!("{short}={extent}"),
        None => short.to_owned(),
    }
}

/// Lines of a card: comments gone, long ones broken at spaces.
fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let source: Vec<&str> = text
        .lines()
        .map(code_of)
        .filter(|line| !line.trim().is_empty())
        .collect();
    let indent = (source.iter().skip(1))
        .map(|line| leading(line))
        .min()
        .unwrap_or(0);
    for (position, line) in source.iter().enumerate() {
        // A closing brace stands where the statement begins, so the least indent is its.
        let line = if position == 0 {
            line.trim()
        } else {
            line.get(indent..).unwrap_or(line).trim_end()
        };
        let mut rest = line.to_owned();
        while rest.chars().count() > LINE {
            let limit = rest
                .char_indices()
                .nth(LINE)
                .map_or(rest.len(), |(at, _)| at);
            let margin = leading(&rest);
            let cut = rest[..limit].rfind(' ').filter(|cut| *cut > margin + 12);
            let Some(cut) = cut else { break };
            let tail = format!(
                "{}    {}",
                " ".repeat(margin.min(8)),
                rest[cut..].trim_start()
            );
            rest.truncate(cut);
            lines.push(std::mem::replace(&mut rest, tail));
        }
        lines.push(rest);
    }
    if lines.len() > LINES {
        lines.truncate(LINES - 1);
        lines.push("…".to_owned());
    }
    lines
}

fn leading(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The line without its comment; `#` inside quotes is none.
fn code_of(line: &str) -> &str {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return line[..at].trim_end(),
            _ => {}
        }
    }
    line.trim_end()
}
