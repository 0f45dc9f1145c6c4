//! Primitives with a routine of their own.
//!
//! Sums and products of reals are accumulated in `double` and rounded once, as everywhere else.

use girih_graph::op::{Combine, Distribution};
use girih_graph::{AxisId, DType, Extent};
use girih_plan::plan::{Routine, Tensor, TensorId};
use girih_plan::region::draw_symbol;

use super::lines::{self, Line};
use super::sizes::Sizes;
use super::types::{combiner, fitted, held, identity, stored, to_stored};
use super::{Argument, Blocks, Builder, Choice, Code, Launch, Refusal, THREADS};

/// An entry of a routine while it is written.
struct Entry {
    sizes: Sizes,
    code: Code,
    /// A parameter besides.
    also: Option<(&'static str, Argument)>,
}

impl<'a> Builder<'a> {
    pub(super) fn routine(&mut self, routine: &Routine) -> Result<(), Refusal> {
        match routine {
            Routine::Order {
                operand,
                out,
                axis,
                into,
                descending,
            } => self.order([*operand, *out], *axis, *into, *descending),
            Routine::Cumulate {
                operand,
                out,
                combine,
                axis,
                reverse,
                exclusive,
            } => self.cumulate([*operand, *out], *combine, *axis, [*reverse, *exclusive]),
            Routine::Scatter {
                positions,
                operand,
                out,
                axis,
                over: _,
                combine,
            } => self.scatter([*positions, *operand, *out], *axis, *combine),
            Routine::Fold {
                operand,
                out,
                from,
                axis,
                offset,
            } => self.fold([*operand, *out], from, *axis, offset),
            Routine::Random {
                out,
                distribution,
                key,
                from,
            } => self.random(*out, (*distribution, key), from),
        }
    }

    fn view(&self, tensor: TensorId) -> &'a Tensor {
        &self.section.tensors[tensor.index()]
    }

    /// Adds a launch of one entry. `tensors` have the names of its parameters; the last is written.
    fn add(
        &mut self,
        name: &str,
        tensors: &[(&str, TensorId)],
        entry: &Entry,
        synchronizes: bool,
        blocks: Blocks,
    ) {
        let mut parameters: Vec<String> = tensors
            .iter()
            .enumerate()
            .map(|(at, (name, tensor))| {
                let qualifier = if at + 1 < tensors.len() { "const " } else { "" };
                let ty = stored(self.view(*tensor).dtype);
                format!("{qualifier}{ty}* __restrict__ {name}")
            })
            .collect();
        parameters.extend(entry.also.iter().map(|(own, _)| (*own).to_owned()));
        let mut code = Code::default();
        code.text.push_str(&entry.sizes.comment());
        code.open(format!(
            "extern \"C\" __global__ void __launch_bounds__({THREADS}) {name}({}{})",
            parameters.join(", "),
            entry.sizes.parameters()
        ));
        code.text.push_str(&entry.code.text);
        code.close();
        code.line("\n");
        self.program.text.push_str(&code.text);
        let buffers = tensors.iter().map(|(_, tensor)| self.view(*tensor).buffer);
        let mut arguments: Vec<Argument> = buffers.map(Argument::Buffer).collect();
        arguments.extend(entry.also.iter().map(|(_, own)| own.clone()));
        arguments.extend(entry.sizes.iter().cloned().map(Argument::Size));
        let choice = Choice {
            when: None,
            entry: self.entry(name, synchronizes),
            arguments,
            blocks,
        };
        self.program.launches.push(Launch::of(vec![choice]));
    }

