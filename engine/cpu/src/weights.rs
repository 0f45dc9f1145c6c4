//! Which products multiply by a parameter as it is given, and how each wants it packed.
//!
//! A factor of a contraction is a weight if it is a parameter or a view of one whose
//! place is known before any size is: its elements can then be brought into the order
//! of the kernel once. Bodies of loops and branches of routes see the parameters of
//! the section around them where they lie, so that their products count too. What
//! reads a parameter otherwise – a kernel, a gather, a result – needs it plain.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::{AxisId, DType, Extent};
use girih_plan::plan::{
    BufferId, Contract, GivenKind, Plan, RecurrenceLaunch, RouteLaunch, Section, Tensor, TensorId,
    Work,
};

use crate::bind::buffer_of;
use crate::rows::{self, Rows};

/// Elements of a matrix below which packing gains nothing.
const SMALL: usize = 1 << 10;

/// Columns below which panels would be mostly empty.
const FEW_COLUMNS: usize = 8;

/// Matrices of one product that are packed one by one.
const MOST: usize = 1 << 12;

/// The weights of a plan.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    all: Vec<Weight>,
    /// By where the contraction lies in the plan.
    by_contract: BTreeMap<usize, usize>,
    /// Whether anything but products with packed weights, and `rows`, reads what is given.
    plain: Vec<bool>,
    /// Launches of the whole model that read rows of a parameter, with what they read.
    rows: Vec<(usize, usize, Rows)>,
}

/// A parameter as one product reads it.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    /// Position in [`Plan::given`].
    pub(crate) given: usize,
    /// Whether it is the first factor.
    pub(crate) left: bool,
    /// What is packed.
    pub(crate) form: Form,
    /// The axis of the sum within a matrix.
    pub(crate) inner: AxisId,
    /// The axis of a matrix's columns.
    pub(crate) column: AxisId,
    /// Axes of further matrices, outermost first, with their extents: those of the result,
    /// then those of the sum. [`Form::offsets`] are in their order.
    pub(crate) loops: Vec<(AxisId, usize)>,
    /// How many of `loops` belong to the sum.
    pub(crate) sums: usize,
}

/// Matrices `[k, n]` within a row-major parameter, all lying alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Rows: the axis of the sum.
    pub(crate) k: usize,
    /// Columns.
    pub(crate) n: usize,
    /// Elements from a row to the next.
    pub(crate) row: isize,
    /// Elements from a column to the next.
    pub(crate) column: isize,
    /// Where each matrix begins.
    pub(crate) offsets: Vec<isize>,
}

impl Form {
    /// Elements of all matrices.
    pub(crate) fn count(&self) -> usize {
        self.k
            .saturating_mul(self.n)
            .saturating_mul(self.offsets.len())
    }
}

/// Where the first element of a buffer lies within what is given.
type Places = BTreeMap<BufferId, (usize, i64)>;

