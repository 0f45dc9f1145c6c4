//! Attention over tiles of keys with a running softmax.
//!
//! A block has some rows of one point, a warp some of these. Keys and values pass through shared
//! memory in tiles of as many as a warp has lanes: lane `j` scores key `j` for the warp's rows, then
//! the lanes share the features of the values. Tiles that the domain leaves out are skipped. For few
//! rows there is a way in which the warps of a block share the keys of one row.

mod domain;

use std::fmt::Write as _;

use girih_graph::{AxisId, DType, Extent};
use girih_plan::plan::{Attention, KernelLaunch, Section, Tensor};

use super::inline::{self, Inlined};
use super::lines;
use super::sizes::Sizes;
use super::types::{real, stored};
use super::{Argument, Blocks, Builder, Choice, Code, Launch, Refusal, THREADS, listed};

/// Keys of a tile: the lanes of a warp.
const KEYS: i64 = 32;

/// Bytes of shared memory that every device gives a block.
const SHARED: i64 = 48 << 10;

/// Rows that count as few.
const FEW: u64 = 4;

/// Warps of a block.
const WARPS: i64 = 8;

/// What both ways need.
struct Tiles {
    interior: Option<Inlined>,
    edge: Option<Inlined>,
    mask: Option<Inlined>,
    /// The number of the first launch of a kernel; `guards` count from it.
    first: i64,
    guards: [i64; 3],
    points: usize,
    features: i64,
    values: i64,
    /// Rows of a warp.
    rows: i64,
}

impl<'a> Builder<'a> {
    pub(super) fn attention(&mut self, attention: &'a Attention) -> Result<(), Refusal> {
        let name = self.name("attention");
        let section = self.section;
        let tensor = |id: girih_plan::plan::TensorId| &section.tensors[id.index()];
        let tensors = [attention.q, attention.k, attention.v, attention.out].map(tensor);
        if tensors.iter().any(|own| own.dtype != DType::F32) {
            return Err(Refusal::new("attention of other elements than `f32`"));
        }
        let [q, k, v, out] = tensors;
        let constant = |extent: Extent| extent.as_constant();
        let features = constant(lines::extent(&[q, k], attention.width));
        let values = constant(lines::extent(&[v, out], attention.value));
        let (Some(features), Some(values)) = (features, values) else {
            return Err(Refusal::new(
                "heads whose features are not a constant number",
            ));
        };
        let shared = |rows: i64| {
            4 * (KEYS * (features + 1)).max(KEYS * values) + 4 * WARPS * rows * (features + KEYS)
        };
        let rows = [4, 2, 1].into_iter().find(|rows| shared(*rows) <= SHARED);
        let rows = rows.filter(|_| values <= 512).ok_or_else(|| {
            Refusal::new(format!(
                "heads of {features} features and {values} values: too many for a block"
            ))
        })?;
        // Launches of kernels are counted, as failures name them.
        let first = self.program.counted;
        let mut number = 0;
        let mut next = |launch: &Option<KernelLaunch>| {
            let own = number;
            number += i64::from(launch.is_some());
            own
        };
        let guards = [&attention.interior, &attention.edge, &attention.mask].map(&mut next);
        self.program.counted = first + number;
        let points = attention.points.len();
        let inlined = |kind: &str, launch: &Option<KernelLaunch>| {
            let launch = launch.as_ref();
            let made = launch.map(|own| {
                inline::function(
                    &format!("{name}_{kind}"),
                    &self.kernels[own.kernel],
                    own,
                    points,
                )
            });
            made.transpose()
        };
        let tiles = Tiles {
            interior: inlined("interior", &attention.interior)?,
            edge: inlined("edge", &attention.edge)?,
            mask: inlined("mask", &attention.mask)?,
            first,
            guards,
            points,
            features,
            values,
            rows,
        };
        for own in tiles.interior.iter().chain(&tiles.edge).chain(&tiles.mask) {
            self.program.text.push_str(&own.text);
        }
        let count = lines::extent(&[out, q], attention.rows);
        let mut choices = Vec::new();
        let few = count
            .as_constant()
            .map(|count| count.cast_unsigned() <= FEW);
        if few != Some(false) {
            let mut choice = self.way(&format!("{name}_few"), attention, tensors, &tiles, true)?;
            choice.when = few.is_none().then(|| (vec![count.clone()], FEW));
            choices.push(choice);
        }
        if few != Some(true) {
            choices.push(self.way(&name, attention, tensors, &tiles, false)?);
        }
        self.program.launches.push(Launch::of(choices));
        Ok(())
    }

