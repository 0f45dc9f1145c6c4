//! Sessions in files.
//!
//! A saved session is a safetensors file: what it was opened with, what it carries, and in
//! its metadata the version of this layout, the fingerprints of the model's graph and of its
//! parameters, and the position. The file appears whole or not at all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{Opening, Point, Session, SessionError, StreamModel};
use crate::backend::Data;
use crate::tensor::Tensor;
use crate::weights::{SafeTensors, WeightSource, write_safetensors};

/// The version of the layout that is written, and the only one that is read.
const VERSION: &str = "3";

impl Session {
    /// Writes the session to a file; marks are left out.
    ///
    /// # Errors
    ///
    /// A file that cannot be written, a device that does not answer, weights that were
    /// [shared](StreamModel::share): nobody could say then to which ones the session belongs.
    pub fn save(&self, file: &Path) -> Result<(), SessionError> {
        let stream = self.model.stream();
        let weighted = [&stream.once, &stream.step].map(|graph| !graph.params().is_empty());
        if self.model.parameters() == 0 && weighted.contains(&true) {
            return Err(SessionError::Shared);
        }
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        let parts = [
            ("input", &self.opening.inputs),
            ("state", &self.opening.states),
            ("carry", &self.point.carries),
            ("update", &self.point.updates),
        ];
        for (part, data) in parts {
            for (name, data) in data {
                tensors.push((format!("{part}:{name}"), data.to_host()?));
            }
        }
        let symbols = self.symbols.iter();
        let symbols: Vec<String> = symbols
            .map(|(name, size)| format!("{name}={size}"))
            .collect();
        let metadata = BTreeMap::from([
            ("girih.session".to_owned(), VERSION.to_owned()),
            (
                "model".to_owned(),
                format!("{:016x}", self.model.fingerprint()),
            ),
            (
                "parameters".to_owned(),
                format!("{:016x}", self.model.parameters()),
            ),
            ("position".to_owned(), self.point.position.to_string()),
            ("seed".to_owned(), self.opening.seed.to_string()),
            ("sizes".to_owned(), symbols.join("\n")),
        ]);
        let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        write_safetensors(file, named, &metadata)?;
        Ok(())
    }

    /// A session that was saved, of the same model, with a limit for this process.
    ///
    /// # Errors
    ///
    /// A file that is no saved session, is damaged, or belongs to another model or version.
    pub fn restore(
        model: &Arc<StreamModel>,
        file: &Path,
        limit: u64,
    ) -> Result<Self, SessionError> {
        let saved = |problem: String| SessionError::Saved {
            file: file.to_owned(),
            problem,
        };
        let stored = SafeTensors::open(file)?;
        let metadata = stored.metadata().as_map().cloned().unwrap_or_default();
        let text = |key: &str| -> Result<&str, SessionError> {
            let found = metadata.get(key).and_then(|value| value.as_str());
            found.ok_or_else(|| saved(format!("is no saved session: it does not say `{key}`")))
        };
        let version = text("girih.session")?;
        if version != VERSION {
            return Err(saved(format!(
                "is a session of layout {version}; this program reads layout {VERSION}"
            )));
        }
        let (found, own) = (text("model")?, format!("{:016x}", model.fingerprint()));
        if found != own {
            return Err(saved(format!(
                "is a session of another model or of another version of it: {found}, not {own}"
            )));
        }
        let (found, own) = (text("parameters")?, format!("{:016x}", model.parameters()));
        if found != own {
            return Err(saved(format!(
                "is a session with other weights: what it carries was computed from {found}, the model has {own}"
            )));
        }
        let number = |key: &str| -> Result<u64, SessionError> {
            text(key)?
                .parse()
                .map_err(|_| saved(format!("has no number as `{key}`")))
        };
        let mut opening = Opening {
            seed: number("seed")?,
            limit,
            ..Opening::default()
        };
        let position = number("position")?;
        for line in text("sizes")?.lines() {
            let size = line
                .rsplit_once('=')
                .and_then(|(name, size)| Some((name.to_owned(), size.parse().ok()?)));
            let (name, size) = size.ok_or_else(|| saved(format!("has a bad size `{line}`")))?;
            opening.symbols.insert(name, size);
        }
        let mut point = Point {
            position,
            carries: BTreeMap::new(),
            updates: BTreeMap::new(),
        };
        for entry in stored.entries() {
            let place = entry.name.split_once(':').and_then(|(part, name)| {
                let into = match part {
                    "input" => &mut opening.inputs,
                    "state" => &mut opening.states,
                    "carry" => &mut point.carries,
                    "update" => &mut point.updates,
                    _ => return None,
                };
                Some((into, name))
            });
            let (into, name) = place
                .ok_or_else(|| saved(format!("holds `{}`, which no session has", entry.name)))?;
            let data = Data::Host(stored.tensor(&entry.name)?);
            into.insert(name.to_owned(), data);
        }
        let missing = model
            .stream()
            .carries
            .iter()
            .find(|carry| position > 0 && !point.carries.contains_key(&carry.name));
        if let Some(carry) = missing {
            return Err(saved(format!("lacks `{}`", carry.name)));
        }
        let mut session = Self::open(model, opening)?;
        session.point = point;
        Ok(session)
    }
}
