//! The reference backend computes what the primitives' documentation says.

#![expect(
    clippy::unwrap_used,
    reason = "a failed unwrap is how a test fails, in what tests share too"
)]

mod combine;
mod elementwise;
mod laws;
mod moves;
mod regions;
mod sizes;

use girih_graph::{AxisId, Builder, Extent, Graph, Op, OpError, ValueId, ValueType};
use girih_runtime::backend::{Bindings, RunError};
use girih_runtime::reference::Reference;
use girih_runtime::run::run;
use girih_runtime::tensor::{Element, Tensor};
use proptest::test_runner::{Config as ProptestConfig, RngSeed};

/// The same random cases in every run.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::default()
    }
}

/// A graph under construction with the data for its inputs.
struct Case {
    b: Builder,
    bindings: Bindings,
    /// The extent of every axis in this run.
    extents: Vec<usize>,
}

impl Case {
    fn new() -> Self {
        Self {
            b: Builder::new("case"),
            bindings: Bindings::new(),
            extents: Vec::new(),
        }
    }

    fn axis(&mut self, name: &str, extent: usize) -> AxisId {
        self.axis_of(name, Extent::from(extent as i64), extent)
    }

    /// An axis whose extent is the symbol of its name.
    fn open_axis(&mut self, name: &str, extent: usize) -> AxisId {
        self.axis_of(name, Extent::symbol(name), extent)
    }

    fn axis_of(&mut self, name: &str, extent: Extent, value: usize) -> AxisId {
        self.extents.push(value);
        self.b.axes.add(name, extent, None, false)
    }

    fn shape(&self, axes: &[AxisId]) -> Vec<usize> {
        axes.iter().map(|axis| self.extents[axis.index()]).collect()
    }

    /// An input; its name tells its number.
    fn input<T: Element>(&mut self, axes: &[AxisId], elements: &[T]) -> ValueId {
        let name = format!("x{}", self.bindings.inputs.len());
        let ty = ValueType::new(T::DTYPE, axes.to_vec());
        let tensor = Tensor::new(self.shape(axes), elements.to_vec()).unwrap();
        self.bindings.inputs.insert(name.clone(), tensor.into());
        self.b.value(Op::Input(name.into(), ty), &[]).unwrap()
    }

    fn finish(self, results: &[ValueId]) -> (Graph, Bindings) {
        let name = |position| format!("y{position}");
        let results = results.iter().enumerate();
        let results = results
            .map(|(position, value)| (name(position), *value))
            .collect();
        (self.b.finish(results, Vec::new()), self.bindings)
    }

    fn run(self, results: &[ValueId]) -> Result<Vec<Tensor>, RunError> {
        let (graph, bindings) = self.finish(results);
        let results = run(&graph, &Reference, &bindings)?;
        Ok(results.into_values().collect())
    }
}

/// Runs what `build` makes and compares the results, or the error, as text.
fn check_all(build: impl FnOnce(&mut Case) -> Result<Vec<ValueId>, OpError>, expected: &str) {
    let mut case = Case::new();
    let results = build(&mut case).unwrap();
    let text = match case.run(&results) {
        Ok(tensors) => {
            let tensors = tensors.iter().map(|tensor| format!("{tensor:?}"));
            tensors.collect::<Vec<_>>().join("; ")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(text, expected);
}

fn check(build: impl FnOnce(&mut Case) -> Result<ValueId, OpError>, expected: &str) {
    check_all(|case| build(case).map(|value| vec![value]), expected);
}

/// Runs a node over inputs that are all along one axis.
fn check_flat<T: Element>(op: Op, inputs: &[&[T]], expected: &str) {
    check(
        |c| {
            let i = c.axis("i", inputs[0].len());
            let inputs: Vec<ValueId> = inputs.iter().map(|data| c.input(&[i], data)).collect();
            c.b.value(op, &inputs)
        },
        expected,
    );
}
