//! Any bytes give tensors or an error.

use proptest::prelude::*;
use zip::CompressionMethod;

use crate::gguf::{GgufFile, description, field, text};
use crate::npz::{npy, npz};
use crate::safetensors::safetensors;
use crate::{cases, describe};

/// One sound file of each format.
fn sound() -> Vec<(&'static str, Vec<u8>)> {
    let header = r#"{"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"y":{"dtype":"U64","shape":[1],"data_offsets":[8,16]},"z":{"dtype":"BOOL","shape":[],"data_offsets":[16,17]}}"#;
    let list = [&4u32.to_le_bytes()[..], &2u64.to_le_bytes(), &[0; 8]].concat();
    let gguf = GgufFile::new(
        &[
            field("general.alignment", 4, &[32, 0, 0, 0]),
            field("a", 8, &text("b")),
            field("l", 9, &list),
        ],
        &[
            description("x", &[32, 2], 3, 0),
            description("y", &[3], 25, 64),
        ],
        70,
    );
    let array = npy("<f4", "True", "(2, 2)", &[7; 16]);
    let members = [
        ("x.npy", array.clone()),
        ("y.npy", npy("<u8", "False", "(1,)", &[0; 8])),
    ];
    vec![
        ("x.safetensors", safetensors(header, &[1; 17])),
        ("x.gguf", gguf.bytes()),
        ("x.npy", array),
        ("x.npz", npz(&members, CompressionMethod::Deflated)),
        ("x.npz", npz(&members, CompressionMethod::Stored)),
    ]
}

#[test]
fn the_unbroken_files_are_sound() {
    for (name, bytes) in sound() {
        let seen = describe(name, &bytes);
        assert!(seen.starts_with("x "), "{name}: {seen}");
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn changed_bytes_never_panic(
        file in 0usize..5,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        double in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let (name, mut bytes) = sound().swap_remove(file);
        if let Some(double) = double {
            let at = double.index(bytes.len());
            let tail = bytes[at..].to_vec();
            bytes.extend(tail);
        }
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            // Numbers in headers are where the damage is: digits become digits.
            bytes[at] = if bytes[at].is_ascii_digit() { b'0' + byte % 10 } else { byte };
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        describe(name, &bytes);
    }
}
