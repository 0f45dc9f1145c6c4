//! Attention against its definition in f64, at every level, on memory between guard pages.

mod case;
mod domain;
mod memory;

use super::Stored;
use case::{Case, Random, check};
use domain::{Domain, Rule, Told};
use memory::ORDERS;

#[test]
fn every_small_size_is_right() {
    for queries in [0, 1, 2, 5, 7] {
        for keys in [0, 1, 2, 15, 16, 17, 63, 64, 65, 130] {
            for (features, values) in [(0, 3), (1, 1), (3, 0), (5, 7), (16, 16), (17, 33), (64, 15)]
            {
                check(&Case::new(2, queries, keys, features, values));
            }
        }
    }
    check(&Case::new(0, 3, 4, 5, 6));
}

#[test]
fn every_number_of_features_and_values_is_right() {
    for size in 1..40 {
        check(&Case::new(1, 9, 70, size, 40 - size));
        check(&Case::new(1, 3, 33, 40 - size, size));
        check(&Case {
            at_end: false,
            ..Case::new(1, 7, 33, size, size + 40)
        });
    }
    check(&Case::new(1, 13, 70, 200, 130));
    check(&Case::new(1, 13, 70, 1100, 3));
    check(&Case::new(1, 13, 70, 3, 5000));
}

#[test]
fn every_domain_is_right_however_it_is_told() {
    use Domain::*;
    for domain in [
        All,
        Nothing,
        Causal,
        Window(1),
        Window(70),
        Prefix(40),
        Documents(37),
        Scattered,
        From(150),
    ] {
        for told in [Told::Exactly, Told::Vaguely, Told::NotAtAll] {
            for (queries, keys) in [(210, 210), (100, 200), (3, 170), (1, 65)] {
                let case = Case::new(2, queries, keys, 8, 16).domain(domain, told);
                check(&case);
                let rule = case.rule.map(|rule| Rule {
                    slope: -0.05,
                    first_query: 60,
                    ..rule
                });
                check(&Case {
                    rule,
                    group: 2,
                    ..case
                });
            }
        }
    }
}

#[test]
fn random_problems_are_right() {
    use Domain::*;
    let mut random = Random(7);
    for seed in 0..150 {
        let random = &mut random;
        let domain = random.pick(&[
            All,
            Causal,
            Window(100),
            Prefix(64),
            Documents(50),
            Scattered,
            From(200),
        ]);
        let rule = Rule {
            domain,
            slope: random.pick(&[0.0, 0.01]),
            told: random.pick(&[Told::Exactly, Told::Vaguely, Told::NotAtAll]),
            first_query: random.pick(&[0, 10, 300]),
        };
        check(&Case {
            points: random.below(1..7),
            group: random.below(0..5),
            queries: random.pick(&[1, 1, 2, 5, 24, 33, 96, 97, 150]),
            keys: random.pick(&[1, 7, 64, 100, 333, 700]),
            features: random.pick(&[1, 4, 16, 24, 31, 64]),
            values: random.pick(&[1, 4, 16, 24, 31, 64, 80]),
            scale: random.pick(&[1.0, 0.25, -0.3]),
            orders: [
                random.pick(&ORDERS),
                random.pick(&ORDERS),
                random.pick(&ORDERS),
                random.pick(&ORDERS),
            ],
            stored: random.pick(&[Stored::F32, Stored::F32, Stored::F16, Stored::Bf16]),
            rule: random.pick(&[None, Some(rule), Some(rule)]),
            statistics: random.below(0..2) == 0,
            at_end: random.below(0..2) == 0,
            seed,
            fill: |random, _, _| random.unit(),
        });
    }
}

#[test]
fn long_contexts_are_cut_and_merged() {
    use Domain::*;
    for (points, group, queries) in [(1, 1, 1), (4, 4, 1), (6, 3, 1), (2, 1, 5), (1, 1, 100)] {
        for domain in [All, Causal, Window(300), Nothing, Scattered] {
            let case = Case {
                group,
                ..Case::new(points, queries, 5000, 6, 9)
            }
            .domain(domain, Told::Exactly);
            let rule = case.rule.map(|rule| Rule {
                first_query: 4890,
                slope: 0.001,
                ..rule
            });
            check(&Case { rule, ..case });
        }
    }
}