    fn way(
        &mut self,
        name: &str,
        attention: &Attention,
        tensors: [&Tensor; 4],
        tiles: &Tiles,
        few: bool,
    ) -> Result<Choice, Refusal> {
        let section = self.section;
        let mut sizes = Sizes::default();
        let [q, k, v, out] = tensors;
        let mut code = Code::at(1);
        let count = |axis: AxisId| lines::extent(&[out, q, k, v], axis);
        let (rows, keys) = (count(attention.rows), count(attention.keys));
        code.line(format!(
            "const i64 rows = {}, keys = {};",
            sizes.text(&rows)?,
            sizes.text(&keys)?
        ));
        let extents: Vec<Extent> = attention.points.iter().map(|axis| count(*axis)).collect();
        let one = Extent::constant(1);
        let points = extents.iter().fold(one, |all, extent| all.times(extent));
        code.line(format!("const i64 points = {};", sizes.text(&points)?));
        code.line("const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;");
        shared_memory(&mut code, tiles, few);
        code.open("for (i64 point = blockIdx.y; point < points; point += gridDim.y)");
        code.line("i64 rest = point;");
        for (at, extent) in extents.iter().enumerate().rev() {
            let extent = sizes.text(extent)?;
            code.line(format!(
                "const i64 p{at} = rest % {extent};\nrest /= {extent};"
            ));
        }
        for (what, tensor, qualifier) in [
            ("q", q, "const "),
            ("k", k, "const "),
            ("v", v, "const "),
            ("out", out, ""),
        ] {
            let mut terms = vec![format!("{what}_")];
            if tensor.offset.as_constant() != Some(0) {
                terms.push(sizes.text(&tensor.offset)?);
            }
            for (at, axis) in attention.points.iter().enumerate() {
                let step = lines::step(tensor, *axis);
                if step.as_constant() != Some(0) {
                    terms.push(format!("p{at} * {}", sizes.text(&step)?));
                }
            }
            code.line(format!("{qualifier}float* {what} = {};", terms.join(" + ")));
        }
        let step = |tensor: &Tensor, axis: AxisId, sizes: &mut Sizes| {
            sizes.text(&lines::step(tensor, axis))
        };
        let strides = Strides {
            q: [
                step(q, attention.rows, &mut sizes)?,
                step(q, attention.width, &mut sizes)?,
            ],
            k: [
                step(k, attention.keys, &mut sizes)?,
                step(k, attention.width, &mut sizes)?,
            ],
            v: [
                step(v, attention.keys, &mut sizes)?,
                step(v, attention.value, &mut sizes)?,
            ],
            out: [
                step(out, attention.rows, &mut sizes)?,
                step(out, attention.value, &mut sizes)?,
            ],
        };
        let scale = real(DType::F32, attention.scale);
        if few {
            one_row(
                &mut code,
                &mut sizes,
                (section, attention),
                tiles,
                &strides,
                &scale,
            )?;
        } else {
            some_rows(
                &mut code,
                &mut sizes,
                (section, attention),
                tiles,
                &strides,
                &scale,
            )?;
        }
        code.close();
        let mut parameters =
            "Failure* failure, i64 launch, const float* __restrict__ q_, const float* __restrict__ k_, \
                              const float* __restrict__ v_, float* __restrict__ out_"
                .to_owned();
        let mut arguments = vec![Argument::Failure, Argument::Launch(tiles.first)];
        arguments.extend(tensors.map(|tensor| Argument::Buffer(tensor.buffer)));
        let launches = [
            (&tiles.interior, &attention.interior),
            (&tiles.edge, &attention.edge),
            (&tiles.mask, &attention.mask),
        ];
        for (inlined, launch) in launches {
            if let (Some(inlined), Some(launch)) = (inlined, launch) {
                let _ = write!(parameters, "{}", inlined.parameters);
                arguments.extend(
                    launch
                        .buffers
                        .iter()
                        .skip(1)
                        .map(|own| Argument::Buffer(*own)),
                );
                arguments.extend(inlined.sizes.iter().cloned().map(Argument::Size));
            }
        }
        for (at, label) in attention.domain.labels().iter().enumerate() {
            let label = &section.tensors[label.index()];
            let _ = write!(parameters, ", const {}* label{at}", stored(label.dtype));
            arguments.push(Argument::Buffer(label.buffer));
        }
        arguments.extend(sizes.iter().cloned().map(Argument::Size));
        let mut all = Code::default();
        all.text.push_str(&sizes.comment());
        all.open(format!(
            "extern \"C\" __global__ void __launch_bounds__({THREADS}) {name}({parameters}{})",
            sizes.parameters()
        ));
        all.text.push_str(&code.text);
        all.close();
        all.line("\n");
        self.program.text.push_str(&all.text);
        let per = if few {
            1
        } else {
            (WARPS * tiles.rows).cast_unsigned()
        };
        Ok(Choice {
            when: None,
            entry: self.entry(name, true),
            arguments,
            blocks: Blocks {
                x: vec![(rows, per)],
                per: 1,
                y: vec![points],
            },
        })
    }
}

