//! Draws small modules as one card.
//!
//! A module whose equations fit a card, with at most one such module inside it, becomes one
//! card with a title and all of its equations: a norm, a linear layer with its bias. What
//! happens inside it can be read there; wires between its equations disappear.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{Kind, Scene, Wire};

/// The most lines of a module that is one card.
const LINES: usize = 7;

/// More values than one card makes.
const CARD: usize = 1 << 40;

/// The scene with small modules as cards.
pub(super) fn compact(mut scene: Scene) -> Scene {
    // Inner boxes have larger numbers than those around them.
    for frame in (1..scene.frames.len()).rev() {
        if let Some(cards) = small(&scene, frame) {
            scene = merge(scene, frame, &cards);
        }
    }
    scene
}

/// The cards of a module that fits one card, those of the modules in it too.
fn small(scene: &Scene, frame: usize) -> Option<Vec<usize>> {
    let inside = |card: usize| {
        let own = scene.cards[card].frame;
        own == frame || scene.frames[own].parent == Some(frame)
    };
    let cards: Vec<usize> = (0..scene.cards.len())
        .filter(|card| inside(*card))
        .collect();
    let mut homes: BTreeMap<usize, usize> = BTreeMap::new();
    for card in &cards {
        *homes.entry(scene.cards[*card].frame).or_insert(0) += 1;
    }
    let inner_are_cards = (homes.iter()).all(|(home, count)| *home == frame || *count == 1);
    // Its own equations and one module more: a module of modules keeps its boxes.
    let few = homes.len() <= 2;
    let grandchildren = (scene.cards.iter()).any(|card| {
        let above = scene.frames[card.frame].parent;
        above.is_some_and(|above| scene.frames[above].parent == Some(frame))
    });
    let lines: usize = cards
        .iter()
        .map(|card| scene.cards[*card].lines.len())
        .sum();
    let loops =
        (cards.iter()).any(|card| matches!(scene.cards[*card].kind, Kind::Loop | Kind::Route));
    let fits =
        cards.len() > 1 && lines <= LINES && few && inner_are_cards && !grandchildren && !loops;
    fits.then_some(cards)
}

fn merge(mut scene: Scene, frame: usize, cards: &[usize]) -> Scene {
    let kept = cards[0];
    let base = scene.frames[frame].path.clone();
    for card in &cards[1..] {
        let other = scene.cards[*card].clone();
        let own = &mut scene.cards[kept];
        own.kind = own.kind.max(other.kind);
        own.lines.extend(other.lines);
    }
    let mut chips = Vec::new();
    for card in cards {
        let card = &scene.cards[*card];
        let path = &scene.frames[card.frame].path;
        let inner = path
            .strip_prefix(&*base)
            .unwrap_or("")
            .trim_start_matches('.');
        for (name, ty) in &card.chips {
            let name = if inner.is_empty() {
                name.clone()
            } else {
                format!("{inner}.{name}")
            };
            if !chips.contains(&(name.clone(), ty.clone())) {
                chips.push((name, ty.clone()));
            }
        }
    }
    let own = &mut scene.cards[kept];
    own.chips = chips;
    own.frame = frame;
    let position: BTreeMap<usize, usize> = cards
        .iter()
        .enumerate()
        .map(|(position, card)| (*card, position))
        .collect();
    let mut wires: BTreeMap<(usize, usize), Wire> = BTreeMap::new();
    for wire in std::mem::take(&mut scene.wires) {
        let (from, output) = match position.get(&wire.from) {
            Some(position) => (kept, wire.output + CARD * position),
            None => (wire.from, wire.output),
        };
        let mut to: BTreeSet<usize> = (wire.to.iter())
            .map(|to| if position.contains_key(to) { kept } else { *to })
            .collect();
        to.remove(&from);
        wires.insert(
            (from, output),
            Wire {
                from,
                output,
                label: wire.label,
                to: to.into_iter().collect(),
            },
        );
    }
    scene.wires = wires.into_values().collect();
    scene.without(&cards[1..].iter().copied().collect())
}
