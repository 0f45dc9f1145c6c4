//! Checkpoints of a model hub, by `organization/model`.
//!
//! Fetched are settings, tokenizer and weights in safetensors, or one GGUF
//! file where there are none; nothing of other frameworks. The downloads of
//! the hub's client stay in the cache's `hub` folder and share their bytes
//! with the checkpoint.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::api::Progress as HubProgress;
use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use super::cache::{kept, make_folder, publish, stage, within};
use super::{Listener, Progress, PullError, Sources, Step};

/// A model of the hub, or one of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HubName {
    /// `organization/model`.
    model: String,
    /// A file of weights, if one is asked for.
    file: Option<String>,
}

impl HubName {
    /// `organization/model`, or with a GGUF file behind it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let plain = |part: &str| {
            let mut characters = part.chars();
            characters.next().is_some_and(|c| c.is_ascii_alphanumeric())
                && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
                && !part.contains("..")
        };
        let parts: Vec<&str> = text.split('/').collect();
        let [organization, model, file @ ..] = &parts[..] else {
            return None;
        };
        let path = Path::new(file.last().unwrap_or(model));
        let is_gguf = path
            .extension()
            .is_some_and(|extension| extension == "gguf");
        let sound = parts.iter().all(|part| plain(part)) && is_gguf != file.is_empty();
        sound.then(|| Self {
            model: format!("{organization}/{model}"),
            file: (!file.is_empty()).then(|| file.join("/")),
        })
    }

    /// The checkpoint's folder in the cache.
    fn folder(&self) -> String {
        let file = self.file.iter().map(|file| file.trim_end_matches(".gguf"));
        let parts = std::iter::once(self.model.as_str()).chain(file);
        parts
            .map(|part| part.replace('/', "--"))
            .collect::<Vec<_>>()
            .join("--")
    }
}

pub(super) fn pull_from_hub(
    name: &HubName,
    sources: &Sources,
    listener: Listener<'_>,
) -> Result<PathBuf, PullError> {
    let target = sources.cache.join(name.folder());
    if target.is_dir() {
        return checkpoint(name, &target);
    }
    let downloads = std::path::absolute(sources.cache.join("hub"))
        .map_err(|source| kept(&sources.cache, source))?;
    make_folder(&downloads)?;
    let failed = |source| failure(name, source);
    let repository = repository(name, sources, &downloads).map_err(failed)?;
    let information = repository.info().map_err(failed)?;
    let all: Vec<String> = information
        .siblings
        .into_iter()
        .map(|file| file.rfilename)
        .collect();
    let files = choose_files(name, &all)?;

    let stage = stage(&sources.cache)?;
    let folder = stage.path().join("checkpoint");
    for file in &files {
        let path = within(&folder, file).ok_or_else(|| PullError::NoFile {
            name: name.model.clone(),
            file: file.clone(),
        })?;
        let fetched = fetch(name, file, &repository, &downloads, listener)?;
        if let Some(parent) = path.parent() {
            make_folder(parent)?;
        }
        let linked =
            fs::hard_link(&fetched, &path).or_else(|_| fs::copy(&fetched, &path).map(drop));
        linked.map_err(|source| kept(&path, source))?;
    }
    publish(&folder, &target)?;
    checkpoint(name, &target)
}

/// What is given to the user: the GGUF file, if the checkpoint is one.
fn checkpoint(name: &HubName, folder: &Path) -> Result<PathBuf, PullError> {
    if let Some(file) = &name.file {
        return Ok(folder.join(file));
    }
    let mut gguf = None;
    for entry in fs::read_dir(folder).map_err(|source| kept(folder, source))? {
        let path = entry.map_err(|source| kept(folder, source))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "gguf")
        {
            gguf = Some(path);
        }
    }
    Ok(gguf.unwrap_or_else(|| folder.to_owned()))
}

fn repository(name: &HubName, sources: &Sources, downloads: &Path) -> Result<ApiRepo, ApiError> {
    let mut builder = ApiBuilder::from_env()
        .with_cache_dir(downloads.to_owned())
        .with_progress(false)
        .with_retries(2);
    if let Some(endpoint) = &sources.endpoint {
        // The user's token is for the usual hub alone.
        builder = builder.with_endpoint(endpoint.clone()).with_token(None);
    }
    Ok(builder
        .build()?
        .repo(Repo::new(name.model.clone(), RepoType::Model)))
}

/// Downloads a file unless it was already, and gives where its bytes lie.
fn fetch(
    name: &HubName,
    file: &str,
    repository: &ApiRepo,
    downloads: &Path,
    listener: Listener<'_>,
) -> Result<PathBuf, PullError> {
    let downloaded = Cache::new(downloads.to_owned())
        .model(name.model.clone())
        .get(file);
    let pointer = if let Some(pointer) = downloaded {
        pointer
    } else {
        let total = Cell::new(0);
        let told = Told {
            listener,
            file,
            total: &total,
            done: 0,
        };
        let pointer = repository
            .download_with_progress(file, told)
            .map_err(|source| failure(name, source))?;
        let found = fs::metadata(&pointer)
            .map_err(|source| kept(&pointer, source))?
            .len();
        if found != total.get() {
            // Nobody shall take it for the whole file.
            fs::remove_file(&pointer).map_err(|source| kept(&pointer, source))?;
            let file = file.to_owned();
            return Err(PullError::Incomplete {
                file,
                expected: total.get(),
                found,
            });
        }
        pointer
    };
    fs::canonicalize(&pointer).map_err(|source| kept(&pointer, source))
}