impl Weights {
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut weights = Self {
            plain: vec![false; plan.given.len()],
            ..Self::default()
        };
        let mut places = Places::new();
        for (at, given) in plan.given.iter().enumerate() {
            let buffer = buffer_of(&plan.root, given.tensor);
            let param = given.kind == GivenKind::Param;
            // Two names for one memory are read where they lie.
            if !param || places.insert(buffer, (at, 0)).is_some() {
                weights.plain[at] = true;
            }
        }
        places.retain(|_, (given, _)| !weights.plain[*given]);
        weights.rows(plan, &places);
        weights.section(&plan.root, &places, true);
        for outcome in &plan.results {
            weights.read(&places, buffer_of(&plan.root, outcome.tensor));
        }
        weights
    }

    /// Every weight.
    pub(crate) fn all(&self) -> &[Weight] {
        &self.all
    }

    /// The weight of a contraction of the plan, by its number.
    pub(crate) fn number(&self, contract: &Contract) -> Option<usize> {
        self.by_contract.get(&key(contract)).copied()
    }

    /// Launches of the whole model, by position, that read rows of what is given, by position.
    pub(crate) fn all_rows(&self) -> &[(usize, usize, Rows)] {
        &self.rows
    }

    /// Whether something reads what is given as it lies, beside [`all_rows`](Self::all_rows).
    pub(crate) fn plain(&self, given: usize) -> bool {
        self.plain[given]
    }

    /// Finds what reads rows.
    fn rows(&mut self, plan: &Plan, places: &Places) {
        for (at, launch) in plan.root.launches.iter().enumerate() {
            let Work::Kernel(kernel) = &launch.work else {
                continue;
            };
            let buffers: BTreeSet<BufferId> = kernel.buffers.iter().copied().collect();
            for buffer in buffers {
                let Some((given, _)) = places.get(&buffer) else {
                    continue;
                };
                match rows::rows(&plan.kernels[kernel.kernel], kernel, buffer) {
                    Some(rows) => self
                        .rows
                        .extend(rows.into_iter().map(|rows| (at, *given, rows))),
                    None => self.plain[*given] = true,
                }
            }
        }
    }

    fn read(&mut self, places: &Places, buffer: BufferId) {
        if let Some((given, _)) = places.get(&buffer) {
            self.plain[*given] = true;
        }
    }

    fn section(&mut self, section: &Section, places: &Places, whole: bool) {
        for launch in &section.launches {
            match &launch.work {
                // Of the whole model, `rows` has seen them.
                Work::Kernel(_) if whole => {}
                Work::Contract(contract) => self.contract(section, places, contract),
                Work::Recurrence(inner) => self.recurrence(section, places, inner),
                Work::Route(route) => self.route(section, places, route),
                Work::Kernel(_) | Work::Attention(_) | Work::Routine(_) | Work::Native(_) => {
                    launch.visit_buffers(&section.tensors, &mut |buffer, _| {
                        self.read(places, buffer);
                    });
                }
            }
        }
    }

    fn contract(&mut self, section: &Section, places: &Places, contract: &Contract) {
        let sides = [true, false].map(|left| weight(section, places, contract, left));
        let larger = |weight: &&Weight| weight.form.count();
        let found = sides.iter().flatten().max_by_key(larger).cloned();
        for (tensor, left) in [(contract.left, true), (contract.right, false)] {
            if found.as_ref().is_none_or(|found| found.left != left) {
                self.read(places, buffer_of(section, tensor));
            }
        }
        if let Some(found) = found {
            self.by_contract.insert(key(contract), self.all.len());
            self.all.push(found);
        }
    }

    fn recurrence(&mut self, section: &Section, places: &Places, launch: &RecurrenceLaunch) {
        let body = &launch.body;
        let mut inner = Places::new();
        let outside = launch.carried.len() + launch.sequences.len();
        for (invariant, param) in launch.invariants.iter().zip(&body.params[outside..]) {
            let tensor = &section.tensors[invariant.index()];
            let part = launch.part.as_ref();
            let cut =
                part.is_some_and(|part| tensor.axes.iter().any(|(axis, _)| *axis == part.axis));
            self.hand(places, tensor, !cut, buffer_of(body, *param), &mut inner);
        }
        let sequences = launch.sequences.iter().map(|(sequence, _)| sequence);
        for read in launch.carried.iter().chain(sequences) {
            self.read(places, buffer_of(section, *read));
        }
        self.section(body, &inner, false);
    }

    fn route(&mut self, section: &Section, places: &Places, route: &RouteLaunch) {
        for read in [route.weights, route.kept] {
            self.read(places, buffer_of(section, read));
        }
        for branch in &route.branches {
            let mut inner = Places::new();
            for (input, param) in branch.inputs.iter().zip(&branch.section.params) {
                let outer = &section.tensors[input.index()];
                let own = &branch.section.tensors[param.index()];
                let shared = lies_as(own, outer, &route.items);
                let buffer = buffer_of(&branch.section, *param);
                self.hand(places, outer, shared, buffer, &mut inner);
            }
            self.section(&branch.section, &inner, false);
        }
    }

    /// A tensor that an inner section sees where it lies, if it does.
    fn hand(
        &mut self,
        places: &Places,
        tensor: &Tensor,
        shared: bool,
        buffer: BufferId,
        inner: &mut Places,
    ) {
        let Some((given, start)) = places.get(&tensor.buffer) else {
            return;
        };
        match tensor.offset.as_constant() {
            Some(offset) if shared => {
                inner.insert(buffer, (*given, start + offset));
            }
            _ => self.plain[*given] = true,
        }
    }
}

fn key(contract: &Contract) -> usize {
    std::ptr::from_ref(contract).addr()
}

