//! The primitives: a closed, small list.
//!
//! Every operation of a model is one of these. Operands are values; attributes
//! are fixed when the graph is built. Decisions about primitives are `match`es
//! without `_`, so that a new primitive visits every one of them: typing
//! ([`Op::infer`]), text form, derivative, streaming rule, cost; the reference
//! evaluation stands in the runtime.

pub mod attribute;
pub mod call;
pub mod contract;
pub mod elementwise;
pub mod layout;
pub mod leaf;
pub mod order;
pub mod read;
pub mod reduce;
pub mod region;
pub mod rule;

use std::sync::Arc;

use crate::axis::{AxisId, AxisTable, ValueType};
use crate::dtype::DType;
use crate::extent::Extent;
use crate::graph::Region;
pub use call::{Attribute, Call, CallAs};

/// A primitive with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    // Leaves: op/leaf.rs
    /// A value that the caller gives. Operands: none.
    Input(Arc<str>, ValueType),
    /// A trained or stored tensor, by its path. Operands: none.
    Param(Arc<str>, ValueType),
    /// A value carried from call to call, by its path; starts as its operand.
    State(Arc<str>),
    /// A scalar.
    Const(Literal),
    /// Numbers written in the model, row-major over `axes`.
    Table(DType, Vec<AxisId>, Arc<[f64]>),
    /// `i64[axis]`: 0, 1, 2, …
    Index(AxisId),
    /// An extent as an `i64` scalar.
    Size(Extent),
    /// Counter-based random numbers over axes, keyed by the run's seed, the key and the position along each
    /// axis, which is counted from the extent beside it.
    Random(Distribution, Arc<str>, Vec<(AxisId, Extent)>),

    // Elementwise: op/elementwise.rs
    /// A function of one value.
    Unary(Unary),
    /// A function of two values, aligned by axis name.
    Binary(Binary),
    /// `condition ? a : b`, aligned by axis name.
    Select,
    /// Another dtype, rounding to nearest, truncating to integers; nonzero is true.
    Cast(DType),

    // op/contract.rs
    /// Σ over the axes of the product of both operands.
    Contract(Vec<AxisId>),

    // op/reduce.rs
    /// Combines all positions of the axes. An empty axis gives the identity.
    Reduce(Combine, Vec<AxisId>),
    /// exp over the sum of exp along the axes; an optional second operand is the
    /// domain (`bool`): outside it, and in empty domains, the result is 0.
    Softmax(Vec<AxisId>),
    /// Running combination along an axis.
    Cumulate {
        /// What is combined.
        combine: Combine,
        /// Along.
        axis: AxisId,
        /// From the end.
        reverse: bool,
        /// Without the element itself.
        exclusive: bool,
    },

    // op/order.rs
    /// `i64` positions along `axis` in sorted order, along the axis `into`, which may be
    /// shorter. Stable: ties to the lower position. NaN sorts last.
    Order {
        /// Sorted.
        axis: AxisId,
        /// Rank.
        into: AxisId,
        /// Largest first.
        descending: bool,
    },

    // Data-dependent reads: op/read.rs
    /// Reads operand 0 along `axis` at the positions operand 1 holds. Axes of the
    /// positions that operand 0 also has are aligned.
    Gather {
        /// Read along; gone from the result.
        axis: AxisId,
        /// What a position outside means.
        outside: Outside,
    },
    /// Combines operand 1 into positions operand 0 holds of the new axis `axis`; `over` are
    /// axes of either operand that are gone from the result. Positions outside are dropped;
    /// untouched positions hold 0.
    Scatter {
        /// Written along.
        axis: AxisId,
        /// Walked.
        over: Vec<AxisId>,
        /// How values at one position combine.
        combine: Combine,
    },

    // Layout: op/layout.rs
    /// `result[i, k, …] = x[axis = offset + Σ stride·i]`; positions outside read 0.
    Window {
        /// Read along; gone from the result.
        axis: AxisId,
        /// New axes with their strides. None: one position.
        into: Vec<(AxisId, Extent)>,
        /// Position read at the origin.
        offset: Extent,
    },
    /// The transpose of [`Op::Window`]: `result[axis = offset + Σ stride·i] += x[i, k, …]`.
    Fold {
        /// Axes of the operand with their strides; gone from the result.
        from: Vec<(AxisId, Extent)>,
        /// Written along.
        axis: AxisId,
        /// Position written at the origin.
        offset: Extent,
    },
    /// One axis as several, row-major.
    Split(AxisId, Vec<AxisId>),
    /// Several axes as one, row-major.
    Merge(Vec<AxisId>, AxisId),
    /// Operands joined: operand k along `from[k]`, the result along `axis`.
    Concat(Vec<AxisId>, AxisId),
    /// The same value under other axes of equal extent.
    Rename(Vec<(AxisId, AxisId)>),
    /// The value repeated along new axes.
    Expand(Vec<AxisId>),

    // op/rule.rs
    /// Operand 0, whose cotangent flows to operand 1 instead.
    GradAs,

    // Regions: op/region.rs
    /// A loop along an axis. See [`Recurrence`].
    Recurrence(Box<Recurrence>),
    /// Weighted sum over branches of what each makes of its items. See [`Route`].
    Route(Box<Route>),

    // op/call.rs
    /// An operation of a plugin. See [`Call`].
    Call(Box<Call>),
}

