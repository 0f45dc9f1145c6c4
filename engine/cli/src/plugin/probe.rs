//! What `girih plugin check` tries, each in a process of its own.
//!
//! | file         | question                                                        |
//! |--------------|-----------------------------------------------------------------|
//! | `border`     | does it speak every version, and say of itself what is true?    |
//! | `numbers`    | are its numbers those of its text?                              |
//! | `conduct`    | does it keep to its memory, threads and bounds?                 |
//! | `derivative` | is its gradient the derivative, and its stream the whole?       |
//! | `device`     | do its devices keep memory, and compute what a processor does?  |

mod border;
mod conduct;
mod derivative;
mod device;
mod numbers;

use std::path::Path;
use std::sync::Arc;

use girih_runtime::plugin::{Library, PluginNative};

use super::meaning::Meaning;
use super::signature::{self, Declared, Function};
use super::trial::Sizes;

/// What came of a probe: it holds, there was nothing to try (why), or it fails (how).
pub(super) type Verdict = Result<Option<String>, String>;

/// One thing that is tried.
pub(super) struct Probe {
    /// As in the table.
    pub(super) name: &'static str,
    /// What holds if it holds.
    pub(super) claim: &'static str,
    /// Tries it.
    pub(super) run: fn(&Path, u64) -> Verdict,
}

/// Every probe, in the order of the table.
pub(super) const ALL: &[Probe] = &[
    Probe {
        name: "metadata",
        claim: "the note in the file is whole and for this machine",
        run: border::metadata,
    },
    Probe {
        name: "versions",
        claim: "older and newer hosts get the tables they know",
        run: border::versions,
    },
    Probe {
        name: "text",
        claim: "every kernel has its function in the text, and compiles",
        run: |p, s| with(p, s, border::text),
    },
    Probe {
        name: "values",
        claim: "results are those of the text, for drawn sizes",
        run: |p, s| with(p, s, numbers::values),
    },
    Probe {
        name: "small",
        claim: "axes of size 0 and 1 are like any other",
        run: |p, s| with(p, s, numbers::small),
    },
    Probe {
        name: "dtypes",
        claim: "every dtype is computed, or left to the text",
        run: |p, s| with(p, s, numbers::dtypes),
    },
    Probe {
        name: "strides",
        claim: "operands with gaps give the same results",
        run: |p, s| with(p, s, numbers::strides),
    },
    Probe {
        name: "nan",
        claim: "NaN and infinity come out where the text has them",
        run: |p, s| with(p, s, numbers::not_numbers),
    },
    Probe {
        name: "sharing",
        claim: "operands may be one tensor",
        run: |p, s| with(p, s, numbers::sharing),
    },
    Probe {
        name: "bounds",
        claim: "nothing beside results and workspace is touched",
        run: |p, s| with(p, s, conduct::bounds),
    },
    Probe {
        name: "dirt",
        claim: "what results and workspace held before does not matter",
        run: |p, s| with(p, s, conduct::dirt),
    },
    Probe {
        name: "threads",
        claim: "any number of threads gives the same bits",
        run: |p, s| with(p, s, conduct::threads),
    },
    Probe {
        name: "memory",
        claim: "kernels give back what they took, and runs take nothing",
        run: |p, s| with(p, s, conduct::memory),
    },
    Probe {
        name: "cost",
        claim: "costs are numbers that can be",
        run: |p, s| with(p, s, conduct::cost),
    },
    Probe {
        name: "gradient",
        claim: "the gradient is the derivative",
        run: |p, s| with(p, s, derivative::gradient),
    },
    Probe {
        name: "stream",
        claim: "pieces give what the whole gives",
        run: |p, s| with(p, s, derivative::stream),
    },
    Probe {
        name: "device",
        claim: "memory of devices keeps what is written",
        run: |p, s| with(p, s, |own| device::memory(&own.library, own.seed)),
    },
    Probe {
        name: "regions",
        claim: "what devices take gives what the processor gives",
        run: |p, s| with(p, s, |own| device::regions(&own.library, own.seed)),
    },
];

/// A loaded plugin under trial.
struct Subject {
    library: Arc<Library>,
    declared: Declared,
    seed: u64,
}

/// One operation under trial.
struct Operation<'a> {
    native: PluginNative,
    function: &'a Function,
    meaning: Meaning,
}

fn with(path: &Path, seed: u64, probe: fn(&Subject) -> Verdict) -> Verdict {
    let library = Library::open(path).map_err(|error| error.to_string())?;
    let declared = signature::read(&library.note().id, library.source())?;
    probe(&Subject {
        library,
        declared,
        seed,
    })
}

impl Subject {
    fn meaning(&self, function: &Function) -> Result<Meaning, String> {
        let id = &self.library.note().id;
        Meaning::new(id, self.library.source(), &self.declared, function)
    }

    /// Every operation that has a kernel and a body to hold it against.
    fn operations(&self) -> Result<Vec<Operation<'_>>, String> {
        let known = (self.declared.functions.iter())
            .filter(|function| function.version.is_some() && function.body);
        known
            .filter_map(|function| {
                let native = PluginNative::new(&self.library, &function.operation())?;
                Some(self.meaning(function).map(|meaning| Operation {
                    native,
                    function,
                    meaning,
                }))
            })
            .collect()
    }

    /// Holds if `probe` holds for each operation; skipped if it was for all.
    fn each(&self, probe: impl Fn(&Operation<'_>) -> Verdict) -> Verdict {
        let mut skipped = None;
        let mut held = false;
        for operation in self.operations()? {
            match probe(&operation) {
                Ok(None) => held = true,
                Ok(Some(why)) => skipped = skipped.or(Some(why)),
                Err(said) => return Err(format!("`{}`: {said}", operation.function.name)),
            }
        }
        match (held, skipped) {
            (true, _) => Ok(None),
            (false, Some(why)) => Ok(Some(why)),
            (false, None) => Ok(Some(
                "no operation has a body to be held against".to_owned(),
            )),
        }
    }
}

/// Sizes for the axes of a function, drawn from `menu`.
fn sizes(function: &Function, seed: u64, menu: &[i64]) -> Sizes {
    let mut state = seed;
    let types = function.operands.iter().map(|operand| &operand.ty);
    let axes = types.chain(&function.results).flat_map(|ty| &ty.axes);
    let mut found = Sizes::new();
    for axis in axes {
        found
            .entry(axis.clone())
            .or_insert_with(|| menu[(mixed(&mut state) % menu.len() as u64) as usize]);
    }
    found
}

/// The next number of a sequence that a seed begins: splitmix64 (Steele, Lea and Flood 2014).
fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
