//! Generated kernels, emulated, against a plain interpreter: every operation for every dtype, chosen
//! and random kernels. The cases are those of the cpu's code generator.

#![expect(unsafe_code, reason = "kernels are run on raw memory")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

#[path = "../../../engine/cpu/tests/codegen/case.rs"]
mod case;
#[path = "../../../engine/cpu/tests/codegen/cases.rs"]
mod cases;
#[path = "../../../engine/cpu/tests/codegen/interpret.rs"]
mod interpret;
#[path = "kernels/machine.rs"]
mod machine;
#[path = "../../../engine/cpu/tests/codegen/maker.rs"]
mod maker;
#[path = "../../../engine/cpu/tests/codegen/operations.rs"]
mod operations;
#[path = "../../../engine/cpu/tests/codegen/random.rs"]
mod random;

use girih_graph::{DType, Extent};
use girih_plan::kernel::{Affine, Guard, GuardOutside, LoopKind};

use case::Cases;
use interpret::Sizes;
use maker::{Maker, access, affine};

#[test]
fn random_kernels() {
    let mut cases = Cases::default();
    let mut state = 7_u64;
    for _ in 0..400 {
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        let length = 24 + usize::from(byte()) % 136;
        let bytes: Vec<u8> = (0..length).map(|_| byte()).collect();
        random::add(&mut cases, &bytes);
    }
    cases.run();
}

/// Rows of a table at positions that are data.
#[test]
fn positions_outside_are_told() {
    let (rows, width) = (4, 6);
    let mut maker = Maker::new(&[(LoopKind::Outer, 3), (LoopKind::Inner, width)]);
    let buffers = [DType::I64, DType::F32, DType::F32].map(|dtype| maker.buffer(dtype));
    let [at, table, to] = buffers;
    let position = maker.load(access(at, affine(0, &[(0, 1)])));
    let index = Affine {
        steps: vec![(position, Extent::constant(1))],
        ..affine(0, &[])
    };
    let mut address = affine(0, &[(1, 1)]);
    address.steps.push((position, Extent::constant(width)));
    let mut read = access(table, address);
    read.guards.push(Guard {
        index,
        extent: Extent::constant(rows),
        outside: GuardOutside::Fail(3),
    });
    let x = maker.load(read);
    maker.store(x, access(to, affine(0, &[(0, width), (1, 1)])));
    for (values, expected) in [
        ([3, 0, 1], [0, 0, 0, 0]),
        ([1, 4, 2], [3, 4, rows, 0]),
        ([0, 1, i64::MIN], [3, i64::MIN, rows, 0]),
    ] {
        let buffers = [
            cases::positions(&values),
            cases::reals(DType::F32, rows * width),
            cases::reals(DType::F32, 3 * width),
        ];
        let failure = machine::failure_of(&maker.0, &Sizes::new(), &buffers);
        assert_eq!(failure, expected, "{values:?}");
    }
}