/// A loop along an axis. Operands: `carried` initial values, `sequences` values with the
/// axis, then invariants. The body's parameters are the carried values, one slice of every
/// sequence, the invariants; its results are the next carried values, then `outputs`.
/// The node's results are the final carried values, then the outputs stacked along the axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrence {
    /// Walked.
    pub axis: AxisId,
    /// From the last position to the first.
    pub reverse: bool,
    /// How many values are carried.
    pub carried: usize,
    /// How many sequences are sliced.
    pub sequences: usize,
    /// One step.
    pub body: Region,
}

/// Σ over branches e of `weight[e] · branch_e(items)` where `kept[e]`; a branch need not
/// run on items it does not keep. Operands: weights (real, with the branch axis), kept
/// (`bool`, with the branch axis), then the inputs of the branches. Every branch reads the
/// inputs that it needs and has one result, all alike; it treats every position of `items`
/// alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which branch: its extent is the number of branches.
    pub branch: AxisId,
    /// Axes whose positions are routed.
    pub items: Vec<AxisId>,
    /// In order of the branch axis.
    pub branches: Vec<Region>,
    /// Which input each parameter of each branch is: positions among the inputs.
    pub reads: Vec<Vec<usize>>,
}

impl Route {
    /// A route whose branches all read all of `input_count` inputs, in order.
    pub fn sharing(
        branch: AxisId,
        items: Vec<AxisId>,
        branches: Vec<Region>,
        input_count: usize,
    ) -> Self {
        Self {
            branch,
            items,
            reads: vec![(0..input_count).collect(); branches.len()],
            branches,
        }
    }

    /// Every branch with the inputs that its parameters are.
    pub fn parts(&self) -> impl Iterator<Item = (&Region, &[usize])> {
        let reads = self.reads.iter().map(Vec::as_slice);
        self.branches.iter().zip(reads)
    }
}

/// A scalar constant. Equal when the bits are: `-0` is not `0`, NaN is NaN.
#[derive(Clone, Copy, Debug)]
pub enum Literal {
    /// A real number of this dtype.
    Real(DType, f64),
    /// An integer of this dtype.
    Int(DType, i64),
    /// A truth value.
    Bool(bool),
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Real(own, x), Self::Real(theirs, y)) => {
                own == theirs && (x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan())
            }
            (Self::Int(own, x), Self::Int(theirs, y)) => own == theirs && x == y,
            (Self::Bool(x), Self::Bool(y)) => x == y,
            (Self::Real(..) | Self::Int(..) | Self::Bool(_), _) => false,
        }
    }
}

impl Eq for Literal {}