fn shared_memory(code: &mut Code, tiles: &Tiles, few: bool) {
    let Tiles {
        features,
        values,
        rows,
        ..
    } = tiles;
    if few {
        code.line(format!(
            "__shared__ float query[{features}], tops[{WARPS}], totals[{WARPS}], sums[{WARPS}][{values}];"
        ));
        return;
    }
    let own = WARPS * rows;
    let tile = (KEYS * (features + 1)).max(KEYS * values);
    code.line(format!(
        "__shared__ float queries[{own}][{features}], tile[{tile}], weights[{own}][{KEYS}];"
    ));
}

/// Distances of rows or keys, and of features or values.
struct Strides {
    q: [String; 2],
    k: [String; 2],
    v: [String; 2],
    out: [String; 2],
}

/// A block has some rows, a warp has `tiles.rows` of them.
fn some_rows(
    code: &mut Code,
    sizes: &mut Sizes,
    (section, attention): (&Section, &Attention),
    tiles: &Tiles,
    strides: &Strides,
    scale: &str,
) -> Result<(), Refusal> {
    let Tiles {
        features,
        values,
        rows,
        ..
    } = tiles;
    let block = WARPS * rows;
    let columns = (values + 31) / 32;
    code.line(format!("const i64 row0 = blockIdx.x * {block}ll;"));
    code.line(format!(
        "const i64 last_row = row0 + {block} < rows ? row0 + {block} - 1 : rows - 1;"
    ));
    domain::rows(code, sizes, attention, section)?;
    code.line("__syncthreads();");
    code.open(format!(
        "for (int n = threadIdx.x; n < {block} * {features}; n += {THREADS})"
    ));
    code.line(format!("const int r = n / {features}, e = n % {features};"));
    code.line(format!(
        "queries[r][e] = row0 + r < rows ? q[(row0 + r) * {} + e * {}] : 0.0f;",
        strides.q[0], strides.q[1]
    ));
    code.close();
    code.line(format!(
        "float tops[{rows}], totals[{rows}], sums[{rows}][{columns}];"
    ));
    code.open(format!("for (int r = 0; r < {rows}; ++r)"));
    code.line(format!(
        "tops[r] = {};\ntotals[r] = 0.0f;",
        real(DType::F32, f64::NEG_INFINITY)
    ));
    code.line(format!(
        "for (int c = 0; c < {columns}; ++c) sums[r][c] = 0.0f;"
    ));
    code.close();
    code.open(format!("for (i64 key0 = 0; key0 < keys; key0 += {KEYS})"));
    let own = format!("warp * {rows} + r");
    let counts = format!("row0 + {own} < rows && key0 + lane < keys");
    let call = looked(tiles, &own, &counts);
    let mask = call.as_deref().map(|call| domain::Looked {
        call,
        rows: *rows,
        any: "__syncthreads_or(some)",
    });
    domain::skip(code, sizes, attention, section, mask.as_ref())?;
    code.line("__syncthreads();");
    code.open(format!(
        "for (int n = threadIdx.x; n < {KEYS} * {features}; n += {THREADS})"
    ));
    code.line(format!("const int c = n / {features}, e = n % {features};"));
    code.line(format!(
        "tile[c * {} + e] = key0 + c < keys ? k[(key0 + c) * {} + e * {}] : 0.0f;",
        features + 1,
        strides.k[0],
        strides.k[1]
    ));
    code.close();
    code.line("__syncthreads();");
    code.line("#pragma unroll");
    code.open(format!("for (int r = 0; r < {rows}; ++r)"));
    code.line(format!("const int own = warp * {rows} + r;"));
    code.line("const i64 row = row0 + own;");
    code.line("float score = 0.0f;");
    code.line(format!(
        "for (int e = 0; e < {features}; ++e) score = fmaf(queries[own][e], tile[lane * {} + e], score);",
        features + 1
    ));
    code.line(format!("score *= {scale};"));
    score(code, tiles, "own", "row < rows && key0 + lane < keys");
    code.line("float top = fmaxf(tops[r], score);");
    code.line("for (int distance = 16; distance > 0; distance /= 2) top = fmaxf(top, __shfl_down_sync(ALL_LANES, top, distance));");
    code.line("top = __shfl_sync(ALL_LANES, top, 0);");
    softmax(code, "tops[r]", "totals[r]");
    code.line(format!(
        "weights[own][lane] = weight;\nfor (int c = 0; c < {columns}; ++c) sums[r][c] *= factor;"
    ));
    code.close();
    code.line("__syncthreads();");
    code.open(format!(
        "for (int n = threadIdx.x; n < {KEYS} * {values}; n += {THREADS})"
    ));
    code.line(format!("const int c = n / {values}, f = n % {values};"));
    code.line(format!(
        "tile[n] = key0 + c < keys ? v[(key0 + c) * {} + f * {}] : 0.0f;",
        strides.v[0], strides.v[1]
    ));
    code.close();
    code.line("__syncthreads();");
    code.line("#pragma unroll");
    code.open(format!("for (int c = 0; c < {columns}; ++c)"));
    code.line("const int f = c * 32 + lane;");
    code.line(format!("if (f >= {values}) continue;"));
    code.line(format!("for (int j = 0; j < {KEYS}; ++j)"));
    code.line(format!("  for (int r = 0; r < {rows}; ++r)"));
    code.line(format!(
        "    sums[r][c] = fmaf(weights[warp * {rows} + r][j], tile[j * {values} + f], sums[r][c]);"
    ));
    code.close();
    code.close();
    code.line("#pragma unroll");
    code.open(format!("for (int r = 0; r < {rows}; ++r)"));
    code.line("const float total = across<32, Sum>(totals[r]);");
    code.line(format!("const i64 row = row0 + warp * {rows} + r;"));
    code.line("#pragma unroll");
    code.open(format!("for (int c = 0; c < {columns}; ++c)"));
    code.line("const int f = c * 32 + lane;");
    code.line(format!(
        "if (row < rows && f < {values}) out[row * {} + f * {}] = total == 0.0f ? 0.0f : sums[r][c] / total;",
        strides.out[0], strides.out[1]
    ));
    code.close();
    code.close();
    Ok(())
}

