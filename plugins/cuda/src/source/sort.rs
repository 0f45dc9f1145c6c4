//! Positions of rows by what stands there, in a total order: smaller first – or larger –, what is no number
//! last, and of equals the lower position.
//!
//! In a short row every position counts those before it. A long one is sorted in stretches, each by a
//! block in shared memory; then every position looks for its place in the other stretches, by halving.
//! The order is total, so that the result depends on nothing else.

use girih_graph::{AxisId, DType, Extent};
use girih_plan::plan::TensorId;

use super::lines;
use super::routine::{Entry, Parameter, rows, start};
use super::sizes::Sizes;
use super::types::held;
use super::{Argument, Blocks, Builder, Choice, Launch, Refusal, THREADS};

/// Positions of a short row.
const SHORT: i64 = 64;

/// Positions of a stretch, whose keys fit in shared memory: a power of two.
const STRETCH: i64 = 2048;

/// Writes a text, whose sizes become arguments.
pub(super) type Text<'t> = &'t dyn Fn(&mut Sizes) -> Result<String, Refusal>;

/// What [`Choice::when`] is.
pub(super) type When = Option<(Vec<Extent>, u64)>;

/// Rows to sort.
pub(super) struct Rows<'t> {
    /// What the entries are called.
    pub(super) name: String,
    /// How many rows.
    pub(super) count: Extent,
    /// Positions of each.
    pub(super) length: Extent,
    /// Where keys are read.
    pub(super) given: Parameter,
    /// The dtype that a key is held in.
    pub(super) dtype: DType,
    /// The key at position `n` of row `row`.
    pub(super) key: Text<'t>,
    pub(super) descending: bool,
    /// Ranks that are asked for, if not all are.
    pub(super) wanted: Option<Extent>,
}

impl Rows<'_> {
    /// Whether all rows are short, if that is known.
    fn are_short(&self) -> Option<bool> {
        self.length.as_constant().map(|own| own <= SHORT)
    }

    /// When a way for short rows is chosen, if it may be.
    pub(super) fn when_short(&self) -> Option<When> {
        match self.are_short() {
            Some(false) => None,
            Some(true) => Some(None),
            None => Some(Some((vec![self.length.clone()], SHORT as u64))),
        }
    }

    /// A factor of a grid: none where rows are short, else one.
    pub(super) fn if_long(&self) -> (Extent, u64) {
        let past = self.length.minus(&Extent::constant(SHORT));
        (past.maximum(&Extent::constant(0)), u64::MAX)
    }

    fn all(&self) -> Extent {
        self.count.times(&self.length)
    }

    /// What is done for a rank, where it is asked for.
    fn asked(&self, put: String, sizes: &mut Sizes) -> Result<String, Refusal> {
        Ok(match &self.wanted {
            Some(wanted) => format!("if (rank < {}) {put}", sizes.text(wanted)?),
            None => put,
        })
    }

    /// Opens a loop of a thread for every `point` of all rows, and gives the texts of a key and of what is done for
    /// a rank.
    fn each(&self, entry: &mut Entry, put: Text<'_>) -> Result<(String, String), Refusal> {
        let Entry { sizes, code, .. } = entry;
        code.line(format!(
            "const i64 length = {}, count = {} * length;",
            sizes.text(&self.length)?,
            sizes.text(&self.count)?
        ));
        let key = (self.key)(sizes)?;
        let put = self.asked(put(sizes)?, sizes)?;
        code.open(format!(
            "for (i64 point = blockIdx.x * {THREADS}ll + threadIdx.x; point < count; point += gridDim.x * {THREADS}ll)"
        ));
        Ok((key, put))
    }

    /// Whether key `a` at position `p` comes before `b` at `q`.
    fn before(&self, [a, p]: [&str; 2], [b, q]: [&str; 2]) -> String {
        let sign = if self.descending { ">" } else { "<" };
        let less = |a: &str, b: &str| {
            if self.dtype.is_real() {
                format!("({a} {sign} {b} || ({b} != {b} && {a} == {a}))")
            } else {
                format!("{a} {sign} {b}")
            }
        };
        format!("({} || ({p} < {q} && !({})))", less(a, b), less(b, a))
    }
}

