//! Blocks around models: weights, goldens, tests, snapshots, training, probes.

use super::Printer;
use super::doc::Doc;
use super::expr::quoted;
use super::lines::Align;
use crate::ast::{
    Expr, ExprKind, GoldenBlock, GoldenEntry, GoldenRole, LayoutItem, Name, Path, ProbeBlock,
    ProbeStmt, Require, Setting, Snapshot, TestBlock, TestStmt, Text, TrainBlock, TrainItem,
    WeightEntry, WeightsBlock,
};
use crate::span::Span;

impl Printer<'_> {
    /// Writes `head { … }` for an item whose brace closes at the end of its span.
    fn body(&mut self, span: Span, head: Doc, inside: impl FnOnce(&mut Self)) {
        let open = self.brace_of(span.end as usize);
        self.braces(span, Some(open), head, inside);
        self.trailing(span.end as usize);
    }

    pub(super) fn weights(&mut self, block: &WeightsBlock, span: Span) {
        self.hold(span);
        let head = Doc::text(format!(
            "weights {} for {}",
            block.name.text, block.model.text
        ));
        self.body(span, head, |printer| {
            let requires = block.requires.iter().map(WeightLine::Require);
            let sets = block.sets.iter().map(WeightLine::Set);
            let entries = block.entries.iter().map(WeightLine::Entry);
            let mut lines: Vec<_> = requires.chain(sets).chain(entries).collect();
            lines.sort_by_key(WeightLine::place);
            for line in lines {
                match line {
                    WeightLine::Require(line) => {
                        printer.element(line.span, None, |printer| printer.require(line));
                    }
                    WeightLine::Set(set) => printer.set_entry(set),
                    WeightLine::Entry(entry) => {
                        printer.element(entry.span, Some(Align::Entry), |printer| {
                            printer.weight_entry(entry)
                        });
                    }
                }
            }
        });
    }

    fn require(&mut self, line: &Require) -> Doc {
        let mut parts = vec![Doc::text("require "), self.expr(&line.claim)];
        if let Some(reason) = &line.reason {
            parts.extend([Doc::text(","), Doc::Line, quoted(reason)]);
        }
        Doc::Concat(parts).indent().group()
    }

    fn set_entry(&mut self, set: &Setting) {
        self.element(setting_span(set), Some(Align::Setting), |printer| {
            Doc::concat([Doc::text("set "), printer.setting(set)])
        });
    }

    fn weight_entry(&mut self, entry: &WeightEntry) -> Doc {
        let mut parts = texts(&entry.stored);
        parts.push(Doc::text(" = "));
        if entry.paths.is_empty() {
            parts.push(Doc::text("ignore"));
        }
        let mut paths = Vec::new();
        for (at, path) in entry.paths.iter().enumerate() {
            if at > 0 {
                paths.extend([Doc::text(","), Doc::Line]);
            }
            paths.push(self.path(path));
        }
        let paths = Doc::Concat(paths);
        parts.push(if entry.paths.len() > 1 {
            paths.indent().group()
        } else {
            paths
        });
        parts.push(self.layout(entry.layout.as_deref(), entry.optional));
        Doc::Concat(parts)
    }

    fn layout(&mut self, layout: Option<&[LayoutItem]>, optional: bool) -> Doc {
        let mut parts = Vec::new();
        if let Some(items) = layout {
            parts.push(Doc::text(" ["));
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    parts.push(Doc::text(", "));
                }
                parts.push(self.expr(item));
            }
            parts.push(Doc::text("]"));
        }
        if optional {
            parts.push(Doc::text(" optional"));
        }
        Doc::Concat(parts)
    }

    pub(super) fn golden(&mut self, block: &GoldenBlock, span: Span) {
        self.hold(span);
        let model = self.operand(&block.model);
        let method = block
            .method
            .as_ref()
            .map_or(String::new(), |method| format!(" call {}", method.text));
        let head = Doc::concat([
            Doc::text(format!("golden {} for ", block.name.text)),
            model,
            Doc::text(method),
        ]);
        self.body(span, head, |printer| {
            let mut sets = block.sets.iter().peekable();
            for entry in &block.entries {
                while let Some(set) = sets.next_if(|set| is_before(set, entry.span)) {
                    printer.set_entry(set);
                }
                let align =
                    Some(Align::Entry).filter(|_| !matches!(entry.role, GoldenRole::Ignore));
                printer.element(entry.span, align, |printer| printer.golden_entry(entry));
            }
            sets.for_each(|set| printer.set_entry(set));
        });
    }

    fn golden_entry(&mut self, entry: &GoldenEntry) -> Doc {
        let word = match entry.role {
            GoldenRole::Input => "input ",
            GoldenRole::Param => "param ",
            GoldenRole::State => "state ",
            GoldenRole::Value => "value ",
            GoldenRole::Cotangent => "cotangent ",
            GoldenRole::Objective => "objective ",
            GoldenRole::Grad => "grad ",
            GoldenRole::Ignore => "ignore ",
        };
        let mut parts = vec![Doc::text(word)];
        if entry.role != GoldenRole::Ignore {
            parts.push(self.path(&entry.path));
        }
        if let Some(source) = &entry.source {
            if entry.role != GoldenRole::Ignore {
                parts.push(Doc::text(" = "));
            }
            match &source.kind {
                ExprKind::Tuple(items) if items.iter().all(is_text) => {
                    parts.push(self.values(items));
                }
                _ => parts.push(self.expr(source)),
            }
        }
        parts.push(self.layout(entry.layout.as_deref(), entry.optional));
        Doc::Concat(parts)
    }

    pub(super) fn test(&mut self, block: &TestBlock, span: Span) {
        self.hold(span);
        let head = Doc::concat([Doc::text("test "), quoted(&block.name)]);
        self.body(span, head, |printer| {
            for stmt in &block.stmts {
                match stmt {
                    TestStmt::Stmt(stmt) => printer.stmt(stmt),
                    TestStmt::Expect {
                        claim,
                        within,
                        span,
                    } => printer.element(*span, None, |printer| {
                        let mut parts = vec![Doc::text("expect "), printer.expr(claim)];
                        if let Some(within) = within {
                            parts.extend([Doc::text(" within "), printer.expr(within)]);
                        }
                        Doc::Concat(parts)
                    }),
                }
            }
        });
    }

    pub(super) fn snapshot(&mut self, snapshot: &Snapshot, span: Span) {
        self.hold(span);
        let model = self.operand(&snapshot.model);
        let mode = snapshot
            .mode
            .as_ref()
            .map_or(String::new(), |mode| format!(" mode {}", mode.text));
        let head = Doc::concat([
            Doc::text("snapshot "),
            quoted(&snapshot.name),
            Doc::text(" of "),
            model,
            Doc::text(mode),
        ]);
        self.body(span, head, |printer| {
            let Some((first, rest)) = snapshot.show.split_first() else {
                return;
            };
            let span = rest
                .last()
                .map_or(first.span, |last| first.span.to(last.span));
            let words: Vec<_> = snapshot
                .show
                .iter()
                .map(|word| word.text.as_str())
                .collect();
            printer.element(span, None, |_| {
                Doc::text(format!("show {}", words.join(", ")))
            });
        });
    }

    pub(super) fn train(&mut self, block: &TrainBlock, span: Span) {
        self.hold(span);
        let head = Doc::text(format!("train {} on {}", block.name.text, block.model.text));
        self.body(span, head, |printer| printer.train_items(&block.items));
    }

    fn train_items(&mut self, items: &[TrainItem]) {
        for item in items {
            match item {
                TrainItem::Setting(setting) => {
                    self.element(setting_span(setting), Some(Align::Setting), |printer| {
                        printer.setting(setting)
                    });
                }
                TrainItem::Task { name, weight, body } => {
                    let start = self.word_before(name, "task");
                    self.hold(start);
                    let mut parts = vec![Doc::text(format!("task {}", name.text))];
                    if let Some(weight) = weight {
                        parts.extend([Doc::text(" weight "), self.expr(weight)]);
                    }
                    self.block(start, Doc::Concat(parts), body);
                    self.trailing(body.span.end as usize);
                }
                TrainItem::Stage { name, items } => {
                    let start = self.word_before(name, "stage");
                    self.hold(start);
                    let open = self.brace_after(name.span.end as usize);
                    let head = Doc::text(format!("stage {}", name.text));
                    self.braces(start, Some(open), head, |printer| {
                        printer.train_items(items);
                    });
                    let close = self.closing(open);
                    self.trailing(close + 1);
                }
            }
        }
    }

    /// The word before a name, which has no span of its own.
    fn word_before(&self, name: &Name, word: &str) -> Span {
        let before = self.source.get(..name.span.start as usize).unwrap_or("");
        let start = before.rfind(word).unwrap_or(name.span.start as usize);
        Span {
            start: start as u32,
            ..name.span
        }
    }

    pub(super) fn probe(&mut self, block: &ProbeBlock, span: Span) {
        self.hold(span);
        let word = if block.intervene {
            "intervene"
        } else {
            "probe"
        };
        let head = Doc::text(format!(
            "{word} {} on {}",
            block.name.text, block.model.text
        ));
        self.body(span, head, |printer| {
            for stmt in &block.stmts {
                let (word, span) = probe_place(stmt);
                let first = Name {
                    text: String::new(),
                    span,
                };
                let span = printer.word_before(&first, word).to(span);
                printer.element(span, None, |printer| printer.probe_stmt(stmt));
            }
        });
    }

    fn probe_stmt(&mut self, stmt: &ProbeStmt) -> Doc {
        match stmt {
            ProbeStmt::Run(name, value) => {
                Doc::concat([Doc::text(format!("run {} = ", name.text)), self.expr(value)])
            }
            ProbeStmt::Capture(name, path) => Doc::concat([
                Doc::text(format!("capture {} = ", name.text)),
                self.path(path),
            ]),
            ProbeStmt::Set(path, value, then) => {
                let mut parts = vec![self.change("set ", path, value)];
                if let Some(then) = then {
                    parts.extend([Doc::text(" then "), self.expr(then)]);
                }
                Doc::Concat(parts)
            }
            ProbeStmt::Scale(path, value) => self.change("scale ", path, value),
            ProbeStmt::Add(path, value) => self.change("add ", path, value),
            ProbeStmt::Project(path, value) => self.change("project ", path, value),
            ProbeStmt::Patch(path, run) => Doc::concat([
                Doc::text("patch "),
                self.path(path),
                Doc::text(format!(" from {}", run.text)),
            ]),
            ProbeStmt::Freeze(path, run) => Doc::concat([
                Doc::text("freeze "),
                self.path(path),
                Doc::text(format!(" from {}", run.text)),
            ]),
            ProbeStmt::Cut(path, domain) => {
                let path = self.path(path);
                Doc::concat([
                    Doc::text("cut "),
                    path,
                    Doc::text(" where "),
                    self.flat(domain),
                ])
            }
            ProbeStmt::Score(name, axes, value) => {
                let axes: Vec<_> = axes.iter().map(|axis| axis.text.as_str()).collect();
                let head = format!("{}({}) = ", name.text, axes.join(", "));
                Doc::concat([Doc::text(head), self.expr(value)])
            }
        }
    }

    fn change(&mut self, word: &'static str, path: &Path, value: &Expr) -> Doc {
        let path = self.path(path);
        Doc::concat([Doc::text(word), path, Doc::text(" = "), self.expr(value)])
    }
}

