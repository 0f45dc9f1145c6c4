//! Models that have a short name: model file, weights and tokenizer in one word.

/// A model with a short name.
#[derive(Clone, Copy, Debug)]
pub struct KnownModel {
    /// The name; also that of its checkpoint for `girih pull`.
    pub name: &'static str,
    /// What the model file is called in messages.
    pub file: &'static str,
    /// The model file.
    pub text: &'static str,
}

/// Every model with a short name.
pub const KNOWN_MODELS: &[KnownModel] = &[
    KnownModel {
        name: "smollm2",
        file: "examples/smollm2.girih",
        text: include_str!("../../../examples/smollm2.girih"),
    },
    KnownModel {
        name: "minilm",
        file: "examples/minilm.girih",
        text: include_str!("../../../examples/minilm.girih"),
    },
];

/// The model that is called so.
pub fn known_model(name: &str) -> Option<&'static KnownModel> {
    KNOWN_MODELS.iter().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use girih_runtime::pull::KNOWN;

    use super::*;

    #[test]
    fn known_models_have_known_checkpoints() {
        for known in KNOWN_MODELS {
            assert!(
                KNOWN.iter().any(|checkpoint| checkpoint.name == known.name),
                "{}",
                known.name
            );
        }
        assert!(known_model("no such model").is_none());
    }
}
