//! Commands in the README, in the reference of the language and in `tests/cli` do what they say.

use std::path::Path;

#[test]
fn commands_do_what_the_texts_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Commands are written as a reader at the root of the repository types them. No other
    // test runs in this process.
    std::env::set_current_dir(root).unwrap();
    trycmd::TestCases::new()
        .register_bin("girih", Path::new(env!("CARGO_BIN_EXE_girih")))
        .case("README.md")
        .case("tests/cli/*.md");
}
