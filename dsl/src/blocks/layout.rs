//! How the axes of a file become those of a declaration.
//!
//! A declaration has stored axes, each a product of [`Factor`]s (`(h, e)`). A layout says
//! in which order and grouping a file holds the same factors: `[d, (e, h)]`; a literal 1
//! is an axis without meaning. An [`Arrangement`] is the answer in numbers, both ways:
//! reshape, permute, reshape. A path may name and split what it leads to:
//! `q.weight[(heads, 2, e), d]`. Factors are told apart by name, a number by its value;
//! where the names on both sides leave a single one over, these two are the same.

use girih_graph::{AxisId, AxisTable, Extent};

use crate::ast::{Expr, ExprKind, Index, LayoutItem, Path, Segment};

/// A part of a stored axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factor {
    /// What layouts call it.
    pub name: String,
    /// Its size, if that is known before the file's shape is.
    pub size: Option<usize>,
}

/// How a file's tensor becomes a declared one.
///
/// To load: reshape to `file`, permute so that axis `k` is the file's axis `order[k]`,
/// reshape to `shape`. To store: the same backwards, and `stored` at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrangement {
    /// Shape of the tensor in the file.
    pub stored: Vec<usize>,
    /// The same with every factor apart, in the file's order.
    pub file: Vec<usize>,
    /// Which axis of `file` each declared factor is.
    pub order: Vec<usize>,
    /// Sizes of the declaration's axes, groups taken apart.
    pub shape: Vec<usize>,
}

impl Arrangement {
    /// Sizes of the declared factors, in declared order.
    pub fn declared(&self) -> Vec<usize> {
        self.order.iter().map(|&axis| self.file[axis]).collect()
    }

    /// For each axis of `file`, which declared factor it is.
    pub fn inverse(&self) -> Vec<usize> {
        let mut inverse = vec![0; self.order.len()];
        for (declared, &axis) in self.order.iter().enumerate() {
            inverse[axis] = declared;
        }
        inverse
    }
}

/// Why a layout or a shape does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutProblem {
    /// Another number of axes.
    #[error("the file has shape {found:?}, but {} expected", axes(*.wanted))]
    Rank {
        /// In the file.
        found: Vec<usize>,
        /// As declared, or as the layout says.
        wanted: usize,
    },
    /// An axis of another size.
    #[error("the file has shape {found:?}, expected is {wanted}")]
    Size {
        /// In the file.
        found: Vec<usize>,
        /// As declared, in the file's order.
        wanted: String,
    },
    /// Something in the layout is no axis.
    #[error("the layout has `{name}`, but the declaration has {}", listed(.known))]
    Unknown {
        /// As written.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// An axis that the layout leaves out.
    #[error("the layout leaves out `{name}`")]
    LeftOut {
        /// The axis.
        name: String,
    },
    /// A size that nothing tells.
    #[error("the size of `{name}` is not known")]
    Open {
        /// The axis.
        name: String,
    },
    /// Brackets after a path that do not fit the declaration.
    #[error("the path names {found} axes, the declaration has {wanted}")]
    Names {
        /// As written.
        found: usize,
        /// As declared.
        wanted: usize,
    },
    /// Not an axis, a group of axes, or a number.
    #[error("a layout lists axes, groups `(h, e)` and the number 1")]
    Form,
}

fn axes(count: usize) -> String {
    match count {
        1 => "1 axis is".to_owned(),
        count => format!("{count} axes are"),
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "no axes".to_owned(),
        names => format!("`{}`", names.join("`, `")),
    }
}

