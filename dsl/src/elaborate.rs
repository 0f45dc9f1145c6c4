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
//! | `instance`   | how does a module with arguments become an instance?           |
//! | `alike`      | which layers need not be walked again?                         |
//! | `call`       | how do values enter and leave a method?                        |
//! | `border`     | how do groups and records cross into an instance?              |
//! | `start`      | how do parameters start?                                       |
//! | `statement`  | what does a statement do?                                      |
//! | `expression` | what is the value of an expression?                            |
//! | `arithmetic` | how do numbers, sizes, positions and tensors combine?          |
//! | `index`      | which elements does `x[t = …]` read?                           |
//! | `affine`     | which index expressions are affine, and what is proved?        |
//! | `bind`       | which index variables does an equation bind?                   |
//! | `sum`        | how do sums of products contract?                              |
//! | `make`       | what makes values of nothing: tables, constants, draws?        |
//! | `reduction`  | what do prefix operators make of their axes and domain?        |
//! | `recurrence` | how does a loop body become a region?                          |
//! | `memory`     | how is a memory stepped along an axis?                         |
//! | `routing`    | how do experts become a route?                                 |
//! | `builtin`    | what do the built-in functions do?                             |
//! | `test_block` | what does a `test` compute and claim?                          |

mod affine;
mod alike;
mod arithmetic;
mod bind;
mod border;
mod builtin;
mod call;
mod expression;
mod index;
mod instance;
mod make;
mod memory;
mod recurrence;
mod reduction;
mod routing;
mod scope;
mod start;
mod statement;
mod sum;
mod test_block;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use girih_graph::{AxisId, Builder, DType, Extent, Op, OpError, Origin, Patch, ValueId, ValueType};

use crate::ast::{self, ItemKind};
use crate::diag::{Code, Diagnostic, Sink};
use crate::model::{InputInfo, InstanceInfo, Model, ParamInfo, Static};
use crate::program::{ItemRef, Program};
use crate::span::Span;
use alike::Alike;
pub(crate) use builtin::NAMES as BUILTINS;
pub(crate) use index::children;
use instance::Instance;
use recurrence::Frame;
use scope::Env;
pub(crate) use scope::nearest;
pub use test_block::elaborate_tests;
use value::{Eval, InstanceId, Reported, Tensor, Value};

/// The most instances, loop turns or list elements that one model may have.
pub const LIMIT: usize = 100_000;

/// Primitives of the graph that have other names, or none, in the language.
const WRITTEN_NOWHERE: &[&str] = &[
    "select",
    "reduce",
    "window",
    "gather",
    "rename",
    "expand",
    "merge",
    "split",
    "route",
    "recurrence",
    "order",
    "cumulate",
    "contract",
    "dot",
    "table",
    "state",
];

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
    for place in program.entry_modules() {
        let ItemKind::Module(module) = &program.item(place).kind else {
            continue;
        };
        let needs_module = module.params.iter().any(|parameter| {
            let word = parameter.ty.as_ref().and_then(scope::type_word);
            parameter.default.is_none() && matches!(word, Some("module" | "list" | "text"))
        });
        if needs_module {
            // Checked where it is used: what it is given decides what it means.
            continue;
        }
        let methods = module
            .members
            .iter()
            .filter_map(|member| match &member.kind {
                ast::MemberKind::Method(method) => Some(method),
                _ => None,
            });
        for (position, method) in methods.enumerate() {
            let request = Request {
                module: Some(module.name.text.clone()),
                method: Some(method.name.text.clone()),
                // The starts of parameters are the same for every method.
                without_init: position > 0,
                ..Request::default()
            };
            let mut elaborator = Elaborator::new(program, &request, sink);
            elaborator.alike = Some(Alike::default());
            // Everything that is wrong has been reported; nobody looks at the model.
            let _ = elaborator.walk_entry(place);
        }
    }
    elaborate_tests(program, sink);
    crate::around::check_blocks(program, sink);
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
        .map(|(name, value)| (name.clone(), instance::from_static(value)));
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

