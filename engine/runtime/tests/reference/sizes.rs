//! What is given is checked by name, dtype and size, and hostile sizes are refused.

use std::ops::ControlFlow;

use girih_graph::{Binary, Builder, Combine, DType, Extent, Graph, Op, ValueType};
use girih_runtime::backend::{Backend, Bindings, RunError, silent};
use girih_runtime::reference::Reference;
use girih_runtime::run::{run, run_with_params};
use girih_runtime::tensor::Tensor;

use super::Case;

fn zeros(dtype: DType, shape: &[usize]) -> Tensor {
    Tensor::zeros(dtype, shape).unwrap()
}

/// `y = x[t, d=2] · w[d=2, e] + z[2 t]`, summed.
fn model() -> Graph {
    let mut b = Builder::new("model");
    let t = b.axes.add("t", Extent::symbol("t"), None, true);
    let d = b.axes.add("d", Extent::from(2), None, false);
    let e = b.axes.add("e", Extent::symbol("e"), None, false);
    let double = Extent::symbol("t").times(&Extent::from(2));
    let z_axis = b.axes.add("s", double, None, false);
    let leaf = |dtype, axes: &[_]| ValueType::new(dtype, axes.to_vec());
    let x = b
        .value(Op::Input("x".into(), leaf(DType::F32, &[t, d])), &[])
        .unwrap();
    let w = b
        .value(Op::Param("w".into(), leaf(DType::F32, &[d, e])), &[])
        .unwrap();
    let z = b
        .value(Op::Input("z".into(), leaf(DType::F32, &[z_axis])), &[])
        .unwrap();
    let _unused = b
        .value(Op::Param("v".into(), leaf(DType::F32, &[e])), &[])
        .unwrap();
    let y = b.value(Op::Contract(vec![d]), &[x, w]).unwrap();
    let z = b.reduce(Combine::Sum, z, &[z_axis]).unwrap();
    let y = b.binary(Binary::Add, y, z).unwrap();
    let three = Extent::symbol("e").times(&Extent::from(3));
    let six = Extent::from(6);
    b.check_equal(&three, &six, "three `e` are six");
    b.finish(vec![("y".to_owned(), y)], Vec::new())
}

fn bindings() -> Bindings {
    Bindings::new()
        .input("x", Tensor::new([1, 2], vec![1.0_f32, 2.0]).unwrap())
        .input("z", Tensor::new([2], vec![10.0_f32, 20.0]).unwrap())
        .param(
            "w",
            Tensor::new([2, 2], vec![1.0_f32, 2.0, 3.0, 4.0]).unwrap(),
        )
}