/// The factors of stored axes, as the graph's axes or, with brackets after the path, as
/// these name them. `size` gives the value of an extent, and of a name in brackets.
///
/// # Errors
///
/// Brackets that do not fit the declaration.
pub fn factors(
    table: &AxisTable,
    stored: &[Vec<AxisId>],
    path: Option<&Path>,
    size: &dyn Fn(&Extent) -> Option<usize>,
) -> Result<Vec<Vec<Factor>>, LayoutProblem> {
    let own: Vec<Vec<Factor>> = stored
        .iter()
        .map(|group| {
            let factor = |axis: &AxisId| Factor {
                name: base_name(table.name(*axis)).to_owned(),
                size: size(table.extent(*axis)),
            };
            group.iter().map(factor).collect()
        })
        .collect();
    let Some(items) = path.and_then(axis_names) else {
        return Ok(own);
    };
    if items.len() != own.len() {
        return Err(LayoutProblem::Names {
            found: items.len(),
            wanted: own.len(),
        });
    }
    let mut named = Vec::new();
    for (item, group) in items.iter().zip(&own) {
        let mut split: Vec<Factor> = Vec::new();
        for word in words(item)? {
            split.push(match word {
                Word::Number(number) => Factor {
                    name: number.to_string(),
                    size: Some(number),
                },
                Word::Name(name) => {
                    let same = group.iter().find(|factor| factor.name == name);
                    let size = match same {
                        Some(factor) => factor.size,
                        None => size(&Extent::symbol(&name)),
                    };
                    Factor { name, size }
                }
            });
        }
        let total = group
            .iter()
            .try_fold(1, |all: usize, factor| all.checked_mul(factor.size?));
        complete(&mut split, total);
        named.push(split);
    }
    Ok(named)
}

/// The names after a path, if the last segment gives some: `w[to, from]`.
pub(super) fn axis_names(path: &Path) -> Option<Vec<&Expr>> {
    let Segment::Index(items) = path.segments.last()? else {
        return None;
    };
    let names: Option<Vec<&Expr>> = items
        .iter()
        .map(|item| match item {
            Index::At(expr) => Some(expr),
            _ => None,
        })
        .collect();
    names.filter(|names| !matches!(names.as_slice(), [one] if matches!(one.kind, ExprKind::Int(_))))
}

/// How a file's tensor of shape `found` holds the `declared` factors. `shape` is what the
/// result is called in the end; the factors' own sizes when absent.
///
/// # Errors
///
/// A layout that does not name each factor once, a shape that does not fit.
pub fn arrange(
    declared: &[Vec<Factor>],
    layout: Option<&[LayoutItem]>,
    found: &[usize],
    shape: Option<Vec<usize>>,
) -> Result<Arrangement, LayoutProblem> {
    let mut flat: Vec<Factor> = declared.iter().flatten().cloned().collect();
    let items = if let Some(items) = layout {
        places(&flat, items)?
    } else {
        let mut next = 0;
        let positions = declared.iter().map(|group| {
            let first = next;
            next += group.len();
            (first..next).collect::<Vec<usize>>()
        });
        positions.collect()
    };
    if items.len() != found.len() {
        return Err(LayoutProblem::Rank {
            found: found.to_vec(),
            wanted: items.len(),
        });
    }
    for (item, &extent) in items.iter().zip(found) {
        let mut group: Vec<Factor> = item.iter().map(|&at| flat[at].clone()).collect();
        complete(&mut group, Some(extent));
        for (&at, factor) in item.iter().zip(group) {
            flat[at] = factor;
        }
    }
    let mut file = Vec::new();
    for (item, &extent) in items.iter().zip(found) {
        let mut product = Some(1usize);
        for &at in item {
            let Some(size) = flat[at].size else {
                return Err(LayoutProblem::Open {
                    name: flat[at].name.clone(),
                });
            };
            file.push(size);
            product = product.and_then(|all| all.checked_mul(size));
        }
        if product != Some(extent) {
            return Err(LayoutProblem::Size {
                found: found.to_vec(),
                wanted: show(&items, &flat),
            });
        }
    }
    let in_file: Vec<usize> = items.concat();
    let mut order = vec![0; in_file.len()];
    for (axis, &at) in in_file.iter().enumerate() {
        order[at] = axis;
    }
    let sizes = order.iter().map(|&axis| file[axis]).collect();
    Ok(Arrangement {
        stored: found.to_vec(),
        shape: shape.unwrap_or(sizes),
        file,
        order,
    })
}

/// The file's axis that holds the first declared factor; 0 without a layout.
pub(super) fn first_axis(
    declared: &[Vec<Factor>],
    layout: Option<&[LayoutItem]>,
) -> Result<usize, LayoutProblem> {
    let Some(items) = layout else {
        return Ok(0);
    };
    let flat: Vec<Factor> = declared.iter().flatten().cloned().collect();
    let items = places(&flat, items)?;
    Ok(items.iter().position(|item| item.contains(&0)).unwrap_or(0))
}

