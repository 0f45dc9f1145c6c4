//! Expressions, with the parentheses that precedence asks for and no others.

use super::Printer;
use super::doc::Doc;
use super::list::Entry;
use crate::ast::{BinaryOp, Expr, ExprKind, Setting, Text, UnaryOp};
use crate::span::Span;

/// How loosely an expression may bind where it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Whole,
    Flat,
    Or,
    And,
    Not,
    Compare,
    Add,
    Mul,
    Unary,
    Pow,
    Operand,
}

/// What surrounds an expression.
#[derive(Clone, Copy)]
struct Place {
    level: Level,
    /// Whether `*`, `/` or `^` follows, which a reducer would take into its body.
    followed: bool,
    around: Where,
}

/// Where an expression stands with respect to a `where`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Outside,
    /// In the governed value: its outermost reducer stands bare.
    Governed,
    /// In the body of that reducer: another one needs parentheses.
    Inside,
}

impl Place {
    const WHOLE: Self = Self {
        level: Level::Whole,
        followed: false,
        around: Where::Outside,
    };

    const fn at(level: Level) -> Self {
        Self {
            level,
            followed: false,
            around: Where::Outside,
        }
    }
}

impl Printer<'_> {
    /// An expression in a place of its own.
    pub(super) fn expr(&mut self, expr: &Expr) -> Doc {
        self.placed(expr, Place::WHOLE)
    }

    /// An expression without a bare `where`.
    pub(super) fn flat(&mut self, expr: &Expr) -> Doc {
        self.placed(expr, Place::at(Level::Flat))
    }

    /// What is called or indexed: a name with its postfixes.
    pub(super) fn operand(&mut self, expr: &Expr) -> Doc {
        self.placed(expr, Place::at(Level::Operand))
    }

    /// `a, b` for a tuple, as after `return`.
    pub(super) fn returned(&mut self, expr: &Expr) -> Doc {
        let ExprKind::Tuple(items) = &expr.kind else {
            return self.expr(expr);
        };
        let mut parts = Vec::new();
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                parts.extend([Doc::text(","), Doc::Line]);
            }
            parts.push(self.expr(item));
        }
        Doc::Concat(parts).indent().group()
    }

    fn placed(&mut self, expr: &Expr, place: Place) -> Doc {
        let level = level(&expr.kind);
        let is_reduce = matches!(expr.kind, ExprKind::Reduce { .. });
        let swallows = is_reduce && (place.followed || place.around == Where::Inside);
        if level < place.level || swallows {
            let inner = self.bare(expr, Place::WHOLE);
            let inside = Doc::concat([Doc::Soft, inner]).indent();
            return Doc::concat([Doc::text("("), inside, Doc::Soft, Doc::text(")")]).group();
        }
        self.bare(expr, place)
    }

    fn bare(&mut self, expr: &Expr, place: Place) -> Doc {
        match &expr.kind {
            ExprKind::Int(value) => {
                let written = self.slice(expr.span);
                let same = written.replace('_', "") == value.to_string();
                Doc::text(if same {
                    written.to_owned()
                } else {
                    value.to_string()
                })
            }
            ExprKind::Float(digits) => {
                let written = self.slice(expr.span);
                let same = written.replace('_', "") == *digits;
                Doc::text(if same { written } else { digits })
            }
            ExprKind::Text(text) => quoted(text),
            ExprKind::Bool(value) => Doc::text(value.to_string()),
            ExprKind::Name(name) => Doc::text(name),
            ExprKind::Next(name) => Doc::text(format!("{name}'")),
            ExprKind::Unary(op, inner) => self.unary(*op, inner, place),
            ExprKind::Binary(op, ..) => self.binary(expr, *op, place),
            ExprKind::Reduce {
                reducer,
                args,
                body,
                ..
            } => {
                let head = Doc::concat([Doc::text(reducer.word()), self.args(args)]);
                let around = match place.around {
                    Where::Outside => Where::Outside,
                    Where::Governed | Where::Inside => Where::Inside,
                };
                let body = self.placed(
                    body,
                    Place {
                        level: Level::Mul,
                        around,
                        ..place
                    },
                );
                Doc::concat([head, Doc::concat([Doc::Line, body]).indent().group()])
            }
            ExprKind::Where {
                value,
                domain,
                other,
            } => {
                let governed = Place {
                    around: Where::Governed,
                    ..Place::at(Level::Flat)
                };
                let value = self.placed(value, governed);
                let mut parts = vec![Doc::Line, Doc::text("where "), self.flat(domain)];
                if let Some(other) = other {
                    parts.extend([Doc::Line, Doc::text("else "), self.flat(other)]);
                }
                Doc::concat([value, Doc::Concat(parts).indent()]).group()
            }
            ExprKind::If { .. } => self.choice(expr, place),
            ExprKind::Call { callee, args } => {
                let callee = self.base(callee);
                Doc::concat([callee, self.args(args)])
            }
            ExprKind::Index { base, items } => {
                let base = self.base(base);
                Doc::concat([base, self.index(items)])
            }
            ExprKind::Field { base, name } => {
                let base = self.base(base);
                Doc::concat([base, Doc::text(format!(".{}", name.text))])
            }
            ExprKind::Record(fields) => self.list(
                "{",
                "}",
                true,
                fields,
                |(name, value)| Entry {
                    span: name.span.to(value.span),
                    separator: ",",
                },
                |printer, (name, value)| {
                    Doc::concat([Doc::text(format!("{}: ", name.text)), printer.expr(value)])
                },
            ),
            ExprKind::Tuple(items) => self.exprs("(", ")", items),
            ExprKind::List(items) => self.exprs("[", "]", items),
            ExprKind::Arrow(from, to) => {
                let from = self.expr(from);
                Doc::concat([from, Doc::text(" -> "), self.expr(to)])
            }
            ExprKind::Route {
                items,
                experts,
                settings,
            } => {
                let items = self.expr(items);
                let head = Doc::concat([
                    Doc::text("route "),
                    items,
                    Doc::text(format!(" to {} {{", experts.text)),
                ]);
                let body = self.route_settings(settings, expr.span);
                Doc::concat([head, body, Doc::text("}")])
            }
        }
    }

    /// ` = value`; a choice that does not fit begins on a line of its own.
    pub(super) fn defined(&mut self, value: &Expr) -> Doc {
        let written = self.expr(value);
        if matches!(value.kind, ExprKind::If { .. }) {
            let value = Doc::concat([Doc::Line, written]).indent();
            return Doc::concat([Doc::text(" ="), value]).group();
        }
        Doc::concat([Doc::text(" = "), written])
    }

    /// `if c then a else if d then b else e`: one line, or one for each case.
    fn choice(&mut self, expr: &Expr, place: Place) -> Doc {
        let branch = Place {
            around: place.around,
            ..Place::at(Level::Flat)
        };
        let mut parts = Vec::new();
        let (mut expr, mut word) = (expr, "if ");
        while let ExprKind::If { cond, then, other } = &expr.kind {
            let cond = self.placed(cond, Place::at(Level::Flat));
            let then = self.placed(then, branch);
            let then = Doc::concat([Doc::Line, Doc::text("then "), then]).indent();
            parts.extend([
                Doc::concat([Doc::text(word), cond, then]).group(),
                Doc::Line,
            ]);
            (expr, word) = (other, "else if ");
        }
        parts.extend([Doc::text("else "), self.placed(expr, branch)]);
        Doc::Concat(parts).group()
    }

    fn unary(&mut self, op: UnaryOp, inner: &Expr, place: Place) -> Doc {
        match op {
            UnaryOp::Neg => {
                let inner = self.placed(
                    inner,
                    Place {
                        level: Level::Unary,
                        ..place
                    },
                );
                Doc::concat([Doc::text("-"), inner])
            }
            UnaryOp::Not => {
                let level = if matches!(inner.kind, ExprKind::Unary(UnaryOp::Not, _)) {
                    Level::Not
                } else {
                    Level::Compare
                };
                let inner = self.placed(inner, Place { level, ..place });
                Doc::concat([Doc::text("not "), inner])
            }
        }
    }

    fn binary(&mut self, expr: &Expr, op: BinaryOp, place: Place) -> Doc {
        let mine = binary_level(op);
        let ExprKind::Binary(_, left, right) = &expr.kind else {
            return Doc::text("");
        };
        if op == BinaryOp::Pow {
            let left = self.placed(left, Place::at(Level::Operand));
            let right_place = if matches!(right.kind, ExprKind::Unary(UnaryOp::Neg, _)) {
                Level::Unary
            } else {
                Level::Pow
            };
            let right = self.placed(
                right,
                Place {
                    level: right_place,
                    followed: true,
                    ..place
                },
            );
            return Doc::concat([left, Doc::text("^"), right]);
        }
        // The chain of operators that bind alike, from the left.
        let mut chain = vec![(op, &**right)];
        let mut first = &**left;
        while let ExprKind::Binary(next, left, right) = &first.kind {
            if binary_level(*next) != mine || mine == Level::Compare || *next == BinaryOp::Pow {
                break;
            }
            chain.push((*next, right));
            first = left;
        }
        let product = mine == Level::Mul;
        let left_level = if mine == Level::Compare {
            Level::Add
        } else {
            mine
        };
        // Alternatives read better with their conjunctions in parentheses.
        let clear = self.clear && mine == Level::Or;
        let clarified = |operand: &Expr, level| match &operand.kind {
            ExprKind::Binary(BinaryOp::And, ..) if clear => Level::Not,
            _ => level,
        };
        let left_place = Place {
            level: clarified(first, left_level),
            followed: product,
            ..place
        };
        let mut parts = vec![self.placed(first, left_place)];
        let mut rest = Vec::new();
        while let Some((op, right)) = chain.pop() {
            let followed = if chain.is_empty() {
                place.followed
            } else {
                product
            };
            let place = Place {
                level: clarified(right, tighter(mine)),
                followed,
                ..place
            };
            let right = self.placed(right, place);
            if op == BinaryOp::FloorDiv {
                // At the beginning of a line it would look like a comment of another language.
                rest.extend([Doc::text(" //"), Doc::Line, right]);
            } else {
                rest.extend([Doc::Line, Doc::text(format!("{} ", symbol(op))), right]);
            }
        }
        parts.push(Doc::Concat(rest).indent());
        Doc::Concat(parts).group()
    }

    /// What a postfix follows.
    fn base(&mut self, expr: &Expr) -> Doc {
        let needs = matches!(
            expr.kind,
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Route { .. }
        );
        if needs {
            return Doc::concat([Doc::text("("), self.expr(expr), Doc::text(")")]);
        }
        self.operand(expr)
    }

    fn route_settings(&mut self, settings: &[Setting], around: Span) -> Doc {
        if settings.is_empty() {
            return Doc::text("");
        }
        let width = settings
            .iter()
            .map(|one| one.name.text.len())
            .max()
            .unwrap_or(0);
        let mut parts = Vec::new();
        for setting in settings {
            let end = setting
                .values
                .last()
                .map_or(setting.name.span.end, |value| value.span.end);
            for comment in self.comments.take_before(setting.name.span.start as usize) {
                parts.extend([Doc::Hard, Doc::Comment(comment.text.to_owned())]);
            }
            let name = Doc::text(format!("{:width$}", setting.name.text));
            parts.extend([Doc::Hard, name, self.setting_values(&setting.values)]);
            if let Some(comment) = self.comments.take_after(end as usize) {
                parts.push(Doc::Comment(comment.text.to_owned()));
            }
        }
        for comment in self.comments.take_before(around.end as usize) {
            parts.extend([Doc::Hard, Doc::Comment(comment.text.to_owned())]);
        }
        Doc::concat([Doc::Concat(parts).indent(), Doc::Hard])
    }

    /// ` = a, b`: the values of a setting.
    pub(super) fn setting_values(&mut self, values: &[Expr]) -> Doc {
        match values {
            [value] => self.defined(value),
            _ => Doc::concat([Doc::text(" = "), self.values(values)]),
        }
    }

    /// `a, b`.
    pub(super) fn values(&mut self, values: &[Expr]) -> Doc {
        let mut parts = Vec::new();
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                parts.extend([Doc::text(","), Doc::Line]);
            }
            parts.push(self.expr(value));
        }
        Doc::Concat(parts).indent().group()
    }
}

