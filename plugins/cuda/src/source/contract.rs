//! Products of matrices whose rows, columns and sums may each be several axes.
//!
//! Three ways, chosen when sizes are known: few rows, few columns – a sum is shared by a warp, or by
//! a block whose warps read neighboring columns –, and tiles in shared memory with a square of
//! results in the registers of each thread. What a library may multiply instead is beside them.

use girih_graph::{DType, Extent};
use girih_plan::plan::{BufferId, Contract, Section, Tensor};

use super::lines::{self, Line};
use super::product;
use super::sizes::Sizes;
use super::types::{function, stored};
use super::{Argument, Blocks, Builder, Choice, Code, Launch, Refusal, THREADS, listed};

/// Rows or columns that count as few.
pub(super) const FEW: u64 = 8;

/// Of these, how many are computed at once.
const AT_ONCE: usize = 4;

/// Rows and columns of a tile, and positions of the sum that are in shared memory at once.
pub(super) const TILE: usize = 64;
pub(super) const DEPTH: usize = 16;

/// Rows and columns that a thread computes.
const OWN: usize = 4;

/// Tensors by their place in lines.
pub(super) const LEFT: usize = 0;
pub(super) const RIGHT: usize = 1;
pub(super) const OUT: usize = 2;

/// A contraction, taken apart.
pub(super) struct Product<'a> {
    pub(super) tensors: [&'a Tensor; 3],
    /// Of both factors.
    pub(super) factors: DType,
    /// Of the result and of sums.
    pub(super) dtype: DType,
    pub(super) batch: Vec<Line>,
    pub(super) rows: Vec<Line>,
    pub(super) columns: Vec<Line>,
    pub(super) inner: Vec<Line>,
}

impl<'a> Product<'a> {
    pub(super) fn new(section: &'a Section, contract: &Contract) -> Result<Self, Refusal> {
        let tensors = [contract.left, contract.right, contract.out]
            .map(|tensor| &section.tensors[tensor.index()]);
        let [left, right, out] = tensors;
        let (factors, dtype) = (left.dtype, out.dtype);
        let known = match factors {
            DType::F32 | DType::F64 => dtype == factors,
            DType::F16 | DType::BF16 => dtype == DType::F32,
            DType::I64 | DType::I32 | DType::I8 | DType::U8 | DType::Bool => false,
        };
        if !known || right.dtype != factors {
            return Err(Refusal::new(format!(
                "a product of `{factors}` and `{}` as `{dtype}`",
                right.dtype
            )));
        }
        let by_result = |axes| reordered(lines::group(axes, &[out, left, right]));
        Ok(Self {
            tensors,
            factors,
            dtype,
            batch: by_result(&contract.batch),
            rows: by_result(&contract.rows),
            columns: by_result(&contract.columns),
            inner: lines::group(&contract.inner, &tensors),
        })
    }

    /// Declarations of the tensors' elements.
    fn parameters(&self, qualifier: &str) -> String {
        let (factor, ty) = (stored(self.factors), stored(self.dtype));
        format!(
            "const {factor}*{qualifier} left, const {factor}*{qualifier} right, {ty}*{qualifier} out"
        )
    }

    /// An element of a factor as it is multiplied.
    fn element(&self, factor: usize, at: &str) -> String {
        let element = format!("{}[{at}]", ["left", "right"][factor]);
        if self.factors == self.dtype {
            element
        } else {
            format!("read({element})")
        }
    }

    fn offset(
        &self,
        tensor: usize,
        terms: &[(&[Line], &str)],
        sizes: &mut Sizes,
    ) -> Result<String, Refusal> {
        let mut all = Vec::new();
        let start = &self.tensors[tensor].offset;
        if start.as_constant() != Some(0) {
            all.push(sizes.text(start)?);
        }
        for (lines, index) in terms {
            let term = lines::offset(lines, tensor, index, sizes)?;
            if term != "0" {
                all.push(term);
            }
        }
        Ok(if all.is_empty() {
            "0".to_owned()
        } else {
            all.join(" + ")
        })
    }
}

/// Steps of the left factor, the right one and the result, from lines made with the result first.
fn reordered(mut lines: Vec<Line>) -> Vec<Line> {
    for line in &mut lines {
        line.steps.rotate_left(1);
    }
    lines
}

/// The side that is few, and the side that is many.
#[derive(Clone, Copy)]
struct Sides {
    few: usize,
    many: usize,
    name: &'static str,
}

