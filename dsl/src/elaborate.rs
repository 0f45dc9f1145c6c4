//! From syntax trees to a typed model: names, instances, axes, dtypes, graph.
//!
//! A module is elaborated by walking its body with values of the graph in place of
//! tensors (`value`), so that inference and lowering are one walk and every type that a
//! diagnostic shows is the type of a real node. Lifting needs no rule of its own: axes that
//! a body does not mention ride along, because primitives align by name. The language is
//! total: instances nest only as written, loops have static counts, and every count is
//! bounded by [`LIMIT`].
//!
//! | file         | question                                                       |
//! |--------------|----------------------------------------------------------------|
//! | `value`      | what can an expression be?                                     |
//! | `scope`      | what does a name mean here?                                    |
//! | `entry`      | how does a module of the entry file become a model?            |
//! | `instance`   | how does a module with arguments become an instance?           |
//! | `member`     | what does a member of a module declare?                        |
//! | `start`      | how do parameters start?                                       |
//! | `state`      | what is a state before a call, and what after it?              |
//! | `call`       | what is called, with which arguments?                          |
//! | `typed`      | which values does a declared type take?                        |
//! | `signature`  | what do the declared types of a function take?                 |
//! | `native`     | how does a native function of a plugin become a call?          |
//! | `border`     | how do groups and records cross into an instance?              |
//! | `alike`      | which layers need not be walked again?                         |
//! | `statement`  | what does a statement do?                                      |
//! | `left`       | what does the left side of an equation do with the value?      |
//! | `mentioned`  | which names does a statement define, which does it mention?    |
//! | `expression` | what is the value of an expression?                            |
//! | `path`       | what does a dotted path lead to?                               |
//! | `arithmetic` | how do numbers, sizes, positions and tensors combine?          |
//! | `numbers`    | what do static values combine to?                              |
//! | `index`      | which elements does `x[t = …]` read?                           |
//! | `affine`     | which index expressions are affine, and what is proved?        |
//! | `bind`       | which index variables does an equation bind?                   |
//! | `reduction`  | what do prefix operators make of what follows?                 |
//! | `domain`     | what does a `where` make of the value before it?               |
//! | `sum`        | how do sums of products contract?                              |
//! | `order`      | how do the largest and smallest positions become ranks?        |
//! | `recurrence` | how does a loop body become a region?                          |
//! | `memory`     | how is a memory stepped along an axis?                         |
//! | `routing`    | how do experts become a route?                                 |
//! | `builtin`    | what do the built-in functions do?                             |
//! | `pointwise`  | … those of one and of two values?                              |
//! | `rearrange`  | … those that move positions?                                   |
//! | `make`       | … those that make values of nothing: tables, constants, draws? |
//! | `node`       | how does a primitive become a node?                            |
//! | `procedure`  | how does a procedure become steps?                             |
//! | `test_block` | what does a `test` compute and claim?                          |

mod affine;
mod alike;
mod arithmetic;
mod bind;
mod border;
mod builtin;
mod call;
mod domain;
mod entry;
mod expression;
mod index;
mod instance;
mod left;
mod make;
mod member;
mod memory;
mod mentioned;
mod native;
mod node;
mod numbers;
mod order;
mod path;
mod pointwise;
mod procedure;
mod promise;
mod rearrange;
mod recurrence;
mod reduction;
mod routing;
mod scope;
mod signature;
mod start;
mod state;
mod statement;
mod sum;
mod test_block;
mod typed;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use girih_graph::{AxisId, Builder, Promises};

use crate::ast::{self, ItemKind};
use crate::diag::{Code, Diagnostic, Sink};
use crate::model::{Model, ParamInfo, Static};
use crate::program::{ItemRef, Program};
use crate::span::Span;
use alike::Alike;
pub(crate) use builtin::NAMES as BUILTINS;
use entry::pick_module;
pub(crate) use index::children;
use instance::Instance;
pub use procedure::{
    Carried, ProcedureRequest, closed_procedures, elaborate_procedure, procedure_models,
    procedure_names,
};
pub(crate) use procedure::{OPERATIONS, is_closed};
use recurrence::Frame;
use scope::Env;
pub(crate) use scope::nearest;
pub use test_block::elaborate_tests;
use value::{Eval, InstanceId, Reported, Tensor, Value, to_static};

