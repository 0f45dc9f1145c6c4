//! Where everything stands: boxes from the inside out, then wires from box to box.
//!
//! A box is laid out alone and is then one item of the box around it. A value that crosses
//! its border does so at a port. A module with one equation and nothing else is no box but
//! a card with a title.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::{self, Attach, Item, Link, Pin};
use super::scene::{Card, Kind, Scene};
use super::style;

/// Lengths are pixels of an unscaled picture.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The text of a box or of a card that is a whole module.
#[derive(Clone, Debug, Default)]
pub(super) struct Title {
    pub(super) name: String,
    pub(super) count: String,
    pub(super) module: String,
}

/// A wire from item to item within one box.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    /// For each target the points on the way, and whether it ends at a card.
    pub(super) ways: Vec<(Vec<(f64, f64)>, bool)>,
}

/// Places of all there is.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// Boxes, the outer ones first.
    pub(super) boxes: Vec<(Rect, Title, bool)>,
    /// Place and title of each card, the carry arrow beside it left out.
    pub(super) cards: Vec<(Rect, Option<Title>)>,
    pub(super) traces: Vec<Trace>,
    /// Where a value enters or leaves a box.
    pub(super) ports: Vec<(f64, f64)>,
    pub(super) labels: Vec<(f64, f64, String)>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Room between the border of a box and what is in it.
const PAD: f64 = 18.0;

/// Height of the title of a box.
const HEAD: f64 = 34.0;

/// Room inside a card, left and right together.
pub(super) const CARD_PAD: f64 = 28.0;

/// Room on the right of a card that carries values.
pub(super) const CARRY: f64 = 24.0;

/// Height of the title of a card.
pub(super) const CARD_HEAD: f64 = 20.0;

/// A value: the card that makes it, which of its values.
type Value = (usize, usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Enter(Value),
    Card(usize),
    Frame(usize),
    Leave(Value),
}

/// One box, relative to its own corner.
#[derive(Clone, Debug, Default)]
struct Inner {
    width: f64,
    height: f64,
    parts: Vec<(Part, f64, f64)>,
    enter: BTreeMap<Value, f64>,
    leave: BTreeMap<Value, f64>,
    traces: Vec<Trace>,
    labels: Vec<(f64, f64, String)>,
}

pub(super) fn place(scene: &Scene) -> Layout {
    let mut placer = Placer::new(scene);
    // Inner boxes have larger numbers than those around them.
    for frame in (0..scene.frames.len()).rev() {
        if placer.solo_of_frame[frame].is_none() {
            placer.inner[frame] = placer.lay_out(frame);
        }
    }
    let mut layout = Layout {
        cards: vec![(Rect::default(), None); scene.cards.len()],
        width: placer.inner[0].width + 2.0 * PAD,
        height: placer.inner[0].height + 2.0 * PAD,
        ..Layout::default()
    };
    placer.settle(0, PAD, PAD, &mut layout);
    layout
}

struct Placer<'s> {
    scene: &'s Scene,
    /// The boxes around each card, innermost first.
    around: Vec<Vec<usize>>,
    /// The only card of a box that is drawn as a card.
    solo_of_frame: Vec<Option<usize>>,
    /// What the labels of the wires that leave each card need.
    room: Vec<f64>,
    inner: Vec<Inner>,
}

impl<'s> Placer<'s> {
    fn new(scene: &'s Scene) -> Self {
        let mut cards = vec![0; scene.frames.len()];
        let mut children = vec![0; scene.frames.len()];
        let mut last = vec![0; scene.frames.len()];
        for (index, card) in scene.cards.iter().enumerate() {
            cards[card.frame] += 1;
            last[card.frame] = index;
        }
        let around: Vec<Vec<usize>> = (scene.cards.iter())
            .map(|card| {
                let parents = |frame: &usize| scene.frames[*frame].parent;
                std::iter::successors(Some(card.frame), parents).collect()
            })
            .collect();
        // Boxes without cards are not drawn.
        let drawn: BTreeSet<usize> = around.iter().flatten().copied().collect();
        for frame in &drawn {
            if let Some(parent) = scene.frames[*frame].parent {
                children[parent] += 1;
            }
        }
        let solo_of_frame = (0..scene.frames.len())
            .map(|frame| {
                let solo = frame > 0 && cards[frame] == 1 && children[frame] == 0;
                solo.then(|| last[frame])
            })
            .collect();
        Self {
            scene,
            around,
            solo_of_frame,
            room: label_room(scene),
            inner: vec![Inner::default(); scene.frames.len()],
        }
    }

