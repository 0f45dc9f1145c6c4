//! Generated trees: what is printed parses to the tree it was printed from.

use girih_dsl::ast::{
    Arg, Attribute, AxisDecl, BinaryOp, Block, Branch, ExpertsDecl, Expr, ExprKind, File, FnDecl,
    GoldenBlock, GoldenEntry, GoldenRole, Index, Item, ItemKind, Member, MemberKind, Method,
    Module, ModuleKind, Name, ParamDecl, Parameter, Path, Place, ProbeBlock, ProbeStmt, Procedure,
    Reducer, Require, Segment, Setting, Snapshot, StackDecl, StateDecl, Stmt, StmtKind, Storage,
    SubDecl, TestBlock, TestStmt, Text, TrainBlock, TrainItem, Type, TypeKind, UnaryOp, Use,
    WeightEntry, WeightsBlock,
};
use girih_dsl::format::format_tree;
use girih_dsl::span::{FileId, Span};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{format, read};

const HERE: Span = Span::new(FileId(0), 0, 0);

fn name(text: &str) -> Name {
    Name {
        text: text.to_owned(),
        span: HERE,
    }
}

fn expr(kind: ExprKind) -> Expr {
    Expr { kind, span: HERE }
}

/// Names of values.
fn any_name() -> impl Strategy<Value = Name> {
    prop::sample::select(vec![
        "x",
        "y",
        "d",
        "heads",
        "q_1",
        "π",
        "long_name_of_a_value",
    ])
    .prop_map(name)
}

/// Words of fields, arguments and settings: reserved ones too.
fn any_word() -> impl Strategy<Value = Name> {
    prop::sample::select(vec!["a", "read", "max", "state", "in", "order", "B"]).prop_map(name)
}

fn any_text() -> impl Strategy<Value = Text> {
    prop::sample::select(vec![
        "",
        "a.b",
        "h.{i}.w",
        "say \"no\"",
        "a\\b",
        "two\nlines\t#",
        "ünïcode = [1",
    ])
    .prop_map(|text| Text {
        text: text.to_owned(),
        span: HERE,
    })
}

fn any_leaf() -> impl Strategy<Value = Expr> {
    prop_oneof![
        4 => any_name().prop_map(|name| ExprKind::Name(name.text)),
        1 => any_name().prop_map(|name| ExprKind::Next(name.text)),
        2 => (0_i64..2000).prop_map(ExprKind::Int),
        1 => prop::sample::select(vec!["0.5", "1e-3", "2.0E7"]).prop_map(|text| ExprKind::Float(text.to_owned())),
        1 => any_text().prop_map(ExprKind::Text),
        1 => any::<bool>().prop_map(ExprKind::Bool),
    ]
    .prop_map(expr)
}

fn any_binary() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp as B;
    prop::sample::select(vec![
        B::Or,
        B::And,
        B::Eq,
        B::Ne,
        B::Lt,
        B::Le,
        B::Gt,
        B::Ge,
        B::In,
        B::Add,
        B::Sub,
        B::Mul,
        B::Div,
        B::FloorDiv,
        B::Rem,
        B::Pow,
    ])
}