fn texts(texts: &[Text]) -> Vec<Doc> {
    let mut parts = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            parts.push(Doc::text(", "));
        }
        parts.push(quoted(text));
    }
    parts
}

/// A line of a `weights` block.
enum WeightLine<'a> {
    Require(&'a Require),
    Set(&'a Setting),
    Entry(&'a WeightEntry),
}

impl WeightLine<'_> {
    fn place(&self) -> u32 {
        match self {
            Self::Require(line) => line.span.start,
            Self::Set(set) => set.name.span.start,
            Self::Entry(entry) => entry.span.start,
        }
    }
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr.kind, ExprKind::Text(_))
}

fn is_before(set: &Setting, span: Span) -> bool {
    set.name.span.start <= span.start
}

fn setting_span(setting: &Setting) -> Span {
    let last = setting
        .values
        .last()
        .map_or(setting.name.span, |value| value.span);
    setting.name.span.to(last)
}

/// The word of a probe's line and the place of what follows it.
fn probe_place(stmt: &ProbeStmt) -> (&'static str, Span) {
    match stmt {
        ProbeStmt::Run(name, value) => ("run", name.span.to(value.span)),
        ProbeStmt::Capture(name, path) => ("capture", name.span.to(path.span)),
        ProbeStmt::Set(path, value, then) => {
            let span = path.span.to(value.span);
            ("set", then.as_ref().map_or(span, |then| span.to(then.span)))
        }
        ProbeStmt::Scale(path, value) => ("scale", path.span.to(value.span)),
        ProbeStmt::Add(path, value) => ("add", path.span.to(value.span)),
        ProbeStmt::Project(path, value) => ("project", path.span.to(value.span)),
        ProbeStmt::Patch(path, run) => ("patch", path.span.to(run.span)),
        ProbeStmt::Freeze(path, run) => ("freeze", path.span.to(run.span)),
        ProbeStmt::Cut(path, domain) => ("cut", path.span.to(domain.span)),
        ProbeStmt::Score(name, _, value) => ("", name.span.to(value.span)),
    }
}