/// The size of a file's axis as far as the factors tell.
pub(super) fn axis_size(
    declared: &[Vec<Factor>],
    layout: Option<&[LayoutItem]>,
    axis: usize,
) -> Result<Option<usize>, LayoutProblem> {
    let flat: Vec<Factor> = declared.iter().flatten().cloned().collect();
    let group: Vec<Factor> = match layout {
        None => declared.get(axis).cloned().unwrap_or_default(),
        Some(items) => {
            let places = places(&flat, items)?;
            let item = places.get(axis).cloned().unwrap_or_default();
            item.into_iter().map(|at| flat[at].clone()).collect()
        }
    };
    let mut sizes = group.iter().map(|factor| factor.size);
    Ok(sizes.try_fold(1usize, |all, size| all.checked_mul(size?)))
}

/// `h`, where the graph calls its axis `h.1`.
pub(super) fn base_name(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((base, suffix)) if suffix.bytes().all(|byte| byte.is_ascii_digit()) => base,
        _ => name,
    }
}

enum Word {
    Name(String),
    Number(usize),
}

/// The names that a layout mentions, in order.
pub(super) fn layout_names(items: &[LayoutItem]) -> Vec<Vec<String>> {
    let names = |item: &LayoutItem| match words(item) {
        Ok(words) => words
            .into_iter()
            .filter_map(|word| match word {
                Word::Name(name) => Some(name),
                Word::Number(_) => None,
            })
            .collect(),
        Err(_) => Vec::new(),
    };
    items.iter().map(names).collect()
}

fn words(item: &Expr) -> Result<Vec<Word>, LayoutProblem> {
    match &item.kind {
        ExprKind::Name(name) => Ok(vec![Word::Name(name.clone())]),
        ExprKind::Int(1) => Ok(Vec::new()),
        ExprKind::Int(number) => match usize::try_from(*number) {
            Ok(number) if number > 0 => Ok(vec![Word::Number(number)]),
            _ => Err(LayoutProblem::Form),
        },
        ExprKind::Tuple(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(words(part)?);
            }
            Ok(all)
        }
        _ => Err(LayoutProblem::Form),
    }
}

/// For each item of a layout, the positions of its factors.
fn places(flat: &[Factor], items: &[LayoutItem]) -> Result<Vec<Vec<usize>>, LayoutProblem> {
    let mut used = vec![false; flat.len()];
    let mut unknown: Vec<(usize, usize, String)> = Vec::new();
    let mut result: Vec<Vec<usize>> = Vec::new();
    for item in items {
        let mut group = Vec::new();
        for word in words(item)? {
            let name = match word {
                Word::Name(name) => name,
                Word::Number(number) => number.to_string(),
            };
            let at = (0..flat.len()).find(|&at| !used[at] && flat[at].name == name);
            if let Some(at) = at {
                used[at] = true;
                group.push(at);
            } else {
                unknown.push((result.len(), group.len(), name));
                group.push(0);
            }
        }
        result.push(group);
    }
    let left: Vec<usize> = (0..flat.len()).filter(|&at| !used[at]).collect();
    match (unknown.as_slice(), left.as_slice()) {
        ([], []) => {}
        ([(item, place, name)], [at]) if name.parse::<usize>().is_err() => {
            result[*item][*place] = *at;
        }
        ([], [at, ..]) => {
            return Err(LayoutProblem::LeftOut {
                name: flat[*at].name.clone(),
            });
        }
        ([(_, _, name), ..], _) => {
            return Err(LayoutProblem::Unknown {
                name: name.clone(),
                known: flat.iter().map(|factor| factor.name.clone()).collect(),
            });
        }
    }
    Ok(result)
}

/// Gives the only factor of unknown size the size that the product leaves.
fn complete(group: &mut [Factor], total: Option<usize>) {
    let mut open = None;
    let mut known = Some(1usize);
    for (at, factor) in group.iter().enumerate() {
        match factor.size {
            Some(size) => known = known.and_then(|all| all.checked_mul(size)),
            None if open.is_none() => open = Some(at),
            None => return,
        }
    }
    if let (Some(at), Some(total), Some(known)) = (open, total, known)
        && known > 0
        && total % known == 0
    {
        group[at].size = Some(total / known);
    }
}

