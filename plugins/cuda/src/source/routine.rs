//! Primitives with a routine of their own; `order` is in `sort`, and `scatter` beside it.
//!
//! Sums and products of reals are accumulated in `double` and rounded once, as everywhere else.

use girih_graph::op::{Combine, Distribution};
use girih_graph::{AxisId, DType, Extent};
use girih_plan::plan::{Routine, Tensor, TensorId};
use girih_plan::region::draw_symbol;

use super::lines::{self, Line};
use super::sizes::Sizes;
use super::types::{combiner, fitted, identity, stored, to_stored};
use super::{Argument, Blocks, Builder, Choice, Code, Launch, Refusal, THREADS};

/// A declaration, and what is given for it.
pub(super) type Parameter = (String, Argument);

/// An entry of a routine while it is written.
pub(super) struct Entry {
    pub(super) sizes: Sizes,
    pub(super) code: Code,
    /// A parameter besides.
    also: Option<Parameter>,
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

    pub(super) fn view(&self, tensor: TensorId) -> &'a Tensor {
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
        let named = tensors.iter().enumerate();
        let mut parameters: Vec<Parameter> = named
            .map(|(at, (name, tensor))| self.elements(name, *tensor, at + 1 == tensors.len()))
            .collect();
        parameters.extend(entry.also.clone());
        let choice = self.choice(name, parameters, entry, synchronizes, blocks);
        self.program.launches.push(Launch::of(vec![choice]));
    }

    /// A parameter for the elements of a tensor's buffer.
    pub(super) fn elements(&self, name: &str, tensor: TensorId, written: bool) -> Parameter {
        let Tensor { dtype, buffer, .. } = self.view(tensor);
        let qualifier = if written { "" } else { "const " };
        let text = format!("{qualifier}{}* __restrict__ {name}", stored(*dtype));
        (text, Argument::Buffer(*buffer))
    }

    /// An entry as a way to run a launch.
    pub(super) fn choice(
        &mut self,
        name: &str,
        parameters: Vec<Parameter>,
        entry: &Entry,
        synchronizes: bool,
        blocks: Blocks,
    ) -> Choice {
        let (declared, mut arguments): (Vec<String>, Vec<Argument>) =
            parameters.into_iter().unzip();
        let mut code = Code::default();
        code.text.push_str(&entry.sizes.comment());
        code.open(format!(
            "extern \"C\" __global__ void __launch_bounds__({THREADS}) {name}({}{})",
            declared.join(", "),
            entry.sizes.parameters()
        ));
        code.text.push_str(&entry.code.text);
        code.close();
        code.line("\n");
        self.program.text.push_str(&code.text);
        arguments.extend(entry.sizes.iter().cloned().map(Argument::Size));
        Choice {
            when: None,
            entry: self.entry(name, synchronizes),
            arguments,
            blocks,
        }
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
        entry.also = Some(("u64 first".to_owned(), word));
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
    pub(super) fn new() -> Self {
        Self {
            sizes: Sizes::default(),
            code: Code::at(1),
            also: None,
        }
    }

    fn start(&mut self, tensor: &Tensor, rows: &[Line], place: usize) -> Result<String, Refusal> {
        start(tensor, rows, place, &mut self.sizes)
    }

    fn step(&mut self, tensor: &Tensor, axis: AxisId) -> Result<String, Refusal> {
        self.sizes.text(&lines::step(tensor, axis))
    }
}

/// Where the row with the number `row` starts in a tensor.
pub(super) fn start(
    tensor: &Tensor,
    rows: &[Line],
    place: usize,
    sizes: &mut Sizes,
) -> Result<String, Refusal> {
    let row = lines::offset(rows, place, "row", sizes)?;
    if tensor.offset.as_constant() == Some(0) {
        return Ok(row);
    }
    Ok(format!("{} + {row}", sizes.text(&tensor.offset)?))
}

/// The axes of the first tensor but some, as rows of all.
pub(super) fn rows(tensors: &[&Tensor], without: &[AxisId]) -> Vec<Line> {
    let axes = tensors[0].axes.iter().map(|(axis, _)| *axis);
    let axes: Vec<AxisId> = axes.filter(|axis| !without.contains(axis)).collect();
    lines::lines(&axes, tensors)
}

/// The type in which values are combined.
pub(super) fn accumulator(combine: Combine, dtype: DType) -> &'static str {
    match combine {
        Combine::Sum | Combine::Prod if dtype.is_real() => "double",
        _ => super::types::running(dtype),
    }
}

/// What was accumulated, as it is stored.
pub(super) fn rounded(dtype: DType, value: &str) -> String {
    let value = match dtype {
        DType::F32 | DType::F16 | DType::BF16 => format!("(float){value}"),
        _ => value.to_owned(),
    };
    match dtype {
        DType::I8 | DType::U8 => to_stored(dtype, &fitted(dtype, value)),
        _ => to_stored(dtype, &value),
    }
}
