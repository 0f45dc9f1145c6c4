//! The pages of the codes of syntax: their wrong example has the code, their right one nothing.

use girih_dsl::diag::{Code, explain};

use super::read;
use super::wrong::example;

#[test]
fn examples_of_pages_are_what_they_say() {
    for code in Code::all().filter(|code| code.number() < 200) {
        let page = explain(code).unwrap();
        let (_, wrong) = read("wrong.girih", example(page, "Wrong:"));
        assert!(!wrong.is_empty(), "{code}: the wrong example is right");
        for found in &wrong {
            assert!(found.contains(&format!("[{code}]")), "{code}:\n{found}");
        }
        let (_, right) = read("right.girih", example(page, "Right:"));
        assert!(right.is_empty(), "{code}:\n{}", right.join("\n"));
    }
}

#[test]
fn every_code_of_a_wrong_file_has_a_page() {
    for (path, text) in super::files("../tests/suite/lang/syntax") {
        for word in text.split("error[").skip(1) {
            let code = Code::parse(&word[..5]).unwrap();
            assert!(explain(code).is_some(), "{code} in {}", path.display());
        }
    }
}
