//! Numbers for the sizes of a plan.
//!
//! Extents are evaluated once for a set of sizes. Every axis then has between 0 and [`Extent::LIMIT`] positions, and no
//! buffer has more bytes than are allowed for all.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use girih_graph::{AxisId, AxisTable, DType, Extent, ExtentError, Graph, Op, Region, ValueType};
use girih_plan::plan::{BufferId, Plan, Section, Tensor};
use girih_runtime::backend::{RunError, Sizes};

use crate::view::{Line, View};

/// The value of every size symbol that is known.
pub type Symbols = BTreeMap<Arc<str>, i64>;

/// Which of the known symbols numbers were computed from: a bit for each, in their order, and the last for all that come
/// after and for those that are not known.
pub type Reads = u64;

/// The symbols whose values are not the same, of two sets of sizes. Where one knows others, that is all.
pub fn changed(old: &Symbols, new: &Symbols) -> Reads {
    if !old.keys().eq(new.keys()) {
        return Reads::MAX;
    }
    let pairs = old.values().zip(new.values()).enumerate();
    let other = pairs.filter(|(_, (old, new))| old != new);
    other.fold(0, |reads, (at, _)| reads | bit(at))
}

fn bit(symbol: usize) -> Reads {
    1 << symbol.min(Reads::BITS as usize - 1)
}

/// Bytes of a buffer that somebody else has.
pub const UNKNOWN: usize = usize::MAX;

/// Evaluates the sizes of one run.
#[derive(Debug)]
pub struct Numbers<'a> {
    axes: &'a AxisTable,
    /// What is known.
    pub symbols: Symbols,
    /// Most bytes that all values may have together.
    pub limit: u64,
    known: RefCell<HashMap<Extent, Known>>,
    /// Of what is being [read](Self::reading).
    read: Cell<Reads>,
}

/// What an extent is, and what it was computed from.
type Known = (Result<i64, ExtentError>, Reads);

impl<'a> Numbers<'a> {
    /// With these sizes and so many bytes for all values.
    pub fn new(axes: &'a AxisTable, symbols: Symbols, limit: u64) -> Self {
        Self {
            axes,
            symbols,
            // Offsets in bytes are signed, and sums of them must not wrap.
            limit: limit.min((isize::MAX / 16) as u64),
            known: RefCell::default(),
            read: Cell::default(),
        }
    }

    /// What something computes, and the symbols that it asked for.
    pub fn reading<T>(&self, compute: impl FnOnce() -> T) -> (T, Reads) {
        let before = self.read.take();
        let computed = compute();
        let reads = self.read.get();
        self.read.set(before | reads);
        (computed, reads)
    }

    /// The axis of a name, if there is one.
    pub fn axis(&self, name: &str) -> Option<AxisId> {
        self.axes.find(name)
    }

    /// The number of an extent that is no axis'.
    ///
    /// # Errors
    ///
    /// A size that nothing tells, a zero divisor, an overflow.
    pub fn number(&self, extent: &Extent) -> Result<i64, RunError> {
        self.evaluate(extent).map_err(|source| RunError::Size {
            what: format!("`{extent}`"),
            source,
        })
    }

    fn evaluate(&self, extent: &Extent) -> Result<i64, ExtentError> {
        if let Some(value) = extent.as_constant() {
            return Ok(value);
        }
        if let Some((value, reads)) = self.known.borrow().get(extent) {
            self.read.set(self.read.get() | reads);
            return value.clone();
        }
        let known = |symbol: &Arc<str>| self.symbols.keys().position(|own| own == symbol);
        let symbols = extent.symbols();
        let bits = symbols
            .iter()
            .map(|symbol| bit(known(symbol).unwrap_or(usize::MAX)));
        let reads = bits.fold(0, |reads, own| reads | own);
        let value = extent.evaluate(&|symbol| self.symbols.get(symbol).copied());
        self.read.set(self.read.get() | reads);
        let mut known = self.known.borrow_mut();
        known.insert(extent.clone(), (value.clone(), reads));
        value
    }

