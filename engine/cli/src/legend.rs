//! What a picture of a model says beside its graph: which statement made a node.

use std::collections::BTreeMap;

use girih_dsl::ast::{Block, FnDecl, ItemKind, MemberKind, StmtKind};
use girih_dsl::model::Model;
use girih_dsl::program::Program;
use girih_dsl::span::Span;
use girih_graph::Origin;

use crate::svg::{Legend, Statement};

/// The statements of a program's modules, by place, and the instances of a model.
#[derive(Debug)]
pub struct ModelLegend<'a> {
    model: &'a Model,
    /// By file, sorted: statements of methods, each with its module. Loops and branches that
    /// the checker unrolls are transparent; a recurrence is one statement, a function another.
    statements: BTreeMap<u32, Vec<Place<'a>>>,
}

/// A statement: where, in which module, its text.
type Place<'a> = (Span, Option<&'a str>, String);

impl<'a> ModelLegend<'a> {
    /// Collects the statements of every module.
    pub fn new(program: &'a Program, model: &'a Model) -> Self {
        let mut statements: BTreeMap<u32, Vec<Place<'_>>> = BTreeMap::new();
        for file in &program.files {
            let found = statements.entry(file.id.0).or_default();
            for item in &file.ast.items {
                match &item.kind {
                    ItemKind::Module(module) => {
                        let mut spans = Vec::new();
                        for member in &module.members {
                            if let MemberKind::Method(method) = &member.kind {
                                collect(&method.body, &mut spans);
                            }
                        }
                        let name = Some(module.name.text.as_str());
                        let text = |span| program.sources.slice(span).to_owned();
                        found.extend(spans.into_iter().map(|span| (span, name, text(span))));
                    }
                    ItemKind::Fn(function) => found.push((item.span, None, signature(function))),
                    _ => {}
                }
            }
        }
        for found in statements.values_mut() {
            found.sort_by_key(|(span, ..)| span.start);
        }
        Self { model, statements }
    }
}

/// `rotary(x, theta)`.
fn signature(function: &FnDecl) -> String {
    let params: Vec<&str> = (function.params.iter())
        .map(|parameter| parameter.name.text.as_str())
        .collect();
    format!("{}({})", function.name.text, params.join(", "))
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

    fn statement(&self, origin: &Origin) -> Option<Statement> {
        let found = self.statements.get(&origin.file)?;
        let before = found.partition_point(|(span, ..)| span.start <= origin.start);
        let (span, module, text) = found.get(before.checked_sub(1)?)?;
        if origin.end > span.end {
            return None;
        }
        Some(Statement {
            key: (u64::from(origin.file) << 32) + u64::from(span.start) + 1,
            module: module.map(str::to_owned),
            text: text.clone(),
        })
    }
}