#[test]
fn scores_that_are_not_finite_spoil_their_row_only() {
    let fills: [fn(&mut Random, usize, usize) -> f32; 4] = [
        |random, operand, row| {
            if operand == 0 && row == 3 {
                f32::NAN
            } else {
                random.unit()
            }
        },
        |random, operand, row| {
            if operand == 0 && row == 3 {
                f32::INFINITY
            } else {
                random.unit().abs() + 0.1
            }
        },
        // Every score of the row is −∞: an empty row.
        |random, operand, row| {
            if operand == 0 && row == 3 {
                f32::NEG_INFINITY
            } else {
                random.unit().abs() + 0.1
            }
        },
        // One key alone is at −∞ for all queries, as if it were out of the domain.
        |random, operand, row| match (operand, row) {
            (1, 40) => f32::NEG_INFINITY,
            (2, _) => random.unit(),
            _ => random.unit().abs() + 0.1,
        },
    ];
    for fill in fills {
        for (queries, keys) in [(4, 90), (8, 90), (4, 1200), (100, 50)] {
            check(&Case {
                fill,
                ..Case::new(2, queries, keys, 4, 5)
            });
            check(&Case {
                fill,
                ..Case::new(2, queries, keys, 4, 5).domain(Domain::Causal, Told::Exactly)
            });
        }
    }
    // One infinite score, and one NaN, among finite ones.
    let fills: [fn(&mut Random, usize, usize) -> f32; 2] = [
        |random, operand, row| {
            if (operand, row) == (1, 77) {
                f32::INFINITY
            } else {
                random.unit().abs() + 0.1
            }
        },
        |random, operand, row| {
            if (operand, row) == (1, 20) {
                f32::NAN
            } else {
                random.unit()
            }
        },
    ];
    for fill in fills {
        check(&Case {
            fill,
            ..Case::new(1, 99, 99, 4, 5).domain(Domain::Causal, Told::Exactly)
        });
        check(&Case {
            fill,
            ..Case::new(1, 99, 99, 4, 5).domain(Domain::Causal, Told::NotAtAll)
        });
    }
}

#[test]
fn big_scores_do_not_overflow() {
    // Whole numbers, so that f32 has the scores exactly.
    let fill = |random: &mut Random, operand: usize, _: usize| match operand {
        2 => random.unit(),
        _ => random.below(0..2001) as f32 - 1000.0,
    };
    for (queries, keys) in [(1, 700), (2, 100), (9, 300), (130, 200)] {
        check(&Case {
            fill,
            ..Case::new(2, queries, keys, 3, 8)
        });
        check(&Case {
            fill,
            ..Case::new(2, queries, keys, 3, 8).domain(Domain::Causal, Told::Exactly)
        });
        check(&Case {
            fill,
            scale: 0.007_812_5,
            ..Case::new(2, queries, keys, 1, 8)
        });
    }
    let huge = |random: &mut Random, operand: usize, _: usize| match operand {
        2 => random.unit(),
        _ => random.pick(&[1e19, -1e19, 1.0, 0.0, -1.0]),
    };
    for (queries, keys) in [(1, 700), (9, 300)] {
        check(&Case {
            fill: huge,
            ..Case::new(1, queries, keys, 1, 8)
        });
    }
}

#[test]
fn what_the_domain_leaves_out_is_not_read() {
    // Keys and values before 640 are NaN; domain and classifier leave them out.
    let fill = |random: &mut Random, operand: usize, row: usize| {
        if operand > 0 && row < 640 {
            f32::NAN
        } else {
            random.unit()
        }
    };
    for queries in [1, 6, 100] {
        let case = Case {
            fill,
            ..Case::new(2, queries, 1000, 16, 16)
        };
        check(&case.domain(Domain::From(640), Told::Exactly));
    }
}
