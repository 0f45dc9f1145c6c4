//! Names in the blocks around models: `train`, `probe`, `intervene`, `procedure`, `snapshot`.
//!
//! What they name must exist: models, values by path, runs, local names. What they do is
//! not looked at here.

use std::collections::BTreeSet;

use crate::ast::{
    self, Block, Expr, ExprKind, Index, ItemKind, Name, Path, ProbeStmt, Segment, StmtKind,
    TrainItem,
};
use crate::diag::{Code, Diagnostic, Sink};
use crate::elaborate::{
    BUILTINS, OPERATIONS, ProcedureRequest, Request, children, elaborate, elaborate_procedure,
    is_closed, nearest,
};
use crate::model::Model;
use crate::program::Program;
use crate::span::Span;

/// What a training plan can mention beside the language's own functions.
const TRAINING: &[&str] = &[
    "adamw",
    "adam",
    "bandit",
    "causal",
    "clip_norm",
    "constant",
    "copy_spans",
    "corrupt_spans",
    "cosine",
    "cross_entropy",
    "kl",
    "linear",
    "loss",
    "mask_tokens",
    "model",
    "mse",
    "next",
    "permute",
    "prefix",
    "relative_drop",
    "selective_copy",
    "sgd",
    "spans",
    "steps",
    "tokens",
    "x",
];

const SETTINGS: &[&str] = &[
    "batch", "clip", "data", "every", "freeze", "loss", "optim", "policy", "resume", "save",
    "seed", "stop", "train", "validate",
];

/// Checks every such block of the entry file.
pub fn check_blocks(program: &Program, sink: &mut Sink) {
    let file = program.entry();
    let Some(loaded) = program.files.get(file) else {
        return;
    };
    let ast = loaded.ast.clone();
    for item in &ast.items {
        let mut names = Names {
            program,
            file,
            sink: &mut *sink,
        };
        match &item.kind {
            ItemKind::Weights(block) => names.weights(block),
            ItemKind::Golden(block) if crate::blocks::is_for_procedure(program, block) => {}
            ItemKind::Golden(block) => {
                let head = match &block.model.kind {
                    ExprKind::Call { callee, .. } => callee,
                    _ => &block.model,
                };
                if let ExprKind::Name(name) = &head.kind {
                    names.module(&Name {
                        text: name.clone(),
                        span: head.span,
                    });
                }
            }
            ItemKind::Train(train) => {
                names.module(&train.model);
                names.train(&train.items);
            }
            ItemKind::Probe(probe) => names.probe(probe),
            ItemKind::Procedure(procedure) => {
                if !is_closed(program, file, procedure) {
                    // What it is given decides what it means.
                    names.procedure(procedure);
                } else if !names.sink.has_errors() {
                    let request = ProcedureRequest {
                        name: Some(procedure.name.text.clone()),
                        ..ProcedureRequest::default()
                    };
                    // Everything that is wrong has been reported; nobody looks at the steps.
                    let _ = elaborate_procedure(program, &request, None, names.sink);
                }
            }
            ItemKind::Snapshot(snapshot) => {
                let head = match &snapshot.model.kind {
                    ExprKind::Call { callee, .. } => callee,
                    _ => &snapshot.model,
                };
                if let ExprKind::Name(name) = &head.kind {
                    names.module(&Name {
                        text: name.clone(),
                        span: head.span,
                    });
                }
            }
            _ => {}
        }
    }
}

struct Names<'a> {
    program: &'a Program,
    file: usize,
    sink: &'a mut Sink,
}

