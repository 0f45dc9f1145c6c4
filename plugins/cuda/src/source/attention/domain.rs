//! What is known of whole tiles of an attention's domain, as conditions of the tile's ends.

use girih_plan::plan::{Attention, Domain};

use super::KEYS;
use crate::source::sizes::Sizes;
use crate::source::{Code, Refusal};

/// Says what is known of the domain in a tile, and goes on with the next one if it is outside.
pub(super) fn skip(
    code: &mut Code,
    sizes: &mut Sizes,
    attention: &Attention,
) -> Result<(), Refusal> {
    code.line(format!(
        "const i64 last_key = key0 + {KEYS} < keys ? key0 + {KEYS} - 1 : keys - 1;"
    ));
    let (all, none) = known(&attention.domain, sizes)?;
    if none != "false" {
        code.line(format!("if ({none}) continue;"));
    }
    if attention.edge.is_some() {
        code.line(format!("const bool whole = {all};"));
    }
    Ok(())
}

/// When all pairs of a tile are in the domain, and when none is.
fn known(domain: &Domain, sizes: &mut Sizes) -> Result<(String, String), Refusal> {
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
        Domain::Unknown | Domain::SameLabel(..) => ("false".to_owned(), "false".to_owned()),
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
            let (x, y) = (known(x, sizes)?, known(y, sizes)?);
            (both(&x.0, &y.0, "&&"), both(&x.1, &y.1, "||"))
        }
        Domain::Or(x, y) => {
            let (x, y) = (known(x, sizes)?, known(y, sizes)?);
            (both(&x.0, &y.0, "||"), both(&x.1, &y.1, "&&"))
        }
    })
}
