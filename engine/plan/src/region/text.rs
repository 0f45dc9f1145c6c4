//! Real numbers as text, since JSON has no NaN and no infinity; and text that is shared.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serializer};

fn parse<E: serde::de::Error>(text: &str) -> Result<f64, E> {
    text.parse()
        .map_err(|_| E::custom(format!("`{text}` is no number")))
}

/// An `f64`.
pub(crate) mod real {
    use super::{Cow, Deserialize as _, Deserializer, Serializer, parse};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(real: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{real:?}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        parse(&Cow::<str>::deserialize(from)?)
    }
}

/// The bits of an `f64`.
pub(crate) mod bits {
    use super::{Deserializer, Serializer, real};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(bits: &u64, to: S) -> Result<S::Ok, S::Error> {
        real::serialize(&f64::from_bits(*bits), to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        Ok(real::deserialize(from)?.to_bits())
    }
}

/// Several, with spaces between.
pub(crate) mod reals {
    use super::{Arc, Cow, Deserialize as _, Deserializer, Serializer, parse};

    pub(crate) fn serialize<S: Serializer>(reals: &Arc<[f64]>, to: S) -> Result<S::Ok, S::Error> {
        let shown: Vec<String> = reals.iter().map(|real| format!("{real:?}")).collect();
        to.serialize_str(&shown.join(" "))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[f64]>, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        text.split_whitespace().map(parse).collect()
    }
}

/// A name.
pub(crate) mod name {
    use super::{Arc, Cow, Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(name: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        Ok(Cow::<str>::deserialize(from)?.into())
    }
}

/// Several names.
pub(crate) mod names {
    use super::{Arc, Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(names: &[Arc<str>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(names.iter().map(|name| &**name))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Arc<str>>, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        Ok(names.into_iter().map(Arc::from).collect())
    }
}
