//! Sizes in generated code: constants are written, others are arguments.
//!
//! A symbol that only the device knows – where a tile lies, how long a block's part is – is a
//! variable; a size that it occurs in must be linear in it, and is written as such.

use std::sync::Arc;

use girih_graph::Extent;

use super::{Refusal, listed, types};

/// The arguments that a function has for sizes.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    list: Vec<Extent>,
    /// Symbols that are variables of the function.
    locals: Vec<(Arc<str>, String)>,
}

impl Sizes {
    pub(super) fn new(locals: &[(Arc<str>, String)]) -> Self {
        Self {
            list: Vec::new(),
            locals: locals.to_vec(),
        }
    }

    /// Sizes in the order of their arguments.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Extent> {
        self.list.iter()
    }

    /// Declarations of the arguments, each behind a comma.
    pub(super) fn parameters(&self) -> String {
        listed((0..self.list.len()).map(|at| format!("i64 s{at}")))
    }

    /// What the arguments are, for people.
    pub(super) fn comment(&self) -> String {
        let named = self.list.iter().enumerate();
        let named: Vec<String> = named.map(|(at, size)| format!("s{at} = {size}")).collect();
        if named.is_empty() {
            String::new()
        } else {
            format!("// {}\n", named.join(", "))
        }
    }

    /// A size as an expression that needs no parentheses.
    pub(super) fn text(&mut self, extent: &Extent) -> Result<String, Refusal> {
        if let Some(value) = extent.as_constant() {
            return Ok(types::int(value));
        }
        let symbols = extent.symbols();
        let locals: Vec<(Arc<str>, String)> = self
            .locals
            .iter()
            .filter(|(symbol, _)| symbols.contains(symbol))
            .cloned()
            .collect();
        if locals.is_empty() {
            return Ok(format!("s{}", self.argument(extent)));
        }
        self.linear(extent, &locals)
    }

    /// The number of a size's argument.
    fn argument(&mut self, extent: &Extent) -> usize {
        if let Some(at) = self.list.iter().position(|own| own == extent) {
            return at;
        }
        self.list.push(extent.clone());
        self.list.len() - 1
    }

    fn linear(
        &mut self,
        extent: &Extent,
        locals: &[(Arc<str>, String)],
    ) -> Result<String, Refusal> {
        let where_one = |one: Option<usize>| {
            extent.substitute(&|symbol| {
                let at = locals.iter().position(|(own, _)| &**own == symbol)?;
                Some(Extent::constant(i64::from(Some(at) == one)))
            })
        };
        let start = where_one(None);
        let mut rebuilt = start.clone();
        let mut terms = Vec::new();
        for (at, (symbol, variable)) in locals.iter().enumerate() {
            let factor = where_one(Some(at)).minus(&start);
            rebuilt = rebuilt.plus(&factor.times(&Extent::symbol(symbol)));
            match factor.as_constant() {
                Some(0) => {}
                Some(1) => terms.push(variable.clone()),
                _ => terms.push(format!("{} * {variable}", self.text(&factor)?)),
            }
        }
        if rebuilt != *extent {
            return Err(Refusal::new(format!(
                "the size `{extent}` is not linear in what only the device knows"
            )));
        }
        if start.as_constant() != Some(0) {
            terms.push(self.text(&start)?);
        }
        Ok(match terms.as_slice() {
            [] => "0".to_owned(),
            [one] if !one.contains(' ') => one.clone(),
            _ => format!("({})", terms.join(" + ")),
        })
    }
}