/// The most instances, loop turns or list elements that one model may have.
pub const LIMIT: usize = 100_000;

/// How deep calls may nest.
const DEPTH: usize = 64;

/// What to elaborate.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A module of the entry file; its last `model`, else its last module, when absent.
    pub module: Option<String>,
    /// The entry method; `forward` when absent.
    pub method: Option<String>,
    /// Static arguments by name.
    pub statics: Vec<(String, Static)>,
    /// Lifted axes of each input, outermost first: `{"x": ["b"]}`.
    pub lifted: BTreeMap<String, Vec<String>>,
    /// Inputs that have a default and are left out.
    pub absent: BTreeSet<String>,
    /// Paths of values that become results.
    pub keep: Vec<String>,
    /// Whether every named value becomes a result.
    pub keep_all: bool,
    /// Whether [`Model::init`] stays empty: nobody will start the parameters.
    pub without_init: bool,
}

/// Elaborates one module of the entry file. Mistakes go to the sink; `None` if there was one.
pub fn elaborate(program: &Program, request: &Request, sink: &mut Sink) -> Option<Model> {
    let place = pick_module(program, request, sink)?;
    let mut elaborator = Elaborator::new(program, request, sink);
    let model = elaborator.entry(place).ok();
    let failed = elaborator.failed;
    model.filter(|_| !failed)
}

/// Checks every module of the entry file, with its defaults and free sizes for the rest.
pub fn check(program: &Program, sink: &mut Sink) {
    for request in requests(program) {
        let Some(place) = pick_module(program, &request, sink) else {
            continue;
        };
        let mut elaborator = Elaborator::new(program, &request, sink);
        elaborator.alike = Some(Alike::default());
        // Everything that is wrong has been reported; nobody looks at the model.
        let _ = elaborator.walk_entry(place);
    }
    elaborate_tests(program, None, sink);
    crate::around::check_blocks(program, sink);
}

/// Every method of every module of the entry file that can stand alone, with its defaults. Those
/// that need a module, a list or a text are checked where they are used: what they are given
/// decides what they mean.
pub fn requests(program: &Program) -> Vec<Request> {
    let mut requests = Vec::new();
    for place in program.entry_modules() {
        let ItemKind::Module(module) = &program.item(place).kind else {
            continue;
        };
        let needs_module = module.params.iter().any(|parameter| {
            let word = parameter.ty.as_ref().and_then(scope::type_word);
            parameter.default.is_none() && matches!(word, Some("module" | "list" | "text"))
        });
        let methods = module
            .members
            .iter()
            .filter_map(|member| match &member.kind {
                ast::MemberKind::Method(method) if !needs_module => Some(method),
                _ => None,
            });
        requests.extend(methods.enumerate().map(|(position, method)| Request {
            module: Some(module.name.text.clone()),
            method: Some(method.name.text.clone()),
            // The starts of parameters are the same for every method.
            without_init: position > 0,
            ..Request::default()
        }));
    }
    requests
}

/// The value of a static expression as it stands in a file, over `names` besides what the
/// file declares. Mistakes go to the sink; `None` if there was one.
pub fn evaluate_static(
    program: &Program,
    file: usize,
    expr: &ast::Expr,
    names: &BTreeMap<String, Static>,
    sink: &mut Sink,
) -> Option<Static> {
    let request = Request::default();
    let mut elaborator = Elaborator::new(program, &request, sink);
    let mut env = Env::of_file(file);
    let locals = names
        .iter()
        .map(|(name, value)| (name.clone(), value::from_static(value)));
    env.locals.extend(locals);
    let value = elaborator.eval(&mut env, expr).ok()?;
    let result = to_static(&value);
    if result.is_none() {
        let told = elaborator.error::<()>(
            303,
            expr.span,
            format!(
                "a number, a text or a list is needed here, not {}",
                value.kind()
            ),
            format!("this is {}", value.kind()),
        );
        // It has been reported.
        let _ = told;
    }
    result
}

/// Whether `name` means something everywhere.
pub(crate) fn is_builtin(name: &str) -> bool {
    matches!(name, "none" | "pi" | "inf") || builtin::NAMES.contains(&name)
}

