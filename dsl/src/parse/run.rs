//! Blocks around models: weights, goldens, tests, snapshots, training, probes.

use pest::iterators::Pair;

use super::build::{Builder, Parts, only};
use super::grammar::Rule;
use crate::ast::{
    Expr, ExprKind, GoldenBlock, GoldenEntry, GoldenRole, LayoutItem, Name, Path, ProbeBlock,
    ProbeStmt, Require, Segment, Snapshot, Stmt, TestBlock, TestStmt, Text, TrainBlock, TrainItem,
    WeightEntry, WeightsBlock,
};

impl Builder<'_> {
    /// `weights name for Model { … }`.
    pub(super) fn weights(&mut self, pair: Pair<'_, Rule>) -> WeightsBlock {
        let mut parts = Parts::of(pair);
        let name = self.word(&parts.part());
        let model = self.word(&parts.part());
        let mut block = WeightsBlock {
            name,
            model,
            requires: Vec::new(),
            sets: Vec::new(),
            entries: Vec::new(),
        };
        for part in parts {
            match part.as_rule() {
                Rule::set_entry => {
                    let sets = Parts::of(part).map(|pair| self.setting(pair));
                    block.sets.extend(sets);
                }
                Rule::require => block.requires.push(self.require(part)),
                _ => block.entries.push(self.weight_entry(part)),
            }
        }
        block
    }

    fn require(&mut self, pair: Pair<'_, Rule>) -> Require {
        let span = self.span(&pair);
        let mut parts = Parts::of(pair);
        Require {
            claim: self.expr(parts.part()),
            reason: parts.next().map(|text| self.text(&text)),
            span,
        }
    }

    fn weight_entry(&mut self, pair: Pair<'_, Rule>) -> WeightEntry {
        let span = self.span(&pair);
        let mut parts = Parts::of(pair);
        let stored = self.texts(parts.part());
        let target = parts.part();
        let paths = if target.as_rule() == Rule::ignored {
            Vec::new()
        } else {
            Parts::of(target).map(|path| self.path(path)).collect()
        };
        let (layout, optional) = self.layout(&mut parts);
        WeightEntry {
            stored,
            paths,
            layout,
            optional,
            span,
        }
    }

    fn texts(&mut self, pair: Pair<'_, Rule>) -> Vec<Text> {
        Parts::of(pair).map(|text| self.text(&text)).collect()
    }

    /// `[layout] optional`.
    fn layout(&mut self, parts: &mut Parts<'_>) -> (Option<Vec<LayoutItem>>, bool) {
        let layout = parts
            .maybe(Rule::layout)
            .map(|layout| Parts::of(layout).map(|item| self.expr(item)).collect());
        (layout, parts.maybe(Rule::optional).is_some())
    }

    /// `golden name for Module(…) call method { … }`.
    pub(super) fn golden(&mut self, pair: Pair<'_, Rule>) -> GoldenBlock {
        let mut parts = Parts::of(pair);
        let name = self.word(&parts.part());
        let model = self.operand(parts.part());
        let method = parts
            .maybe(Rule::golden_call)
            .map(|call| self.word(&only(call)));
        let (mut sets, mut entries) = (Vec::new(), Vec::new());
        for part in parts {
            if part.as_rule() == Rule::set_entry {
                sets.extend(Parts::of(part).map(|pair| self.setting(pair)));
            } else {
                entries.push(self.golden_entry(part));
            }
        }
        GoldenBlock {
            name,
            model,
            method,
            sets,
            entries,
        }
    }

    fn golden_entry(&mut self, pair: Pair<'_, Rule>) -> GoldenEntry {
        let span = self.span(&pair);
        let rule = pair.as_rule();
        let mut parts = Parts::of(pair);
        if rule == Rule::ignore_entry {
            let text = self.text(&parts.part());
            let path = path_in_text(&text);
            let source = Some(Expr {
                span: text.span,
                kind: ExprKind::Text(text),
            });
            let role = GoldenRole::Ignore;
            return GoldenEntry {
                role,
                path,
                source,
                layout: None,
                optional: false,
                span,
            };
        }
        let role = if rule == Rule::objective_entry {
            GoldenRole::Objective
        } else {
            match parts.part().as_str() {
                "input" => GoldenRole::Input,
                "param" => GoldenRole::Param,
                "state" => GoldenRole::State,
                "cotangent" => GoldenRole::Cotangent,
                "grad" => GoldenRole::Grad,
                _ => GoldenRole::Value,
            }
        };
        let path = self.path(parts.part());
        let source = if parts.is(Rule::texts) {
            let texts = parts.part();
            let span = self.span(&texts);
            Some(one_or_tuple(self.texts(texts), span))
        } else {
            parts.maybe(Rule::expr).map(|expr| self.expr(expr))
        };
        let (layout, optional) = self.layout(&mut parts);
        GoldenEntry {
            role,
            path,
            source,
            layout,
            optional,
            span,
        }
    }

    /// `test "name" { … }`.
    pub(super) fn test(&mut self, pair: Pair<'_, Rule>) -> TestBlock {
        let mut parts = Parts::of(pair);
        let name = self.text(&parts.part());
        let mut stmts = Vec::new();
        let mut before: Option<Stmt> = None;
        for part in parts {
            let span = self.span(&part);
            if part.as_rule() == Rule::expect {
                let mut parts = Parts::of(part);
                let claim = self.expr(parts.part());
                let within = parts.next().map(|within| self.expr(only(within)));
                stmts.push(TestStmt::Expect {
                    claim,
                    within,
                    span,
                });
                before = None;
            } else {
                let stmt = self.stmt(part, before.as_ref());
                before = Some(stmt.clone());
                stmts.push(TestStmt::Stmt(stmt));
            }
        }
        TestBlock { name, stmts }
    }

    /// `snapshot "name" of Model(…) mode word { show … }`.
    pub(super) fn snapshot(&mut self, pair: Pair<'_, Rule>) -> Snapshot {
        let mut parts = Parts::of(pair);
        let name = self.text(&parts.part());
        let model = self.operand(parts.part());
        let mode = parts
            .maybe(Rule::snapshot_mode)
            .map(|mode| self.word(&only(mode)));
        let show = parts
            .flat_map(Parts::of)
            .map(|word| self.word(&word))
            .collect();
        Snapshot {
            name,
            model,
            mode,
            show,
        }
    }

    /// `train name on Model { … }`.
    pub(super) fn train(&mut self, pair: Pair<'_, Rule>) -> TrainBlock {
        let mut parts = Parts::of(pair);
        let name = self.word(&parts.part());
        let model = self.word(&parts.part());
        TrainBlock {
            name,
            model,
            items: parts.map(|item| self.train_item(item)).collect(),
        }
    }

    fn train_item(&mut self, pair: Pair<'_, Rule>) -> TrainItem {
        let rule = pair.as_rule();
        if rule == Rule::setting {
            return TrainItem::Setting(self.setting(pair));
        }
        let mut parts = Parts::of(pair);
        let name = self.word(&parts.part());
        if rule == Rule::stage {
            let items = parts.map(|item| self.train_item(item)).collect();
            return TrainItem::Stage { name, items };
        }
        let weight = parts.maybe(Rule::share).map(|share| self.expr(only(share)));
        TrainItem::Task {
            name,
            weight,
            body: self.block(parts.part()),
        }
    }

    /// `probe name on Model { … }`, `intervene name on Model { … }`.
    pub(super) fn probe(&mut self, pair: Pair<'_, Rule>) -> ProbeBlock {
        let mut parts = Parts::of(pair);
        let intervene = parts.part().as_str() == "intervene";
        let name = self.word(&parts.part());
        let model = self.word(&parts.part());
        let stmts = parts.map(|stmt| self.probe_stmt(stmt)).collect();
        ProbeBlock {
            intervene,
            name,
            model,
            stmts,
        }
    }

    fn probe_stmt(&mut self, pair: Pair<'_, Rule>) -> ProbeStmt {
        let rule = pair.as_rule();
        let mut parts = Parts::of(pair);
        match rule {
            Rule::run => ProbeStmt::Run(self.word(&parts.part()), self.expr(parts.part())),
            Rule::capture => ProbeStmt::Capture(self.word(&parts.part()), self.path(parts.part())),
            Rule::score => {
                let name = self.word(&parts.part());
                let axes = parts
                    .all(Rule::word)
                    .iter()
                    .map(|axis| self.word(axis))
                    .collect();
                ProbeStmt::Score(name, axes, self.expr(parts.part()))
            }
            _ => {
                let path = self.path(parts.part());
                match rule {
                    Rule::patch => ProbeStmt::Patch(path, self.word(&parts.part())),
                    Rule::freeze => ProbeStmt::Freeze(path, self.word(&parts.part())),
                    Rule::cut => ProbeStmt::Cut(path, self.flat(parts.part())),
                    _ => {
                        let value = self.expr(parts.part());
                        match rule {
                            Rule::scale => ProbeStmt::Scale(path, value),
                            Rule::add => ProbeStmt::Add(path, value),
                            Rule::project => ProbeStmt::Project(path, value),
                            _ => {
                                let then = parts.next().map(|then| self.expr(only(then)));
                                ProbeStmt::Set(path, value, then)
                            }
                        }
                    }
                }
            }
        }
    }
}

fn one_or_tuple(texts: Vec<Text>, span: crate::span::Span) -> Expr {
    let mut items: Vec<_> = texts
        .into_iter()
        .map(|text| Expr {
            span: text.span,
            kind: ExprKind::Text(text),
        })
        .collect();
    if items.len() == 1 {
        items.remove(0)
    } else {
        Expr {
            kind: ExprKind::Tuple(items),
            span,
        }
    }
}

/// The dotted parts of a tensor's name as a path; `{p}` is a wildcard.
fn path_in_text(text: &Text) -> Path {
    let name = |word: &str| Name {
        text: word.to_owned(),
        span: text.span,
    };
    let segments = text.text.split('.').map(|part| {
        match part
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(wild) => Segment::Wild(name(wild)),
            None => Segment::Name(name(part)),
        }
    });
    Path {
        segments: segments.collect(),
        span: text.span,
    }
}