impl Builder<'_> {
    pub(super) fn contract(&mut self, contract: &Contract) -> Result<(), Refusal> {
        let section = self.section;
        let product = Product::new(section, contract)?;
        let name = self.name("contract");
        let mut choices = Vec::new();
        let sides = [
            Sides {
                few: LEFT,
                many: RIGHT,
                name: "few_rows",
            },
            Sides {
                few: RIGHT,
                many: LEFT,
                name: "few_columns",
            },
        ];
        for own in sides {
            let lines = if own.few == LEFT {
                &product.rows
            } else {
                &product.columns
            };
            let count = lines::count(lines);
            let fits = count
                .as_constant()
                .map(|count| count.cast_unsigned() <= FEW);
            if fits == Some(false) {
                continue;
            }
            let mut choice = self.few(&format!("{name}_{}", own.name), &product, own)?;
            choice.when = fits.is_none().then(|| (vec![count], FEW));
            let always = choice.when.is_none();
            choices.push(choice);
            if always {
                break;
            }
        }
        if choices.iter().all(|choice| choice.when.is_some()) {
            choices.push(self.tiles(&format!("{name}_tiles"), &product)?);
        }
        self.program.launches.push(Launch {
            product: product::of(&product),
            choices,
        });
        Ok(())
    }

    /// One entry with what every way has: the head, and the argument list.
    fn product_entry(
        &mut self,
        name: &str,
        product: &Product<'_>,
        body: &Code,
        sizes: &Sizes,
        blocks: Blocks,
    ) -> Choice {
        let mut code = Code::default();
        code.text.push_str(&sizes.comment());
        code.open(format!(
            "extern \"C\" __global__ void __launch_bounds__({THREADS}) {name}({}{})",
            product.parameters(" __restrict__"),
            sizes.parameters()
        ));
        code.text.push_str(&body.text);
        code.close();
        code.line("\n");
        self.program.text.push_str(&code.text);
        let buffers = product.tensors.map(|tensor| tensor.buffer);
        let mut arguments: Vec<Argument> = buffers.into_iter().map(Argument::Buffer).collect();
        arguments.extend(sizes.iter().cloned().map(Argument::Size));
        Choice {
            when: None,
            entry: self.entry(name, true),
            arguments,
            blocks,
        }
    }

    fn few(&mut self, name: &str, product: &Product<'_>, sides: Sides) -> Result<Choice, Refusal> {
        let mut sizes = Sizes::default();
        let (few, many) = if sides.few == LEFT {
            (&product.rows, &product.columns)
        } else {
            (&product.columns, &product.rows)
        };
        let (ty, fma) = (stored(product.dtype), function("fma", product.dtype));
        let across =
            !lines::contiguous(&product.inner, sides.many) && lines::contiguous(many, sides.many);
        let batch = product.batch.as_slice();
        let inner = product.inner.as_slice();
        let of_few = product.offset(
            sides.few,
            &[(few, "few"), (inner, "k"), (batch, "batch")],
            &mut sizes,
        )?;
        let of_many = product.offset(
            sides.many,
            &[(many, "many"), (inner, "k"), (batch, "batch")],
            &mut sizes,
        )?;
        let of_out = product.offset(
            OUT,
            &[(few, "few"), (many, "many"), (batch, "batch")],
            &mut sizes,
        )?;
        let counts = [few, many, &product.inner, &product.batch];
        let [fews, manys, inners, batches] = counts.map(|lines| lines::count(lines));
        let mut code = Code::at(1);
        for (what, count) in [
            ("fews", &fews),
            ("manys", &manys),
            ("inner", &inners),
            ("batches", &batches),
        ] {
            code.line(format!("const i64 {what} = {};", sizes.text(count)?));
        }
        code.line("const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;");
        let (first, step, per) = if across {
            code.line(format!("__shared__ {ty} parts[{AT_ONCE}][8][32];"));
            code.line("const i64 many = blockIdx.x * 32ll + lane;");
            ("warp", 8, 32)
        } else {
            code.line("const i64 many = blockIdx.x * 8ll + warp;");
            code.line("if (many >= manys) return;");
            ("lane", 32, 8)
        };
        code.open("for (i64 batch = blockIdx.y; batch < batches; batch += gridDim.y)");
        code.open(format!(
            "for (i64 start = 0; start < fews; start += {AT_ONCE})"
        ));
        code.line(format!("{ty} sums[{AT_ONCE}] = {{}};"));
        let guard = if across { "if (many < manys) " } else { "" };
        code.open(format!(
            "{guard}for (i64 k = {first}; k < inner; k += {step})"
        ));
        let [x, y] = [(sides.few, &of_few), (sides.many, &of_many)]
            .map(|(factor, at)| product.element(factor, at));
        code.line(format!("const {ty} y = {y};"));
        code.line("#pragma unroll");
        code.open(format!("for (int own = 0; own < {AT_ONCE}; ++own)"));
        code.line("const i64 few = start + own;");
        code.line(format!(
            "if (few < fews) sums[own] = {fma}({x}, y, sums[own]);"
        ));
        code.close();
        code.close();
        code.line("#pragma unroll");
        if across {
            code.line(format!(
                "for (int own = 0; own < {AT_ONCE}; ++own) parts[own][warp][lane] = sums[own];"
            ));
            code.line("__syncthreads();\nconst i64 few = start + warp;");
            code.open(format!(
                "if (warp < {AT_ONCE} && few < fews && many < manys)"
            ));
            code.line(format!("{ty} sum = parts[warp][0][lane];"));
            code.line("for (int part = 1; part < 8; ++part) sum += parts[warp][part][lane];");
            code.line(format!("out[{of_out}] = sum;"));
            code.close();
            code.line("__syncthreads();");
        } else {
            code.open(format!("for (int own = 0; own < {AT_ONCE}; ++own)"));
            code.line(format!("const {ty} sum = across<32, Sum>(sums[own]);"));
            code.line("const i64 few = start + own;");
            code.line(format!("if (lane == 0 && few < fews) out[{of_out}] = sum;"));
            code.close();
        }
        code.close();
        code.close();
        let blocks = Blocks {
            x: vec![(manys, per)],
            per: 1,
            y: vec![batches],
        };
        Ok(self.product_entry(name, product, &code, &sizes, blocks))
    }

    fn tiles(&mut self, name: &str, product: &Product<'_>) -> Result<Choice, Refusal> {
        let mut sizes = Sizes::default();
        let (ty, fma) = (stored(product.dtype), function("fma", product.dtype));
        let Product {
            batch,
            rows,
            columns,
            inner,
            ..
        } = product;
        let counts = [rows, columns, inner, batch].map(|lines| lines::count(lines));
        let mut code = Code::at(1);
        for (what, count) in ["rows", "columns", "inner", "batches"].iter().zip(&counts) {
            code.line(format!("const i64 {what} = {};", sizes.text(count)?));
        }
        code.line(format!(
            "__shared__ {ty} a[{DEPTH}][{TILE} + 1], b[{DEPTH}][{TILE} + 1];"
        ));
        code.line(format!(
            "const i64 wide = (columns + {}) / {TILE};",
            TILE - 1
        ));
        code.line(format!(
            "const i64 row0 = blockIdx.x / wide * {TILE}, column0 = blockIdx.x % wide * {TILE};"
        ));
        let side = TILE / OWN;
        code.line(format!(
            "const int down = threadIdx.x / {side}, along = threadIdx.x % {side};"
        ));
        code.open("for (i64 batch = blockIdx.y; batch < batches; batch += gridDim.y)");
        code.line(format!("{ty} sums[{OWN}][{OWN}] = {{}};"));
        code.open(format!("for (i64 k0 = 0; k0 < inner; k0 += {DEPTH})"));
        for (tensor, shared, own, count) in [
            (LEFT, "a", rows, ("row", "rows")),
            (RIGHT, "b", columns, ("column", "columns")),
        ] {
            let (name, limit) = count;
            let at = product.offset(
                tensor,
                &[(own, name), (inner, "k"), (batch, "batch")],
                &mut sizes,
            )?;
            code.open(format!(
                "for (int n = threadIdx.x; n < {}; n += {THREADS})",
                TILE * DEPTH
            ));
            // Neighboring threads read what lies together.
            if lines::contiguous(inner, tensor) {
                code.line(format!("const int m = n / {DEPTH}, d = n % {DEPTH};"));
            } else {
                code.line(format!("const int m = n % {TILE}, d = n / {TILE};"));
            }
            code.line(format!("const i64 {name} = {name}0 + m, k = k0 + d;"));
            code.line(format!(
                "{shared}[d][m] = {name} < {limit} && k < inner ? {} : ({ty})0;",
                product.element(tensor, &at)
            ));
            code.close();
        }
        code.line("__syncthreads();\n#pragma unroll");
        code.open(format!("for (int d = 0; d < {DEPTH}; ++d)"));
        code.line("#pragma unroll");
        code.line(format!("for (int i = 0; i < {OWN}; ++i)\n#pragma unroll"));
        code.line(format!("  for (int j = 0; j < {OWN}; ++j)"));
        code.line(format!(
            "    sums[i][j] = {fma}(a[d][down + {side} * i], b[d][along + {side} * j], sums[i][j]);"
        ));
        code.close();
        code.line("__syncthreads();");
        code.close();
        let at = product.offset(
            OUT,
            &[(rows, "row"), (columns, "column"), (batch, "batch")],
            &mut sizes,
        )?;
        code.line("#pragma unroll");
        code.line(format!("for (int i = 0; i < {OWN}; ++i)\n#pragma unroll"));
        code.open(format!("  for (int j = 0; j < {OWN}; ++j)"));
        code.line(format!(
            "const i64 row = row0 + down + {side} * i, column = column0 + along + {side} * j;"
        ));
        code.line(format!(
            "if (row < rows && column < columns) out[{at}] = sums[i][j];"
        ));
        code.close();
        code.close();
        let [row_count, column_count, _, batches] = counts;
        let blocks = Blocks {
            x: vec![(row_count, TILE as u64), (column_count, TILE as u64)],
            per: 1,
            y: vec![batches],
        };
        Ok(self.product_entry(name, product, &code, &sizes, blocks))
    }
}