    /// The item of `frame` that holds `card`, if it is inside.
    fn part_in(&self, frame: usize, card: usize) -> Option<Part> {
        let around = &self.around[card];
        let depth = around.iter().position(|outer| *outer == frame)?;
        Some(match depth.checked_sub(1).map(|below| around[below]) {
            None => Part::Card(card),
            Some(child) if self.solo_of_frame[child].is_some() => Part::Card(card),
            Some(child) => Part::Frame(child),
        })
    }

    fn parts(&self, frame: usize) -> Vec<Part> {
        let mut enter = Vec::new();
        let mut leave = Vec::new();
        for wire in &self.scene.wires {
            let value = (wire.from, wire.output);
            let made_inside = self.part_in(frame, wire.from).is_some();
            let read_inside = wire.to.iter().any(|to| self.part_in(frame, *to).is_some());
            let read_outside = wire.to.iter().any(|to| self.part_in(frame, *to).is_none());
            if !made_inside && read_inside {
                enter.push(Part::Enter(value));
            } else if made_inside && read_outside {
                leave.push(Part::Leave(value));
            }
        }
        let mut inside: Vec<Part> = Vec::new();
        for card in 0..self.scene.cards.len() {
            if let Some(part) = self.part_in(frame, card)
                && !inside.contains(&part)
            {
                inside.push(part);
            }
        }
        enter.into_iter().chain(inside).chain(leave).collect()
    }

    fn lay_out(&self, frame: usize) -> Inner {
        let parts = self.parts(frame);
        if parts.is_empty() {
            return Inner::default();
        }
        let items: Vec<Item> = parts.iter().map(|part| self.item(*part)).collect();
        let at = |part: Part| parts.iter().position(|own| *own == part);
        let mut links: Vec<Link> = Vec::new();
        let mut labels: Vec<Option<&str>> = Vec::new();
        for wire in &self.scene.wires {
            let value = (wire.from, wire.output);
            let made = self.part_in(frame, wire.from);
            let from = made.unwrap_or(Part::Enter(value));
            let Some(from_item) = at(from) else { continue };
            let mut to: Vec<(usize, Attach)> = Vec::new();
            let mut leaves = false;
            for target in &wire.to {
                let part = self.part_in(frame, *target);
                leaves |= part.is_none();
                let part = part.unwrap_or(Part::Leave(value));
                let Some(item) = at(part) else { continue };
                let attach = match part {
                    Part::Card(_) => Attach::Spread,
                    Part::Frame(child) => {
                        Attach::At(self.inner[child].enter.get(&value).copied().unwrap_or(0.0))
                    }
                    Part::Enter(_) | Part::Leave(_) => Attach::At(0.0),
                };
                if item != from_item && !to.iter().any(|(known, _)| *known == item) {
                    to.push((item, attach));
                }
            }
            if to.is_empty() {
                continue;
            }
            let attach = match from {
                Part::Card(_) => Attach::Spread,
                Part::Frame(child) => {
                    Attach::At(self.inner[child].leave.get(&value).copied().unwrap_or(0.0))
                }
                Part::Enter(_) | Part::Leave(_) => Attach::At(0.0),
            };
            // A value that only leaves the box is labelled outside.
            let only_leaves = leaves && to.len() == 1;
            let labelled = made.is_some() && !only_leaves;
            let label = labelled.then_some(wire.label.as_str());
            labels.push(label);
            links.push(Link {
                from: (from_item, attach),
                to,
                label: label.map_or(0.0, style::small_width),
            });
        }
        let placed = layers::place(&items, &links);
        let title = self.title(frame);
        let title_width = 24.0
            + style::title_width(&title.name)
            + style::title_width(&title.count)
            + style::title_width(&title.module);
        let width = (placed.width + 2.0 * PAD).max(title_width);
        // Below the border, the gap under the ports is room enough for the title.
        let enters = parts.iter().any(|part| matches!(part, Part::Enter(_)));
        let leaves = parts.iter().any(|part| matches!(part, Part::Leave(_)));
        let (left, top) = (
            (width - placed.width) / 2.0,
            if enters { 0.0 } else { HEAD },
        );
        let mut inner = Inner {
            width,
            height: placed.height + top + if leaves { 0.0 } else { PAD },
            ..Inner::default()
        };
        for (part, (x, y)) in parts.iter().zip(&placed.at) {
            match part {
                Part::Enter(value) => inner.enter.insert(*value, x + left),
                Part::Leave(value) => inner.leave.insert(*value, x + left),
                Part::Card(_) | Part::Frame(_) => None,
            };
            inner.parts.push((*part, x + left, y + top));
        }
        for ((link, routes), label) in links.iter().zip(&placed.routes).zip(labels) {
            let mut ways: Vec<(Vec<(f64, f64)>, bool)> = Vec::new();
            for ((to, _), route) in link.to.iter().zip(routes) {
                let points = route.iter().map(|(x, y)| (x + left, y + top)).collect();
                ways.push((points, matches!(parts[*to], Part::Card(_))));
            }
            if let (Some(text), Some((x, y))) =
                (label, ways.first().and_then(|(way, _)| way.first()))
            {
                inner.labels.push((x + 6.0, y + 15.0, text.to_owned()));
            }
            inner.traces.push(Trace { ways });
        }
        inner
    }

