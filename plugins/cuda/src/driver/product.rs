//! Products of matrices as numbers, and the same numbers for a library that has matrices column by column.
//!
//! What a product is does not depend on who carries it out: the layout that a library wants is
//! derived here, and so tested without the library.

use girih_graph::DType;

/// For every one of `batches`: `out[i, j] = Σ_k left[i, k] · right[k, j]`, summed in 32 bits or more
/// and rounded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Of both factors.
    pub factors: DType,
    /// Of the result.
    pub out: DType,
    /// Products.
    pub batches: u64,
    /// Positions of `i`.
    pub rows: u64,
    /// Positions of `j`.
    pub columns: u64,
    /// Positions of `k`.
    pub inner: u64,
    /// How `left` lies.
    pub left: Steps,
    /// How `right` lies.
    pub right: Steps,
    /// How `out` lies.
    pub result: Steps,
}

/// Elements between neighbors of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Steps {
    /// From a row to the next one.
    pub row: u64,
    /// From a column to the next one.
    pub column: u64,
    /// From a matrix to the next one; 0 if all products have the same.
    pub batch: u64,
}

/// A product with what it is computed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its sizes.
    pub shape: Shape,
    /// Where `left`, `right` and `out` start.
    pub addresses: [u64; 3],
}

/// A product where matrices lie column by column: `d = op(a) · op(b)`, in which `op` transposes what
/// is [transposed](Stored::transposed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Rows of `d`.
    pub m: u64,
    /// Columns of `d`.
    pub n: u64,
    /// Terms of a sum.
    pub k: u64,
    /// The factors and the result.
    pub matrices: [Stored; 3],
    /// Whether `a` is the right factor: the transposed product is computed.
    pub swapped: bool,
}

/// A matrix in memory, column by column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whether it is the transposed one that is meant.
    pub transposed: bool,
    /// Elements of a column.
    pub rows: u64,
    /// Columns.
    pub columns: u64,
    /// Elements between two columns, at least those of one.
    pub leading: u64,
    /// Elements between two matrices.
    pub batch: u64,
}

/// Libraries count rows, columns and matrices in 32 bits.
const MOST: u64 = i32::MAX as u64;

impl Shape {
    /// The product as a library has it; `None` if a matrix has neither rows nor columns that lie
    /// together, or if there are too many of them, or if dtypes do not go together.
    pub fn columns(&self) -> Option<Columns> {
        let same = self.out == self.factors;
        let known = match self.factors {
            DType::F32 | DType::F64 => same,
            DType::F16 | DType::BF16 => same || self.out == DType::F32,
            DType::I64 | DType::I32 | DType::I8 | DType::U8 | DType::Bool => false,
        };
        let counts = [self.batches, self.rows, self.columns, self.inner];
        if !known || !counts.iter().all(|count| (1..=MOST).contains(count)) {
            return None;
        }
        let Self {
            rows,
            columns,
            inner,
            ..
        } = *self;
        let [left, right, result] = [
            stored(self.left, rows, inner)?,
            stored(self.right, inner, columns)?,
            stored(self.result, rows, columns)?,
        ];
        // What lies row by row is the transposed matrix, column by column: (x·y)ᵀ = yᵀ·xᵀ.
        let swapped = result.transposed;
        let (m, n, matrices) = if swapped {
            let matrices = [right.turned(), left.turned(), result.turned()];
            (columns, rows, matrices)
        } else {
            (rows, columns, [left, right, result])
        };
        Some(Columns {
            m,
            n,
            k: inner,
            matrices,
            swapped,
        })
    }

    /// Elements from the first one on that a matrix of `batches` reaches over; `None` if no number can say it.
    pub(super) fn reach(&self, steps: Steps, rows: u64, columns: u64) -> Option<u64> {
        let lines = [
            (steps.row, rows),
            (steps.column, columns),
            (steps.batch, self.batches),
        ];
        let mut last: u64 = 0;
        for (step, count) in lines {
            if count == 0 {
                return Some(0);
            }
            last = last.checked_add(step.checked_mul(count - 1)?)?;
        }
        last.checked_add(1)
    }
}

impl Stored {
    /// The transposed matrix in the same memory.
    fn turned(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }
}

