//! Where the items of one box stand: layers from top to bottom.
//!
//! The classical four steps: layers by longest path, order inside layers by the mean of
//! the neighbors, places by least squares, wires through the gaps. Wires of one value share
//! their way. Everything is decided by input order, so equal inputs give equal pictures.

/// Where an item must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pin {
    /// In the first layer.
    Top,
    /// Anywhere.
    Free,
    /// In the last layer.
    Bottom,
}

/// Something with a size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) pin: Pin,
}

/// Where on an item a wire ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attach {
    /// At this distance from its left side.
    At(f64),
    /// Wherever it suits: wires are spread over the side, in order of where they come from.
    Spread,
}

/// A value: from the lower side of an item to the upper sides of others.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) from: (usize, Attach),
    pub(super) to: Vec<(usize, Attach)>,
    /// Width of the label beside its start.
    pub(super) label: f64,
}

/// The result, relative to the upper left corner.
#[derive(Clone, Debug, Default)]
pub(super) struct Placed {
    /// Upper left corner of each item.
    pub(super) at: Vec<(f64, f64)>,
    /// For each link: where it starts, and for each target the points it passes.
    pub(super) routes: Vec<Vec<Vec<(f64, f64)>>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Between layers: room for a label and a curve.
const GAP: f64 = 46.0;

/// Before a last layer that has nothing but ends of wires.
const LAST_GAP: f64 = 26.0;

/// Between items of a layer.
const SIDE: f64 = 26.0;

/// Between a wire that passes and its neighbor.
const WIRE: f64 = 15.0;

/// An item, or a wire that passes a layer.
#[derive(Clone, Copy, Debug)]
struct Vertex {
    layer: usize,
    width: f64,
    wire: bool,
}

/// A piece of wire between two layers.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: usize,
    from_at: f64,
    to: usize,
    to_at: f64,
    weight: f64,
}

/// Places items so that wires run downwards and seldom cross.
pub(super) fn place(items: &[Item], links: &[Link]) -> Placed {
    if items.is_empty() {
        return Placed::default();
    }
    let mut sketch = Sketch::new(items, links);
    sketch.order();
    sketch.spread(items, links);
    let mut x = sketch.columns();
    // Once places are known, wires are spread in the order in which they arrive.
    sketch.sort_ends(links, items, &x);
    x = sketch.columns();
    sketch.finish(items, links, &x)
}

struct Sketch {
    vertices: Vec<Vertex>,
    /// Vertices of each layer, left to right.
    layers: Vec<Vec<usize>>,
    pieces: Vec<Piece>,
    /// Pieces that end at each vertex.
    above: Vec<Vec<usize>>,
    /// Pieces that begin at each vertex.
    below: Vec<Vec<usize>>,
    /// For each link and target: its pieces, top to bottom; empty if it runs upwards.
    ways: Vec<Vec<Vec<usize>>>,
}

impl Sketch {
    fn new(items: &[Item], links: &[Link]) -> Self {
        let layer = layers(items, links);
        let mut vertices: Vec<Vertex> = (items.iter().zip(&layer))
            .map(|(item, layer)| Vertex {
                layer: *layer,
                width: item.width,
                wire: false,
            })
            .collect();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut ways = Vec::new();
        for link in links {
            let from = link.from.0;
            // The wire of this value in each layer below its source.
            let mut passing: Vec<usize> = Vec::new();
            let mut trunk: Vec<usize> = Vec::new();
            let mut own = Vec::new();
            for (to, _) in &link.to {
                if layer[*to] <= layer[from] {
                    own.push(Vec::new());
                    continue;
                }
                let between = layer[*to] - layer[from] - 1;
                while passing.len() < between {
                    let above = passing.last().copied().unwrap_or(from);
                    vertices.push(Vertex {
                        layer: layer[from] + passing.len() + 1,
                        width: 0.0,
                        wire: true,
                    });
                    let below = vertices.len() - 1;
                    pieces.push(Piece {
                        from: above,
                        from_at: 0.0,
                        to: below,
                        to_at: 0.0,
                        weight: if passing.is_empty() { 2.0 } else { 6.0 },
                    });
                    trunk.push(pieces.len() - 1);
                    passing.push(below);
                }
                let above = between.checked_sub(1).map_or(from, |last| passing[last]);
                pieces.push(Piece {
                    from: above,
                    from_at: 0.0,
                    to: *to,
                    to_at: 0.0,
                    weight: if between == 0 { 1.0 } else { 2.0 },
                });
                let mut way = trunk[..between].to_vec();
                way.push(pieces.len() - 1);
                own.push(way);
            }
            ways.push(own);
        }
        let count = vertices
            .iter()
            .map(|vertex| vertex.layer + 1)
            .max()
            .unwrap_or(0);
        let mut by_layer = vec![Vec::new(); count];
        for (index, vertex) in vertices.iter().enumerate() {
            by_layer[vertex.layer].push(index);
        }
        let mut above = vec![Vec::new(); vertices.len()];
        let mut below = vec![Vec::new(); vertices.len()];
        for (index, piece) in pieces.iter().enumerate() {
            above[piece.to].push(index);
            below[piece.from].push(index);
        }
        Self {
            vertices,
            layers: by_layer,
            pieces,
            above,
            below,
            ways,
        }
    }

