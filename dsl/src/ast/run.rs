//! Blocks around models: weights, goldens, tests, training, probes, procedures.

use super::{Block, Expr, Name, Parameter, Path, Stmt, Text, Type};
use crate::span::Span;

/// `name = expr, …`: a setting of a block. Any word may be the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: Name,
    /// One or more values.
    pub values: Vec<Expr>,
}

/// `weights hf for Llama { set d = hidden_size  "model.norm.weight" = norm.weight … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightsBlock {
    /// Its name.
    pub name: Name,
    /// The model.
    pub model: Name,
    /// What the checkpoint's configuration has to say.
    pub requires: Vec<Require>,
    /// `set heads = num_attention_heads`: static parameters from the checkpoint's configuration.
    pub sets: Vec<Setting>,
    /// The mapping of names.
    pub entries: Vec<WeightEntry>,
}

/// `require default(hidden_act, "silu") == "silu", "the gate is a silu"`: a checkpoint whose configuration says
/// otherwise is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Require {
    /// A truth value.
    pub claim: Expr,
    /// What the model file supports, in words.
    pub reason: Option<Text>,
    /// The whole line.
    pub span: Span,
}

/// `"stored.{i}.name" = path [layout] optional`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightEntry {
    /// Names in the file. Several are concatenated along their first stored axis to make the parameter.
    pub stored: Vec<Text>,
    /// Parameters of the model, wildcards allowed. Several are concatenated along
    /// their first stored axis to make the stored tensor. Empty: `"name" = ignore`.
    pub paths: Vec<Path>,
    /// Order and grouping of axes in the file; the declaration's when absent.
    pub layout: Option<Vec<LayoutItem>>,
    /// `optional`: may be absent in the file (a tied copy, a buffer).
    pub optional: bool,
    /// The whole entry.
    pub span: Span,
}

/// One stored axis: an axis name, a group `(h, e)`, or the literal 1.
pub type LayoutItem = Expr;

/// `golden name for Module { … }`: which tensors of an independent
/// implementation's file are what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldenBlock {
    /// Its name.
    pub name: Name,
    /// A module of this file with its arguments: `HydraMixer`, `Mixer(kind = "dft")`.
    pub model: Expr,
    /// `call encode`: the method; `forward` when absent.
    pub method: Option<Name>,
    /// `set d = d_model`: static parameters and free extents from the file's `config`.
    pub sets: Vec<Setting>,
    /// In order.
    pub entries: Vec<GoldenEntry>,
}

/// `role path = "tensor" [layout]`; with several tensors (`"wm0", "wm1"`) they
/// are stacked along a new first axis. `role path = expr` where the file has no tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldenEntry {
    /// What the tensor is.
    pub role: GoldenRole,
    /// An input's name, a parameter's path (wildcards allowed), or a value's path.
    pub path: Path,
    /// One tensor name, or a tuple of them, wildcards as in the path; or one expression over the
    /// configuration. Absent only in `objective total`; of `ignore "x.y"` it is the text.
    pub source: Option<Expr>,
    /// Order and grouping of axes in the file.
    pub layout: Option<Vec<LayoutItem>>,
    /// `optional`: skipped if the file lacks it.
    pub optional: bool,
    /// The whole entry.
    pub span: Span,
}

/// What a golden tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoldenRole {
    /// Given to the method.
    Input,
    /// A parameter.
    Param,
    /// A state before the call.
    State,
    /// Compared: a result or a named value (`value`, `output`).
    Value,
    /// The cotangent of a result or value: the objective is the sum over all of value · cotangent.
    Cotangent,
    /// A scalar value that is part of the objective: `objective total`.
    Objective,
    /// Compared: the objective's gradient by an input or a parameter.
    Grad,
    /// Mentioned on purpose, not used.
    Ignore,
}

/// `test "name" { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestBlock {
    /// Its name.
    pub name: Text,
    /// In order.
    pub stmts: Vec<TestStmt>,
}

/// One line of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestStmt {
    /// An ordinary statement.
    Stmt(Stmt),
    /// `expect a == b within 1e-5`.
    Expect {
        /// A truth value.
        claim: Expr,
        /// Tolerance of `==`.
        within: Option<Expr>,
        /// The whole line.
        span: Span,
    },
}

/// `snapshot "name" of Model(d = 64) mode step { show kernels, bytes }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name.
    pub name: Text,
    /// The model.
    pub model: Expr,
    /// `full`, `step`, `train`.
    pub mode: Option<Name>,
    /// What is shown.
    pub show: Vec<Name>,
}

/// `train name on Model { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainBlock {
    /// Its name.
    pub name: Name,
    /// The model.
    pub model: Name,
    /// In order.
    pub items: Vec<TrainItem>,
}

/// One entry of a training plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrainItem {
    /// `data = tokens("corpus.bin")`, `optim = adamw(…)`, …
    Setting(Setting),
    /// `task clm weight 0.4 { x, y = …  loss = … }`.
    Task {
        /// Its name.
        name: Name,
        /// Its share.
        weight: Option<Expr>,
        /// Ordinary statements.
        body: Block,
    },
    /// `stage warm { … }`.
    Stage {
        /// Its name.
        name: Name,
        /// Overrides and tasks of this stage.
        items: Vec<TrainItem>,
    },
}

/// `probe name on Model { … }` or `intervene name on Model { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeBlock {
    /// Whether the word was `intervene`.
    pub intervene: bool,
    /// Its name.
    pub name: Name,
    /// The model.
    pub model: Name,
    /// In order.
    pub stmts: Vec<ProbeStmt>,
}

/// One line of a probe or an intervention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeStmt {
    /// `run clean = prompts("a.jsonl")`.
    Run(Name, Expr),
    /// `capture att = h[*].a[i = last]`.
    Capture(Name, Path),
    /// `set h[3].o[h = 5] = 0 then renormalize(j)`.
    Set(Path, Expr, Option<Expr>),
    /// `scale h[3].o = 0.5`.
    Scale(Path, Expr),
    /// `add h[10].out = 4.0 * direction`.
    Add(Path, Expr),
    /// `project h[3].q = basis`.
    Project(Path, Expr),
    /// `patch h[9].out from clean`.
    Patch(Path, Name),
    /// `freeze h[4].scale from clean`.
    Freeze(Path, Name),
    /// `cut h[*].a where role[j] == 1 and role[i] == 2`.
    Cut(Path, Expr),
    /// `score(layer, h) = mean(prompt) …`.
    Score(Name, Vec<Name>, Expr),
}

/// `procedure name(x: i64[t], limit = 64) -> i64[t] { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Procedure {
    /// Its name.
    pub name: Name,
    /// Inputs; a model may be a parameter (`m: module`).
    pub params: Vec<Parameter>,
    /// What it returns.
    pub result: Option<Type>,
    /// The body.
    pub body: Block,
}