/// Passes the progress of the hub's client on.
struct Told<'a, 'b> {
    listener: &'a mut (dyn FnMut(Progress<'_>) + 'b),
    file: &'a str,
    total: &'a Cell<u64>,
    done: u64,
}

impl Told<'_, '_> {
    fn report(&mut self) {
        (self.listener)(Progress {
            step: Step::Fetch,
            what: self.file,
            done: self.done,
            total: Some(self.total.get()),
        });
    }
}

impl HubProgress for Told<'_, '_> {
    fn init(&mut self, size: usize, _: &str) {
        self.total.set(size as u64);
        self.done = 0;
        self.report();
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        self.report();
    }

    fn finish(&mut self) {}
}

/// Which files of a model are its checkpoint.
fn choose_files(name: &HubName, all: &[String]) -> Result<Vec<String>, PullError> {
    if let Some(file) = &name.file {
        if all.contains(file) {
            return Ok(vec![file.clone()]);
        }
        return Err(PullError::NoFile {
            name: name.model.clone(),
            file: file.clone(),
        });
    }
    let ends = |file: &str, end: &str| {
        Path::new(file)
            .extension()
            .is_some_and(|extension| extension == end)
    };
    let root = |end: &'static str| {
        all.iter()
            .filter(move |file| !file.contains('/') && ends(file, end))
    };
    // Sentence encoders keep settings of their parts in numbered folders.
    let part = |file: &&String| {
        file.starts_with(|c: char| c.is_ascii_digit()) && file.ends_with("/config.json")
    };
    let mut files: Vec<String> = root("json")
        .chain(root("jinja"))
        .chain(root("txt"))
        .cloned()
        .collect();
    files.extend(all.iter().filter(part).cloned());

    let tensors: Vec<&String> = root("safetensors").collect();
    if let Some(whole) = tensors.iter().find(|file| *file == &"model.safetensors") {
        files.push((*whole).clone());
        files.retain(|file| file != "model.safetensors.index.json");
        return Ok(files);
    }
    if !tensors.is_empty() {
        files.extend(tensors.into_iter().cloned());
        return Ok(files);
    }
    let mut quantized: Vec<&String> = all.iter().filter(|file| ends(file, "gguf")).collect();
    quantized.sort();
    match quantized[..] {
        [] => Err(PullError::NoWeights {
            name: name.model.clone(),
        }),
        [file] if !file.contains('/') => Ok(vec![file.clone()]),
        _ => {
            let files = quantized
                .iter()
                .map(|file| format!("{}/{file}", name.model))
                .collect();
            Err(PullError::ChooseFile {
                name: name.model.clone(),
                files,
            })
        }
    }
}

fn failure(name: &HubName, source: ApiError) -> PullError {
    let name = name.model.clone();
    match &source {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => PullError::NotOnHub { name, status },
            _ => PullError::Hub { name, source },
        },
        _ => PullError::Hub { name, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_two_parts_or_end_in_a_file() {
        let check = |text: &str, expected: Option<(&str, Option<&str>, &str)>| {
            let seen = HubName::parse(text);
            let seen = seen
                .as_ref()
                .map(|name| (&*name.model, name.file.as_deref(), name.folder()));
            let expected = expected.map(|(model, file, folder)| (model, file, folder.to_owned()));
            assert_eq!(seen, expected, "{text}");
        };
        check(
            "org/model-1.5",
            Some(("org/model-1.5", None, "org--model-1.5")),
        );
        check(
            "org/m/q4.gguf",
            Some(("org/m", Some("q4.gguf"), "org--m--q4")),
        );
        check(
            "org/m/a/q4.gguf",
            Some(("org/m", Some("a/q4.gguf"), "org--m--a--q4")),
        );
        for other in [
            "",
            "model",
            "org/",
            "/model",
            "org/model/x.bin",
            "../model",
            "org/..",
            "org/a b",
            "org/model/../x.gguf",
            "./model.gguf",
            "models/x.gguf",
            "a//b",
        ] {
            check(other, None);
        }
    }

    #[test]
    fn settings_and_one_set_of_weights_are_chosen() {
        let check = |files: &[&str], expected: &str| {
            let name = HubName {
                model: "o/m".to_owned(),
                file: None,
            };
            let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
            let seen = match choose_files(&name, &files) {
                Ok(files) => files.join(" "),
                Err(error) => error.to_string(),
            };
            assert_eq!(seen, expected);
        };
        check(
            &[
                "README.md",
                "config.json",
                "model.safetensors",
                "pytorch_model.bin",
                "vocab.txt",
                "model.safetensors.index.json",
                "1_Pooling/config.json",
                "onnx/config.json",
            ],
            "config.json vocab.txt 1_Pooling/config.json model.safetensors",
        );
        check(
            &[
                "a-1-of-2.safetensors",
                "a-2-of-2.safetensors",
                "model.safetensors.index.json",
            ],
            "model.safetensors.index.json a-1-of-2.safetensors a-2-of-2.safetensors",
        );
        check(&["config.json", "m.gguf"], "m.gguf");
        check(
            &["b.gguf", "a.gguf"],
            "`o/m` has several GGUF files; ask for one of them: o/m/a.gguf, o/m/b.gguf",
        );
        check(
            &["pytorch_model.bin"],
            "`o/m` has no safetensors and no GGUF file",
        );
    }
}
