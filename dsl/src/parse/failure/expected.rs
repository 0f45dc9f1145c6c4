//! What could have stood where the grammar stopped.

use super::{Stop, form};
use crate::diag::Diagnostic;
use crate::parse::code;
use crate::parse::grammar::Rule;

/// `expected …, found …`, with the form of the construct as help.
pub(super) fn explain(stop: &Stop<'_>, expected: &[Rule], broken_off: Option<usize>) -> Diagnostic {
    let outline = stop.outline;
    let wanted = phrase(expected);
    let diagnostic = if let Some(previous) = broken_off {
        let text = shown(outline.text(previous));
        let lacks_value =
            outline.wants_more(previous) && (wanted == NOTHING || wanted == "a value");
        let wanted = if lacks_value { "a value" } else { &wanted };
        let diagnostic =
            Diagnostic::error(code::UNEXPECTED, format!("expected {wanted} after {text}"))
                .at(outline.span(previous), "");
        let diagnostic = if stop.token < stop.part.end {
            diagnostic.also(outline.span(stop.token), "found this instead")
        } else {
            diagnostic
        };
        if lacks_value {
            return diagnostic.help(format!("write what {text} applies to, or remove it"));
        }
        diagnostic
    } else {
        let found = match stop.here() {
            "" => "the end".to_owned(),
            text => shown(text),
        };
        let label = stop
            .previous()
            .filter(|&at| at > stop.start && stop.outline.is_first(stop.token));
        let diagnostic = Diagnostic::error(
            code::UNEXPECTED,
            format!("expected {wanted}, found {found}"),
        )
        .at(outline.span(stop.token), "");
        match label {
            Some(previous) => diagnostic.also(outline.span(previous), "after this"),
            None => diagnostic,
        }
    };
    match form::of(stop) {
        Some(form) => diagnostic.help(form),
        None => diagnostic,
    }
}

/// A token in a message.
pub(super) fn shown(text: &str) -> String {
    if text.starts_with('"') {
        return "a text".to_owned();
    }
    let short: String = text.chars().take(24).collect();
    if short == text {
        format!("`{text}`")
    } else {
        format!("`{short}…`")
    }
}

/// When the grammar says nothing.
const NOTHING: &str = "something else";

/// The rules in a person's words: `a value`, `` `,` or `)` ``.
fn phrase(expected: &[Rule]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut operators = false;
    for &rule in expected {
        let word = match rule {
            Rule::infix => {
                operators = true;
                continue;
            }
            _ => match word(rule) {
                Some(word) => word,
                None => continue,
            },
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    // A value may be a name: saying both says nothing more.
    if words.iter().any(|word| word == "a value") {
        words.retain(|word| {
            !matches!(
                word.as_str(),
                "a name" | "a text" | "`*`" | "`:`" | "`if`" | "`[`" | "`(`" | "`{`"
            )
        });
    }
    if words.iter().any(|word| word == "a statement") {
        words.retain(|word| matches!(word.as_str(), "a statement" | "`}`"));
    }
    if words.iter().any(|word| word == "a declaration") {
        words.retain(|word| matches!(word.as_str(), "a declaration" | "`}`"));
    }
    // After an operand anything that goes on with it could stand: say only what else could.
    if operators && words.iter().any(|word| !is_postfix(word)) {
        words.retain(|word| !is_postfix(word));
    }
    let role = "a role such as `input`";
    if words.iter().any(|word| word == role) {
        words = vec![role.to_owned()];
    }
    if operators && words.len() < 3 {
        words.insert(0, "an operator".to_owned());
    }
    words.truncate(4);
    match words.as_slice() {
        [] => NOTHING.to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn is_postfix(word: &str) -> bool {
    matches!(word, "`(`" | "`[`" | "`if`" | "`where`")
}

fn word(rule: Rule) -> Option<String> {
    let fixed = match rule {
        Rule::expr
        | Rule::chain
        | Rule::operand
        | Rule::if_expr
        | Rule::name
        | Rule::number
        | Rule::truth
        | Rule::paren
        | Rule::list
        | Rule::record
        | Rule::route
        | Rule::reduce
        | Rule::neg
        | Rule::not
        | Rule::reducer_word
        | Rule::arg
        | Rule::index_item => "a value",
        Rule::word | Rule::dotted | Rule::place | Rule::kw_shared => "a name",
        Rule::path | Rule::paths => "a path",
        Rule::digits => "a number",
        Rule::texts | Rule::text => "a text",
        Rule::star => "`*`",
        Rule::ty | Rule::tensor_ty | Rule::record_ty | Rule::tuple_ty => "a type",
        Rule::assign
        | Rule::bind_op
        | Rule::extent
        | Rule::default
        | Rule::init
        | Rule::fn_short => "`=`",
        Rule::arrow | Rule::result => "`->`",
        Rule::comma | Rule::separator => "`,`",
        Rule::colon | Rule::param_type | Rule::axis_kind | Rule::pair_mark => "`:`",
        Rule::p_open | Rule::params => "`(`",
        Rule::p_close => "`)`",
        Rule::s_open | Rule::count => "`[`",
        Rule::s_close => "`]`",
        Rule::b_open | Rule::block | Rule::wild => "`{`",
        Rule::b_close => "`}`",
        Rule::stmt
        | Rule::do_stmt
        | Rule::bind
        | Rule::return_stmt
        | Rule::recurrence
        | Rule::if_stmt
        | Rule::attribute
        | Rule::for_stmt
        | Rule::while_stmt
        | Rule::emit
        | Rule::expect => "a statement",
        Rule::member
        | Rule::method
        | Rule::sub_decl
        | Rule::param_decl
        | Rule::stack_decl
        | Rule::state_decl => "a declaration",
        Rule::setting => "a setting",
        Rule::otherwise => "`else`",
        Rule::module_word => "`module`",
        Rule::probe_word => "`probe`",
        Rule::role => "a role such as `input`",
        Rule::when => "`when`",
        Rule::rename => "`as`",
        Rule::storage => "`stored`",
        Rule::within => "`within`",
        other => return keyword(other),
    };
    Some(fixed.to_owned())
}

/// `kw_then` is `` `then` ``.
fn keyword(rule: Rule) -> Option<String> {
    format!("{rule:?}")
        .strip_prefix("kw_")
        .map(|word| format!("`{word}`"))
}
