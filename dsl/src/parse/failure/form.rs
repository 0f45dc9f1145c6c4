//! How each construct is written: the help of last resort.

use super::Stop;

/// The form of the construct in which the grammar stopped.
pub(super) fn of(stop: &Stop<'_>) -> Option<String> {
    let block = stop.outline.text(stop.part.first);
    let word = stop.first();
    let in_block = stop.chunk.is_some();
    let found = match (block, word) {
        ("weights", "require") => (
            "a condition",
            "`require default(hidden_act, \"silu\") == \"silu\", \"what the model supports\"`",
        ),
        ("weights", _) if in_block => ("an entry", "`\"layers.{i}.w\" = h[{i}].w [d, e] optional`"),
        ("golden", _) if in_block => (
            "an entry",
            "`input u = \"x\" [b, t, d]`, with `input`, `param`, `state`, `value`, `cotangent` or `grad`",
        ),
        ("probe" | "intervene", _) if in_block => probe(word),
        ("train", "task") => ("a task", "`task clm weight 0.4 { loss = … }`"),
        ("train", "stage") => ("a stage", "`stage warm { optim = … }`"),
        ("train", _) if in_block && !stop.is_statement() => ("a setting", "`name = value`"),
        ("snapshot", _) if in_block => ("what is shown", "`show kernels, bytes`"),
        (_, word) => return named(word).or_else(|| by_place(stop)).map(sentence),
    };
    Some(sentence(found))
}

fn sentence((what, form): (&str, &str)) -> String {
    format!("{what} is written {form}")
}

fn probe(word: &str) -> (&'static str, &'static str) {
    match word {
        "run" => ("a run", "`run clean = prompts(\"file.jsonl\")`"),
        "capture" => ("a capture", "`capture att = h[3].a[i = last]`"),
        "patch" => ("a patch", "`patch h[9].out from clean`"),
        "freeze" => ("a freeze", "`freeze h[4].scale from clean`"),
        "cut" => ("a cut", "`cut h[*].a where role[j] == 1`"),
        "scale" => ("a scaling", "`scale h[3].o = 0.5`"),
        "add" => ("an addition", "`add h[3].out = 4.0 * direction`"),
        "project" => ("a projection", "`project h[3].q = basis`"),
        "set" => ("a replacement", "`set h[3].o[h = 5] = 0`"),
        _ => ("a score", "`score(layer, h) = mean(prompt) x`"),
    }
}

fn named(word: &str) -> Option<(&'static str, &'static str)> {
    Some(match word {
        "use" => ("a file", "`use \"blocks.girih\"`"),
        "axis" => ("an axis", "`axis t: time`, or `axis h = heads`"),
        "let" => ("a static value", "`let base = 10000.0`"),
        "fn" => ("a function", "`fn silu(x) = x * sigmoid(x)`"),
        "module" => ("a module", "`module Name(d: axis, heads = 12) { … }`"),
        "model" => ("a model", "`model Name(d: axis = 512) { … }`"),
        "memory" => ("a memory", "`memory Name(d: axis) { … }`"),
        "weights" => ("a mapping of names", "`weights name for Model { … }`"),
        "golden" => ("a golden", "`golden name for Module(heads = 4) { … }`"),
        "test" => ("a test", "`test \"name\" { … }`"),
        "snapshot" => (
            "a snapshot",
            "`snapshot \"name\" of Model(d = 64) mode step { show kernels }`",
        ),
        "train" => ("a training plan", "`train name on Model { … }`"),
        "probe" => ("a probe", "`probe name on Model { … }`"),
        "intervene" => ("an intervention", "`intervene name on Model { … }`"),
        "procedure" => (
            "a procedure",
            "`procedure name(m: module, ids: i64[t]) -> i64[t] { … }`",
        ),
        "param" => ("a parameter", "`param w: f32[d, e] = normal(0.02)`"),
        "sub" => ("a part", "`sub mlp = Mlp(d, ff)`"),
        "stack" => (
            "a stack",
            "`stack h[12] = Block(d)`, or `stack h[i: 12] = Block(d, i)`",
        ),
        "experts" => (
            "a group of experts",
            "`experts ffn { big[2] = Mlp(d, 4 * d)  skip = Identity() }`",
        ),
        "state" | "shared" => ("a state", "`state S: f32[h, n] = 0`"),
        "forward" | "read" | "write" => ("a method", "`forward(x: f32[t, d]) -> f32[t, d] { … }`"),
        "return" => ("a result", "`return y`, several as `return y, s`"),
        "recurrence" => ("a recurrence", "`recurrence over t { … }`"),
        "for" => ("a repetition", "`for i in n { … }`"),
        "if" => ("a choice of statements", "`if c { … } else { … }`"),
        "while" => ("a loop of a procedure", "`while c limit 100 { … }`"),
        "expect" => ("an expectation", "`expect a == b within 1e-5`"),
        "@" => (
            "an attribute",
            "`@require(fused)` on the line before an equation",
        ),
        _ => return None,
    })
}

fn by_place(stop: &Stop<'_>) -> Option<(&'static str, &'static str)> {
    if stop.is_member() {
        return Some((
            "a member",
            "`param w: f32[d]`, `sub mlp = Mlp(d)`, `forward(x: f32[t, d]) -> f32[t, d] { … }`, or `name = value`",
        ));
    }
    stop.is_statement()
        .then_some(("an equation", "`y[t, e] = sum(d) x * w where t > 0`"))
}
