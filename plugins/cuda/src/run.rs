//! Programs with numbers for their sizes, and how they are run.

use std::sync::Arc;

use girih_graph::{DType, Extent, ExtentError};

use crate::driver::product::{Product, Shape, Steps};
use crate::driver::{Call, Driver, DriverError, Grid, Module};
use crate::source::{self, Argument, Blocks, Choice, FEW, LEAST, Program};

/// A program whose sizes are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    launches: Vec<BoundLaunch>,
    /// Where each piece of scratch memory starts.
    places: Vec<u64>,
    /// Bytes of all pieces together.
    scratch: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum BoundLaunch {
    Grid {
        entry: usize,
        grid: [u32; 2],
        arguments: Vec<Value>,
    },
    Product(Shape, [Start; 3]),
}

/// Where a matrix starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    buffer: usize,
    /// From the buffer's start on.
    bytes: u64,
}

/// An argument whose size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Buffer(usize),
    Scratch(usize),
    Number(i64),
    Failure,
    Launch(i64),
}

/// Which products are a driver's, of those that it can carry out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Products {
    /// None: generated code does all.
    Off,
    /// Those that are worth a call, and that generated code has no way of its own for, as for few rows.
    #[default]
    Large,
    /// All.
    All,
}

impl Products {
    /// Whether a product of this shape is one of them.
    pub fn have(self, shape: &Shape) -> bool {
        let work = shape.rows.saturating_mul(shape.columns);
        match self {
            Self::Off => false,
            Self::Large => {
                shape.rows > FEW && shape.columns > FEW && work.saturating_mul(shape.inner) >= LEAST
            }
            Self::All => true,
        }
    }
}

/// What a program is run with.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Where the buffers of its section are.
    pub buffers: &'a [u64],
    /// Where [`Bound::scratch`] bytes are.
    pub scratch: u64,
    /// Where failures are told.
    pub failure: u64,
    /// Launches of kernels that failures count before those of the program.
    pub first: i64,
}

/// Why a program was not run, lower case, without a period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A size has no value.
    #[error(transparent)]
    Size(#[from] ExtentError),
    /// The device failed.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// Scratch pieces start at multiples of this, so that any element is aligned and pieces share no
/// cache line.
const ALIGN: u64 = 256;

/// Blocks along x; whatever is left the blocks take in turns.
const MOST_X: u64 = 1 << 30;

/// Blocks along y: what devices allow.
const MOST_Y: u64 = 65_535;

impl Bound {
    /// A program with numbers for its sizes. Launches with nothing to do are left out; products are the
    /// driver's where it `multiplies` their shape.
    ///
    /// # Errors
    ///
    /// A symbol without a value, a division by zero.
    pub fn new(
        program: &Program,
        lookup: &dyn Fn(&str) -> Option<i64>,
        multiplies: &dyn Fn(&Shape) -> bool,
    ) -> Result<Self, ExtentError> {
        let mut bound = Self {
            launches: Vec::new(),
            places: Vec::new(),
            scratch: 0,
        };
        for bytes in &program.scratch {
            bound.places.push(bound.scratch);
            let bytes = u64::try_from(number(bytes, lookup)?).unwrap_or(0);
            let aligned = bytes.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX);
            bound.scratch = bound.scratch.saturating_add(aligned);
        }
        for launch in &program.launches {
            if let Some(product) = &launch.product {
                let shape = shape(product, lookup)?;
                if multiplies(&shape) {
                    let starts = starts(product, lookup)?;
                    bound.launches.push(BoundLaunch::Product(shape, starts));
                    continue;
                }
            }
            for choice in &launch.choices {
                if let Some((extents, most)) = &choice.when
                    && product(extents.iter(), lookup)? > *most
                {
                    continue;
                }
                bound.launches.extend(bind(choice, lookup)?);
                break;
            }
        }
        Ok(bound)
    }

    /// Bytes of memory that a run needs for itself.
    pub fn scratch(&self) -> u64 {
        self.scratch
    }

    /// All launches, in order; `module` is the program's code.
    pub fn calls(&self, module: &Arc<dyn Module>, places: Places<'_>) -> Vec<Call> {
        let value = |argument: &Value| match argument {
            Value::Buffer(at) => places.buffers[*at],
            Value::Scratch(at) => places.scratch.wrapping_add(self.places[*at]),
            Value::Number(number) => number.cast_unsigned(),
            Value::Failure => places.failure,
            Value::Launch(number) => (places.first + number).cast_unsigned(),
        };
        let call = |launch: &BoundLaunch| match launch {
            BoundLaunch::Grid {
                entry,
                grid,
                arguments,
            } => Call::Grid(Grid {
                module: Arc::clone(module),
                entry: *entry,
                grid: *grid,
                arguments: arguments.iter().map(value).collect(),
            }),
            BoundLaunch::Product(shape, own) => Call::Product(Product {
                shape: *shape,
                addresses: own.map(|own| places.buffers[own.buffer].wrapping_add(own.bytes)),
            }),
        };
        self.launches.iter().map(call).collect()
    }

    /// Memory for a run's own use, at least one byte.
    ///
    /// # Errors
    ///
    /// There is not enough.
    pub fn alloc(&self, driver: &dyn Driver) -> Result<u64, DriverError> {
        driver.alloc(self.scratch.max(1))
    }
}

