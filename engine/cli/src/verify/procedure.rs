//! Whether a procedure gives what the reference's file says.

use std::collections::{BTreeMap, BTreeSet};

use girih_dsl::ast::GoldenBlock;
use girih_dsl::blocks::{Named, ProcedureGolden, Source, is_for_procedure, read_procedure_golden};
use girih_dsl::diag::Sink;
use girih_dsl::model::Model;
use girih_dsl::procedure::Type;
use girih_graph::{AxisId, AxisTable, Extent};
use girih_runtime::backend::{Bindings, silent};
use girih_runtime::tensor::Tensor;

use super::compare::{Row, compare};
use super::leaf::{Shape, about, arrangement_of, tensor_of};
use super::{Case, Report, refused};
use crate::checkpoint::to_declared;
use crate::failure::Failure;
use crate::procedure::{Around, Ready, Setup, models_of, static_tensor};
use crate::source::mistakes;

impl Case<'_> {
    /// Runs the blocks that are for procedures.
    pub(super) fn procedures(
        &self,
        declared: &[GoldenBlock],
        claimed: &mut BTreeSet<String>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        for block in declared {
            if !is_for_procedure(self.program, block) {
                continue;
            }
            let mut sink = Sink::new();
            let golden =
                read_procedure_golden(self.program, block, &self.config, &self.stored, &mut sink);
            let Some(golden) = golden.filter(|_| !sink.has_errors()) else {
                return Err(mistakes(&self.program.sources, &sink, self.colors));
            };
            match &golden.elsewhere {
                Some(reason) => report.notes.push(format!(
                    "golden block `{}` does not apply: {reason}",
                    golden.name
                )),
                None => self.procedure(&golden, claimed, report)?,
            }
        }
        Ok(())
    }

    fn procedure(
        &self,
        golden: &ProcedureGolden,
        claimed: &mut BTreeSet<String>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let none = BTreeMap::new();
        let mut setup = Setup {
            program: self.program,
            name: Some(&golden.procedure),
            backend: self.backend,
            weights: &BTreeMap::new(),
            params: &none,
            set: &golden.set,
            seed: 0,
            colors: self.colors,
            tokenizer: None,
        };
        let models = models_of(&setup)?;
        let mut sink = Sink::new();
        let Some(lines) = golden.params(&models, &self.stored, &mut sink) else {
            return Err(mistakes(&self.program.sources, &sink, self.colors));
        };
        let params = self.procedure_params(&models, &lines)?;
        setup.params = &params;
        let ready = Ready::new(&setup)?;
        let mut inputs = BTreeMap::new();
        for named in &golden.inputs {
            let own = ready.procedure.inputs.iter();
            let input = own.clone().find(|input| input.name == named.path);
            let Some(input) = input else {
                let names: Vec<&str> = own.map(|input| input.name.as_str()).collect();
                return Err(about(
                    named,
                    &format!(
                        "the procedure has no such input; it has `{}`",
                        names.join("`, `")
                    ),
                ));
            };
            let ty = &ready.procedure.variables[input.variable.0].ty;
            let tensor = match (tensor_of(named, &self.tensors)?, &named.source) {
                (Some(tensor), _) => arranged(named, &tensor, ty)?,
                (None, Source::Value(value)) => {
                    let dtype = match ty {
                        Type::Tensor { dtype, .. } => *dtype,
                        _ => return Err(about(named, &"the input is no tensor")),
                    };
                    static_tensor(value, dtype)
                        .ok_or_else(|| about(named, &format!("the value is no `{ty}`")))?
                }
                (None, _) => return Err(about(named, &"it has no tensor")),
            };
            inputs.insert(named.path.clone(), tensor);
        }
        let result = ready.run(
            &inputs,
            &mut Around {
                emit: &mut |_, _| Ok(()),
                wait: &mut || Ok(None),
                progress: &mut silent,
                limit: Bindings::LIMIT,
            },
        )?;
        let named = [&golden.inputs, &lines, &golden.values];
        let names = named
            .into_iter()
            .flatten()
            .flat_map(|own| own.source.names());
        claimed.extend(names.chain(&golden.ignored).cloned());
        for named in &golden.values {
            let row = match &result {
                Some((ty, value)) => {
                    let mut words: Vec<String> = named.path.split('.').map(str::to_owned).collect();
                    // What is returned as a whole is `out`.
                    if ty.at(&words).is_none() && words.first().is_some_and(|own| own == "out") {
                        words.remove(0);
                    }
                    let ours = value.tensor(ty, &words).map_err(refused)?;
                    self.procedure_row(golden, named, ours.zip(ty.at(&words)))?
                }
                None => self.procedure_row(golden, named, None)?,
            };
            report.rows.push(row);
        }
        Ok(())
    }

    fn procedure_row(
        &self,
        golden: &ProcedureGolden,
        named: &Named,
        ours: Option<(Tensor, &Type)>,
    ) -> Result<Row, Failure> {
        let label = named.source.names().join(", ");
        let Some(reference) = tensor_of(named, &self.tensors)? else {
            return Err(about(named, &"a value is compared with a tensor"));
        };
        let shape = reference.shape().to_vec();
        let miss = |note: String| Row::miss(&golden.name, &label, "value", &shape, note);
        let Some((ours, ty)) = ours else {
            return Ok(miss("the procedure returns no such value".to_owned()));
        };
        let theirs = match arranged(named, &reference, ty) {
            Ok(theirs) => theirs,
            Err(failure) => return Ok(miss(failure.to_string())),
        };
        let bound = self.tolerance.of(&label, false);
        let mut row = compare((&golden.name, &label, "value"), &ours, &theirs, bound, None);
        row.shape = shape;
        Ok(row)
    }

    fn procedure_params(
        &self,
        models: &[(String, Model)],
        lines: &[Named],
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        let sizes = BTreeMap::new();
        let mut params = BTreeMap::new();
        for named in lines {
            let found = models.iter().find_map(|(name, model)| {
                let path = named.path.strip_prefix(name.as_str())?.strip_prefix('.')?;
                let info = model.params.iter().find(|info| info.path == path)?;
                Some((model, info))
            });
            let (Some((model, info)), Some(tensor)) = (found, tensor_of(named, &self.tensors)?)
            else {
                return Err(about(named, &"the parameter has no tensor"));
            };
            // Parameters are made in a graph of their own, whose axes are the model's.
            let shape = Shape {
                table: &model.graph.axes,
                lifted: &[],
                groups: &info.stored,
                sizes: &sizes,
            };
            let arrangement = arrangement_of(named, &shape, tensor.shape())
                .map_err(|error| about(named, &error))?;
            let tensor =
                to_declared(&tensor, &arrangement).map_err(|error| about(named, &error))?;
            params.insert(named.path.clone(), tensor.to_dtype(info.dtype));
        }
        Ok(params)
    }
}

/// A file's tensor with the axes of a type, in its order.
fn arranged(named: &Named, tensor: &Tensor, ty: &Type) -> Result<Tensor, Failure> {
    let mut table = AxisTable::default();
    let mut groups: Vec<Vec<AxisId>> = Vec::new();
    for axis in ty.axes() {
        let extent = axis.size.clone();
        let extent = extent.unwrap_or_else(|| Extent::symbol(&axis.name));
        groups.push(vec![table.add(&axis.name, extent, None, false)]);
    }
    let shape = Shape {
        table: &table,
        lifted: &[],
        groups: &groups,
        sizes: &BTreeMap::new(),
    };
    let arrangement =
        arrangement_of(named, &shape, tensor.shape()).map_err(|error| about(named, &error))?;
    to_declared(tensor, &arrangement).map_err(|error| about(named, &error))
}
