//! Why each kernel is as it is, for people: what it holds, what it reads from
//! memory instead of computing it, and why it ended there.
//!
//! Kernels that several launches share – one per layer, say – are told once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::calls::CallChoice;
use crate::chunk::{Choice, How};
use crate::kernel::{Kernel, LoopKind, StepOp};
use crate::plan::{Attention, KernelLaunch, Launch, Plan, Reason, Section, Work};

/// The explanation of a plan.
pub fn explain(plan: &Plan) -> String {
    let mut told = Told::default();
    told.section(&plan.root);
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        text,
        "{}: {} launches, {} kernels compiled\n",
        plan.name,
        told.launches,
        plan.kernels.len()
    );
    for (kernel, uses) in &told.kernels {
        let first = uses.launches[0];
        let Work::Kernel(launch) = &first.work else {
            continue;
        };
        let _ = writeln!(
            text,
            "kernel {kernel} over [{}], {}{}",
            launch.loops.join(", "),
            times(uses.launches.len()),
            place(first)
        );
        let _ = writeln!(text, "  holds {}", held(&plan.kernels[*kernel]));
        for stop in &first.stops {
            if stop.why != Reason::Given {
                let _ = writeln!(text, "  reads {}: {}", stop.what, stop.why.text());
            }
        }
    }
    for (what, uses) in &told.others {
        let _ = writeln!(
            text,
            "{what}, {}{}",
            times(uses.launches.len()),
            place(uses.launches[0])
        );
    }
    for (callee, uses) in &told.natives {
        let _ = writeln!(
            text,
            "`{callee}`, {}{}: by its plugin's kernel",
            times(uses.launches.len()),
            place(uses.launches[0])
        );
    }
    for line in bodies(&plan.calls) {
        let _ = writeln!(text, "{line}");
    }
    for launch in &told.attentions {
        let _ = writeln!(text, "{}", attention(launch, plan));
    }
    for line in loops(&plan.choices) {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// A line for loops that are computed alike for one reason, in the order of the first of each.
fn loops(choices: &[Choice]) -> Vec<String> {
    let mut alike: Vec<(&Choice, usize)> = Vec::new();
    for choice in choices {
        let same = |(own, _): &&mut (&Choice, usize)| {
            (&own.axis, own.how, own.why) == (&choice.axis, choice.how, choice.why)
        };
        match alike.iter_mut().find(same) {
            Some((_, count)) => *count += 1,
            None => alike.push((choice, 1)),
        }
    }
    let line = |(choice, count): &(&Choice, usize)| {
        let Choice { axis, why, .. } = choice;
        let how = match choice.how {
            How::Chunks(length) => format!("in chunks of {length} steps: {why}"),
            How::Blocks(Some(length)) => format!("in blocks of {length} steps side by side: {why}"),
            How::Blocks(None) => format!("in blocks of its steps side by side: {why}"),
            How::Steps => format!("step by step: {why}"),
        };
        let origin = choice.origin.as_ref().filter(|own| !own.path.is_empty());
        let place = origin.map_or_else(String::new, |own| format!(", first in {}", own.path));
        format!("loop over {axis}, {}{place}, {how}", times(*count))
    };
    alike.iter().map(line).collect()
}

/// A line for each operation of a plugin that is computed by its body.
fn bodies(calls: &[CallChoice]) -> Vec<String> {
    let mut alike: BTreeMap<&str, Vec<&CallChoice>> = BTreeMap::new();
    for call in calls.iter().filter(|call| !call.by_kernel) {
        alike.entry(&call.callee).or_default().push(call);
    }
    let line = |(callee, calls): (&str, Vec<&CallChoice>)| {
        let origin = calls[0].origin.as_ref().filter(|own| !own.path.is_empty());
        let place = origin.map_or_else(String::new, |own| format!(", first in {}", own.path));
        let count = times(calls.len());
        format!("`{callee}`, {count}{place}: by its body: no kernel of its plugin is at hand")
    };
    alike.into_iter().map(line).collect()
}

/// Launches that share what they run.
#[derive(Default)]
struct Uses<'p> {
    launches: Vec<&'p Launch>,
}

