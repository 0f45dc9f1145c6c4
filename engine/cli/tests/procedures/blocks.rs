//! Do `test` blocks run procedures?

use serde_json::Value;

use crate::{READER, file, girih};

const PROCEDURES: &str = r#"
axis w
procedure listen(limit = 9) {
  total = 0
  heard = tokens(w)
  word = wait(t)
  while length(word) > 0 limit limit {
    total = total + sum(t) word
    append(heard, length(word))
    emit join("heard ", length(word), " tokens")
    word = wait(t)
  }
  return { total: total, heard: heard }
}
procedure two_kinds() {
  nothing = { near: tokens(t), far: tokens(w), name: "" }
  order = tokens(w)
  event = wait(nothing)
  while length(event.near) + length(event.far) > 0 limit 9 {
    append(order, length(event.near) - length(event.far))
    emit event.name
    event = wait(nothing)
  }
  return order
}
procedure say(m: Reader, ids: i64[t], limit = 3) {
  s = session(m)
  next = argmax(vocab) s(ids)[t = size(t) - 1]
  for n in limit {
    append(ids, next)
    emit next
    next = argmax(vocab) s(next)
  }
  return ids
}
"#;

/// A test and its claims: whether each holds, and in words.
type Judged = (String, Vec<(bool, String)>);

/// What `girih test` says of a file: its status, and of every test its claims.
fn judged(tests: &str) -> (u8, Vec<Judged>) {
    let (_folder, model) = file(&format!("{READER}{PROCEDURES}{tests}"));
    let (status, out, err) = girih("", &["test", &model, "--json", "--backend", "reference"]);
    let Ok(said) = serde_json::from_str::<Value>(&out) else {
        return (status, vec![(err, Vec::new())]);
    };
    let tests = said["tests"].as_array().unwrap().iter().map(|test| {
        let claims = test["claims"].as_array().unwrap().iter();
        let claims = claims.map(|own| {
            let detail = own["detail"].as_str().unwrap().to_owned();
            (own["holds"].as_bool().unwrap(), detail)
        });
        (test["test"].as_str().unwrap().to_owned(), claims.collect())
    });
    (status, tests.collect())
}

#[test]
fn what_holds_holds() {
    let (status, tests) = judged(
        r#"
        test "sessions" {
          m = Reader(vocab = 7)
          s = session(m)
          s(tokens(t, 1, 2))
          other = s
          a = s(tokens(t, 3, 4))
          b = other(tokens(t, 3, 4))
          expect a == b within 1e-6
          expect a == slice(m(tokens(t, 1, 2, 3, 4)), 2, 4, over = t) within 1e-5
          expect position(s) == 4
          expect cache(s).at == tokens(t, 0, 1, 2, 3)
          expect any(t, vocab) (a != 0.0)
        }
        test "events" {
          events(tokens(t, 1, 2), tokens(t, 3))
          heard = listen(limit = 9)
          expect heard.total == 6
          expect heard.heard == tensor([2, 1], w)
          expect emitted() == 2
          expect emitted(1) == "heard 1 tokens"
          rest = listen()
          expect rest.total == 0
        }
        test "kinds of events" {
          events({ near: tokens(t, 1, 2, 3), name: "a" }, { far: tokens(w, 4) }, { far: tokens(w, 5, 6), name: "b" })
          order = two_kinds()
          expect order == tensor([3, -1, -2], w)
          expect emitted(0) == "a"
          expect emitted(1) == ""
        }
        test "a model" {
          m = Reader()
          text = say(m, tokens(t, 1), limit = 2)
          expect length(text) == 3
          expect emitted() == 2
          expect text >= 0
          x = tensor([[1.0, 2.0], [3.0, 4.0]], t, d)
          expect (sum(t) x) == tensor([4.0, 6.0], d)
        }
        axis d = 2
        "#,
    );
    for (test, claims) in &tests {
        assert!(claims.len() > 1, "{test}");
        assert!(claims.iter().all(|claim| claim.0), "{test}: {claims:?}");
    }
    assert_eq!((status, tests.len()), (0, 4));
}

#[test]
fn what_fails_is_told_with_its_values() {
    let (status, tests) = judged(
        r#"
        test "numbers" {
          events(tokens(t, 1, 2))
          heard = listen()
          expect heard.total == 4
          expect heard.heard == tensor([2, 1], w)
          expect heard.heard == 3 within 0.5
          expect emitted(0) == "heard 3 tokens"
          expect heard.heard > 5
          expect emitted(7) == "nothing"
          expect heard.total == 3
        }
        test "events of another kind" {
          events(tokens(w, 1))
          heard = listen()
          expect heard.total == 1
        }
        "#,
    );
    assert_eq!(status, 1);
    let words = [
        "`3` and `4`",
        "the left side has shape [1], the right side [2]",
        "differ by up to 1.000e0, allowed is 5e-1: `[2]` and `3`",
        "`heard 2 tokens` is not `heard 3 tokens`",
        "the claim fails at 1 of 1 positions",
        "1 values have been emitted, none is number 7",
    ];
    let claims = &tests[0].1;
    assert_eq!(
        claims.len(),
        words.len(),
        "what fails in a step ends the test: {claims:?}"
    );
    for ((holds, detail), word) in claims.iter().zip(words) {
        assert!(!holds && detail.contains(word), "{word}: {detail}");
    }
    let (holds, detail) = &tests[1].1[0];
    let word = "`i64[w]` comes where `i64[t]` is waited for";
    assert!(!holds && detail.contains(word), "{detail}");
}

#[test]
fn what_cannot_be_a_test_is_refused() {
    let refused = |tests: &str, words: &[&str]| {
        let (status, said) = judged(tests);
        assert_eq!(status, 1);
        for word in words {
            assert!(said[0].0.contains(word), "{word}: {}", said[0].0);
        }
    };
    let unlike = "test \"x\" { heard = listen() expect heard.heard == \"words\" }";
    refused(unlike, &["E0303", "`i64[w]` is never `a text`"]);
    refused(
        "test \"x\" { heard = listen() expect heard.total }",
        &["a claim is a truth value"],
    );
    refused(
        "test \"x\" { heard = listen() return heard }",
        &["a test returns nothing"],
    );
    let (_folder, model) = file("axis t\nprocedure p() { events(tokens(t, 1)) }");
    let (status, _, err) = girih("", &["check", &model]);
    assert!(
        status == 1 && err.contains("`events` stands in tests"),
        "{err}"
    );
    refused(
        "test \"x\" {\n m = Reader()\n m = Reader()\n say(m, tokens(t, 1))\n}",
        &["E0201"],
    );
}