    /// The number of positions of an axis.
    ///
    /// # Errors
    ///
    /// A size that cannot be computed, is negative or past the limit.
    pub fn positions(&self, extent: &Extent, name: impl Fn() -> String) -> Result<usize, RunError> {
        let what = || format!("axis `{}`", name());
        let value = self.evaluate(extent).map_err(|source| RunError::Size {
            what: what(),
            source,
        })?;
        match usize::try_from(value) {
            Ok(positions) if value <= Extent::LIMIT => Ok(positions),
            _ => Err(RunError::Absurd {
                what: what(),
                value,
            }),
        }
    }

    /// A stride or an offset. Beside an extent of 0, others may be too large for any number;
    /// nothing is read there.
    ///
    /// # Errors
    ///
    /// A size that nothing tells, a zero divisor.
    pub fn distance(&self, extent: &Extent) -> Result<isize, RunError> {
        match self.evaluate(extent) {
            Ok(value) => Ok(value as isize),
            Err(ExtentError::Overflow(_)) => Ok(0),
            Err(source) => Err(RunError::Size {
                what: format!("`{extent}`"),
                source,
            }),
        }
    }

    /// A view of a tensor.
    ///
    /// # Errors
    ///
    /// Sizes that cannot be computed or are absurd.
    pub fn view(&self, tensor: &Tensor) -> Result<View, RunError> {
        let line = |(axis, stride): &(_, girih_plan::plan::Stride)| {
            let name = || self.axes.name(*axis).to_owned();
            Ok(Line {
                axis: *axis,
                extent: self.positions(&stride.extent, name)?,
                step: self.distance(&stride.step)?,
            })
        };
        Ok(View {
            buffer: tensor.buffer,
            dtype: tensor.dtype,
            offset: self.distance(&tensor.offset)?,
            lines: tensor
                .axes
                .iter()
                .map(line)
                .collect::<Result<_, RunError>>()?,
        })
    }

    /// Bytes of a buffer that `views` see.
    ///
    /// # Errors
    ///
    /// A size that cannot be computed, more bytes than allowed.
    pub fn buffer_bytes(
        &self,
        id: BufferId,
        dtype: DType,
        elements: &Extent,
        views: &[View],
    ) -> Result<usize, RunError> {
        let elements = match self.evaluate(elements) {
            Ok(elements) => elements.max(0).cast_unsigned(),
            Err(ExtentError::Overflow(_)) => {
                let empty = |view: &View| view.lines.iter().any(|line| line.extent == 0);
                let mut seen = views.iter().filter(|view| view.buffer == id);
                if seen.all(empty) { 0 } else { u64::MAX }
            }
            Err(source) => {
                return Err(RunError::Size {
                    what: format!("`{elements}`"),
                    source,
                });
            }
        };
        let bytes = elements.saturating_mul(dtype.size() as u64);
        if bytes > self.limit {
            return Err(self.too_large(views, id, bytes));
        }
        Ok(bytes as usize)
    }

    /// The error for a buffer that is too much.
    fn too_large(&self, views: &[View], id: BufferId, bytes: u64) -> RunError {
        let seen = views.iter().filter(|view| view.buffer == id);
        let what = seen
            .max_by_key(|view| view.count())
            .map_or_else(String::new, |view| {
                let ty = ValueType::new(view.dtype, view.axes().collect());
                format!("{} of shape {:?}", self.axes.show(&ty), view.shape())
            });
        RunError::Memory {
            what,
            bytes,
            limit: self.limit,
        }
    }

    /// That so many bytes are allowed; the largest buffer is named if they are not.
    ///
    /// # Errors
    ///
    /// [`RunError::Memory`].
    pub fn check_limit(&self, views: &[View], sizes: &[usize], bytes: u64) -> Result<(), RunError> {
        if bytes <= self.limit {
            return Ok(());
        }
        let known = (0..sizes.len()).filter(|at| sizes[*at] != UNKNOWN);
        let largest = known.max_by_key(|at| sizes[*at]);
        let largest = BufferId(largest.unwrap_or(0) as u32);
        Err(self.too_large(views, largest, bytes))
    }
}

