//! Draws equal instances of a stack once.
//!
//! Instances `layers.3`, `layers.4`, … of one parent that follow one another and have equal
//! contents become one box with a count. Wires between them disappear; wires out of the
//! last one leave the box that stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::scene::{Card, Scene, Wire};

/// The scene with every run of equal stack instances as one box.
pub(super) fn fold(mut scene: Scene) -> Scene {
    loop {
        let Some(run) = next_run(&scene) else {
            return scene;
        };
        scene = merge(scene, &run);
    }
}

/// Boxes that are equal and follow one another; the first one stays. Outer stacks first.
fn next_run(scene: &Scene) -> Option<Vec<usize>> {
    let mut stacks: BTreeMap<(usize, &str), Vec<(u64, usize)>> = BTreeMap::new();
    for (index, frame) in scene.frames.iter().enumerate() {
        let Some(parent) = frame.parent else { continue };
        let (stem, number) = frame.path.rsplit_once('.').unwrap_or(("", &frame.path));
        if let Ok(number) = number.parse() {
            stacks
                .entry((parent, stem))
                .or_default()
                .push((number, index));
        }
    }
    for mut members in stacks.into_values() {
        members.sort_unstable();
        let contents: Vec<String> = members
            .iter()
            .map(|(_, frame)| contents(scene, *frame))
            .collect();
        let mut start = 0;
        while start < members.len() {
            let same = |at: &usize| {
                contents[*at] == contents[start] && scene.frames[members[*at].1].count == 1
            };
            let end = (start..members.len())
                .find(|at| !same(at))
                .unwrap_or(members.len());
            if end > start + 1 && !returns(scene, &members[start..end]) {
                return Some(
                    members[start..end]
                        .iter()
                        .map(|(_, frame)| *frame)
                        .collect(),
                );
            }
            start = end.max(start + 1);
        }
    }
    None
}

/// Whether a value leaves a member and comes back to another one by way of something else,
/// as with two stacks that take turns: as one box each they would feed each other.
fn returns(scene: &Scene, run: &[(u64, usize)]) -> bool {
    let mut member: BTreeMap<usize, usize> = BTreeMap::new();
    for (position, (_, frame)) in run.iter().enumerate() {
        let cards = cards_of(scene, &inside(scene, *frame));
        member.extend(cards.into_iter().map(|card| (card, position)));
    }
    let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for wire in &scene.wires {
        readers.entry(wire.from).or_default().extend(&wire.to);
    }
    let of = |card: &usize| readers.get(card).into_iter().flatten().copied();
    let mut outside: Vec<usize> = (member.keys())
        .flat_map(|card| {
            of(card)
                .filter(|to| !member.contains_key(to))
                .collect::<Vec<_>>()
        })
        .collect();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    while let Some(card) = outside.pop() {
        if member.contains_key(&card) {
            return true;
        }
        if seen.insert(card) {
            outside.extend(of(&card));
        }
    }
    false
}

/// All boxes inside `frame`, itself first, by path.
fn inside(scene: &Scene, frame: usize) -> Vec<usize> {
    let mut all = vec![frame];
    let mut next = 0;
    while next < all.len() {
        let mut children: Vec<usize> = (0..scene.frames.len())
            .filter(|child| scene.frames[*child].parent == Some(all[next]))
            .collect();
        children.sort_by(|a, b| scene.frames[*a].path.cmp(&scene.frames[*b].path));
        all.append(&mut children);
        next += 1;
    }
    all
}

/// The cards of some boxes, ascending.
fn cards_of(scene: &Scene, frames: &[usize]) -> Vec<usize> {
    let frames: BTreeSet<usize> = frames.iter().copied().collect();
    (0..scene.cards.len())
        .filter(|card| frames.contains(&scene.cards[*card].frame))
        .collect()
}

