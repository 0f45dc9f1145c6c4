//! Every item once, whatever the threads; panics, nesting, floating-point mode.
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Pool;

const THREADS: [usize; 5] = [0, 1, 2, 3, 5];

/// Every item is seen once, by a thread of the pool.
fn check_run(pool: &Pool, items: usize) {
    let seen: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
    pool.run(items, &|item, thread| {
        assert!(thread < pool.threads());
        seen[item].fetch_add(1, Ordering::Relaxed);
    });
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
}

/// Ranges cover everything once and begin at grains.
fn check_split(pool: &Pool, count: usize, grain: usize) {
    let ranges = Mutex::new(Vec::new());
    pool.split(count, grain, &|range, thread| {
        assert!(thread < pool.threads());
        ranges.lock().unwrap().push((range.start, range.end));
    });
    let mut ranges = ranges.into_inner().unwrap();
    ranges.sort_unstable();
    assert!(ranges.len() <= pool.threads());
    let mut end = 0;
    for range in ranges {
        assert_eq!(range.0, end);
        assert!(range.1 > range.0 && range.0 % grain.max(1) == 0);
        end = range.1;
    }
    assert_eq!(end, count);
}

#[test]
fn every_item_is_seen_once() {
    for threads in THREADS {
        let pool = Pool::new(threads);
        assert_eq!(pool.threads(), threads.max(1));
        for items in [0, 1, 2, 3, 7, 100, 1000] {
            check_run(&pool, items);
            for grain in [0, 1, 3, 16, usize::MAX] {
                check_split(&pool, items, grain);
            }
        }
    }
}

#[test]
fn many_regions_follow_each_other() {
    let pool = Pool::new(3);
    let total = AtomicUsize::new(0);
    for _ in 0..2000 {
        pool.run(4, &|item, _| {
            total.fetch_add(item, Ordering::Relaxed);
        });
    }
    assert_eq!(total.into_inner(), 2000 * 6);
}

#[test]
fn sleeping_workers_wake() {
    let pool = Pool::new(3);
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(2));
        check_run(&pool, 50);
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
    for threads in THREADS {
        let pool = Pool::new(threads);
        for _ in 0..3 {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.run(100, &|item, _| assert!(item != 7, "item seven"));
            }));
            let payload = outcome.unwrap_err();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"item seven"));
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.split(100, 1, &|range, _| assert!(!range.contains(&99), "the end"));
            }));
            outcome.unwrap_err();
            check_run(&pool, 100);
        }
    }
}

#[test]
fn nested_regions_run_where_they_are() {
    let (pool, other) = (Pool::new(3), Pool::new(2));
    let total = AtomicUsize::new(0);
    pool.run(10, &|_, outer| {
        pool.run(10, &|item, inner| {
            assert_eq!(inner, outer);
            total.fetch_add(item, Ordering::Relaxed);
        });
        other.split(10, 1, &|range, inner| {
            assert_eq!((range, inner), (0..10, 0));
        });
    });
    assert_eq!(total.into_inner(), 450);
}

#[test]
fn alone_everything_runs_on_the_caller() {
    let pool = Pool::new(3);
    let caller = std::thread::current().id();
    let halved = pool.alone(&|| {
        for _ in 0..20 {
            pool.split(100, 1, &|range, thread| {
                assert_eq!((range, thread), (0..100, 0));
                assert_eq!(std::thread::current().id(), caller);
            });
        }
        black_box(f32::MIN_POSITIVE) * black_box(0.5)
    });
    assert_eq!(halved.to_bits(), 0);
    assert!(black_box(f32::MIN_POSITIVE) * black_box(0.5) > 0.0);
    check_split(&pool, 100, 1);
}

#[test]
fn two_callers_share_a_pool() {
    let pool = Pool::new(2);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    check_run(&pool, 20);
                    check_split(&pool, 20, 3);
                }
            });
        }
    });
}

#[test]
fn denormals_are_flushed_inside_and_kept_outside() {
    let halved = || black_box(f32::MIN_POSITIVE) * black_box(0.5);
    for threads in [1, 3] {
        let pool = Pool::new(threads);
        assert!(halved() > 0.0);
        pool.run(20, &|_, _| assert_eq!(halved().to_bits(), 0));
        pool.split(20, 1, &|_, _| assert_eq!(halved().to_bits(), 0));
        let _ = catch_unwind(AssertUnwindSafe(|| {
            pool.run(20, &|_, _| panic!("restored all the same"));
        }));
        assert!(halved() > 0.0);
    }
}
