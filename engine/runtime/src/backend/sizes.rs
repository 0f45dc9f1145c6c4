//! The sizes of one run: every symbol's value, from the shapes of what is given.
//!
//! An axis whose extent is a symbol alone gives the symbol its value; the first
//! tensor that has it decides, in the order inputs, states, parameters, by name.
//! All other extents are computed and compared, so that after
//! [`Sizes::of`] every given tensor has the declared shape, and every condition
//! of the graph holds.

use std::collections::BTreeMap;

use girih_graph::{AxisId, AxisTable, DType, Extent, Graph, ValueType};

use super::{Bindings, Data, Given, RunError};

/// The value of every symbol in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Value of each symbol, and where it comes from.
    symbols: BTreeMap<String, (i64, String)>,
}

impl Sizes {
    /// Sizes of a run with `bindings`, which are checked against the graph: names,
    /// dtypes, shapes and conditions. That nothing is missing is not checked.
    ///
    /// # Errors
    ///
    /// What does not fit, by name, axis, both sizes and where they come from.
    pub fn of(graph: &Graph, bindings: &Bindings) -> Result<Self, RunError> {
        let leaves = leaves(graph);
        for name in bindings.inputs.keys() {
            let known = leaves.iter().filter(|leaf| leaf.given == Given::Input);
            if !known.clone().any(|leaf| leaf.name == name) {
                return Err(RunError::Unknown {
                    name: name.clone(),
                    known: known.map(|leaf| leaf.name.to_owned()).collect(),
                });
            }
        }
        let mut sizes = Self::default();
        for (symbol, value) in &bindings.symbols {
            let origin = format!(", as the size `{symbol}` is given");
            sizes.symbols.insert(symbol.clone(), (*value, origin));
        }
        let given: Vec<(&Leaf<'_>, &Data)> = leaves
            .iter()
            .filter_map(|leaf| Some((leaf, leaf.data(bindings)?)))
            .collect();
        for (leaf, data) in &given {
            leaf.check_type(&graph.axes, data.dtype(), data.shape())?;
            for (axis, extent) in leaf.ty.axes.iter().zip(data.shape()) {
                if let Some(symbol) = graph.axes.extent(*axis).as_symbol()
                    && !sizes.symbols.contains_key(symbol)
                {
                    let (axis, given, name) = (graph.axes.name(*axis), leaf.given, leaf.name);
                    let origin = format!(", as axis `{axis}` of {given} `{name}`");
                    let extent = i64::try_from(*extent).unwrap_or(i64::MAX);
                    sizes.symbols.insert(symbol.to_owned(), (extent, origin));
                }
            }
        }
        for (leaf, data) in &given {
            sizes.check_shape(&graph.axes, leaf, data.shape())?;
        }
        for check in &graph.checks {
            let what = || check.reason.clone();
            let left_value = sizes.value(&check.left, what)?;
            let right_value = sizes.value(&check.right, what)?;
            if left_value != right_value {
                return Err(RunError::Check {
                    reason: check.reason.clone(),
                    left: check.left.to_string(),
                    left_value,
                    right: check.right.to_string(),
                    right_value,
                });
            }
        }
        Ok(sizes)
    }

    /// Checks a parameter against what the graph declares, as far as that is constant.
    ///
    /// # Errors
    ///
    /// A dtype, rank or extent that does not fit.
    pub fn check_param(
        table: &AxisTable,
        path: &str,
        ty: &ValueType,
        dtype: DType,
        shape: &[usize],
    ) -> Result<(), RunError> {
        let leaf = Leaf {
            given: Given::Param,
            name: path,
            ty,
        };
        leaf.check_type(table, dtype, shape)?;
        for (axis, found) in ty.axes.iter().zip(shape) {
            if let Some(wanted) = table.extent(*axis).as_constant() {
                leaf.check_extent(table, *axis, wanted, *found, String::new)?;
            }
        }
        Ok(())
    }

    /// The value of an extent; `what` names it in errors.
    ///
    /// # Errors
    ///
    /// A symbol that nothing given tells, a zero divisor, an overflow.
    pub fn value(&self, extent: &Extent, what: impl Fn() -> String) -> Result<i64, RunError> {
        let lookup = |symbol: &str| self.symbols.get(symbol).map(|(value, _)| *value);
        extent.evaluate(&lookup).map_err(|source| RunError::Size {
            what: what(),
            source,
        })
    }

    /// The number of positions of an axis, from 0 to [`Extent::LIMIT`].
    ///
    /// # Errors
    ///
    /// A size that cannot be computed, is negative or past the limit.
    pub fn extent(&self, table: &AxisTable, axis: AxisId) -> Result<usize, RunError> {
        let what = || format!("axis `{}`", table.name(axis));
        let value = self.value(table.extent(axis), what)?;
        match usize::try_from(value) {
            Ok(extent) if value <= Extent::LIMIT => Ok(extent),
            _ => Err(RunError::Absurd {
                what: what(),
                value,
            }),
        }
    }

    fn check_shape(
        &self,
        table: &AxisTable,
        leaf: &Leaf<'_>,
        shape: &[usize],
    ) -> Result<(), RunError> {
        for (axis, found) in leaf.ty.axes.iter().zip(shape) {
            let extent = table.extent(*axis);
            let what = || {
                format!(
                    "axis `{}` of {} `{}`",
                    table.name(*axis),
                    leaf.given,
                    leaf.name
                )
            };
            let wanted = self.value(extent, what)?;
            leaf.check_extent(table, *axis, wanted, *found, || self.origin(extent))?;
            if *found as u64 > Extent::LIMIT as u64 {
                return Err(RunError::Absurd {
                    what: what(),
                    value: wanted,
                });
            }
        }
        Ok(())
    }

    /// Where the value of an extent comes from, as the end of a sentence.
    fn origin(&self, extent: &Extent) -> String {
        if let Some((_, origin)) = extent.as_symbol().and_then(|name| self.symbols.get(name)) {
            return origin.clone();
        }
        let mut text = String::new();
        for symbol in extent.symbols() {
            if let Some((value, origin)) = self.symbols.get(&*symbol) {
                let start = if text.is_empty() {
                    format!(", which is `{extent}`")
                } else {
                    String::new()
                };
                text = format!("{text}{start}, where `{symbol}` is {value}{origin}");
            }
        }
        text
    }
}

/// A value that somebody gives.
struct Leaf<'a> {
    given: Given,
    name: &'a str,
    ty: &'a ValueType,
}

