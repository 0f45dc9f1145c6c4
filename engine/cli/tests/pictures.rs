//! Pictures of models: the same bytes each time, well-formed, and true.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::path::{Path, PathBuf};

use girih::legend::ModelLegend;
use girih::source::{compile, load};
use girih::svg::picture;
use girih_dsl::diag::Colors;
use girih_dsl::elaborate::Request;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn draw(file: &str, module: Option<&str>) -> String {
    let (program, sink) = load(&root().join(file)).unwrap();
    let request = Request {
        module: module.map(str::to_owned),
        ..Request::default()
    };
    let model = compile(&program, &request, sink, Colors::No).unwrap();
    picture(&model.graph, &ModelLegend::new(&program, &model))
}

/// Every tag is closed, in order.
#[track_caller]
fn check_well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (inside, _) = tag.split_once('>').expect("every `<` has its `>`");
        let name = inside
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap();
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !inside.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
}

#[test]
fn the_picture_in_the_readme_is_the_one_that_is_drawn() {
    let kept = std::fs::read_to_string(root().join("examples/quickstart/gated.svg")).unwrap();
    let drawn = draw("examples/quickstart/gated.girih", None);
    assert!(
        kept == drawn,
        "draw it again: girih graph examples/quickstart/gated.girih --svg examples/quickstart/gated.svg"
    );
}

#[test]
fn a_stack_is_drawn_once_with_its_count() {
    let svg = draw("examples/quickstart/gated.girih", None);
    check_well_formed(&svg);
    assert_eq!(svg.matches("softmax").count(), 1);
    assert!(svg.contains("×6"));
    assert!(!svg.contains("layer.1."));
}

#[test]
fn modules_parameters_and_axes_are_named() {
    let svg = draw("examples/quickstart/gated.girih", Some("Block"));
    check_well_formed(&svg);
    for text in [
        "norm",
        "RmsNorm",
        "weight [d]",
        " x + down(silu(gate(n)) * up(n))",
        "[t, d]",
    ] {
        assert!(svg.contains(text), "{text}");
    }
}

#[test]
fn recurrences_show_what_they_carry() {
    let svg = draw("examples/hf/mamba2.girih", None);
    check_well_formed(&svg);
    assert!(svg.contains("class=\"carry\"") && svg.contains("↻ ["));
}

#[test]
fn comparisons_in_equations_are_escaped() {
    let svg = draw("examples/quickstart/gated.girih", Some("Attention"));
    check_well_formed(&svg);
    assert!(svg.contains("j &lt;= i"));
}