fn any_expr() -> impl Strategy<Value = Expr> {
    any_leaf().prop_recursive(5, 40, 4, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        let arg = (
            option::of(any_word()),
            inner.clone(),
            option::of(inner.clone()),
        )
            .prop_map(|(name, value, to)| {
                let value = match to {
                    Some(to) => expr(ExprKind::Arrow(Box::new(value), Box::new(to))),
                    None => value,
                };
                Arg { name, value }
            });
        let axes = vec(
            any_name().prop_map(|name| Arg {
                name: None,
                value: expr(ExprKind::Name(name.text)),
            }),
            1..3,
        );
        let bind = (any_word(), inner.clone()).prop_map(|(name, value)| Index::Bind(name, value));
        let items = prop_oneof![
            vec(bind, 1..3),
            any_leaf().prop_map(|leaf| vec![Index::At(leaf)]),
            Just(vec![Index::All(HERE)]),
        ];
        let settings = vec((any_word(), vec(inner.clone(), 1..3)), 0..3);
        prop_oneof![
            (
                prop::sample::select(vec![UnaryOp::Neg, UnaryOp::Not]),
                boxed()
            )
                .prop_map(|(op, x)| ExprKind::Unary(op, x)),
            (any_binary(), boxed(), boxed()).prop_map(|(op, x, y)| ExprKind::Binary(op, x, y)),
            (prop::sample::select(Reducer::ALL.to_vec()), axes, boxed()).prop_map(
                |(reducer, args, body)| ExprKind::Reduce {
                    reducer,
                    word: HERE,
                    args,
                    body
                }
            ),
            (boxed(), boxed(), option::of(boxed())).prop_map(|(value, domain, other)| {
                // Two reducers side by side under a `where` are a mistake.
                let value = if reducers(&value) > 1 {
                    Box::new(expr(ExprKind::List(vec![*value])))
                } else {
                    value
                };
                ExprKind::Where {
                    value,
                    domain,
                    other,
                }
            }),
            (boxed(), boxed(), boxed()).prop_map(|(cond, then, other)| ExprKind::If {
                cond,
                then,
                other
            }),
            (any_name(), vec(arg, 0..4)).prop_map(|(name, args)| ExprKind::Call {
                callee: Box::new(expr(ExprKind::Name(name.text))),
                args
            }),
            (boxed(), items).prop_map(|(base, items)| ExprKind::Index { base, items }),
            (boxed(), prop_oneof![any_word(), Just(name("0"))])
                .prop_map(|(base, name)| ExprKind::Field { base, name }),
            vec((any_word(), inner.clone()), 1..3).prop_map(ExprKind::Record),
            vec(inner.clone(), 2..4).prop_map(ExprKind::Tuple),
            vec(inner.clone(), 0..4).prop_map(ExprKind::List),
            (boxed(), any_name(), settings).prop_map(|(items, experts, settings)| {
                ExprKind::Route {
                    items,
                    experts,
                    settings: settings
                        .into_iter()
                        .map(|(name, values)| Setting { name, values })
                        .collect(),
                }
            }),
        ]
        .prop_map(expr)
    })
}

/// The reducers of a value that stand side by side.
fn reducers(value: &Expr) -> usize {
    match &value.kind {
        ExprKind::Reduce { .. } => 1,
        ExprKind::Unary(_, inner) => reducers(inner),
        ExprKind::Binary(_, left, right) => reducers(left) + reducers(right),
        ExprKind::If { then, other, .. } => reducers(then) + reducers(other),
        _ => 0,
    }
}

fn any_axes() -> impl Strategy<Value = Vec<Index>> {
    let axis = || any_name().prop_map(|name| expr(ExprKind::Name(name.text)));
    vec(
        prop_oneof![
            axis().prop_map(Index::At),
            vec(axis(), 2..3).prop_map(|axes| Index::At(expr(ExprKind::Tuple(axes)))),
            (any_name(), any_leaf()).prop_map(|(name, value)| Index::Bind(name, value)),
        ],
        1..4,
    )
}

fn any_type() -> impl Strategy<Value = Type> {
    let tensor =
        (any_name(), prop_oneof![Just(Vec::new()), any_axes()]).prop_map(|(name, axes)| Type {
            kind: TypeKind::Tensor { name, axes },
            span: HERE,
        });
    tensor.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec((any_word(), inner.clone()), 1..3).prop_map(TypeKind::Record),
            vec(inner, 2..4).prop_map(TypeKind::Tuple),
        ]
        .prop_map(|kind| Type { kind, span: HERE })
    })
}

fn any_params() -> impl Strategy<Value = Vec<Parameter>> {
    vec(
        (
            any_name(),
            option::of(any_type()),
            option::of(any_expr()),
            any::<bool>(),
        ),
        0..4,
    )
    .prop_map(|params| {
        let param = |(at, (name, ty, default, arrow))| Parameter {
            name,
            ty,
            default,
            after_arrow: arrow && at > 0,
        };
        params.into_iter().enumerate().map(param).collect()
    })
}

