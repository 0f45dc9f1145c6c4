//! Parameters of quantized tensors whose blocks stay as they are stored.
//!
//! Blocks lie along the stored tensor's last axis, its rows. They stay whole while rows are only chosen, joined and
//! put in another order. Which row goes where is found by sending row numbers through the steps that numbers would
//! take.

use girih_dsl::blocks::{Arrangement, LoadStep};
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::{Blocks, WeightSource};

use super::{ParameterError, cut};

/// A parameter's rows as they are stored. `None` if they do not stay whole.
pub(super) fn blocks(
    source: &dyn WeightSource,
    step: &LoadStep,
) -> Result<Option<Blocks>, ParameterError> {
    let mut stored = Vec::new();
    for part in &step.parts {
        match source.blocks(&part.stored)? {
            Some(blocks) => stored.push(blocks),
            None => return Ok(None),
        }
    }
    let Some(first) = stored.first() else {
        return Ok(None);
    };
    let kind = |blocks: &Blocks| (blocks.quantization(), blocks.row_elements());
    if stored.iter().any(|blocks| kind(blocks) != kind(first)) {
        return Ok(None);
    }
    let counts: Vec<usize> = stored.iter().map(Blocks::rows).collect();
    let Some(order) = row_order(step, first.row_elements(), &counts) else {
        return Ok(None);
    };
    let order = order.as_slice::<i64>()?.iter().map(|row| *row as u32);
    let order: Vec<u32> = order.collect();
    let shape = step.arrangement.shape.as_slice();
    Ok(Some(Blocks::arranged(&stored, &order, shape)?))
}

