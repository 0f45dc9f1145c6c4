//! Folders and indexes that stand for the weights in them.

use std::collections::BTreeMap;
use std::fs;

use girih_runtime::tensor::Tensor;
use girih_runtime::weights::write_safetensors;

use crate::{describe_path, temporary};

#[test]
fn a_folder_stands_for_the_weights_in_it() {
    let check = |files: &[&str], expected: &str| {
        let folder = temporary();
        for name in files {
            let tensor = Tensor::scalar(files.len() as i32);
            let content = [(*name, &tensor)];
            write_safetensors(&folder.path().join(name), content, &BTreeMap::new())
                .expect("the folder is writable");
        }
        let seen =
            describe_path(folder.path()).replace(&folder.path().display().to_string(), "FOLDER");
        assert_eq!(seen.trim_end(), expected);
    };
    check(
        &["model.safetensors", "other.safetensors"],
        "model.safetensors i32 i32[] [2]",
    );
    check(
        &["other.safetensors", "config.txt"],
        "other.safetensors i32 i32[] [2]",
    );
    check(
        &[],
        "`FOLDER` has no `model.safetensors`, no index of shards and no `.gguf` file",
    );
    check(
        &["a.gguf", "b.gguf"],
        "`FOLDER` has 2 files of weights; name one of them",
    );
}

fn check_index(index: &str, expected: &str) {
    let folder = temporary();
    for (shard, names) in [
        ("1.safetensors", ["a", "b"]),
        ("2.safetensors", ["c", "b2"]),
    ] {
        let tensor = Tensor::scalar(names[0].len() as u8);
        let content = names.map(|name| (name, &tensor));
        write_safetensors(&folder.path().join(shard), content, &BTreeMap::new())
            .expect("the folder is writable");
    }
    fs::write(folder.path().join("model.safetensors.index.json"), index)
        .expect("the folder is writable");
    let seen = describe_path(folder.path()).replace(&folder.path().display().to_string(), ".");
    assert_eq!(seen.trim_end(), expected);
}

#[test]
fn shards_are_read_through_their_index() {
    check_index(
        r#"{"metadata":{"total_size":4},"weight_map":{"a":"1.safetensors","c":"2.safetensors","b2":"2.safetensors","b":"1.safetensors"}}"#,
        "a u8 u8[] [1]\nb u8 u8[] [1]\nc u8 u8[] [1]\nb2 u8 u8[] [1]",
    );
    check_index(
        r#"{"weight_map":{"a":"1.safetensors","b":"1.safetensors","d":"1.safetensors"}}"#,
        "`./model.safetensors.index.json`: tensor `d`: is not stored in shard `1.safetensors`, where the index has it",
    );
    check_index(
        r#"{"weight_map":{"a":"1.safetensors"}}"#,
        "`./1.safetensors`: tensor `b`: is missing in the index `./model.safetensors.index.json`",
    );
    check_index(
        r#"{"weight_map":{"a":"../1.safetensors"}}"#,
        "`./model.safetensors.index.json` names the shard `../1.safetensors`, which is no plain file name",
    );
    check_index(
        r#"{"weight_map":{"a":"3.safetensors"}}"#,
        "cannot read `./3.safetensors`: No such file or directory (os error 2)",
    );
    check_index(
        r#"{"weight_map":[]}"#,
        "`./model.safetensors.index.json` has a broken header: invalid type: sequence, expected a map at line 1 column 14",
    );
}
