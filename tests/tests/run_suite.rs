//! Are the numbers right? Every `tests/suite/run/*.girih` claims values that must hold, on
//! every backend.

use std::ffi::OsString;
use std::path::Path;

use girih::command::{Streams, run};
use girih_dsl::diag::Colors;

#[test]
fn every_claim_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/run");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the suite is in the repository")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|own| own == "girih"))
        .collect();
    files.sort();
    assert!(files.len() >= 4, "the suite has its files");
    let backends = girih::backend::NAMES;
    for (file, backend) in files
        .iter()
        .flat_map(|file| backends.iter().map(move |own| (file, own)))
    {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let line: [OsString; 5] = [
            "girih".into(),
            "test".into(),
            file.into(),
            "--backend".into(),
            backend.into(),
        ];
        let mut streams = Streams {
            input: &mut std::io::empty(),
            out: &mut out,
            err: &mut err,
            colors: Colors::No,
            watched: false,
        };
        let status = run(line, &mut streams);
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&out),
            String::from_utf8_lossy(&err)
        );
        assert_eq!(status, 0, "{} on `{backend}`\n{said}", file.display());
    }
}
