//! What is missing, left over or of another shape: all of it, with nearest names.

use std::fmt::Write as _;

use super::super::nearest_name;
use super::WeightPlan;
use super::plan::Planner;
use crate::ast::WeightsBlock;
use crate::diag::{Code, Diagnostic, Sink};

impl Planner<'_> {
    /// The plan, or everything that is wrong.
    pub(super) fn finish(
        mut self,
        block: Option<&WeightsBlock>,
        sink: &mut Sink,
    ) -> Option<WeightPlan> {
        let mut told = std::mem::take(&mut self.told);
        told.extend(self.missing(block));
        told.extend(self.surplus(block));
        told.extend(self.misshaped(block));
        let sizes = self.found_sizes();
        let mistakes = !told.is_empty();
        for diagnostic in told {
            sink.report(diagnostic);
        }
        if mistakes {
            return None;
        }
        let loads: Option<Vec<_>> = self.loads.into_iter().map(|load| Some(load?.0)).collect();
        Some(WeightPlan {
            loads: loads?,
            copies: self.copies,
            ignored: self.ignored,
            sizes,
        })
    }

    fn missing(&self, block: Option<&WeightsBlock>) -> Option<Diagnostic> {
        let count = self.missing.len();
        let (&first, names) = self.missing.first_key_value()?;
        let message = match count {
            1 => format!(
                "no stored tensor makes the parameter `{}`: there is no `{}`",
                self.params[first].path,
                names.join("`, `")
            ),
            count => format!("{count} parameters have no stored tensor"),
        };
        let mut diagnostic = at_block(Diagnostic::error(Code::new(602), message), block);
        for (index, names) in &self.missing {
            let mut note = format!(
                "`{}` is looked for as `{}`",
                self.params[*index].path,
                names.join("`, `")
            );
            let free = (self.stored.iter().zip(&self.claimed)).filter(|(_, claimed)| !**claimed);
            if let Some(near) = names
                .first()
                .and_then(|name| nearest_name(name, free.map(|(stored, _)| stored.name.as_str())))
            {
                // Writing to a `String` cannot fail.
                let _ = write!(note, "; the file has `{near}`");
            }
            diagnostic = diagnostic.note(note);
        }
        Some(diagnostic)
    }

    fn surplus(&self, block: Option<&WeightsBlock>) -> Option<Diagnostic> {
        let left: Vec<_> = (self.stored.iter().zip(&self.claimed))
            .filter(|(_, claimed)| !**claimed)
            .map(|(stored, _)| stored)
            .collect();
        let message = match left.as_slice() {
            [] => return None,
            [one] => format!("the stored tensor `{}` belongs to no parameter", one.name),
            several => format!("{} stored tensors belong to no parameter", several.len()),
        };
        let mut diagnostic = at_block(Diagnostic::error(Code::new(603), message), block);
        let wanted: Vec<&str> = self
            .missing
            .values()
            .flatten()
            .map(String::as_str)
            .collect();
        for stored in left {
            let mut note = format!("`{}` of shape {:?}", stored.name, stored.shape);
            if let Some(near) = nearest_name(&stored.name, wanted.iter().copied()) {
                let _ = write!(note, "; looked for is `{near}`");
            }
            diagnostic = diagnostic.note(note);
        }
        Some(diagnostic.help(
            "write `\"name\" = path`, or `\"name\" = ignore` for what the model does not use",
        ))
    }

    fn misshaped(&self, block: Option<&WeightsBlock>) -> Option<Diagnostic> {
        let message = match self.misshaped.as_slice() {
            [] => return None,
            [(what, problem)] => format!("{what} does not fit: {problem}"),
            several => format!(
                "{} stored tensors have another shape than declared",
                several.len()
            ),
        };
        let mut diagnostic = at_block(Diagnostic::error(Code::new(604), message), block);
        if self.misshaped.len() > 1 {
            for (what, problem) in &self.misshaped {
                diagnostic = diagnostic.note(format!("{what}: {problem}"));
            }
        }
        Some(diagnostic)
    }
}

fn at_block(diagnostic: Diagnostic, block: Option<&WeightsBlock>) -> Diagnostic {
    match block {
        Some(block) => diagnostic.at(block.name.span, "by this block"),
        None => diagnostic,
    }
}