    fn order(
        &mut self,
        [operand, out]: [TensorId; 2],
        axis: AxisId,
        into: AxisId,
        descending: bool,
    ) -> Result<(), Refusal> {
        let (x, y) = (self.view(operand), self.view(out));
        let (along, wanted) = (lines::extent(&[x], axis), lines::extent(&[y], into));
        if !along.minus(&wanted).is_at_least(0) {
            return Err(Refusal::new(
                "more ranks may be asked for than there are positions",
            ));
        }
        let rows = rows(&[y, x], &[axis, into]);
        let mut entry = Entry::new();
        let dtype = x.dtype;
        let (from, to) = (entry.start(x, &rows, 1)?, entry.start(y, &rows, 0)?);
        let step = entry.step(x, axis)?;
        let own = entry.step(y, into)?;
        let Entry { sizes, code, .. } = &mut entry;
        code.line(format!(
            "const i64 length = {}, wanted = {};",
            sizes.text(&along)?,
            sizes.text(&wanted)?
        ));
        code.line(format!(
            "const i64 count = {} * length;",
            sizes.text(&lines::count(&rows))?
        ));
        code.open("for (i64 point = blockIdx.x * 256ll + threadIdx.x; point < count; point += gridDim.x * 256ll)");
        code.line("const i64 at = point % length, row = point / length;");
        let ty = held(dtype);
        code.line(format!("const {ty} own = read(x[{from} + at * {step}]);"));
        // Its rank is the number of those before it: NaN comes last, ties go to the lower position.
        code.line("i64 rank = 0;");
        code.open("for (i64 other = 0; other < length; ++other)");
        code.line(format!(
            "const {ty} value = read(x[{from} + other * {step}]);"
        ));
        let before = |a: &str, b: &str| {
            let sign = if descending { ">" } else { "<" };
            format!("({a} {sign} {b} || ({b} != {b} && {a} == {a}))")
        };
        code.line(format!(
            "rank += {} || (other < at && !{});",
            before("value", "own"),
            before("own", "value")
        ));
        code.close();
        code.line(format!("if (rank < wanted) y[{to} + rank * {own}] = at;"));
        code.close();
        let blocks = Blocks {
            x: vec![(lines::count(&rows), 1), (along, 1)],
            per: u64::from(THREADS),
            y: Vec::new(),
        };
        let name = self.name("order");
        self.add(&name, &[("x", operand), ("y", out)], &entry, false, blocks);
        Ok(())
    }

    fn cumulate(
        &mut self,
        [operand, out]: [TensorId; 2],
        combine: Combine,
        axis: AxisId,
        [reverse, exclusive]: [bool; 2],
    ) -> Result<(), Refusal> {
        let (x, y) = (self.view(operand), self.view(out));
        let rows = rows(&[y, x], &[axis]);
        let along = lines::extent(&[x], axis);
        let dtype = x.dtype;
        let sum = accumulator(combine, dtype);
        let mut entry = Entry::new();
        let (from, to) = (entry.start(x, &rows, 1)?, entry.start(y, &rows, 0)?);
        let (step, own) = (entry.step(x, axis)?, entry.step(y, axis)?);
        let Entry { sizes, code, .. } = &mut entry;
        let combiner = combiner(combine);
        let start = identity(combine, if sum == "double" { DType::F64 } else { dtype });
        code.line(format!(
            "const i64 length = {}, rows = {};",
            sizes.text(&along)?,
            sizes.text(&lines::count(&rows))?
        ));
        code.line(format!("__shared__ {sum} parts[{THREADS}];"));
        code.line(format!(
            "const i64 chunk = (length + {}) / {THREADS};",
            THREADS - 1
        ));
        code.line("const i64 begin = threadIdx.x * chunk, end = begin + chunk < length ? begin + chunk : length;");
        code.open("for (i64 row = blockIdx.x; row < rows; row += gridDim.x)");
        let place = if reverse { "length - 1 - n" } else { "n" };
        let element = format!("({sum})read(x[{from} + ({place}) * {step}])");
        // Every thread has a stretch: its sum, then what lies before it, then its elements.
        code.line(format!("{sum} before = {start};"));
        code.line(format!(
            "for (i64 n = begin; n < end; ++n) before = {combiner}::of(before, {element});"
        ));
        code.line("parts[threadIdx.x] = before;\n__syncthreads();");
        code.line(format!("before = {start};"));
        code.line(format!("for (int part = 0; part < threadIdx.x; ++part) before = {combiner}::of(before, parts[part]);"));
        code.open("for (i64 n = begin; n < end; ++n)");
        code.line(format!(
            "const {sum} own = {combiner}::of(before, {element});"
        ));
        let value = if exclusive { "before" } else { "own" };
        let value = rounded(dtype, value);
        code.line(format!(
            "y[{to} + ({place}) * {own}] = {value};\nbefore = own;"
        ));
        code.close();
        code.line("__syncthreads();");
        code.close();
        let blocks = Blocks {
            x: vec![(lines::count(&rows), 1)],
            per: 1,
            y: Vec::new(),
        };
        let name = self.name("cumulate");
        self.add(&name, &[("x", operand), ("y", out)], &entry, true, blocks);
        Ok(())
    }