fn show(items: &[Vec<usize>], flat: &[Factor]) -> String {
    let factor = |at: &usize| match flat[*at].size {
        Some(size) if size.to_string() == flat[*at].name => size.to_string(),
        Some(size) => format!("{} = {size}", flat[*at].name),
        None => flat[*at].name.clone(),
    };
    let shown: Vec<String> = items
        .iter()
        .map(|item| match item.as_slice() {
            [] => "1".to_owned(),
            [one] => factor(one),
            group => format!(
                "({})",
                group.iter().map(factor).collect::<Vec<_>>().join(", ")
            ),
        })
        .collect();
    format!("[{}]", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{FileId, Span};

    fn expr(text: &str) -> Expr {
        let span = Span::new(FileId(0), 0, 0);
        let kind = match text.strip_prefix('(') {
            Some(inner) => {
                let inner = inner.trim_end_matches(')');
                ExprKind::Tuple(inner.split(' ').map(expr).collect())
            }
            None => match text.parse() {
                Ok(number) => ExprKind::Int(number),
                Err(_) => ExprKind::Name(text.to_owned()),
            },
        };
        Expr { kind, span }
    }

    fn layout(text: &str) -> Vec<Expr> {
        text.split(", ")
            .filter(|item| !item.is_empty())
            .map(expr)
            .collect()
    }

    /// Factors as `h=2 e=3, d=4`: groups are separated by commas.
    fn declared(text: &str) -> Vec<Vec<Factor>> {
        let group = |group: &str| {
            let factor = |factor: &str| {
                let (name, size) = factor.split_once('=').unwrap_or((factor, "?"));
                Factor {
                    name: name.to_owned(),
                    size: size.parse().ok(),
                }
            };
            group.split(' ').map(factor).collect()
        };
        text.split(", ")
            .filter(|item| !item.is_empty())
            .map(group)
            .collect()
    }

    fn check(have: &str, wanted: Option<&str>, found: &[usize], expected: &str) {
        let items = wanted.map(layout);
        let answer = match arrange(&declared(have), items.as_deref(), found, None) {
            Ok(done) => format!("{:?} {:?} {:?}", done.file, done.order, done.declared()),
            Err(problem) => problem.to_string(),
        };
        assert_eq!(answer, expected, "{have} {wanted:?}");
    }

    #[test]
    fn axes_are_reordered_split_and_grouped() {
        check(
            "h=2 e=3, d=4",
            None,
            &[6, 4],
            "[2, 3, 4] [0, 1, 2] [2, 3, 4]",
        );
        check(
            "h=2 e=3, d=4",
            Some("d, (h e)"),
            &[4, 6],
            "[4, 2, 3] [1, 2, 0] [2, 3, 4]",
        );
        check(
            "h=2 e=3, d=4",
            Some("(e h), d"),
            &[6, 4],
            "[3, 2, 4] [1, 0, 2] [2, 3, 4]",
        );
        check(
            "h=2 e, d",
            Some("h, e, d"),
            &[2, 3, 4],
            "[2, 3, 4] [0, 1, 2] [2, 3, 4]",
        );
        check(
            "h e=3, d",
            Some("d, (h e)"),
            &[4, 6],
            "[4, 2, 3] [1, 2, 0] [2, 3, 4]",
        );
        check(
            "c=5, k=7",
            Some("c, 1, k"),
            &[5, 1, 7],
            "[5, 7] [0, 1] [5, 7]",
        );
        check("", Some("1"), &[1], "[] [] []");
        check("", None, &[], "[] [] []");
        check(
            "9 2=2 e, d=4",
            Some("(9 e 2), d"),
            &[0, 4],
            "the size of `9` is not known",
        );
        check("t=2, to=3", Some("t, ff"), &[2, 3], "[2, 3] [0, 1] [2, 3]");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        check(
            "d=4",
            None,
            &[4, 1],
            "the file has shape [4, 1], but 1 axis is expected",
        );
        check(
            "d=4, e=2",
            None,
            &[2, 4],
            "the file has shape [2, 4], expected is [d = 4, e = 2]",
        );
        check("d=4, e=2", Some("d"), &[4], "the layout leaves out `e`");
        check(
            "d=4, e=2",
            Some("x, y"),
            &[4, 2],
            "the layout has `x`, but the declaration has `d`, `e`",
        );
        check(
            "d=4",
            Some("d, d"),
            &[4, 4],
            "the layout has `d`, but the declaration has `d`",
        );
        check("d=4", Some("1, 1"), &[1, 1], "the layout leaves out `d`");
        check("a b, c=1", None, &[6, 1], "the size of `a` is not known");
        check(
            "a=99999999999 b=99999999999 c=99999999999",
            None,
            &[6],
            "the file has shape [6], expected is [(a = 99999999999, b = 99999999999, c = 99999999999)]",
        );
    }
}