/// A text with its quotes and escapes.
pub(super) fn quoted(text: &Text) -> Doc {
    let mut written = String::from("\"");
    for c in text.text.chars() {
        match c {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            c => written.push(c),
        }
    }
    written.push('"');
    Doc::Text(written)
}

fn level(kind: &ExprKind) -> Level {
    match kind {
        ExprKind::Where { .. } | ExprKind::Arrow(..) => Level::Whole,
        ExprKind::If { .. } => Level::Flat,
        ExprKind::Binary(op, ..) => binary_level(*op),
        ExprKind::Unary(UnaryOp::Not, _) => Level::Not,
        ExprKind::Unary(UnaryOp::Neg, _) | ExprKind::Reduce { .. } => Level::Unary,
        _ => Level::Operand,
    }
}

fn binary_level(op: BinaryOp) -> Level {
    match op {
        BinaryOp::Or => Level::Or,
        BinaryOp::And => Level::And,
        BinaryOp::Eq
        | BinaryOp::Ne
        | BinaryOp::Lt
        | BinaryOp::Le
        | BinaryOp::Gt
        | BinaryOp::Ge
        | BinaryOp::In => Level::Compare,
        BinaryOp::Add | BinaryOp::Sub => Level::Add,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::FloorDiv | BinaryOp::Rem => Level::Mul,
        BinaryOp::Pow => Level::Pow,
    }
}

/// The level of the right operand of a left-associative operator.
fn tighter(level: Level) -> Level {
    match level {
        Level::Or => Level::And,
        Level::And => Level::Not,
        Level::Compare => Level::Add,
        Level::Add => Level::Mul,
        _ => Level::Unary,
    }
}

fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Or => "or",
        BinaryOp::And => "and",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::In => "in",
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
        BinaryOp::FloorDiv => "//",
        BinaryOp::Rem => "%",
        BinaryOp::Pow => "^",
    }
}
