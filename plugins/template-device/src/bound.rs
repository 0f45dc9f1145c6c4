//! A kernel with numbers for its sizes.

use std::sync::Arc;

use girih_graph::{Extent, ExtentError};
use girih_plan::kernel::{Access, Affine, GuardOutside, Kernel, StepOp};
use girih_plugin::Error;

/// Numbers for what a kernel says in sizes.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Positions of each loop.
    pub(crate) loops: Vec<i64>,
    /// For each step what it reads, where it is, or how long something is.
    pub(crate) steps: Vec<BoundStep>,
    /// For each store where it writes.
    pub(crate) stores: Vec<Line>,
}

/// What a step needs beside its operands.
#[derive(Debug)]
pub(crate) enum BoundStep {
    Load(Line, Vec<(Line, i64, GuardOutside)>),
    Position(Line),
    Size(i64),
    Other,
}

/// `offset + Σ factor·loop + Σ factor·step`.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) offset: i64,
    pub(crate) loops: Vec<(usize, i64)>,
    pub(crate) steps: Vec<(usize, i64)>,
}

pub(crate) fn bind(kernel: &Kernel, symbols: &[Arc<str>], values: &[i64]) -> Result<Bound, Error> {
    let value = |name: &str| {
        let found = symbols.iter().position(|own| &**own == name);
        found.and_then(|at| values.get(at).copied())
    };
    let mut empty = false;
    let number = |extent: &Extent, empty: bool| match extent.evaluate(&value) {
        // Beside an extent of 0, distances may be too large for any number.
        Err(ExtentError::Overflow(_)) if empty => Ok(0),
        other => other.map_err(|error| Error::invalid(error.to_string())),
    };
    let mut loops = Vec::new();
    for own in &kernel.loops {
        let extent = number(&own.extent, false)?.max(0);
        empty |= extent == 0;
        loops.push(extent);
    }
    let line = |affine: &Affine| -> Result<Line, Error> {
        let factors = |terms: &[(usize, Extent)]| -> Result<Vec<(usize, i64)>, Error> {
            let term = |(id, factor): &(usize, Extent)| Ok((*id, number(factor, empty)?));
            terms.iter().map(term).collect()
        };
        Ok(Line {
            offset: number(&affine.offset, empty)?,
            loops: factors(&affine.loops)?,
            steps: factors(&affine.steps)?,
        })
    };
    let load = |access: &Access| -> Result<BoundStep, Error> {
        let mut guards = Vec::new();
        for guard in &access.guards {
            let extent = number(&guard.extent, empty)?;
            guards.push((line(&guard.index)?, extent, guard.outside));
        }
        Ok(BoundStep::Load(line(&access.address)?, guards))
    };
    let step = |op: &StepOp| match op {
        StepOp::Load(access) => load(access),
        StepOp::Position(affine) => Ok(BoundStep::Position(line(affine)?)),
        StepOp::Size(extent) => Ok(BoundStep::Size(number(extent, empty)?)),
        StepOp::Constant(_)
        | StepOp::Unary(..)
        | StepOp::Binary(..)
        | StepOp::Select(..)
        | StepOp::Cast(_)
        | StepOp::Reduce(..) => Ok(BoundStep::Other),
    };
    let steps = kernel.steps.iter().map(|own| step(&own.op));
    let stores = kernel
        .stores
        .iter()
        .map(|store| line(&store.access.address));
    Ok(Bound {
        steps: steps.collect::<Result<_, Error>>()?,
        stores: stores.collect::<Result<_, Error>>()?,
        loops,
    })
}