pub(crate) struct Elaborator<'p> {
    program: &'p Program,
    request: &'p Request,
    sink: &'p mut Sink,
    failed: bool,
    b: Builder,
    /// Axes by the name they were asked for, to share one between instances.
    pool: BTreeMap<String, Vec<AxisId>>,
    /// Axes of the entry's inputs that no module mentions.
    lifted: Vec<AxisId>,
    file_axes: BTreeMap<String, AxisId>,
    file_lets: BTreeMap<ItemRef, Value>,
    instances: Vec<Instance>,
    params: Vec<ParamInfo>,
    /// The declaration and scope of each parameter's start.
    inits: Vec<(InstanceId, Option<ast::Expr>)>,
    frames: Vec<Frame>,
    /// File axes without a size that a list of numbers may give one: nothing else in a statement of a procedure
    /// has them.
    open: BTreeSet<String>,
    /// Those that have been given one.
    listed: BTreeSet<String>,
    values: BTreeMap<String, Tensor>,
    updates: BTreeMap<String, Tensor>,
    states: BTreeMap<String, Tensor>,
    /// How many random draws each path has made.
    draws: BTreeMap<String, usize>,
    /// Whether the starts of parameters are being built: in a graph of their own.
    starting: bool,
    /// How often a state was asked for.
    state_uses: usize,
    /// Where nobody looks at the graph: what stands for what is alike.
    alike: Option<Alike>,
    depth: usize,
    work: usize,
    /// Where functions of plugins are called whose bodies are being walked.
    plugin_calls: Vec<Span>,
    /// Native functions whose gradients are being walked.
    open_gradients: Vec<ItemRef>,
    /// Path of the instance whose method is being walked.
    here: Arc<str>,
    /// Of the statement that is being walked.
    promises: Option<Arc<Promises>>,
    /// How many statements had promises.
    promised: u32,
}

impl<'p> Elaborator<'p> {
    fn new(program: &'p Program, request: &'p Request, sink: &'p mut Sink) -> Self {
        Self {
            program,
            request,
            sink,
            failed: false,
            b: Builder::default(),
            pool: BTreeMap::new(),
            lifted: Vec::new(),
            file_axes: BTreeMap::new(),
            file_lets: BTreeMap::new(),
            instances: Vec::new(),
            params: Vec::new(),
            inits: Vec::new(),
            frames: Vec::new(),
            open: BTreeSet::new(),
            listed: BTreeSet::new(),
            values: BTreeMap::new(),
            updates: BTreeMap::new(),
            states: BTreeMap::new(),
            draws: BTreeMap::new(),
            starting: false,
            state_uses: 0,
            alike: None,
            depth: 0,
            work: 0,
            plugin_calls: Vec::new(),
            open_gradients: Vec::new(),
            here: Arc::from(""),
            promises: None,
            promised: 0,
        }
    }

    /// Reports a mistake.
    fn fail<T>(&mut self, diagnostic: Diagnostic) -> Eval<T> {
        self.failed = true;
        let inside = diagnostic
            .span()
            .is_some_and(|at| self.program.is_in_plugin(at));
        let diagnostic = match self.plugin_calls.first() {
            Some(call) if inside => diagnostic.also(*call, "called here"),
            _ => diagnostic,
        };
        self.sink.report(diagnostic);
        Err(Reported)
    }

    /// Reports a mistake with one place.
    fn error<T>(
        &mut self,
        code: u16,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Eval<T> {
        self.fail(Diagnostic::error(Code::new(code), message).at(span, label))
    }

    /// Reports a mistake with one place and what to write instead.
    fn error_help<T>(
        &mut self,
        code: u16,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Eval<T> {
        self.fail(
            Diagnostic::error(Code::new(code), message)
                .at(span, label)
                .help(help),
        )
    }

    /// Counts one unit of work; an absurd model ends with a diagnostic, not with the machine's memory.
    fn spend(&mut self, span: Span, amount: usize) -> Eval<()> {
        let can_spend = self.can_spend(amount);
        self.work = self.work.saturating_add(amount);
        if !can_spend {
            return self.error_help(
                408,
                span,
                "the model is too large to be elaborated",
                format!("past {} instances, loop turns and operations", 20 * LIMIT),
                "make the counts of stacks and loops smaller",
            );
        }
        Ok(())
    }

    /// Whether so much more work is within the limit.
    const fn can_spend(&self, amount: usize) -> bool {
        self.work.saturating_add(amount) <= 20 * LIMIT
    }
}