#[derive(Default)]
struct Told<'p> {
    launches: usize,
    kernels: BTreeMap<usize, Uses<'p>>,
    others: BTreeMap<&'static str, Uses<'p>>,
    attentions: Vec<&'p Attention>,
    natives: BTreeMap<&'p str, Uses<'p>>,
}

impl<'p> Told<'p> {
    fn section(&mut self, section: &'p Section) {
        for launch in &section.launches {
            self.launches += 1;
            let other = match &launch.work {
                Work::Kernel(KernelLaunch { kernel, .. }) => {
                    self.kernels
                        .entry(*kernel)
                        .or_default()
                        .launches
                        .push(launch);
                    continue;
                }
                Work::Contract(_) => "a matrix product",
                Work::Attention(attention) => {
                    let alike = |own: &&Attention| {
                        let kernel =
                            |launch: &Option<KernelLaunch>| launch.as_ref().map(|l| l.kernel);
                        kernel(&own.edge) == kernel(&attention.edge)
                            && kernel(&own.interior) == kernel(&attention.interior)
                    };
                    if !self.attentions.iter().any(alike) {
                        self.attentions.push(attention);
                    }
                    "attention by tiles"
                }
                Work::Recurrence(launch) => {
                    self.section(&launch.body);
                    "a loop"
                }
                Work::Route(route) => {
                    for branch in &route.branches {
                        self.section(&branch.section);
                    }
                    "a route"
                }
                Work::Routine(_) => "a routine",
                Work::Native(native) => {
                    let uses = self.natives.entry(&native.callee).or_default();
                    uses.launches.push(launch);
                    continue;
                }
            };
            self.others.entry(other).or_default().launches.push(launch);
        }
    }
}

fn times(count: usize) -> String {
    if count == 1 {
        "once".to_owned()
    } else {
        format!("{count} times")
    }
}

fn place(launch: &Launch) -> String {
    if launch.label.is_empty() {
        String::new()
    } else {
        format!(", first in {}", launch.label)
    }
}

/// The operations of a kernel, each with how often it occurs.
fn held(kernel: &Kernel) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for step in &kernel.steps {
        let name = match &step.op {
            StepOp::Load(_) => "load".to_owned(),
            StepOp::Position(_) | StepOp::Constant(_) | StepOp::Size(_) => continue,
            StepOp::Unary(op, _) => op.word().to_owned(),
            StepOp::Binary(op, ..) => op.word().to_owned(),
            StepOp::Select(..) => "select".to_owned(),
            StepOp::Cast(_) => "cast".to_owned(),
            StepOp::Reduce(combine, _, kind) => {
                let over = if *kind == LoopKind::Walk {
                    "walk"
                } else {
                    "row"
                };
                format!("{} over the {over}", combine.word())
            }
        };
        *counts.entry(name).or_default() += 1;
    }
    let mut parts: Vec<String> = counts
        .into_iter()
        .map(|(name, count)| {
            if count == 1 {
                name
            } else {
                format!("{count} {name}")
            }
        })
        .collect();
    let stores = kernel.stores.len();
    parts.push(if stores == 1 {
        "store".to_owned()
    } else {
        format!("{stores} store")
    });
    parts.join(", ")
}

fn attention(launch: &Attention, plan: &Plan) -> String {
    let names = |axes: &[girih_graph::AxisId]| {
        let names: Vec<&str> = axes.iter().map(|axis| plan.axes.name(*axis)).collect();
        names.join(", ")
    };
    let mut text = format!(
        "attention of {} over {} at every [{}]: ",
        plan.axes.name(launch.rows),
        plan.axes.name(launch.keys),
        names(&launch.points)
    );
    let _ = match (&launch.interior, &launch.edge) {
        (None, None) => write!(text, "scores are scaled products, every key counts"),
        (None, Some(edge)) => write!(
            text,
            "kernel {} masks tiles at the edge of the domain",
            edge.kernel
        ),
        (Some(inside), None) => write!(text, "kernel {} makes the scores", inside.kernel),
        (Some(inside), Some(edge)) => write!(
            text,
            "kernel {} makes the scores, kernel {} also masks those at the edge of the domain",
            inside.kernel, edge.kernel
        ),
    };
    if let Some(mask) = &launch.mask {
        let _ = write!(
            text,
            "; kernel {} tells which tiles are hidden, so that they are not computed",
            mask.kernel
        );
    }
    text
}