fn bind(
    choice: &Choice,
    lookup: &dyn Fn(&str) -> Option<i64>,
) -> Result<Option<BoundLaunch>, ExtentError> {
    let Some(grid) = grid(&choice.blocks, lookup)? else {
        return Ok(None);
    };
    let value = |argument: &Argument| {
        Ok(match argument {
            Argument::Buffer(own) => Value::Buffer(own.index()),
            Argument::Scratch(at) => Value::Scratch(*at),
            Argument::Size(extent) => Value::Number(number(extent, lookup)?),
            Argument::Failure => Value::Failure,
            Argument::Launch(number) => Value::Launch(*number),
        })
    };
    let arguments = choice.arguments.iter().map(value);
    Ok(Some(BoundLaunch::Grid {
        entry: choice.entry,
        grid,
        arguments: arguments.collect::<Result<_, ExtentError>>()?,
    }))
}

/// Numbers for the sizes of a product. One that is negative becomes larger than any can be.
fn shape(
    product: &source::Product,
    lookup: &dyn Fn(&str) -> Option<i64>,
) -> Result<Shape, ExtentError> {
    let number = |extent: &Extent| {
        let number = number(extent, lookup)?;
        Ok(u64::try_from(number).unwrap_or(u64::MAX))
    };
    let steps = |own: &source::Matrix| {
        Ok(Steps {
            row: number(&own.row)?,
            column: number(&own.column)?,
            batch: number(&own.batch)?,
        })
    };
    Ok(Shape {
        factors: product.factors,
        out: product.result,
        batches: number(&product.batches)?,
        rows: number(&product.rows)?,
        columns: number(&product.columns)?,
        inner: number(&product.inner)?,
        left: steps(&product.left)?,
        right: steps(&product.right)?,
        result: steps(&product.out)?,
    })
}

/// Where the matrices of a product start.
fn starts(
    product: &source::Product,
    lookup: &dyn Fn(&str) -> Option<i64>,
) -> Result<[Start; 3], ExtentError> {
    let start = |own: &source::Matrix, dtype: DType| {
        let size = dtype.size() as i64;
        Ok(Start {
            buffer: own.buffer.index(),
            bytes: number(&own.offset, lookup)?
                .wrapping_mul(size)
                .cast_unsigned(),
        })
    };
    Ok([
        start(&product.left, product.factors)?,
        start(&product.right, product.factors)?,
        start(&product.out, product.result)?,
    ])
}

/// The blocks; `None` if there are none.
fn grid(
    blocks: &Blocks,
    lookup: &dyn Fn(&str) -> Option<i64>,
) -> Result<Option<[u32; 2]>, ExtentError> {
    let mut x: u64 = 1;
    for (extent, per) in &blocks.x {
        let positions = u64::try_from(number(extent, lookup)?).unwrap_or(0);
        x = x.saturating_mul(positions.div_ceil(*per));
    }
    let x = x.div_ceil(blocks.per).min(MOST_X);
    let y = product(blocks.y.iter(), lookup)?.min(MOST_Y);
    Ok((x > 0 && y > 0).then_some([x as u32, y as u32]))
}

fn product<'e>(
    extents: impl Iterator<Item = &'e Extent>,
    lookup: &dyn Fn(&str) -> Option<i64>,
) -> Result<u64, ExtentError> {
    let mut product: u64 = 1;
    for extent in extents {
        let positions = u64::try_from(number(extent, lookup)?).unwrap_or(0);
        product = product.saturating_mul(positions);
    }
    Ok(product)
}

/// Beside an extent of 0, distances may be too large for any number; nothing is read there.
fn number(extent: &Extent, lookup: &dyn Fn(&str) -> Option<i64>) -> Result<i64, ExtentError> {
    match extent.evaluate(lookup) {
        Err(ExtentError::Overflow(_)) => Ok(0),
        other => other,
    }
}