/// Every size symbol that a plan of the graph may ask for, but not those that a launch gives.
pub fn all_symbols(graph: &Graph, plan: &Plan) -> Vec<Arc<str>> {
    let axes = graph
        .axes
        .iter()
        .flat_map(|(_, axis)| axis.extent.symbols());
    let mut symbols: Vec<Arc<str>> = axes.collect();
    for buffer in &plan.root.buffers {
        symbols.extend(buffer.elements.symbols());
    }
    size_symbols(&graph.root, &mut symbols);
    symbols.sort();
    symbols.dedup();
    symbols
}

/// Those of the symbols that a run has a value for.
pub fn known(symbols: &[Arc<str>], sizes: &Sizes) -> Symbols {
    let value = |symbol: &Arc<str>| {
        let value = sizes.value(&Extent::symbol(symbol), String::new);
        Some((Arc::clone(symbol), value.ok()?))
    };
    symbols.iter().filter_map(value).collect()
}

/// Every symbol that a value of a region is computed from.
fn size_symbols(region: &Region, symbols: &mut Vec<Arc<str>>) {
    for (_, node) in region.nodes() {
        match &node.op {
            Op::Size(extent) => symbols.extend(extent.symbols()),
            Op::Random(_, _, axes) => {
                symbols.extend(axes.iter().flat_map(|(_, from)| from.symbols()));
            }
            _ => {}
        }
        for inner in node.op.regions() {
            size_symbols(inner, symbols);
        }
    }
}

/// A plan's views of the buffers that are wanted stay inside them: memory safety rests on it.
///
/// # Panics
///
/// One does not, which is a bug of whoever planned.
pub fn check_views(
    section: &Section,
    views: &[View],
    bytes: &[usize],
    wanted: &dyn Fn(BufferId) -> bool,
) {
    let wanted = views
        .iter()
        .enumerate()
        .filter(|(_, view)| wanted(view.buffer));
    for (tensor, view) in wanted {
        let buffer = &section.buffers[view.buffer.index()];
        assert_eq!(view.dtype, buffer.dtype, "a tensor has its buffer's dtype");
        let Some((first, last)) = view.reach() else {
            continue;
        };
        let elements = bytes[view.buffer.index()] / view.dtype.size();
        let inside = first >= 0 && last.cast_unsigned() < elements;
        assert!(inside, "tensor {tensor} leaves its buffer: {view:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_numbers_are_computed_from_is_told() {
        let symbols = |a, b| Symbols::from([(Arc::from("a"), a), (Arc::from("b"), b)]);
        let axes = AxisTable::default();
        let numbers = Numbers::new(&axes, symbols(2, 3), u64::MAX);
        let [a, b, other] = ["a", "b", "other"].map(|name| Extent::symbol(&Arc::from(name)));
        let read = |extent: &Extent| numbers.reading(|| numbers.number(extent).ok());
        assert_eq!(read(&Extent::constant(7)), (Some(7), 0));
        assert_eq!(read(&a), (Some(2), 0b01));
        // The second time it is known.
        assert_eq!(read(&a), (Some(2), 0b01));
        assert_eq!(read(&b), (Some(3), 0b10));
        assert_eq!(read(&other), (None, 1 << 63));
        // What is read inside is read outside, too, and not what was read before.
        let (_, reads) = numbers.reading(|| (read(&a), read(&Extent::constant(1)), read(&b)));
        assert_eq!(reads, 0b11);

        assert_eq!(changed(&symbols(2, 3), &symbols(2, 3)), 0);
        assert_eq!(changed(&symbols(2, 3), &symbols(2, 4)), 0b10);
        assert_eq!(changed(&symbols(2, 3), &symbols(1, 4)), 0b11);
        let fewer = Symbols::from([(Arc::from("a"), 2)]);
        assert_eq!(changed(&symbols(2, 3), &fewer), Reads::MAX);
    }
}
