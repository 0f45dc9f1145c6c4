//! The name a person probably meant.

/// The name of `names` that is nearest to `wrong`, if one is near: at most a third of
/// its letters differ. Among equals, the first.
pub(crate) fn nearest_name<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (wrong.chars().count() / 3).max(1);
    let near = names.into_iter().map(|name| (distance(wrong, name), name));
    let near = near.filter(|(distance, _)| *distance <= limit);
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be inserted, removed or replaced.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["layers.0.wq", "layers.0.wk", "embed"];
        for (wrong, found) in [
            ("layers.0.qw", Some("layers.0.wq")),
            ("embd", Some("embed")),
            ("loss", None),
            ("", None),
        ] {
            assert_eq!(nearest_name(wrong, names), found, "{wrong}");
        }
    }
}