    fn item(&self, part: Part) -> Item {
        match part {
            Part::Enter(_) => Item {
                width: 0.0,
                height: 0.0,
                pin: Pin::Top,
            },
            Part::Leave(_) => Item {
                width: 0.0,
                height: 0.0,
                pin: Pin::Bottom,
            },
            Part::Frame(child) => Item {
                width: self.inner[child].width,
                height: self.inner[child].height,
                pin: Pin::Free,
            },
            Part::Card(index) => {
                let card = &self.scene.cards[index];
                let (width, height) = self.card_size(index);
                let carry = if card.carried.is_empty() { 0.0 } else { CARRY };
                let pin = match card.kind {
                    Kind::Input => Pin::Top,
                    Kind::Output => Pin::Bottom,
                    _ => Pin::Free,
                };
                Item {
                    width: width + carry,
                    height,
                    pin,
                }
            }
        }
    }

    fn card_size(&self, card: usize) -> (f64, f64) {
        let (width, height) = card_size(&self.scene.cards[card], self.solo_title(card).as_ref());
        (width.max(self.room[card]), height)
    }

    fn solo_title(&self, card: usize) -> Option<Title> {
        let frame = self.scene.cards[card].frame;
        (self.solo_of_frame[frame] == Some(card)).then(|| self.title(frame))
    }

    /// The name within the box around, the count, the module.
    fn title(&self, frame: usize) -> Title {
        let own = &self.scene.frames[frame];
        let outer = own
            .parent
            .map_or("", |parent| &*self.scene.frames[parent].path);
        let name = own
            .path
            .strip_prefix(outer)
            .unwrap_or(&own.path)
            .trim_start_matches('.');
        if own.count == 1 {
            return Title {
                name: name.to_owned(),
                count: String::new(),
                module: own.module.clone(),
            };
        }
        // The number of one instance says nothing once they are one box.
        let (stem, first) = name.rsplit_once('.').unwrap_or(("", name));
        let range = first.parse::<usize>().map_or_else(
            |_| String::new(),
            |first| format!("{first}…{}", first + own.count - 1),
        );
        Title {
            name: if stem.is_empty() {
                range
            } else {
                format!("{stem}.{range}")
            },
            count: format!("×{}", own.count),
            module: own.module.clone(),
        }
    }

