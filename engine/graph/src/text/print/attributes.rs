//! What of a primitive is fixed, as text; empty where nothing is.
//!
//! What the types say is not said again: the dtype of a cast, the axes of a table.

use std::fmt::Write as _;

use crate::axis::{AxisId, AxisTable};
use crate::dtype::DType;
use crate::extent::Extent;
use crate::name;
use crate::op::{Attribute, Literal, Op, Outside};

/// Tables with more numbers are shown as a hash where the text may be brief.
const LONG_TABLE: usize = 8;

pub(super) fn show(axes: &AxisTable, op: &Op, brief: bool) -> String {
    let name = |axis: &AxisId| name::show(axes.name(*axis));
    let list = |several: &[AxisId]| match several {
        [one] => name(one),
        _ => format!("[{}]", joined(several, name)),
    };
    let strided = |pairs: &[(AxisId, Extent)]| {
        let pair = |(axis, stride): &(AxisId, Extent)| format!("{}: {stride}", name(axis));
        format!("[{}]", joined(pairs, pair))
    };
    let mut all = Attributes(String::new());
    match op {
        Op::Const(literal) => return format!(" {}", show_literal(*literal)),
        Op::Table(dtype, _, data) => {
            let numbers = |number: &f64| show_number(*dtype, *number);
            if brief && data.len() > LONG_TABLE {
                all.add("hash", &name::quote(&format!("{:016x}", hash(data))));
            } else {
                all.add("data", &format!("[{}]", joined(data, numbers)));
            }
        }
        Op::Index(axis) => all.add("axis", &name(axis)),
        Op::Size(extent) => all.add("extent", &extent.to_string()),
        Op::Random(distribution, key, axes) => {
            all.add("distribution", distribution.word());
            let first = Extent::constant(0);
            let mut later = axes.clone();
            later.retain(|(_, from)| *from != first);
            if !later.is_empty() {
                all.add("from", &strided(&later));
            }
            all.add("key", &name::quote(key));
        }
        Op::Contract(over) | Op::Softmax(over) => all.add("over", &list(over)),
        Op::Reduce(combine, over) => {
            all.add("combine", combine.word());
            all.add("over", &list(over));
        }
        Op::Cumulate {
            combine,
            axis,
            reverse,
            exclusive,
        } => {
            all.add("axis", &name(axis));
            all.add("combine", combine.word());
            all.flag("exclusive", *exclusive);
            all.flag("reverse", *reverse);
        }
        Op::Order {
            axis,
            into,
            descending,
        } => {
            all.add("axis", &name(axis));
            all.flag("descending", *descending);
            all.add("into", &name(into));
        }
        Op::Gather { axis, outside } => {
            all.add("axis", &name(axis));
            match outside {
                Outside::Error => {}
                Outside::Zero => all.add("outside", outside.word()),
            }
        }
        Op::Scatter {
            axis,
            over,
            combine,
        } => {
            all.add("axis", &name(axis));
            all.add("combine", combine.word());
            all.add("over", &list(over));
        }
        Op::Window { axis, into, offset } => {
            all.add("axis", &name(axis));
            all.add("into", &strided(into));
            all.add("offset", &offset.to_string());
        }
        Op::Fold { from, axis, offset } => {
            all.add("axis", &name(axis));
            all.add("from", &strided(from));
            all.add("offset", &offset.to_string());
        }
        Op::Split(axis, into) => {
            all.add("axis", &name(axis));
            all.add("into", &list(into));
        }
        Op::Merge(from, axis) | Op::Concat(from, axis) => {
            all.add("axis", &name(axis));
            all.add("from", &list(from));
        }
        Op::Rename(pairs) => {
            let pair = |(old, new): &(AxisId, AxisId)| format!("{}: {}", name(old), name(new));
            all.add("axes", &format!("[{}]", joined(pairs, pair)));
        }
        Op::Expand(new) => all.add("axes", &list(new)),
        Op::Recurrence(recurrence) => {
            all.add("axis", &name(&recurrence.axis));
            all.flag("reverse", recurrence.reverse);
        }
        Op::Route(route) => {
            all.add("branch", &name(&route.branch));
            all.add("items", &list(&route.items));
        }
        Op::Call(call) => {
            let cores = |cores: Vec<&Vec<AxisId>>| {
                let core = |core: &&Vec<AxisId>| format!("[{}]", joined(core, name));
                format!("[{}]", joined(&cores, core))
            };
            all.add("callee", &name::quote(&call.callee));
            all.add(
                "gives",
                &cores(call.gives.iter().map(|(_, core)| core).collect()),
            );
            all.add("takes", &cores(call.takes.iter().collect()));
            if !call.attributes.is_empty() {
                let pair = |(key, value): &(_, Attribute)| {
                    let key: &std::sync::Arc<str> = key;
                    format!("{}: {}", name::show(key), show_attribute(value))
                };
                all.add("with", &format!("[{}]", joined(&call.attributes, pair)));
            }
        }
        Op::Input(..)
        | Op::Param(..)
        | Op::State(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Select
        | Op::Cast(_)
        | Op::GradAs => return String::new(),
    }
    format!(" {{{}}}", all.0)
}

struct Attributes(String);

impl Attributes {
    fn add(&mut self, key: &str, value: &str) {
        self.flag(key, true);
        // Writing to a `String` cannot fail.
        let _ = write!(self.0, ": {value}");
    }

    fn flag(&mut self, key: &str, set: bool) {
        if set {
            if !self.0.is_empty() {
                self.0.push_str(", ");
            }
            self.0.push_str(key);
        }
    }
}

fn joined<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    items.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn show_attribute(value: &Attribute) -> String {
    match value {
        Attribute::Bool(truth) => truth.to_string(),
        Attribute::Int(number) => number.to_string(),
        Attribute::Real(number) => show_real(*number),
        Attribute::Text(text) => name::quote(text),
    }
}

fn show_literal(literal: Literal) -> String {
    match literal {
        Literal::Real(_, number) => show_real(number),
        Literal::Int(_, number) => number.to_string(),
        Literal::Bool(truth) => truth.to_string(),
    }
}

/// A number of a table. Integers and truth values print without a fraction.
fn show_number(dtype: DType, number: f64) -> String {
    if dtype.is_real() || number.fract() != 0.0 {
        show_real(number)
    } else {
        number.to_string()
    }
}

/// The shortest text that reads back as the same number.
fn show_real(number: f64) -> String {
    if number.is_nan() {
        "nan".to_owned()
    } else {
        // `inf`, `-inf`, `0.1`, `1e-7`, `-0.0`.
        format!("{number:?}")
    }
}

/// FNV-1a over the bits: an arbitrary function, stable for ever.
fn hash(data: &[f64]) -> u64 {
    let bytes = data
        .iter()
        .flat_map(|number| number.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
