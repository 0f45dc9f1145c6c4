//! From a procedure to steps.
//!
//! A procedure is walked once, with types in place of values. Every expression over tensors
//! becomes a graph by the same walk that elaborates models, so that it means the same there;
//! calls of models are written out in it. What no graph can do is cut out of the expression
//! first, from the inside out and from left to right, and becomes a step of its own. A
//! variable has one type on every way to each place, so nothing is asked when steps run.
//!
//! | file        | question                                                        |
//! |-------------|-----------------------------------------------------------------|
//! | `names`     | what does a name mean at a place, and after ways have met?      |
//! | `compute`   | how does an expression over variables become a graph?           |
//! | `flow`      | what does a statement do?                                       |
//! | `value`     | which step gives the value of an expression?                    |
//! | `call`      | how is a procedure called, and what is it given?                |
//! | `operation` | what do the functions of procedures take and give?              |
//! | `session`   | how is a model's stream opened and moved on?                    |

mod argument;
mod cache;
mod call;
mod compute;
mod flow;
mod names;
mod operation;
mod session;
mod test;
mod value;

use std::collections::BTreeSet;

use super::scope::{Env, nearest, type_word};
use super::value::{Eval, ModuleValue, Reported, Value, from_static, to_static};
use super::{Elaborator, Request};
use crate::ast::{self, ItemKind, ModuleKind};
use crate::diag::{Code, Diagnostic, Sink};
use crate::model::Static;
use crate::procedure::{
    Input, ModelSlot, Place, Procedure, SessionForm, Step, StepKind, Type, Variable, VariableId,
};
use crate::program::{ItemRef, Program};
use crate::span::Span;
use names::{Known, Names};
pub(crate) use operation::OPERATIONS;
pub(super) use test::{is_walked, walk_test};

/// What a procedure is elaborated for.
#[derive(Clone, Debug, Default)]
pub struct ProcedureRequest {
    /// A procedure of the entry file; its last one when absent.
    pub name: Option<String>,
    /// Modules for parameters that are models, by the parameter's name.
    pub modules: Vec<(String, String)>,
    /// Static parameters of models, by the procedure's parameter and the model's.
    pub statics: Vec<(String, String, Static)>,
}

/// Says what a session carries from position to position. `None` after mistakes, which go to the sink.
pub type Carried<'a> = dyn Fn(&crate::procedure::Streamed<'_>, &mut Sink) -> Option<Type> + 'a;

/// Elaborates one procedure of the entry file. Mistakes go to the sink; `None` if there was one.
/// Where nobody says what sessions carry, a procedure that reads it is looked at up to there.
pub fn elaborate_procedure(
    program: &Program,
    request: &ProcedureRequest,
    carried: Option<&Carried<'_>>,
    sink: &mut Sink,
) -> Option<Procedure> {
    let place = pick(program, request, sink)?;
    let mut writer = Writer::new(program, request, sink, place.file);
    writer.carried = carried;
    let procedure = writer.procedure(place).ok();
    let failed = writer.failed;
    procedure.filter(|_| !failed)
}

/// The models that a procedure of the entry file is given. Mistakes go to the sink; `None` if there was one.
pub fn procedure_models(
    program: &Program,
    request: &ProcedureRequest,
    sink: &mut Sink,
) -> Option<Vec<ModelSlot>> {
    let place = pick(program, request, sink)?;
    let ItemKind::Procedure(procedure) = &program.item(place).kind else {
        return None;
    };
    let mut writer = Writer::new(program, request, sink, place.file);
    let mut names = Names::default();
    writer.models_of(&mut names, procedure).ok()?;
    Some(writer.models)
}

/// Whether a procedure can be looked at before anyone says which models it is given.
pub(crate) fn is_closed(program: &Program, file: usize, procedure: &ast::Procedure) -> bool {
    procedure.params.iter().all(|parameter| {
        let word = parameter.ty.as_ref().and_then(type_word);
        if parameter.default.is_some() || word.is_none() {
            return true;
        }
        if word == Some("module") {
            return false;
        }
        let found = word.and_then(|word| program.find(file, word));
        match found.map(|place| &program.item(place).kind) {
            Some(ItemKind::Module(module)) => module.params.iter().all(|own| {
                let word = own.ty.as_ref().and_then(type_word);
                own.default.is_some() || !matches!(word, Some("module" | "list" | "text"))
            }),
            _ => true,
        }
    })
}

