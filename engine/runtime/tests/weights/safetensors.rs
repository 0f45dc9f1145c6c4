//! Safetensors files: read, written, refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use girih_graph::DType;
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::{open, write_safetensors};
use proptest::prelude::*;

use crate::{cases, check, temporary};

pub(crate) fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let length = header.len() as u64;
    [&length.to_le_bytes(), header.as_bytes(), data].concat()
}

fn check_safetensors(header: &str, data: &[u8], expected: &str) {
    check("x.safetensors", &safetensors(header, data), expected);
}

#[test]
fn safetensors_are_read() {
    check_safetensors(
        r#"{"__metadata__":{"format":"pt"},
            "b":{"dtype":"I16","shape":[2],"data_offsets":[8,12]},
            "a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},
            "none":{"dtype":"F64","shape":[0,3],"data_offsets":[12,12]},
            "one":{"dtype":"BOOL","shape":[],"data_offsets":[12,13]}}   "#,
        &[0, 0, 128, 63, 0, 0, 0, 64, 255, 255, 7, 0, 1],
        "b i16 i32[2] [-1, 7]\na f32 f32[2, 1] [1, 2]\nnone f64 f64[0, 3] []\none bool bool[] [1]",
    );
    check_safetensors("{}", &[], "");
    check_safetensors(
        r#"{"n":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},
            "m":{"dtype":"U32","shape":[1],"data_offsets":[8,12]},
            "l":{"dtype":"U16","shape":[1],"data_offsets":[12,14]}}"#,
        &[1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255],
        "n u64 i64[1] [1]\nm u32 i64[1] [4294967295]\nl u16 i32[1] [65535]",
    );
}

#[test]
fn hostile_safetensors_are_refused() {
    check(
        "x.safetensors",
        &[],
        "`x.safetensors` ends at byte 0, within its header length",
    );
    check(
        "x.safetensors",
        &[1; 7],
        "`x.safetensors` ends at byte 7, within its header length",
    );
    check(
        "x.safetensors",
        &[255; 16],
        "`x.safetensors` announces a header of 18446744073709551615 bytes, but has 8",
    );
    check(
        "x.safetensors",
        &safetensors("{}", &[])[..9],
        "`x.safetensors` announces a header of 2 bytes, but has 1",
    );
    check_safetensors(
        "[]",
        &[],
        "`x.safetensors` has a broken header: invalid type: sequence, expected a map of tensors at line 1 column 0",
    );
    check_safetensors(
        "{} x",
        &[],
        "`x.safetensors` has a broken header: trailing characters at line 1 column 4",
    );
    check_safetensors(
        "\u{7f}",
        &[],
        "`x.safetensors` has a broken header: expected value at line 1 column 1",
    );
    check_safetensors(
        r#"{"__metadata__":{"a":1}}"#,
        &[],
        "`x.safetensors`: tensor `__metadata__`: invalid type: integer `1`, expected a string at line 1 column 22",
    );
    check_safetensors(
        r#"{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}"#,
        &[0; 4],
        "`x.safetensors`: tensor `a`: expected value at line 1 column 30",
    );

    let one = |field: &str| format!(r#"{{"a":{{{field}}}}}"#);
    for (fields, expected) in [
        (
            r#""dtype":"F32","shape":[1],"data_offsets":[0,8]"#,
            "has 8 bytes, but shape [1] asks for 4",
        ),
        (
            r#""dtype":"F32","shape":[3],"data_offsets":[0,12]"#,
            "lies at 0..12, but there are only 8 bytes of data",
        ),
        (
            r#""dtype":"F32","shape":[1],"data_offsets":[8,4]"#,
            "lies at 8..4, but there are only 8 bytes of data",
        ),
        (
            r#""dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551615]"#,
            "lies at 18446744073709551612..18446744073709551615, but there are only 8 bytes of data",
        ),
        (
            r#""dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,8]"#,
            "has shape [1152921504606846976], which no file can hold",
        ),
        (
            r#""dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,8]"#,
            "has shape [4294967296, 4294967296], which no file can hold",
        ),
        (
            r#""dtype":"F4","shape":[2],"data_offsets":[0,8]"#,
            "is stored as `F4`, which cannot be read",
        ),
        (
            r#""dtype":"F32","shape":[-1],"data_offsets":[0,8]"#,
            "invalid value: integer `-1`, expected u64 at line 1 column 31",
        ),
        (
            r#""dtype":"F32","shape":[1.5],"data_offsets":[0,8]"#,
            "invalid type: floating point `1.5`, expected u64 at line 1 column 32",
        ),
        (
            r#""dtype":"F32","shape":[2]"#,
            "missing field `data_offsets` at line 1 column 32",
        ),
        (
            r#""dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1"#,
            "unknown field `x`, expected one of `dtype`, `shape`, `data_offsets` at line 1 column 56",
        ),
        (
            r#""dtype":"F32","shape":[2],"data_offsets":[0]"#,
            "invalid length 1, expected a tuple of size 2 at line 1 column 50",
        ),
    ] {
        let expected = format!("`x.safetensors`: tensor `a`: {expected}");
        check_safetensors(&one(fields), &[0; 8], &expected);
    }

    let two = |a: &str, b: &str| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{a}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{b}}}}}"#
        )
    };
    check_safetensors(
        &two("[4,8]", "[2,6]"),
        &[0; 8],
        "`x.safetensors` has 2 bytes at byte 113 that belong to no tensor",
    );
    check_safetensors(
        &two("[0,4]", "[2,6]"),
        &[0; 6],
        "`x.safetensors`: tensor `b`: overlaps tensor `a`",
    );
    check_safetensors(
        &two("[0,4]", "[0,4]"),
        &[0; 4],
        "`x.safetensors`: tensor `b`: overlaps tensor `a`",
    );
    check_safetensors(
        &two("[0,4]", "[4,8]"),
        &[0; 9],
        "`x.safetensors` has 1 bytes at byte 121 that belong to no tensor",
    );
    check_safetensors(
        &two("[0,4]", "[4,8]").replace("\"b\"", "\"a\""),
        &[0; 8],
        "`x.safetensors`: tensor `a`: stands twice",
    );
    check_safetensors(
        r#"{"n":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}"#,
        &[255; 8],
        "`x.safetensors`: tensor `n`: holds 18446744073709551615, which is past the largest `i64`",
    );
    check(
        "y.safetensors",
        b"\x80\x02}q\x01X\x05\x00\x00\x00epochq\x02",
        "`y.safetensors` announces a header of 1504138105782912 bytes, but has 9",
    );
}

