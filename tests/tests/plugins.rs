//! The border of plugins holds: what is broken gets its named error, what is old loads, and the host goes on.
//!
//! Libraries are built from the small C sources in `tests/data/plugins` and the templates, with the system's `cc`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use girih_graph::DType;
use girih_runtime::plugin::native::{
    Attribute, Native as _, NativeCall, NativeCode, NativeError, Natives as _, Operand, Parallel,
    Spec, TensorSpec, Written,
};
use girih_runtime::plugin::{Library, Lock, Note, PluginError, PluginNative, Plugins, Speak};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A library of its own in `folder`, built from a C file of the repository.
fn build(folder: &Path, source: &str, flags: &[&str]) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let library = folder.join(format!("lib{number}{}", std::env::consts::DLL_SUFFIX));
    let output = Command::new("cc")
        .args([
            "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC",
        ])
        .args(flags)
        .arg("-I")
        .arg(root().join("plugins/api/include"))
        .arg("-o")
        .arg(&library)
        .arg(root().join(source))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    library
}

fn broken(folder: &Path, how: &str, flags: &[&str]) -> PathBuf {
    let how = format!("-DBROKEN={how}");
    build(
        folder,
        "tests/data/plugins/broken.c",
        &[&[how.as_str()], flags].concat(),
    )
}

/// One thread.
struct Alone;

impl Parallel for Alone {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, items: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        (0..items).for_each(|item| body(item, 0));
    }
}

fn vector(n: usize) -> TensorSpec {
    TensorSpec {
        dtype: DType::F32,
        shape: vec![n],
    }
}

/// From vectors of `n` elements to one.
fn vectors(operands: usize, n: usize) -> Spec {
    Spec {
        attributes: Vec::new(),
        operands: vec![vector(n); operands],
        results: vec![vector(n)],
        threads: 1,
    }
}

/// Runs `twice` of a library on `x`.
fn twice(library: &Arc<Library>, x: &[f32]) -> Result<Vec<f32>, NativeError> {
    let spec = vectors(1, x.len());
    let kernel = PluginNative::new(library, "twice")
        .unwrap()
        .prepare(&spec)?;
    let (shape, strides) = ([x.len()], [1]);
    let mut out = vec![0.0f32; x.len()];
    let mut results = [Written {
        dtype: DType::F32,
        shape: &shape,
        bytes: bytemuck::cast_slice_mut(&mut out),
    }];
    kernel.run(&mut NativeCall {
        operands: &[Operand {
            dtype: DType::F32,
            shape: &shape,
            strides: &strides,
            bytes: bytemuck::cast_slice(x),
        }],
        results: &mut results,
        workspace: &mut [],
        parallel: &Alone,
    })?;
    Ok(out)
}