/// Names of the procedures of the entry file that can be looked at before anyone says which models they
/// are given.
pub fn closed_procedures(program: &Program) -> Vec<String> {
    let file = program.entry();
    let ast = program.ast(file);
    let names = ast.items.iter().filter_map(|item| match &item.kind {
        ItemKind::Procedure(procedure) if is_closed(program, file, procedure) => {
            Some(procedure.name.text.clone())
        }
        _ => None,
    });
    names.collect()
}

/// Names of the procedures of the entry file, in order.
pub fn procedure_names(program: &Program) -> Vec<String> {
    let ast = program.ast(program.entry());
    let names = ast.items.iter().filter_map(|item| match &item.kind {
        ItemKind::Procedure(procedure) => Some(procedure.name.text.clone()),
        _ => None,
    });
    names.collect()
}

fn pick(program: &Program, request: &ProcedureRequest, sink: &mut Sink) -> Option<ItemRef> {
    let file = program.entry();
    let ast = program.ast(file);
    let mut own = ast.items.iter().enumerate().filter_map(|(item, found)| {
        let ItemKind::Procedure(procedure) = &found.kind else {
            return None;
        };
        Some((procedure.name.text.as_str(), ItemRef { file, item }))
    });
    let Some(wanted) = &request.name else {
        return own.next_back().map(|(_, place)| place);
    };
    let own: Vec<(&str, ItemRef)> = own.collect();
    let found = own.iter().find(|(name, _)| name == wanted);
    if found.is_none() {
        let names: Vec<&str> = own.iter().map(|(name, _)| *name).collect();
        let mut diagnostic = Diagnostic::error(
            Code::new(204),
            format!("the file declares no procedure `{wanted}`"),
        );
        if let Some(nearest) = nearest(wanted, names.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
        } else if !names.is_empty() {
            diagnostic = diagnostic.note(format!("it declares: {}", names.join(", ")));
        }
        sink.report(diagnostic);
    }
    found.map(|(_, place)| *place)
}

/// Writes the steps of a procedure.
struct Writer<'p> {
    program: &'p Program,
    request: &'p ProcedureRequest,
    carried: Option<&'p Carried<'p>>,
    sink: &'p mut Sink,
    failed: bool,
    /// The file of the procedure that is being walked.
    file: usize,
    models: Vec<ModelSlot>,
    /// Static parameters of models that nobody gives: sizes that are the same in a whole run.
    free: BTreeSet<String>,
    variables: Vec<Variable>,
    sessions: Vec<SessionForm>,
    /// Whether the steps are those of a test.
    is_test: bool,
    /// What each procedure around the current place returns, as far as it is known.
    returns: Vec<Option<VariableId>>,
    depth: usize,
}

impl<'p> Writer<'p> {
    fn new(
        program: &'p Program,
        request: &'p ProcedureRequest,
        sink: &'p mut Sink,
        file: usize,
    ) -> Self {
        Self {
            program,
            request,
            carried: None,
            sink,
            failed: false,
            file,
            models: Vec::new(),
            free: BTreeSet::new(),
            variables: Vec::new(),
            sessions: Vec::new(),
            is_test: false,
            returns: Vec::new(),
            depth: 0,
        }
    }

    fn fail<T>(&mut self, diagnostic: Diagnostic) -> Eval<T> {
        self.failed = true;
        self.sink.report(diagnostic);
        Err(Reported)
    }

