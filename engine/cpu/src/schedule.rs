//! Starts of states come first.
//!
//! A state that the caller does not give is copied from a computed value before
//! anything reads it. So the launches that compute starts run before all others, in
//! the order of the states, as a start may depend on an earlier state.

use std::collections::BTreeSet;

use girih_plan::plan::{BufferId, Launch, Plan, Section};

use crate::bind::buffer_of;

/// Moves the launches that compute starts of states to the front, and keeps the order otherwise.
pub(crate) fn initials_first(plan: &mut Plan) {
    let mut first = Vec::new();
    for given in &plan.given {
        if let Some(initial) = given.initial {
            let wanted = buffer_of(&plan.root, initial);
            first.extend(computing(&plan.root, wanted, &first));
        }
    }
    if first.is_empty() {
        return;
    }
    let mut launches: Vec<Option<Launch>> = std::mem::take(&mut plan.root.launches)
        .into_iter()
        .map(Some)
        .collect();
    let order: Vec<usize> = first.into_iter().chain(0..launches.len()).collect();
    // Those that were moved are gone when their old place comes.
    plan.root.launches = order
        .into_iter()
        .filter_map(|at| launches[at].take())
        .collect();
}

/// The launches that a buffer's contents depend on, in order, without those of `done`.
fn computing(section: &Section, buffer: BufferId, done: &[usize]) -> Vec<usize> {
    let mut wanted = BTreeSet::from([buffer]);
    let mut found: BTreeSet<usize> = BTreeSet::new();
    loop {
        let before = (wanted.len(), found.len());
        for (at, launch) in section.launches.iter().enumerate() {
            let (mut reads, mut writes) = (Vec::new(), Vec::new());
            launch.visit_buffers(&section.tensors, &mut |buffer, written| {
                if written {
                    writes.push(buffer);
                } else {
                    reads.push(buffer);
                }
            });
            if writes.iter().any(|buffer| wanted.contains(buffer)) {
                found.insert(at);
                wanted.extend(reads);
            }
        }
        if before == (wanted.len(), found.len()) {
            break;
        }
    }
    found.into_iter().filter(|at| !done.contains(at)).collect()
}
