//! Does a session give what the whole gives?

use girih::backend::NAMES;
use serde_json::json as value;

use crate::{READER, close, file, girih, told};

#[test]
fn forks_go_on_alone_and_back_is_where_it_was() {
    let procedures = "
      procedure forked(m: Reader = Reader(), ids: i64[t], one: i64[t], two: i64[t]) {
        s = session(m)
        s(ids)
        other = s
        a = s(one)
        b = other(two)
        return { a: a, b: b, at: position(s), other: position(other) }
      }
      procedure returned(m: Reader = Reader(), ids: i64[t], one: i64[t], two: i64[t]) {
        s = session(m)
        s(ids)
        before = s
        a = s(one)
        s = before
        b = s(two)
        return { a: a, b: b, at: position(s) }
      }
      procedure apart(m: Reader = Reader(), ids: i64[t], one: i64[t], two: i64[t]) {
        first = session(m)
        first(append(ids, one))
        s = session(m)
        s(ids)
        again = session(m)
        again(ids)
        return { a: s(one), b: again(two), at: position(first) }
      }
      procedure single(m: Reader = Reader(), ids: i64[t]) {
        s = session(m)
        last = m(ids)[t = size(t) - 1]
        for n in length(ids) {
          last = s(ids[t = n])
        }
        return { own: last, whole: m(ids)[t = size(t) - 1] }
      }";
    let (_folder, model) = file(&format!("{READER}{procedures}"));
    for backend in NAMES {
        let rest = [
            "--set",
            "ids=[1,2,3]",
            "--set",
            "one=[4,5]",
            "--set",
            "two=[6]",
        ];
        let (_, forked) = told(&model, "forked", backend, &rest);
        let (_, returned) = told(&model, "returned", backend, &rest);
        let (_, apart) = told(&model, "apart", backend, &rest);
        for (part, other) in [
            ("a", &forked),
            ("b", &forked),
            ("a", &returned),
            ("b", &returned),
        ] {
            assert_eq!(apart[part], other[part], "{part}");
        }
        assert_eq!((&forked["at"], &forked["other"]), (&value!(5), &value!(4)));
        assert_eq!((&returned["at"], &apart["at"]), (&value!(4), &value!(5)));
        let (_, single) = told(&model, "single", backend, &["--set", "ids=[1,2,3]"]);
        close(&single["own"], &single["whole"]);
    }
}

#[test]
fn a_model_that_needs_its_sequence_as_a_whole_is_no_session() {
    let text = "
      axis t: time
      model Ahead(d: axis = 2) {
        forward(x: f32[t, d]) -> f32[t, d] {
          total[d] = sum(t) x
          return x + total
        }
      }
      procedure read(m: Ahead = Ahead(), x: f32[t, d]) {
        s = session(m)
        return s(x)
      }";
    let (_folder, model) = file(text);
    let (status, _, err) = girih("", &["check", &model]);
    assert!(status == 1 && err.contains("E042"), "{err}");
    let (status, _, err) = girih(
        "",
        &["run", &model, "--procedure", "read", "--set", "x=[[1,2]]"],
    );
    assert!(
        status == 1 && err.contains("E042") && err.contains("as a whole"),
        "{err}"
    );
}

/// A frame comes with the one after it and the one before, the sum of all when there are no more.
const NEAR: &str = "
axis t: time
model Near(d: axis = 2) {
  forward(x: f32[t, d]) {
    around[t, d] = sum(k) x[t = t + k - 1] where k < 3 and t + k >= 1 and t + k <= size(t)
    running[t, d] = cumsum(t) x
    total[d] = sum(t) x
    late[d] = sum(t) around
    return { around: around, running: running, total: total, late: late }
  }
}
";

#[test]
fn what_comes_late_is_left_to_a_flush() {
    let procedures = "
      procedure piecewise(m: Near = Near(), x: f32[t, d]) {
        s = session(m)
        first = s(slice(x, 0, 1, over = t))
        second = s(slice(x, 1, 3, over = t))
        fork = s
        early = flush(s)
        third = s(slice(x, 3, length(x, over = t), over = t))
        rest = flush(s)
        counts = tokens(n, length(first.around, over = t), length(second.around, over = t), length(third.around, over = t),
          length(rest.around, over = t), length(rest.running, over = t))
        around = append(first.around, second.around, over = t)
        append(around, third.around, over = t)
        return {
          counts: counts, around: append(around, rest.around, over = t), total: rest.total, late: rest.late,
          early: early, again: flush(fork), at: position(s),
        }
      }
      procedure whole(m: Near = Near(), x: f32[t, d]) {
        return { all: m(x), part: m(slice(x, 0, 3, over = t)) }
      }
      procedure one(m: Near = Near(), x: f32[d]) {
        s = session(m)
        return s(x).running
      }
      procedure told(m: Near = Near(), x: f32[t, d]) {
        s = session(m)
        return s(x).late * 2
      }";
    let (_folder, model) = file(&format!("axis n\n{NEAR}{procedures}"));
    for backend in NAMES {
        let rest = ["--set", "x=[[1,2],[3,5],[8,13],[21,34],[55,89]]"];
        let (_, own) = told(&model, "piecewise", backend, &rest);
        let (_, whole) = told(&model, "whole", backend, &rest);
        assert_eq!(own["counts"], value!([0, 2, 2, 1, 0]));
        for part in ["around", "total", "late"] {
            close(&own[part], &whole["all"][part]);
        }
        // It tells what the sequence gives if it ends there, and changes nothing.
        for part in ["early", "again"] {
            close(&own[part]["late"], &whole["part"]["late"]);
            close(&own[part]["total"], &whole["part"]["total"]);
            assert_eq!(own[part]["around"].as_array().unwrap().len(), 1);
        }
        assert_eq!(own["at"], value!(5));
        let refused = |procedure: &str, x: &str, words: &[&str]| {
            let line = [
                "run",
                &model,
                "--procedure",
                procedure,
                "--backend",
                backend,
            ];
            let (status, _, err) = girih("", &[&line[..], &["--set", x]].concat());
            assert_eq!(status, 1, "{err}");
            for word in words {
                assert!(err.contains(word), "{word}: {err}");
            }
        };
        let late = "`around` comes 1 position late";
        refused("one", "x=[1,2]", &["E0420", late, "s(x)", "flush(s)"]);
        let early = "a value is read before it is there";
        refused("told", "x=[[1,2]]", &[early, "s(x).late * 2"]);
    }
    let (status, _, err) = girih("", &["check", &model]);
    assert!(status == 1 && err.contains("E0420"), "{err}");
}

#[test]
fn what_is_never_late_leaves_nothing() {
    let procedures = "
      procedure read(m: Reader = Reader(), ids: i64[t]) {
        s = session(m)
        for n in length(ids) { s(ids[t = n]) }
        return length(flush(s), over = t)
      }
      procedure nothing(m: Reader = Reader(), ids: i64[t]) {
        s = session(m)
        before = s
        s(ids)
        return flush(before)
      }";
    let (_folder, model) = file(&format!("{READER}{procedures}"));
    for backend in NAMES {
        let (_, own) = told(&model, "read", backend, &["--set", "ids=[1,2]"]);
        assert_eq!(own, value!(0));
        let line = ["run", &model, "--procedure", "nothing", "--set", "ids=[1]"];
        let (status, _, err) = girih("", &[&line[..], &["--backend", backend]].concat());
        let said = "has taken no position yet";
        assert!(status == 1 && err.contains(said), "{err}");
    }
}