    fn error<T>(
        &mut self,
        code: u16,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Eval<T> {
        let diagnostic = Diagnostic::error(Code::new(code), message).at(span, label);
        let help = help.into();
        self.fail(if help.is_empty() {
            diagnostic
        } else {
            diagnostic.help(help)
        })
    }

    fn variable(&mut self, name: &str, ty: Type, span: Span) -> VariableId {
        let id = VariableId(self.variables.len());
        self.variables.push(Variable {
            name: name.to_owned(),
            ty,
            span,
        });
        id
    }

    /// The type of a part of a variable.
    fn ty(&self, place: &Place) -> Type {
        let ty = &self.variables[place.variable.0].ty;
        ty.at(&place.path).cloned().unwrap_or(Type::None)
    }

    fn procedure(&mut self, place: ItemRef) -> Eval<Procedure> {
        let ast = self.program.ast(place.file);
        let ItemKind::Procedure(procedure) = &ast.items[place.item].kind else {
            return Err(Reported);
        };
        let mut names = Names::default();
        let mut inputs = Vec::new();
        // Types of values may speak of the axes of models.
        self.models_of(&mut names, procedure)?;
        for parameter in &procedure.params {
            if self.model_word(parameter).is_none() {
                let input = self.input(&mut names, parameter)?;
                inputs.push(input);
            }
        }
        let mut body = Vec::new();
        let result = self.body(names, procedure, &mut body)?;
        let span = procedure.name.span;
        Ok(Procedure {
            name: procedure.name.text.clone(),
            models: std::mem::take(&mut self.models),
            inputs,
            body: vec![Step {
                kind: StepKind::Inline { body, result },
                span,
            }],
            variables: std::mem::take(&mut self.variables),
            sessions: std::mem::take(&mut self.sessions),
            result,
        })
    }

    fn models_of(&mut self, names: &mut Names, procedure: &ast::Procedure) -> Eval<()> {
        for parameter in &procedure.params {
            if let Some(module) = self.model_word(parameter) {
                self.model(parameter, module)?;
                let known = Known::Model(self.models.len() - 1);
                names.insert(&parameter.name.text, known);
            }
        }
        Ok(())
    }

    /// The word of a parameter that is a model: `module`, or a module's name.
    fn model_word<'a>(&self, parameter: &'a ast::Parameter) -> Option<&'a str> {
        let word = parameter.ty.as_ref().and_then(type_word)?;
        let is_module = word == "module"
            || self
                .program
                .find(self.file, word)
                .is_some_and(|place| matches!(self.program.item(place).kind, ItemKind::Module(_)));
        is_module.then_some(word)
    }

    /// A parameter that is a model: what the request says, else its default, else its type.
    fn model(&mut self, parameter: &ast::Parameter, word: &str) -> Eval<()> {
        let name = parameter.name.text.clone();
        let mut chosen: Option<(String, Vec<(String, Static)>)> = None;
        if let Some(default) = &parameter.default {
            chosen = Some(self.written_model(default)?);
        } else if word != "module" {
            chosen = Some((word.to_owned(), Vec::new()));
        }
        let asked = self.request.modules.iter().find(|(own, _)| *own == name);
        if let Some((_, module)) = asked {
            chosen = Some((module.clone(), Vec::new()));
        }
        let Some((module, mut statics)) = chosen else {
            return self.error(
                205,
                parameter.name.span,
                format!("nobody says which model `{name}` is"),
                "any model",
                format!("give it with `--set {name}=Name`, or write its name as the type"),
            );
        };
        for (_, key, value) in self.request.statics.iter().filter(|own| own.0 == name) {
            statics.retain(|(own, _)| own != key);
            statics.push((key.clone(), value.clone()));
        }
        let place = self.module_place(&module, parameter.name.span)?;
        if let ItemKind::Module(declared) = &self.program.item(place).kind {
            let open = declared.params.iter().filter(|own| {
                own.default.is_none() && !statics.iter().any(|(name, _)| *name == own.name.text)
            });
            self.free.extend(open.map(|own| own.name.text.clone()));
        }
        self.models.push(ModelSlot {
            name,
            module,
            statics,
        });
        Ok(())
    }

    /// `Llama(vocab = 40, d = 16)`.
    fn written_model(&mut self, expr: &ast::Expr) -> Eval<(String, Vec<(String, Static)>)> {
        let request = Request::default();
        let mut elaborator = Elaborator::new(self.program, &request, &mut *self.sink);
        let mut env = Env::of_file(self.file);
        let value = elaborator.eval(&mut env, expr);
        let failed = elaborator.failed;
        let value = value.inspect_err(|_| self.failed |= failed)?;
        let Value::Module(module) = value else {
            return self.error(
                303,
                expr.span,
                "a model is needed here",
                format!("this is {}", value.kind()),
                "write the name of a model, `Name(d = 16)` with its parameters",
            );
        };
        let mut statics = Vec::new();
        for (name, value) in &module.args {
            let Some(value) = to_static(value) else {
                return self.error(
                    205,
                    expr.span,
                    format!(
                        "the parameter `{name}` of a model is given {}",
                        value.kind()
                    ),
                    "not a number, a text or a list of such",
                    "declare a model that has it inside",
                );
            };
            statics.push((name.clone(), value));
        }
        match &self.program.item(module.decl).kind {
            ItemKind::Module(declared) => Ok((declared.name.text.clone(), statics)),
            _ => Err(Reported),
        }
    }

    fn module_place(&mut self, name: &str, span: Span) -> Eval<ItemRef> {
        let found = self.program.find(self.program.entry(), name);
        let is_module = |place: &ItemRef| match &self.program.item(*place).kind {
            ItemKind::Module(module) => module.kind != ModuleKind::Memory,
            _ => false,
        };
        match found.filter(is_module) {
            Some(place) => Ok(place),
            None => self.error(
                204,
                span,
                format!("the file knows no model `{name}`"),
                "asked for here",
                "",
            ),
        }
    }

    /// A model as a module with its arguments; what nobody gives is a free size.
    fn module_value(program: &Program, slot: &ModelSlot, span: Span) -> Option<ModuleValue> {
        let decl = program.find(program.entry(), &slot.module)?;
        let ItemKind::Module(module) = &program.item(decl).kind else {
            return None;
        };
        let mut args: Vec<(String, Value)> = slot
            .statics
            .iter()
            .map(|(name, value)| (name.clone(), from_static(value)))
            .collect();
        for parameter in &module.params {
            let name = &parameter.name.text;
            if parameter.default.is_some() || args.iter().any(|(own, _)| own == name) {
                continue;
            }
            let symbol = girih_graph::Extent::symbol(name);
            match parameter.ty.as_ref().and_then(type_word) {
                Some("axis") => {
                    args.push((name.clone(), Value::Axes(super::value::Axes::Size(symbol))));
                }
                None | Some("int") => args.push((name.clone(), Value::Int(symbol))),
                // Instantiation says what is missing.
                Some(_) => {}
            }
        }
        Some(ModuleValue { decl, args, span })
    }

    fn input(&mut self, names: &mut Names, parameter: &ast::Parameter) -> Eval<Input> {
        let name = &parameter.name.text;
        let span = parameter.name.span;
        let mut steps = Vec::new();
        let default = match &parameter.default {
            Some(default) => Some(self.value(names, default, &mut steps)?),
            None => None,
        };
        let declared = match &parameter.ty {
            Some(ty) => Some(self.declared(names, ty)?),
            None => None,
        };
        let ty = match (&declared, &default) {
            (Some(ty), Some(place)) => {
                let given = self.ty(place);
                self.require_fits(ty, &given, span, name)?;
                ty.clone()
            }
            (Some(ty), None) => ty.clone(),
            (None, Some(place)) => self.ty(place),
            (None, None) => {
                return self.error(
                    303,
                    span,
                    format!("the input `{name}` has no type"),
                    "neither a type nor a default",
                    format!("write `{name}: i64[t]` with its axes, or a default"),
                );
            }
        };
        let variable = self.variable(name, ty, span);
        names.insert(name, Known::Variable(variable));
        let default = default.map(|place| {
            steps.push(Step {
                kind: StepKind::Copy(place, variable),
                span,
            });
            steps
        });
        Ok(Input {
            name: name.clone(),
            variable,
            default,
            span,
        })
    }
}