impl Literal {
    /// The element type.
    pub const fn dtype(self) -> DType {
        match self {
            Self::Real(dtype, _) | Self::Int(dtype, _) => dtype,
            Self::Bool(_) => DType::Bool,
        }
    }

    /// Whether the number is one of its dtype.
    pub const fn fits(self) -> bool {
        match self {
            Self::Real(dtype, _) => dtype.is_real(),
            Self::Int(DType::I64, _) | Self::Bool(_) => true,
            Self::Int(DType::I32, number) => number as i32 as i64 == number,
            Self::Int(DType::I8, number) => number as i8 as i64 == number,
            Self::Int(DType::U8, number) => number as u8 as i64 == number,
            Self::Int(..) => false,
        }
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$item])* $variant,)* }

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As printed in graph text.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                let found = Self::ALL.iter().find(|own| own.word() == text);
                found.copied().ok_or_else(|| serde::de::Error::custom(format!("there is no `{text}`")))
            }
        }
    };
}

words! {
    /// Elementwise functions of one value.
    Unary {
        /// −x.
        Neg = "neg",
        /// |x|.
        Abs = "abs",
        /// −1, 0 or 1.
        Sign = "sign",
        /// eˣ.
        Exp = "exp",
        /// Natural logarithm.
        Log = "log",
        /// log(1 + x), exact near 0.
        Log1p = "log1p",
        /// √x.
        Sqrt = "sqrt",
        /// 1/√x.
        Rsqrt = "rsqrt",
        /// Sine of radians.
        Sin = "sin",
        /// Cosine of radians.
        Cos = "cos",
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// 1/(1 + e⁻ˣ).
        Sigmoid = "sigmoid",
        /// Gauss error function.
        Erf = "erf",
        /// Largest integer not above.
        Floor = "floor",
        /// Smallest integer not below.
        Ceil = "ceil",
        /// Nearest integer, ties to even.
        Round = "round",
        /// Logical or bitwise complement.
        Not = "not",
        /// Number of one bits of an integer.
        PopCount = "popcount",
    }
}

words! {
    /// Elementwise functions of two values of one dtype.
    Binary {
        /// Sum.
        Add = "add",
        /// Difference.
        Sub = "sub",
        /// Product.
        Mul = "mul",
        /// Quotient of reals.
        Div = "div",
        /// Floor of the quotient; of integers, 0 for a zero divisor.
        FloorDiv = "floor_div",
        /// Remainder with the divisor's sign; of integers, 0 for a zero divisor.
        Rem = "rem",
        /// Power of reals.
        Pow = "pow",
        /// Larger one.
        Max = "max",
        /// Smaller one.
        Min = "min",
        /// Equal.
        Eq = "eq",
        /// Not equal.
        Ne = "ne",
        /// Less.
        Lt = "lt",
        /// Less or equal.
        Le = "le",
        /// Greater.
        Gt = "gt",
        /// Greater or equal.
        Ge = "ge",
        /// Logical, or bitwise on integers.
        And = "and",
        /// Logical, or bitwise on integers.
        Or = "or",
        /// Logical, or bitwise on integers.
        Xor = "xor",
        /// Integer shift to the left, modulo the width.
        Shl = "shl",
        /// Logical integer shift to the right, modulo the width.
        Shr = "shr",
    }
}

words! {
    /// Associative combinations.
    Combine {
        /// Sum; identity 0.
        Sum = "sum",
        /// Product; identity 1.
        Prod = "prod",
        /// Largest; identity −∞, or the least integer.
        Max = "max",
        /// Smallest; identity +∞, or the greatest integer.
        Min = "min",
        /// Logical or; identity false.
        Any = "any",
        /// Logical and; identity true.
        All = "all",
    }
}

words! {
    /// What a read outside an axis means.
    Outside {
        /// A run-time error that names the axis, the position and the extent.
        Error = "error",
        /// Zero; the reader masks it.
        Zero = "zero",
    }
}

words! {
    /// Distributions of random draws, always `f32`.
    Distribution {
        /// Uniform on [0, 1).
        Uniform = "uniform",
        /// Standard normal.
        Normal = "normal",
    }
}

