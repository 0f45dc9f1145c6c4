//! The machine that code is made for: a CPU level as settings of the code generator.

use std::sync::Arc;

use cranelift_codegen::isa::{self, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use girih_kernels::level::Level;

use super::CodeError;

/// Instructions that lowering chooses by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// One rounding for a product and a sum.
    pub(super) fma: bool,
    /// Rounding to integers in one instruction, and widening in vectors.
    pub(super) rounding: bool,
}

/// The level's target, with nothing that the level lacks.
pub(super) fn target(level: Level) -> Result<(Arc<dyn TargetIsa>, Features), CodeError> {
    let failed = |error: &dyn std::fmt::Display| CodeError::Target(error.to_string());
    let mut flags = settings::builder();
    let mut set = |name: &str, value: &str| flags.set(name, value).map_err(|e| failed(&e));
    set("opt_level", "speed")?;
    set("is_pic", "false")?;
    set(
        "enable_verifier",
        if cfg!(debug_assertions) {
            "true"
        } else {
            "false"
        },
    )?;
    let triple = target_lexicon::Triple::host();
    let mut builder = isa::lookup(triple).map_err(|error| failed(&error))?;
    let own: &[&str] = match level {
        Level::Baseline | Level::Neon => &[],
        Level::Avx2 | Level::Avx512 | Level::Amx => &[
            "has_sse3",
            "has_ssse3",
            "has_sse41",
            "has_sse42",
            "has_popcnt",
            "has_avx",
            "has_avx2",
            "has_fma",
            "has_bmi1",
            "has_bmi2",
            "has_lzcnt",
        ],
    };
    let more: &[&str] = match level {
        Level::Avx512 | Level::Amx => &["has_avx512f", "has_avx512dq", "has_avx512vl"],
        Level::Baseline | Level::Avx2 | Level::Neon => &[],
    };
    for name in own.iter().chain(more) {
        builder.enable(name).map_err(|error| failed(&error))?;
    }
    let isa = builder
        .finish(settings::Flags::new(flags))
        .map_err(|error| failed(&error))?;
    let modern = level != Level::Baseline || cfg!(target_arch = "aarch64");
    let features = Features {
        fma: modern,
        rounding: modern,
    };
    Ok((isa, features))
}