impl Leaf<'_> {
    fn data<'b>(&self, bindings: &'b Bindings) -> Option<&'b Data> {
        match self.given {
            Given::Input => bindings.inputs.get(self.name),
            Given::Param => bindings.params.get(self.name),
            Given::State => bindings.states.get(self.name),
        }
    }

    fn check_type(&self, table: &AxisTable, found: DType, shape: &[usize]) -> Result<(), RunError> {
        let wanted = self.ty.dtype;
        // The dtype of parameters is converted: see `Bindings`.
        let converts = self.given == Given::Param && wanted.is_real() && found.is_real();
        if wanted != found && !converts {
            return Err(RunError::DType {
                given: self.given,
                name: self.name.to_owned(),
                wanted,
                found,
            });
        }
        if self.ty.axes.len() != shape.len() {
            return Err(RunError::Rank {
                given: self.given,
                name: self.name.to_owned(),
                wanted: table.show(self.ty),
                found: shape.to_vec(),
            });
        }
        Ok(())
    }

    fn check_extent(
        &self,
        table: &AxisTable,
        axis: AxisId,
        wanted: i64,
        found: usize,
        reason: impl Fn() -> String,
    ) -> Result<(), RunError> {
        let found = i64::try_from(found).unwrap_or(i64::MAX);
        if found == wanted {
            return Ok(());
        }
        Err(RunError::Extent {
            given: self.given,
            name: self.name.to_owned(),
            axis: table.name(axis).to_owned(),
            wanted,
            found,
            reason: reason(),
        })
    }
}

/// Everything that may be given, in the order in which it decides sizes.
fn leaves(graph: &Graph) -> Vec<Leaf<'_>> {
    let kinds = [
        (Given::Input, graph.inputs()),
        (Given::State, graph.states()),
        (Given::Param, graph.params()),
    ];
    let mut leaves = Vec::new();
    for (given, named) in kinds {
        for (name, value) in named {
            let ty = graph.root.ty(value);
            leaves.push(Leaf { given, name, ty });
        }
    }
    leaves
}

/// Bytes of a value of this dtype and shape; saturates.
pub(crate) fn byte_count(dtype: DType, shape: &[usize]) -> u64 {
    if shape.contains(&0) {
        return 0;
    }
    let bytes = dtype.size() as u64;
    shape
        .iter()
        .fold(bytes, |bytes, extent| bytes.saturating_mul(*extent as u64))
}
