//! Mutated files: neither parser nor formatter panics, and what parses is formatted faithfully.

use super::{check_format, files, read, source_of};

/// How many files are tried; more on demand.
const COUNT: &str = "GIRIH_MUTATIONS";
const DEFAULT_COUNT: usize = 4_000;
/// One for each thread.
const SEEDS: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03];

/// Pieces that make or break structure.
const PIECES: [&str; 64] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ",",
    ":",
    "=",
    "==",
    "->",
    ".",
    "'",
    "\"",
    "#",
    "\n",
    " # note\n",
    "\n## doc\n",
    "@",
    "*",
    "**",
    "^",
    "-",
    "+",
    "/",
    "//",
    "%",
    "<=",
    "where ",
    " else ",
    "if ",
    " then ",
    "not ",
    "and ",
    "or ",
    "in ",
    "sum(e) ",
    "max(j) ",
    "topk(2, j) ",
    "return ",
    "route x to e { a = 1 }",
    "recurrence over t { ",
    "state S: f32 = 0\n",
    "S'",
    "axis q\n",
    "module M() {",
    "weights w for M {",
    "golden g for M {",
    "test \"t\" {",
    "let a = 1\n",
    "1",
    "0.5",
    "1e9",
    "x",
    "true",
    "{i}",
    "[*]",
    "9999999999999999999",
    "\t",
    "\u{a0}",
    "“",
    "π",
    "é",
    ";",
];

/// A small deterministic generator (xorshift64*): the same files on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let product = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        (product >> 33) as usize % end.max(1)
    }

    /// A place between two characters.
    fn place(&mut self, text: &str) -> usize {
        let mut place = self.below(text.len() + 1);
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        place
    }

    fn range(&mut self, text: &str, most: usize) -> (usize, usize) {
        let start = self.place(text);
        let mut end = (start + self.below(most)).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        (start, end.max(start))
    }
}

fn mutate(random: &mut Random, texts: &[String]) -> String {
    let mut text = texts[random.below(texts.len())].clone();
    for _ in 0..=random.below(3) {
        match random.below(8) {
            0 => {
                let (start, end) = random.range(&text, 12);
                text.replace_range(start..end, "");
            }
            1 => {
                let (start, end) = random.range(&text, 60);
                let copy = text[start..end].to_owned();
                let place = random.place(&text);
                text.insert_str(place, &copy);
            }
            2 => {
                let other = &texts[random.below(texts.len())];
                let (start, end) = random.range(other, 80);
                let place = random.place(&text);
                text.insert_str(place, &other[start..end]);
            }
            3 => {
                let place = random.place(&text);
                text.truncate(place);
            }
            _ => {
                let (start, end) = random.range(&text, 2);
                text.replace_range(start..end, PIECES[random.below(PIECES.len())]);
            }
        }
    }
    text
}

#[test]
fn mutated_files_are_read_and_formatted() {
    let count = std::env::var(COUNT)
        .ok()
        .and_then(|count| count.parse().ok());
    let texts: Vec<_> = files("tests/syntax/examples")
        .into_iter()
        .chain(files("../tests/suite/lang/syntax"))
        .map(|(_, text)| source_of(&text).to_owned())
        .collect();
    let count = count.unwrap_or(DEFAULT_COUNT) / SEEDS.len();
    let texts = texts.as_slice();
    let well_formed: usize = std::thread::scope(|scope| {
        let runs: Vec<_> = SEEDS
            .map(|seed| scope.spawn(move || try_mutations(Random(seed), count, texts)))
            .into();
        runs.into_iter()
            .map(|run| run.join().expect("no mutated file panics"))
            .sum()
    });
    assert!(well_formed > 0, "no mutated file was well-formed");
}

/// Reads mutated files and formats those that are well-formed; says how many were.
fn try_mutations(mut random: Random, count: usize, texts: &[String]) -> usize {
    let mut well_formed = 0;
    for _ in 0..count {
        let text = mutate(&mut random, texts);
        let (_, found) = read("mutated.girih", &text);
        if found.is_empty() {
            well_formed += 1;
            check_format("mutated.girih", &text);
        }
    }
    well_formed
}
