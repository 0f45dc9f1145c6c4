//! Text to graph: the parser never panics, and what it accepts is verified and prints back equal.
#![no_main]

use girih_graph::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    if let Ok(graph) = text::parse(input) {
        let printed = text::print(&graph);
        let again = text::parse(&printed).expect("what is printed can be read");
        assert_eq!(printed, text::print(&again));
    }
});
