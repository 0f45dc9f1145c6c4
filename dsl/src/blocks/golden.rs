//! Which tensors of an independent implementation's file are what.
//!
//! [`read_golden`] says what has to be elaborated: module, method, static parameters from
//! the file's configuration, lifted axes from layouts or from extra leading axes, values to
//! be kept. Once the model is there, [`Golden::lines`] says which tensor is which of its
//! inputs, parameters, states, values, cotangents and gradients. A block that speaks of
//! another file than the one given does not apply; that is no mistake.

mod axes;
mod procedure;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use super::config::ConfigReader;
use super::{Pattern, Stored, nearest_name};
use crate::ast::{
    self, Expr, ExprKind, GoldenBlock, GoldenEntry, GoldenRole, ItemKind, LayoutItem, MemberKind,
    Path, TypeKind,
};
use crate::diag::{Code, Diagnostic, Sink};
use crate::elaborate::Request;
use crate::model::{Model, Static};
use crate::program::Program;
use crate::span::Span;
use axes::{declared_names, lifted_axes};
pub use procedure::{ProcedureGolden, is_for_procedure, read_procedure_golden};
use source::Names;

/// What a golden block asks for, before the model is there.
#[derive(Clone, Debug)]
pub struct Golden {
    /// The block's name.
    pub name: String,
    /// What has to be elaborated.
    pub request: Request,
    /// Free sizes that the configuration gives.
    pub sizes: BTreeMap<String, i64>,
    /// For each input, how many axes of the graph each declared axis holds.
    pub groups: BTreeMap<String, Vec<usize>>,
    /// Why the block has nothing to do with the file, if it has not.
    pub elsewhere: Option<String>,
    lines: Lines,
    /// Lines whose wildcards stand for names of the model.
    open: Vec<GoldenEntry>,
}

/// Which tensor is what.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// Inputs of the method.
    pub inputs: Vec<Named>,
    /// Parameters.
    pub params: Vec<Named>,
    /// States before the call.
    pub states: Vec<Named>,
    /// Results and named values, to be compared.
    pub values: Vec<Named>,
    /// Cotangents of results and named values.
    pub cotangents: Vec<Named>,
    /// Scalars that are part of the objective.
    pub objectives: Vec<String>,
    /// Gradients by inputs, parameters and states, to be compared.
    pub grads: Vec<Named>,
    /// Tensors that are not used on purpose.
    pub ignored: Vec<String>,
}

/// One thing of the model and where its numbers are.
#[derive(Clone, Debug)]
pub struct Named {
    /// An input's name, or a path.
    pub path: String,
    /// Where its numbers are.
    pub source: Source,
    /// Order and grouping of axes in the file.
    pub layout: Option<Vec<LayoutItem>>,
    /// As written, for the axis names after it.
    pub written: Path,
    /// The line.
    pub span: Span,
}

/// Where numbers are.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// One tensor.
    Tensor(String),
    /// Several, stacked along a new first axis.
    Stack(Vec<String>),
    /// In the model file.
    Value(Static),
}

impl Source {
    /// The tensors of the file that are used.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Tensor(name) => std::slice::from_ref(name),
            Self::Stack(names) => names,
            Self::Value(_) => &[],
        }
    }
}

/// The `golden` blocks of the entry file, in order.
pub fn golden_blocks(program: &Program) -> Vec<GoldenBlock> {
    let ast = program.ast(program.entry());
    let blocks = ast.items.iter().filter_map(|item| match &item.kind {
        ItemKind::Golden(block) => Some(block.clone()),
        _ => None,
    });
    blocks.collect()
}

/// What a block asks for of a file with these tensors and this configuration. Mistakes go
/// to the sink; `None` if there was one.
pub fn read_golden(
    program: &Program,
    block: &GoldenBlock,
    config: &BTreeMap<String, Static>,
    stored: &[Stored],
    sink: &mut Sink,
) -> Option<Golden> {
    let mut reader = Reader {
        program,
        block,
        config: ConfigReader::new(program, config, Vec::new()),
        names: Names::of(stored),
        sink,
        failed: false,
    };
    let golden = reader.read()?;
    (!reader.failed).then_some(golden)
}

