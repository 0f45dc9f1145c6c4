//! Every example that has answers agrees with them, on every backend.

use girih::backend;

use crate::{girih, repository};

/// Verifies an example on every backend and gives the table if it does not agree.
fn check(model: &str, answers: &str) {
    let model = repository().join(model);
    let answers = repository().join("tests/data").join(answers);
    let [model, answers] = [&model, &answers].map(|path| path.to_str().unwrap());
    for backend in backend::NAMES {
        let (status, out, err) = girih(&["verify", model, answers, "--backend", backend]);
        assert_eq!(status, 0, "{model} on {backend}\n{out}{err}");
    }
}

/// Published architectures: weights, hidden values, continuation, loss and gradients.
fn check_architectures(of: impl Fn(&str) -> bool) {
    let mut count = 0;
    for entry in std::fs::read_dir(repository().join("examples/hf")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path
            .extension()
            .is_some_and(|extension| extension == "girih")
            && of(&name)
        {
            check(
                &format!("examples/hf/{name}.girih"),
                &format!("conformance/{name}"),
            );
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn architectures_from_a_to_g_agree_with_their_answers() {
    check_architectures(|name| name < "h");
}

#[test]
fn architectures_from_h_to_p_agree_with_their_answers() {
    check_architectures(|name| ("h".."q").contains(&name));
}

#[test]
fn architectures_from_q_to_z_agree_with_their_answers() {
    check_architectures(|name| name >= "q");
}

#[test]
fn papers_agree_with_their_goldens() {
    let mut count = 0;
    for entry in std::fs::read_dir(repository().join("examples/papers")).unwrap() {
        let name = entry.unwrap().file_name().to_str().unwrap().to_owned();
        let model = format!("examples/papers/{name}/model.girih");
        // This one is a procedure around a model of others.
        if name != "28-re-reading" && repository().join(&model).is_file() {
            check(&model, &format!("goldens/{name}.safetensors"));
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn workloads_agree_with_their_peers() {
    let mut count = 0;
    for entry in std::fs::read_dir(repository().join("examples/bench")).unwrap() {
        let file = entry.unwrap().file_name();
        let name = file.to_str().unwrap().strip_suffix(".girih").unwrap();
        check(
            &format!("examples/bench/{name}.girih"),
            &format!("bench/{name}.safetensors"),
        );
        count += 1;
    }
    assert_eq!(count, 18);
}
