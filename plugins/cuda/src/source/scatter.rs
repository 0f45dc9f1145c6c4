//! Values combined at positions that are data, in the order in which they are walked.
//!
//! Where few are walked, every element of the result looks at all of them. Else what is walked is sorted
//! by position, once for all rows that share the positions, and every element finds its own by halving.

use girih_graph::op::Combine;
use girih_graph::{AxisId, DType, Extent};
use girih_plan::plan::{BufferId, Stride, Tensor, TensorId};

use super::lines::{self, Line};
use super::routine::{Entry, Parameter, accumulator, rounded, start};
use super::sizes::Sizes;
use super::sort::Rows;
use super::types::{combiner, held};
use super::{Argument, Blocks, Builder, Choice, Launch, Refusal, THREADS};

/// A scatter, taken apart.
struct Scatter<'a> {
    /// Positions, values and the result.
    tensors: [&'a Tensor; 3],
    axis: AxisId,
    combine: Combine,
    /// Rows of the result, with steps of it, the values, the positions, and the rows of positions.
    rows: Vec<Line>,
    /// What is walked for a row, with steps of the values and the positions.
    over: Vec<Line>,
}

impl Scatter<'_> {
    /// Positions along the axis that is written.
    fn along(&self) -> Extent {
        lines::extent(&[self.tensors[2]], self.axis)
    }

    /// Where the value `n` of row `row` goes.
    fn position(&self, start: &str, sizes: &mut Sizes) -> Result<String, Refusal> {
        let of_at = lines::offset(&self.over, 1, "n", sizes)?;
        let element = format!("read(at[{start} + {of_at}])");
        Ok(if self.tensors[0].dtype.is_real() {
            format!("whole_i64((double){element})")
        } else {
            format!("(i64){element}")
        })
    }

    /// Where positions of row `row` start.
    fn positions(&self, sizes: &mut Sizes) -> Result<String, Refusal> {
        start(self.tensors[0], &self.rows, 2, sizes)
    }

    /// An entry whose points are elements of the result; `walk` has the values that reach `own` combined.
    fn entry(
        &self,
        walk: &dyn Fn(&mut super::Code, &mut Sizes, &str) -> Result<(), Refusal>,
    ) -> Result<(Entry, Blocks), Refusal> {
        let [_, x, y] = self.tensors;
        let dtype = y.dtype;
        // Sums of 16-bit reals and all products are rounded once, other sums at every element.
        let narrow = matches!(dtype, DType::F16 | DType::BF16);
        let sum = if self.combine == Combine::Sum && !narrow {
            held(dtype)
        } else {
            accumulator(self.combine, dtype)
        };
        let mut entry = Entry::new();
        let Entry { sizes, code, .. } = &mut entry;
        let to = start(y, &self.rows, 0, sizes)?;
        let from = start(x, &self.rows, 1, sizes)?;
        let step = sizes.text(&lines::step(y, self.axis))?;
        let of_x = lines::offset(&self.over, 0, "n", sizes)?;
        let along = self.along();
        code.line(format!("const i64 extent = {};", sizes.text(&along)?));
        code.line(format!(
            "const i64 count = {} * extent, walked = {};",
            sizes.text(&lines::count(&self.rows))?,
            sizes.text(&lines::count(&self.over))?
        ));
        code.open(format!(
            "for (i64 point = blockIdx.x * {THREADS}ll + threadIdx.x; point < count; point += gridDim.x * {THREADS}ll)"
        ));
        code.line("const i64 own = point % extent, row = point / extent;");
        code.line(format!("bool any = false;\n{sum} sum = 0;"));
        let both = format!("{}::of(sum, value)", combiner(self.combine));
        let taken = format!(
            "const {sum} value = ({sum})read(x[{from} + {of_x}]);\nsum = any ? {both} : value;\nany = true;"
        );
        walk(code, sizes, &taken)?;
        code.line(format!(
            "y[{to} + own * {step}] = {};",
            rounded(dtype, "sum")
        ));
        code.close();
        let blocks = Blocks {
            x: vec![(lines::count(&self.rows).times(&along), u64::from(THREADS))],
            per: 1,
            y: Vec::new(),
        };
        Ok((entry, blocks))
    }
}

fn axes(tensor: &Tensor) -> Vec<AxisId> {
    tensor.axes.iter().map(|(axis, _)| *axis).collect()
}

/// Rows of positions, numbered.
fn numbered(at: &Tensor, axes: &[AxisId]) -> Tensor {
    let mut behind = Extent::constant(1);
    let mut numbered = Vec::new();
    for axis in axes.iter().rev() {
        let extent = lines::extent(&[at], *axis);
        let step = behind.clone();
        behind = behind.times(&extent);
        numbered.push((*axis, Stride { extent, step }));
    }
    numbered.reverse();
    Tensor {
        buffer: BufferId(0),
        dtype: DType::I64,
        offset: Extent::constant(0),
        axes: numbered,
    }
}