    fn scatter(
        &mut self,
        [positions, operand, out]: [TensorId; 3],
        axis: AxisId,
        combine: Combine,
    ) -> Result<(), Refusal> {
        let (at, x, y) = (self.view(positions), self.view(operand), self.view(out));
        let axes = |tensor: &Tensor| {
            tensor
                .axes
                .iter()
                .map(|(axis, _)| *axis)
                .collect::<Vec<_>>()
        };
        let walked = girih_graph::axis::align(&[&axes(x), &axes(at)]);
        let fixed = |own: &AxisId| *own != axis && axes(y).contains(own);
        let rows = lines::lines(
            &axes(y)
                .into_iter()
                .filter(|own| *own != axis)
                .collect::<Vec<_>>(),
            &[y, x, at],
        );
        let over: Vec<AxisId> = walked.into_iter().filter(|own| !fixed(own)).collect();
        let over = lines::lines(&over, &[x, at]);
        let dtype = y.dtype;
        // Sums of 16-bit reals and all products are rounded once, other sums at every element.
        let narrow = matches!(dtype, DType::F16 | DType::BF16);
        let sum = if combine == Combine::Sum && !narrow {
            held(dtype)
        } else {
            accumulator(combine, dtype)
        };
        let mut entry = Entry::new();
        let to = entry.start(y, &rows, 0)?;
        let from = entry.start(x, &rows, 1)?;
        let place = entry.start(at, &rows, 2)?;
        let own = entry.step(y, axis)?;
        let along = lines::extent(&[y], axis);
        let Entry { sizes, code, .. } = &mut entry;
        let (of_x, of_at) = (
            lines::offset(&over, 0, "n", sizes)?,
            lines::offset(&over, 1, "n", sizes)?,
        );
        code.line(format!("const i64 extent = {};", sizes.text(&along)?));
        code.line(format!(
            "const i64 count = {} * extent, walked = {};",
            sizes.text(&lines::count(&rows))?,
            sizes.text(&lines::count(&over))?
        ));
        code.open("for (i64 point = blockIdx.x * 256ll + threadIdx.x; point < count; point += gridDim.x * 256ll)");
        code.line("const i64 own = point % extent, row = point / extent;");
        code.line(format!("bool any = false;\n{sum} sum = 0;"));
        code.open("for (i64 n = 0; n < walked; ++n)");
        let position = format!("read(at[{place} + {of_at}])");
        let position = if at.dtype.is_real() {
            format!("whole_i64((double){position})")
        } else {
            format!("(i64){position}")
        };
        code.line(format!("if ({position} != own) continue;"));
        code.line(format!(
            "const {sum} value = ({sum})read(x[{from} + {of_x}]);"
        ));
        let both = format!("{}::of(sum, value)", combiner(combine));
        code.line(format!("sum = any ? {both} : value;\nany = true;"));
        code.close();
        code.line(format!(
            "y[{to} + own * {own}] = {};",
            rounded(dtype, "sum")
        ));
        code.close();
        let blocks = Blocks {
            x: vec![(lines::count(&rows), 1), (along, 1)],
            per: u64::from(THREADS),
            y: Vec::new(),
        };
        let name = self.name("scatter");
        self.add(
            &name,
            &[("at", positions), ("x", operand), ("y", out)],
            &entry,
            false,
            blocks,
        );
        Ok(())
    }