fn any_state() -> impl Strategy<Value = StateDecl> {
    (any_name(), any_type(), any_expr(), any::<bool>()).prop_map(|(name, ty, init, shared)| {
        StateDecl {
            name,
            ty,
            init,
            shared,
        }
    })
}

fn any_stmt() -> impl Strategy<Value = Stmt> {
    let place =
        (any_name(), any::<bool>(), option::of(any_axes())).prop_map(|(name, next, indices)| {
            Place {
                name,
                next,
                indices,
                span: HERE,
            }
        });
    let call = vec(any_expr(), 0..3).prop_map(|args| {
        let args = args
            .into_iter()
            .map(|value| Arg { name: None, value })
            .collect();
        StmtKind::Do(expr(ExprKind::Call {
            callee: Box::new(expr(ExprKind::Name("append".into()))),
            args,
        }))
    });
    let simple = prop_oneof![
        (vec(place, 1..3), any_expr()).prop_map(|(places, value)| StmtKind::Bind { places, value }),
        any_expr().prop_map(StmtKind::Return),
        any_state().prop_map(StmtKind::State),
        any_expr().prop_map(StmtKind::Emit),
        call,
    ];
    let stmt = (vec(any_attribute(), 0..2), simple).prop_map(|(attributes, kind)| Stmt {
        attributes,
        kind,
        span: HERE,
    });
    stmt.prop_recursive(3, 12, 3, |inner| {
        let block = || vec(inner.clone(), 0..3).prop_map(|stmts| Block { stmts, span: HERE });
        prop_oneof![
            (any_name(), any::<bool>(), block()).prop_map(|(over, reverse, body)| {
                StmtKind::Recurrence {
                    over,
                    reverse,
                    body,
                }
            }),
            (any_name(), any_expr(), block()).prop_map(|(var, over, body)| StmtKind::For {
                var,
                over,
                body
            }),
            (any_expr(), block(), option::of(block()))
                .prop_map(|(cond, then, other)| StmtKind::If { cond, then, other }),
            (any_expr(), any_expr(), block()).prop_map(|(cond, limit, body)| StmtKind::While {
                cond,
                limit,
                body
            }),
        ]
        .prop_map(|kind| Stmt {
            attributes: Vec::new(),
            kind,
            span: HERE,
        })
    })
}

fn any_block() -> impl Strategy<Value = Block> {
    vec(any_stmt(), 0..4).prop_map(|stmts| Block { stmts, span: HERE })
}

/// Words and numbers.
fn plain_path() -> impl Strategy<Value = Path> {
    (
        any_name(),
        vec(prop_oneof![any_word(), Just(name("0"))], 0..3),
    )
        .prop_map(|(first, rest)| Path {
            segments: std::iter::once(first)
                .chain(rest)
                .map(Segment::Name)
                .collect(),
            span: HERE,
        })
}

fn any_path() -> impl Strategy<Value = Path> {
    let segment = prop_oneof![
        any_word().prop_map(Segment::Name),
        any_name().prop_map(Segment::Wild),
        Just(Segment::Star(HERE)),
        (0_i64..9).prop_map(|at| Segment::Index(vec![Index::At(expr(ExprKind::Int(at)))])),
        (any_name(), any_leaf())
            .prop_map(|(name, value)| Segment::Index(vec![Index::Bind(name, value)])),
    ];
    (plain_path(), vec(segment, 0..3)).prop_map(|(mut path, rest)| {
        path.segments.extend(rest);
        path
    })
}

fn any_setting() -> impl Strategy<Value = Setting> {
    (any_name(), vec(any_expr(), 1..3)).prop_map(|(name, values)| Setting { name, values })
}

fn any_set() -> impl Strategy<Value = Setting> {
    (any_word(), any_expr()).prop_map(|(name, value)| Setting {
        name,
        values: vec![value],
    })
}

