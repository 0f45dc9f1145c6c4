//! What is carried for what a graph reads, and why others are refused.

use girih_graph::stream::Kind;
use girih_graph::{Extent, Op, text};

use crate::stream;

/// What the stream of a graph over `x: f32[t, d=2]`, `ids: i64[t]` and `m: f32[u, d=2]` carries, with
/// its reach; or why there is none.
fn check(results: &str, body: &str, expected: &str) {
    let text = format!(
        "girih-graph 1
         axis t time
         axis i=t over t time
         axis j=t over t time
         graph g(x: f32[t, d=2], ids: i64[t], m: f32[u, d=2]) -> ({results}) {{ {body} }}"
    );
    let graph = text::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let found = match stream(&graph, "t") {
        Ok(stream) => {
            let mut parts: Vec<String> = stream
                .carries
                .iter()
                .map(|carry| match carry.kind {
                    Kind::Recent { last } => format!("recent {last}"),
                    kind => kind.word().to_owned(),
                })
                .collect();
            if !stream.prefixes.is_empty() {
                parts.push(format!("{} prefix", stream.prefixes.len()));
            }
            let reach = stream.results.first().and_then(|result| result.reach);
            parts.push(reach.map_or("all".to_owned(), |reach| reach.to_string()));
            if stream.latency() > 0 {
                parts.push(format!("late {}", stream.latency()));
            }
            parts.join(", ")
        }
        Err(whole) => match whole.mend() {
            Some(mend) => format!("{whole}; {mend}"),
            None => whole.to_string(),
        },
    };
    assert_eq!(found, expected, "{body}");
}

/// A sum over `j` of what a mask over `i` and `j` keeps.
fn check_mask(mask: &str, expected: &str) {
    let axes = mask.rsplit("bool").next().unwrap_or_default();
    let body = format!(
        "%0 = index {{axis: i}} : i64[i=t]
         %1 = index {{axis: j}} : i64[j=t]
         {mask}
         %20 = rename ids {{axes: [t: j]}} : i64[j=t]
         %21 = const 0 : i64
         %22 = select %10, %20, %21 : i64{axes}
         %23 = reduce %22 {{combine: sum, over: j}} : i64[i=t]
         return %23"
    );
    check("y: i64[i=t]", &body, expected);
}

#[test]
fn masks_decide_how_much_of_the_past_is_carried() {
    let all = "cache, all";
    // A prefix is seen by all, and so it comes in one piece.
    let prefix = "%2 = const 4 : i64 %3 = lt %1, %2 : bool[j=t] %4 = le %1, %0 : bool[j=t, i=t]
                  %10 = or %3, %4 : bool[j=t, i=t]";
    check_mask(prefix, "cache, 1 prefix, all");
    // Beside a mask that lets nothing later in, it says nothing more.
    check_mask(&prefix.replace("= or", "= and"), all);
    check_mask("%10 = le %1, %0 : bool[j=t, i=t]", all);
    check_mask("%10 = ge %0, %1 : bool[i=t, j=t]", all);
    check_mask("%10 = lt %1, %0 : bool[j=t, i=t]", all);
    check_mask("%10 = eq %1, %0 : bool[j=t, i=t]", "0");
    let near = "%2 = sub %0, %1 : i64[i=t, j=t] %3 = const 4 : i64 %4 = lt %2, %3 : bool[i=t, j=t]";
    let causal = "%5 = le %1, %0 : bool[j=t, i=t] %10 = and %4, %5 : bool[i=t, j=t]";
    check_mask(&format!("{near} {causal}"), "recent 3, 3");
    let either = "%5 = lt %1, %0 : bool[j=t, i=t] %6 = eq %1, %0 : bool[j=t, i=t]
                  %10 = or %5, %6 : bool[j=t, i=t]";
    check_mask(either, all);
    let not = "%5 = gt %1, %0 : bool[j=t, i=t] %10 = not %5 : bool[j=t, i=t]";
    check_mask(not, all);
    // The same block of 8, and not later.
    let blocks =
        "%2 = const 8 : i64 %3 = floor_div %0, %2 : i64[i=t] %4 = floor_div %1, %2 : i64[j=t]
                  %5 = eq %3, %4 : bool[i=t, j=t] %6 = le %1, %0 : bool[j=t, i=t]
                  %10 = and %5, %6 : bool[i=t, j=t]";
    check_mask(blocks, "recent 7, 7");
    // Whole blocks before.
    let before =
        "%2 = const 8 : i64 %3 = floor_div %0, %2 : i64[i=t] %4 = floor_div %1, %2 : i64[j=t]
                  %10 = lt %4, %3 : bool[j=t, i=t]";
    check_mask(before, all);
}

