//! What expressions over a checkpoint's settings are: those of `set` and `require` lines.
//!
//! The names of an expression are the checkpoint's own keys, dotted where they nest
//! (`rope_parameters.rope_theta`, `llama.block_count`), then the lines above, then what
//! the model file declares. `config.topk` is the key `topk`, which as a word of the language
//! is no name. A key that may be absent is read with `default(key, value)`;
//! `null` counts as absent there. Everything else is the ordinary static language.

use std::collections::{BTreeMap, BTreeSet};

use super::nearest_name;
use crate::ast::{Arg, Expr, ExprKind, Index, Setting};
use crate::diag::{Code, Diagnostic, Sink};
use crate::elaborate::{evaluate_static, is_builtin};
use crate::model::Static;
use crate::program::Program;

/// Reads the expressions of one block over a configuration. What is wrong is told once: a
/// missing key at its first use, and nothing about lines that use a wrong one.
pub(super) struct ConfigReader<'a> {
    pub(super) program: &'a Program,
    pub(super) file: usize,
    config: &'a BTreeMap<String, Static>,
    /// The configuration as one value: `config.topk`.
    whole: Static,
    /// The lines above.
    above: Vec<(String, Static)>,
    /// The names of those that are wrong.
    wrong: BTreeSet<String>,
    /// Missing keys that have been told.
    told: BTreeSet<String>,
}

impl<'a> ConfigReader<'a> {
    /// A reader of a block of the entry file; the names of `above` are known in every line.
    pub(super) fn new(
        program: &'a Program,
        config: &'a BTreeMap<String, Static>,
        above: Vec<(String, Static)>,
    ) -> Self {
        Self {
            program,
            file: program.entry(),
            config,
            whole: Static::Map(config.clone()),
            above,
            wrong: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    /// Reads a `set` line. A line that is wrong is reported, and what uses it is left out.
    pub(super) fn set(&mut self, setting: &Setting, sink: &mut Sink) -> Option<()> {
        // The grammar gives each name one value.
        let value = self.value(setting.values.first()?, sink);
        let name = setting.name.text.clone();
        let Some(value) = value else {
            self.wrong.insert(name);
            return None;
        };
        self.above.push((name, value));
        Some(())
    }

    /// What the lines above and the names that were given say, in order.
    pub(super) fn above(&self) -> &[(String, Static)] {
        &self.above
    }

    /// The value of an expression.
    pub(super) fn value(&mut self, expr: &Expr, sink: &mut Sink) -> Option<Static> {
        let mut known: BTreeMap<&str, &Static> = BTreeMap::from([("config", &self.whole)]);
        known.extend(
            self.above
                .iter()
                .map(|(name, value)| (name.as_str(), value)),
        );
        known.extend(
            self.config
                .iter()
                .map(|(name, value)| (name.as_str(), value)),
        );
        let expr = with_defaults(expr, &known);
        let mut mentioned = Vec::new();
        collect_paths(&expr, &mut mentioned);
        let mut names = BTreeMap::new();
        let mut complete = true;
        for path in mentioned {
            let (root, words) = (path.words[0], &path.words[1..]);
            let Some(value) = known.get(root) else {
                let elsewhere = self.program.find(self.file, root).is_some() || is_builtin(root);
                if self.wrong.contains(root) {
                    complete = false;
                } else if !elsewhere {
                    if self.told.insert(root.to_owned()) {
                        missing_key(root, &path, known.keys().copied(), sink);
                    }
                    complete = false;
                }
                continue;
            };
            if let Some(have) = deepest(value, words) {
                let wanted = path.words.join(".");
                let names: Vec<String> = have
                    .keys()
                    .map(|key| format!("{}.{key}", path.words[..path.words.len() - 1].join(".")))
                    .collect();
                if self.told.insert(wanted.clone()) {
                    missing_key(&wanted, &path, names.iter().map(String::as_str), sink);
                }
                complete = false;
            }
            names.insert(root.to_owned(), (*value).clone());
        }
        if !complete {
            return None;
        }
        evaluate_static(self.program, self.file, &expr, &names, sink)
    }

    /// The keys of the configuration that an expression reads, each with its value if it is there.
    pub(super) fn keys(&self, expr: &Expr) -> Vec<(String, Option<&Static>)> {
        let mut mentioned = Vec::new();
        collect_paths(expr, &mut mentioned);
        let mut keys: Vec<(String, Option<&Static>)> = Vec::new();
        for path in mentioned {
            let words = match path.words.as_slice() {
                ["config", rest @ ..] if !rest.is_empty() => rest,
                words => words,
            };
            let value = find(self.config, words);
            let elsewhere = words[0] == "default"
                || self.above.iter().any(|(name, _)| name == words[0])
                || self.program.find(self.file, words[0]).is_some()
                || is_builtin(words[0]);
            let key = words.join(".");
            if (value.is_some() || !elsewhere) && !keys.iter().any(|(own, _)| *own == key) {
                keys.push((key, value));
            }
        }
        keys
    }
}

/// The value under a dotted key.
fn find<'a>(config: &'a BTreeMap<String, Static>, words: &[&str]) -> Option<&'a Static> {
    let (root, rest) = words.split_first()?;
    rest.iter()
        .try_fold(config.get(*root)?, |value, word| match value {
            Static::Map(fields) => fields.get(*word),
            _ => None,
        })
}