impl Builder<'_> {
    /// Adds launches that sort long rows: `put` is run for every position `n` of a row with its `rank`. The first
    /// launch has another way for short rows, if `short` is one.
    pub(super) fn sorted(
        &mut self,
        all: &Rows<'_>,
        short: Option<Choice>,
        (written, put): (Parameter, Text<'_>),
    ) -> Result<(), Refusal> {
        if all.are_short() == Some(true) {
            self.program
                .launches
                .push(Launch::of(short.into_iter().collect()));
            return Ok(());
        }
        let places = self.program.scratch.len();
        let bytes = all.all().times(&Extent::constant(4));
        self.program.scratch.push(bytes);
        let places = |qualifier: &str| {
            let text = format!("{qualifier}int* __restrict__ places");
            (text, Argument::Scratch(places))
        };
        let ty = held(all.dtype);

        let mut entry = Entry::new();
        let Entry { sizes, code, .. } = &mut entry;
        code.line(format!(
            "const i64 length = {}, rows = {};",
            sizes.text(&all.length)?,
            sizes.text(&all.count)?
        ));
        code.line(format!(
            "__shared__ {ty} keys[{STRETCH}];\n__shared__ int order[{STRETCH}];"
        ));
        code.line(format!(
            "const i64 stretches = (length + {}) / {STRETCH};",
            STRETCH - 1
        ));
        code.open("for (i64 block = blockIdx.x; block < rows * stretches; block += gridDim.x)");
        code.line(format!(
            "const i64 row = block / stretches, first = block % stretches * {STRETCH};"
        ));
        code.line(format!(
            "const int count = length - first < {STRETCH} ? (int)(length - first) : {STRETCH};"
        ));
        code.line("int size = 1;\nwhile (size < count) size *= 2;");
        code.open(format!(
            "for (int own = threadIdx.x; own < size; own += {THREADS})"
        ));
        code.line("order[own] = own;");
        code.line("const i64 n = first + own;");
        code.line(format!(
            "if (own < count) keys[own] = {};",
            (all.key)(sizes)?
        ));
        code.close();
        code.line("__syncthreads();");
        // Pairs in growing distances change places; what is past the end comes last.
        code.open("for (int span = 2; span <= size; span *= 2)");
        code.open("for (int apart = span / 2; apart > 0; apart /= 2)");
        code.open(format!(
            "for (int pair = threadIdx.x; pair < size / 2; pair += {THREADS})"
        ));
        code.line("const int one = pair / apart * 2 * apart + pair % apart, two = one + apart;");
        code.line("const int low = one & span ? two : one, high = one & span ? one : two;");
        code.line("const int p = order[high], q = order[low];");
        code.line(format!("const {ty} a = keys[high], b = keys[low];"));
        code.open(format!(
            "if (p < count && (q >= count || {}))",
            all.before(["a", "p"], ["b", "q"])
        ));
        code.line("order[low] = p;\norder[high] = q;\nkeys[low] = a;\nkeys[high] = b;");
        code.close();
        code.close();
        code.line("__syncthreads();");
        code.close();
        code.close();
        code.line(format!(
            "for (int own = threadIdx.x; own < count; own += {THREADS}) places[row * length + first + own] = order[own];"
        ));
        code.line("__syncthreads();");
        code.close();
        let blocks = Blocks {
            x: vec![(all.count.clone(), 1), (all.length.clone(), STRETCH as u64)],
            per: 1,
            y: Vec::new(),
        };
        let parameters = vec![all.given.clone(), places("")];
        let name = format!("{}_stretches", all.name);
        let stretches = self.choice(&name, parameters, &entry, true, blocks);
        let choices = short.into_iter().chain([stretches]).collect();
        self.program.launches.push(Launch::of(choices));

        let mut entry = Entry::new();
        let (key, put) = all.each(&mut entry, put)?;
        let Entry { sizes, code, .. } = &mut entry;
        code.line("const i64 along = point % length, row = point / length;");
        code.line(format!(
            "const i64 stretch = along / {STRETCH} * {STRETCH};"
        ));
        code.line("const i64 n = stretch + places[point];");
        code.line(format!("const {ty} own = {key};\nconst i64 place = n;"));
        code.line("i64 rank = along - stretch;");
        if let Some(wanted) = &all.wanted {
            code.line(format!("if (rank >= {}) continue;", sizes.text(wanted)?));
        }
        code.open(format!(
            "for (i64 first = 0; first < length; first += {STRETCH})"
        ));
        code.line("if (first == stretch) continue;");
        code.line(format!(
            "i64 low = 0, high = length - first < {STRETCH} ? length - first : {STRETCH};"
        ));
        code.open("while (low < high)");
        code.line("const i64 middle = (low + high) / 2;");
        code.line("const i64 n = first + places[row * length + first + middle];");
        code.line(format!("const {ty} value = {key};"));
        code.line(format!(
            "if ({}) low = middle + 1;\nelse high = middle;",
            all.before(["value", "n"], ["own", "place"])
        ));
        code.close();
        code.line("rank += low;");
        code.close();
        code.line(put);
        code.close();
        let blocks = Blocks {
            x: vec![all.if_long(), (all.all(), u64::from(THREADS))],
            per: 1,
            y: Vec::new(),
        };
        let parameters = vec![all.given.clone(), places("const "), written];
        let name = format!("{}_ranks", all.name);
        let ranks = self.choice(&name, parameters, &entry, false, blocks);
        self.program.launches.push(Launch::of(vec![ranks]));
        Ok(())
    }

    pub(super) fn order(
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
        let lines = rows(&[y, x], &[axis, into]);
        let key = |sizes: &mut Sizes| {
            let from = start(x, &lines, 1, sizes)?;
            let step = sizes.text(&lines::step(x, axis))?;
            Ok(format!("read(x[{from} + n * {step}])"))
        };
        let put = |sizes: &mut Sizes| {
            let to = start(y, &lines, 0, sizes)?;
            let step = sizes.text(&lines::step(y, into))?;
            Ok(format!("y[{to} + rank * {step}] = n;"))
        };
        let all = Rows {
            name: self.name("order"),
            count: lines::count(&lines),
            wanted: (wanted != along).then_some(wanted),
            length: along,
            given: self.elements("x", operand, false),
            dtype: x.dtype,
            key: &key,
            descending,
        };
        let written = self.elements("y", out, true);
        let short = self.counted(&all, (written.clone(), &put))?;
        self.sorted(&all, short, (written, &put))
    }

    /// The way for short rows, if rows can be short.
    fn counted(
        &mut self,
        all: &Rows<'_>,
        (written, put): (Parameter, Text<'_>),
    ) -> Result<Option<Choice>, Refusal> {
        let Some(when) = all.when_short() else {
            return Ok(None);
        };
        let ty = held(all.dtype);
        let mut entry = Entry::new();
        let (key, put) = all.each(&mut entry, put)?;
        let code = &mut entry.code;
        code.line("const i64 n = point % length, row = point / length, place = n;");
        code.line(format!("const {ty} own = {key};\ni64 rank = 0;"));
        code.open("for (i64 n = 0; n < length; ++n)");
        code.line(format!("const {ty} value = {key};"));
        code.line(format!(
            "rank += {};",
            all.before(["value", "n"], ["own", "place"])
        ));
        code.close();
        code.line(put);
        code.close();
        let blocks = Blocks {
            x: vec![(all.all(), 1)],
            per: u64::from(THREADS),
            y: Vec::new(),
        };
        let parameters = vec![all.given.clone(), written];
        let mut choice = self.choice(&all.name, parameters, &entry, false, blocks);
        choice.when = when;
        Ok(Some(choice))
    }
}
