//! Top-level items and the members of modules.

use super::{
    Attribute, Block, Expr, GoldenBlock, Name, Path, ProbeBlock, Procedure, Setting, Snapshot,
    TestBlock, Text, TrainBlock, WeightsBlock,
};
use crate::span::Span;

/// A top-level item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The `##` lines right before it, joined by newlines, without `##`.
    pub doc: Option<String>,
    /// What it is.
    pub kind: ItemKind,
    /// Without the doc lines.
    pub span: Span,
}

/// The forms of items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// `use "blocks.girih"`.
    Use(Use),
    /// `plugin "org.example.flashkit"`: the functions of a plugin's text become visible.
    Plugin(Text),
    /// `axis t: time`, `axis v = 10`.
    Axis(AxisDecl),
    /// `let base = 10000.0`: a static value.
    Let(Name, Expr),
    /// `fn silu(x) = x * sigmoid(x)`.
    Fn(FnDecl),
    /// `module`, `model` or `memory`.
    Module(Module),
    /// `weights name for Model { … }`.
    Weights(WeightsBlock),
    /// `golden name for Model { … }`.
    Golden(GoldenBlock),
    /// `test "name" { … }`.
    Test(TestBlock),
    /// `snapshot "name" of expr mode word { … }`.
    Snapshot(Snapshot),
    /// `train name on Model { … }`.
    Train(TrainBlock),
    /// `probe name on Model { … }`, `intervene name on Model { … }`.
    Probe(ProbeBlock),
    /// `procedure name(…) -> type { … }`.
    Procedure(Procedure),
}

/// `use "path.girih"`: everything that the file declares becomes visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Relative to the file that says it.
    pub path: Text,
}

/// `axis t: time`, `axis e = d / heads`, `axis s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisDecl {
    /// Its name.
    pub name: Name,
    /// `: time` marks a streamed axis.
    pub kind: Option<Name>,
    /// Its extent; a symbol of the same name when absent.
    pub extent: Option<Expr>,
}

/// `fn name(x, d: axis) = expr` or with a block; `fn name(x: f32[n]) -> f32[n] { … }` has a
/// signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FnDecl {
    /// `@native`, `@gradient(name)`.
    pub attributes: Vec<Attribute>,
    /// Its name.
    pub name: Name,
    /// Parameters; a type is optional.
    pub params: Vec<Parameter>,
    /// What it gives, if declared.
    pub result: Option<Type>,
    /// A block that returns; `= expr` is a block of one `return`. A native function may have none.
    pub body: Option<Block>,
    /// Whether it was written with `=`.
    pub short: bool,
}

/// Which word declared a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// `module`.
    Module,
    /// `model`: an entry point.
    Model,
    /// `memory`: has state that outlives a call.
    Memory,
}

/// A module, model or memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Which word.
    pub kind: ModuleKind,
    /// Its name.
    pub name: Name,
    /// Static parameters in order. In `Linear(from: axis -> to: axis, …)` the arrow only reads as a comma.
    pub params: Vec<Parameter>,
    /// In order.
    pub members: Vec<Member>,
}

/// A static parameter, or an input of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: Name,
    /// `axis`, `module`, `int`, `real`, `bool`, `text`, `list` or a tensor type.
    pub ty: Option<Type>,
    /// Used when no argument is given.
    pub default: Option<Expr>,
    /// Whether `->` instead of `,` stands before it.
    pub after_arrow: bool,
}

/// A type and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// What it is.
    pub kind: TypeKind,
    /// Where.
    pub span: Span,
}

/// The forms of types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// `f32[t, (h, e)]`, `i64[t]`, `f32` (a scalar), or a word such as `axis`.
    Tensor {
        /// dtype or word.
        name: Name,
        /// Axes in stored order; a tuple is one stored axis in row-major order;
        /// `d = 2 * h` declares an axis of this module in place.
        axes: Vec<super::Index>,
    },
    /// `{ y: f32[t], state: f32[h] }`.
    Record(Vec<(Name, Type)>),
    /// `(f32[t], f32[t])`.
    Tuple(Vec<Type>),
}

/// A member with the doc lines before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `##` lines.
    pub doc: Option<String>,
    /// What it is.
    pub kind: MemberKind,
    /// Without the doc lines.
    pub span: Span,
}

/// The forms of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// `axis h = heads`.
    Axis(AxisDecl),
    /// `let inner = 2 * size(d)`: a static value.
    Let(Name, Expr),
    /// `param w: f32[d, e] = normal(0.02)`.
    Param(ParamDecl),
    /// `sub attn.c_attn = Linear(d -> e)`.
    Sub(SubDecl),
    /// `stack h[i: layers] = Block(d)`.
    Stack(StackDecl),
    /// `experts ffn { big[2] = …  skip = Identity() }`.
    Experts(ExpertsDecl),
    /// `state S: f32[h] = 0`.
    State(StateDecl),
    /// `forward(x: f32[t]) -> f32[t] { … }`, `write(x: …) when c { … }`.
    Method(Method),
    /// `order = read, write`, of memories.
    Setting(Setting),
}

/// `param path: type = init as "name" stored int8 group 32 frozen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamDecl {
    /// Relative to the instance.
    pub path: Path,
    /// A tensor type.
    pub ty: Type,
    /// How it starts: `normal(0.02)`, `zeros()`, an expression over statics.
    pub init: Option<Expr>,
    /// The name in checkpoints, instead of the path.
    pub rename: Option<Text>,
    /// How it is stored.
    pub storage: Option<Storage>,
    /// Whether it is never trained (a table, a codebook).
    pub frozen: bool,
}

/// `stored int4 group 32`, `stored bit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// `int8`, `int4`, `bit`, `bf16`, …
    pub kind: Name,
    /// Elements that share a scale.
    pub group: Option<Expr>,
}

/// `sub path = module value as "name"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubDecl {
    /// Relative to the instance.
    pub path: Path,
    /// A module value.
    pub value: Expr,
    /// The name in checkpoints, instead of the path.
    pub rename: Option<Text>,
}

/// `stack name[i: n] = module value`; `stack name[n]` without a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackDecl {
    /// Relative to the instance.
    pub path: Path,
    /// The static index, visible in the value.
    pub var: Option<Name>,
    /// How many.
    pub count: Expr,
    /// A module value, which may depend on the index.
    pub value: Expr,
    /// The name in checkpoints, instead of the path.
    pub rename: Option<Text>,
}

/// `experts name { branch … }`. Declares an axis `name` over all branches in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpertsDecl {
    /// The name of the group and of its axis.
    pub name: Name,
    /// In order.
    pub branches: Vec<Branch>,
}

/// `big[2] = SwiGlu(d, 8*d)`, `small[i: 5] = …`, `skip = Identity()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Its name.
    pub name: Name,
    /// The static index, visible in the value.
    pub var: Option<Name>,
    /// How many alike; one when absent.
    pub count: Option<Expr>,
    /// A module value.
    pub value: Expr,
}

/// `state name: type = init`, `shared state …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDecl {
    /// Its name.
    pub name: Name,
    /// A tensor type.
    pub ty: Type,
    /// The value at the start.
    pub init: Expr,
    /// One value for all lifted elements instead of one for each.
    pub shared: bool,
}

/// A method: `forward`, `read`, `write`, or any other name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: Name,
    /// Inputs.
    pub params: Vec<Parameter>,
    /// What it returns, if declared.
    pub result: Option<Type>,
    /// `when c`: its state updates take place only where `c` holds.
    pub when: Option<Expr>,
    /// The body.
    pub body: Block,
}