    fn fold(
        &mut self,
        [operand, out]: [TensorId; 2],
        from: &[(AxisId, Extent)],
        axis: AxisId,
        offset: &Extent,
    ) -> Result<(), Refusal> {
        let (x, y) = (self.view(operand), self.view(out));
        let rest = rows(&[y, x], &[axis]);
        let dtype = y.dtype;
        let sum = accumulator(Combine::Sum, dtype);
        // One axis is solved for instead of walked: a long one.
        let solvable = |(_, (_, stride)): &(usize, &(AxisId, Extent))| {
            stride.as_constant().is_some_and(|own| own != 0)
        };
        let length = |(_, (axis, _)): &(usize, &(AxisId, Extent))| {
            lines::extent(&[x], *axis).as_constant().unwrap_or(i64::MAX)
        };
        let solved = from.iter().enumerate().filter(solvable).max_by_key(length);
        let solved = solved.map(|(at, _)| at);
        let mut entry = Entry::new();
        let (to, start) = (entry.start(y, &rest, 0)?, entry.start(x, &rest, 1)?);
        let own = entry.step(y, axis)?;
        let along = lines::extent(&[y], axis);
        let Entry { sizes, code, .. } = &mut entry;
        code.line(format!("const i64 extent = {};", sizes.text(&along)?));
        code.line(format!(
            "const i64 count = {} * extent;",
            sizes.text(&lines::count(&rest))?
        ));
        code.open("for (i64 point = blockIdx.x * 256ll + threadIdx.x; point < count; point += gridDim.x * 256ll)");
        code.line("const i64 own = point % extent, row = point / extent;");
        code.line(format!("{sum} sum = 0;"));
        code.line(format!("const i64 rest0 = own - {};", sizes.text(offset)?));
        let mut rest_name = "rest0".to_owned();
        let mut place = start;
        for (at, (axis, stride)) in from.iter().enumerate() {
            if Some(at) == solved {
                continue;
            }
            let extent = sizes.text(&lines::extent(&[x], *axis))?;
            code.open(format!("for (i64 f{at} = 0; f{at} < {extent}; ++f{at})"));
            let stride = sizes.text(stride)?;
            let next = format!("rest{}", at + 1);
            code.line(format!(
                "const i64 {next} = {rest_name} - f{at} * {stride};"
            ));
            rest_name = next;
            let step = sizes.text(&lines::step(x, *axis))?;
            place = format!("{place} + f{at} * {step}");
        }
        if let Some(at) = solved {
            let (axis, stride) = &from[at];
            let (extent, stride) = (
                sizes.text(&lines::extent(&[x], *axis))?,
                sizes.text(stride)?,
            );
            let step = sizes.text(&lines::step(x, *axis))?;
            code.line(format!("const i64 f{at} = {rest_name} / {stride};"));
            place = format!("{place} + f{at} * {step}");
            code.line(format!(
                "if ({rest_name} == f{at} * {stride} && inside(f{at}, {extent})) sum = Sum::of(sum, ({sum})read(x[{place}]));"
            ));
        } else {
            code.line(format!(
                "if ({rest_name} == 0) sum = Sum::of(sum, ({sum})read(x[{place}]));"
            ));
        }
        for at in 0..from.len() {
            if Some(at) != solved {
                code.close();
            }
        }
        code.line(format!(
            "y[{to} + own * {own}] = {};",
            rounded(dtype, "sum")
        ));
        code.close();
        let blocks = Blocks {
            x: vec![(lines::count(&rest), 1), (along, 1)],
            per: u64::from(THREADS),
            y: Vec::new(),
        };
        let name = self.name("fold");
        self.add(&name, &[("x", operand), ("y", out)], &entry, false, blocks);
        Ok(())
    }
}