/// What a box looks like, without its own path. Equal texts mean equal pictures.
fn contents(scene: &Scene, frame: usize) -> String {
    let frames = inside(scene, frame);
    let base = &scene.frames[frame].path;
    let mut text = String::new();
    for inner in &frames {
        let inner = &scene.frames[*inner];
        let path = inner.path.strip_prefix(&**base).unwrap_or(&inner.path);
        // Writing to a `String` cannot fail, here and below.
        let _ = writeln!(text, "{path} {} {}", inner.module, inner.count);
    }
    let cards = cards_of(scene, &frames);
    let position: BTreeMap<usize, usize> = cards
        .iter()
        .enumerate()
        .map(|(position, card)| (*card, position))
        .collect();
    for card in &cards {
        let card = &scene.cards[*card];
        let home = frames.iter().position(|frame| *frame == card.frame);
        let Card {
            kind, lines, chips, ..
        } = card;
        let _ = writeln!(text, "{home:?} {kind:?} {lines:?} {chips:?}");
    }
    for wire in &scene.wires {
        let from = position.get(&wire.from);
        let to: Vec<usize> = wire
            .to
            .iter()
            .filter_map(|to| position.get(to).copied())
            .collect();
        if !to.is_empty() && from.is_some() {
            let _ = writeln!(text, "{from:?} {} {} {to:?}", wire.output, wire.label);
        }
    }
    text
}

fn merge(scene: Scene, run: &[usize]) -> Scene {
    let kept = run[0];
    // Where the cards and boxes of the others are drawn, and which member a card is of.
    let kept_frames = inside(&scene, kept);
    let kept_cards = cards_of(&scene, &kept_frames);
    let mut card_at: Vec<usize> = (0..scene.cards.len()).collect();
    let mut member: Vec<Option<usize>> = vec![None; scene.cards.len()];
    let mut gone: BTreeSet<usize> = BTreeSet::new();
    for (position, frame) in run.iter().enumerate() {
        let frames = inside(&scene, *frame);
        let cards = cards_of(&scene, &frames);
        for (card, twin) in cards.iter().zip(&kept_cards) {
            member[*card] = Some(position);
            card_at[*card] = *twin;
        }
        if position > 0 {
            gone.extend(frames);
        }
    }
    let mut wires: BTreeMap<(usize, usize), (String, BTreeSet<usize>)> = BTreeMap::new();
    for wire in &scene.wires {
        for to in &wire.to {
            let between = member[wire.from].is_some()
                && member[*to].is_some()
                && member[wire.from] != member[*to];
            if between {
                continue;
            }
            let entry = wires
                .entry((card_at[wire.from], wire.output))
                .or_insert_with(|| (wire.label.clone(), BTreeSet::new()));
            entry.1.insert(card_at[*to]);
        }
    }
    renumber(scene, &gone, run.len(), kept, wires)
}

/// The scene without the boxes in `gone` and their cards.
fn renumber(
    scene: Scene,
    gone: &BTreeSet<usize>,
    count: usize,
    kept: usize,
    wires: BTreeMap<(usize, usize), (String, BTreeSet<usize>)>,
) -> Scene {
    let mut frame_at = vec![0; scene.frames.len()];
    let mut frames = Vec::new();
    for (index, mut frame) in scene.frames.into_iter().enumerate() {
        if gone.contains(&index) {
            continue;
        }
        frame_at[index] = frames.len();
        if index == kept {
            frame.count = count;
        }
        frame.parent = frame.parent.map(|parent| frame_at[parent]);
        frames.push(frame);
    }
    let mut card_at = vec![0; scene.cards.len()];
    let mut cards = Vec::new();
    for (index, mut card) in scene.cards.into_iter().enumerate() {
        if gone.contains(&card.frame) {
            continue;
        }
        card_at[index] = cards.len();
        card.frame = frame_at[card.frame];
        cards.push(card);
    }
    let wires = (wires.into_iter())
        .map(|((from, output), (label, to))| Wire {
            from: card_at[from],
            output,
            label,
            to: to.into_iter().map(|to| card_at[to]).collect(),
        })
        .collect();
    Scene {
        frames,
        cards,
        wires,
    }
}
