//! Does a session that goes on from a cache give what the session gives that had it?

use girih::backend::NAMES;
use serde_json::{Value, json as value};

use crate::{close, file, girih, told};

/// Keys without places: what an entry is does not depend on where it stands.
const FREE: &str = "
module Layer(d: axis, heads = 2) {
  axis h = heads
  axis e = d / heads
  sub key   = Linear(d -> (h, e), bias = false)
  sub value = Linear(d -> (h, e), bias = false)
  sub out   = Linear((h, e) -> d, bias = false)
  forward(x: f32[t, d]) -> f32[t, d] {
    k = key(x)
    v = value(x)
    s[h, i, j] = sum(e) k[t = i] * k[t = j]
    a[h, i, j] = softmax(j) s where j <= i
    y[t, h, e] = sum(j) a[i = t] * v[t = j]
    return x + out(y)
  }
}
model Free(vocab: axis = 9, d: axis = 6) {
  param embed: f32[vocab, d] = normal(1.0)
  stack layers[2] = Layer(d)
  forward(ids: i64[t]) -> f32[t, vocab] {
    logits[t, vocab] = sum(d) layers(embed[vocab = ids]) * embed
    return logits
  }
}
";

/// The library's keys, which are rotated, and a convolution, which holds the last positions.
const PLACED: &str = "
model Rotated(vocab: axis = 9, d: axis = 8) {
  param embed: f32[vocab, d] = normal(1.0)
  sub attn = GroupedAttention(d, over = t, heads = 2)
  forward(ids: i64[t]) -> f32[t, vocab] {
    x = embed[vocab = ids]
    y = x + attn(x)
    logits[t, vocab] = sum(d) y * embed
    return logits
  }
}
model Near(vocab: axis = 9, d: axis = 4) {
  param embed: f32[vocab, d] = normal(1.0)
  sub attn = Attention(d, over = t, heads = 2, causal = true)
  sub conv = CausalConv(d, over = t, width = 3)
  forward(ids: i64[t]) -> f32[t, vocab] {
    x = embed[vocab = ids]
    z = x + attn(x, x)
    y = z + conv(z)
    logits[t, vocab] = sum(d) y * embed
    return logits
  }
}
model Folded(vocab: axis = 9, d: axis = 4) {
  param embed: f32[vocab, d] = normal(1.0)
  forward(ids: i64[t]) -> f32[t, vocab] {
    x = embed[vocab = ids]
    recurrence over t {
      state S: f32[d] = 0
      S' = 0.5 * S + x
    }
    logits[t, vocab] = sum(d) S' * embed
    return logits
  }
}
";

const PROCEDURES: &str = "
procedure handed(m: Free = Free(), ids: i64[t], more: i64[t]) {
  s = session(m)
  s(ids)
  other = session(m, cache = cache(s))
  return { own: s(more), other: other(more), at: position(other) }
}
procedure cut(m: Free = Free(), ids: i64[t], more: i64[t], to = 2) {
  s = session(m)
  s(ids)
  before = session(m)
  before(slice(ids, 0, to))
  other = session(m, cache = slice(cache(s), 0, to, over = t))
  return { own: before(more), other: other(more), at: position(other) }
}
procedure glued(m: Free = Free(), ids: i64[t], more: i64[t], to = 2) {
  s = session(m)
  s(ids)
  own = cache(s)
  c = slice(own, 0, to, over = t)
  append(c, slice(own, to, length(own.at), over = t), over = t)
  other = session(m, cache = c)
  return { own: s(more), other: other(more), same: all(t) (c.at == own.at) }
}
procedure left_out(m: Free = Free(), ids: i64[t], more: i64[t]) {
  s = session(m)
  s(ids)
  own = cache(s)
  c = append(slice(own, 0, 1, over = t), slice(own, 2, length(own.at), over = t), over = t)
  other = session(m, cache = c)
  return { other: other(more), at: position(other), labels: cache(other).at, c: c.at }
}
procedure beams(m: Free = Free(), ids: i64[b, t], order: i64[b], one: i64[b]) {
  s = session(m)
  s(ids)
  own = session(m)
  turned = ids[b = order]
  own(turned)
  c = cache(s)
  other = session(m, cache = c[b = order])
  return { own: own(one), other: other(one), k: c.layers[1].k, axes: other(one) }
}
procedure rotated(m: Rotated = Rotated(), ids: i64[t], more: i64[t], from = 0, to = 2) {
  s = session(m)
  s(ids)
  before = session(m)
  before(slice(ids, from, to))
  other = session(m, cache = slice(cache(s), from, to, over = t))
  return { own: before(more), other: other(more) }
}
procedure near(m: Near = Near(), ids: i64[t], more: i64[t], to = 5) {
  s = session(m)
  s(ids)
  other = session(m, cache = slice(cache(s), 0, to, over = t))
  return { own: s(more), other: other(more) }
}
procedure folded(m: Folded = Folded(), ids: i64[t], more: i64[t], to = 5) {
  s = session(m)
  s(ids)
  c = cache(s)
  other = session(m, cache = { at: slice(c.at, 0, to), end: c.end, S: c.S })
  return { own: s(more), other: other(more), state: c.S }
}
";

fn model() -> (tempfile::TempDir, String) {
    file(&format!("axis t: time\naxis b\n{FREE}{PLACED}{PROCEDURES}"))
}

fn refused(model: &str, procedure: &str, rest: &[&str], words: &[&str]) {
    for backend in NAMES {
        let line = ["run", model, "--procedure", procedure, "--backend", backend];
        let (status, out, err) = girih("", &[&line[..], rest].concat());
        assert_eq!(status, 1, "{out}{err}");
        for word in words {
            assert!(err.contains(word), "{word}: {err}");
        }
    }
}