impl Builder<'_> {
    pub(super) fn scatter(
        &mut self,
        [positions, operand, out]: [TensorId; 3],
        axis: AxisId,
        combine: Combine,
    ) -> Result<(), Refusal> {
        let (at, x, y) = (self.view(positions), self.view(operand), self.view(out));
        let walked = girih_graph::axis::align(&[&axes(x), &axes(at)]);
        let kept: Vec<AxisId> = axes(y).into_iter().filter(|own| *own != axis).collect();
        let over: Vec<AxisId> = walked
            .into_iter()
            .filter(|own| !kept.contains(own))
            .collect();
        let shared: Vec<AxisId> = kept
            .iter()
            .copied()
            .filter(|own| axes(at).contains(own))
            .collect();
        let number = numbered(at, &shared);
        let scatter = Scatter {
            tensors: [at, x, y],
            axis,
            combine,
            rows: lines::lines(&kept, &[y, x, at, &number]),
            over: lines::lines(&over, &[x, at]),
        };
        let name = self.name("scatter");
        let given = self.elements("at", positions, false);
        let of_positions = lines::lines(&shared, &[at]);
        let key = |sizes: &mut Sizes| {
            let start = start(at, &of_positions, 0, sizes)?;
            scatter.position(&start, sizes)
        };
        let all = Rows {
            name: name.clone(),
            count: lines::count(&of_positions),
            length: lines::count(&scatter.over),
            given: given.clone(),
            dtype: DType::I64,
            key: &key,
            descending: false,
            wanted: None,
        };
        let parameters = vec![
            given,
            self.elements("x", operand, false),
            self.elements("y", out, true),
        ];
        let short = self.looked_through(&all, &scatter, &parameters)?;
        if all.when_short() == Some(None) {
            self.program
                .launches
                .push(Launch::of(short.into_iter().collect()));
            return Ok(());
        }
        let sorted = self.program.scratch.len();
        let bytes = all.count.times(&all.length).times(&Extent::constant(8));
        self.program.scratch.push(bytes);
        let written = |qualifier: &str| {
            let text = format!("{qualifier}i64* __restrict__ sorted");
            (text, Argument::Scratch(sorted))
        };
        let put = |_: &mut Sizes| Ok("sorted[row * length + rank] = n;".to_owned());
        self.sorted(&all, short, (written(""), &put))?;
        self.found(&all, &scatter, (parameters, written("const ")))
    }

    /// The way for few values, if they can be few: all of them are looked at.
    fn looked_through(
        &mut self,
        all: &Rows<'_>,
        scatter: &Scatter<'_>,
        parameters: &[Parameter],
    ) -> Result<Option<Choice>, Refusal> {
        let Some(when) = all.when_short() else {
            return Ok(None);
        };
        let (entry, blocks) = scatter.entry(&|code, sizes, taken| {
            let start = scatter.positions(sizes)?;
            code.open("for (i64 n = 0; n < walked; ++n)");
            let position = scatter.position(&start, sizes)?;
            code.line(format!("if ({position} != own) continue;"));
            code.line(taken);
            code.close();
            Ok(())
        })?;
        let mut choice = self.choice(&all.name, parameters.to_vec(), &entry, false, blocks);
        choice.when = when;
        Ok(Some(choice))
    }

    /// Adds the launch in which every element finds its values among those that were sorted.
    fn found(
        &mut self,
        all: &Rows<'_>,
        scatter: &Scatter<'_>,
        (mut parameters, sorted): (Vec<Parameter>, Parameter),
    ) -> Result<(), Refusal> {
        let (entry, mut blocks) = scatter.entry(&|code, sizes, taken| {
            let number = lines::offset(&scatter.rows, 3, "row", sizes)?;
            let start = scatter.positions(sizes)?;
            let position = scatter.position(&start, sizes)?;
            code.line(format!(
                "const i64* const order = sorted + ({number}) * walked;"
            ));
            code.line("i64 low = 0, high = walked;");
            code.open("while (low < high)");
            code.line("const i64 middle = (low + high) / 2, n = order[middle];");
            code.line(format!(
                "if ({position} < own) low = middle + 1;\nelse high = middle;"
            ));
            code.close();
            code.open("for (; low < walked; ++low)");
            code.line("const i64 n = order[low];");
            code.line(format!("if ({position} != own) break;"));
            code.line(taken);
            code.close();
            Ok(())
        })?;
        blocks.x.push(all.if_long());
        parameters.push(sorted);
        let name = format!("{}_found", all.name);
        let choice = self.choice(&name, parameters, &entry, false, blocks);
        self.program.launches.push(Launch::of(vec![choice]));
        Ok(())
    }
}