    /// Orders every layer by its neighbors; keeps the order with fewest crossings.
    fn order(&mut self) {
        let mut best = self.layers.clone();
        let mut fewest = self.crossings();
        for round in 0..12 {
            let down = round % 2 == 0;
            let count = self.layers.len();
            let sequence: Vec<usize> = if down {
                (1..count).collect()
            } else {
                (0..count.saturating_sub(1)).rev().collect()
            };
            for layer in sequence {
                self.order_layer(layer, down);
            }
            let crossings = self.crossings();
            if crossings < fewest {
                fewest = crossings;
                best.clone_from(&self.layers);
            }
        }
        self.layers = best;
    }

    fn order_layer(&mut self, layer: usize, down: bool) {
        let position = self.positions();
        let mut mean: Vec<(f64, usize)> = Vec::new();
        for (own, vertex) in self.layers[layer].iter().enumerate() {
            let pieces = if down {
                &self.above[*vertex]
            } else {
                &self.below[*vertex]
            };
            let other = |piece: &usize| {
                let piece = self.pieces[*piece];
                position[if down { piece.from } else { piece.to }]
            };
            let total: f64 = pieces.iter().map(other).sum();
            let count = pieces.len() as f64;
            let place = if count > 0.0 {
                total / count
            } else {
                own as f64 / self.layers[layer].len() as f64
            };
            mean.push((place, *vertex));
        }
        mean.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.layers[layer] = mean.into_iter().map(|(_, vertex)| vertex).collect();
    }

    /// Place of each vertex in its layer, between 0 and 1.
    fn positions(&self) -> Vec<f64> {
        let mut position = vec![0.0; self.vertices.len()];
        for layer in &self.layers {
            for (own, vertex) in layer.iter().enumerate() {
                position[*vertex] = (own as f64 + 0.5) / layer.len() as f64;
            }
        }
        position
    }

    fn crossings(&self) -> usize {
        let position = self.positions();
        let mut count = 0;
        for layer in &self.layers {
            // From left to right: whatever ended further right before crosses.
            let mut ends: Vec<f64> = Vec::new();
            for vertex in layer {
                let end = |piece: &usize| position[self.pieces[*piece].to];
                let own: Vec<f64> = self.below[*vertex].iter().map(end).collect();
                for end in &own {
                    count += ends.len() - ends.partition_point(|other| other <= end);
                }
                ends.extend(own);
                ends.sort_by(f64::total_cmp);
            }
        }
        count
    }

    /// First places of wire ends: fixed ones, and the middle for the others.
    fn spread(&mut self, items: &[Item], links: &[Link]) {
        for (link, ways) in links.iter().zip(&self.ways) {
            let (from, attach) = link.from;
            let start = end_of(attach, items[from].width);
            for ((to, attach), way) in link.to.iter().zip(ways) {
                if let (Some(first), Some(last)) = (way.first(), way.last()) {
                    self.pieces[*first].from_at = start;
                    self.pieces[*last].to_at = end_of(*attach, items[*to].width);
                }
            }
        }
    }

    /// Spreads wire ends over the sides of items, in the order of their other ends.
    fn sort_ends(&mut self, links: &[Link], items: &[Item], x: &[f64]) {
        for (item, size) in items.iter().enumerate() {
            let mut arrivals: Vec<(f64, usize)> = Vec::new();
            let mut departures: Vec<(f64, usize, Vec<usize>)> = Vec::new();
            for (link_index, (link, ways)) in links.iter().zip(&self.ways).enumerate() {
                for ((to, attach), way) in link.to.iter().zip(ways) {
                    if let (true, Attach::Spread, Some(last)) = (*to == item, attach, way.last()) {
                        let piece = self.pieces[*last];
                        arrivals.push((x[piece.from] + piece.from_at, *last));
                    }
                }
                if link.from.0 == item && matches!(link.from.1, Attach::Spread) {
                    let firsts: Vec<usize> =
                        ways.iter().filter_map(|way| way.first().copied()).collect();
                    let total: f64 = firsts
                        .iter()
                        .map(|first| {
                            let piece = self.pieces[*first];
                            x[piece.to] + piece.to_at
                        })
                        .sum();
                    let mean = total / firsts.len().max(1) as f64;
                    departures.push((mean, link_index, firsts));
                }
            }
            arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
            departures.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            // A few wires stay near the middle, many use the whole side.
            let span = (size.width - 24.0)
                .min(arrivals.len() as f64 * 46.0)
                .max(0.0);
            for (position, (_, piece)) in arrivals.iter().enumerate() {
                let part = (position as f64 + 0.5) / arrivals.len() as f64 - 0.5;
                self.pieces[*piece].to_at = size.width / 2.0 + span * part;
            }
            // Labels stand on the right of where a wire starts.
            let rooms = departures
                .iter()
                .map(|(_, link, _)| room(links[*link].label));
            let total: f64 = rooms.sum();
            let scale = ((size.width - 16.0) / total).min(1.0);
            let mut left = match departures.len() {
                1 => size.width / 2.0,
                _ => (size.width - total * scale) / 2.0 + 6.0,
            };
            for (_, link, firsts) in &departures {
                for first in firsts {
                    self.pieces[*first].from_at = left;
                }
                left += room(links[*link].label) * scale;
            }
        }
    }

