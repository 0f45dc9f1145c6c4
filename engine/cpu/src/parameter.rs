//! Parameters as this backend keeps them: packed for the products that read them, and
//! plain where anything else does.
//!
//! Packs are made once, when a parameter is loaded or when an executable first asks.
//! What only products read is kept packed alone; whoever asks for it otherwise gets it
//! read again from its file, or brought back into its order. Quantized numbers are
//! packed as they are.

#![expect(unsafe_code, reason = "matrix routines take addresses")]

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use girih_graph::DType;
use girih_kernels::gemm::{Packed, View, ViewMut};
use girih_runtime::backend::{Data, DeviceTensor, ParamData, RunError};
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::Blocks;

use crate::array::Array;
use crate::backend::Compute;
use crate::block::{Base, Block};
use crate::pack::Pack;
use crate::view;
use crate::weights::Form;

/// The matrices of one [`Form`], in the order of its offsets.
pub(crate) type Packs = Arc<[Pack]>;

/// What is wanted of a parameter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses<'a> {
    /// Its matrices that products read.
    pub(crate) forms: Vec<&'a Form>,
    /// Whether something reads rows of it at positions that are data.
    pub(crate) rows: bool,
    /// Whether anything else reads it.
    pub(crate) plain: bool,
    /// What those products compute with.
    pub(crate) compute: Compute,
}

/// A parameter of this backend.
pub(crate) struct Parameter {
    path: String,
    dtype: DType,
    shape: Vec<usize>,
    /// Where its numbers are quantized.
    blocks: Option<Blocks>,
    kept: Mutex<Kept>,
}

/// What there is of a parameter; with its blocks, all numbers at least once.
#[derive(Default)]
struct Kept {
    plain: Option<Array>,
    decoded: Option<Decoded>,
    packs: Vec<(Form, Compute, Packs)>,
}

/// Memory for all numbers, of which some rows are there. What is not written takes no memory where
/// the system gives pages as they are touched.
struct Decoded {
    block: Arc<Block>,
    /// Elements of a row.
    row: usize,
    done: Vec<bool>,
}

impl Parameter {
    /// Keeps what a source gave as `dtype`, ready for its uses.
    ///
    /// # Errors
    ///
    /// Blocks that cannot be decoded, no memory.
    pub(crate) fn new(
        path: &str,
        data: ParamData,
        dtype: DType,
        uses: &Uses<'_>,
    ) -> Result<Self, RunError> {
        let (blocks, plain) = match data {
            ParamData::Blocks(blocks) if dtype == DType::F32 => (Some(blocks), None),
            ParamData::Blocks(_) | ParamData::Tensor(_) => {
                let tensor = data.into_tensor(path)?;
                (None, Some(Array::prepared(&Data::Host(tensor), dtype)?))
            }
        };
        let shape = match (&blocks, &plain) {
            (Some(blocks), _) => blocks.shape().to_vec(),
            (None, plain) => plain
                .iter()
                .flat_map(DeviceTensor::shape)
                .copied()
                .collect(),
        };
        let parameter = Self {
            path: path.to_owned(),
            dtype,
            shape,
            blocks,
            kept: Mutex::new(Kept {
                plain,
                ..Kept::default()
            }),
        };
        for form in &uses.forms {
            parameter.packs(form, uses.compute)?;
        }
        if uses.plain {
            parameter.plain()?;
        }
        parameter.trim(uses);
        Ok(parameter)
    }

    /// Lets go of what is there twice.
    fn trim(&self, uses: &Uses<'_>) {
        let mut kept = self.kept();
        if let Some(blocks) = &self.blocks {
            blocks.release();
            return;
        }
        let packed = match self.shape.last() {
            Some(row) if uses.rows => kept.columns(*row).is_some(),
            _ => kept.whole(view::count(&self.shape)).is_some(),
        };
        // What lies in a file costs nothing and is left where it is.
        if packed && !uses.plain && kept.plain.as_ref().is_some_and(|array| !array.release()) {
            kept.plain = None;
        }
    }

