//! One graph per broken guarantee.

use super::*;
use crate::Builder;

fn with(change: impl FnOnce(&mut Graph)) -> String {
    let mut b = Builder::new("g");
    let t = b.axes.add("t", Extent::symbol("t"), None, true);
    let ty = ValueType::new(DType::F32, vec![t]);
    let x = b.value(Op::Input("x".into(), ty), &[]).unwrap();
    let s = b.value(Op::State("s".into()), &[x]).unwrap();
    let y = b.binary(crate::Binary::Add, x, s).unwrap();
    let mut graph = b.finish(vec![("y".into(), y)], vec![("s".into(), y)]);
    assert_eq!(verify(&graph), Ok(()));
    change(&mut graph);
    verify(&graph).map_or_else(|error| error.to_string(), |()| "holds".to_owned())
}

#[test]
fn each_broken_guarantee_is_named() {
    let check = |change: &dyn Fn(&mut Graph), message: &str| {
        assert_eq!(with(|graph| change(graph)), message);
    };
    check(&|_| {}, "holds");
    check(
        &|g| g.root.nodes[1].operands = vec![ValueId(2)],
        "node 1 (`state`): value 2 is not defined before this in this region",
    );
    check(
        &|g| g.root.results[0] = ValueId(9),
        "value 9 is not defined before this in this region",
    );
    check(
        &|g| g.root.nodes[2].results = vec![ValueId(1)],
        "node 2 (`add`): value 1 is not numbered as it is defined",
    );
    check(
        &|g| g.root.values[2].0.dtype = DType::F64,
        "node 2 (`add`): result 0 is recorded as `f64[t]` and is `f32[t]`",
    );
    check(
        &|g| g.root.values[0].0.axes.push(AxisId(7)),
        "node 0 (`input`): axis number 7 does not exist",
    );
    check(
        &|g| g.root.nodes[1].op = Op::State("x".into()),
        "node 1 (`state`): state `x` is given twice",
    );
    check(
        &|g| g.updates[0] = "q".into(),
        "there is no state `q` to update",
    );
    check(
        &|g| g.results.push("z".into()),
        "3 results and updates are named, 2 values are given",
    );
    check(
        &|g| {
            g.axes.add("n", Extent::from(-1), None, false);
        },
        "axis `n` has extent -1",
    );
    check(
        &|g| {
            let later = AxisId(g.axes.len() as u32);
            g.axes.add("n", Extent::from(1), Some(later), false);
        },
        "axis `n` ranges over an axis that was not defined before it",
    );
}

#[test]
fn numbers_fit_their_dtypes() {
    let check = |op: Op, message: &str| {
        let mut b = Builder::new("g");
        b.axes.add("n", Extent::from(1), None, false);
        let x = b.value(op, &[]).unwrap();
        let found = verify(&b.finish(vec![("x".into(), x)], vec![]));
        let found = found.map_or_else(|error| error.to_string(), |()| "holds".to_owned());
        assert_eq!(found, message);
    };
    let table = |dtype, number: f64| Op::Table(dtype, vec![AxisId(0)], [number].into());
    check(Op::Const(Literal::Int(DType::I8, -128)), "holds");
    check(
        Op::Const(Literal::Int(DType::U8, 256)),
        "node 0 (`const`): `256` is no `u8`",
    );
    check(
        Op::Const(Literal::Real(DType::I64, 0.5)),
        "node 0 (`const`): `0.5` is no `i64`",
    );
    check(table(DType::F16, f64::NAN), "holds");
    check(
        table(DType::I64, 0.5),
        "node 0 (`table`): `0.5` is no `i64`",
    );
    check(
        table(DType::Bool, 2.0),
        "node 0 (`table`): `2` is no `bool`",
    );
}

#[test]
fn regions_keep_their_leaves_outside() {
    let mut b = Builder::new("g");
    let t = b.axes.add("t", Extent::from(2), None, false);
    b.open_region();
    let inner = b
        .value(Op::Param("w".into(), ValueType::scalar(DType::F32)), &[])
        .unwrap();
    let body = b.close_region(vec![inner]);
    let recurrence = crate::Recurrence {
        axis: t,
        reverse: false,
        carried: 0,
        sequences: 0,
        body,
    };
    let y = b.value(Op::Recurrence(Box::new(recurrence)), &[]).unwrap();
    let graph = b.finish(vec![("y".into(), y)], vec![]);
    assert_eq!(
        verify(&graph).unwrap_err().to_string(),
        "node 0 (`recurrence`), region 0, node 0 (`param`): `w` stands inside a region"
    );
}
