//! Which positions of a time axis a value is asked for, and the axes that hold them.
//!
//! A step always ends with the last new position; what differs is how much of the past
//! is there as well.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::{AxisId, AxisTable, Extent, ValueType};

/// How much of the past: the last so many positions before the new ones, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum History {
    /// Fewer where the stream has not had so many.
    Last(i64),
    /// From the first position on.
    All,
}

impl History {
    /// Nothing but the new positions.
    pub(super) const NEW: Self = Self::Last(0);

    /// With `more` before.
    pub(super) fn plus(self, more: Self) -> Self {
        match (self, more) {
            (Self::Last(own), Self::Last(more)) => own
                .checked_add(more)
                .filter(|sum| *sum <= Extent::LIMIT)
                .map_or(Self::All, Self::Last),
            _ => Self::All,
        }
    }

    /// The number, unless it is all.
    pub(super) const fn number(self) -> Option<i64> {
        match self {
            Self::Last(own) => Some(own),
            Self::All => None,
        }
    }
}

/// How much of the past of each of its time axes a value is asked for.
pub(super) type Demand = BTreeMap<AxisId, History>;

/// The axes of a step.
#[derive(Debug)]
pub(super) struct Roles {
    /// Axes that have a position for each of the streamed one.
    streamed: BTreeSet<AxisId>,
    /// Symbol of the number of new positions, which is the size of the whole sequence before.
    pub(super) new: String,
    /// Symbol of the number of positions after the step.
    pub(super) total: String,
    made: BTreeMap<(AxisId, History), AxisId>,
}

impl Roles {
    /// Those of a graph whose axis `axis` has the free size `new`.
    pub(super) fn of(table: &AxisTable, new: &str) -> Self {
        let streamed = table
            .iter()
            .filter(|(_, axis)| axis.extent.as_symbol() == Some(new))
            .map(|(id, _)| id);
        let symbols: BTreeSet<_> = table
            .iter()
            .flat_map(|(_, axis)| axis.extent.symbols())
            .collect();
        let mut total = format!("{new}.all");
        while symbols.contains(total.as_str()) {
            total.push('_');
        }
        Self {
            streamed: streamed.collect(),
            new: new.to_owned(),
            total,
            made: BTreeMap::new(),
        }
    }

    /// Whether `axis` has a position for each of the streamed one.
    pub(super) fn is_streamed(&self, axis: AxisId) -> bool {
        self.streamed.contains(&axis)
    }

    /// The time axes of a type.
    pub(super) fn among(&self, ty: &ValueType) -> Vec<AxisId> {
        let own = ty.axes.iter().copied();
        own.filter(|axis| self.is_streamed(*axis)).collect()
    }

    /// Whether a size depends on the length of the sequence.
    pub(super) fn mentions(&self, extent: &Extent) -> bool {
        extent.symbols().iter().any(|symbol| **symbol == self.new)
    }

    /// Positions before the step.
    pub(super) fn past(&self) -> Extent {
        Extent::symbol(&self.total).minus(&Extent::symbol(&self.new))
    }

    /// The first position that is there.
    pub(super) fn start(&self, history: History) -> Extent {
        let past = self.past();
        match history {
            History::All => Extent::constant(0),
            History::NEW => past,
            History::Last(own) => past.minus(&past.minimum(&Extent::constant(own))),
        }
    }

    /// How many positions are there.
    fn extent(&self, history: History) -> Extent {
        Extent::symbol(&self.total).minus(&self.start(history))
    }

    /// The axis of the step that holds these positions of `axis`; the new ones are held by the
    /// axis itself.
    pub(super) fn axis(&mut self, table: &mut AxisTable, axis: AxisId, history: History) -> AxisId {
        if history == History::NEW || !self.is_streamed(axis) {
            return axis;
        }
        if let Some(made) = self.made.get(&(axis, history)) {
            return *made;
        }
        let own = table[axis].clone();
        let name = match history {
            History::All => format!("{}.all", own.name),
            History::Last(last) => format!("{}.last{last}", own.name),
        };
        let made = table.add(&name, self.extent(history), own.over, own.time);
        self.made.insert((axis, history), made);
        made
    }
}
