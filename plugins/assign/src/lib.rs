//! One-to-one assignment of the least cost: what the text does step by step for every column, without what need not be done.
//!
//! The same sums in the same order as in `assign.girih`, so that both choose the same columns. n rows and m columns take
//! n² · m steps at most. Costs must be finite.

use girih_plugin::{Call, Cost, Error, Op, Spec, Workspace};

/// The kernel of `assign`.
struct Assign {
    rows: usize,
    columns: usize,
}

/// What is known while rows join.
struct Search<'a> {
    /// Costs, row by row.
    cost: &'a [f32],
    /// Potentials of rows.
    up: &'a mut [f32],
    /// Potentials of columns.
    down: &'a mut [f32],
    /// The least reduced cost of each column from the tree.
    least: &'a mut [f32],
    /// The row that has a column; -1 for none.
    owner: &'a mut [i32],
    /// The column before one on its path; -1 for none.
    from: &'a mut [i32],
    /// Columns of the tree, 1 each.
    tree: &'a mut [i32],
}

impl Op for Assign {
    const NAME: &'static std::ffi::CStr = c"assign";

    fn prepare(spec: &Spec<'_>) -> Result<Self, Error> {
        let cost = spec.operand(0)?;
        if !cost.is::<f32>() {
            return Err(Error::unsupported("there is a kernel for `f32` only"));
        }
        let [rows, columns] = *cost.shape() else {
            return Err(Error::internal("`cost` has two axes"));
        };
        if rows > columns {
            return Err(Error::invalid(format!(
                "{rows} rows want a column each, and there are {columns}"
            )));
        }
        // Rows and columns are kept in 32 bits; no more would end in this life.
        let size = |extent: i64| {
            let fits = i32::try_from(extent)
                .ok()
                .and_then(|extent| usize::try_from(extent).ok());
            fits.ok_or_else(|| Error::unsupported("the matrix is too large"))
        };
        Ok(Self {
            rows: size(rows)?,
            columns: size(columns)?,
        })
    }

    fn workspace(&self) -> Workspace {
        Workspace::of::<f32>(self.rows + 5 * self.columns)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<(), Error> {
        let cost = call.operand::<f32>(0)?;
        let result = call.result::<i64>(0)?;
        if !cost.iter().all(|cost| cost.is_finite()) {
            return Err(Error::invalid("a cost is not finite"));
        }
        let (reals, integers) = call.workspace_of::<f32, i32>(self.rows + 2 * self.columns)?;
        let (up, reals) = reals.split_at_mut(self.rows);
        let (down, least) = reals.split_at_mut(self.columns);
        let (owner, integers) = integers.split_at_mut(self.columns);
        let (from, tree) = integers.split_at_mut(self.columns);
        up.fill(0.0);
        down.fill(0.0);
        owner.fill(-1);
        let mut search = Search {
            cost,
            up,
            down,
            least,
            owner,
            from,
            tree,
        };
        for row in 0..self.rows {
            search.join(row, self.columns);
        }
        for (column, row) in owner.iter().enumerate() {
            if let Ok(row) = usize::try_from(*row) {
                result[row] = column as i64;
            }
        }
        Ok(())
    }

    fn cost(spec: &Spec<'_>) -> Option<Cost> {
        let cost = spec.operand(0).ok()?;
        let rows = *cost.shape().first()? as f64;
        Some(Cost {
            operations: 2.0 * rows * cost.count() as f64,
            bytes: 4.0 * cost.count() as f64 + 8.0 * rows,
        })
    }
}

impl Search<'_> {
    /// Finds the shortest path from a row to a free column, and lets every row on it take the next column.
    fn join(&mut self, start: usize, columns: usize) {
        self.least.fill(f32::INFINITY);
        self.from.fill(-1);
        self.tree.fill(0);
        let (mut row, mut end) = (start, -1);
        for _ in 0..columns {
            let next = self.nearest(row, end, columns);
            let step = self.least[next];
            self.up[start] += step;
            for column in 0..columns {
                if self.tree[column] == 0 {
                    self.least[column] -= step;
                    continue;
                }
                self.down[column] -= step;
                // Columns of the tree have their rows.
                if let Ok(owner) = usize::try_from(self.owner[column]) {
                    self.up[owner] += step;
                }
            }
            self.tree[next] = 1;
            end = next as i32;
            match usize::try_from(self.owner[next]) {
                Ok(owner) => row = owner,
                Err(_) => break,
            }
        }
        while let Ok(column) = usize::try_from(end) {
            let before = self.from[column];
            self.owner[column] = match usize::try_from(before) {
                Ok(before) => self.owner[before],
                Err(_) => start as i32,
            };
            end = before;
        }
    }

    /// Updates the columns outside the tree from `row`, whose column is `end`, and gives the nearest.
    fn nearest(&mut self, row: usize, end: i32, columns: usize) -> usize {
        let (cost, up) = (&self.cost[row * columns..][..columns], self.up[row]);
        let (mut next, mut nearest) = (0, f32::INFINITY);
        for (column, cost) in cost.iter().enumerate() {
            if self.tree[column] != 0 {
                continue;
            }
            let reduced = cost - up - self.down[column];
            if reduced < self.least[column] {
                self.least[column] = reduced;
                self.from[column] = end;
            }
            if self.least[column] < nearest {
                (next, nearest) = (column, self.least[column]);
            }
        }
        next
    }
}

girih_plugin::export! {
    id: "org.girih.assign",
    version: "1.0.0",
    license: "MIT OR Apache-2.0",
    url: "https://github.com/girih/girih",
    source: include_str!("assign.girih"),
    ops: [Assign],
}