impl Golden {
    /// Every line with its wildcards resolved. Mistakes go to the sink; `None` if there was one.
    pub fn lines(&self, model: &Model, stored: &[Stored], sink: &mut Sink) -> Option<Lines> {
        let mut lines = self.lines.clone();
        let names = Names::of(stored);
        let inputs = model
            .inputs
            .iter()
            .filter(|input| input.given)
            .map(|input| input.name.clone());
        let inputs: Vec<String> = inputs.collect();
        // A parameter has two names: its path, and what checkpoints call it.
        let params: Vec<(&str, &str)> = model
            .params
            .iter()
            .map(|param| (param.path.as_str(), param.path.as_str()))
            .chain(
                model
                    .params
                    .iter()
                    .map(|param| (param.stored_name.as_str(), param.path.as_str())),
            )
            .collect();
        let states = model.graph.states();
        let states: Vec<(&str, &str)> = states.keys().map(|&path| (path, path)).collect();
        let inputs: Vec<(&str, &str)> = inputs
            .iter()
            .map(|name| (name.as_str(), name.as_str()))
            .collect();
        let mut complete = true;
        for entry in &self.open {
            let known: Vec<(&str, &str)> = match entry.role {
                GoldenRole::Param => params.clone(),
                GoldenRole::State => states.clone(),
                _ => [inputs.as_slice(), &params, &states].concat(),
            };
            match names.for_model(entry, &known) {
                Ok(found) => match entry.role {
                    GoldenRole::Param => lines.params.extend(found),
                    GoldenRole::State => lines.states.extend(found),
                    _ => lines.grads.extend(found),
                },
                Err(diagnostic) => {
                    sink.report(*diagnostic);
                    complete = false;
                }
            }
        }
        // A line of its own goes before a wildcard's.
        for group in [&mut lines.params, &mut lines.states, &mut lines.grads] {
            let mut seen = BTreeSet::new();
            group.retain(|named| seen.insert(named.path.clone()));
        }
        let mut seen: Vec<(String, Source)> = Vec::new();
        lines.values.retain(|named| {
            let pair = (named.path.clone(), named.source.clone());
            let is_new = !seen.contains(&pair);
            seen.push(pair);
            is_new
        });
        complete.then_some(lines)
    }
}

struct Reader<'a> {
    program: &'a Program,
    block: &'a GoldenBlock,
    config: ConfigReader<'a>,
    names: Names<'a>,
    sink: &'a mut Sink,
    failed: bool,
}