#[test]
fn what_is_broken_gets_its_named_error_and_the_host_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let check = |how: &str, flags: &[&str], said: &str| {
        let library = broken(folder.path(), how, flags);
        match Library::open(&library) {
            Err(error) => assert!(error.to_string().contains(said), "{how}: {error}"),
            Ok(_) => panic!("{how} loads"),
        }
    };
    // Seen in the file, before any code runs.
    check(
        "NONE",
        &["-DWITHOUT_NOTE"],
        "no Girih plugin: it holds no note",
    );
    check(
        "NONE",
        &["-DWRONG_TARGET"],
        "is built for vax-vms, and this is",
    );
    check("NONE", &["-DFUTURE"], "speaks version 9.0 to 9.2");
    check(
        "NONE",
        &["-DGIRIH_TEST_ID=\"Shouting\""],
        "its id `Shouting` is no lower-case reverse domain",
    );
    // Seen in the handshake.
    check(
        "NONE",
        &["-DWITHOUT_QUERY"],
        "does not export `girih_plugin_query`",
    );
    check("QUERY_NULL", &[], "`girih_plugin_query` gave nothing");
    check("WRONG_MAJOR", &[], "asked for version 0.2, it answers 7.2");
    check("NEWER_TABLE", &[], "asked for version 0.2, it answers 0.99");
    check(
        "SMALL_TABLE",
        &[],
        "the `struct_size` of `girih_plugin` is 12",
    );
    check(
        "HUGE_TABLE",
        &[],
        "the `struct_size` of `girih_plugin` is 4294967295",
    );
    check("NO_NOTE", &[], "`note` is null");
    check(
        "OTHER_NOTE",
        &[],
        "points at another note than its file holds",
    );
    check("NULL_SOURCE", &[], "`source` is null");
    check("BAD_UTF8", &[], "`source` is not UTF-8 (byte 3)");
    check("UNKNOWN_NEED", &[], "needs `girih.teleport/7`");
    check("ENDLESS_NEEDS", &[], "`needs` has more than 64 texts");
    check("NULL_GET", &[], "`get` is null");
    check(
        "INIT_FAILS",
        &[],
        "does not start: the moon is not full; its author's page is `https://example.org`",
    );
    check(
        "INIT_STRAY_STATUS",
        &[],
        "a status that the host did not make",
    );
    // Seen in the operations.
    check("HUGE_COUNT", &[], "claims 4294967295 operations");
    check("NULL_OPS", &[], "claims 1 operations, and `ops` is null");
    check("NULL_OP", &[], "operation 0: the table `girih_op` is null");
    check("SMALL_OP", &[], "the `struct_size` of `girih_op` is 8");
    check("NULL_NAME", &[], "operation 0: its name is null");
    check("BAD_NAME", &[], "`rm -rf` is no name of a function");
    check("TWICE", &[], "two operations are called `twice`");
    check(
        "NULL_PREPARE",
        &[],
        "`prepare` of operation `twice` is null",
    );
    check("NULL_RUN", &[], "`run` of operation `twice` is null");
    // After all that a whole one loads and runs.
    let library = Library::open(&broken(folder.path(), "NONE", &[])).unwrap();
    assert_eq!(twice(&library, &[1.0, -2.5]).unwrap(), [2.0, -5.0]);
    assert!(twice(&library, &[]).unwrap().is_empty());
}

#[test]
fn what_a_plugin_makes_is_ended_with_the_last_that_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = broken(folder.path(), "COUNTS", &[]);
    let open = || Library::open(&path).unwrap();
    let counts = |library: &Arc<Library>| twice(library, &[0.0, 0.0]).unwrap();
    let first = open();
    assert_eq!(counts(&first), [1.0, 0.0]);
    let kernel = PluginNative::new(&first, "twice").unwrap();
    drop(first);
    let second = open();
    assert_eq!(counts(&second), [2.0, 0.0], "a kernel still uses it");
    drop(kernel);
    assert_eq!(counts(&second), [2.0, 1.0]);
    drop(second);
    assert_eq!(counts(&open()), [3.0, 2.0]);
}

/// What the agreed file was is what runs, though another lies at its path when it is loaded.
#[test]
#[cfg(target_os = "linux")]
fn another_file_that_comes_between_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = broken(folder.path(), "NONE", &[]);
    let other = broken(folder.path(), "COUNTS", &[]);
    let agreed = Note::read(&path).unwrap().hash;
    let library = Library::open_if(&path, &|note| {
        assert_eq!(note.hash, agreed);
        std::fs::rename(&other, &path).unwrap();
        Ok(())
    });
    assert_eq!(twice(&library.unwrap(), &[4.0, 1.0]).unwrap(), [8.0, 2.0]);
    // Nor is it taken for what was loaded before.
    let library = Library::open(&path).unwrap();
    assert_eq!(twice(&library, &[4.0, 1.0]).unwrap(), [1.0, 0.0]);
}