fn any_member() -> impl Strategy<Value = Member> {
    let storage =
        (any_word(), option::of(any_leaf())).prop_map(|(kind, group)| Storage { kind, group });
    let count = || (option::of(any_name()), any_leaf());
    let branch = (any_name(), option::of(count()), any_expr()).prop_map(|(name, count, value)| {
        let (var, count) = count.map_or((None, None), |(var, count)| (var, Some(count)));
        Branch {
            name,
            var,
            count,
            value,
        }
    });
    let kind = prop_oneof![
        any_axis().prop_map(MemberKind::Axis),
        (any_name(), any_expr()).prop_map(|(name, value)| MemberKind::Let(name, value)),
        (
            plain_path(),
            any_type(),
            option::of(any_expr()),
            option::of(any_text()),
            option::of(storage),
            any::<bool>()
        )
            .prop_map(|(path, ty, init, rename, storage, frozen)| {
                MemberKind::Param(ParamDecl {
                    path,
                    ty,
                    init,
                    rename,
                    storage,
                    frozen,
                })
            }),
        (plain_path(), any_expr(), option::of(any_text())).prop_map(|(path, value, rename)| {
            MemberKind::Sub(SubDecl {
                path,
                value,
                rename,
            })
        }),
        (plain_path(), count(), any_expr(), option::of(any_text())).prop_map(
            |(path, (var, count), value, rename)| {
                MemberKind::Stack(StackDecl {
                    path,
                    var,
                    count,
                    value,
                    rename,
                })
            }
        ),
        (any_name(), vec(branch, 0..3))
            .prop_map(|(name, branches)| MemberKind::Experts(ExpertsDecl { name, branches })),
        any_state().prop_map(MemberKind::State),
        (
            any_name(),
            any_params(),
            option::of(any_type()),
            option::of(any_expr()),
            any_block()
        )
            .prop_map(
                |(name, params, result, when, body)| MemberKind::Method(Method {
                    name,
                    params,
                    result,
                    when,
                    body
                })
            ),
        any_setting().prop_map(MemberKind::Setting),
    ];
    (any_doc(), kind).prop_map(|(doc, kind)| Member {
        doc,
        kind,
        span: HERE,
    })
}

fn any_doc() -> impl Strategy<Value = Option<String>> {
    option::of(
        prop::sample::select(vec!["one line", "two\nlines", "a\n\n  code"]).prop_map(str::to_owned),
    )
}

fn any_axis() -> impl Strategy<Value = AxisDecl> {
    (any_name(), option::of(any_name()), option::of(any_expr()))
        .prop_map(|(name, kind, extent)| AxisDecl { name, kind, extent })
}

fn any_layout() -> impl Strategy<Value = Option<Vec<Expr>>> {
    option::of(vec(any_leaf(), 1..4))
}

fn any_golden_entry() -> impl Strategy<Value = GoldenEntry> {
    use GoldenRole as R;
    let text = || any_text().prop_map(|text| expr(ExprKind::Text(text)));
    let texts = prop_oneof![
        text(),
        vec(text(), 2..4).prop_map(|texts| expr(ExprKind::Tuple(texts)))
    ];
    let role = prop::sample::select(vec![
        R::Input,
        R::Param,
        R::State,
        R::Value,
        R::Cotangent,
        R::Grad,
    ]);
    prop_oneof![
        (role, any_path(), texts, any_layout(), any::<bool>()).prop_map(
            |(role, path, source, layout, optional)| {
                GoldenEntry {
                    role,
                    path,
                    source: Some(source),
                    layout,
                    optional,
                    span: HERE,
                }
            }
        ),
        any_path().prop_map(|path| GoldenEntry {
            role: R::Objective,
            path,
            source: None,
            layout: None,
            optional: false,
            span: HERE
        }),
        Just(GoldenEntry {
            role: R::Ignore,
            path: Path {
                segments: vec![Segment::Name(name("a")), Segment::Wild(name("p"))],
                span: HERE
            },
            source: Some(expr(ExprKind::Text(Text {
                text: "a.{p}".into(),
                span: HERE
            }))),
            layout: None,
            optional: false,
            span: HERE,
        }),
    ]
}