/// The map in which a dotted path ends, if its last word is missing there.
fn deepest<'a>(value: &'a Static, words: &[&str]) -> Option<&'a BTreeMap<String, Static>> {
    let mut value = value;
    for word in words {
        let Static::Map(fields) = value else {
            // Whatever this is, the elaborator says it better.
            return None;
        };
        match fields.get(*word) {
            Some(next) => value = next,
            None => return Some(fields),
        }
    }
    None
}

fn missing_key<'a>(
    wanted: &str,
    path: &Mentioned<'_>,
    names: impl Iterator<Item = &'a str>,
    sink: &mut Sink,
) {
    let mut diagnostic = Diagnostic::error(
        Code::new(601),
        format!("the configuration has no `{wanted}`"),
    )
    .at(path.expr.span, "not a key of it")
    .note("a key that may be absent is read with `default(key, value)`");
    if let Some(nearest) = nearest_name(wanted, names) {
        diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
    }
    sink.report(diagnostic);
}

/// Dots of a key that are still levels, far above any that is published.
const DEEPEST: usize = 32;

/// Keys with dots in them, as GGUF metadata has, as maps within maps. Where a key is both
/// a value and the beginning of others, the value stays.
pub fn nested(flat: BTreeMap<String, Static>) -> BTreeMap<String, Static> {
    fn insert(tree: &mut BTreeMap<String, Static>, key: &str, value: Static) {
        let Some((word, rest)) = key.split_once('.') else {
            tree.entry(key.to_owned()).or_insert(value);
            return;
        };
        let inner = tree
            .entry(word.to_owned())
            .or_insert_with(|| Static::Map(BTreeMap::new()));
        if let Static::Map(fields) = inner {
            insert(fields, rest, value);
        }
    }
    let mut tree = BTreeMap::new();
    for (key, value) in flat {
        if key.matches('.').count() > DEEPEST {
            tree.insert(key, value);
        } else {
            insert(&mut tree, &key, value);
        }
    }
    tree
}

/// A dotted name of an expression.
struct Mentioned<'a> {
    words: Vec<&'a str>,
    expr: &'a Expr,
}

fn dotted(expr: &Expr) -> Option<Vec<&str>> {
    match &expr.kind {
        ExprKind::Name(name) => Some(vec![name]),
        ExprKind::Field { base, name } => {
            let mut words = dotted(base)?;
            words.push(&name.text);
            Some(words)
        }
        _ => None,
    }
}

fn collect_paths<'a>(expr: &'a Expr, found: &mut Vec<Mentioned<'a>>) {
    if let Some(words) = dotted(expr) {
        found.push(Mentioned { words, expr });
        return;
    }
    for child in children(expr) {
        collect_paths(child, found);
    }
}