/// Why a primitive cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// The number of operands is wrong.
    #[error("`{op}` takes {wanted} operands, not {found}")]
    Operands {
        /// Which primitive.
        op: &'static str,
        /// How many it takes.
        wanted: usize,
        /// How many it was given.
        found: usize,
    },
    /// An operand has the wrong dtype.
    #[error("`{op}` takes {wanted} values, not `{found}`")]
    DType {
        /// Which primitive.
        op: &'static str,
        /// In words: `real`, `integer`, `bool`.
        wanted: &'static str,
        /// What was given.
        found: DType,
    },
    /// Two operands should have one dtype.
    #[error("`{op}` takes values of one dtype, not `{left}` and `{right}`")]
    Mixed {
        /// Which primitive.
        op: &'static str,
        /// Of the first.
        left: DType,
        /// Of the other.
        right: DType,
    },
    /// An axis is not there.
    #[error("`{op}` needs axis `{axis}`, which the operand does not have")]
    Missing {
        /// Which primitive.
        op: &'static str,
        /// Which axis.
        axis: String,
    },
    /// An axis would occur twice.
    #[error("`{op}` would give axis `{axis}` twice")]
    Twice {
        /// Which primitive.
        op: &'static str,
        /// Which axis.
        axis: String,
    },
    /// Extents disagree.
    #[error("`{op}`: extent {found} does not equal {wanted}")]
    Extent {
        /// Which primitive.
        op: &'static str,
        /// Needed.
        wanted: Extent,
        /// Given.
        found: Extent,
    },
    /// Another rule of the primitive is broken.
    #[error("`{op}`: {reason}")]
    Rule {
        /// Which primitive.
        op: &'static str,
        /// Which rule, in words.
        reason: String,
    },
}