#[test]
fn bool_bytes_are_checked_when_viewed() {
    let folder = temporary();
    let file = folder.path().join("x.safetensors");
    let header = r#"{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#;
    fs::write(&file, safetensors(header, &[1, 2])).unwrap();
    let tensor = open(&file).unwrap().tensor("a").unwrap();
    let error = tensor.as_slice::<bool>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "a `bool` tensor holds a byte that is neither 0 nor 1"
    );
    assert_eq!(tensor.to_f64_vec(), [1.0, 1.0]);
}

#[test]
fn mapped_tensors_are_not_copied() {
    let folder = temporary();
    let file = folder.path().join("x.safetensors");
    let small = Tensor::new([3], vec![1u8, 2, 3]).unwrap();
    let large = Tensor::new([2], vec![1.5f64, 2.5]).unwrap();
    write_safetensors(
        &file,
        [("small", &small), ("large", &large)],
        &BTreeMap::new(),
    )
    .unwrap();
    let source = open(&file).unwrap();
    let tensor = source.tensor("large").unwrap();
    assert!(tensor.is_mapped());
    assert_eq!(tensor, large);
    let raw = source.raw("large").unwrap();
    assert_eq!(raw.as_ptr(), tensor.bytes().as_ptr());

    let shifted = safetensors(
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} "#,
        &[0; 4],
    );
    fs::write(&file, shifted).unwrap();
    let tensor = open(&file).unwrap().tensor("a").unwrap();
    assert!(!tensor.is_mapped(), "an unaligned tensor is copied");
    assert_eq!(tensor.as_slice::<f32>().unwrap(), [0.0]);
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = temporary();
    let tensor = Tensor::scalar(1i64);
    let none = BTreeMap::new();
    let check = |path: &Path, names: &[&str], expected: &str| {
        let error = write_safetensors(path, names.iter().map(|&name| (name, &tensor)), &none)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(
        &folder.path().join("x"),
        &["a", "a"],
        "tensor `a`: stands twice",
    );
    check(
        &folder.path().join("x"),
        &["__metadata__"],
        "tensor `__metadata__`: stands twice",
    );
    check(&folder.path().join("no/x"), &["a"], "cannot write");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn any_tensor() -> impl Strategy<Value = Tensor> {
    let shapes = prop::collection::vec(0usize..4, 0..4);
    (shapes, 0..DType::ALL.len(), any::<u64>()).prop_map(|(shape, dtype, seed)| {
        let dtype = DType::ALL[dtype];
        let count: usize = shape.iter().product();
        let limit = if dtype == DType::Bool { 2 } else { 256 };
        let bytes: Vec<u8> = (0..count * dtype.size())
            .map(|i| (seed.rotate_left(i as u32 * 7) % limit) as u8)
            .collect();
        Tensor::from_bytes(dtype, shape, &bytes).expect("as many bytes as the shape asks for")
    })
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn what_is_written_is_read(
        tensors in prop::collection::btree_map("[a-z.\"é\\\\]{1,8}", any_tensor(), 0..6),
        metadata in prop::collection::btree_map("[a-z\"\n]{0,4}", ".{0,8}", 0..3),
    ) {
        let folder = temporary();
        let file = folder.path().join("x.safetensors");
        let named: Vec<(&str, &Tensor)> = tensors.iter().rev().map(|(n, t)| (&**n, t)).collect();
        write_safetensors(&file, named.iter().copied(), &metadata).unwrap();
        let source = open(&file).unwrap();
        let names: Vec<&str> = source.entries().iter().map(|entry| &*entry.name).collect();
        prop_assert_eq!(&names, &named.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (name, tensor) in named {
            prop_assert_eq!(&source.tensor(name).unwrap(), tensor);
        }
        let read: BTreeMap<String, String> = source.metadata().as_map().unwrap().iter()
            .map(|(key, text)| (key.clone(), text.as_str().unwrap().to_owned())).collect();
        prop_assert_eq!(read, metadata);
    }
}