#[test]
fn kernels_that_fail_say_who_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let check = |how: &str, code: NativeCode, said: &str| {
        let library = Library::open(&broken(folder.path(), how, &[])).unwrap();
        let error = twice(&library, &[1.0]).unwrap_err();
        assert_eq!(error.code, code, "{how}: {error}");
        let wanted = format!("operation `twice` of plugin `org.example.broken`: {said}");
        assert!(error.to_string().contains(&wanted), "{how}: {error}");
    };
    check("PREPARE_FAILS", NativeCode::Internal, "no luck");
    check("UNSUPPORTED", NativeCode::Unsupported, "not today");
    check(
        "HUGE_WORKSPACE",
        NativeCode::Memory,
        "it wants a workspace of 18446744073709551615 bytes",
    );
    check(
        "ODD_ALIGN",
        NativeCode::Internal,
        "it wants its workspace aligned to 3",
    );
    check(
        "RUN_FAILS",
        NativeCode::Invalid,
        "it failed without a message",
    );
    check(
        "RUN_STRAY_STATUS",
        NativeCode::Internal,
        "it returned a status that the host did not make",
    );
}

#[test]
fn files_that_are_no_libraries_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let check = |bytes: &[u8], said: &str| {
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let error = Library::open(&path).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    };
    check(b"", "no Girih plugin");
    check(b"#!/bin/sh\n", "no Girih plugin");
    let whole = std::fs::read(broken(folder.path(), "NONE", &[])).unwrap();
    let magic = girih_plugin::raw::Note::magic();
    let note = whole.windows(16).position(|part| part == magic).unwrap();
    // A note alone, and one that the file cuts short.
    check(
        &whole[note..note + 512],
        "the system does not load the plugin",
    );
    check(&whole[..note + 100], "the file ends inside it");
    let missing = Library::open(&folder.path().join("nowhere.so")).unwrap_err();
    assert!(
        missing.to_string().contains("cannot read the plugin"),
        "{missing}"
    );
    let directory = Library::open(folder.path()).unwrap_err();
    assert!(
        directory.to_string().contains("cannot read the plugin"),
        "{directory}"
    );
}

#[test]
fn plugins_of_every_minor_version_load() {
    let folder = tempfile::tempdir().unwrap();
    for (flag, minor) in [
        ("-DGIRIH_MINOR=0", 0),
        ("-DGIRIH_MINOR=1", 1),
        ("-DGIRIH_MINOR=2", 2),
    ] {
        let path = broken(folder.path(), "NONE", &[flag]);
        let library = Library::open(&path).unwrap();
        assert_eq!((library.minor(), library.note().minor), (minor, minor));
        assert_eq!(twice(&library, &[4.0]).unwrap(), [8.0]);
        // A field that this minor does not have is absent, not whatever lies behind the struct.
        let native = PluginNative::new(&library, "twice").unwrap();
        assert_eq!(native.cost(&vectors(1, 1)).unwrap(), None);
        let older = Library::open_as(&path, Speak { major: 0, minor: 0 }).unwrap();
        assert_eq!(older.minor(), 0);
        assert_eq!(twice(&older, &[4.0]).unwrap(), [8.0]);
    }
}

#[test]
fn a_kernel_is_run_on_what_it_was_made_for_only() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open(&broken(folder.path(), "NONE", &[])).unwrap();
    let native = PluginNative::new(&library, "twice").unwrap();
    let kernel = native.prepare(&vectors(1, 4)).unwrap();
    let words = [0u32; 8];
    let bytes: &[u8] = bytemuck::cast_slice(&words);
    let check = |shape: &[usize], dtype: DType, bytes: &[u8], room: usize| {
        let mut out = [0u32; 8];
        let out: &mut [u8] = bytemuck::cast_slice_mut(&mut out);
        let error = kernel
            .run(&mut NativeCall {
                operands: &[Operand {
                    dtype,
                    shape,
                    strides: &[1],
                    bytes,
                }],
                results: &mut [Written {
                    dtype: DType::F32,
                    shape: &[4],
                    bytes: &mut out[..room],
                }],
                workspace: &mut [],
                parallel: &Alone,
            })
            .unwrap_err();
        assert!(
            error.message.contains("not what its kernel was made for"),
            "{error}"
        );
    };
    check(&[5], DType::F32, &bytes[..20], 16);
    check(&[4], DType::I32, &bytes[..16], 16);
    check(&[4], DType::F32, &bytes[..12], 16);
    check(&[4], DType::F32, &bytes[1..17], 16);
    check(&[4], DType::F32, &bytes[..16], 12);
    assert!(PluginNative::new(&library, "thrice").is_none());
}