fn check(graph: &Graph, bindings: &Bindings, expected: &str) {
    let text = match run(graph, &Reference, bindings) {
        Ok(results) => format!("{results:?}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(text, expected);
}

#[test]
fn what_is_given_must_fit() {
    let check = |change: &dyn Fn(Bindings) -> Bindings, expected: &str| {
        check(&model(), &change(bindings()), expected);
    };
    check(&|b| b, r#"{"y": f32[1, 2] [37, 40]}"#);
    let small = Tensor::new([2, 2], vec![1.0_f32, 2.0, 3.0, 4.0])
        .unwrap()
        .to_dtype(DType::BF16);
    check(
        &|b| b.param("w", small.clone()),
        r#"{"y": f32[1, 2] [37, 40]}"#,
    );
    check(
        &|b| b.input("w", zeros(DType::F32, &[2, 2])),
        "there is no input `w`; the inputs are `x`, `z`",
    );
    check(
        &|b| Bindings {
            params: Bindings::new().params,
            ..b
        },
        "the size of three `e` are six cannot be computed: the size `e` is not known",
    );
    check(
        &|b| {
            Bindings {
                params: Bindings::new().params,
                ..b
            }
            .symbol("e", 2)
        },
        "parameter `w` is not given; it is `f32[d=2, e]`",
    );
    check(
        &|b| b.input("x", zeros(DType::F64, &[1, 2])),
        "input `x` is `f64`, not `f32`",
    );
    check(
        &|b| b.param("w", zeros(DType::I64, &[2, 2])),
        "parameter `w` is `i64`, not `f32`",
    );
    check(
        &|b| b.input("x", zeros(DType::F32, &[2])),
        "input `x` has shape [2] where `f32[t, d=2]` is wanted",
    );
    check(
        &|b| b.input("x", zeros(DType::F32, &[1, 3])),
        "axis `d` of input `x` is 3, but should be 2",
    );
    check(
        &|b| b.input("x", zeros(DType::F32, &[5, 2])),
        "axis `s` of input `z` is 2, but should be 10, which is `2*t`, where `t` is 5, as axis `t` of input `x`",
    );
    check(
        &|b| b.symbol("t", 3),
        "axis `t` of input `x` is 1, but should be 3, as the size `t` is given",
    );
    check(
        &|b| b.param("v", zeros(DType::F32, &[3])),
        "axis `e` of parameter `w` is 2, but should be 3, as axis `e` of parameter `v`",
    );
    check(
        &|b| b.param("w", zeros(DType::F32, &[2, 1])),
        "three `e` are six: `3*e` is 3, but `6` is 6",
    );
    check(
        &|b| {
            b.input("x", zeros(DType::F32, &[0, 2]))
                .input("z", zeros(DType::F32, &[0]))
        },
        r#"{"y": f32[0, 2] []}"#,
    );
}

#[test]
fn parameters_are_loaded_once_and_only_those_that_are_used() {
    let mut asked = Vec::new();
    let results = run_with_params(&model(), &Reference, &bindings(), &mut |path| {
        asked.push(path.to_owned());
        Ok(Tensor::new([2, 2], vec![1.0_f64, 2.0, 3.0, 4.0])?)
    });
    assert_eq!(
        format!("{:?}", results.unwrap()),
        r#"{"y": f32[1, 2] [37, 40]}"#
    );
    assert_eq!(asked, ["w"]);

    let load = |tensor: Result<Tensor, &str>, expected: &str| {
        let executable = Reference.compile(&model()).unwrap();
        let mut source = |_: &str| tensor.clone().map_err(Into::into);
        let loaded = executable.load(&mut source, &mut silent);
        assert_eq!(loaded.unwrap_err().to_string(), expected);
    };
    load(
        Err("no such file"),
        "parameter `w` cannot be loaded: no such file",
    );
    load(
        Ok(zeros(DType::U8, &[2, 2])),
        "parameter `w` is `u8`, not `f32`",
    );
    load(
        Ok(zeros(DType::F32, &[3, 2])),
        "axis `d` of parameter `w` is 3, but should be 2",
    );
    load(
        Ok(zeros(DType::F32, &[])),
        "parameter `w` has shape [] where `f32[d=2, e]` is wanted",
    );
}

/// A value of `[n, n]` from an input that tells `n`.
fn square(extent: Extent) -> Graph {
    let mut b = Builder::new("square");
    let n = b.axes.add("n", Extent::symbol("n"), None, false);
    let i = b.axes.add("i", extent.clone(), None, false);
    let j = b.axes.add("j", extent, None, false);
    let x = b
        .value(
            Op::Input("x".into(), ValueType::new(DType::U8, vec![n])),
            &[],
        )
        .unwrap();
    let x = b.reduce(Combine::Max, x, &[n]).unwrap();
    let x = b.value(Op::Expand(vec![i, j]), &[x]).unwrap();
    let y = b.unary(girih_graph::Unary::Not, x).unwrap();
    b.finish(vec![("y".to_owned(), y)], Vec::new())
}

#[test]
fn hostile_sizes_are_errors_before_memory_is_taken() {
    let given = |n: usize| Bindings::new().input("x", zeros(DType::U8, &[n]));
    let n = Extent::symbol("n");
    check(&square(n.clone()), &given(1), r#"{"y": u8[1, 1] [255]}"#);
    let limited = Bindings {
        limit: 8,
        ..given(3)
    };
    check(
        &square(n.clone()),
        &limited,
        "`u8[i=n, j=n] of shape [3, 3]` needs 10 bytes where 8 are allowed for all values together",
    );
    let huge = n.times(&Extent::from(1 << 40));
    check(
        &square(huge.clone()),
        &given(1),
        "`u8[i=1099511627776*n, j=1099511627776*n] of shape [1099511627776, 1099511627776]` \
         needs 18446744073709551615 bytes where 17179869184 are allowed for all values together",
    );
    let unlimited = Bindings {
        limit: u64::MAX,
        ..given(1)
    };
    check(
        &square(huge.clone()),
        &unlimited,
        "`u8[i=1099511627776*n, j=1099511627776*n] of shape [1099511627776, 1099511627776]` \
         needs 18446744073709551615 bytes where 576460752303423487 are allowed for all values together",
    );
    check(
        &square(huge.times(&huge)),
        &given(1),
        "the size of axis `i` would be 9223372036854775807",
    );
    check(
        &square(n.minus(&Extent::from(2))),
        &given(1),
        "the size of axis `i` would be -1",
    );
    check(
        &square(n.floor_div(&Extent::symbol("m"))),
        &given(1).symbol("m", 0),
        "the size of axis `i` cannot be computed: `floor(n, m)` divides by zero",
    );
}

/// A cache that grows by its input.
fn growing() -> Graph {
    let mut b = Builder::new("growing");
    let t = b.axes.add("t", Extent::symbol("t"), None, true);
    let p = b.axes.add("p", Extent::symbol("p"), None, false);
    let all = Extent::symbol("p").plus(&Extent::symbol("t"));
    let all = b.axes.add("a", all, None, false);
    let x = b
        .value(
            Op::Input("x".into(), ValueType::new(DType::I64, vec![t])),
            &[],
        )
        .unwrap();
    let start = b
        .value(Op::Table(DType::I64, Vec::new(), vec![7.0].into()), &[])
        .unwrap();
    let start = b.value(Op::Expand(vec![p]), &[start]).unwrap();
    let cache = b.value(Op::State("cache".into()), &[start]).unwrap();
    let next = b.value(Op::Concat(vec![p, t], all), &[cache, x]).unwrap();
    b.finish(vec![("y".to_owned(), next)], vec![("cache".into(), next)])
}

#[test]
fn states_go_from_call_to_call() {
    let executable = Reference.compile(&growing()).unwrap();
    let given = Tensor::new([1], vec![1_i64]).unwrap();
    let mut bindings = Bindings::new().input("x", given).symbol("p", 2);
    let mut step = |expected: &str| {
        let outputs = executable.run(&bindings, &mut silent).unwrap();
        assert_eq!(format!("{:?}", outputs.tensor("y").unwrap()), expected);
        assert_eq!(outputs.results["y"].axes, ["a"]);
        bindings.advance(&outputs);
        bindings.symbols.clear();
    };
    step("i64[3] [7, 7, 1]");
    step("i64[4] [7, 7, 1, 1]");
    step("i64[5] [7, 7, 1, 1, 1]");
    let host = Tensor::new([1], vec![5_i64]).unwrap();
    bindings = bindings.state("cache", host);
    let outputs = executable.run(&bindings, &mut silent).unwrap();
    let error = outputs.tensor("z").unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no result `z`; the results are `y`"
    );
    assert_eq!(
        format!("{:?}", outputs.tensor("y").unwrap()),
        "i64[2] [5, 1]"
    );
}

#[test]
fn progress_is_told_and_can_cancel() {
    let executable = Reference.compile(&model()).unwrap();
    let mut told = Vec::new();
    let outputs = executable.run(&bindings(), &mut |done| {
        told.push(done.finished);
        assert_eq!(done.total, 6);
        ControlFlow::Continue(())
    });
    assert_eq!(outputs.unwrap().results.len(), 1);
    assert_eq!(told, [0, 1, 2, 3, 4, 5, 6]);
    let cancelled = executable.run(&bindings(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(cancelled, Err(RunError::Cancelled)));
}

#[test]
fn extents_beside_an_empty_axis_may_be_absurd() {
    let huge = 1_usize << 40;
    let sorted = |c: &mut Case| {
        let (i, j, r) = (c.axis("i", huge), c.axis("j", 0), c.axis("r", 0));
        let x = c.input::<f32>(&[i, j], &[]);
        let op = Op::Order {
            axis: j,
            into: r,
            descending: false,
        };
        c.b.value(op, &[x])
    };
    super::check(sorted, "i64[1099511627776, 0] []");
    super::check(
        |c| {
            let (i, j, k) = (c.axis("i", huge), c.axis("j", huge), c.axis("k", 0));
            let x = c.input::<f32>(&[i, j, k], &[]);
            c.b.value(Op::Softmax(vec![k]), &[x])
        },
        "f32[1099511627776, 1099511627776, 0] []",
    );
    super::check(
        |c| {
            let (i, j, k) = (c.axis("i", huge), c.axis("j", huge), c.axis("k", 0));
            let x = c.input::<f32>(&[i, j, k], &[]);
            c.b.value(Op::Contract(vec![i, j]), &[x, x])
        },
        "f32[0] []",
    );
}
