//! The header of a `NumPy` array: a Python dictionary of three fields.

use std::io::Read;

use girih_graph::DType;

use super::super::{Storage, TensorProblem};

/// How every array file begins.
pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header that is read. `NumPy` itself refuses more than 10 000.
const LIMIT: usize = 65_536;

/// What a header says.
#[derive(Debug, PartialEq)]
pub(super) struct ArrayHeader {
    /// Bytes before the data.
    pub(super) bytes: usize,
    /// `NumPy`'s code for the elements.
    pub(super) descr: String,
    /// Whether the first axis is innermost.
    pub(super) fortran: bool,
    /// Extents.
    pub(super) shape: Vec<u64>,
}

impl ArrayHeader {
    pub(super) fn storage(&self) -> Option<Storage> {
        Some(match self.descr.as_str() {
            "<f8" => Storage::Plain(DType::F64),
            "<f4" => Storage::Plain(DType::F32),
            "<f2" => Storage::Plain(DType::F16),
            "<i8" => Storage::Plain(DType::I64),
            "<i4" => Storage::Plain(DType::I32),
            "|i1" => Storage::Plain(DType::I8),
            "|u1" => Storage::Plain(DType::U8),
            "|b1" => Storage::Plain(DType::Bool),
            "<i2" => Storage::I16,
            "<u2" => Storage::U16,
            "<u4" => Storage::U32,
            "<u8" => Storage::U64,
            _ => return None,
        })
    }
}

/// Reads up to the first byte of data.
pub(super) fn read_array_header(reader: &mut dyn Read) -> Result<ArrayHeader, TensorProblem> {
    let mut start = [0; 8];
    reader
        .read_exact(&mut start)
        .map_err(TensorProblem::Expand)?;
    let unknown = || TensorProblem::ArrayHeader(start.escape_ascii().to_string());
    let [b'\x93', b'N', b'U', b'M', b'P', b'Y', major, _] = start else {
        return Err(unknown());
    };
    let width = match major {
        1 => 2,
        2 | 3 => 4,
        _ => return Err(unknown()),
    };
    let mut length = [0; 4];
    reader
        .read_exact(&mut length[..width])
        .map_err(TensorProblem::Expand)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LIMIT {
        return Err(TensorProblem::ArrayHeader(format!("{length} bytes long")));
    }
    let mut text = vec![0; length];
    reader
        .read_exact(&mut text)
        .map_err(TensorProblem::Expand)?;
    let text = String::from_utf8_lossy(&text);
    let (descr, fortran, shape) =
        parse(&text).ok_or_else(|| TensorProblem::ArrayHeader(text.trim_end().to_owned()))?;
    Ok(ArrayHeader {
        bytes: start.len() + width + length,
        descr,
        fortran,
        shape,
    })
}

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`,
/// fields in any order.
fn parse(text: &str) -> Option<(String, bool, Vec<u64>)> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let after = after.trim_start().strip_prefix(':')?.trim_start();
        let after = match key {
            "descr" => {
                let (value, after) = quoted(after)?;
                descr = Some(value.to_owned());
                after
            }
            "fortran_order" => {
                let value = after.starts_with("True");
                fortran = Some(value);
                after.strip_prefix(if value { "True" } else { "False" })?
            }
            "shape" => {
                let (value, after) = after.strip_prefix('(')?.split_once(')')?;
                let extents = value
                    .split(',')
                    .map(str::trim)
                    .filter(|extent| !extent.is_empty());
                shape = Some(extents.map(str::parse).collect::<Result<_, _>>().ok()?);
                after
            }
            _ => return None,
        };
        let after = after.trim_start();
        rest = if after.is_empty() {
            after
        } else {
            after.strip_prefix(',')?.trim_start()
        };
    }
    Some((descr?, fortran?, shape?))
}

/// A text in quotes and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text
        .chars()
        .next()
        .filter(|quote| matches!(quote, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, bool, &[u64])>) {
        let expected = expected.map(|(d, f, s)| (d.to_owned(), f, s.to_vec()));
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn dictionaries_are_parsed() {
        check(
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n",
            Some(("<f4", false, &[2, 3])),
        );
        check(
            "{'shape': (), 'fortran_order': True, \"descr\": '|b1'}",
            Some(("|b1", true, &[])),
        );
        check(
            "{'descr': '<i8', 'fortran_order': False, 'shape': (7,)}",
            Some(("<i8", false, &[7])),
        );
        for broken in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1e3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}",
            "{'descr': '<f4",
        ] {
            check(broken, None);
        }
    }
}
