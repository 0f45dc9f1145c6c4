//! What is known of whole tiles of an attention's domain, as conditions of the tile's ends.

use girih_graph::AxisId;
use girih_plan::plan::{Attention, Domain, Section, Tensor};

use super::KEYS;
use crate::source::sizes::Sizes;
use crate::source::{Code, Refusal, lines};

/// Reads what is known of the block's rows, before the loop over tiles.
pub(super) fn rows(
    code: &mut Code,
    sizes: &mut Sizes,
    attention: &Attention,
    section: &Section,
) -> Result<(), Refusal> {
    let labels = attention.domain.labels();
    for (at, label) in labels.iter().enumerate().step_by(2) {
        let place = "row0 + lane < last_row ? row0 + lane : last_row";
        let label = &section.tensors[label.index()];
        let axis = attention.rows;
        range(code, sizes, attention, (label, axis), (at, place))?;
    }
    Ok(())
}

/// The least and the largest label of a warp's positions.
fn range(
    code: &mut Code,
    sizes: &mut Sizes,
    attention: &Attention,
    (label, axis): (&Tensor, AxisId),
    (at, place): (usize, &str),
) -> Result<(), Refusal> {
    let mut terms = vec![sizes.text(&label.offset)?];
    for (point, own) in attention.points.iter().enumerate() {
        let step = lines::step(label, *own);
        if step.as_constant() != Some(0) {
            terms.push(format!("p{point} * {}", sizes.text(&step)?));
        }
    }
    let step = sizes.text(&lines::step(label, axis))?;
    terms.push(format!("({place}) * {step}"));
    code.line(format!(
        "const i64 own{at} = label{at}[{}];",
        terms.join(" + ")
    ));
    code.line(format!(
        "const i64 least{at} = across<32, Min>(own{at}), most{at} = across<32, Max>(own{at});"
    ));
    Ok(())
}

/// Says what is known of the domain in a tile, and goes on with the next one if it is outside.
/// `mask` is a call that keeps a score of 0 where a pair counts, for each of the rows that a warp has.
pub(super) fn skip(
    code: &mut Code,
    sizes: &mut Sizes,
    attention: &Attention,
    section: &Section,
    mask: Option<&Looked<'_>>,
) -> Result<(), Refusal> {
    code.line(format!(
        "const i64 last_key = key0 + {KEYS} < keys ? key0 + {KEYS} - 1 : keys - 1;"
    ));
    let labels = attention.domain.labels();
    for (at, label) in labels.iter().enumerate().skip(1).step_by(2) {
        let place = "key0 + lane < last_key ? key0 + lane : last_key";
        let label = &section.tensors[label.index()];
        range(code, sizes, attention, (label, attention.keys), (at, place))?;
    }
    let mut next = 0;
    let (all, none) = known(&attention.domain, sizes, &mut next)?;
    if none != "false" {
        code.line(format!("if ({none}) continue;"));
    }
    if attention.edge.is_some() {
        code.line(format!("const bool whole = {all};"));
    }
    if let Some(Looked { call, rows, any }) = mask {
        code.open("if (!whole)");
        code.line("bool some = false;");
        code.line(format!("for (int r = 0; r < {rows}; ++r) some |= {call};"));
        code.line(format!("if (!{any}) continue;"));
        code.close();
    }
    Ok(())
}

/// How a tile is looked at before it is computed.
pub(super) struct Looked<'a> {
    /// Whether the pair of the row `r` and the lane's key counts.
    pub(super) call: &'a str,
    /// Rows of a warp.
    pub(super) rows: i64,
    /// Whether any thread has `some`.
    pub(super) any: &'a str,
}

/// When all pairs of a tile are in the domain, and when none is.
fn known(
    domain: &Domain,
    sizes: &mut Sizes,
    next: &mut usize,
) -> Result<(String, String), Refusal> {
    let both = |x: &str, y: &str, op: &str| match (op, x, y) {
        ("&&", "false", _) | ("&&", _, "false") => "false".to_owned(),
        ("&&", "true", other)
        | ("&&", other, "true")
        | ("||", "false", other)
        | ("||", other, "false") => other.to_owned(),
        ("||", "true", _) | ("||", _, "true") => "true".to_owned(),
        _ => format!("({x} {op} {y})"),
    };
    Ok(match domain {
        Domain::Unknown => ("false".to_owned(), "false".to_owned()),
        Domain::SameLabel(..) => {
            let (r, k) = (*next, *next + 1);
            *next += 2;
            (
                format!("(least{r} == most{r} && least{k} == most{k} && least{r} == least{k})"),
                format!("(most{r} < least{k} || most{k} < least{r})"),
            )
        }
        Domain::All => ("true".to_owned(), "false".to_owned()),
        Domain::Affine { row, key, offset } => {
            let offset = sizes.text(offset)?;
            let at = |factor: i64, least: bool, first: &str, last: &str| {
                let place = if (factor >= 0) == least { first } else { last };
                format!("{factor} * {place}")
            };
            let end = |least: bool| {
                format!(
                    "{} + {} + {offset}",
                    at(*row, least, "row0", "last_row"),
                    at(*key, least, "key0", "last_key")
                )
            };
            (format!("{} >= 0", end(true)), format!("{} < 0", end(false)))
        }
        Domain::And(x, y) => {
            let (x, y) = (known(x, sizes, next)?, known(y, sizes, next)?);
            (both(&x.0, &y.0, "&&"), both(&x.1, &y.1, "||"))
        }
        Domain::Or(x, y) => {
            let (x, y) = (known(x, sizes, next)?, known(y, sizes, next)?);
            (both(&x.0, &y.0, "||"), both(&x.1, &y.1, "&&"))
        }
    })
}
