//! Which module of which file, with which static arguments: what most commands begin with.

use std::path::PathBuf;

use girih_dsl::diag::Colors;
use girih_dsl::elaborate::Request;
use girih_dsl::model::{Model, Static};
use girih_dsl::program::Program;

use crate::failure::Failure;
use crate::setting;
use crate::source::{compile, load};

/// A module of a model file with its static arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// The model file.
    pub(super) file: PathBuf,
    /// Which module; without it the last `model` of the file, or its last module.
    #[arg(long, value_name = "NAME")]
    pub(super) module: Option<String>,
    /// A static argument; the value is JSON or a bare word. May be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting::parse)]
    pub(super) settings: Vec<(String, Static)>,
}

impl Selection {
    /// What is asked of the elaborator.
    pub(super) fn request(&self) -> Request {
        Request {
            module: self.module.clone(),
            statics: self.settings.clone(),
            ..Request::default()
        }
    }

    /// The typed model, and the program it comes from.
    pub(super) fn compile(&self, colors: Colors) -> Result<(Program, Model), Failure> {
        let (program, sink) = load(&self.file)?;
        let model = compile(&program, &self.request(), sink, colors)?;
        Ok((program, model))
    }
}