    /// Gives a box and all in it their final places.
    fn settle(&self, frame: usize, x: f64, y: f64, layout: &mut Layout) {
        let inner = &self.inner[frame];
        let rect = Rect {
            x,
            y,
            width: inner.width,
            height: inner.height,
        };
        layout
            .boxes
            .push((rect, self.title(frame), self.scene.frames[frame].count > 1));
        for (part, dx, dy) in &inner.parts {
            let (left, top) = (x + dx, y + dy);
            match part {
                Part::Enter(_) | Part::Leave(_) => layout.ports.push((left, top)),
                Part::Frame(child) => self.settle(*child, left, top, layout),
                Part::Card(index) => {
                    let title = self.solo_title(*index);
                    let (width, height) = self.card_size(*index);
                    let rect = Rect {
                        x: left,
                        y: top,
                        width,
                        height,
                    };
                    layout.cards[*index] = (rect, title);
                }
            }
        }
        for trace in &inner.traces {
            let moved = |(points, ends): &(Vec<(f64, f64)>, bool)| {
                (
                    points.iter().map(|(dx, dy)| (x + dx, y + dy)).collect(),
                    *ends,
                )
            };
            layout.traces.push(Trace {
                ways: trace.ways.iter().map(moved).collect(),
            });
        }
        let labels = inner.labels.iter();
        layout
            .labels
            .extend(labels.map(|(dx, dy, text)| (x + dx, y + dy, text.clone())));
    }
}

/// Room for the labels under each card; one label may stand out on the right.
fn label_room(scene: &Scene) -> Vec<f64> {
    let mut room = vec![0.0; scene.cards.len()];
    let mut count = vec![0; scene.cards.len()];
    for wire in &scene.wires {
        room[wire.from] += layers::room(style::small_width(&wire.label));
        count[wire.from] += 1;
    }
    (room.iter().zip(count))
        .map(|(room, count)| if count > 1 { room + 16.0 } else { 0.0 })
        .collect()
}

/// Width and height of a card.
fn card_size(card: &Card, title: Option<&Title>) -> (f64, f64) {
    if matches!(card.kind, Kind::Input | Kind::Output) {
        let widest = card
            .lines
            .iter()
            .map(|line| style::code_width(line))
            .fold(0.0, f64::max);
        return (widest + 28.0, 26.0);
    }
    let lines = card
        .lines
        .iter()
        .map(|line| style::code_width(line))
        .fold(0.0, f64::max);
    let head = title.map_or(0.0, |title| {
        style::title_width(&title.name)
            + style::title_width(&title.count)
            + style::title_width(&title.module)
            + 16.0
    });
    let rows = chip_rows(card, lines.max(head));
    let chips = rows
        .iter()
        .map(|row| row_width(card, row))
        .fold(0.0, f64::max);
    let carried = card
        .carried
        .iter()
        .map(|text| style::small_width(text) + 20.0)
        .fold(0.0, f64::max);
    let width = lines.max(head).max(chips).max(carried) + CARD_PAD;
    let height = 14.0
        + card.lines.len() as f64 * style::LINE
        + title.map_or(0.0, |_| CARD_HEAD)
        + rows.len() as f64 * style::CHIP
        + card.carried.len() as f64 * style::LINE;
    (width, height)
}

/// The chips of a card in rows, as wide as the card or a little more.
pub(super) fn chip_rows(card: &Card, width: f64) -> Vec<Vec<usize>> {
    let wide = width.max(220.0);
    let mut rows: Vec<Vec<usize>> = Vec::new();
    for index in 0..card.chips.len() {
        match rows.last_mut() {
            Some(row) if row_width(card, row) + 6.0 + chip_width(card, index) <= wide => {
                row.push(index);
            }
            _ => rows.push(vec![index]),
        }
    }
    rows
}

fn row_width(card: &Card, row: &[usize]) -> f64 {
    let chips: f64 = row.iter().map(|index| chip_width(card, *index)).sum();
    chips + 6.0 * (row.len() - 1) as f64
}

/// Width of a chip.
pub(super) fn chip_width(card: &Card, index: usize) -> f64 {
    style::small_width(&chip_text(card, index)) + 14.0
}

/// Name and axes of a parameter.
pub(super) fn chip_text(card: &Card, index: usize) -> String {
    let (name, ty) = &card.chips[index];
    format!("{name} {ty}")
}
