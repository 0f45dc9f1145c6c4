//! Colors, fonts, and how wide a text is.
//!
//! Fonts are generic families; widths are those of common fonts, rounded up, because a
//! picture is laid out where no font can be asked.

use super::scene::Kind;

/// Height of a line of a card.
pub(super) const LINE: f64 = 16.0;

/// Height of a chip with the room above it.
pub(super) const CHIP: f64 = 21.0;

/// Width of one character of equations, labels and chips.
pub(super) const MONO: f64 = 7.25;

/// Width of a line of an equation.
pub(super) fn code_width(text: &str) -> f64 {
    text.chars().count() as f64 * MONO
}

/// Width of labels and chips, which are smaller.
pub(super) fn small_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.05
}

/// Width of a title in the proportional font, bold.
pub(super) fn title_width(text: &str) -> f64 {
    text.chars()
        .map(|c| {
            if c.is_uppercase() || matches!(c, 'm' | 'w' | '_' | '×') {
                9.2
            } else {
                7.2
            }
        })
        .sum()
}

/// The class that colors a card.
pub(super) fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Plain => "plain",
        Kind::Read => "read",
        Kind::Reduce => "reduce",
        Kind::Contract => "contract",
        Kind::Route => "route",
        Kind::Loop => "loop",
        Kind::Input => "input",
        Kind::Output => "output",
    }
}

/// Light colors, then what is different in the dark.
pub(super) const CSS: &str = "\
text { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 12px; fill: #1f2733; }
.paper { fill: #fbfaf6; }
.box { fill: #2f6f8f; fill-opacity: .055; stroke: #2f6f8f; stroke-opacity: .38; }
.behind { fill: #fbfaf6; stroke: #2f6f8f; stroke-opacity: .30; }
.title { font-family: system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif; font-weight: 600; font-size: 13px; }
.module { font-weight: 400; fill: #5b6b7c; }
.count { fill: #b0562a; }
.card { fill: #ffffff; stroke: #c9cdd3; }
.bar { fill: #9aa4b0; }
.contract { fill: #2f6fb7; } .reduce { fill: #d08427; } .read { fill: #3f9463; }
.loop { fill: #8553b5; } .route { fill: #c2497a; }
.input, .output { fill: #2f6f8f; } .pill { fill: #e3eef2; stroke: #2f6f8f; stroke-opacity: .55; }
.word { fill: #8553b5; } .reducer { fill: #b3641a; } .number { fill: #2d7a50; }
.chip { fill: #f1ede1; stroke: #d9d1ba; } .chiptext { font-size: 10px; fill: #6a5d3c; }
.wire { fill: none; stroke: #7d8a99; stroke-width: 1.3; }
.tip, .port { fill: #7d8a99; }
.carry { fill: none; stroke: #8553b5; stroke-width: 1.3; stroke-dasharray: 4 3; } .carrytip { fill: #8553b5; }
.label { font-size: 10px; fill: #4d5a69; stroke: #fbfaf6; stroke-width: 3px; stroke-linejoin: round; paint-order: stroke; }
@media (prefers-color-scheme: dark) {
text { fill: #dfe5ec; }
.paper { fill: #14181d; }
.box { fill: #78b8d6; stroke: #78b8d6; } .behind { fill: #14181d; stroke: #78b8d6; }
.module { fill: #93a3b3; } .count { fill: #eb9a6c; }
.card { fill: #20262e; stroke: #3b4552; }
.pill { fill: #1d3540; stroke: #78b8d6; }
.word { fill: #c39be8; } .reducer { fill: #eaa65a; } .number { fill: #7fcf9f; }
.chip { fill: #2d2a20; stroke: #534b34; } .chiptext { fill: #d3c59b; }
.wire { stroke: #7f8d9c; } .label { fill: #a9b6c4; stroke: #14181d; }
}
";

/// Words that stand out in a line of an equation, and their class. Words that may also name
/// an axis stand out where the line begins with what makes them words.
pub(super) fn word_class(line: &str, word: &str) -> Option<&'static str> {
    if (girih_dsl::ast::Reducer::ALL.iter()).any(|reducer| reducer.word() == word) {
        return Some("reducer");
    }
    let begins = |with: &str| line.trim_start().starts_with(with);
    let stands_out = match word {
        "where" | "and" | "or" | "not" | "in" | "if" | "then" | "else" | "return"
        | "recurrence" | "route" => true,
        "over" | "reverse" => begins("recurrence "),
        "state" => begins("state "),
        "to" => line.contains("route "),
        _ => false,
    };
    if stands_out {
        return Some("word");
    }
    word.starts_with(|c: char| c.is_ascii_digit())
        .then_some("number")
}