impl Op {
    /// The name in graph text and messages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Input(..) => "input",
            Self::Param(..) => "param",
            Self::State(..) => "state",
            Self::Const(..) => "const",
            Self::Table(..) => "table",
            Self::Index(..) => "index",
            Self::Size(..) => "size",
            Self::Random(..) => "random",
            Self::Unary(op) => op.word(),
            Self::Binary(op) => op.word(),
            Self::Select => "select",
            Self::Cast(..) => "cast",
            Self::Contract(..) => "contract",
            Self::Reduce(..) => "reduce",
            Self::Softmax(..) => "softmax",
            Self::Cumulate { .. } => "cumulate",
            Self::Order { .. } => "order",
            Self::Gather { .. } => "gather",
            Self::Scatter { .. } => "scatter",
            Self::Window { .. } => "window",
            Self::Fold { .. } => "fold",
            Self::Split(..) => "split",
            Self::Merge(..) => "merge",
            Self::Concat(..) => "concat",
            Self::Rename(..) => "rename",
            Self::Expand(..) => "expand",
            Self::GradAs => "grad_as",
            Self::Recurrence(..) => "recurrence",
            Self::Route(..) => "route",
            Self::Call(..) => "call",
        }
    }

    /// The types of the results for operands of these types.
    ///
    /// # Errors
    ///
    /// The rule of the primitive that is broken.
    pub fn infer(
        &self,
        axes: &AxisTable,
        operands: &[&ValueType],
    ) -> Result<Vec<ValueType>, OpError> {
        let one = |ty: Result<ValueType, OpError>| ty.map(|ty| vec![ty]);
        match self {
            Self::Input(_, ty) | Self::Param(_, ty) => one(leaf::given(self, ty, operands)),
            Self::State(_) => one(leaf::state(self, operands)),
            Self::Const(literal) => one(leaf::constant(self, *literal, operands)),
            Self::Table(dtype, over, data) => {
                one(leaf::table(self, axes, *dtype, over, data, operands))
            }
            Self::Index(axis) => one(leaf::index(self, *axis, operands)),
            Self::Size(_) => one(leaf::size(self, operands)),
            Self::Random(_, _, over) => one(leaf::random(self, axes, over, operands)),
            Self::Unary(op) => one(elementwise::unary(*op, operands)),
            Self::Binary(op) => one(elementwise::binary(*op, operands)),
            Self::Select => one(elementwise::select(operands)),
            Self::Cast(dtype) => one(elementwise::cast(*dtype, operands)),
            Self::Contract(over) => one(contract::infer(axes, over, operands)),
            Self::Reduce(combine, over) => one(reduce::reduce(axes, *combine, over, operands)),
            Self::Softmax(over) => one(reduce::softmax(axes, over, operands)),
            Self::Cumulate { combine, axis, .. } => {
                one(reduce::cumulate(axes, *combine, *axis, operands))
            }
            Self::Order { axis, into, .. } => one(order::infer(axes, *axis, *into, operands)),
            Self::Gather { axis, .. } => one(read::gather(axes, *axis, operands)),
            Self::Scatter {
                axis,
                over,
                combine,
            } => one(read::scatter(axes, *axis, over, *combine, operands)),
            Self::Window { axis, into, .. } => one(layout::window(axes, *axis, into, operands)),
            Self::Fold { from, axis, .. } => one(layout::fold(axes, from, *axis, operands)),
            Self::Split(axis, into) => one(layout::split(axes, *axis, into, operands)),
            Self::Merge(from, axis) => one(layout::merge(axes, from, *axis, operands)),
            Self::Concat(from, axis) => one(layout::concat(axes, from, *axis, operands)),
            Self::Rename(pairs) => one(layout::rename(axes, pairs, operands)),
            Self::Expand(new) => one(layout::expand(axes, new, operands)),
            Self::GradAs => one(rule::infer(operands)),
            Self::Recurrence(recurrence) => region::recurrence(axes, recurrence, operands),
            Self::Route(route) => one(region::route(axes, route, operands)),
            Self::Call(call) => call::infer(axes, call, operands),
        }
    }

    /// Whether two nodes with equal operands and attributes hold equal values.
    pub const fn is_pure(&self) -> bool {
        // Random draws are keyed by name: equal keys are equal draws. States have a name each.
        // Operations of plugins promise it.
        true
    }
}

/// Exactly `N` operands.
fn exactly<'a, const N: usize>(
    op: &'static str,
    operands: &[&'a ValueType],
) -> Result<[&'a ValueType; N], OpError> {
    <[&ValueType; N]>::try_from(operands).map_err(|_| OpError::Operands {
        op,
        wanted: N,
        found: operands.len(),
    })
}

fn same_dtype(op: &'static str, left: &ValueType, right: &ValueType) -> Result<(), OpError> {
    if left.dtype == right.dtype {
        Ok(())
    } else {
        Err(OpError::Mixed {
            op,
            left: left.dtype,
            right: right.dtype,
        })
    }
}

fn wants(op: &'static str, wanted: &'static str, ok: bool, found: DType) -> Result<(), OpError> {
    if ok {
        Ok(())
    } else {
        Err(OpError::DType { op, wanted, found })
    }
}

fn has(op: &'static str, table: &AxisTable, ty: &ValueType, axis: AxisId) -> Result<(), OpError> {
    if ty.has(axis) {
        Ok(())
    } else {
        Err(OpError::Missing {
            op,
            axis: table.name(axis).to_owned(),
        })
    }
}

/// No axis twice.
fn distinct(op: &'static str, table: &AxisTable, axes: &[AxisId]) -> Result<(), OpError> {
    for (position, axis) in axes.iter().enumerate() {
        if axes[..position].contains(axis) {
            return Err(OpError::Twice {
                op,
                axis: table.name(*axis).to_owned(),
            });
        }
    }
    Ok(())
}

fn same_extent(op: &'static str, wanted: &Extent, found: &Extent) -> Result<(), OpError> {
    if wanted == found {
        Ok(())
    } else {
        Err(OpError::Extent {
            op,
            wanted: wanted.clone(),
            found: found.clone(),
        })
    }
}
