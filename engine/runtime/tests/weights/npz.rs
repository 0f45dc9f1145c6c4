//! `NumPy` files: read, refused.

use std::io::{Cursor, Write as _};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::check;

/// An array file of format version 1.
pub(crate) fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header =
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let length = header.len() as u16;
    [
        b"\x93NUMPY\x01\x00",
        &length.to_le_bytes()[..],
        header.as_bytes(),
        data,
    ]
    .concat()
}

pub(crate) fn npz(members: &[(&str, Vec<u8>)], method: zip::CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in members {
        archive.start_file(*name, options).expect("a fresh name");
        archive.write_all(content).expect("memory takes bytes");
    }
    archive.finish().expect("memory takes bytes").into_inner()
}

#[test]
fn arrays_are_read() {
    check(
        "x.npy",
        &npy("|b1", "False", "(2,)", &[1, 0]),
        "x bool bool[2] [1, 0]",
    );
    check(
        "x.npy",
        &npy(
            "<i2",
            "True",
            "(2, 3)",
            &[0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 255, 255],
        ),
        "x i16 i32[2, 3] [0, 2, 4, 1, 3, -1]",
    );
    let members = [
        ("b.npy", npy("<f8", "False", "()", &1.5f64.to_le_bytes())),
        ("a/b.npy", npy("|u1", "False", "(0, 9)", &[])),
        ("c.npy", npy("<f2", "False", "(300,)", &[0; 600])),
    ];
    let expected = "b f64 f64[] [1.5]\na/b u8 u8[0, 9] []\n\
                    c f16 f16[300] [0, 0, 0, 0, 0, 0, 0, 0, …]";
    for method in [
        zip::CompressionMethod::Stored,
        zip::CompressionMethod::Deflated,
    ] {
        check("x.npz", &npz(&members, method), expected);
    }
}

#[test]
fn hostile_arrays_are_refused() {
    let huge = "(1152921504606846976,)";
    for (array, expected) in [
        (
            npy("<f4", "False", "(2,)", &[0; 4]),
            "has 4 bytes, but shape [2] asks for 8",
        ),
        (
            npy("<f4", "False", "(2,)", &[0; 9]),
            "has 9 bytes, but shape [2] asks for 8",
        ),
        (
            npy("<f4", "False", huge, &[]),
            "has shape [1152921504606846976], which no file can hold",
        ),
        (
            npy("|O", "False", "(2,)", &[]),
            "is stored as `|O`, which cannot be read",
        ),
        (
            npy(">f4", "False", "(2,)", &[0; 8]),
            "is stored as `>f4`, which cannot be read",
        ),
        (
            npy("<f4", "False", "(-2,)", &[]),
            "has the header `{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }`, \
             which is no array header",
        ),
        (
            b"\x93NUMPY\x09\x00\x00\x00".to_vec(),
            "has the header `\\x93NUMPY\\t\\x00`, which is no array header",
        ),
        (
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
            "has the header `4294967295 bytes long`, which is no array header",
        ),
        (
            b"\x93NUMPY".to_vec(),
            "cannot be expanded: failed to fill whole buffer",
        ),
    ] {
        check("x.npy", &array, &format!("`x.npy`: tensor `x`: {expected}"));
        let archive = npz(&[("y.npy", array)], zip::CompressionMethod::Deflated);
        check(
            "x.npz",
            &archive,
            &format!("`x.npz`: tensor `y`: {expected}"),
        );
    }
    check(
        "x.npz",
        &npz(&[("data.pkl", Vec::new())], zip::CompressionMethod::Stored),
        "`x.npz` is no npz file: a member is `data.pkl`",
    );
}