impl Names<'_> {
    fn unknown<'n>(
        &mut self,
        what: &str,
        name: &str,
        span: Span,
        known: impl Iterator<Item = &'n str>,
    ) {
        if self.program.is_broken(name) {
            return;
        }
        let known: Vec<&str> = known.collect();
        let mut diagnostic =
            Diagnostic::error(Code::new(202), format!("{what} `{name}` is not known here"))
                .at(span, "not declared");
        if let Some(nearest) = nearest(name, known.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
        } else if (1..=8).contains(&known.len()) {
            diagnostic = diagnostic.note(format!("there is `{}`", known.join("`, `")));
        }
        self.sink.report(diagnostic);
    }

    /// A module of the program. Whether it is one.
    fn module(&mut self, name: &Name) -> bool {
        let found = self.program.find(self.file, &name.text);
        let is_module =
            found.is_some_and(|place| matches!(self.program.item(place).kind, ItemKind::Module(_)));
        if !is_module {
            let program = self.program;
            self.unknown("the model", &name.text, name.span, program.names(self.file));
        }
        is_module
    }
    /// The model, and every path without wildcards.
    fn weights(&mut self, block: &ast::WeightsBlock) {
        if !self.module(&block.model) {
            return;
        }
        let Some(place) = self.program.find(self.file, &block.model.text) else {
            return;
        };
        // Settings decide which parameters there are.
        if !block.sets.is_empty() {
            return;
        }
        let request = Request {
            module: Some(block.model.text.clone()),
            without_init: true,
            ..Request::default()
        };
        // The model's own mistakes are reported where it is checked.
        let mut quiet = Sink::new();
        let Some(model) = (place.file == self.file)
            .then(|| elaborate(self.program, &request, &mut quiet))
            .flatten()
        else {
            return;
        };
        for path in block
            .entries
            .iter()
            .filter(|entry| !entry.optional)
            .flat_map(|entry| &entry.paths)
        {
            let words: Option<Vec<&str>> = (path.segments.iter())
                .map(|segment| match segment {
                    Segment::Name(name) => Some(name.text.as_str()),
                    _ => None,
                })
                .collect();
            let Some(words) = words else {
                continue;
            };
            let wanted = words.join(".");
            let known = model.params.iter().flat_map(|own| {
                let renamed = (own.stored_name != own.path).then_some(own.stored_name.as_str());
                std::iter::once(own.path.as_str()).chain(renamed)
            });
            if !known.clone().any(|own| own == wanted) {
                self.unknown("the parameter", &wanted, path.span, known);
            }
        }
    }

    fn train(&mut self, items: &[TrainItem]) {
        let mut seen = BTreeSet::new();
        for item in items {
            match item {
                TrainItem::Setting(setting) => {
                    if !SETTINGS.contains(&setting.name.text.as_str()) {
                        let known = SETTINGS.iter().copied();
                        self.unknown("the setting", &setting.name.text, setting.name.span, known);
                    }
                    for value in &setting.values {
                        self.expr(value, &BTreeSet::new(), TRAINING);
                    }
                }
                TrainItem::Task { name, weight, body } => {
                    if !seen.insert(name.text.clone()) {
                        self.sink.report(
                            Diagnostic::error(
                                Code::new(201),
                                format!("the task `{}` is declared twice", name.text),
                            )
                            .at(name.span, "declared again"),
                        );
                    }
                    if let Some(weight) = weight {
                        self.expr(weight, &BTreeSet::new(), TRAINING);
                    }
                    let mut locals = BTreeSet::new();
                    self.block(body, &mut locals, TRAINING);
                }
                TrainItem::Stage { items, .. } => self.train(items),
            }
        }
    }

    fn procedure(&mut self, procedure: &ast::Procedure) {
        let mut locals: BTreeSet<String> = BTreeSet::new();
        for parameter in &procedure.params {
            if let Some(default) = &parameter.default {
                self.expr(default, &locals, OPERATIONS);
            }
            locals.insert(parameter.name.text.clone());
        }
        self.block(&procedure.body, &mut locals, OPERATIONS);
    }

    fn block(&mut self, block: &Block, locals: &mut BTreeSet<String>, known: &[&str]) {
        for stmt in &block.stmts {
            match &stmt.kind {
                StmtKind::Bind { places, value } => {
                    self.expr(value, locals, known);
                    locals.extend(places.iter().map(|place| place.name.text.clone()));
                }
                StmtKind::Return(expr) | StmtKind::Emit(expr) | StmtKind::Do(expr) => {
                    self.expr(expr, locals, known);
                }
                StmtKind::State(state) => {
                    self.expr(&state.init, locals, known);
                    locals.insert(state.name.text.clone());
                }
                StmtKind::Recurrence { body, .. } => self.block(body, locals, known),
                StmtKind::For { var, over, body } => {
                    self.expr(over, locals, known);
                    locals.insert(var.text.clone());
                    self.block(body, locals, known);
                }
                StmtKind::While { cond, limit, body } => {
                    self.expr(cond, locals, known);
                    self.expr(limit, locals, known);
                    self.block(body, locals, known);
                }
                StmtKind::If { cond, then, other } => {
                    self.expr(cond, locals, known);
                    // A name that only one side defines is known after it: it may be.
                    self.block(then, locals, known);
                    if let Some(other) = other {
                        self.block(other, locals, known);
                    }
                }
            }
        }
    }

    fn expr(&mut self, expr: &Expr, locals: &BTreeSet<String>, known: &[&str]) {
        match &expr.kind {
            ExprKind::Name(name) => {
                let is_known = locals.contains(name)
                    || known.contains(&name.as_str())
                    || BUILTINS.contains(&name.as_str())
                    || matches!(name.as_str(), "none" | "pi" | "inf" | "auto")
                    || self.program.find(self.file, name).is_some();
                if !is_known {
                    let program = self.program;
                    let names = (locals.iter().map(String::as_str))
                        .chain(known.iter().copied())
                        .chain(BUILTINS.iter().copied())
                        .chain(program.names(self.file));
                    self.unknown("the name", name, expr.span, names);
                }
            }
            // Axes between brackets and in a reducer's parentheses belong to the value.
            ExprKind::Index { base, items } => {
                self.expr(base, locals, known);
                for item in items {
                    if let Index::Bind(_, value) | Index::At(value) = item
                        && !matches!(value.kind, ExprKind::Name(_))
                    {
                        self.expr(value, locals, known);
                    }
                }
            }
            ExprKind::Reduce { body, .. } => self.expr(body, locals, known),
            // Patterns of parameter names: `[*.A_log]`.
            ExprKind::List(_) => {}
            _ => {
                for part in children(expr) {
                    self.expr(part, locals, known);
                }
            }
        }
    }

    fn probe(&mut self, probe: &ast::ProbeBlock) {
        if !self.module(&probe.model) {
            return;
        }
        let request = Request {
            module: Some(probe.model.text.clone()),
            ..Request::default()
        };
        // The model's own mistakes are reported where it is checked.
        let mut quiet = Sink::new();
        let in_entry = self
            .program
            .find(self.file, &probe.model.text)
            .map(|place| place.file);
        let model = if in_entry == Some(self.file) {
            elaborate(self.program, &request, &mut quiet)
        } else {
            None
        };
        let mut runs: BTreeSet<&str> = BTreeSet::new();
        for stmt in &probe.stmts {
            match stmt {
                ProbeStmt::Run(name, _) => {
                    runs.insert(&name.text);
                }
                ProbeStmt::Capture(_, path)
                | ProbeStmt::Set(path, ..)
                | ProbeStmt::Scale(path, _)
                | ProbeStmt::Add(path, _)
                | ProbeStmt::Project(path, _)
                | ProbeStmt::Cut(path, _) => self.value_path(model.as_ref(), path),
                ProbeStmt::Patch(path, run) | ProbeStmt::Freeze(path, run) => {
                    self.value_path(model.as_ref(), path);
                    if !runs.contains(run.text.as_str()) {
                        self.unknown("the run", &run.text, run.span, runs.iter().copied());
                    }
                }
                ProbeStmt::Score(..) => {}
            }
        }
    }

    /// A path must name a value or a parameter of the model.
    fn value_path(&mut self, model: Option<&Model>, path: &Path) {
        let Some(model) = model else {
            return;
        };
        let mut pattern: Vec<String> = Vec::new();
        for segment in &path.segments {
            match segment {
                Segment::Name(name) => pattern.push(name.text.clone()),
                Segment::Wild(_) | Segment::Star(_) => pattern.push("*".to_owned()),
                Segment::Index(items) => match items.as_slice() {
                    [
                        Index::At(Expr {
                            kind: ExprKind::Int(number),
                            ..
                        }),
                    ] => pattern.push(number.to_string()),
                    [Index::All(_)] => pattern.push("*".to_owned()),
                    // Positions within the value.
                    _ => {}
                },
            }
        }
        let params = model.params.iter().map(|param| param.path.as_str());
        let known: Vec<&str> = model
            .values
            .keys()
            .map(String::as_str)
            .chain(params)
            .collect();
        let matches = |name: &&str| {
            let words: Vec<&str> = name.split('.').collect();
            words.len() == pattern.len()
                && words
                    .iter()
                    .zip(&pattern)
                    .all(|(word, own)| own == "*" || own == word)
        };
        if !known.iter().any(matches) {
            let wanted = pattern.join(".");
            self.unknown("the value", &wanted, path.span, known.into_iter());
        }
    }
}
