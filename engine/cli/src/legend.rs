//! What a picture of a model says beside its graph: which statement made a node.

use std::collections::BTreeMap;

use girih_dsl::ast::{Block, ItemKind, MemberKind, StmtKind};
use girih_dsl::model::Model;
use girih_dsl::program::Program;
use girih_dsl::span::Span;
use girih_graph::Origin;

use crate::svg::Legend;

/// The statements of a program's modules, by place, and the instances of a model.
#[derive(Debug)]
pub struct ModelLegend<'a> {
    program: &'a Program,
    model: &'a Model,
    /// By file, sorted: statements of methods. Loops and branches that the checker unrolls
    /// are transparent; a recurrence is one statement.
    statements: BTreeMap<u32, Vec<Span>>,
}

impl<'a> ModelLegend<'a> {
    /// Collects the statements of every module.
    pub fn new(program: &'a Program, model: &'a Model) -> Self {
        let mut statements: BTreeMap<u32, Vec<Span>> = BTreeMap::new();
        for file in &program.files {
            for item in &file.ast.items {
                let ItemKind::Module(module) = &item.kind else {
                    continue;
                };
                for member in &module.members {
                    if let MemberKind::Method(method) = &member.kind {
                        collect(&method.body, statements.entry(file.id.0).or_default());
                    }
                }
            }
        }
        for spans in statements.values_mut() {
            spans.sort_by_key(|span| span.start);
        }
        Self {
            program,
            model,
            statements,
        }
    }
}

fn collect(block: &Block, spans: &mut Vec<Span>) {
    for statement in &block.stmts {
        match &statement.kind {
            StmtKind::For { body, .. } => collect(body, spans),
            StmtKind::If { then, other, .. } => {
                collect(then, spans);
                if let Some(other) = other {
                    collect(other, spans);
                }
            }
            _ => spans.push(statement.span),
        }
    }
}

impl Legend for ModelLegend<'_> {
    fn instances(&self) -> Vec<(&str, &str)> {
        let instances = self.model.instances.iter();
        instances
            .map(|instance| (&*instance.path, &*instance.module))
            .collect()
    }

    fn statement(&self, origin: &Origin) -> Option<(u64, String)> {
        let spans = self.statements.get(&origin.file)?;
        let before = spans.partition_point(|span| span.start <= origin.start);
        let span = spans.get(before.checked_sub(1)?)?;
        if origin.end > span.end {
            return None;
        }
        let key = (u64::from(span.file.0) << 32) + u64::from(span.start) + 1;
        Some((key, self.program.sources.slice(*span).to_owned()))
    }
}