#[test]
fn attributes_and_many_tensors_cross_the_border() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open(&broken(folder.path(), "NONE", &[])).unwrap();
    let native = PluginNative::new(&library, "twice").unwrap();
    let mut spec = vectors(1, 4);
    spec.attributes = vec![
        ("k".into(), Attribute::Int(-3)),
        ("eps".into(), Attribute::Real(1e-6)),
        ("open".into(), Attribute::Bool(true)),
        ("mode".into(), Attribute::Text("causal".into())),
    ];
    native.prepare(&spec).unwrap();
    spec.attributes = vec![("mode".into(), Attribute::Text("a\0b".into()))];
    let error = native.prepare(&spec).map(|_| ()).unwrap_err();
    assert!(error.message.contains("a text holds a zero"), "{error}");
    let error = native.prepare(&vectors(40, 1)).map(|_| ()).unwrap_err();
    assert_eq!(error.code, NativeCode::Unsupported);
}

#[test]
fn only_what_was_agreed_to_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let (data, libraries) = (folder.path().join("data"), folder.path().join("libraries"));
    std::fs::create_dir_all(&libraries).unwrap();
    let path = broken(&libraries, "NONE", &[]);
    let plugins = || Plugins::new(&[], std::slice::from_ref(&libraries), Some(data.clone()));
    let id = "org.example.broken";
    let refused = plugins().load(id).unwrap_err();
    assert!(
        matches!(refused, PluginError::NotAgreed { .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("girih plugin add"),
        "{refused}"
    );
    let found = plugins().found().unwrap();
    assert!(matches!(
        found[0].refused,
        Some(PluginError::NotAgreed { .. })
    ));

    let note = Note::read(&path).unwrap();
    Lock::open(&data).unwrap().add(&note).unwrap();
    let plugins_now = plugins();
    assert!(
        plugins_now.native("org.example.broken/twice@1").is_none(),
        "nothing was loaded yet"
    );
    let library = plugins_now.load(id).unwrap();
    assert_eq!(
        library.source(),
        "@native\nfn twice(x: f32[n]) -> f32[n] = 2 * x\n"
    );
    assert!(plugins_now.native("org.example.broken/twice@1").is_some());
    assert!(plugins_now.native("org.example.broken/twice@2").is_none());
    assert!(plugins_now.native("org.example.broken/thrice@1").is_none());
    assert!(plugins_now.native("org.example.other/twice@1").is_none());

    // Another library under the same id is another one.
    let other = folder.path().join("other");
    std::fs::create_dir_all(&other).unwrap();
    broken(&other, "NONE", &["-DGIRIH_MINOR=0"]);
    let swapped = Plugins::new(&[], std::slice::from_ref(&other), Some(data.clone()));
    assert!(matches!(
        swapped.load(id),
        Err(PluginError::NotAgreed { .. })
    ));
    broken(&other, "NONE", &[]);
    let twins = Plugins::new(&[], std::slice::from_ref(&other), Some(data.clone()));
    assert!(matches!(twins.load(id), Err(PluginError::Twice { .. })));
    assert!(matches!(
        plugins().load("org.example.nobody"),
        Err(PluginError::Missing { .. })
    ));

    std::fs::write(data.join("plugins.lock"), "{").unwrap();
    assert!(matches!(plugins().load(id), Err(PluginError::Lock { .. })));
}
