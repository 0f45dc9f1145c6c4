//! Which positions of a time axis a value is asked for, and the axes that hold them.
//!
//! What differs is how far a value has come, and how much of the past is there as well.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::{AxisId, AxisTable, Extent, ValueType};

use super::end::End;

/// How much of the past: the last so many positions before the new ones, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum History {
    /// Fewer where the stream has not had so many; less than none for what lies ahead.
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

    /// Not less than nothing: what lies ahead is no past.
    pub(super) fn clamped(self) -> Self {
        self.max(Self::NEW)
    }
}

/// Positions of one axis: those that came since the step before, and some of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Stretch {
    /// How much of the past.
    pub(super) history: History,
    /// Up to where.
    pub(super) end: End,
}

impl Stretch {
    /// Nothing but what came since the step before.
    pub(super) const fn new(end: End) -> Self {
        Self {
            history: History::NEW,
            end,
        }
    }

    /// All that is in one of them.
    pub(super) fn with(self, other: Self) -> Self {
        let end = if self.end.over(other.end) >= 0 {
            self.end
        } else {
            other.end
        };
        let history = self.before(end).max(other.before(end));
        Self { history, end }
    }

    /// How much of the past of what ends at `end` holds these positions.
    pub(super) fn before(self, end: End) -> History {
        self.history.plus(History::Last(end.over(self.end)))
    }
}

/// Which positions of each of its time axes a value is asked for.
pub(super) type Demand = BTreeMap<AxisId, Stretch>;

/// The axes of a step.
#[derive(Clone, Debug)]
pub(super) struct Roles {
    /// Whether the sequence ends here: everything comes to its end.
    pub(super) is_ending: bool,
    /// Axes that have a position for each of the streamed one.
    streamed: BTreeSet<AxisId>,
    /// Symbol of the number of new positions, which is the size of the whole sequence before.
    pub(super) new: String,
    /// Symbol of the number of positions after the step.
    pub(super) total: String,
    made: BTreeMap<(AxisId, Stretch), AxisId>,
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
            is_ending: false,
            streamed: streamed.collect(),
            new: new.to_owned(),
            total,
            made: BTreeMap::new(),
        }
    }

    /// Those of what is still to come behind the last position.
    pub(super) fn ending(self) -> Self {
        Self {
            is_ending: true,
            made: BTreeMap::new(),
            ..self
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
    pub(super) fn start(&self, stretch: Stretch) -> Extent {
        match stretch.history {
            History::All => Extent::constant(0),
            History::Last(last) => stretch.end.before(&self.past(), last),
        }
    }

    /// How many positions are there.
    fn extent(&self, stretch: Stretch) -> Extent {
        let total = Extent::symbol(&self.total);
        let end = if self.is_ending {
            total
        } else {
            stretch.end.of(&total)
        };
        end.minus(&self.start(stretch))
    }

    /// The axis of the step that holds these positions of `axis`; the new ones are held by the
    /// axis itself.
    pub(super) fn axis(&mut self, table: &mut AxisTable, axis: AxisId, stretch: Stretch) -> AxisId {
        if stretch == Stretch::new(End::NOW) || !self.is_streamed(axis) {
            return axis;
        }
        if let Some(made) = self.made.get(&(axis, stretch)) {
            return *made;
        }
        let own = table[axis].clone();
        let end = stretch.end.word();
        let name = match stretch.history {
            History::All => format!("{}.all{end}", own.name),
            // Results have the names of the whole.
            History::NEW => own.name.to_string(),
            History::Last(last) => format!("{}.last{last}{end}", own.name),
        };
        let made = table.add(&name, self.extent(stretch), own.over, own.time);
        self.made.insert((axis, stretch), made);
        made
    }
}
