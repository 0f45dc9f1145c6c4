//! CUDA C for the launches of a region.
//!
//! Every launch becomes one or more functions that a grid runs; [`Program`] says which, with what
//! arguments and over how many blocks, as formulas over sizes. Guarantees: equal launches give
//! equal text, and text depends on nothing else; sums are combined in an order that depends on
//! sizes alone; a thread that a guard stops goes on with zeros, so that no other one waits for it.
//! What is not generated is refused with the reason.
mod attention;
mod contract;
mod copy;
mod emit;
mod inline;

mod kernel;
mod lines;
mod product;
mod recurrence;
mod routine;
mod scatter;

mod sizes;
mod sort;
mod steps;
mod types;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use girih_graph::Extent;
use girih_plan::kernel::Kernel;
use girih_plan::plan::{BufferId, Section, Work};

use kernel::Function;
pub use product::{FEW, LEAST, Matrix, Product};

/// What stands before the generated functions, on the device and in its emulation.
pub const PRELUDE: &str = include_str!("source/prelude.cu");

/// What the prelude needs of a device.
pub const DEVICE: &str = include_str!("source/device.cu");

/// Threads of a block.
pub const THREADS: u32 = 256;

/// Why no code is generated for a launch, lower case, without a period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Refusal {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// The code of a region, and how it is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// All functions, without what stands before them.
    pub text: String,
    /// Functions that grids run.
    pub entries: Vec<Entry>,
    /// In order.
    pub launches: Vec<Launch>,
    /// Memory that the launches need for themselves, in bytes.
    pub scratch: Vec<Extent>,
    /// Launches of kernels, those inside others too.
    pub counted: i64,
}

/// A function that a grid runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether its threads wait for one another.
    pub synchronizes: bool,
}

/// One step of a program: a product that the driver carries out, or the first choice that fits the sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// What it is for a library.
    pub product: Option<Product>,
    /// Ways to run it; the last one always fits.
    pub choices: Vec<Choice>,
}

impl Launch {
    /// Generated code alone.
    fn of(choices: Vec<Choice>) -> Self {
        Self {
            product: None,
            choices,
        }
    }
}

/// A way to run a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Holds if the product of these is at most the number.
    pub when: Option<(Vec<Extent>, u64)>,
    /// Position in [`Program::entries`].
    pub entry: usize,
    /// In order. Each takes eight bytes.
    pub arguments: Vec<Argument>,
    /// How many blocks.
    pub blocks: Blocks,
}

/// What a function gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// Where a buffer of the region starts.
    Buffer(BufferId),
    /// Where a piece of [`Program::scratch`] starts.
    Scratch(usize),
    /// A size.
    Size(Extent),
    /// Where failures are told.
    Failure,
    /// The number of a launch of a kernel, as failures name it, among the program's.
    Launch(i64),
}

/// The grid: along x one block for so many pieces of work, and along y one for each; whatever is
/// left the blocks take in turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Factors of the pieces along x, each divided by the number beside it and rounded up.
    pub x: Vec<(Extent, u64)>,
    /// Pieces of a block along x.
    pub per: u64,
    /// Factors of the pieces along y.
    pub y: Vec<Extent>,
}

/// The program of a section whose buffers are all given.
///
/// # Errors
///
/// The first launch that no code is generated for, with the reason.
pub fn program(kernels: &[Kernel], section: &Section) -> Result<Program, Refusal> {
    let mut builder = Builder {
        kernels,
        section,
        functions: BTreeMap::new(),
        program: Program::default(),
    };
    for launch in &section.launches {
        builder.launch(&launch.work)?;
    }
    Ok(builder.program)
}

/// A program while it is made.
struct Builder<'a> {
    kernels: &'a [Kernel],
    section: &'a Section,
    /// The function of each kernel that was met, with its entry.
    functions: BTreeMap<usize, (Function, usize)>,
    program: Program,
}

impl<'a> Builder<'a> {
    fn launch(&mut self, work: &'a Work) -> Result<(), Refusal> {
        match work {
            Work::Kernel(launch) => self.kernel(launch),
            Work::Contract(launch) => self.contract(launch),
            Work::Attention(launch) => self.attention(launch),
            Work::Recurrence(launch) => self.recurrence(launch),
            Work::Routine(routine) => self.routine(routine),
            Work::Route(_) => Err(Refusal::new("a route takes as many items as its data say")),
            Work::Native(_) => Err(Refusal::new("a plugin's kernel runs on the host")),
        }
    }

    fn kernel(&mut self, launch: &girih_plan::plan::KernelLaunch) -> Result<(), Refusal> {
        if !self.functions.contains_key(&launch.kernel) {
            let name = format!("kernel{}", launch.kernel);
            let function = kernel::function(&name, &self.kernels[launch.kernel], &[])?;
            let entry = self.entry(&format!("run_{name}"), function.synchronizes());
            self.program.text.push_str(&function.text);
            self.program
                .text
                .push_str(&function.entry(&self.program.entries[entry].name));
            self.functions.insert(launch.kernel, (function, entry));
        }
        let (function, entry) = &self.functions[&launch.kernel];
        let mut arguments = vec![Argument::Failure, Argument::Launch(self.program.counted)];
        self.program.counted += 1;
        arguments.extend(launch.buffers.iter().map(|own| Argument::Buffer(*own)));
        arguments.extend(function.sizes.iter().cloned().map(Argument::Size));
        let choice = Choice {
            when: None,
            entry: *entry,
            arguments,
            blocks: function.blocks(),
        };
        self.program.launches.push(Launch::of(vec![choice]));
        Ok(())
    }

    fn entry(&mut self, name: &str, synchronizes: bool) -> usize {
        self.program.entries.push(Entry {
            name: name.to_owned(),
            synchronizes,
        });
        self.program.entries.len() - 1
    }

    /// A name that no other launch of the program has.
    fn name(&self, what: &str) -> String {
        format!("{what}{}", self.program.launches.len())
    }
}

/// Items, each behind a comma.
fn listed(items: impl Iterator<Item = String>) -> String {
    items
        .map(|item| format!(", {item}"))
        .collect::<Vec<String>>()
        .concat()
}

/// Lines of code with their depth.
#[derive(Clone, Debug, Default)]
struct Code {
    text: String,
    depth: usize,
}

impl Code {
    fn at(depth: usize) -> Self {
        Self {
            text: String::new(),
            depth,
        }
    }

    fn line(&mut self, line: impl AsRef<str>) {
        for line in line.as_ref().lines() {
            if line.is_empty() {
                self.text.push('\n');
                continue;
            }
            // Writing to a `String` cannot fail.
            let _ = writeln!(self.text, "{:1$}{line}", "", self.depth * 2);
        }
    }

    fn open(&mut self, line: impl AsRef<str>) {
        self.line(format!("{} {{", line.as_ref()));
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }
}