    /// All elements, row-major.
    ///
    /// # Errors
    ///
    /// Blocks that cannot be decoded, no memory.
    pub(crate) fn plain(&self) -> Result<Array, RunError> {
        let mut kept = self.kept();
        let array = self.numbers(&kept)?;
        kept.plain = Some(array.clone());
        Ok(array)
    }

    /// Memory where rows can be read once [`decode`](Self::decode) has written them. `None` if the
    /// numbers are plain, or neither quantized nor packed in rows of so many elements.
    ///
    /// # Errors
    ///
    /// No memory.
    pub(crate) fn table(&self, row: usize) -> Result<Option<Arc<Block>>, RunError> {
        let mut kept = self.kept();
        if kept.plain.is_some() {
            return Ok(None);
        }
        if let Some(decoded) = kept.decoded.as_ref().filter(|own| own.row == row) {
            return Ok(Some(Arc::clone(&decoded.block)));
        }
        let rows = match &self.blocks {
            Some(blocks) => (blocks.row_elements() == row).then(|| blocks.rows()),
            None => kept.columns(row).map(Packed::n),
        };
        let Some(rows) = rows.filter(|_| kept.decoded.is_none()) else {
            return Ok(None);
        };
        let bytes = view::count(&self.shape).saturating_mul(self.dtype.size());
        let block = Arc::new(Block::new(bytes).ok_or_else(|| RunError::Memory {
            what: self.path.clone(),
            bytes: bytes as u64,
            limit: bytes as u64,
        })?);
        kept.decoded = Some(Decoded {
            block: Arc::clone(&block),
            row,
            done: vec![false; rows],
        });
        Ok(Some(block))
    }

    /// Writes rows into the [`table`](Self::table), those that are not there yet. Positions that
    /// are no rows are left to whoever reads.
    ///
    /// # Errors
    ///
    /// Blocks that cannot be decoded.
    pub(crate) fn decode(&self, rows: impl Iterator<Item = i64>) -> Result<(), RunError> {
        let mut kept = self.kept();
        let Some(mut decoded) = kept.decoded.take() else {
            return Ok(());
        };
        let written = rows.filter_map(|row| usize::try_from(row).ok());
        let written = self.write_rows(&kept, &mut decoded, written);
        kept.decoded = Some(decoded);
        written
    }

