//! Tensors are made, seen, moved and converted as documented, and refuse
//! what does not fit.

use half::{bf16, f16};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

fn iota(shape: &[usize]) -> Tensor {
    let count = element_count(shape).unwrap();
    Tensor::new(shape, (0..count).map(|i| i as f32).collect()).unwrap()
}

fn check(result: Result<Tensor, TensorError>, expected: &str) {
    let text = match result {
        Ok(tensor) => format!("{tensor:?}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(text, expected);
}

#[test]
fn made_from_elements_or_bytes_that_fill_the_shape() {
    check(
        Tensor::new([2, 2], vec![1i32, 2, 3, 4]),
        "i32[2, 2] [1, 2, 3, 4]",
    );
    check(Ok(Tensor::scalar(true)), "bool[] [1]");
    check(Tensor::zeros(DType::BF16, [2, 0, 3]), "bf16[2, 0, 3] []");
    check(
        Tensor::from_bytes(DType::F16, [1], &[0, 0x3c]),
        "f16[1] [1]",
    );
    check(
        Tensor::from_bytes(DType::Bool, [2], &[7, 0]),
        "bool[2] [1, 0]",
    );
    check(
        Tensor::new([9], (0..9i64).collect()),
        "i64[9] [0, 1, 2, 3, 4, 5, 6, 7, …]",
    );

    check(
        Tensor::new([3], vec![1.0f64]),
        "shape [3] holds 3 elements, but there are 1",
    );
    check(
        Tensor::new([1 << 40, 1 << 40], vec![0u8]),
        "shape [1099511627776, 1099511627776] holds more than 2^64 elements, but there are 1",
    );
    check(
        Tensor::zeros(DType::F64, [1 << 61]),
        "a `f64` tensor of shape [2305843009213693952] does not fit into memory",
    );
    check(
        Tensor::zeros(DType::F64, [1 << 59]),
        "a `f64` tensor of shape [576460752303423488] does not fit into memory",
    );
    check(
        Tensor::from_bytes(DType::F32, [2], &[0; 7]),
        "a `f32` tensor of shape [2] has 8 bytes, but there are 7",
    );
}

#[test]
fn views_are_checked() {
    let mut x = iota(&[2, 2]);
    assert_eq!(x.as_slice::<f32>().unwrap(), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(
        x.as_slice::<f64>().unwrap_err().to_string(),
        "the tensor is `f32`, not `f64`"
    );
    assert_eq!(
        x.as_slice::<bool>().unwrap_err().to_string(),
        "the tensor is `f32`, not `bool`"
    );

    let before = x.clone();
    x.as_mut_slice::<f32>().unwrap()[0] = 9.0;
    assert_eq!(before, iota(&[2, 2]), "a clone keeps its data");
    assert_eq!(x.into_vec::<f32>().unwrap(), [9.0, 1.0, 2.0, 3.0]);
}

#[test]
fn equal_when_every_byte_is() {
    let nan = || Tensor::new([1], vec![f32::NAN]).unwrap();
    assert_eq!(nan(), nan());
    assert_ne!(Tensor::scalar(0.0f32), Tensor::scalar(-0.0f32));
    assert_ne!(Tensor::scalar(0i32), Tensor::scalar(0.0f32));
    assert_ne!(iota(&[2, 2]), iota(&[4]));
}

#[test]
fn axes_are_permuted_cut_and_joined() {
    let x = iota(&[2, 3]);
    check(x.permute(&[1, 0]), "f32[3, 2] [0, 3, 1, 4, 2, 5]");
    check(x.transpose(1, 0), "f32[3, 2] [0, 3, 1, 4, 2, 5]");
    check(
        iota(&[2, 1, 2]).permute(&[2, 0, 1]),
        "f32[2, 2, 1] [0, 2, 1, 3]",
    );
    check(x.reshape([3, 1, 2]), "f32[3, 1, 2] [0, 1, 2, 3, 4, 5]");
    check(x.slice(1, 1..3), "f32[2, 2] [1, 2, 4, 5]");
    check(x.slice(0, 1..1), "f32[0, 3] []");
    check(
        Tensor::concat(&[&x, &x], 0),
        "f32[4, 3] [0, 1, 2, 3, 4, 5, 0, 1, …]",
    );
    check(
        Tensor::concat(&[&x, &iota(&[2, 1])], 1),
        "f32[2, 4] [0, 1, 2, 0, 3, 4, 5, 1]",
    );
    check(
        Tensor::concat(&[&iota(&[0, 3]), &iota(&[0, 3])], 1),
        "f32[0, 6] []",
    );

    check(x.permute(&[0, 0]), "[0, 0] is no order of the 2 axes");
    check(x.permute(&[0]), "[0] is no order of the 2 axes");
    check(x.permute(&[0, 1, 2]), "[0, 1, 2] is no order of the 2 axes");
    check(x.transpose(0, 2), "axis 2 of shape [2, 3] does not exist");
    check(
        x.reshape([5]),
        "shape [5] holds 5 elements, but there are 6",
    );
    check(x.slice(2, 0..1), "axis 2 of shape [2, 3] does not exist");
    check(x.slice(1, 2..4), "2..4 is not within axis 1 of extent 3");
    #[expect(clippy::reversed_empty_ranges, reason = "a caller may compute one")]
    check(x.slice(1, 2..1), "2..1 is not within axis 1 of extent 3");
    check(
        Tensor::concat(&[&x, &iota(&[3, 3])], 1),
        "a `f32` tensor of shape [3, 3] does not continue `f32` [2, 3] along axis 1",
    );
    check(
        Tensor::concat(&[&x, &x.to_dtype(DType::I64)], 0),
        "a `i64` tensor of shape [2, 3] does not continue `f32` [2, 3] along axis 0",
    );
    check(Tensor::concat(&[], 0), "no tensors to join");
}

#[test]
fn absurd_extents_beside_a_zero_are_harmless() {
    let x = Tensor::new([1 << 60, 0, 1 << 60], Vec::<u8>::new()).unwrap();
    check(
        x.permute(&[2, 1, 0]),
        "u8[1152921504606846976, 0, 1152921504606846976] []",
    );
    check(
        x.slice(1, 0..0),
        "u8[1152921504606846976, 0, 1152921504606846976] []",
    );
    let joined = Tensor::concat(&[&x, &x], 0).unwrap();
    assert_eq!(joined.shape(), [1 << 61, 0, 1 << 60]);
}

#[test]
fn numbers_are_converted() {
    let reals = vec![1.5f32, -2.5, 0.0, f32::NAN, f32::INFINITY, -1e10];
    for (dtype, expected) in [
        (
            DType::I64,
            "i64[6] [1, -2, 0, 0, 9223372036854776000, -10000000000]",
        ),
        (DType::I8, "i8[6] [1, -2, 0, 0, 127, -128]"),
        (DType::U8, "u8[6] [1, 0, 0, 0, 255, 0]"),
        (DType::Bool, "bool[6] [1, 1, 0, 1, 1, 1]"),
        (DType::F16, "f16[6] [1.5, -2.5, 0, NaN, inf, -inf]"),
        (DType::BF16, "bf16[6] [1.5, -2.5, 0, NaN, inf, -9999220736]"),
    ] {
        check(
            Ok(Tensor::new([6], reals.clone()).unwrap().to_dtype(dtype)),
            expected,
        );
    }
    let large = Tensor::new([2], vec![(1i64 << 53) + 1, -300]).unwrap();
    assert_eq!(large.to_i64_vec(), [(1 << 53) + 1, -300]);
    check(Ok(large.to_dtype(DType::I8)), "i8[2] [127, -128]");
    check(Ok(Tensor::scalar(true).to_dtype(DType::F32)), "f32[] [1]");
}

/// The same random cases in every run.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn narrow_reals_survive_a_wide_dtype(bits in any::<u16>()) {
        let half = Tensor::scalar(f16::from_bits(bits));
        prop_assume!(!f16::from_bits(bits).is_nan());
        prop_assert_eq!(&half.to_dtype(DType::F32).to_dtype(DType::F16), &half);
        let brain = Tensor::scalar(bf16::from_bits(bits));
        prop_assume!(!bf16::from_bits(bits).is_nan());
        prop_assert_eq!(&brain.to_dtype(DType::F64).to_dtype(DType::BF16), &brain);
    }

    #[test]
    fn permuting_back_restores(shape in prop::collection::vec(0usize..4, 1..5), turn in 0usize..4) {
        let x = iota(&shape);
        let rank = shape.len();
        let order: Vec<usize> = (0..rank).map(|axis| (axis + turn) % rank).collect();
        let back: Vec<usize> = (0..rank).map(|axis| (axis + rank - turn % rank) % rank).collect();
        prop_assert_eq!(x.permute(&order).unwrap().permute(&back).unwrap(), x);
    }

    #[test]
    fn pieces_join_to_the_whole(
        shape in prop::collection::vec(1usize..4, 1..4),
        axis in 0usize..3,
        cut in 0usize..4,
    ) {
        let x = iota(&shape);
        let axis = axis % shape.len();
        let cut = cut.min(shape[axis]);
        let head = x.slice(axis, 0..cut).unwrap();
        let tail = x.slice(axis, cut..shape[axis]).unwrap();
        prop_assert_eq!(Tensor::concat(&[&head, &tail], axis).unwrap(), x);
    }
}