#[test]
fn masks_that_let_the_future_in_are_refused() {
    let refused = "`sum` over `j` reads positions of `t` that are not there yet; restrict it to what is there: `where j <= i`";
    check_mask("%10 = ge %1, %0 : bool[j=t, i=t]", refused);
    let twice = "%2 = add %0, %0 : i64[i=t] %10 = le %1, %2 : bool[j=t, i=t]";
    check_mask(twice, refused);
}

#[test]
fn masks_that_let_a_part_of_the_future_in_are_late() {
    let next = "%2 = const 1 : i64 %3 = add %0, %2 : i64[i=t] %10 = le %1, %3 : bool[j=t, i=t]";
    check_mask(next, "cache, all, late 1");
    let blocks = "%2 = const 8 : i64 %3 = floor_div %0, %2 : i64[i=t]
                  %4 = floor_div %1, %2 : i64[j=t]";
    let own = format!("{blocks} %10 = le %4, %3 : bool[j=t, i=t]");
    check_mask(&own, "cache, recent 7, all, late 7");
    let alone = format!("{blocks} %10 = eq %4, %3 : bool[j=t, i=t]");
    check_mask(&alone, "recent 14, recent 7, 7, late 7");
    // The block before, the own one, and the next.
    let near = format!(
        "{blocks} %5 = sub %4, %3 : i64[j=t, i=t] %6 = abs %5 : i64[j=t, i=t] %7 = const 1 : i64
         %8 = le %5, %7 : bool[j=t, i=t] %9 = neg %7 : i64 %11 = ge %5, %9 : bool[j=t, i=t]
         %10 = and %8, %11 : bool[j=t, i=t]"
    );
    check_mask(&near, "recent 30, recent 7, 15, late 15");
    // Up to the end of the block, said otherwise.
    let rest = "%2 = const 8 : i64 %3 = rem %0, %2 : i64[i=t] %4 = sub %0, %3 : i64[i=t]
                %5 = const 7 : i64 %6 = add %4, %5 : i64[i=t] %10 = le %1, %6 : bool[j=t, i=t]";
    check_mask(rest, "cache, recent 7, all, late 7");
}

#[test]
fn shifted_reads_carry_as_far_as_they_look_back() {
    let shift = |offset: i64, stride: i64| {
        format!(
            "%0 = window x {{axis: t, into: [i: 1, k: {stride}], offset: {offset}}} : f32[i=t, k=3, d=2]
             return %0"
        )
    };
    check("y: f32[i=t, k=3, d=2]", &shift(0, -1), "recent 2, 2");
    check("y: f32[i=t, k=3, d=2]", &shift(-4, -1), "recent 6, 6");
    check("y: f32[i=t, k=3, d=2]", &shift(-2, 1), "recent 2, 2");
    check("y: f32[i=t, k=3, d=2]", &shift(0, 1), "recent 2, 0, late 2");
    check(
        "y: f32[i=t, k=3, d=2]",
        &shift(-1, 1),
        "recent 2, 1, late 1",
    );
    check("y: f32[i=t, k=3, d=2]", &shift(3, 1), "recent 2, 0, late 5");
    check(
        "y: f32[i=t, k=u, d=2]",
        "%0 = window x {axis: t, into: [i: 1, k: 1], offset: 0} : f32[i=t, k=u, d=2] return %0",
        "`i` reads u - 1 positions ahead on `t`; read behind, `x[t = t - k]`, or a fixed number ahead",
    );
    check(
        "y: f32[d=2]",
        "%0 = window x {axis: t, into: [], offset: 0} : f32[d=2] return %0",
        "one fixed position of `t` is read",
    );
}

#[test]
fn computed_places_are_bounded() {
    let read = |place: &str| {
        format!(
            "%0 = index {{axis: i}} : i64[i=t] %1 = const 2 : i64 %2 = const 0 : i64 {place}
             %9 = gather x, %8 {{axis: t, outside: zero}} : f32[i=t, d=2] return %9"
        )
    };
    let check = |place: &str, expected: &str| check("y: f32[i=t, d=2]", &read(place), expected);
    check("%8 = sub %0, %1 : i64[i=t]", "cache, all");
    check("%8 = add %0, %1 : i64[i=t]", "cache, all, late 2");
    // Edges that are repeated.
    check(
        "%7 = sub %0, %1 : i64[i=t] %8 = max %7, %2 : i64[i=t]",
        "cache, all",
    );
    let last = "%5 = size {extent: t} : i64 %6 = const 1 : i64 %7 = sub %5, %6 : i64";
    check(
        &format!("{last} %4 = add %0, %1 : i64[i=t] %8 = min %4, %7 : i64[i=t]"),
        "cache, all, late 2",
    );
    check(
        "%8 = mul %0, %1 : i64[i=t]",
        "positions of `t` are read at computed places that may lie ahead; read at `min(position, index)`",
    );
}

