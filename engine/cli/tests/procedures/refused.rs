//! What goes wrong, and is its place told?

use girih::backend::NAMES;

use crate::{READER, file, girih};

#[test]
fn what_goes_wrong_is_told_with_its_place() {
    let procedures = "
      procedure cut(ids: i64[t], to = 9) {
        return slice(ids, 0, to)
      }
      procedure back(m: Reader = Reader(), ids: i64[t]) {
        s = session(m)
        s(ids)
        roll_back(s, 7)
        return position(s)
      }
      procedure far(m: Reader = Reader(), ids: i64[t]) {
        return m(ids)
      }
      procedure pick(logits: f32[v], heat = -1.0) {
        return sample(logits, temperature = heat)
      }";
    let (_folder, model) = file(&format!("{READER}{procedures}"));
    let check = |procedure: &str, rest: &[&str], status: u8, words: &[&str]| {
        for backend in NAMES {
            let mut line = vec![
                "run",
                &model,
                "--procedure",
                procedure,
                "--backend",
                backend,
            ];
            line.extend(rest);
            let (found, out, err) = girih("", &line);
            assert_eq!(found, status, "{out}{err}");
            for word in words {
                assert!(err.contains(word), "{word}: {err}");
            }
        }
    };
    check(
        "cut",
        &["--set", "ids=[1,2]"],
        1,
        &["positions 0 to 9 of `t`, which has 2", "model.girih:"],
    );
    check(
        "back",
        &["--set", "ids=[1,2]"],
        1,
        &["7", "roll_back(s, 7)"],
    );
    check("far", &["--set", "ids=[1,99]"], 1, &["m(ids)"]);
    check(
        "pick",
        &["--set", "logits=[1.0,2.0]"],
        1,
        &["a temperature is 0"],
    );
    check("cut", &[], 2, &["the procedure needs `ids: i64[t]`"]);
    check(
        "cut",
        &["--set", "ids=[[1],[2]]"],
        2,
        &["the input `ids` is `i64[t]`"],
    );
    check(
        "cut",
        &["--set", "ids=[1.5]"],
        2,
        &["the input `ids` is `i64[t]`"],
    );
    check(
        "cut",
        &["--set", "ids=[1]", "--set", "other=true"],
        2,
        &["`other`"],
    );
    check(
        "cot",
        &["--set", "ids=[1]"],
        1,
        &["no procedure `cot`", "did you mean `cut`?"],
    );
    check("far", &["--set", "m.d=0.5", "--set", "ids=[1]"], 1, &["E0"]);
    check(
        "far",
        &["--set", "x.d=2", "--set", "ids=[1]"],
        2,
        &["no model `x`"],
    );
}