fn children(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        ExprKind::Unary(_, inner) => vec![inner],
        ExprKind::Binary(_, left, right) | ExprKind::Arrow(left, right) => vec![left, right],
        ExprKind::If { cond, then, other } => vec![cond, then, other],
        ExprKind::Where {
            value,
            domain,
            other,
        } => {
            let mut all: Vec<&Expr> = vec![value, domain];
            all.extend(other.as_deref());
            all
        }
        ExprKind::Call { callee, args } => {
            let mut all: Vec<&Expr> = vec![callee];
            all.extend(args.iter().map(|arg| &arg.value));
            all
        }
        ExprKind::Index { base, items } => {
            let mut all: Vec<&Expr> = vec![base];
            all.extend(items.iter().filter_map(|item| match item {
                Index::Bind(_, expr) | Index::At(expr) => Some(expr),
                Index::All(_) => None,
            }));
            all
        }
        ExprKind::Field { base, .. } => vec![base],
        ExprKind::Record(fields) => fields.iter().map(|(_, value)| value).collect(),
        ExprKind::Tuple(parts) | ExprKind::List(parts) => parts.iter().collect(),
        ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Text(_)
        | ExprKind::Bool(_)
        | ExprKind::Name(_)
        | ExprKind::Next(_)
        | ExprKind::Reduce { .. }
        | ExprKind::Route { .. } => Vec::new(),
    }
}

/// The expression with every `default(key, value)` decided.
fn with_defaults(expr: &Expr, known: &BTreeMap<&str, &Static>) -> Expr {
    let boxed = |inner: &Expr| Box::new(with_defaults(inner, known));
    let list = |parts: &[Expr]| {
        parts
            .iter()
            .map(|part| with_defaults(part, known))
            .collect()
    };
    let kind = match &expr.kind {
        ExprKind::Call { callee, args } => {
            if let (ExprKind::Name(name), [key, other]) = (&callee.kind, args.as_slice())
                && name == "default"
                && let Some(words) = dotted(&key.value)
            {
                let chosen = if is_given(known, &words) { key } else { other };
                return with_defaults(&chosen.value, known);
            }
            ExprKind::Call {
                callee: callee.clone(),
                args: args
                    .iter()
                    .map(|arg| Arg {
                        name: arg.name.clone(),
                        value: with_defaults(&arg.value, known),
                    })
                    .collect(),
            }
        }
        ExprKind::Unary(op, inner) => ExprKind::Unary(*op, boxed(inner)),
        ExprKind::Binary(op, left, right) => ExprKind::Binary(*op, boxed(left), boxed(right)),
        ExprKind::If { cond, then, other } => ExprKind::If {
            cond: boxed(cond),
            then: boxed(then),
            other: boxed(other),
        },
        ExprKind::Index { base, items } => ExprKind::Index {
            base: boxed(base),
            items: items
                .iter()
                .map(|item| match item {
                    Index::Bind(name, inner) => {
                        Index::Bind(name.clone(), with_defaults(inner, known))
                    }
                    Index::At(inner) => Index::At(with_defaults(inner, known)),
                    Index::All(span) => Index::All(*span),
                })
                .collect(),
        },
        ExprKind::Field { base, name } => ExprKind::Field {
            base: boxed(base),
            name: name.clone(),
        },
        ExprKind::Tuple(parts) => ExprKind::Tuple(list(parts)),
        ExprKind::List(parts) => ExprKind::List(list(parts)),
        ExprKind::Record(fields) => ExprKind::Record(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), with_defaults(value, known)))
                .collect(),
        ),
        other => other.clone(),
    };
    Expr {
        kind,
        span: expr.span,
    }
}