fn any_probe_stmt() -> impl Strategy<Value = ProbeStmt> {
    prop_oneof![
        (any_name(), any_expr()).prop_map(|(name, value)| ProbeStmt::Run(name, value)),
        (any_name(), any_path()).prop_map(|(name, path)| ProbeStmt::Capture(name, path)),
        (any_path(), any_expr(), option::of(any_expr()))
            .prop_map(|(path, x, then)| ProbeStmt::Set(path, x, then)),
        (any_path(), any_expr()).prop_map(|(path, x)| ProbeStmt::Scale(path, x)),
        (any_path(), any_expr()).prop_map(|(path, x)| ProbeStmt::Add(path, x)),
        (any_path(), any_expr()).prop_map(|(path, x)| ProbeStmt::Project(path, x)),
        (any_path(), any_name()).prop_map(|(path, run)| ProbeStmt::Patch(path, run)),
        (any_path(), any_name()).prop_map(|(path, run)| ProbeStmt::Freeze(path, run)),
        (any_path(), any_expr()).prop_map(|(path, x)| {
            // `cut … where` takes no second `where`.
            let x = if matches!(x.kind, ExprKind::Where { .. }) {
                expr(ExprKind::List(vec![x]))
            } else {
                x
            };
            ProbeStmt::Cut(path, x)
        }),
        (any_name(), vec(any_name(), 1..3), any_expr())
            .prop_map(|(name, axes, x)| ProbeStmt::Score(name, axes, x)),
    ]
}

fn any_train_item() -> impl Strategy<Value = TrainItem> {
    let item = prop_oneof![
        any_setting().prop_map(TrainItem::Setting),
        (any_name(), option::of(any_expr()), any_block())
            .prop_map(|(name, weight, body)| TrainItem::Task { name, weight, body }),
    ];
    item.prop_recursive(2, 6, 3, |inner| {
        (any_name(), vec(inner, 0..3)).prop_map(|(name, items)| TrainItem::Stage { name, items })
    })
}

fn any_attribute() -> impl Strategy<Value = Attribute> {
    (any_word(), vec(any_leaf(), 0..2)).prop_map(|(name, args)| Attribute {
        name,
        args: args
            .into_iter()
            .map(|value| Arg { name: None, value })
            .collect(),
    })
}

