//! Regions: equal layers have equal texts, what was written is read back, and what is broken is refused.

use girih_graph::text;

use super::*;
use crate::plan::Work;

/// Two equal products, an elementwise chain and a sum.
const GRAPH: &str = "girih-graph 1
graph g(x: f32[t, d=4], u: f32[t, d=4], w: f32[d=4, e=4]) -> (y: f32[t, e=4], z: f32[t, e=4], s: f32[t]) {
  %0 = contract x, w {over: d} : f32[t, e=4]
  %1 = contract u, w {over: d} : f32[t, e=4]
  %2 = reduce x {combine: sum, over: d} : f32[t]
  %3 = exp %2 : f32[t]
  return %0, %1, %3
}
";

fn plan() -> Plan {
    let graph = text::parse(GRAPH).unwrap_or_else(|error| panic!("{error}"));
    crate::lower(&graph)
}

fn regions(plan: &Plan) -> Vec<Region> {
    let launches = 0..plan.root.launches.len();
    let region = |at| Region::new(plan, &plan.root, at..at + 1);
    launches.filter_map(|at| Some(region(at)?.0)).collect()
}

#[test]
fn equal_layers_are_equal_regions() {
    let plan = plan();
    let contracts = |region: &Region| matches!(region.section.launches[0].work, Work::Contract(_));
    let products: Vec<Region> = regions(&plan).into_iter().filter(contracts).collect();
    let [first, second] = &products[..] else {
        panic!("two products, not {}", products.len());
    };
    assert_eq!(first.to_text(), second.to_text());
    assert_eq!(first.symbols, [Arc::from("t")]);
}

#[test]
fn several_launches_are_one_region() {
    let plan = plan();
    let all = 0..plan.root.launches.len();
    let (region, buffers) = Region::new(&plan, &plan.root, all).unwrap();
    assert_eq!(region.section.launches.len(), plan.root.launches.len());
    assert_eq!(region.section.buffers.len(), buffers.len());
    assert_eq!(Region::from_text(&region.to_text()).unwrap(), region);
}

/// Two loops beside one another, both cut along the features.
const LOOPS: &str = "girih-graph 1
axis t time
graph g(x: f32[t, d=64], s: f32[d=64]) -> (y: f32[t, d=64], z: f32[t, d=64]) {
  %2, %3 = recurrence {axis: t} : f32[d=64], f32[t, d=64] {
    carry %4 = s : f32[d=64]
    slice %5 = x : f32[d=64]
    %6 = tanh %4 : f32[d=64]
    %7 = add %6, %5 : f32[d=64]
    return %7, %7
  }
  %8, %9 = recurrence {axis: t, reverse} : f32[d=64], f32[t, d=64] {
    carry %10 = s : f32[d=64]
    slice %11 = %3 : f32[d=64]
    %12 = tanh %10 : f32[d=64]
    %13 = sub %12, %11 : f32[d=64]
    return %13, %13
  }
  return %3, %9
}
";

#[test]
fn loops_beside_one_another_are_what_they_are_alone() {
    let graph = text::parse(LOOPS).unwrap_or_else(|error| panic!("{error}"));
    let plan = crate::lower(&graph);
    let count = plan.root.launches.len();
    let cut = |launch: &crate::plan::Launch| matches!(&launch.work, Work::Recurrence(own) if own.part.is_some());
    assert_eq!(plan.root.launches.iter().filter(|own| cut(own)).count(), 2);
    let (both, _) = Region::new(&plan, &plan.root, 0..count).unwrap();
    assert_eq!(both.symbols, [Arc::from("t")]);
    let both = Region::from_text(&both.to_text()).unwrap();
    for at in 0..count {
        let (alone, _) = Region::new(&plan, &plan.root, at..at + 1).unwrap();
        assert_eq!(both.part(at..at + 1).unwrap().0, alone);
    }
}

fn refused(from: &str, to: &str, message: &str) {
    let plan = plan();
    let (region, _) = Region::new(&plan, &plan.root, 0..plan.root.launches.len()).unwrap();
    let text = region.to_text();
    assert!(text.contains(from), "`{from}` is not in {text}");
    let error = Region::from_text(&text.replacen(from, to, 1)).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn broken_regions_are_refused() {
    refused(
        "\"girih-region\":1",
        "\"girih-region\":2",
        "the region has version 2; version 1 is known here",
    );
    refused(
        "\"symbols\":[\"t\"]",
        "\"symbols\":[]",
        "the region is broken: kernel 0 uses the size `t`, which nobody gives",
    );
    refused(
        "\"left\":0",
        "\"left\":9",
        "the region is broken: there is no tensor 9",
    );
    refused(
        "{\"unary\":[\"exp\",1]}",
        "{\"unary\":[\"exp\",2]}",
        "the region is broken: kernel 0: step 2 reads what there is not",
    );
    refused(
        "{\"buffer\":0,\"dtype\"",
        "{\"buffer\":70,\"dtype\"",
        "the region is broken: a tensor lies in no buffer",
    );
}

/// Draws, outside and inside of a loop.
const DRAWS: &str = "girih-graph 1
axis t time
graph g(x: f32[t], s: f32[d=4]) -> (z: f32[d=4], last: f32[d=4]) {
  %0 = random {distribution: normal, key: \"out\"} : f32[d=4]
  %3 = recurrence {axis: t} : f32[d=4] {
    carry %5 = s : f32[d=4]
    slice %6 = x : f32[]
    %7 = random {distribution: uniform, key: \"in\"} : f32[d=4]
    %8 = mul %5, %7 : f32[d=4]
    %9 = add %8, %6 : f32[d=4]
    return %9
  }
  return %0, %3
}
";

#[test]
fn words_of_draws_are_given() {
    let graph = text::parse(DRAWS).unwrap_or_else(|error| panic!("{error}"));
    let plan = crate::lower(&graph);
    let (region, _) = Region::new(&plan, &plan.root, 0..plan.root.launches.len()).unwrap();
    let text = region.to_text();
    assert_eq!(Region::from_text(&text).unwrap(), region);
    for key in ["out", "in"] {
        let symbol = format!("\"{}\"", draw_symbol(key));
        // Another symbol in its place, and another key in the draw.
        for broken in [
            text.replacen(&symbol, "\"#draw other\"", 1),
            text.replacen(&format!("\"key\":\"{key}\""), "\"key\":\"hostile\"", 1),
        ] {
            assert_ne!(broken, text);
            let error = Region::from_text(&broken).unwrap_err().to_string();
            let said = "the region is broken: nobody gives the word that draws of";
            assert!(error.starts_with(said), "{error}");
        }
    }
}

#[test]
fn any_byte_may_be_missing_or_changed() {
    let plan = plan();
    for region in regions(&plan) {
        let text = region.to_text();
        for at in 0..text.len() {
            let missing = format!("{}{}", &text[..at], &text[at + 1..]);
            let changed = format!("{}7{}", &text[..at], &text[at + 1..]);
            for text in [missing, changed, text[..at].to_owned()] {
                if let Ok(read) = Region::from_text(&text) {
                    assert_eq!(Region::from_text(&read.to_text()).unwrap(), read);
                }
            }
        }
    }
}