impl Builder<'_> {
    /// Words are hashed from the run's for the key, and the position along each axis, in the order of the primitive's axes.
    fn random(
        &mut self,
        out: TensorId,
        (distribution, key): (Distribution, &str),
        from: &[(AxisId, Extent)],
    ) -> Result<(), Refusal> {
        let y = self.view(out);
        let all = rows(&[y], &[]);
        let mut entry = Entry::new();
        let word = Argument::Size(Extent::symbol(&draw_symbol(key)));
        entry.also = Some(("u64 first", word));
        let to = entry.start(y, &all, 0)?;
        let Entry { sizes, code, .. } = &mut entry;
        let count = lines::count(&all);
        code.line(format!("const i64 count = {};", sizes.text(&count)?));
        code.line("const i64 step = gridDim.x * (i64)blockDim.x;");
        code.open(
            "for (i64 row = blockIdx.x * (i64)blockDim.x + threadIdx.x; row < count; row += step)",
        );
        code.line("u64 word = first;");
        let one = Extent::constant(1);
        for (axis, first) in from {
            let place = y.axes.iter().position(|(own, _)| own == axis);
            let Some(at) = place else {
                return Err(Refusal::new("a draw lacks one of its axes"));
            };
            let (_, stride) = &y.axes[at];
            let inner = y.axes[at + 1..].iter();
            let behind = inner.fold(one.clone(), |all, (_, own)| all.times(&own.extent));
            let (behind, extent) = (sizes.text(&behind)?, sizes.text(&stride.extent)?);
            let first = sizes.text(first)?;
            code.line(format!(
                "word = absorb(word, (u64)({first} + row / {behind} % {extent}));"
            ));
        }
        let drawn = match distribution {
            Distribution::Uniform => "uniform",
            Distribution::Normal => "normal",
        };
        code.line(format!("y[{to}] = {drawn}(word);"));
        code.close();
        let blocks = Blocks {
            x: vec![(count, 1)],
            per: u64::from(THREADS),
            y: Vec::new(),
        };
        let name = self.name("random");
        self.add(&name, &[("y", out)], &entry, false, blocks);
        Ok(())
    }
}

impl Entry {
    fn new() -> Self {
        Self {
            sizes: Sizes::default(),
            code: Code::at(1),
            also: None,
        }
    }

    /// Where the row with the number `row` starts in a tensor.
    fn start(&mut self, tensor: &Tensor, rows: &[Line], place: usize) -> Result<String, Refusal> {
        let row = lines::offset(rows, place, "row", &mut self.sizes)?;
        if tensor.offset.as_constant() == Some(0) {
            return Ok(row);
        }
        Ok(format!("{} + {row}", self.sizes.text(&tensor.offset)?))
    }

    fn step(&mut self, tensor: &Tensor, axis: AxisId) -> Result<String, Refusal> {
        self.sizes.text(&lines::step(tensor, axis))
    }
}

/// The axes of the first tensor but some, as rows of all.
fn rows(tensors: &[&Tensor], without: &[AxisId]) -> Vec<Line> {
    let axes = tensors[0].axes.iter().map(|(axis, _)| *axis);
    let axes: Vec<AxisId> = axes.filter(|axis| !without.contains(axis)).collect();
    lines::lines(&axes, tensors)
}

/// The type in which values are combined.
fn accumulator(combine: Combine, dtype: DType) -> &'static str {
    match combine {
        Combine::Sum | Combine::Prod if dtype.is_real() => "double",
        _ => super::types::running(dtype),
    }
}

/// What was accumulated, as it is stored.
fn rounded(dtype: DType, value: &str) -> String {
    let value = match dtype {
        DType::F32 | DType::F16 | DType::BF16 => format!("(float){value}"),
        _ => value.to_owned(),
    };
    match dtype {
        DType::I8 | DType::U8 => to_stored(dtype, &fitted(dtype, value)),
        _ => to_stored(dtype, &value),
    }
}
