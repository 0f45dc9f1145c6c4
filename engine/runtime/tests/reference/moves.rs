//! Reads and writes at positions, affine or given as data, and changes of layout.

use girih_graph::{Binary, Combine, Extent, Op, Outside};

use super::check;

#[test]
fn reads_at_positions() {
    let gather = |positions: &[i32], outside, expected: &str| {
        check(
            |c| {
                let (v, d, t) = (c.axis("v", 3), c.axis("d", 2), c.axis("t", positions.len()));
                let table = c.input(&[v, d], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
                let positions = c.input(&[t], positions);
                c.b.value(Op::Gather { axis: v, outside }, &[table, positions])
            },
            expected,
        );
    };
    gather(&[2, 0], Outside::Error, "f32[2, 2] [5, 6, 1, 2]");
    gather(&[], Outside::Error, "f32[0, 2] []");
    gather(&[-1, 1, 3], Outside::Zero, "f32[3, 2] [0, 0, 3, 4, 0, 0]");
    gather(
        &[0, 3],
        Outside::Error,
        "position 3 is outside axis `v`, which has extent 3",
    );
    gather(
        &[-1],
        Outside::Error,
        "position -1 is outside axis `v`, which has extent 3",
    );
    // An axis of the positions that the operand has too is aligned.
    check(
        |c| {
            let (b, j, r) = (c.axis("b", 2), c.axis("j", 3), c.axis("r", 2));
            let x = c.input(&[j, b], &[1, 10, 2, 20, 3, 30_i64]);
            let positions = c.input(&[b, r], &[2, 0, 1, 1_i64]);
            let op = Op::Gather {
                axis: j,
                outside: Outside::Error,
            };
            c.b.value(op, &[x, positions])
        },
        "i64[2, 2] [3, 20, 1, 20]",
    );
    check(
        |c| {
            let (j, t) = (c.axis("j", 0), c.axis("t", 1));
            let x = c.input::<bool>(&[j], &[]);
            let positions = c.input(&[t], &[0_i64]);
            let op = Op::Gather {
                axis: j,
                outside: Outside::Zero,
            };
            c.b.value(op, &[x, positions])
        },
        "bool[1] [0]",
    );
}

#[test]
fn writes_at_positions() {
    let scatter = |combine, expected: &str| {
        check(
            |c| {
                let (t, v) = (c.axis("t", 4), c.axis("v", 3));
                let positions = c.input(&[t], &[0_i64, 2, 0, 7]);
                let updates = c.input(&[t], &[2.0_f32, 3.0, 5.0, 11.0]);
                let op = Op::Scatter {
                    axis: v,
                    over: vec![t],
                    combine,
                };
                c.b.value(op, &[positions, updates])
            },
            expected,
        );
    };
    scatter(Combine::Sum, "f32[3] [7, 0, 3]");
    scatter(Combine::Prod, "f32[3] [10, 0, 3]");
    scatter(Combine::Max, "f32[3] [5, 0, 3]");
    scatter(Combine::Min, "f32[3] [2, 0, 3]");
    // Axes of either operand that are not walked stay.
    check(
        |c| {
            let (t, d, v) = (c.axis("t", 2), c.axis("d", 2), c.axis("v", 2));
            let positions = c.input(&[t], &[1_i64, -1]);
            let updates = c.input(&[d], &[2_i64, 3]);
            let op = Op::Scatter {
                axis: v,
                over: vec![t],
                combine: Combine::Sum,
            };
            c.b.value(op, &[positions, updates])
        },
        "i64[2, 2] [0, 2, 0, 3]",
    );
    check(
        |c| {
            let (t, v) = (c.axis("t", 2), c.axis("v", 3));
            let positions = c.input(&[t], &[1_i64, 1]);
            let updates = c.input(&[t], &[false, true]);
            let op = Op::Scatter {
                axis: v,
                over: vec![t],
                combine: Combine::Any,
            };
            c.b.value(op, &[positions, updates])
        },
        "bool[3] [0, 1, 0]",
    );
}

/// A window over `[1, 2, 3, 4]` with these strides and extents.
fn check_window(into: &[(usize, i64)], offset: i64, expected: &str) {
    check(
        |c| {
            let t = c.axis("t", 4);
            let x = c.input(&[t], &[1.0_f32, 2.0, 3.0, 4.0]);
            let axes = into
                .iter()
                .map(|(extent, stride)| (c.axis("i", *extent), Extent::from(*stride)));
            let into = axes.collect();
            let op = Op::Window {
                axis: t,
                into,
                offset: Extent::from(offset),
            };
            c.b.value(op, &[x])
        },
        expected,
    );
}

#[test]
fn affine_reads() {
    check_window(&[], 2, "f32[] [3]");
    check_window(&[], 4, "f32[] [0]");
    check_window(&[(3, 1)], 1, "f32[3] [2, 3, 4]");
    check_window(&[(4, 1)], -2, "f32[4] [0, 0, 1, 2]");
    check_window(&[(4, -1)], 3, "f32[4] [4, 3, 2, 1]");
    check_window(&[(3, -2)], 4, "f32[3] [0, 3, 1]");
    check_window(&[(2, 2)], 0, "f32[2] [1, 3]");
    check_window(&[(3, 0)], 1, "f32[3] [2, 2, 2]");
    check_window(&[(3, 1), (2, 1)], 0, "f32[3, 2] [1, 2, 2, 3, 3, 4]");
    check_window(&[(2, 1), (3, -1)], 0, "f32[2, 3] [1, 0, 0, 2, 1, 0]");
    check_window(&[(0, 1)], 99, "f32[0] []");
    check_window(&[(1, i64::MAX)], 3, "f32[1] [4]");
    check_window(&[(2, i64::MAX)], 3, "f32[2] [4, 0]");
    check_window(&[(2, i64::MIN)], i64::MAX, "f32[2] [0, 0]");
}

#[test]
fn affine_reads_with_symbolic_strides() {
    check(
        |c| {
            let t = c.open_axis("t", 6);
            let x = c.input(&[t], &[1, 2, 3, 4, 5, 6_i64]);
            let i = c.axis("i", 2);
            let op = Op::Window {
                axis: t,
                into: vec![(i, Extent::symbol("t").minus(&Extent::from(1)))],
                offset: Extent::from(0),
            };
            c.b.value(op, &[x])
        },
        "i64[2] [1, 6]",
    );
}

#[test]
fn affine_writes() {
    let fold = |from: &[(usize, i64)], offset: i64, expected: &str| {
        check(
            |c| {
                let axes: Vec<_> = from
                    .iter()
                    .map(|(extent, stride)| (c.axis("i", *extent), Extent::from(*stride)))
                    .collect();
                let t = c.axis("t", 4);
                let own: Vec<_> = axes.iter().map(|(axis, _)| *axis).collect();
                let count = from.iter().map(|(extent, _)| extent).product::<usize>();
                let numbers: Vec<i64> = (1..=count as i64).collect();
                let x = c.input(&own, &numbers);
                let op = Op::Fold {
                    from: axes,
                    axis: t,
                    offset: Extent::from(offset),
                };
                c.b.value(op, &[x])
            },
            expected,
        );
    };
    fold(&[], 2, "i64[4] [0, 0, 1, 0]");
    fold(&[], -1, "i64[4] [0, 0, 0, 0]");
    fold(&[(2, 2)], 1, "i64[4] [0, 1, 0, 2]");
    fold(&[(6, 1)], -1, "i64[4] [2, 3, 4, 5]");
    fold(&[(3, 0)], 0, "i64[4] [6, 0, 0, 0]");
    fold(&[(3, 1), (2, 1)], 0, "i64[4] [1, 5, 9, 6]");
    fold(&[(2, -1)], 0, "i64[4] [1, 0, 0, 0]");
    fold(&[(0, 1)], 0, "i64[4] [0, 0, 0, 0]");
}

#[test]
fn axes_are_split_merged_joined_renamed_and_repeated() {
    check(
        |c| {
            let (i, j, ij) = (c.axis("i", 2), c.axis("j", 2), c.axis("ij", 4));
            let x = c.input(&[ij], &[1, 2, 3, 4_i64]);
            let x = c.b.value(Op::Split(ij, vec![i, j]), &[x])?;
            let ji = c.axis("ji", 4);
            c.b.value(Op::Merge(vec![j, i], ji), &[x])
        },
        "i64[4] [1, 3, 2, 4]",
    );
    check(
        |c| {
            let (i, one) = (c.axis("i", 2), c.axis("one", 1));
            let x = c.input(&[i], &[true, false]);
            c.b.value(Op::Merge(vec![], one), &[x])
        },
        "bool[2, 1] [1, 0]",
    );
    check(
        |c| {
            let (i, d, k) = (c.axis("i", 2), c.axis("d", 2), c.axis("k", 1));
            let all = c.axis("all", 3);
            let x = c.input(&[d, i], &[1.0_f32, 2.0, 3.0, 4.0]);
            let y = c.input(&[k], &[9.0_f32]);
            c.b.value(Op::Concat(vec![i, k], all), &[x, y])
        },
        "f32[2, 3] [1, 2, 9, 3, 4, 9]",
    );
    check(
        |c| {
            let (i, k, all) = (c.axis("i", 2), c.axis("k", 0), c.axis("all", 2));
            let x = c.input(&[i], &[1_u8, 2]);
            let y = c.input::<u8>(&[k], &[]);
            c.b.value(Op::Concat(vec![k, i], all), &[y, x])
        },
        "u8[2] [1, 2]",
    );
    check(
        |c| {
            let (i, j) = (c.axis("i", 2), c.axis("j", 2));
            let x = c.input(&[i], &[1.0_f64, 2.0]);
            let y = c.b.rename(x, &[(i, j)])?;
            c.b.binary(Binary::Add, x, y)
        },
        "f64[2, 2] [2, 3, 3, 4]",
    );
    check(
        |c| {
            let (i, n) = (c.axis("i", 2), c.axis("n", 2));
            let x = c.input(&[i], &[1_i32, 2]);
            c.b.value(Op::Expand(vec![n]), &[x])
        },
        "i32[2, 2] [1, 2, 1, 2]",
    );
}
