//! `girih fmt` writes files in place.

use std::process::Command;

const LOOSE: &str =
    "axis t:time\n# kept\nmodule M(d:axis){\n forward(x:f32[t,d])->f32[t,d]{\n return 2*x }\n}\n";

#[expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]
fn girih(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_girih"))
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn files_are_formatted_once_and_then_stay() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("loose.girih");
    std::fs::write(&file, LOOSE).unwrap();
    let path = file.to_str().unwrap();
    let (status, _) = girih(&["fmt", "--check", path]);
    assert_eq!(
        (status, std::fs::read_to_string(&file).unwrap().as_str()),
        (1, LOOSE)
    );
    let (status, said) = girih(&["fmt", path]);
    assert_eq!(status, 0, "{said}");
    let formatted = std::fs::read_to_string(&file).unwrap();
    assert!(
        formatted.contains("# kept\n") && formatted.contains("    return 2 * x\n"),
        "{formatted}"
    );
    assert_eq!(girih(&["fmt", "--check", path]), (0, String::new()));
    // Nothing is left beside it.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_broken_file_is_left_alone_and_others_are_formatted() {
    let folder = tempfile::tempdir().unwrap();
    let (broken, loose) = (
        folder.path().join("broken.girih"),
        folder.path().join("loose.girih"),
    );
    std::fs::write(&broken, "module M( {").unwrap();
    std::fs::write(&loose, LOOSE).unwrap();
    let (status, said) = girih(&["fmt", broken.to_str().unwrap(), loose.to_str().unwrap()]);
    assert_eq!(status, 1);
    assert!(said.contains("error[E01"), "{said}");
    assert_eq!(std::fs::read_to_string(&broken).unwrap(), "module M( {");
    assert_ne!(std::fs::read_to_string(&loose).unwrap(), LOOSE);
}
