//! Which instructions of the CPU the routines may use.
//!
//! A level is a set of CPU features that routines are compiled for. The machine's best one is detected once; the
//! environment variable `GIRIH_CPU_LEVEL` lowers it, so that one machine can test what others run. Never names a
//! level that the machine cannot run.

#[cfg(target_arch = "x86_64")]
mod tiles;

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use tiles::has_tiles;

/// The environment variable that lowers the level.
pub const LEVEL_VARIABLE: &str = "GIRIH_CPU_LEVEL";

/// A set of CPU features that routines are compiled for. On one architecture, a greater level includes the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What every CPU of the architecture has; on x86-64 that is 128-bit SSE2 without fused multiply-add.
    Baseline,
    /// x86-64 with AVX2, FMA and F16C: 256-bit vectors.
    Avx2,
    /// x86-64 with AVX-512 F, BW, CD, DQ and VL: 512-bit vectors with masks.
    Avx512,
    /// The same with AMX, tiles of brain floats and of bytes. Asked for by name alone: no machine has run it yet.
    Amx,
    /// 64-bit Arm: 128-bit vectors with fused multiply-add.
    Neon,
}

/// Why a word names no level of this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// No level has this name.
    #[error("`{word}` is no CPU level: write one of {}", names(.available))]
    Unknown {
        /// As it was given.
        word: String,
        /// What this machine can run.
        available: Vec<Level>,
    },
    /// The level exists, but this machine lacks its instructions.
    #[error("this machine cannot run CPU level `{}`: it has {}", .level.name(), names(.available))]
    Missing {
        /// The level that was asked for.
        level: Level,
        /// What this machine can run.
        available: Vec<Level>,
    },
}

/// Level names in backticks, separated by commas.
fn names(levels: &[Level]) -> String {
    let quoted: Vec<String> = levels
        .iter()
        .map(|level| format!("`{}`", level.name()))
        .collect();
    quoted.join(", ")
}

impl Level {
    /// Every level of every architecture.
    pub const ALL: [Self; 5] = [
        Self::Baseline,
        Self::Avx2,
        Self::Avx512,
        Self::Amx,
        Self::Neon,
    ];

    /// The word for it in the environment variable and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
            Self::Neon => "neon",
        }
    }
}

/// The level that this machine runs unless another is asked for: the best one, but for [`Level::Amx`].
pub fn detected() -> Level {
    static DETECTED: OnceLock<Level> = OnceLock::new();
    *DETECTED.get_or_init(detect)
}

/// Every level this machine can run, greater ones later.
pub fn available() -> Vec<Level> {
    let best = detected();
    Level::ALL
        .into_iter()
        .filter(|&level| match level {
            Level::Baseline => true,
            Level::Avx2 | Level::Avx512 => best != Level::Neon && level <= best,
            Level::Amx => best == Level::Avx512 && has_tiles(),
            Level::Neon => best == Level::Neon,
        })
        .collect()
}

/// The level that a word names, if this machine can run it. Case does not matter.
///
/// Errors when no level has that name, or when the machine lacks it.
pub fn parse(word: &str) -> Result<Level, LevelError> {
    let available = available();
    let Some(level) = Level::ALL
        .into_iter()
        .find(|level| level.name().eq_ignore_ascii_case(word.trim()))
    else {
        return Err(LevelError::Unknown {
            word: word.to_owned(),
            available,
        });
    };
    if available.contains(&level) {
        Ok(level)
    } else {
        Err(LevelError::Missing { level, available })
    }
}

/// What the environment asks for: the detected level if it asks for nothing.
///
/// Errors as [`parse`]; whoever talks to a person reports that before work starts.
pub fn requested() -> Result<Level, LevelError> {
    match std::env::var_os(LEVEL_VARIABLE) {
        None => Ok(detected()),
        Some(word) if word.is_empty() => Ok(detected()),
        Some(word) => parse(&word.to_string_lossy()),
    }
}

/// The level to run: what the environment asks for, or the detected level where that is nothing this machine has.
///
/// Read once per process.
pub fn chosen() -> Level {
    static CHOSEN: OnceLock<Level> = OnceLock::new();
    *CHOSEN.get_or_init(|| requested().unwrap_or_else(|_| detected()))
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    macro_rules! have {
        ($($feature:tt)*) => { $(std::arch::is_x86_feature_detected!($feature))&&* };
    }
    let avx2 = have!("avx2" "fma" "f16c");
    let avx512 = avx2 && have!("avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl");
    match (avx512, avx2) {
        (true, _) => Level::Avx512,
        (false, true) => Level::Avx2,
        (false, false) => Level::Baseline,
    }
}

#[cfg(target_arch = "aarch64")]
fn detect() -> Level {
    Level::Neon
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Level {
    Level::Baseline
}

/// Only x86-64 has them.
#[cfg(not(target_arch = "x86_64"))]
fn has_tiles() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detected_level_is_available_and_the_best() {
        let levels = available();
        assert_eq!(levels.first(), Some(&Level::Baseline));
        let mut usual = levels.iter().filter(|level| **level != Level::Amx);
        assert_eq!(usual.next_back(), Some(&detected()));
    }

    #[test]
    fn words_name_levels() {
        assert_eq!(parse("baseline"), Ok(Level::Baseline));
        assert_eq!(parse(" BaseLine "), Ok(Level::Baseline));
        for level in Level::ALL {
            assert_eq!(parse(level.name()).is_ok(), available().contains(&level));
        }
        for word in ["", "avx", "avx-512", "sse2", "\0"] {
            let error = parse(word).unwrap_err();
            assert!(matches!(error, LevelError::Unknown { .. }));
            assert!(error.to_string().contains("`baseline`"), "{error}");
        }
    }
}
