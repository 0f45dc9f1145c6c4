//! Whether a plan keeps what a model's attributes promise.

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_graph::{Origin, Promise, Promised, Region, Way};

use crate::chunk::{Choice, How};
use crate::plan::Stop;

/// A promise that a plan does not keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// What is promised, and where.
    pub promise: Promise,
    /// Of a node of the statement.
    pub origin: Origin,
    /// Why the plan does not keep it, in words.
    pub why: String,
}

/// One statement of one instance.
type Statement = (Arc<str>, u32);

/// What planning finds out about statements with promises.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// How many launches compute the statement, and why the last one reads what it reads.
    launches: BTreeMap<Statement, (usize, Vec<Stop>)>,
    /// Whether a softmax is computed without what its domain hides, or why not.
    sparse: BTreeMap<Statement, Result<(), &'static str>>,
}

fn statement(origin: &Origin) -> Option<Statement> {
    let promises = origin.promises.as_ref()?;
    Some((origin.path.clone(), promises.statement))
}

impl Watch {
    /// A launch was made for a value of this origin.
    pub(crate) fn launched(&mut self, origin: Option<&Origin>, stops: &[Stop]) {
        if let Some(statement) = origin.and_then(statement) {
            let (count, reads) = self.launches.entry(statement).or_default();
            *count += 1;
            if !stops.is_empty() {
                *reads = stops.to_vec();
            }
        }
    }

    /// A softmax of this origin is attention by tiles, or is not. That it is once counts.
    pub(crate) fn softmax(&mut self, origin: Option<&Origin>, found: Result<(), &'static str>) {
        if let Some(statement) = origin.and_then(statement) {
            let known = self.sparse.entry(statement).or_insert(found);
            if found.is_ok() {
                *known = found;
            }
        }
    }

    /// The promises of the graph that was planned that are not kept.
    pub(crate) fn broken(&self, root: &Region) -> Vec<Broken> {
        let mut all = BTreeMap::new();
        collect(root, &mut all);
        let mut broken = Vec::new();
        for (statement, origin) in &all {
            for promise in origin.promises.iter().flat_map(|own| &own.list) {
                let why = match &promise.what {
                    Promised::Fused => self.unfused(statement),
                    Promised::BlockSparse { .. } => self.dense(statement),
                    // Decided where loops are.
                    Promised::Algorithm { .. } => None,
                };
                broken.extend(why.map(|why| Broken {
                    promise: promise.clone(),
                    origin: (*origin).clone(),
                    why,
                }));
            }
        }
        broken
    }

    fn unfused(&self, statement: &Statement) -> Option<String> {
        let (count, stops) = self.launches.get(statement)?;
        if *count < 2 {
            return None;
        }
        let reads: Vec<String> = stops
            .iter()
            .map(|stop| format!("{}: {}", stop.what, stop.why.text()))
            .collect();
        let reads = if reads.is_empty() {
            String::new()
        } else {
            format!("; the last one reads {}", reads.join(", "))
        };
        Some(format!("{count} launches compute it{reads}"))
    }

    fn dense(&self, statement: &Statement) -> Option<String> {
        match self.sparse.get(statement) {
            Some(Ok(())) => None,
            Some(Err(why)) => Some((*why).to_owned()),
            None => Some("it is not a softmax whose weights sum values".to_owned()),
        }
    }
}

/// One origin of every statement with promises.
fn collect<'r>(region: &'r Region, all: &mut BTreeMap<Statement, &'r Origin>) {
    for (id, node) in region.nodes() {
        if let Some(origin) = region.origin(id)
            && let Some(statement) = statement(origin)
        {
            all.entry(statement).or_insert(origin);
        }
        for inner in node.op.regions() {
            collect(inner, all);
        }
    }
}

/// How the loop of this origin is promised to be computed.
pub(crate) fn way(origin: Option<&Origin>) -> (Way, Option<u32>) {
    let promises = origin.and_then(|origin| origin.promises.as_ref());
    let own = promises.iter().flat_map(|own| &own.list);
    own.filter_map(|promise| match promise.what {
        Promised::Algorithm { way, chunk } => Some((way, chunk)),
        Promised::Fused | Promised::BlockSparse { .. } => None,
    })
    .next_back()
    .unwrap_or((Way::Auto, None))
}

/// The loops that are promised to go in chunks or blocks and do not.
pub(crate) fn stepped(choices: &[Choice]) -> Vec<Broken> {
    let broken = |choice: &Choice| {
        let origin = choice.origin.as_ref();
        let origin = origin.filter(|_| choice.how == How::Steps)?;
        let promises = origin.promises.as_ref()?;
        let promised = |promise: &&Promise| match promise.what {
            Promised::Algorithm { way, .. } => matches!(way, Way::Chunked | Way::Associative),
            Promised::Fused | Promised::BlockSparse { .. } => false,
        };
        Some(Broken {
            promise: promises.list.iter().find(promised)?.clone(),
            origin: origin.clone(),
            why: choice.why.to_owned(),
        })
    };
    choices.iter().filter_map(broken).collect()
}
