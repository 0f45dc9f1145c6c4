//! Compiled kernels against a plain interpreter: every operation for every dtype, chosen and random
//! kernels, at every CPU level.

#![expect(unsafe_code, reason = "kernels are run on raw buffers")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

#[path = "codegen/case.rs"]
mod case;
#[path = "codegen/cases.rs"]
mod cases;
#[path = "codegen/interpret.rs"]
mod interpret;
#[path = "codegen/machine.rs"]
mod machine;
#[path = "codegen/maker.rs"]
mod maker;
#[path = "codegen/operations.rs"]
mod operations;
#[path = "codegen/random.rs"]
mod random;

use girih_cpu::codegen::{Code, CodeError, CodeOptions};
use girih_graph::op::{Binary, Unary};
use girih_graph::{DType, Extent};
use girih_kernels::level::{self, Level};
use girih_plan::kernel::{Affine, Guard, GuardOutside, LoopKind, StepOp};
use proptest::prelude::*;

use case::{Cases, close};
use cases::{positions, reals};
use interpret::{Number, Sizes};
use machine::{run_close, run_compiled};
use maker::{Maker, access, affine};

const F32: DType = DType::F32;
const OUTER: LoopKind = LoopKind::Outer;
const INNER: LoopKind = LoopKind::Inner;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn random_kernels(bytes in prop::collection::vec(any::<u8>(), 24..160)) {
        let mut cases = Cases::default();
        random::add(&mut cases, &bytes);
        cases.run();
    }
}

/// Rows of a table at positions that are data; a position outside stops the kernel.
#[test]
fn positions_outside_stop_the_kernel() {
    let (rows, width) = (4, 6);
    let mut maker = Maker::new(&[(OUTER, 3), (INNER, width)]);
    let (at, table, to) = (
        maker.buffer(DType::I64),
        maker.buffer(F32),
        maker.buffer(F32),
    );
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
    let options = CodeOptions {
        level: level::detected(),
        threads: 2,
    };
    let code = Code::compile(std::slice::from_ref(&maker.0), &options).unwrap();
    for (values, expected) in [
        ([3, 0, 1], None),
        ([1, 4, 9], Some(4)),
        ([0, 1, -1], Some(-1)),
    ] {
        let buffers = [
            positions(&values),
            reals(F32, rows * width),
            reals(F32, 3 * width),
        ];
        let found = run_compiled(code.kernel(0), &Sizes::new(), &buffers, 1, true);
        let failed = found
            .err()
            .map(|failure| (failure.status, failure.position, failure.extent));
        assert_eq!(failed, expected.map(|position| (3, position, rows)));
        run_close("rows of a table", &maker.0, &Sizes::new(), &buffers, 1.0);
    }
}

#[test]
fn kernels_that_break_guarantees_are_refused() {
    let check = |change: &dyn Fn(&mut Maker), reason: &str| {
        let mut maker = Maker::new(&[(INNER, 4)]);
        let (from, to) = (maker.buffer(F32), maker.buffer(F32));
        let x = maker.load(access(from, affine(0, &[(0, 1)])));
        let y = maker.unary(Unary::Exp, x);
        maker.store(y, access(to, affine(0, &[(0, 1)])));
        change(&mut maker);
        let options = CodeOptions {
            level: Level::Baseline,
            threads: 1,
        };
        match Code::compile(&[maker.0], &options) {
            Err(CodeError::Malformed {
                kernel: 0,
                reason: found,
            }) => assert_eq!(found, reason),
            other => panic!("{reason}: {other:?}"),
        }
    };
    check(
        &|maker| maker.0.steps[1].op = StepOp::Cast(1),
        "an operand stands after its step",
    );
    check(
        &|maker| maker.0.steps[1].dtype = DType::I32,
        "an operand has another dtype",
    );
    check(
        &|maker| maker.0.buffers[0] = DType::I8,
        "a buffer has another dtype",
    );
    check(&|maker| maker.0.stores[0].step = 9, "a store has no step");
    check(
        &|maker| maker.0.stores[0].access.buffer = 9,
        "a buffer is not there",
    );
    check(&|maker| maker.0.loops.clear(), "a loop is not there");
}

/// Many kernels compile in parallel and keep their order.
#[test]
fn kernels_keep_their_order() {
    let kernels: Vec<_> = (1..20)
        .map(|factor| {
            let mut maker = Maker::new(&[(INNER, 4)]);
            let (from, to) = (maker.buffer(F32), maker.buffer(F32));
            let x = maker.load(access(from, affine(0, &[(0, 1)])));
            let factor = maker.real(F32, f64::from(factor));
            let y = maker.binary(Binary::Mul, x, factor);
            maker.store(y, access(to, affine(0, &[(0, 1)])));
            maker.0
        })
        .collect();
    let options = CodeOptions {
        level: level::detected(),
        threads: 3,
    };
    let code = Code::compile(&kernels, &options).unwrap();
    assert_eq!(code.kernel_count(), kernels.len());
    let buffers = [reals(F32, 4), reals(F32, 4)];
    for (position, kernel) in kernels.iter().enumerate() {
        let sizes = Sizes::new();
        let found = run_compiled(code.kernel(position), &sizes, &buffers, 1, true).unwrap();
        assert_eq!(found, interpret::run(kernel, &sizes, &buffers).unwrap());
    }
}

#[test]
fn code_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Code>();
}

#[test]
fn tolerance_is_that_of_the_dtype() {
    assert!(close(
        DType::F32,
        Number::Real(1.0),
        Number::Real(1.000_001),
        1.0
    ));
    assert!(!close(
        DType::F32,
        Number::Real(1.0),
        Number::Real(1.01),
        1.0
    ));
    assert!(!close(DType::I32, Number::Int(1), Number::Int(2), 1.0));
}