/// A block has one row, whose keys its warps share.
fn one_row(
    code: &mut Code,
    sizes: &mut Sizes,
    (section, attention): (&Section, &Attention),
    tiles: &Tiles,
    strides: &Strides,
    scale: &str,
) -> Result<(), Refusal> {
    let Tiles {
        features, values, ..
    } = tiles;
    let columns = (values + 31) / 32;
    code.line("const i64 row0 = blockIdx.x, row = row0, last_row = row0;");
    domain::rows(code, sizes, attention, section)?;
    code.line("__syncthreads();");
    code.line(format!(
        "for (int e = threadIdx.x; e < {features}; e += {THREADS}) query[e] = q[row * {} + e * {}];",
        strides.q[0], strides.q[1]
    ));
    code.line("__syncthreads();");
    let least = real(DType::F32, f64::NEG_INFINITY);
    code.line(format!(
        "float own_top = {least}, own_total = 0.0f, own_sums[{columns}] = {{}};"
    ));
    code.open(format!(
        "for (i64 key0 = warp * {KEYS}; key0 < keys; key0 += {})",
        KEYS * WARPS
    ));
    let call = looked(tiles, "0", "key0 + lane < keys");
    let mask = call.as_deref().map(|call| domain::Looked {
        call,
        rows: 1,
        any: "__any_sync(ALL_LANES, some)",
    });
    domain::skip(code, sizes, attention, section, mask.as_ref())?;
    code.line("const i64 key = key0 + lane;");
    code.line("float score = 0.0f;");
    code.line(format!(
        "if (key < keys)\n  for (int e = 0; e < {features}; ++e) score = fmaf(query[e], k[key * {} + e * {}], score);",
        strides.k[0], strides.k[1]
    ));
    code.line(format!("score *= {scale};"));
    score(code, tiles, "0", "key < keys");
    code.line("float top = fmaxf(own_top, score);");
    code.line("for (int distance = 16; distance > 0; distance /= 2) top = fmaxf(top, __shfl_down_sync(ALL_LANES, top, distance));");
    code.line("top = __shfl_sync(ALL_LANES, top, 0);");
    softmax(code, "own_top", "own_total");
    code.line("#pragma unroll");
    code.line(format!(
        "for (int c = 0; c < {columns}; ++c) own_sums[c] *= factor;"
    ));
    code.open(format!("for (int j = 0; j < {KEYS}; ++j)"));
    code.line("const float shared = __shfl_sync(ALL_LANES, weight, j);");
    code.line("if (key0 + j >= keys) continue;");
    code.line("#pragma unroll");
    code.open(format!("for (int c = 0; c < {columns}; ++c)"));
    code.line("const int f = c * 32 + lane;");
    code.line(format!(
        "if (f < {values}) own_sums[c] = fmaf(shared, v[(key0 + j) * {} + f * {}], own_sums[c]);",
        strides.v[0], strides.v[1]
    ));
    code.close();
    code.close();
    code.close();
    code.line("own_total = across<32, Sum>(own_total);");
    code.line("if (lane == 0) tops[warp] = own_top, totals[warp] = own_total;");
    code.line(format!("for (int c = 0; c < {columns}; ++c)\n  if (c * 32 + lane < {values}) sums[warp][c * 32 + lane] = own_sums[c];"));
    code.line("__syncthreads();");
    code.line("float top = tops[0];");
    code.line(format!(
        "for (int own = 1; own < {WARPS}; ++own) top = fmaxf(top, tops[own]);"
    ));
    code.line(format!("const float base = top == {least} ? 0.0f : top;"));
    code.line("float total = 0.0f;");
    code.line(format!(
        "for (int own = 0; own < {WARPS}; ++own) total += totals[own] * expf(tops[own] - base);"
    ));
    code.open(format!(
        "for (int f = threadIdx.x; f < {values}; f += {THREADS})"
    ));
    code.line("float sum = 0.0f;");
    code.line(format!(
        "for (int own = 0; own < {WARPS}; ++own) sum += sums[own][f] * expf(tops[own] - base);"
    ));
    code.line(format!(
        "out[row * {} + f * {}] = total == 0.0f ? 0.0f : sum / total;",
        strides.out[0], strides.out[1]
    ));
    code.close();
    Ok(())
}