const GIVEN: [&str; 4] = ["--set", "ids=[1,2,3,4,5]", "--set", "more=[6,7]"];

#[test]
fn a_cache_cut_and_glued_goes_on_as_what_was_never_cut() {
    let (_folder, model) = model();
    for backend in NAMES {
        for (procedure, at) in [
            ("handed", 7),
            ("cut", 4),
            ("rotated", 0),
            ("near", 0),
            ("folded", 0),
        ] {
            let (_, own) = told(&model, procedure, backend, &GIVEN);
            close(&own["own"], &own["other"]);
            if at > 0 {
                assert_eq!(own["at"], value!(at));
            }
        }
        for to in 0..=5 {
            let to = format!("to={to}");
            let rest = [&GIVEN[..], &["--set", &to]].concat();
            let (_, own) = told(&model, "glued", backend, &rest);
            close(&own["own"], &own["other"]);
            assert_eq!(own["same"], value!(true));
        }
        // The entry that is left out is nobody's: the next position is the fifth one.
        let (_, own) = told(&model, "left_out", backend, &GIVEN);
        assert_eq!(own["c"], value!([0, 2, 3, 4]));
        assert_eq!(own["at"], value!(6));
        assert_eq!(own["labels"], value!([0, 1, 2, 3, 4, 5]));
    }
}

#[test]
fn beams_are_reordered_with_their_caches() {
    let (_folder, model) = model();
    for backend in NAMES {
        let rest = [
            "ids=[[1,2,3],[4,5,6],[7,8,1]]",
            "order=[2,0,0]",
            "one=[3,4,5]",
        ];
        let rest: Vec<&str> = rest.iter().flat_map(|own| ["--set", own]).collect();
        let (_, own) = told(&model, "beams", backend, &rest);
        close(&own["own"], &own["other"]);
        let different: Vec<&Value> = own["own"].as_array().unwrap().iter().collect();
        assert_ne!(different[0], different[1]);
    }
}

#[test]
fn what_cannot_go_on_is_refused_with_its_reason() {
    let (_folder, model) = model();
    let rotated = [&GIVEN[..], &["--set", "from=1", "--set", "to=3"]].concat();
    refused(
        &model,
        "rotated",
        &rotated,
        &[
            "`attn.key` was made for position 1 and would stand at position 0",
            "rotated",
            "session(m, cache",
        ],
    );
    let cut = [&GIVEN[..], &["--set", "to=4"]].concat();
    let words = [
        "holds the last positions alone",
        "after 5 positions, `at` has 4",
    ];
    refused(&model, "near", &cut, &words);
    let words = ["`S` has folded its positions together", "session(m, cache"];
    refused(&model, "folded", &cut, &words);
}

#[test]
fn a_cache_has_the_type_that_its_model_says() {
    let body = |cache: &str| {
        format!(
            "axis t: time\n{FREE}
            procedure read(m: Free = Free(), ids: i64[t]) {{
              s = session(m)
              s(ids)
              c = cache(s)
              other = session(m, cache = {cache})
              return other(ids)
            }}"
        )
    };
    let check = |cache: &str, words: &[&str]| {
        let (_folder, model) = file(&body(cache));
        let (status, _, err) = girih("", &["check", &model]);
        assert_eq!(status, u8::from(!words.is_empty()), "{cache}: {err}");
        for word in words {
            assert!(err.contains(word), "{word}: {err}");
        }
    };
    check("c", &[]);
    check("{ layers: c.layers, at: c.at }", &[]);
    check(
        "{ at: c.at }",
        &["E0303", "lacks `layers.0.k: f32[t, h=2, e=3]`"],
    );
    let words = [
        "`layers.0.k` of a cache",
        "not `f32[t, d=6]`",
        "goes on from a cache here",
    ];
    let wide = "{ at: c.at, layers: [{ k: m.embed[vocab = ids], v: c.layers[0].v }, c.layers[1]] }";
    check(wide, &words);
    check(
        "{ at: c.at, layers: c.layers, more: 1 }",
        &["carries no `more`"],
    );
    check("c.at", &["lacks"]);
}

#[test]
fn another_model_makes_the_keys() {
    let text = format!(
        "axis t: time\n{FREE}
        model Small(vocab: axis = 9, d: axis = 6) {{
          param embed: f32[vocab, d] = normal(1.0)
          stack layers[2] = Layer(d)
          forward(ids: i64[t]) -> f32[t, vocab] {{
            logits[t, vocab] = sum(d) layers(embed[vocab = ids]) * embed
            return logits
          }}
        }}
        procedure predicted(m: Free = Free(), small: Small = Small(), ids: i64[t]) {{
          s = session(small)
          s(slice(ids, 0, length(ids) - 1))
          c = cache(s)
          first = {{ k: c.layers[0].k * 0.5, v: c.layers[0].v * 0.5 }}
          second = {{ k: c.layers[1].k * 0.5, v: c.layers[1].v * 0.5 }}
          base = session(m, cache = {{ at: c.at, layers: [first, second] }})
          logits = base(ids[t = length(ids) - 1])
          return {{ logits: logits, at: position(base), first: first, again: cache(base).layers[0].k }}
        }}"
    );
    let (_folder, model) = file(&text);
    let mut all = Vec::new();
    for backend in NAMES {
        let (_, own) = told(&model, "predicted", backend, &["--set", "ids=[1,2,3,4]"]);
        assert_eq!(own["at"], value!(4));
        let (again, first) = (
            own["again"].as_array().unwrap(),
            own["first"]["k"].as_array().unwrap(),
        );
        assert_eq!(again.len(), 4);
        close(&value!(again[..3]), &value!(first));
        all.push(own["logits"].clone());
    }
    close(&all[0], &all[1]);
}
