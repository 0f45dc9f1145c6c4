//! Backends by the name that `--backend` takes, and what may be asked of them.

use std::fmt;
use std::sync::Arc;

use girih_cpu::{Cpu, CpuOptions};
use girih_device::OnDevice;
use girih_runtime::backend::Backend;
use girih_runtime::plugin::{DeviceKind, PluginError};
use girih_runtime::reference::ReferenceWith;

use crate::failure::Failure;
use crate::plugin::at_hand;

/// Every name that is not a device's.
pub const NAMES: &[&str] = &["cpu", "reference"];

/// What a command asks of a backend. By default the backend decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Threads that compute together, from 1 on; the backend's own choice when absent.
    pub threads: Option<usize>,
    /// What products are computed with.
    pub compute: Compute,
}

/// What the products of a model's weights are computed with; results are `f32` in each case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Compute {
    /// As the model file says.
    #[default]
    F32,
    /// Weights and what they are multiplied with rounded to brain floats.
    Bf16,
    /// Weights rounded to 8-bit integers with a scale for each row.
    Int8,
}

impl From<Compute> for girih_cpu::Compute {
    fn from(compute: Compute) -> Self {
        match compute {
            Compute::F32 => Self::F32,
            Compute::Bf16 => Self::Bf16,
            Compute::Int8 => Self::Int8,
        }
    }
}

impl fmt::Display for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

/// What a command line says about the backend that runs a model.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Asked {
    /// What computes: `cpu`, `reference`, or a device of a plugin by its name, as `cuda` or `cuda:1`.
    #[arg(long, default_value = "cpu")]
    pub backend: String,
    /// Threads that compute together; the backend's own choice when absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// What products of weights are computed with, on backends that have it.
    #[arg(long, value_enum, default_value_t = Compute::F32)]
    pub compute: Compute,
}

impl Asked {
    /// The backend.
    ///
    /// # Errors
    ///
    /// As [`by_name`].
    pub fn make(&self) -> Result<Box<dyn Backend>, Failure> {
        let options = Options {
            threads: self.threads.map(usize::from),
            compute: self.compute,
        };
        by_name(&self.backend, &options)
    }
}

/// The backend called `name`, as asked for.
///
/// # Errors
///
/// There is none of this name, or it cannot do what is asked of it.
pub fn by_name(name: &str, options: &Options) -> Result<Box<dyn Backend>, Failure> {
    match name {
        "cpu" => Ok(Box::new(cpu(options)?)),
        "reference" => reference(options),
        _ => Ok(Box::new(device(name, options)?)),
    }
}

fn cpu(options: &Options) -> Result<Cpu, Failure> {
    let level = girih_cpu::requested_level();
    let level = level.map_err(|error| Failure::Misuse(format!("GIRIH_CPU_LEVEL: {error}")))?;
    let cpu = Cpu::new(CpuOptions {
        threads: options.threads,
        level: Some(level),
        compute: options.compute.into(),
    });
    Ok(cpu.with_natives(at_hand()))
}

/// The backend over a device of a plugin: `name`, or `name:number` where there are several.
///
/// # Errors
///
/// No plugin has a device of this name, or it cannot serve.
pub fn device(name: &str, options: &Options) -> Result<OnDevice, Failure> {
    let (word, number) = match name.split_once(':') {
        None => (name, 0),
        Some((word, number)) => {
            let number = number.parse().map_err(|_| {
                Failure::Misuse(format!(
                    "`{name}` is no device: what follows `:` is its number, from 0 on"
                ))
            })?;
            (word, number)
        }
    };
    let (kinds, refused) = at_hand().devices()?;
    let own: Vec<&DeviceKind> = kinds.iter().filter(|kind| kind.name == word).collect();
    let kind = match own.as_slice() {
        [] => return Err(unknown(name, &kinds, &refused)),
        [kind] => *kind,
        [one, other, ..] => {
            return Err(Failure::Misuse(format!(
                "the plugins `{}` and `{}` both have a device `{word}`; leave one out",
                one.library.note().id,
                other.library.note().id
            )));
        }
    };
    if let Err(reason) = &kind.score {
        return Err(Failure::Refused(format!(
            "the device `{word}` of the plugin `{}` cannot serve here: {reason}",
            kind.library.note().id
        )));
    }
    if options.compute != Compute::F32 {
        return Err(Failure::Misuse(format!(
            "a device computes as the model file says; leave `--compute {}` out",
            options.compute
        )));
    }
    let opened = kind.library.open_device(word, number);
    let opened = opened.ok_or_else(|| unknown(name, &kinds, &refused))?;
    let opened = opened.map_err(|error| Failure::Refused(error.to_string()))?;
    Ok(OnDevice::new(name, Arc::new(opened), cpu(options)?))
}

/// That there is no such backend, what there is, and why the rest cannot serve.
fn unknown(name: &str, kinds: &[DeviceKind], refused: &[PluginError]) -> Failure {
    let able = kinds.iter().filter(|kind| kind.score.is_ok());
    let names: Vec<&str> = (NAMES.iter().copied())
        .chain(able.map(|kind| kind.name.as_str()))
        .collect();
    let mut said = vec![format!(
        "there is no backend `{name}`; there is `{}`",
        names.join("`, `")
    )];
    for kind in kinds {
        if let Err(reason) = &kind.score {
            said.push(format!("`{}` cannot serve here: {reason}", kind.name));
        }
    }
    said.extend(refused.iter().map(ToString::to_string));
    Failure::Misuse(said.join("; "))
}

fn reference(options: &Options) -> Result<Box<dyn Backend>, Failure> {
    if options.threads.is_some() {
        return Err(Failure::Misuse(
            "the backend `reference` does not let its threads be chosen; leave `--threads` out"
                .to_owned(),
        ));
    }
    if options.compute != Compute::F32 {
        return Err(Failure::Misuse(format!(
            "the backend `reference` computes in f32 alone; leave `--compute {}` out",
            options.compute
        )));
    }
    Ok(Box::new(ReferenceWith(at_hand())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_answer_to_their_names() {
        for name in NAMES {
            assert_eq!(
                by_name(name, &Options::default())
                    .map(|backend| backend.name().to_owned())
                    .ok(),
                Some((*name).to_owned())
            );
        }
        assert!(by_name("gpu", &Options::default()).is_err());
    }

    #[test]
    fn what_a_backend_lacks_is_refused() {
        let check = |options: Options, said: &str| {
            let refused = by_name("reference", &options).map(|_| ()).unwrap_err();
            assert!(refused.to_string().contains(said), "{refused}");
        };
        let threads = Some(2);
        check(
            Options {
                threads,
                ..Options::default()
            },
            "leave `--threads` out",
        );
        let compute = Compute::Int8;
        check(
            Options {
                compute,
                ..Options::default()
            },
            "`--compute int8`",
        );
    }
}