/// How a matrix lies, column by column. Steps along a single row or column mean nothing.
fn stored(steps: Steps, rows: u64, columns: u64) -> Option<Stored> {
    let along = |step: u64, length: u64, apart: u64, count: u64| {
        let together = step == 1 || length == 1;
        let leading = if count == 1 { length } else { apart };
        (together && (length..=i64::MAX as u64).contains(&leading)).then_some(leading)
    };
    i64::try_from(steps.batch).ok()?;
    let (transposed, rows, columns, leading) =
        if let Some(leading) = along(steps.row, rows, steps.column, columns) {
            (false, rows, columns, leading)
        } else {
            let leading = along(steps.column, columns, steps.row, rows)?;
            (true, columns, rows, leading)
        };
    Some(Stored {
        transposed,
        rows,
        columns,
        leading,
        batch: steps.batch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers by their place in memory.
    fn number(seed: u64, at: u64) -> i64 {
        (seed * 7 + at * 5) as i64 % 11 - 5
    }

    /// What the words of a shape mean.
    fn meant(shape: &Shape, out: &mut [i64]) {
        let place = |steps: Steps, [batch, row, column]: [u64; 3]| {
            batch * steps.batch + row * steps.row + column * steps.column
        };
        for batch in 0..shape.batches {
            for i in 0..shape.rows {
                for j in 0..shape.columns {
                    let terms = (0..shape.inner).map(|k| {
                        number(1, place(shape.left, [batch, i, k]))
                            * number(2, place(shape.right, [batch, k, j]))
                    });
                    out[place(shape.result, [batch, i, j]) as usize] = terms.sum();
                }
            }
        }
    }

    /// What a library makes of columns: every matrix is `rows × columns` in memory with the leading
    /// dimension between columns, and a transposed one is read the other way.
    fn carried_out(own: &Columns, batches: u64, out: &mut [i64]) {
        let [a, b, d] = own.matrices;
        let seeds = if own.swapped { [2, 1] } else { [1, 2] };
        assert!(!d.transposed && (d.rows, d.columns) == (own.m, own.n));
        let shape = |own: &Stored| {
            if own.transposed {
                (own.columns, own.rows)
            } else {
                (own.rows, own.columns)
            }
        };
        assert_eq!((shape(&a), shape(&b)), ((own.m, own.k), (own.k, own.n)));
        for stored in own.matrices {
            assert!(stored.leading >= stored.rows);
        }
        let place = |own: &Stored, batch: u64, row: u64, column: u64| {
            let (row, column) = if own.transposed {
                (column, row)
            } else {
                (row, column)
            };
            assert!(row < own.rows && column < own.columns);
            batch * own.batch + column * own.leading + row
        };
        for batch in 0..batches {
            for i in 0..own.m {
                for j in 0..own.n {
                    let terms = (0..own.k).map(|k| {
                        number(seeds[0], place(&a, batch, i, k))
                            * number(seeds[1], place(&b, batch, k, j))
                    });
                    out[place(&d, batch, i, j) as usize] = terms.sum();
                }
            }
        }
    }

    fn shape([batches, rows, columns, inner]: [u64; 4], steps: [[u64; 3]; 3]) -> Shape {
        let [left, right, result] = steps.map(|[batch, row, column]| Steps { row, column, batch });
        Shape {
            factors: DType::F32,
            out: DType::F32,
            batches,
            rows,
            columns,
            inner,
            left,
            right,
            result,
        }
    }

    #[test]
    fn every_way_to_lie_is_computed_as_it_is_meant() {
        let extents = [1, 2, 3, 5];
        let mut seen = 0;
        for case in 0..4_u64.pow(4) {
            let [batches, rows, columns, inner] =
                [0, 1, 2, 3].map(|at| extents[(case / 4_u64.pow(at) % 4) as usize]);
            // Row by row, column by column, with something between, and batches inside of rows.
            let ways = |rows: u64, columns: u64| {
                [
                    [rows * columns, columns, 1],
                    [rows * columns, 1, rows],
                    [(rows + 1) * (columns + 2), columns + 2, 1],
                    [columns, batches * columns, 1],
                    [rows, 1, batches * rows],
                ]
            };
            for left in ways(rows, inner) {
                for right in ways(inner, columns).into_iter().chain([[0, columns, 1]]) {
                    for result in ways(rows, columns) {
                        let shape = shape([batches, rows, columns, inner], [left, right, result]);
                        let own = shape.columns().unwrap_or_else(|| panic!("{shape:?}"));
                        let reach = shape.reach(shape.result, rows, columns);
                        let mut expected = vec![i64::MIN; reach.unwrap_or_default() as usize];
                        let mut found = expected.clone();
                        meant(&shape, &mut expected);
                        carried_out(&own, batches, &mut found);
                        assert_eq!(found, expected, "{shape:?}: {own:?}");
                        seen += 1;
                    }
                }
            }
        }
        assert_eq!(seen, 256 * 150);
    }

    #[test]
    fn what_no_library_has_is_no_product() {
        let usual = shape([2, 3, 4, 5], [[15, 5, 1], [20, 4, 1], [12, 4, 1]]);
        assert!(usual.columns().is_some());
        let without = |change: &dyn Fn(&mut Shape)| {
            let mut own = usual;
            change(&mut own);
            assert_eq!(own.columns(), None, "{own:?}");
        };
        // Neither rows nor columns lie together.
        without(&|own| own.left.column = 2);
        // Rows overlap, as windows do.
        without(&|own| own.left.row = 1);
        without(&|own| own.right.row = 0);
        without(&|own| own.result.row = 3);
        without(&|own| own.inner = 0);
        without(&|own| own.rows = MOST + 1);
        without(&|own| own.factors = DType::F64);
        without(&|own| own.out = DType::BF16);
        without(&|own| (own.factors, own.out) = (DType::I32, DType::I32));
        without(&|own| (own.factors, own.out) = (DType::F16, DType::BF16));
        for (factors, out) in [
            (DType::F64, DType::F64),
            (DType::BF16, DType::F32),
            (DType::F16, DType::F16),
        ] {
            let own = Shape {
                factors,
                out,
                ..usual
            };
            assert!(own.columns().is_some());
        }
    }

    #[test]
    fn no_number_for_the_reach_is_told() {
        let mut own = shape([2, 3, 4, 5], [[15, 5, 1], [20, 4, 1], [12, 4, 1]]);
        assert_eq!(own.reach(own.left, 3, 5), Some(30));
        assert_eq!(own.reach(own.left, 0, 5), Some(0));
        own.left.batch = u64::MAX;
        assert_eq!(own.reach(own.left, 3, 5), None);
    }
}