/// A call of a tile's function for a row of the tile and the lane's key.
fn called(inlined: &Inlined, score: &str, row: &str, launch: i64, points: usize) -> String {
    let points = listed((0..points).map(|at| format!("p{at}")));
    format!(
        "{}({score}, {row}, lane, Guard{{failure, launch + {launch}}}, row0, key0{points}{})",
        inlined.name, inlined.arguments
    )
}

/// Whether a pair counts, by the mask.
fn looked(tiles: &Tiles, row: &str, counts: &str) -> Option<String> {
    let mask = tiles.mask.as_ref()?;
    let call = called(mask, "0.0f", row, tiles.guards[2], tiles.points);
    Some(format!("{counts} && {call} == 0.0f"))
}

/// Makes the score of what is a scaled product, and −∞ of what does not count.
fn score(code: &mut Code, tiles: &Tiles, row: &str, counts: &str) {
    let of = |inlined: &Option<Inlined>, launch: i64| {
        let call = |own| called(own, "score", row, launch, tiles.points);
        inlined.as_ref().map_or_else(|| "score".to_owned(), call)
    };
    let inside = of(&tiles.interior, tiles.guards[0]);
    let value = if tiles.edge.is_some() {
        let edge = of(&tiles.edge, tiles.guards[1]);
        format!("whole ? {inside} : {edge}")
    } else {
        inside
    };
    let least = real(DType::F32, f64::NEG_INFINITY);
    code.line(format!("score = {counts} ? ({value}) : {least};"));
}

/// A lane's weight under the new largest score, and the factor of what was summed before.
fn softmax(code: &mut Code, top: &str, total: &str) {
    let least = real(DType::F32, f64::NEG_INFINITY);
    code.line(format!("const float base = top == {least} ? 0.0f : top;"));
    code.line(format!(
        "const float weight = expf(score - base), factor = expf({top} - base);"
    ));
    code.line(format!(
        "{total} = fmaf({total}, factor, weight);\n{top} = top;"
    ));
}
