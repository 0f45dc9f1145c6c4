//! How does a module of the entry file become a model: inputs, results, named values?

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_graph::{AxisId, Builder, DType, Extent, Graph, Op, Patch, ValueType};

use super::scope::{self, Env};
use super::value::{Eval, Reported, Tensor, Value};
use super::{Elaborator, Request};
use crate::ast::{self, ItemKind};
use crate::diag::{Code, Diagnostic, Sink};
use crate::model::{InputInfo, InstanceInfo, Model};
use crate::program::{ItemRef, Program};
use crate::span::Span;

/// What walking an entry leaves beside the elaborator's own state.
pub(crate) struct Walked {
    inputs: Vec<InputInfo>,
    outputs: Vec<(String, Tensor)>,
    init: Graph,
}

/// The module that a request is about.
pub(crate) fn pick_module(
    program: &Program,
    request: &Request,
    sink: &mut Sink,
) -> Option<ItemRef> {
    let modules = program.entry_modules();
    let name_of = |place: &ItemRef| match &program.item(*place).kind {
        ItemKind::Module(module) => Some((module.name.text.as_str(), module.kind)),
        _ => None,
    };
    if let Some(wanted) = &request.module {
        let own = modules
            .iter()
            .find(|place| name_of(place).is_some_and(|(name, _)| name == wanted));
        // A module of a file that this one uses is as good.
        let found = own.copied().or_else(|| {
            let place = program.find(program.entry(), wanted)?;
            name_of(&place).map(|_| place)
        });
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
        return found;
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

impl Elaborator<'_> {
    pub(crate) fn entry(&mut self, place: ItemRef) -> Eval<Model> {
        let walked = self.walk_entry(place)?;
        self.finish(walked)
    }

    /// Builds what the entry's method computes and how its parameters start.
    pub(crate) fn walk_entry(&mut self, place: ItemRef) -> Eval<Walked> {
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
            Graph::default()
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
        self.name_nodes();
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

    /// Tells the graph what its values are called: of several names the one with the fewest parts, `out` only
    /// where there is no other.
    fn name_nodes(&mut self) {
        let rank = |path: &str| {
            let is_result = path.rsplit('.').next() == Some("out");
            (is_result, path.split('.').count())
        };
        let mut best: BTreeMap<girih_graph::ValueId, &str> = BTreeMap::new();
        for (path, tensor) in &self.values {
            let name = best.entry(tensor.id).or_insert(path);
            if rank(path) < rank(name) {
                *name = path;
            }
        }
        for (value, name) in best {
            self.b.set_name(value, name);
        }
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

    pub(crate) fn at_root(&mut self, tensor: Tensor, span: Span) -> Eval<Tensor> {
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
}
