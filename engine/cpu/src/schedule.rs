//! In which order a plan runs, and what it needs of what it may be given.
//!
//! Starts of states come first: a state that the caller does not give is copied from a computed value before
//! anything reads it. So the launches that compute starts run before all others, in
//! the order of the states, as a start may depend on an earlier state.

use std::collections::BTreeSet;

use girih_plan::plan::{BufferId, BufferKind, Launch, Plan, Section, TensorId, Work};

use crate::numbers::UNKNOWN;

/// Moves the launches that compute starts of states to the front, and keeps the order otherwise.
pub fn initials_first(plan: &mut Plan) {
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

/// What a plan needs of what it may be given.
#[derive(Debug)]
pub struct Needs {
    /// For each of [`Plan::given`], whether anything reads it.
    pub needed: Vec<bool>,
    /// States that start as a computed value unless they are given.
    pub starts: Vec<Start>,
}

/// A state that starts as a computed value unless it is given.
#[derive(Debug)]
pub struct Start {
    /// Position in [`Plan::given`].
    pub given: usize,
    /// It is copied from here.
    pub initial: TensorId,
    /// Before this launch; after all, if it is their number.
    pub before: usize,
}

impl Needs {
    /// What the plan needs.
    pub fn of(plan: &Plan) -> Self {
        let root = &plan.root;
        let outcomes: BTreeSet<BufferId> = plan
            .results
            .iter()
            .map(|outcome| buffer_of(root, outcome.tensor))
            .collect();
        let mut needed = Vec::new();
        let mut starts = Vec::new();
        for (at, given) in plan.given.iter().enumerate() {
            let buffer = buffer_of(root, given.tensor);
            let before = first_use(root, buffer);
            needed.push(before < root.launches.len() || outcomes.contains(&buffer));
            if let Some(initial) = given.initial {
                starts.push(Start {
                    given: at,
                    initial,
                    before,
                });
            }
        }
        // A state that starts as what is given needs that.
        for start in starts.iter().rev() {
            let initial = buffer_of(root, start.initial);
            for (at, given) in plan.given.iter().enumerate() {
                if needed[start.given] && buffer_of(root, given.tensor) == initial {
                    needed[at] = true;
                }
            }
        }
        Self { needed, starts }
    }

    /// Buffers that starts are copied from, with the launches before which that happens.
    pub fn touched(&self, root: &Section) -> Vec<(BufferId, usize)> {
        let starts = self.starts.iter();
        starts
            .map(|start| (buffer_of(root, start.initial), start.before))
            .collect()
    }
}

/// Bytes of temporaries and of everything that a run gives back; `bytes` are those of each buffer.
pub fn held(plan: &Plan, bytes: &[usize], arena: usize) -> u64 {
    let given: BTreeSet<BufferId> = plan
        .given
        .iter()
        .map(|given| buffer_of(&plan.root, given.tensor))
        .collect();
    let mut held = arena as u64;
    for (at, buffer) in plan.root.buffers.iter().enumerate() {
        let own = match buffer.kind {
            BufferKind::Caller => !given.contains(&BufferId(at as u32)),
            BufferKind::Grown => true,
            BufferKind::Temporary | BufferKind::Bound | BufferKind::Table(_) => false,
        };
        if own {
            held = held.saturating_add(bytes.get(at).copied().unwrap_or(UNKNOWN) as u64);
        }
    }
    held
}

/// The first launch that touches a buffer, or the number of launches.
pub fn first_use(section: &Section, buffer: BufferId) -> usize {
    let touches = |launch: &girih_plan::plan::Launch| {
        let mut found = false;
        launch.visit_buffers(&section.tensors, &mut |own, _| found |= own == buffer);
        found
    };
    let found = section.launches.iter().position(touches);
    found.unwrap_or(section.launches.len())
}

/// The buffer of a tensor.
pub fn buffer_of(section: &Section, tensor: TensorId) -> BufferId {
    section.tensors[tensor.index()].buffer
}

/// All sections of a plan, outermost first.
pub fn sections(plan: &Plan) -> Vec<&Section> {
    let mut found = vec![&plan.root];
    let mut at = 0;
    while let Some(section) = found.get(at).copied() {
        for launch in &section.launches {
            match &launch.work {
                Work::Recurrence(launch) => found.push(&launch.body),
                Work::Route(route) => {
                    found.extend(route.branches.iter().map(|branch| &branch.section));
                }
                Work::Kernel(_)
                | Work::Contract(_)
                | Work::Attention(_)
                | Work::Routine(_)
                | Work::Native(_) => {}
            }
        }
        at += 1;
    }
    found
}