    fn write_rows(
        &self,
        kept: &Kept,
        decoded: &mut Decoded,
        rows: impl Iterator<Item = usize>,
    ) -> Result<(), RunError> {
        let length = decoded.row;
        for row in rows {
            let Some(done @ false) = decoded.done.get_mut(row) else {
                continue;
            };
            let numbers = match (&self.blocks, kept.columns(length)) {
                (Some(blocks), _) => blocks.decode_rows(row..row + 1).map_err(|error| {
                    let name = self.path.clone();
                    let source = error.into();
                    RunError::Source { name, source }
                })?,
                (None, Some(packed)) => packed.column(row),
                (None, None) => continue,
            };
            let end = (row + 1) * length * size_of::<f32>();
            assert!(numbers.len() == length && end <= decoded.block.bytes());
            let Base(first) = decoded
                .block
                .base()
                .at((row * length * size_of::<f32>()).cast_signed());
            // SAFETY: the row lies inside the block, as just checked; nobody reads it before it is marked
            // under the lock, and nobody writes it again.
            unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), first.cast(), length) };
            *done = true;
        }
        Ok(())
    }

    /// The matrices of a form.
    ///
    /// # Errors
    ///
    /// Blocks that cannot be decoded, no memory.
    pub(crate) fn packs(&self, form: &Form, compute: Compute) -> Result<Packs, RunError> {
        let mut kept = self.kept();
        let same = |(own, with, _): &&(Form, Compute, Packs)| own == form && *with == compute;
        if let Some((_, _, packs)) = kept.packs.iter().find(same) {
            return Ok(Arc::clone(packs));
        }
        let blocks = self.blocks.as_ref();
        let packed = blocks.and_then(|blocks| {
            let one = |offset: &isize| Pack::of_blocks(compute, blocks, form, *offset);
            form.offsets.iter().map(one).collect::<Option<Packs>>()
        });
        let packs = match packed {
            Some(packs) => packs,
            None => pack(form, compute, &self.numbers(&kept)?),
        };
        kept.packs.push((form.clone(), compute, Arc::clone(&packs)));
        Ok(packs)
    }

    /// All elements, from where they are.
    fn numbers(&self, kept: &Kept) -> Result<Array, RunError> {
        if let Some(array) = &kept.plain {
            return Ok(array.clone());
        }
        let tensor = match &self.blocks {
            Some(blocks) => ParamData::Blocks(blocks.clone()).into_tensor(&self.path)?,
            None => self.unpacked(kept)?,
        };
        Array::prepared(&Data::Host(tensor), self.dtype)
    }

    /// Brings packed elements back into their order.
    fn unpacked(&self, kept: &Kept) -> Result<Tensor, RunError> {
        let mut elements = Tensor::zeros(DType::F32, self.shape.as_slice())?.into_vec::<f32>()?;
        let (form, packs) = (kept.whole(elements.len()))
            .expect("a parameter is plain, or quantized, or packed whole");
        for (offset, packed) in form.offsets.iter().zip(packs.iter()) {
            check(form, *offset, elements.len());
            let matrix = ViewMut {
                ptr: elements.as_mut_ptr().wrapping_offset(*offset),
                row: form.row,
                col: form.column,
            };
            if let Pack::F32(packed) = packed {
                // SAFETY: all elements lie inside the vector, as just checked.
                unsafe { packed.unpack(matrix) };
            }
        }
        Ok(Tensor::new(self.shape.as_slice(), elements)?)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What is kept is whole after any panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Packs that hold every one of `count` elements as it is.
    fn whole(&self, count: usize) -> Option<(&Form, &Packs)> {
        let found = (self.packs.iter())
            .find(|(form, compute, _)| *compute == Compute::F32 && form.count() == count);
        found.map(|(form, _, packs)| (form, packs))
    }

    /// The one pack that holds every row of so many elements as a column.
    fn columns(&self, row: usize) -> Option<&Packed> {
        let step = isize::try_from(row).ok()?;
        let found = (self.packs.iter()).find(|(form, compute, _)| {
            let lies = (form.k, form.row, form.column) == (row, 1, step);
            *compute == Compute::F32 && lies && form.offsets == [0]
        });
        match found.map(|(_, _, packs)| &**packs) {
            Some([Pack::F32(packed)]) => Some(packed),
            _ => None,
        }
    }
}

fn pack(form: &Form, compute: Compute, array: &Array) -> Packs {
    assert_eq!(array.dtype(), DType::F32, "weights are `f32`");
    let count = view::count(array.shape());
    let base = array.base().elements::<f32>().cast_const();
    let one = |offset: &isize| {
        check(form, *offset, count);
        let source = View {
            ptr: base.wrapping_offset(*offset),
            row: form.row,
            col: form.column,
        };
        // SAFETY: all elements lie inside the array, as just checked, and nobody writes them.
        unsafe { Pack::of(compute, form.k, form.n, source) }
    };
    form.offsets.iter().map(one).collect()
}

/// A plan's views stay inside what is given: memory safety rests on it.
fn check(form: &Form, offset: isize, count: usize) {
    let reach = |extent: usize, step: isize| step.saturating_mul(extent.saturating_sub(1) as isize);
    let steps = [reach(form.k, form.row), reach(form.n, form.column)];
    let [first, last] = [isize::min, isize::max].map(|bound| {
        let moved = steps.map(|step| bound(step, 0));
        offset.saturating_add(moved[0]).saturating_add(moved[1])
    });
    let inside = first >= 0 && last.cast_unsigned() < count;
    assert!(inside, "a matrix leaves its parameter: {form:?} of {count}");
}

impl DeviceTensor for Parameter {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn to_host(&self) -> Result<Tensor, RunError> {
        let kept = self.kept();
        self.numbers(&kept)?.to_host()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}
