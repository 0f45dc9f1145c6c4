//! `girih weights export` writes back what `girih weights check` accepts, byte for byte.

use std::path::Path;
use std::process::Command;

use girih_runtime::weights;

#[test]
fn published_checkpoints_are_written_back_byte_for_byte() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    let mut names: Vec<_> = std::fs::read_dir(root.join("examples/hf"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "girih"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for model in names {
        let name = model.file_stem().unwrap().to_str().unwrap();
        let checkpoint = root.join("tests/data/conformance").join(name);
        let copy = folder.path().join(format!("{name}.safetensors"));
        let output = Command::new(env!("CARGO_BIN_EXE_girih"))
            .args(["weights", "export"])
            .args([&model, &checkpoint])
            .arg("--output")
            .arg(&copy)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        let (from, to) = (
            weights::open(&checkpoint).unwrap(),
            weights::open(&copy).unwrap(),
        );
        assert_eq!(from.entries().len(), to.entries().len(), "{name}");
        for entry in from.entries() {
            assert_eq!(to.entry(&entry.name).unwrap(), entry, "{name}");
            let (from, to) = (from.raw(&entry.name).unwrap(), to.raw(&entry.name).unwrap());
            assert!(from == to, "{name}: {} has other bytes", entry.name);
        }
    }
}
