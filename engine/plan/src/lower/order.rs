//! The order of launches: after everything that writes what they read.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::value::ValueIx;
use crate::plan::{BufferId, Launch, Tensor};

/// Launches so that each stands after the writers of what it reads, otherwise in the order
/// of the values they were made for.
pub(super) fn sorted(launches: Vec<(ValueIx, Launch)>, tensors: &[Tensor]) -> Vec<Launch> {
    let mut writers: BTreeMap<BufferId, Vec<usize>> = BTreeMap::new();
    let mut readers: BTreeMap<BufferId, Vec<usize>> = BTreeMap::new();
    for (position, (_, launch)) in launches.iter().enumerate() {
        launch.visit_buffers(tensors, &mut |buffer, written| {
            let list = if written { &mut writers } else { &mut readers };
            list.entry(buffer).or_default().push(position);
        });
    }
    let mut waits = vec![0usize; launches.len()];
    let mut wakes: Vec<Vec<usize>> = vec![Vec::new(); launches.len()];
    for (buffer, reading) in &readers {
        for writer in writers.get(buffer).into_iter().flatten() {
            for reader in reading.iter().filter(|reader| *reader != writer) {
                wakes[*writer].push(*reader);
                waits[*reader] += 1;
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<(ValueIx, usize)>> = (0..launches.len())
        .filter(|position| waits[*position] == 0)
        .map(|position| Reverse((launches[position].0, position)))
        .collect();
    let mut order = Vec::with_capacity(launches.len());
    while let Some(Reverse((_, position))) = ready.pop() {
        order.push(position);
        for next in &wakes[position] {
            waits[*next] -= 1;
            if waits[*next] == 0 {
                ready.push(Reverse((launches[*next].0, *next)));
            }
        }
    }
    assert_eq!(order.len(), launches.len(), "launches wait for one another");
    let mut launches: Vec<Option<Launch>> = launches.into_iter().map(|(_, l)| Some(l)).collect();
    let taken = order
        .into_iter()
        .filter_map(|position| launches[position].take());
    taken.collect()
}