/// A product as a device function that a block runs alone: `team` threads share a sum.
pub(super) struct SmallProduct {
    pub(super) text: String,
    pub(super) sizes: Sizes,
    pub(super) team: u32,
    pub(super) buffers: [BufferId; 3],
}

/// Multiplications of one element of the result, and how many elements; with `symbol` at 1.
pub(super) fn cost(product: &Product<'_>) -> Extent {
    let lines = [
        &product.batch,
        &product.rows,
        &product.columns,
        &product.inner,
    ];
    let one = Extent::constant(1);
    lines
        .iter()
        .fold(one, |all, lines| all.times(&lines::count(lines)))
}

/// The function of a small product.
///
/// # Errors
///
/// A size that is not linear in what only the device knows.
pub(super) fn small(
    name: &str,
    product: &Product<'_>,
    locals: &[(std::sync::Arc<str>, String)],
) -> Result<SmallProduct, Refusal> {
    let mut sizes = Sizes::new(locals);
    let (ty, fma) = (stored(product.dtype), function("fma", product.dtype));
    let Product {
        batch,
        rows,
        columns,
        inner,
        ..
    } = product;
    let counts = [batch, rows, columns, inner].map(|lines| lines::count(lines));
    let short = counts[3].as_constant().is_some_and(|count| count < 16);
    let together = lines::contiguous(inner, LEFT) || lines::contiguous(inner, RIGHT);
    let team = if together && !short { 32 } else { 1 };
    let mut code = Code::default();
    let mut body = Code::at(1);
    for (what, count) in ["batches", "rows", "columns", "inner"].iter().zip(&counts) {
        body.line(format!("const i64 {what} = {};", sizes.text(count)?));
    }
    if team > 1 {
        body.line(format!("const i64 lane = threadIdx.x % {team};"));
    }
    body.open("for (i64 point = first; point < batches * rows * columns; point += step)");
    body.line("const i64 column = point % columns, row = point / columns % rows, batch = point / columns / rows;");
    let left = product.offset(
        LEFT,
        &[(rows, "row"), (inner, "k"), (batch, "batch")],
        &mut sizes,
    )?;
    let right = product.offset(
        RIGHT,
        &[(columns, "column"), (inner, "k"), (batch, "batch")],
        &mut sizes,
    )?;
    let out = product.offset(
        OUT,
        &[(rows, "row"), (columns, "column"), (batch, "batch")],
        &mut sizes,
    )?;
    body.line(format!("{ty} sum = 0;"));
    let (from, by) = if team > 1 { ("lane", team) } else { ("0", 1) };
    body.line(format!(
        "for (i64 k = {from}; k < inner; k += {by}) sum = {fma}({}, {}, sum);",
        product.element(LEFT, &left),
        product.element(RIGHT, &right)
    ));
    if team > 1 {
        body.line(format!(
            "sum = across<{team}, Sum>(sum);\nif (lane == 0) out[{out}] = sum;"
        ));
    } else {
        body.line(format!("out[{out}] = sum;"));
    }
    body.close();
    let variables = listed(locals.iter().map(|(_, own)| format!("i64 {own}")));
    code.text.push_str(&sizes.comment());
    code.open(format!(
        "static __device__ void {name}(i64 first, i64 step, {}{}{variables})",
        product.parameters(""),
        sizes.parameters()
    ));
    code.text.push_str(&body.text);
    code.close();
    code.line("\n");
    Ok(SmallProduct {
        text: code.text,
        sizes,
        team,
        buffers: product.tensors.map(|tensor| tensor.buffer),
    })
}