    /// Left side of each vertex: near its neighbors, in the order of its layer.
    fn columns(&self) -> Vec<f64> {
        let mut x = vec![0.0; self.vertices.len()];
        for layer in &self.layers {
            let mut left = 0.0;
            for (position, vertex) in layer.iter().enumerate() {
                if position > 0 {
                    left += self.apart(layer[position - 1], *vertex);
                }
                x[*vertex] = left;
                left += self.vertices[*vertex].width;
            }
        }
        for round in 0..40 {
            let (down, up) = match round {
                0..30 => (round % 2 == 0, round % 2 == 1),
                _ => (true, true),
            };
            let count = self.layers.len();
            for step in 0..count {
                let layer = if down { step } else { count - 1 - step };
                self.move_layer(layer, down, up, &mut x);
            }
        }
        let least = x.iter().copied().fold(f64::INFINITY, f64::min);
        x.iter().map(|left| left - least).collect()
    }

    fn apart(&self, left: usize, right: usize) -> f64 {
        match (self.vertices[left].wire, self.vertices[right].wire) {
            (true, true) => WIRE,
            (false, false) => SIDE,
            _ => f64::midpoint(SIDE, WIRE),
        }
    }

    /// Moves the vertices of a layer as near to where their wires pull them as order and
    /// distance allow: least squares by merging neighbors that would overlap.
    fn move_layer(&self, layer: usize, down: bool, up: bool, x: &mut [f64]) {
        struct Block {
            /// Where its first vertex wants to stand, weighted.
            pull: f64,
            weight: f64,
            width: f64,
            members: usize,
        }
        let mut blocks: Vec<Block> = Vec::new();
        let mut offsets: Vec<f64> = Vec::new();
        let row = &self.layers[layer];
        for (position, vertex) in row.iter().enumerate() {
            let mut pull = 0.0;
            let mut weight = 0.0;
            let pieces = |own: bool, list: &[usize]| -> Vec<Piece> {
                let list = if own { list } else { &[] };
                list.iter().map(|piece| self.pieces[*piece]).collect()
            };
            for piece in pieces(down, &self.above[*vertex]) {
                pull += piece.weight * (x[piece.from] + piece.from_at - piece.to_at);
                weight += piece.weight;
            }
            for piece in pieces(up, &self.below[*vertex]) {
                pull += piece.weight * (x[piece.to] + piece.to_at - piece.from_at);
                weight += piece.weight;
            }
            if weight == 0.0 {
                (pull, weight) = (x[*vertex] * 0.01, 0.01);
            }
            let apart = row
                .get(position + 1)
                .map_or(0.0, |next| self.apart(*vertex, *next));
            let width = self.vertices[*vertex].width + apart;
            offsets.push(0.0);
            blocks.push(Block {
                pull,
                weight,
                width,
                members: 1,
            });
            while let [.., left, right] = blocks.as_slice() {
                if left.pull / left.weight + left.width <= right.pull / right.weight {
                    break;
                }
                let (shift, members) = (left.width, right.members);
                let joined = Block {
                    pull: left.pull + right.pull - right.weight * shift,
                    weight: left.weight + right.weight,
                    width: left.width + right.width,
                    members: left.members + right.members,
                };
                let count = offsets.len();
                offsets[count - members..]
                    .iter_mut()
                    .for_each(|offset| *offset += shift);
                blocks.truncate(blocks.len() - 2);
                blocks.push(joined);
            }
        }
        let mut next = 0;
        for block in &blocks {
            let start = block.pull / block.weight;
            for member in next..next + block.members {
                x[row[member]] = start + offsets[member];
            }
            next += block.members;
        }
    }

