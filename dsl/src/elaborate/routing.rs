//! How experts become a route.
//!
//! `route x to experts { weight = g  keep = m }` is Σₑ g[e] · fₑ(x) over the branches that are
//! kept. Scores, capacity, overflow and auxiliary losses are ordinary equations before it.

use girih_graph::{AxisId, Binary, Builder, DType, Op, Region, Route, ValueId, ValueType};

use super::Elaborator;
use super::recurrence::Frame;
use super::scope::Env;
use super::value::{Eval, InstanceId, Reported, Tensor, Value};
use crate::ast::{self, Expr};
use crate::span::Span;

/// One branch as a region.
struct Branch {
    region: Region,
    /// Its parameters for the items.
    params: Vec<ValueId>,
    /// What it takes from around the route: outer and inner value.
    invariants: Vec<(ValueId, ValueId)>,
    /// Axes of its result.
    axes: Vec<AxisId>,
}

impl Elaborator<'_> {
    /// A route expression.
    pub(crate) fn eval_route(
        &mut self,
        env: &mut Env,
        items: &Expr,
        experts: &ast::Name,
        settings: &[ast::Setting],
        span: Span,
    ) -> Eval<Value> {
        let found = self.lookup(env, &experts.text, experts.span)?;
        if matches!(found, Some(Value::Poison)) {
            return Err(Reported);
        }
        let Some(Value::Experts(axis, instances)) = found else {
            let groups: Vec<String> = (env.instance.into_iter())
                .flat_map(|instance| &self.instances[instance.0].members)
                .filter(|(_, value)| matches!(value, Value::Experts(..)))
                .map(|(name, _)| name.clone())
                .collect();
            let near = super::nearest(&experts.text, groups.iter().map(String::as_str));
            if let Some(near) = near {
                return self.error_help(
                    202,
                    experts.span,
                    format!("`{}` is no group of experts", experts.text),
                    "not declared as `experts`",
                    format!("did you mean `{near}`?"),
                );
            }
            return self.error_help(
                202,
                experts.span,
                format!("`{}` is no group of experts", experts.text),
                "not declared as `experts`",
                format!("declare it: `experts {} {{ expert[8] = … }}`", experts.text),
            );
        };
        let mut weight = None;
        let mut keep = None;
        for setting in settings {
            let [expr] = setting.values.as_slice() else {
                return self.error(
                    303,
                    setting.name.span,
                    "one value is needed",
                    "several are given",
                );
            };
            let value = self.eval(env, expr)?;
            match setting.name.text.as_str() {
                "weight" => weight = Some(self.tensor(value, DType::F32, expr.span)?),
                "keep" => {
                    let chosen = self.tensor(value, DType::Bool, expr.span)?;
                    self.require_truth(chosen, expr.span)?;
                    keep = Some(chosen);
                }
                other => {
                    return self.error_help(
                        203,
                        setting.name.span,
                        format!("`{other}` is no setting of a route"),
                        "not known",
                        "a route has `weight` and `keep`; scores, capacity and losses are equations before it",
                    );
                }
            }
        }
        let Some(weight) = weight else {
            return self.error_help(
                205,
                span,
                "the route has no `weight`",
                "how much each expert counts",
                format!(
                    "write `weight = g` where `g` has the axis `{}`",
                    experts.text
                ),
            );
        };
        let keep = if let Some(keep) = keep {
            keep
        } else {
            let zero = self.number(self.ty(weight).dtype, 0.0);
            self.op(Op::Binary(Binary::Ne), &[weight, zero], span)?
        };
        for (tensor, name) in [(weight, "weight"), (keep, "keep")] {
            if !self.ty(tensor).has(axis) {
                let shown = self.b.axes.show(self.ty(tensor));
                return self.error(
                    304,
                    span,
                    format!("`{name}` needs the axis `{}` of the experts", experts.text),
                    format!("it is `{shown}`"),
                );
            }
        }
        let inputs = match self.eval(env, items)? {
            Value::Tuple(parts) => parts,
            value => vec![value],
        };
        let mut tensors = Vec::new();
        for value in inputs {
            tensors.push(self.tensor(value, DType::F32, items.span)?);
        }
        self.build_route(axis, &instances, weight, keep, &tensors, span)
            .map(Value::Tensor)
    }

    fn build_route(
        &mut self,
        branch: AxisId,
        instances: &[InstanceId],
        weight: Tensor,
        keep: Tensor,
        inputs: &[Tensor],
        span: Span,
    ) -> Eval<Tensor> {
        let outer = self.frames.len();
        let mut ids: Vec<ValueId> = Vec::new();
        for tensor in inputs {
            ids.push(self.import(*tensor, outer));
        }
        let mut branches: Vec<Branch> = Vec::new();
        let mut axes: Vec<Vec<AxisId>> = Vec::new();
        for pass in 0..2 {
            branches.clear();
            let wanted = widest(&axes);
            axes.clear();
            for instance in instances {
                let branch = self.branch(*instance, &ids, outer, &wanted, span)?;
                axes.push(branch.axes.clone());
                branches.push(branch);
            }
            // Branches with unlike results are made once more, repeated to the widest.
            if pass == 0 && axes.iter().all(|own| same_axes(own, &axes[0])) {
                break;
            }
        }
        // The inputs are the items, then what the branches take from around them.
        let mut inputs: Vec<ValueId> = ids.clone();
        let mut regions = Vec::new();
        let mut reads = Vec::new();
        for mut branch in branches {
            let mut order = branch.params;
            let mut own_reads: Vec<usize> = (0..order.len()).collect();
            for (outer, inner) in branch.invariants {
                order.push(inner);
                own_reads.push(
                    if let Some(known) = inputs.iter().position(|own| *own == outer) {
                        known
                    } else {
                        inputs.push(outer);
                        inputs.len() - 1
                    },
                );
            }
            Builder::order_parameters_of(&mut branch.region, &order);
            regions.push(branch.region);
            reads.push(own_reads);
        }
        let items: Vec<AxisId> = self.ty(keep).without(&[branch]);
        let mut operands = vec![self.import(weight, outer), self.import(keep, outer)];
        operands.extend(inputs);
        self.b.set_level(outer);
        let route = Route {
            branch,
            items,
            branches: regions,
            reads,
        };
        self.mark(span);
        match self.b.node(Op::Route(Box::new(route)), &operands) {
            Ok(made) => Ok(Tensor {
                level: outer,
                id: *made.first().ok_or(Reported)?,
            }),
            Err(error) => self.op_error(&error, span),
        }
    }

    fn branch(
        &mut self,
        instance: InstanceId,
        ids: &[ValueId],
        outer: usize,
        wanted: &[AxisId],
        span: Span,
    ) -> Eval<Branch> {
        let types: Vec<ValueType> = ids
            .iter()
            .map(|id| self.b.region_at(outer).ty(*id).clone())
            .collect();
        self.b.open_region();
        let level = outer + 1;
        let params: Vec<ValueId> = types
            .into_iter()
            .map(|ty| self.b.add_parameter(ty))
            .collect();
        let items: Vec<(ValueId, ValueId)> =
            ids.iter().copied().zip(params.iter().copied()).collect();
        self.frames.push(Frame::of_branch(&items));
        let args = params
            .iter()
            .map(|id| (None, Value::Tensor(Tensor { level, id: *id }), span))
            .collect();
        let result = self
            .call_named(instance, "forward", args, span)
            .and_then(|value| self.tensor(value, DType::F32, span))
            .and_then(|tensor| self.expand_to(tensor, wanted, span));
        let result = match result {
            Ok(result) => result,
            Err(reported) => {
                self.b.close_region(Vec::new());
                self.frames.pop();
                return Err(reported);
            }
        };
        let axes = self.ty(result).axes.clone();
        let id = self.import(result, level);
        let frame = self.frames.pop().unwrap_or_default();
        let region = self.b.close_region(vec![id]);
        Ok(Branch {
            region,
            params,
            invariants: frame.invariants,
            axes,
        })
    }
}

fn same_axes(left: &[AxisId], right: &[AxisId]) -> bool {
    left.len() == right.len() && left.iter().all(|axis| right.contains(axis))
}

fn widest(all: &[Vec<AxisId>]) -> Vec<AxisId> {
    let mut union = Vec::new();
    for axis in all.iter().flatten() {
        if !union.contains(axis) {
            union.push(*axis);
        }
    }
    union
}