/// A value that can leave the language.
fn to_static(value: &Value) -> Option<Static> {
    Some(match value {
        Value::None => Static::None,
        Value::Int(extent) => Static::Int(extent.as_constant()?),
        Value::Real(number) => Static::Real(*number),
        Value::Bool(truth) => Static::Bool(*truth),
        Value::Text(text) => Static::Text(text.clone()),
        Value::List(parts) | Value::Tuple(parts) => {
            Static::List(parts.iter().map(to_static).collect::<Option<_>>()?)
        }
        Value::Record(fields) => Static::Map(
            (fields.iter())
                .map(|(name, value)| Some((name.clone(), to_static(value)?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

fn pick_module(program: &Program, request: &Request, sink: &mut Sink) -> Option<ItemRef> {
    let modules = program.entry_modules();
    let name_of = |place: &ItemRef| match &program.item(*place).kind {
        ItemKind::Module(module) => Some((module.name.text.as_str(), module.kind)),
        _ => None,
    };
    if let Some(wanted) = &request.module {
        let found = modules
            .iter()
            .find(|place| name_of(place).is_some_and(|(name, _)| name == wanted));
        if found.is_none() {
            let names: Vec<&str> = modules.iter().filter_map(|m| Some(name_of(m)?.0)).collect();
            let nearest = scope::nearest(wanted, names.iter().copied());
            let mut diagnostic = Diagnostic::error(
                Code::new(204),
                format!("the file declares no module `{wanted}`"),
            )
            .note(format!("it declares: {}", names.join(", ")));
            if let Some(nearest) = nearest {
                diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
            }
            sink.report(diagnostic);
        }
        return found.copied();
    }
    let is_model =
        |place: &&ItemRef| name_of(place).is_some_and(|(_, kind)| kind == ast::ModuleKind::Model);
    let found = modules.iter().rfind(is_model).or(modules.last());
    if found.is_none() {
        sink.report(
            Diagnostic::error(Code::new(204), "the file declares no model")
                .help("declare one: `model Name(d: axis = 64) { forward(x: f32[d]) -> f32[d] { return x } }`"),
        );
    }
    found.copied()
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
    values: BTreeMap<String, Tensor>,
    updates: BTreeMap<String, Tensor>,
    states: BTreeMap<String, Tensor>,
    /// How many random draws each path has made.
    draws: BTreeMap<String, usize>,
    /// How often a state was asked for.
    state_uses: usize,
    /// Where nobody looks at the graph: what stands for what is alike.
    alike: Option<Alike>,
    depth: usize,
    work: usize,
    /// Path of the instance whose method is being walked.
    here: Arc<str>,
}

/// What walking an entry leaves beside the elaborator's own state.
struct Walked {
    inputs: Vec<InputInfo>,
    outputs: Vec<(String, Tensor)>,
    init: girih_graph::Graph,
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
            values: BTreeMap::new(),
            updates: BTreeMap::new(),
            states: BTreeMap::new(),
            draws: BTreeMap::new(),
            state_uses: 0,
            alike: None,
            depth: 0,
            work: 0,
            here: Arc::from(""),
        }
    }

    /// Reports a mistake.
    fn fail<T>(&mut self, diagnostic: Diagnostic) -> Eval<T> {
        self.failed = true;
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

    fn entry(&mut self, place: ItemRef) -> Eval<Model> {
        let walked = self.walk_entry(place)?;
        self.finish(walked)
    }

    /// Whether so much more work is within the limit.
    const fn can_spend(&self, amount: usize) -> bool {
        self.work.saturating_add(amount) <= 20 * LIMIT
    }

    /// Builds what the entry's method computes and how its parameters start.
    fn walk_entry(&mut self, place: ItemRef) -> Eval<Walked> {
        let ItemKind::Module(module) = &self.program.item(place).kind else {
            return Err(Reported);
        };
        self.b = Builder::new(&scope::snake(&module.name.text));
        let method_name = self.request.method.as_deref().unwrap_or("forward");
        let method = self.find_method(place, method_name)?;
        self.collect_file_axes(place.file)?;
        // Lifted axes are declared first, so that no module can take their names.
        let mut lifted: BTreeMap<&str, AxisId> = BTreeMap::new();
        for name in self.request.lifted.values().flatten() {
            if !lifted.contains_key(name.as_str()) {
                let axis = self.b.axes.add(name, Extent::symbol(name), None, false);
                lifted.insert(name, axis);
                self.lifted.push(axis);
                self.pool.entry(name.clone()).or_default().push(axis);
            }
        }
        let root = self.instantiate_entry(place)?;
        let mut env = Env::of_instance(self, root);
        let mut inputs = Vec::new();
        let mut args = Vec::new();
        for parameter in &method.params {
            let name = parameter.name.text.clone();
            if self.request.absent.contains(&name) && parameter.default.is_some() {
                inputs.push(InputInfo {
                    name,
                    dtype: DType::F32,
                    axes: Vec::new(),
                    given: false,
                });
                continue;
            }
            let Some(ty) = &parameter.ty else {
                return self.error_help(
                    303,
                    parameter.name.span,
                    format!("the input `{name}` has no type"),
                    "an entry's input needs one",
                    format!("write `{name}: f32[t, d]` with its axes"),
                );
            };
            let (dtype, groups) = self.tensor_type(&mut env, ty)?;
            let mut axes: Vec<AxisId> = (self.request.lifted.get(&name).into_iter().flatten())
                .filter_map(|name| lifted.get(name.as_str()).copied())
                .collect();
            axes.extend(groups.iter().flatten().copied());
            let op = Op::Input(
                Arc::from(name.as_str()),
                ValueType::new(dtype, axes.clone()),
            );
            let tensor = self.op(op, &[], parameter.name.span)?;
            inputs.push(InputInfo {
                name: name.clone(),
                dtype,
                axes,
                given: true,
            });
            args.push((Some(name), Value::Tensor(tensor), parameter.name.span));
        }
        let value = self.call_method(root, method, args, method.name.span)?;
        if self.failed {
            return Err(Reported);
        }
        let init = if self.request.without_init {
            girih_graph::Graph::default()
        } else {
            self.build_init()?
        };
        let mut outputs: Vec<(String, Tensor)> = Vec::new();
        self.flatten_results("out", value, method.name.span, &mut outputs)?;
        Ok(Walked {
            inputs,
            outputs,
            init,
        })
    }

    fn finish(&mut self, walked: Walked) -> Eval<Model> {
        let Walked {
            inputs,
            mut outputs,
            init,
        } = walked;
        for path in self.request.keep.iter().filter(|_| !self.request.keep_all) {
            if outputs.iter().any(|(name, _)| name == path) {
                continue;
            }
            let Some(tensor) = self.values.get(path).copied() else {
                let nearest = scope::nearest(path, self.values.keys().map(String::as_str));
                let mut diagnostic =
                    Diagnostic::error(Code::new(206), format!("the model has no value `{path}`"));
                if let Some(nearest) = nearest {
                    diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
                }
                return self.fail(diagnostic);
            };
            outputs.push((path.clone(), tensor));
        }
        if self.request.keep_all {
            for (path, tensor) in &self.values {
                if !outputs.iter().any(|(name, _)| name == path) {
                    outputs.push((path.clone(), *tensor));
                }
            }
        }
        let root = self.b.region_at(0);
        let results: Vec<(String, Vec<AxisId>)> = (outputs.iter())
            .map(|(name, tensor)| (name.clone(), root.ty(tensor.id).axes.clone()))
            .collect();
        let values = (self.values.iter())
            .map(|(path, tensor)| (path.clone(), self.b.axes.show(root.ty(tensor.id))))
            .collect();
        let updates = (self.updates.iter())
            .map(|(path, tensor)| (Arc::from(path.as_str()), tensor.id))
            .collect();
        let builder = std::mem::take(&mut self.b);
        let outputs = outputs.into_iter().map(|(name, tensor)| (name, tensor.id));
        let graph = builder.finish(outputs.collect(), updates);
        // A name that nobody asks for costs nothing.
        let graph = Patch::new(&graph).apply();
        let graph = graph
            .expect("a patch without replacements has none that does not fit")
            .graph;
        Ok(Model {
            graph,
            init,
            inputs,
            params: std::mem::take(&mut self.params),
            instances: self.instance_list(),
            results,
            values,
        })
    }

    fn instance_list(&self) -> Vec<InstanceInfo> {
        (self.instances.iter())
            .map(|instance| InstanceInfo {
                path: instance.path.clone(),
                module: match &self.program.item(instance.decl).kind {
                    ItemKind::Module(module) => module.name.text.clone(),
                    _ => String::new(),
                },
                parent: instance.parent.map(|parent| parent.0),
            })
            .collect()
    }

    fn flatten_results(
        &mut self,
        name: &str,
        value: Value,
        span: Span,
        outputs: &mut Vec<(String, Tensor)>,
    ) -> Eval<()> {
        match value {
            Value::Record(fields) => {
                for (field, value) in fields {
                    let name = if name == "out" {
                        field
                    } else {
                        format!("{name}.{field}")
                    };
                    self.flatten_results(&name, value, span, outputs)?;
                }
            }
            Value::Tuple(parts) | Value::List(parts) => {
                for (position, value) in parts.into_iter().enumerate() {
                    self.flatten_results(&format!("{name}.{position}"), value, span, outputs)?;
                }
            }
            Value::None => {}
            other => {
                let tensor = self.tensor(other, DType::F32, span)?;
                outputs.push((name.to_owned(), self.at_root(tensor, span)?));
            }
        }
        Ok(())
    }

    fn at_root(&mut self, tensor: Tensor, span: Span) -> Eval<Tensor> {
        if tensor.level == 0 {
            Ok(tensor)
        } else {
            self.error(
                405,
                span,
                "a value of a recurrence is used outside it",
                "made inside the loop",
            )
        }
    }

    /// The type of a tensor.
    fn ty(&self, tensor: Tensor) -> &ValueType {
        self.b.region_at(tensor.level).ty(tensor.id)
    }

    /// Adds a node where its operands meet; a broken rule is reported at `span`.
    fn op(&mut self, op: Op, operands: &[Tensor], span: Span) -> Eval<Tensor> {
        let mut results = self.ops(op, operands, span)?;
        results.pop().ok_or(Reported)
    }

    fn ops(&mut self, op: Op, operands: &[Tensor], span: Span) -> Eval<Vec<Tensor>> {
        self.spend(span, 1)?;
        let mut level = operands
            .iter()
            .map(|tensor| tensor.level)
            .max()
            .unwrap_or(0);
        if self.grows(&op, operands) {
            level = self.frames.len();
        }
        let mut ids: Vec<ValueId> = Vec::with_capacity(operands.len());
        for operand in operands {
            ids.push(self.import(*operand, level));
        }
        self.b.set_level(level);
        self.mark(span);
        let result = self.b.node(op, &ids);
        match result {
            Ok(ids) => Ok(ids.into_iter().map(|id| Tensor { level, id }).collect()),
            Err(error) => self.op_error(&error, span),
        }
    }

    /// Whether an elementwise result would be larger than each operand and span a loop's axis: such a
    /// product is made step by step, inside the loop, rather than for all positions before it.
    fn grows(&self, op: &Op, operands: &[Tensor]) -> bool {
        let walked: Vec<AxisId> = self.frames.iter().filter_map(|frame| frame.axis).collect();
        if walked.is_empty() || !matches!(op, Op::Binary(_) | Op::Select) {
            return false;
        }
        let axes: Vec<&[AxisId]> = operands
            .iter()
            .map(|tensor| self.ty(*tensor).axes.as_slice())
            .collect();
        let union = girih_graph::axis::align(&axes);
        union.iter().any(|axis| walked.contains(axis))
            && axes.iter().all(|own| own.len() < union.len())
    }
    /// What stands at a place, to be shown within a line of advice; `x` where it is long.
    fn written(&self, span: Span) -> &str {
        let text = self.program.sources.slice(span);
        let short = !text.is_empty() && text.len() <= 30 && !text.contains(char::is_control);
        if short { text } else { "x" }
    }

    /// Says where the nodes that follow come from.
    fn mark(&mut self, span: Span) {
        self.b.set_origin(Some(Arc::new(Origin {
            path: self.here.clone(),
            file: span.file.0,
            start: span.start,
            end: span.end,
        })));
    }

    fn op_error<T>(&mut self, error: &OpError, span: Span) -> Eval<T> {
        let (code, message, label, help) = match error {
            OpError::DType { op, wanted, found } => {
                let help = match *wanted {
                    wanted if wanted.starts_with("bool") => "compare: `x > 0`",
                    wanted if wanted.contains("real") => "convert with `real(x)`",
                    _ => "convert with `int(x)`",
                };
                let message = if WRITTEN_NOWHERE.contains(op) {
                    format!("{wanted} values are needed here, not `{found}`")
                } else {
                    error.to_string()
                };
                (302, message, format!("given `{found}`"), Some(help))
            }
            OpError::Mixed { left, right, .. } => (
                302,
                format!("values of one element type are needed here, not `{left}` and `{right}`"),
                "two element types".to_owned(),
                Some("convert one of them with `real(x)` or `int(x)`"),
            ),
            OpError::Missing { axis, .. } => (
                304,
                format!("the value has no axis `{axis}`"),
                "it is needed here".to_owned(),
                None,
            ),
            OpError::Twice { axis, .. } => (
                305,
                format!("the value would have the axis `{axis}` twice"),
                "axes of one tensor are distinct".to_owned(),
                Some("bind one of them to another index: `x[t = j]`"),
            ),
            OpError::Extent { wanted, found, .. } => (
                301,
                format!("{found} positions stand where {wanted} are needed"),
                format!("{found} is not {wanted}"),
                None,
            ),
            OpError::Operands { .. } | OpError::Rule { .. } => {
                (306, error.to_string(), "here".to_owned(), None)
            }
        };
        let mut diagnostic = Diagnostic::error(Code::new(code), message).at(span, label);
        if let Some(help) = help {
            diagnostic = diagnostic.help(help);
        }
        self.fail(diagnostic)
    }
}
