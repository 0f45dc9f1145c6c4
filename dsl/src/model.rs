//! The typed model: what a file means once every name, axis and size is known.

use std::collections::BTreeMap;

use girih_graph::{AxisId, DType, Extent, Graph};

use crate::procedure::Procedure;
use crate::span::Span;

/// A static value that crosses the border of the language: an argument of an entry
/// module, an entry of a checkpoint's configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Static {
    /// Nothing.
    None,
    /// An integer.
    Int(i64),
    /// A real number.
    Real(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// Several.
    List(Vec<Static>),
    /// Named ones.
    Map(BTreeMap<String, Static>),
}

/// A module with its arguments, elaborated to one graph.
#[derive(Clone, Debug)]
pub struct Model {
    /// The graph of the entry method. Its results are `out`, or one for each field of a
    /// returned record, then every value that was asked for by path.
    pub graph: Graph,
    /// A graph whose results are the starting values of the parameters, by path. It has no inputs.
    pub init: Graph,
    /// The inputs of the entry method, in order.
    pub inputs: Vec<InputInfo>,
    /// Every parameter of every instance, in order of declaration; also those that the entry
    /// method does not read.
    pub params: Vec<ParamInfo>,
    /// Every instance: path, module name.
    pub instances: Vec<InstanceInfo>,
    /// Axes of each result, in declared order.
    pub results: Vec<(String, Vec<AxisId>)>,
    /// Every named value that can be asked for, by path, with its type as text.
    pub values: BTreeMap<String, String>,
}

/// A `test` block.
#[derive(Clone, Debug)]
pub enum Test {
    /// It computes values.
    Graph(Box<TestModel>),
    /// It does what procedures do; where its name stands.
    Steps(Procedure, Span),
}

/// A `test` block: what is computed, and what is claimed about it.
#[derive(Clone, Debug)]
pub struct TestModel {
    /// As written.
    pub name: String,
    /// Without inputs; its parameters take their starting values.
    pub graph: Graph,
    /// The starting values.
    pub init: Graph,
    /// In order.
    pub expectations: Vec<Expectation>,
}

/// `expect a == b within 1e-5`, or `expect c`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// The result that holds the left side, or the truth values that must all hold.
    pub left: String,
    /// The result that it must equal; axes in the order of the left one's, as a set.
    pub right: Option<String>,
    /// Largest absolute difference; exact when absent.
    pub tolerance: Option<f64>,
    /// The line.
    pub span: Span,
}

/// An input of the entry method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputInfo {
    /// As declared.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Axes of the graph's input in declared order, lifted axes first.
    pub axes: Vec<AxisId>,
    /// Whether it has a default (it is absent from the graph then).
    pub given: bool,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamInfo {
    /// Instance path and declared name.
    pub path: String,
    /// The name in checkpoints: the path unless `as` renames a part of it.
    pub stored_name: String,
    /// Element type.
    pub dtype: DType,
    /// One entry for each stored axis: the axes of the graph that it holds, row-major.
    pub stored: Vec<Vec<AxisId>>,
    /// Extents of the stored axes.
    pub shape: Vec<Extent>,
    /// Whether it is never trained.
    pub frozen: bool,
    /// `int4`, `bit`, … and the group size.
    pub storage: Option<(String, Option<i64>)>,
    /// Where it is declared.
    pub span: Span,
}

/// An instance of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceInfo {
    /// Empty for the entry.
    pub path: String,
    /// The name of its module.
    pub module: String,
    /// Its parent in the list; the entry has none.
    pub parent: Option<usize>,
}
