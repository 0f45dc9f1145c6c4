//! Which launches a device takes, and why it refuses the others, for people.

use std::collections::BTreeMap;
use std::fmt;

use girih_plan::plan::{Plan, Routine, Section, Work};

use crate::program::{Compiled, How, Program};

/// Who computes the launches of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// What the device says it is.
    pub device: String,
    /// In order, those in loops after the loop.
    pub launches: Vec<Taken>,
    /// How many regions those are that the device takes.
    pub regions: usize,
}

/// Who computes a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What kind it is.
    pub what: &'static str,
    /// The path of the module instance it came from.
    pub label: String,
    /// How many loops and routes it is in that the host walks.
    pub depth: usize,
    /// `device`, `walked by the host` or `processor`.
    pub by: &'static str,
    /// Why the device does not compute it.
    pub refused: Option<String>,
}

pub(crate) fn explained(device: &str, plan: &Plan, compiled: &Compiled) -> Explained {
    let mut explained = Explained {
        device: device.to_owned(),
        launches: Vec::new(),
        regions: 0,
    };
    explained.collect(&plan.root, &compiled.root, 0);
    explained
}

fn what(work: &Work) -> &'static str {
    match work {
        Work::Kernel(_) => "kernel",
        Work::Contract(_) => "product",
        Work::Attention(_) => "attention",
        Work::Recurrence(_) => "loop",
        Work::Route(_) => "route",
        Work::Native(_) => "operation of a plugin",
        Work::Routine(routine) => match routine {
            Routine::Order { .. } => "order",
            Routine::Cumulate { .. } => "cumulate",
            Routine::Scatter { .. } => "scatter",
            Routine::Fold { .. } => "fold",
            Routine::Random { .. } => "random",
        },
    }
}

impl Explained {
    fn collect(&mut self, section: &Section, program: &Program, depth: usize) {
        for stage in &program.stages {
            self.regions += usize::from(matches!(stage.how, How::Region(_)));
            for launch in &section.launches[stage.launches.clone()] {
                self.launches.push(Taken {
                    what: what(&launch.work),
                    label: launch.label.clone(),
                    depth,
                    by: match stage.how {
                        How::Region(_) => "device",
                        How::Walk(_) | How::Branches(_) => "walked by the host",
                        How::Host(_) => "processor",
                    },
                    refused: stage.refused.clone(),
                });
                if let (Work::Recurrence(launch), How::Walk(body)) = (&launch.work, &stage.how) {
                    self.collect(&launch.body, body, depth + 1);
                }
                if let (Work::Route(launch), How::Branches(programs)) = (&launch.work, &stage.how) {
                    for (branch, program) in launch.branches.iter().zip(programs) {
                        self.collect(&branch.section, program, depth + 1);
                    }
                }
            }
        }
    }

    /// How many launches the device takes, and how many there are.
    pub fn counts(&self) -> (usize, usize) {
        let taken = self.launches.iter().filter(|own| own.by == "device");
        (taken.count(), self.launches.len())
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (taken, all) = self.counts();
        let regions = match self.regions {
            1 => "1 region".to_owned(),
            count => format!("{count} regions"),
        };
        writeln!(
            f,
            "the device takes {taken} of {all} launches, in {regions}"
        )?;
        writeln!(f, "  it is {}", self.device)?;
        // Equal layers say the same: each line once, with its number.
        let mut lines: Vec<String> = Vec::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for own in self.launches.iter().filter(|own| own.by != "device") {
            let refused = own.refused.as_deref().unwrap_or_default();
            let line = format!("{}: {}: {refused}", own.what, own.by);
            let count = counts.entry(line.clone()).or_default();
            if *count == 0 {
                lines.push(line);
            }
            *count += 1;
        }
        for line in lines {
            let count = counts.get(&line).copied().unwrap_or_default();
            writeln!(f, "  {count} × {line}")?;
        }
        Ok(())
    }
}