impl Reader<'_> {
    fn fail(&mut self, diagnostic: Diagnostic) {
        self.failed = true;
        self.sink.report(diagnostic);
    }

    fn read(&mut self) -> Option<Golden> {
        let (module, method) = self.module()?;
        let mut golden = Golden {
            name: self.block.name.text.clone(),
            request: Request {
                module: Some(module.name.text.clone()),
                method: self.block.method.as_ref().map(|name| name.text.clone()),
                ..Request::default()
            },
            sizes: BTreeMap::new(),
            groups: BTreeMap::new(),
            elsewhere: None,
            lines: Lines::default(),
            open: Vec::new(),
        };
        self.read_lines(&mut golden);
        self.decide(&mut golden);
        if golden.elsewhere.is_some() || self.failed {
            return Some(golden);
        }
        self.read_statics(&module, &mut golden);
        self.read_axes(method.as_ref(), &mut golden);
        let lines = &golden.lines;
        let kept = lines
            .values
            .iter()
            .chain(&lines.cotangents)
            .map(|named| &named.path);
        let mut keep: Vec<String> = kept.chain(&lines.objectives).cloned().collect();
        let mut seen = BTreeSet::new();
        keep.retain(|path| seen.insert(path.clone()));
        golden.request.keep = keep;
        Some(golden)
    }

    /// The module and the method that the block names.
    fn module(&mut self) -> Option<(ast::Module, Option<ast::Method>)> {
        let model = &self.block.model;
        let callee = match &model.kind {
            ExprKind::Call { callee, .. } => callee,
            _ => model,
        };
        let ExprKind::Name(name) = &callee.kind else {
            self.fail(
                Diagnostic::error(Code::new(204), "a golden block is for a module")
                    .at(callee.span, "not the name of a module")
                    .help("write `golden name for Module(d = 4) { … }`"),
            );
            return None;
        };
        let modules = self.program.entry_modules();
        let modules: Vec<&ast::Module> = modules
            .iter()
            .filter_map(|place| match &self.program.item(*place).kind {
                ItemKind::Module(module) => Some(module),
                _ => None,
            })
            .collect();
        let Some(module) = modules.iter().find(|module| module.name.text == *name) else {
            let nearest =
                nearest_name(name, modules.iter().map(|module| module.name.text.as_str()));
            let nearest = nearest.map(str::to_owned);
            let diagnostic = Diagnostic::error(
                Code::new(204),
                format!("the file declares no module `{name}`"),
            )
            .at(callee.span, "not declared");
            self.fail(match nearest {
                Some(nearest) => diagnostic.help(format!("did you mean `{nearest}`?")),
                None => diagnostic,
            });
            return None;
        };
        let wanted = self
            .block
            .method
            .as_ref()
            .map_or("forward", |name| &name.text);
        let method = module.members.iter().find_map(|member| match &member.kind {
            MemberKind::Method(method) if method.name.text == wanted => Some(method.clone()),
            _ => None,
        });
        Some(((*module).clone(), method))
    }

    fn read_lines(&mut self, golden: &mut Golden) {
        let taken = Names::taken(&self.block.entries);
        for entry in &self.block.entries {
            let found = match entry.role {
                GoldenRole::Objective => {
                    golden
                        .lines
                        .objectives
                        .extend(Pattern::of_path(&entry.path).fill(&super::Binding::new()));
                    continue;
                }
                GoldenRole::Ignore => {
                    golden.lines.ignored.extend(self.names.ignored(entry));
                    continue;
                }
                GoldenRole::Param | GoldenRole::State | GoldenRole::Grad => {
                    golden.open.push(entry.clone());
                    continue;
                }
                GoldenRole::Input | GoldenRole::Value | GoldenRole::Cotangent => {
                    match &entry.source {
                        Some(source) if source::texts(source).is_none() => {
                            Ok(self.written(entry, source))
                        }
                        _ => self.names.for_file(entry, &taken),
                    }
                }
            };
            match found {
                Ok(found) => match entry.role {
                    GoldenRole::Input => golden.lines.inputs.extend(found),
                    GoldenRole::Cotangent => golden.lines.cotangents.extend(found),
                    _ => golden.lines.values.extend(found),
                },
                Err(diagnostic) => self.fail(*diagnostic),
            }
        }
    }

    /// The line of a value that stands in the model file; nothing after a mistake.
    fn written(&mut self, entry: &GoldenEntry, source: &Expr) -> Vec<Named> {
        let value = self.config.value(source, self.sink);
        self.failed |= value.is_none();
        let path = Pattern::of_path(&entry.path).to_string();
        let named = |value| source::named(entry, path, Source::Value(value));
        value.map(named).into_iter().collect()
    }

    /// Whether the block speaks of this file at all.
    fn decide(&mut self, golden: &mut Golden) {
        let absent = |named: &&Named| !named.source.names().iter().all(|name| self.names.has(name));
        if let Some(named) = golden.lines.inputs.iter().find(absent) {
            let names = named.source.names().join("`, `");
            golden.elsewhere = Some(format!(
                "the file has no `{names}`, which is the input `{}`",
                named.path
            ));
            return;
        }
        let any = golden.lines.values.iter().any(|named| !absent(&named))
            || golden
                .open
                .iter()
                .any(|entry| entry.role == GoldenRole::Grad && self.names.knows(entry));
        if !any {
            golden.elsewhere = Some("the file has none of its values and gradients".to_owned());
            return;
        }
        let lost: Vec<Named> = (golden.lines.values.iter().chain(&golden.lines.cotangents))
            .filter(absent)
            .cloned()
            .collect();
        for named in lost {
            let diagnostic = self.names.missing(&named);
            self.fail(diagnostic);
        }
    }

    fn read_statics(&mut self, module: &ast::Module, golden: &mut Golden) {
        let params: Vec<&str> = module
            .params
            .iter()
            .map(|param| param.name.text.as_str())
            .collect();
        let mut statics: Vec<(String, Static)> = Vec::new();
        for setting in &self.block.sets {
            let read = self.config.set(setting, self.sink);
            self.failed |= read.is_none();
            let Some((name, value)) = read.and_then(|()| self.config.above().last().cloned())
            else {
                continue;
            };
            if params.contains(&name.as_str()) {
                statics.push((name, value));
            } else if let Static::Int(size) = value {
                golden.sizes.insert(name, size);
            } else {
                let nearest = nearest_name(&name, params.iter().copied()).map(str::to_owned);
                let diagnostic = Diagnostic::error(
                    Code::new(205),
                    format!("`{}` has no parameter `{name}`", module.name.text),
                )
                .at(setting.name.span, "neither a parameter nor a size");
                self.fail(match nearest {
                    Some(nearest) => diagnostic.help(format!("did you mean `{nearest}`?")),
                    None => diagnostic,
                });
            }
        }
        let args: &[ast::Arg] = match &self.block.model.kind {
            ExprKind::Call { args, .. } => args,
            _ => &[],
        };
        for (position, arg) in args.iter().enumerate() {
            let name = match (&arg.name, params.get(position)) {
                (Some(name), _) => name.text.clone(),
                (None, Some(name)) => (*name).to_owned(),
                (None, None) => {
                    self.fail(
                        Diagnostic::error(
                            Code::new(205),
                            format!("`{}` takes {} parameters", module.name.text, params.len()),
                        )
                        .at(arg.value.span, "one too many"),
                    );
                    continue;
                }
            };
            match self.config.value(&arg.value, self.sink) {
                Some(value) => {
                    statics.retain(|(own, _)| *own != name);
                    statics.push((name, value));
                }
                None => self.failed = true,
            }
        }
        golden.request.statics = statics;
    }

    /// Lifted axes of the inputs, and which inputs are left out.
    fn read_axes(&mut self, method: Option<&ast::Method>, golden: &mut Golden) {
        let Some(method) = method else {
            return;
        };
        let names: Vec<&str> = method
            .params
            .iter()
            .map(|param| param.name.text.as_str())
            .collect();
        let unknown = golden
            .lines
            .inputs
            .iter()
            .find(|named| !names.contains(&named.path.as_str()));
        if let Some(named) = unknown {
            let diagnostic = Diagnostic::error(
                Code::new(205),
                format!("`{}` has no input `{}`", method.name.text, named.path),
            )
            .at(named.span, "not an input")
            .also(method.name.span, "declared here");
            let diagnostic = match nearest_name(&named.path, names.iter().copied()) {
                Some(nearest) => diagnostic.help(format!("did you mean `{nearest}`?")),
                None => diagnostic.note(format!("its inputs: {}", names.join(", "))),
            };
            self.fail(diagnostic);
            return;
        }
        for parameter in &method.params {
            let name = &parameter.name.text;
            let Some(named) = golden.lines.inputs.iter().find(|named| named.path == *name) else {
                if parameter.default.is_some() {
                    golden.request.absent.insert(name.clone());
                }
                continue;
            };
            if let Some(TypeKind::Tensor { axes, .. }) = parameter.ty.as_ref().map(|ty| &ty.kind) {
                let groups = axes
                    .iter()
                    .map(|axis| declared_names(std::slice::from_ref(axis)).len());
                golden.groups.insert(name.clone(), groups.collect());
            }
            let lifted = lifted_axes(named, parameter.ty.as_ref(), &self.names);
            if !lifted.is_empty() {
                golden.request.lifted.insert(name.clone(), lifted);
            }
        }
        if let Some(parameter) = method.params.iter().find(|parameter| {
            let given = golden
                .lines
                .inputs
                .iter()
                .any(|named| named.path == parameter.name.text);
            !given && parameter.default.is_none()
        }) {
            let diagnostic = Diagnostic::error(
                Code::new(612),
                format!("the input `{}` is not given", parameter.name.text),
            )
            .at(self.block.name.span, "by this block")
            .also(parameter.name.span, "declared without a default")
            .help(format!("write `input {} = \"…\"`", parameter.name.text));
            self.fail(diagnostic);
        }
    }
}

#[cfg(test)]
mod tests;