fn any_item() -> impl Strategy<Value = Item> {
    let function = (
        vec(any_attribute(), 0..3),
        any_name(),
        any_params(),
        option::of(any_type()),
        prop_oneof![any_block().prop_map(Err), any_expr().prop_map(Ok)],
        any::<bool>(),
    )
        .prop_map(|(attributes, name, params, result, body, bodiless)| {
            // Only what has attributes may lack a body.
            let bodiless = bodiless && !attributes.is_empty();
            let short = body.is_ok() && !bodiless;
            let body = body.map_or_else(
                |block| block,
                |value| {
                    let stmt = Stmt {
                        attributes: Vec::new(),
                        kind: StmtKind::Return(value),
                        span: HERE,
                    };
                    Block {
                        stmts: vec![stmt],
                        span: HERE,
                    }
                },
            );
            ItemKind::Fn(FnDecl {
                attributes,
                name,
                params,
                result,
                body: (!bodiless).then_some(body),
                short,
            })
        });
    let module_kind = prop::sample::select(vec![
        ModuleKind::Module,
        ModuleKind::Model,
        ModuleKind::Memory,
    ]);
    let weight = (
        vec(any_text(), 1..3),
        vec(any_path(), 0..3),
        any_layout(),
        any::<bool>(),
    )
        .prop_map(|(stored, paths, layout, optional)| WeightEntry {
            stored,
            paths,
            layout,
            optional,
            span: HERE,
        });
    let require = (any_expr(), option::of(any_text())).prop_map(|(claim, reason)| Require {
        claim,
        reason,
        span: HERE,
    });
    let model = || {
        (any_name(), option::of(any_leaf())).prop_map(|(name, arg)| {
            let callee = expr(ExprKind::Name(name.text));
            match arg {
                Some(value) => expr(ExprKind::Call {
                    callee: Box::new(callee),
                    args: vec![Arg { name: None, value }],
                }),
                None => callee,
            }
        })
    };
    let test_stmt = prop_oneof![
        any_stmt().prop_map(TestStmt::Stmt),
        (any_expr(), option::of(any_expr())).prop_map(|(claim, within)| TestStmt::Expect {
            claim,
            within,
            span: HERE
        }),
    ];
    let kind = prop_oneof![
        any_text().prop_map(|path| ItemKind::Use(Use { path })),
        any_text().prop_map(ItemKind::Plugin),
        any_axis().prop_map(ItemKind::Axis),
        (any_name(), any_expr()).prop_map(|(name, value)| ItemKind::Let(name, value)),
        function,
        (
            module_kind,
            any_name(),
            any_params(),
            vec(any_member(), 0..6)
        )
            .prop_map(|(kind, name, params, members)| ItemKind::Module(Module {
                kind,
                name,
                params,
                members
            })),
        (
            any_name(),
            any_name(),
            vec(require, 0..2),
            vec(any_set(), 0..2),
            vec(weight, 0..4)
        )
            .prop_map(|(name, model, requires, sets, entries)| {
                ItemKind::Weights(WeightsBlock {
                    name,
                    model,
                    requires,
                    sets,
                    entries,
                })
            }),
        (
            any_name(),
            model(),
            option::of(any_name()),
            vec(any_set(), 0..2),
            vec(any_golden_entry(), 0..5)
        )
            .prop_map(|(name, model, method, sets, entries)| ItemKind::Golden(
                GoldenBlock {
                    name,
                    model,
                    method,
                    sets,
                    entries
                }
            )),
        (any_text(), vec(test_stmt, 0..4))
            .prop_map(|(name, stmts)| ItemKind::Test(TestBlock { name, stmts })),
        (
            any_text(),
            model(),
            option::of(any_name()),
            vec(any_name(), 0..3)
        )
            .prop_map(|(name, model, mode, show)| ItemKind::Snapshot(Snapshot {
                name,
                model,
                mode,
                show
            })),
        (any_name(), any_name(), vec(any_train_item(), 0..4))
            .prop_map(|(name, model, items)| ItemKind::Train(TrainBlock { name, model, items })),
        (
            any::<bool>(),
            any_name(),
            any_name(),
            vec(any_probe_stmt(), 0..4)
        )
            .prop_map(
                |(intervene, name, model, stmts)| ItemKind::Probe(ProbeBlock {
                    intervene,
                    name,
                    model,
                    stmts
                })
            ),
        (
            any_name(),
            any_params(),
            option::of(any_type()),
            any_block()
        )
            .prop_map(|(name, params, result, body)| {
                ItemKind::Procedure(Procedure {
                    name,
                    params,
                    result,
                    body,
                })
            }),
    ];
    (any_doc(), kind).prop_map(|(doc, kind)| Item {
        doc,
        kind,
        span: HERE,
    })
}

fn any_file() -> impl Strategy<Value = File> {
    (any::<bool>(), vec(any_item(), 0..4)).prop_map(|(edition, items)| File {
        edition: edition.then(|| name("0.1")),
        items,
        ..File::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("GIRIH_TREES").ok().and_then(|count| count.parse().ok()).unwrap_or(100),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn trees_are_what_their_text_says(tree in any_file()) {
        let text = format_tree(&tree);
        let (parsed, found) = read("tree.girih", &text);
        prop_assert!(found.is_empty(), "{}\n{text}", found.join("\n"));
        prop_assert_eq!(&parsed.edition, &tree.edition);
        for (parsed, item) in parsed.items.iter().zip(&tree.items) {
            prop_assert_eq!(parsed, item, "{}", text);
        }
        prop_assert_eq!(parsed.items.len(), tree.items.len());
        prop_assert_eq!(format("tree.girih", &text), text);
    }
}