fn is_given(known: &BTreeMap<&str, &Static>, words: &[&str]) -> bool {
    let Some((root, rest)) = words.split_first() else {
        return false;
    };
    let mut value = known.get(root).copied();
    for word in rest {
        value = match value {
            Some(Static::Map(fields)) => fields.get(*word),
            _ => None,
        };
    }
    !matches!(value, None | Some(Static::None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::weights_blocks;
    use crate::program::NoFiles;

    fn config() -> BTreeMap<String, Static> {
        let list = Static::List(vec![Static::Int(1), Static::Int(3)]);
        let flat = [
            ("hidden_size", Static::Int(32)),
            ("heads", Static::Int(4)),
            ("head_dim", Static::None),
            ("act", Static::Text("gelu".to_owned())),
            ("sparse", list),
            ("topk", Static::Int(5)),
            ("rope.theta", Static::Real(1e4)),
        ];
        nested(flat.map(|(key, value)| (key.to_owned(), value)).into())
    }

    /// The value of `expr`, or the messages about it.
    fn check(expr: &str, expected: &str) {
        let text = format!(
            "fn twice(x) = 2 * x\nmodel M() {{ forward(x: f32[t]) -> f32[t] {{ return x }} }}\nweights hf for M {{ set a = {expr} }}"
        );
        let mut sink = Sink::new();
        let program = Program::load("m.girih", &text, &NoFiles, &mut sink);
        let config = config();
        let mut reader = ConfigReader::new(&program, &config, Vec::new());
        for set in weights_blocks(&program)
            .iter()
            .flat_map(|block| &block.sets)
        {
            reader.set(set, &mut sink);
        }
        let answer = match reader.above() {
            [.., (_, value)] if sink.is_empty() => format!("{value:?}"),
            _ => {
                let told = sink.diagnostics().iter();
                let told = told.map(|d| {
                    format!(
                        "{} {} {}",
                        d.code,
                        d.message,
                        d.help.as_deref().unwrap_or("")
                    )
                });
                told.collect::<Vec<_>>().join("; ").trim_end().to_owned()
            }
        };
        assert_eq!(answer, expected, "{expr}");
    }

    #[test]
    fn expressions_read_the_configuration() {
        check("hidden_size", "Int(32)");
        check("hidden_size / heads", "Int(8)");
        check("rope.theta", "Real(10000.0)");
        check("config.hidden_size", "Int(32)");
        check("config.rope.theta", "Real(10000.0)");
        check("config.topk", "Int(5)");
        check("default(rope.theta, 1.0)", "Real(10000.0)");
        check("default(rope.factor, 1.0)", "Real(1.0)");
        check("default(rope_scaling, none)", "None");
        check("default(head_dim, hidden_size / heads)", "Int(8)");
        check("3 in sparse", "Bool(true)");
        check("if act == \"gelu\" then 1 else 2", "Int(1)");
        check("twice(heads)", "Int(8)");
        check("[heads, 2]", "List([Int(4), Int(2)])");
        check("sparse[1]", "Int(3)");
        check("length(sparse)", "Int(2)");
        check("length(rope)", "Int(1)");
    }

    #[test]
    fn keys_that_are_not_there_are_named() {
        check(
            "hiden_size",
            "E0601 the configuration has no `hiden_size` did you mean `hidden_size`?",
        );
        check(
            "rope.thata",
            "E0601 the configuration has no `rope.thata` did you mean `rope.theta`?",
        );
        check(
            "rope.theta + nothing_like_it",
            "E0601 the configuration has no `nothing_like_it`",
        );
    }

    #[test]
    fn a_missing_key_is_told_once() {
        let once = "E0601 the configuration has no `vocabulary`";
        check("vocabulary + vocabulary", once);
        check("vocabulary, b = vocabulary", once);
        check("vocabulary, b = 2 * a, c = b", once);
        check("heads, b = a + heads", "Int(8)");
    }

    #[test]
    fn dotted_keys_nest() {
        let flat = BTreeMap::from([
            ("a".to_owned(), Static::Int(1)),
            ("a.b".to_owned(), Static::Int(2)),
            ("c.d.e".to_owned(), Static::Int(3)),
        ]);
        let inner = Static::Map(BTreeMap::from([("e".to_owned(), Static::Int(3))]));
        let c = Static::Map(BTreeMap::from([("d".to_owned(), inner)]));
        let expected = BTreeMap::from([("a".to_owned(), Static::Int(1)), ("c".to_owned(), c)]);
        assert_eq!(nested(flat), expected);
        let deep = "a.".repeat(1_000_000);
        let flat = BTreeMap::from([(deep, Static::None)]);
        assert_eq!(nested(flat.clone()), flat);
    }
}