    fn finish(&self, items: &[Item], links: &[Link], x: &[f64]) -> Placed {
        let mut tops = Vec::new();
        let mut top = 0.0;
        let mut bottoms = Vec::new();
        for (position, layer) in self.layers.iter().enumerate() {
            let height = (layer.iter().filter(|vertex| !self.vertices[**vertex].wire))
                .map(|vertex| items[*vertex].height)
                .fold(0.0, f64::max);
            if position > 0 && position + 1 == self.layers.len() && height == 0.0 {
                // Nothing but ends of wires, whose labels stand elsewhere.
                top -= GAP - LAST_GAP;
            }
            tops.push(top);
            bottoms.push(top + height);
            top += height + GAP;
        }
        let at: Vec<(f64, f64)> = (0..items.len())
            .map(|item| (x[item], tops[self.vertices[item].layer]))
            .collect();
        let mut routes = Vec::new();
        for (link, ways) in links.iter().zip(&self.ways) {
            let mut own = Vec::new();
            for ((to, attach), way) in link.to.iter().zip(ways) {
                let mut points = Vec::new();
                let from = link.from.0;
                let under = at[from].1 + items[from].height;
                if way.is_empty() {
                    // Upwards, around nothing: rare, for instances that are called twice.
                    points.push((at[from].0 + end_of(link.from.1, items[from].width), under));
                    points.push((at[*to].0 + end_of(*attach, items[*to].width), at[*to].1));
                }
                for piece in way.iter().map(|piece| self.pieces[*piece]) {
                    let (above, below) = (self.vertices[piece.from], self.vertices[piece.to]);
                    let start = x[piece.from] + piece.from_at;
                    let end = x[piece.to] + piece.to_at;
                    if points.is_empty() {
                        points.push((start, under));
                    }
                    points.push((start, bottoms[above.layer]));
                    points.push((end, tops[below.layer]));
                }
                points.dedup();
                own.push(points);
            }
            routes.push(own);
        }
        let right = (self.vertices.iter().zip(x)).map(|(vertex, left)| left + vertex.width);
        Placed {
            at,
            routes,
            width: right.fold(0.0, f64::max),
            height: bottoms.last().copied().unwrap_or(0.0),
        }
    }
}

/// What a wire and its label take along the lower side of an item.
pub(super) fn room(label: f64) -> f64 {
    (label + 14.0).max(40.0)
}

fn end_of(attach: Attach, width: f64) -> f64 {
    match attach {
        Attach::At(place) => place,
        Attach::Spread => width / 2.0,
    }
}

/// The layer of each item: below all that it reads. What nothing feeds stands right above
/// its first reader. Links that close a circle do not count.
fn layers(items: &[Item], links: &[Link]) -> Vec<usize> {
    let count = items.len();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); count];
    for link in links {
        readers[link.from.0].extend(link.to.iter().map(|(to, _)| *to));
    }
    let order = downwards(&readers);
    let mut place = vec![0; count];
    for (position, item) in order.iter().enumerate() {
        place[*item] = position;
    }
    let has_top = items.iter().any(|item| item.pin == Pin::Top);
    let mut layer: Vec<usize> = items
        .iter()
        .map(|item| usize::from(has_top && item.pin != Pin::Top))
        .collect();
    let mut fed = vec![false; count];
    for item in &order {
        for reader in &readers[*item] {
            if place[*reader] > place[*item] {
                layer[*reader] = layer[*reader].max(layer[*item] + 1);
                fed[*reader] = true;
            }
        }
    }
    for item in order.iter().rev() {
        if !fed[*item] && items[*item].pin == Pin::Free {
            let first = (readers[*item]
                .iter()
                .filter(|reader| place[**reader] > place[*item]))
            .map(|reader| layer[*reader])
            .min();
            layer[*item] = first.map_or(layer[*item], |first| {
                first.saturating_sub(1).max(layer[*item])
            });
        }
    }
    let last = (items.iter().zip(&layer))
        .map(|(item, layer)| layer + usize::from(item.pin != Pin::Bottom))
        .max()
        .unwrap_or(0);
    for (item, layer) in items.iter().zip(&mut layer) {
        if item.pin == Pin::Bottom {
            *layer = last;
        }
    }
    layer
}

/// An order in which readers stand behind what they read, as far as there is one.
fn downwards(readers: &[Vec<usize>]) -> Vec<usize> {
    let mut state = vec![0_u8; readers.len()];
    let mut order = Vec::new();
    for start in (0..readers.len()).rev() {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut stack = vec![(start, 0)];
        while let Some((item, next)) = stack.pop() {
            if let Some(reader) = readers[item].get(next) {
                stack.push((item, next + 1));
                if state[*reader] == 0 {
                    state[*reader] = 1;
                    stack.push((*reader, 0));
                }
            } else {
                order.push(item);
            }
        }
    }
    order.reverse();
    order
}
