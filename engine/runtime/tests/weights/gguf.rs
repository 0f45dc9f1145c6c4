//! GGUF files: read, dequantized, refused.

use std::fs;
use std::io::Write as _;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use girih_graph::DType;
use girih_runtime::weights::{Quantization, Storage, open};

use crate::{check, describe, temporary};

/// The parts of a file, each to be broken by a test.
pub(crate) struct GgufFile {
    head: Vec<u8>,
    metadata: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: Vec<u8>,
    counts: Option<(u64, u64)>,
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

pub(crate) fn field(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(key), &kind.to_le_bytes()[..], value].concat()
}

pub(crate) fn description(name: &str, extents: &[u64], kind: u32, start: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend((extents.len() as u32).to_le_bytes());
    bytes.extend(extents.iter().flat_map(|extent| extent.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes
}

impl GgufFile {
    pub(crate) fn new(metadata: &[Vec<u8>], tensors: &[Vec<u8>], data: usize) -> Self {
        Self {
            head: b"GGUF\x03\0\0\0".to_vec(),
            metadata: metadata.to_vec(),
            tensors: tensors.to_vec(),
            data: (0..data).map(|i| (i % 60) as u8).collect(),
            counts: None,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (tensors, metadata) = self
            .counts
            .unwrap_or((self.tensors.len() as u64, self.metadata.len() as u64));
        let mut bytes = self.head.clone();
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(metadata.to_le_bytes());
        bytes.extend(self.metadata.concat());
        bytes.extend(self.tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }
}

fn check_gguf(file: &GgufFile, expected: &str) {
    check("x.gguf", &file.bytes(), expected);
}

#[test]
fn gguf_tensors_and_metadata_are_read() {
    let list = [
        &8u32.to_le_bytes()[..],
        &2u64.to_le_bytes(),
        &text("a"),
        &text("é"),
    ]
    .concat();
    let lists = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes(), &list].concat();
    let metadata = [
        field("general.architecture", 8, &text("llama")),
        field("u8", 0, &[255]),
        field("i8", 1, &[255]),
        field("u16", 2, &[255, 255]),
        field("i16", 3, &[255, 255]),
        field("u32", 4, &[255; 4]),
        field("i32", 5, &[255; 4]),
        field("f32", 6, &1.5f32.to_le_bytes()),
        field("bool", 7, &[1]),
        field("lists", 9, &lists),
        field("u64", 10, &[255; 8]),
        field("i64", 11, &[255; 8]),
        field("f64", 12, &f64::INFINITY.to_le_bytes()),
        field("broken text", 8, &[1, 0, 0, 0, 0, 0, 0, 0, 255]),
    ];
    let tensors = [
        description("a", &[3, 2], 24, 0),
        description("b", &[], 26, 32),
    ];
    let file = GgufFile::new(&metadata, &tensors, 36);
    check_gguf(
        &file,
        "a i8 i8[2, 3] [0, 1, 2, 3, 4, 5]\nb i32 i32[] [589439264]",
    );

    let folder = temporary();
    let path = folder.path().join("x.gguf");
    fs::write(&path, file.bytes()).unwrap();
    let source = open(&path).unwrap();
    assert_eq!(
        source.metadata().to_string(),
        "{\"bool\":true,\"broken text\":\"\u{fffd}\",\"f32\":1.5,\"f64\":null,\
         \"general.architecture\":\"llama\",\"i16\":-1,\"i32\":-1,\"i64\":-1,\"i8\":-1,\
         \"lists\":[[\"a\",\"é\"]],\"u16\":65535,\"u32\":4294967295,\
         \"u64\":1.8446744073709552e+19,\"u8\":255}"
    );
    assert_eq!(
        source.metadata().lookup("lists.0.1").unwrap().as_str(),
        Some("é")
    );
    assert!(source.tensor("a").unwrap().is_mapped());
    let missing = source.tensor("c").unwrap_err().to_string();
    assert!(
        missing.ends_with("tensor `c`: is not stored here"),
        "{missing}"
    );
}

#[test]
fn every_quantization_is_dequantized() {
    let kinds = [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q8_1,
        GgmlDType::Q2K,
        GgmlDType::Q3K,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
        GgmlDType::Q8K,
    ];
    let device = &candle_core::Device::Cpu;
    let values: Vec<f32> = (0..1024)
        .map(|i| ((i * 37 % 256) as f32 - 128.0) / 100.0)
        .collect();
    let reals = candle_core::Tensor::new(&values[..], device)
        .unwrap()
        .reshape((2, 512))
        .unwrap();
    for (quantization, kind) in Quantization::ALL.into_iter().zip(kinds) {
        let quantized = QTensor::quantize(&reals, kind).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let half = QTensor::quantize(&reals, GgmlDType::F16).unwrap();
        gguf_file::write(&mut file, &[], &[("half", &half), ("q", &quantized)]).unwrap();
        file.flush().unwrap();

        let source = open(file.path()).unwrap();
        let entry = source.entry("q").unwrap();
        assert_eq!(entry.storage, Storage::Quantized(quantization));
        assert_eq!(entry.shape, [2, 512]);
        assert_eq!(*source.raw("q").unwrap(), *quantized.data().unwrap());
        let tensor = source.tensor("q").unwrap();
        let expected = quantized.dequantize(device).unwrap().flatten_all().unwrap();
        assert_eq!(
            tensor.as_slice::<f32>().unwrap(),
            expected.to_vec1::<f32>().unwrap()
        );
        let worst = tensor.as_slice::<f32>().unwrap().iter().zip(&values);
        let worst = worst.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 0.5, "{} is off by {worst}", quantization.name());
        let half = source.tensor("half").unwrap();
        assert_eq!((half.dtype(), half.is_mapped()), (DType::F16, true));
    }
}

#[test]
fn hostile_gguf_files_are_refused() {
    let sound = || GgufFile::new(&[], &[description("a", &[2], 24, 0)], 2);
    check_gguf(&sound(), "a i8 i8[2] [0, 1]");

    for (head, expected) in [
        (
            b"GGUF\x09\0\0\0",
            "`x.gguf` is no GGUF file: the version is `9`",
        ),
        (
            b"GGUF\0\0\0\x03",
            "`x.gguf` is no GGUF file: the version is `50331648`",
        ),
    ] {
        let mut file = sound();
        file.head = head.to_vec();
        check_gguf(&file, expected);
    }
    for (counts, expected) in [
        (
            (2, 0),
            "`x.gguf` ends at byte 66, within its tensor description",
        ),
        (
            (u64::MAX, 0),
            "`x.gguf` ends at byte 66, within its tensor description",
        ),
        (
            (1, 1),
            "`x.gguf` announces a tensor name of 1729382256910270464 bytes, but has 20",
        ),
        (
            (0, u64::MAX),
            "`x.gguf` announces a metadata name of 1729382256910270464 bytes, but has 20",
        ),
    ] {
        let mut file = sound();
        file.counts = Some(counts);
        check_gguf(&file, expected);
    }

    for (tensor, expected) in [
        (
            description("a", &[1 << 60], 0, 0),
            "has shape [1152921504606846976], which no file can hold",
        ),
        (
            description("a", &[1 << 40, 1 << 40], 24, 0),
            "has shape [1099511627776, 1099511627776], which no file can hold",
        ),
        (
            description("a", &[1 << 61], 3, 0),
            "has shape [2305843009213693952], which no file can hold",
        ),
        (
            description("a", &[9], 0, 0),
            "lies at 0..36, but there are only 32 bytes of data",
        ),
        (
            description("a", &[1], 0, u64::MAX - 31),
            "lies at 18446744073709551584..18446744073709551588, but there are only 32 bytes of data",
        ),
        (
            description("a", &[1], 0, 4),
            "begins at byte 4, which is no multiple of 32",
        ),
        (
            description("a", &[2, 20], 3, 0),
            "has rows of 2 elements, which are no whole q4_1 blocks of 32",
        ),
        (
            description("a", &[32], 16, 0),
            "is stored as `GGUF type 16`, which cannot be read",
        ),
        (description("a", &[1; 9], 0, 0), "has 9 axes"),
        (
            description("a", &[], 3, 0),
            "has rows of 1 elements, which are no whole q4_1 blocks of 32",
        ),
    ] {
        let expected = format!("`x.gguf`: tensor `a`: {expected}");
        check_gguf(&GgufFile::new(&[], &[tensor], 32), &expected);
    }

    let a = description("a", &[9], 0, 0);
    check_gguf(
        &GgufFile::new(&[], &[a.clone(), description("b", &[1], 0, 32)], 36),
        "`x.gguf`: tensor `b`: overlaps tensor `a`",
    );
    check_gguf(
        &GgufFile::new(&[], &[a.clone(), description("a", &[1], 0, 64)], 68),
        "`x.gguf`: tensor `a`: stands twice",
    );
    check_gguf(
        &GgufFile::new(&[], &[a.clone(), description("b", &[1], 0, 96)], 100),
        "`x.gguf` has 60 bytes at byte 132 that belong to no tensor",
    );
    check_gguf(
        &GgufFile::new(&[], &[a], 68),
        "`x.gguf` has 32 bytes at byte 100 that belong to no tensor",
    );

    let list_of_bytes = [&0u32.to_le_bytes()[..], &(1u64 << 60).to_le_bytes()].concat();
    let deep: Vec<u8> = (0..9)
        .flat_map(|_| [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat())
        .collect();
    for (field, expected) in [
        (
            field("k", 13, &[]),
            "`x.gguf`: metadata `k`: an unknown type: it is 13",
        ),
        (
            field("k", 9, &deep),
            "`x.gguf`: metadata `k`: a list within lists, and their depth is 4",
        ),
        (
            field("k", 9, &list_of_bytes),
            "`x.gguf` ends at byte 100, within its metadata value",
        ),
        (
            field("k", 8, &[255; 8]),
            "`x.gguf` announces a metadata value of 18446744073709551615 bytes, but has 55",
        ),
        (
            field("general.alignment", 4, &[3, 0, 0, 0]),
            "`x.gguf`: metadata `general.alignment`: not a usable power of two: it is 3",
        ),
        (
            field("general.alignment", 4, &[0; 4]),
            "`x.gguf`: metadata `general.alignment`: not a usable power of two: it is 0",
        ),
        (
            field("general.alignment", 8, &text("32")),
            "`x.gguf`: metadata `general.alignment`: not a usable power of two: it is 0",
        ),
    ] {
        let file = GgufFile::new(&[field], &[description("a", &[1], 0, 0)], 4);
        check_gguf(&file, expected);
    }
    let twice = [field("k", 7, &[1]), field("k", 7, &[0])];
    check_gguf(
        &GgufFile::new(&twice, &[], 0),
        "`x.gguf`: metadata `k` stands twice",
    );
    let mut file = sound();
    file.tensors = vec![[&1u64.to_le_bytes()[..], &[255]].concat()];
    check_gguf(&file, "`x.gguf` has a tensor name that is not UTF-8");
    let whole = sound().bytes();
    for size in 0..whole.len() {
        let seen = describe("x.gguf", &whole[..size]);
        assert!(seen.starts_with("`x.gguf`"), "{size}: {seen}");
    }
}
