//! Text to diagnostics: parser, formatter and checker never panic.
#![no_main]

use girih_dsl::diag::{Sink, render};
use girih_dsl::elaborate::check;
use girih_dsl::program::{NoFiles, Program};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut sink = Sink::new();
    let program = Program::load("fuzz.girih", text, &NoFiles, &mut sink);
    check(&program, &mut sink);
    for diagnostic in sink.sorted() {
        render(&program.sources, diagnostic);
    }
});
