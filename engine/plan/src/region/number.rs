//! Takes launches out of a plan, with numbers of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use girih_graph::{AxisId, Extent};

use super::visit::{self, Visit};
use super::{Region, VERSION};
use crate::kernel::Kernel;
use crate::plan::{BufferId, BufferKind, KernelLaunch, Launch, Section, TensorId, Work, tile};

pub(super) fn region(
    all: &[Kernel],
    section: &Section,
    launches: Range<usize>,
) -> Option<(Region, Vec<BufferId>)> {
    let mut launches = section.launches.get(launches)?.to_vec();
    let mut names = Names::default();
    for launch in &mut launches {
        forget(launch, &mut names)?;
    }
    let mut numbers = Numbers::default();
    for launch in &mut launches {
        visit::launch(launch, &mut numbers);
    }
    let mut own = Section {
        launches,
        ..Section::default()
    };
    for tensor in std::mem::take(&mut numbers.tensors.met) {
        let mut tensor = section.tensors[tensor.index()].clone();
        numbers.buffer(&mut tensor.buffer);
        own.tensors.push(tensor);
    }
    for buffer in &numbers.buffers.met {
        let mut buffer = section.buffers[buffer.index()].clone();
        buffer.kind = BufferKind::Bound;
        own.buffers.push(buffer);
    }
    visit::memory(&mut own, &mut numbers);
    let kernels = numbers.kernels.met.iter();
    let mut region = Region {
        version: VERSION,
        symbols: Vec::new(),
        kernels: kernels.map(|kernel| all[*kernel].clone()).collect(),
        section: own,
    };
    region.symbols = names.settle(&mut region);
    Some((region, numbers.buffers.met))
}

/// See [`super::draw_symbol`].
pub(super) fn draw_symbol(key: &str) -> String {
    format!("{DRAW}{key}")
}

/// No size is called so.
pub(super) const DRAW: &str = "#draw ";

/// Removes what only people read, and finds the symbols that launches define for what they hold.
fn forget(launch: &mut Launch, names: &mut Names) -> Option<()> {
    launch.label.clear();
    launch.stops.clear();
    let mut inside: Vec<&mut Section> = Vec::new();
    match &mut launch.work {
        Work::Native(_) => return None,
        Work::Kernel(own) => quiet(own),
        Work::Attention(own) => {
            let kernels = [&mut own.interior, &mut own.edge, &mut own.mask];
            kernels.into_iter().flatten().for_each(quiet);
            names.tiles.extend(tile::symbols(own.points.len()));
        }
        Work::Recurrence(own) => {
            own.axis.clear();
            if let Some(part) = &mut own.part {
                part.symbol = names.define("#part", &part.symbol);
            }
            inside.push(&mut own.body);
        }
        Work::Route(own) => {
            own.symbol = names.define("#items", &own.symbol);
            inside.extend(own.branches.iter_mut().map(|branch| &mut branch.section));
        }
        Work::Contract(_) | Work::Routine(_) => {}
    }
    for section in inside {
        for launch in &mut section.launches {
            forget(launch, names)?;
        }
    }
    Some(())
}

fn quiet(launch: &mut KernelLaunch) {
    launch.loops.clear();
    launch.failures.clear();
}

/// Symbols that launches define, with their new names.
#[derive(Default)]
struct Names {
    defined: BTreeMap<Arc<str>, Arc<str>>,
    tiles: BTreeSet<String>,
}

impl Names {
    /// Loops beside one another share their symbols, and so the new ones.
    fn define(&mut self, kind: &str, symbol: &Arc<str>) -> Arc<str> {
        let count = self.defined.len();
        let name = self.defined.entry(Arc::clone(symbol));
        Arc::clone(name.or_insert_with(|| format!("{kind}{count}").into()))
    }

    /// Gives the region's sizes the new names, and the symbols that nobody inside defines.
    fn settle(&self, region: &mut Region) -> Vec<Arc<str>> {
        let mut free = BTreeSet::new();
        let mut sizes = Sizes(|extent: &mut Extent| {
            for symbol in extent.symbols() {
                if !self.defined.contains_key(&symbol) && !self.tiles.contains(&*symbol) {
                    free.insert(symbol);
                }
            }
            let new = |symbol: &str| Some(Extent::symbol(self.defined.get(symbol)?));
            *extent = extent.substitute(&new);
        });
        for launch in &mut region.section.launches {
            visit::launch(launch, &mut sizes);
        }
        visit::memory(&mut region.section, &mut sizes);
        for kernel in &mut region.kernels {
            visit::kernel(kernel, &mut sizes.0);
        }
        for launch in &region.section.launches {
            launch.work.visit_draws(&mut |key| {
                free.insert(draw_symbol(key).into());
            });
        }
        free.into_iter().collect()
    }
}

/// Every size, those inside too.
struct Sizes<F>(F);

impl<F: FnMut(&mut Extent)> Visit for Sizes<F> {
    fn tensor(&mut self, _: &mut TensorId) {}
    fn buffer(&mut self, _: &mut BufferId) {}
    fn axis(&mut self, _: &mut AxisId) {}
    fn kernel(&mut self, _: &mut usize) {}

    fn extent(&mut self, extent: &mut Extent) {
        (self.0)(extent);
    }

    fn inside(&mut self, section: &mut Section) {
        visit::memory(section, self);
        for launch in &mut section.launches {
            visit::launch(launch, self);
        }
    }
}

/// Things in the order in which they are met.
struct Met<T> {
    met: Vec<T>,
    numbers: BTreeMap<T, usize>,
}

impl<T> Default for Met<T> {
    fn default() -> Self {
        Self {
            met: Vec::new(),
            numbers: BTreeMap::new(),
        }
    }
}

impl<T: Copy + Ord> Met<T> {
    fn number(&mut self, thing: T) -> usize {
        *self.numbers.entry(thing).or_insert_with(|| {
            self.met.push(thing);
            self.met.len() - 1
        })
    }
}

/// New numbers for everything; inside, tensors and buffers keep theirs.
#[derive(Default)]
struct Numbers {
    tensors: Met<TensorId>,
    buffers: Met<BufferId>,
    axes: Met<AxisId>,
    kernels: Met<usize>,
    depth: usize,
}

impl Visit for Numbers {
    fn tensor(&mut self, id: &mut TensorId) {
        if self.depth == 0 {
            *id = TensorId(self.tensors.number(*id) as u32);
        }
    }

    fn buffer(&mut self, id: &mut BufferId) {
        if self.depth == 0 {
            *id = BufferId(self.buffers.number(*id) as u32);
        }
    }

    fn axis(&mut self, id: &mut AxisId) {
        *id = AxisId::new(self.axes.number(*id) as u32);
    }

    fn kernel(&mut self, id: &mut usize) {
        *id = self.kernels.number(*id);
    }

    fn extent(&mut self, _: &mut Extent) {}

    fn inside(&mut self, section: &mut Section) {
        self.depth += 1;
        visit::memory(section, self);
        for launch in &mut section.launches {
            visit::launch(launch, self);
        }
        self.depth -= 1;
    }
}