/// Whether a branch's tensor sees the outer one's elements where they are.
fn lies_as(own: &Tensor, outer: &Tensor, items: &[AxisId]) -> bool {
    let gathers = outer.axes.iter().any(|(axis, _)| items.contains(axis));
    let one = Extent::constant(1);
    !gathers
        && own.axes.iter().all(|(axis, stride)| {
            let outer = outer.axes.iter().find(|(found, _)| found == axis);
            stride.extent == one || outer.is_some_and(|(_, outer)| outer.step == stride.step)
        })
}

/// An axis of the weight with its extent and step, and its steps in the other tensors.
struct Line {
    axis: AxisId,
    extent: usize,
    step: i64,
    others: Vec<Extent>,
}

/// The weight that a factor of a contraction is.
fn weight(section: &Section, places: &Places, contract: &Contract, left: bool) -> Option<Weight> {
    let tensor = |id: TensorId| &section.tensors[id.index()];
    let out = tensor(contract.out);
    let (own, other) = if left {
        (tensor(contract.left), tensor(contract.right))
    } else {
        (tensor(contract.right), tensor(contract.left))
    };
    let (given, start) = places.get(&own.buffer)?;
    if [own, other, out].iter().any(|one| one.dtype != DType::F32) {
        return None;
    }
    let start = start.checked_add(own.offset.as_constant()?)?;
    let columns = if left {
        &contract.rows
    } else {
        &contract.columns
    };
    let mut inner = lines(own, &contract.inner, &[other])?;
    let mut columns = lines(own, columns, &[out])?;
    let column = take_longest(&mut columns)?;
    let row = take_longest(&mut inner)?;
    let mut loops = lines(own, &contract.batch, &[other, out])?;
    loops.extend(columns);
    let sums = inner.len();
    loops.extend(inner);
    let (k, n) = (row.extent, column.extent);
    let matrices = loops
        .iter()
        .fold(1_usize, |all, own| all.saturating_mul(own.extent));
    if n < FEW_COLUMNS || k.saturating_mul(n) < SMALL || matrices > MOST {
        return None;
    }
    let mut offsets = vec![isize::try_from(start).ok()?];
    for line in &loops {
        let along = |start: isize| {
            let step = line.step as isize;
            (0..line.extent as isize).map(move |at| start.wrapping_add(at.wrapping_mul(step)))
        };
        offsets = offsets.into_iter().flat_map(along).collect();
    }
    Some(Weight {
        given: *given,
        left,
        form: Form {
            k,
            n,
            row: row.step as isize,
            column: column.step as isize,
            offsets,
        },
        inner: row.axis,
        column: column.axis,
        loops: loops.iter().map(|line| (line.axis, line.extent)).collect(),
        sums,
    })
}

/// The axes of a group, outermost of the weight first; neighbors joined that lie behind one
/// another in the weight and in the others, whatever the sizes are. `None` if a place is not
/// known, or if there is none.
fn lines(own: &Tensor, axes: &[AxisId], others: &[&Tensor]) -> Option<Vec<Line>> {
    let mut lines = Vec::new();
    let find = |tensor: &Tensor, axis: AxisId| {
        let found = tensor.axes.iter().find(|(own, _)| *own == axis);
        found.map(|(_, stride)| stride.clone())
    };
    for axis in axes {
        let stride = find(own, *axis)?;
        let extent = usize::try_from(stride.extent.as_constant()?).ok()?;
        let steps = others.iter().map(|other| Some(find(other, *axis)?.step));
        match extent {
            0 => return None,
            1 => {}
            _ => lines.push(Line {
                axis: *axis,
                extent,
                step: stride.step.as_constant()?,
                others: steps.collect::<Option<_>>()?,
            }),
        }
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.step));
    let mut joined: Vec<Line> = Vec::new();
    for line in lines {
        let extent = Extent::constant(line.extent as i64);
        match joined.last_mut() {
            Some(outer)
                if outer.step == line.step.saturating_mul(line.extent as i64)
                    && (outer.others.iter().zip(&line.others))
                        .all(|(outer, inner)| *outer == inner.times(&extent)) =>
            {
                outer.extent = outer.extent.checked_mul(line.extent)?;
                outer.step = line.step;
                outer.axis = line.axis;
                outer.others = line.others;
            }
            _ => joined.push(line),
        }
    }
    Some(joined)
}

fn take_longest(lines: &mut Vec<Line>) -> Option<Line> {
    let longest = (0..lines.len()).max_by_key(|at| lines[*at].extent)?;
    Some(lines.remove(longest))
}
