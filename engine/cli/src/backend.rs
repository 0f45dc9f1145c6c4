//! Backends by the name that `--backend` takes.

use girih_runtime::backend::Backend;
use girih_runtime::reference::Reference;

use crate::failure::Failure;

/// Every name.
pub const NAMES: &[&str] = &["reference"];

/// The backend called `name`.
///
/// # Errors
///
/// There is none.
pub fn by_name(name: &str) -> Result<Box<dyn Backend>, Failure> {
    match name {
        "reference" => Ok(Box::new(Reference)),
        _ => Err(Failure::Misuse(format!(
            "there is no backend `{name}`; there is `{}`",
            NAMES.join("`, `")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_answer_to_their_names() {
        for name in NAMES {
            assert_eq!(
                by_name(name).map(|backend| backend.name()).ok(),
                Some(*name)
            );
        }
        assert!(by_name("gpu").is_err());
    }
}
