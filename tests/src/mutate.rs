//! Broken versions of model files, for checking that nothing panics on them.
//!
//! Deterministic: the same file, seed and number give the same mutation. Most mutations
//! move whole words about, so that what comes out still parses and reaches the checker.

/// A small generator of numbers (`SplitMix64`, Steele et al. 2014).
#[derive(Clone, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number.
    pub const fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub const fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            0
        } else {
            (self.next_number() % bound as u64) as usize
        }
    }
}

/// Words that a mutation may put anywhere.
const WORDS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "1e300",
    "281474976710657",
    "9223372036854775807",
    "0.5",
    "inf",
    "none",
    "true",
    "t",
    "d",
    "e",
    "h",
    "x",
    "sum",
    "mean",
    "softmax",
    "topk",
    "top",
    "argmax",
    "cumsum",
    "where",
    "else",
    "if",
    "then",
    "and",
    "not",
    "in",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "->",
    "=",
    "==",
    "<=",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "^",
    ",",
    ".",
    "'",
    "\"s\"",
    "axis",
    "param",
    "sub",
    "stack",
    "experts",
    "state",
    "recurrence",
    "over",
    "reverse",
    "return",
    "for",
    "route",
    "to",
    "size",
    "index",
    "stop",
    "concat",
    "scatter",
    "unstack",
    "tensor",
    "f32",
    "i64",
    "bool",
];

/// The mutation of `text` with this number.
pub fn mutate(text: &str, numbers: &mut Numbers) -> String {
    let mut words = split(text);
    for _ in 0..=numbers.below(3) {
        if words.is_empty() {
            break;
        }
        let at = numbers.below(words.len());
        let other = numbers.below(words.len());
        match numbers.below(7) {
            0 => {
                words.remove(at);
            }
            1 => words.swap(at, other),
            2 => {
                let word = words[other].clone();
                words.insert(at, word);
            }
            3 => {
                let word = words[other].clone();
                words[at] = word;
            }
            4 | 5 => WORDS[numbers.below(WORDS.len())].clone_into(&mut words[at]),
            _ => words.insert(at, WORDS[numbers.below(WORDS.len())].to_owned()),
        }
    }
    words.concat()
}

/// Words, numbers, runs of white space and single signs; their concatenation is the text.
fn split(text: &str) -> Vec<String> {
    let class = |letter: char| {
        if letter.is_alphanumeric() || letter == '_' {
            1
        } else if letter.is_whitespace() {
            2
        } else {
            0
        }
    };
    let mut words: Vec<String> = Vec::new();
    let mut last = 0;
    for letter in text.chars() {
        let own = class(letter);
        match words.last_mut() {
            Some(word) if own != 0 && own == last => word.push(letter),
            _ => words.push(letter.to_string()),
        }
        last = own;
    }
    words
}