/// Which of the stored rows, counted over all parts, each row of a parameter is. `None` if
/// rows are cut, joined or turned.
fn row_order(step: &LoadStep, row: usize, counts: &[usize]) -> Option<Tensor> {
    // Axes before those that make up a row.
    let outer = |shape: &[usize]| {
        let mut rest = row;
        let mut axes = shape.len();
        while rest > 1 {
            axes = axes.checked_sub(1)?;
            rest = rest
                .checked_div(shape[axes])
                .filter(|_| rest.is_multiple_of(shape[axes]))?;
        }
        Some(axes)
    };
    let mut parts = Vec::new();
    let mut first = 0_i64;
    for (part, count) in step.parts.iter().zip(counts) {
        let axes = outer(&part.view)?;
        let whole = part.view.get(step.axis) == Some(&part.range.len());
        if step.axis >= axes && !(whole && step.parts.len() == 1) {
            return None;
        }
        let numbers: Vec<i64> = (first..).take(*count).collect();
        first += i64::try_from(*count).ok()?;
        let numbers = Tensor::new([*count], numbers).ok()?;
        parts.push(cut(&numbers, &part.view[..axes], step.axis, &part.range).ok()?);
    }
    let Arrangement {
        file, order, shape, ..
    } = &step.arrangement;
    let (file_axes, shape_axes) = (outer(file)?, outer(shape)?);
    let (turned, kept) = order.split_at_checked(file_axes)?;
    if !kept.iter().copied().eq(file_axes..file.len()) {
        return None;
    }
    let joined = match parts.as_slice() {
        [one] => one.clone(),
        several => Tensor::concat(&several.iter().collect::<Vec<_>>(), step.axis).ok()?,
    };
    let apart = joined.reshape(&file[..file_axes]).ok()?;
    apart
        .permute(turned)
        .ok()?
        .reshape(&shape[..shape_axes])
        .ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use girih_dsl::blocks::Part;
    use girih_runtime::config::ConfigValue;
    use girih_runtime::weights::{Entry, Quantization, Storage, WeightError};

    use super::super::{Checkpoint, load_parts};
    use super::*;

    /// Tensors of quantized rows, whose numbers tell the row.
    #[derive(Debug)]
    struct Stored {
        entries: Vec<Entry>,
        metadata: ConfigValue,
    }

    fn stored(shapes: &[&[usize]]) -> Stored {
        let entry = |(at, shape): (usize, &&[usize])| Entry {
            name: format!("{at}"),
            shape: shape.to_vec(),
            storage: Storage::Quantized(Quantization::Q8_0),
            bytes: shape.iter().product::<usize>() / 32 * 34,
        };
        Stored {
            entries: shapes.iter().enumerate().map(entry).collect(),
            metadata: ConfigValue::Map(std::collections::BTreeMap::new()),
        }
    }

    impl WeightSource for Stored {
        fn file(&self) -> &Path {
            Path::new("stored")
        }

        fn entries(&self) -> &[Entry] {
            &self.entries
        }

        fn entry(&self, name: &str) -> Result<&Entry, WeightError> {
            Ok(&self.entries[name.parse::<usize>().expect("names are numbers")])
        }

        fn tensor(&self, name: &str) -> Result<Tensor, WeightError> {
            let blocks = self.blocks(name)?.expect("all are quantized");
            Ok(blocks.decode().expect("they are whole"))
        }

        fn raw(&self, _: &str) -> Result<std::borrow::Cow<'_, [u8]>, WeightError> {
            Ok(std::borrow::Cow::Borrowed(&[]))
        }

        fn blocks(&self, name: &str) -> Result<Option<Blocks>, WeightError> {
            let entry = self.entry(name)?;
            let seed = name.len() + entry.bytes;
            // The scale is 1; quants tell their block.
            let block = |at: usize| {
                let quants = (0..32).map(move |i| (at * 7 + i + seed) as u8 & 127);
                [0x00, 0x3c].into_iter().chain(quants)
            };
            let bytes: Vec<u8> = (0..entry.bytes / 34).flat_map(block).collect();
            Ok(Blocks::new(Quantization::Q8_0, entry.shape.clone(), &bytes).ok())
        }

        fn metadata(&self) -> &ConfigValue {
            &self.metadata
        }
    }

    fn step(
        parts: Vec<Part>,
        axis: usize,
        file: &[usize],
        order: &[usize],
        shape: &[usize],
    ) -> LoadStep {
        LoadStep {
            param: "w".to_owned(),
            dtype: girih_graph::DType::F32,
            parts,
            axis,
            arrangement: Arrangement {
                stored: file.to_vec(),
                file: file.to_vec(),
                order: order.to_vec(),
                shape: shape.to_vec(),
            },
        }
    }

    fn part(stored: usize, view: &[usize], range: std::ops::Range<usize>) -> Part {
        Part {
            stored: stored.to_string(),
            shape: view.to_vec(),
            view: view.to_vec(),
            range,
        }
    }

    /// Blocks are the numbers that the parameter would have without them.
    fn check(shapes: &[&[usize]], step: &LoadStep, stays: bool) {
        let source = stored(shapes);
        let found = blocks(&source, step).expect("it can be read");
        assert_eq!(found.is_some(), stays);
        let Some(found) = found else {
            return;
        };
        let checkpoint = Checkpoint {
            source: Box::new(source),
            config: std::collections::BTreeMap::new(),
        };
        let expected = checkpoint.parameter(step).expect("it can be read");
        assert_eq!(found.decode().expect("it can be decoded"), expected);
        assert!(load_parts(step, &[]).is_err());
    }

    #[test]
    fn rows_are_chosen_joined_and_turned() {
        let whole = part(0, &[12, 64], 0..12);
        check(
            &[&[12, 64]],
            &step(vec![whole.clone()], 0, &[12, 64], &[0, 1], &[12, 64]),
            true,
        );
        // Rows of heads in another order.
        check(
            &[&[12, 64]],
            &step(
                vec![whole.clone()],
                0,
                &[3, 2, 2, 64],
                &[0, 2, 1, 3],
                &[12, 64],
            ),
            true,
        );
        // A row that is two axes of the parameter.
        check(
            &[&[12, 64]],
            &step(
                vec![whole.clone()],
                0,
                &[12, 2, 32],
                &[0, 1, 2],
                &[12, 2, 32],
            ),
            true,
        );
        // Parts of one tensor, and of two.
        check(
            &[&[12, 64]],
            &step(
                vec![part(0, &[12, 64], 4..8)],
                0,
                &[4, 64],
                &[0, 1],
                &[4, 64],
            ),
            true,
        );
        let two = vec![part(0, &[12, 64], 4..8), part(1, &[2, 64], 0..2)];
        check(
            &[&[12, 64], &[2, 64]],
            &step(two, 0, &[6, 64], &[0, 1], &[6, 64]),
            true,
        );
    }

    #[test]
    fn rows_that_are_cut_or_crossed_are_decoded() {
        let cut = vec![part(0, &[12, 64], 0..32)];
        check(
            &[&[12, 64]],
            &step(cut, 1, &[12, 32], &[0, 1], &[12, 32]),
            false,
        );
        let whole = vec![part(0, &[12, 64], 0..12)];
        check(
            &[&[12, 64]],
            &step(whole, 0, &[12, 64], &[1, 0], &[64, 12]),
            false,
        );
        let side = vec![part(0, &[4, 64], 0..64), part(1, &[4, 64], 0..64)];
        check(
            &[&[4, 64], &[4, 64]],
            &step(side, 1, &[4, 128], &[0, 1], &[4, 128]),
            false,
        );
        let unlike = vec![part(0, &[4, 64], 0..4), part(1, &[4, 32], 0..4)];
        check(
            &[&[4, 64], &[4, 32]],
            &step(unlike, 0, &[8, 64], &[0, 1], &[8, 64]),
            false,
        );
    }
}