#[test]
fn the_length_is_known_where_there_is_more() {
    let held = |answer: &str| {
        format!(
            "%0 = index {{axis: t}} : i64[t] %1 = const 3 : i64 %2 = size {{extent: t}} : i64
             {answer} %8 = cast %7 : f32[t] %9 = mul x, %8 : f32[t, d=2] return %9"
        )
    };
    let check = |answer: &str, expected: &str| check("y: f32[t, d=2]", &held(answer), expected);
    check(
        "%3 = add %0, %1 : i64[t] %7 = lt %3, %2 : bool[t]",
        "recent 3, 0, late 3",
    );
    check(
        "%3 = add %0, %1 : i64[t] %7 = le %3, %2 : bool[t]",
        "recent 2, 0, late 2",
    );
    check(
        "%3 = sub %2, %1 : i64 %7 = gt %3, %0 : bool[t]",
        "recent 3, 0, late 3",
    );
    check("%3 = sub %0, %1 : i64[t] %7 = lt %3, %2 : bool[t]", "0");
    // Whether it is the last one.
    let last = "%3 = const 1 : i64 %4 = sub %2, %3 : i64 %7 = eq %0, %4 : bool[t]";
    check(last, "recent 1, 0, late 1");
    check(
        "%3 = floor_div %2, %1 : i64 %7 = lt %0, %3 : bool[t]",
        "the length of `t` is read, which a stream does not know",
    );
}

#[test]
fn sums_and_ends_are_folded() {
    check(
        "y: f32[t, d=2]",
        "%0 = cumulate x {axis: t, combine: sum} : f32[t, d=2] return %0",
        "total, all",
    );
    check(
        "y: f32[d=2]",
        "%0 = reduce x {combine: max, over: t} : f32[d=2] return %0",
        "total, all",
    );
    check(
        "y: f32[t, d=2]",
        "%0 = reduce x {combine: max, over: t} : f32[d=2] %1 = sub x, %0 : f32[t, d=2] return %1",
        "`sub` reads at every position of `t` what is known after the last one; read what is known at each position: a recurrence over `t`, or `cumsum`",
    );
}

#[test]
fn what_no_position_feeds_is_not_carried() {
    check(
        "y: f32[t, u]",
        "%0 = exp m : f32[u, d=2] %1 = contract x, %0 {over: d} : f32[t, u] return %1",
        "0",
    );
}

#[test]
fn whole_sequences_are_named() {
    check(
        "y: f32[t, d=2]",
        "%0 = cumulate x {axis: t, combine: sum, reverse} : f32[t, d=2] return %0",
        "`cumulate` walks `t` from the end; walk forward: `recurrence over t { … }`",
    );
    check(
        "y: i64[t]",
        "%0 = size {extent: t} : i64 %1 = add ids, %0 : i64[t] return %1",
        "the length of `t` is read, which a stream does not know",
    );
    check(
        "y: i64[i=t]",
        "%0 = order ids {axis: t, into: i} : i64[i=t] return %0",
        "`order` along `t` needs all positions",
    );
    check(
        "y: f32[t, d=2]",
        "param w: f32[t] %0 = mul x, w : f32[t, d=2] return %0",
        "`w` has one position for each of `t`",
    );
    check(
        "y: f32[i=t, j=t]",
        "%0 = rename x {axes: [t: i]} : f32[i=t, d=2] %1 = rename x {axes: [t: j]} : f32[j=t, d=2]
         %2 = contract %0, %1 {over: d} : f32[i=t, j=t] return %2",
        "`y` has the streamed axis twice",
    );
    let graph = text::parse("girih-graph 1\ngraph g(x: f32[d=2]) -> (y: f32[d=2]) { return x }");
    let none = stream(&graph.expect("it is well-formed"), "d").map(drop);
    assert_eq!(
        none.map_err(|whole| whole.to_string()),
        Err("no input has an axis `d` whose size is free".to_owned())
    );
}

#[test]
fn draws_are_those_of_the_positions() {
    let graph = text::parse(
        r#"girih-graph 1
axis t time
graph g(x: f32[t]) -> (y: f32[t]) {
  %0 = random {distribution: uniform, key: "k"} : f32[d=2, t]
  %1 = reduce %0 {combine: sum, over: d} : f32[t]
  %2 = mul x, %1 : f32[t]
  return %2
}
"#,
    );
    let own = stream(&graph.expect("it is well-formed"), "t").expect("it streams");
    assert!(own.carries.is_empty());
    let printed = text::print(&own.step);
    let parsed = text::parse(&printed).expect("it can be read back");
    assert_eq!(text::print(&parsed), printed);
    let symbol = |name: &str| Extent::symbol(name);
    let past = symbol(&own.total).minus(&symbol(&own.new));
    let from = parsed.root.nodes().find_map(|(_, node)| match &node.op {
        Op::Random(_, _, axes) => Some(axes.iter().map(|(_, from)| from.clone()).collect()),
        _ => None,
    });
    assert_eq!(from, Some(vec![Extent::constant(0), past]), "{printed}");
}
