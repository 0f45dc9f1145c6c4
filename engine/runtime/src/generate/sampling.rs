//! Which token comes next, given the logits of all.

use std::cmp::Ordering;

/// How a token is chosen.
///
/// The rules apply in the order of the fields below: logits of tokens that the text has are
/// weakened, then divided by the temperature, then the draw is narrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits of tokens that the text already has are divided by it where positive, and
    /// multiplied where not; 1 leaves them (Keskar et al. 2019, arXiv 1909.05858, section 4.1).
    pub repetition_penalty: f64,
    /// Logits are divided by it; 0 takes the largest.
    pub temperature: f64,
    /// Only so many of the likeliest are in the draw; 0 for all.
    pub top_k: usize,
    /// Only the likeliest whose probabilities sum to this are in the draw; 1 for all
    /// (Holtzman et al. 2020, arXiv 1904.09751).
    pub top_p: f64,
    /// Only tokens with at least this share of the likeliest one's probability are in the draw; 0
    /// for all (Nguyen et al. 2024, arXiv 2407.01082).
    pub min_p: f64,
}

/// A sampling rule that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{rule} is {least} to {most}, not {given}")]
pub struct SamplingError {
    /// Which.
    pub rule: &'static str,
    /// Smallest that is allowed.
    pub least: f64,
    /// Largest that is allowed.
    pub most: f64,
    /// What was given.
    pub given: f64,
}

/// A token that was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Which.
    pub id: u32,
    /// Its log-probability under the model, before any rule.
    pub log_probability: f64,
}

impl Sampling {
    /// Always the likeliest.
    pub const GREEDY: Self = Self {
        repetition_penalty: 1.0,
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
    };

    /// Draws by the model's own probabilities.
    pub const PLAIN: Self = Self {
        temperature: 1.0,
        ..Self::GREEDY
    };

    /// Checks that every rule is in its range.
    ///
    /// # Errors
    ///
    /// The first rule that is not.
    pub fn check(&self) -> Result<(), SamplingError> {
        let rules = [
            ("a temperature", self.temperature, 0.0, f64::MAX),
            // Smaller ones overflow logits.
            ("a repetition penalty", self.repetition_penalty, 1e-6, 1e6),
            ("top-p", self.top_p, 0.0, 1.0),
            ("min-p", self.min_p, 0.0, 1.0),
        ];
        let outside = |(_, given, least, most): &(&str, f64, f64, f64)| {
            // A NaN is in no range.
            !(least..=most).contains(&given)
        };
        match rules.into_iter().find(outside) {
            None => Ok(()),
            Some((rule, given, least, most)) => Err(SamplingError {
                rule,
                least,
                most,
                given,
            }),
        }
    }

    /// The token that follows `ids`; `None` where no logit that is not barred is a number.
    ///
    /// `draw` in [0, 1) decides where there is a choice. Ties go to the lower id.
    pub fn choose(&self, logits: &[f64], ids: &[u32], barred: &[u32], draw: f64) -> Option<Choice> {
        let mut scores = logits.to_vec();
        self.weaken(&mut scores, ids);
        for &id in barred {
            if let Some(score) = scores.get_mut(id as usize) {
                *score = f64::NAN;
            }
        }
        let at = self.pick(&scores, draw)?;
        let id = u32::try_from(at).ok()?;
        Some(Choice {
            id,
            log_probability: log_probability(logits, id)?,
        })
    }

    fn weaken(&self, scores: &mut [f64], ids: &[u32]) {
        if self.repetition_penalty.to_bits() == 1f64.to_bits() {
            return;
        }
        let mut seen = ids.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for id in seen {
            if let Some(score) = scores.get_mut(id as usize) {
                *score = if *score > 0.0 {
                    *score / self.repetition_penalty
                } else {
                    *score * self.repetition_penalty
                };
            }
        }
    }

    fn pick(&self, scores: &[f64], draw: f64) -> Option<usize> {
        let mut order: Vec<usize> = (0..scores.len())
            .filter(|&at| !scores[at].is_nan())
            .collect();
        let by_score = |a: &usize, b: &usize| {
            let larger = scores[*b]
                .partial_cmp(&scores[*a])
                .unwrap_or(Ordering::Equal);
            larger.then(a.cmp(b))
        };
        let is_draw = self.temperature > 0.0;
        if !is_draw || order.iter().any(|&at| scores[at] == f64::INFINITY) {
            return order.into_iter().min_by(by_score);
        }
        if self.top_k > 0 && self.top_k < order.len() {
            order.select_nth_unstable_by(self.top_k - 1, by_score);
            order.truncate(self.top_k);
        }
        order.sort_unstable_by(by_score);
        let largest = scores[*order.first()?];
        if largest == f64::NEG_INFINITY {
            return order.first().copied();
        }
        let mut weights: Vec<f64> = order
            .iter()
            .map(|&at| ((scores[at] - largest) / self.temperature).exp())
            .collect();
        if self.top_p < 1.0 {
            let enough = self.top_p * weights.iter().sum::<f64>();
            let mut sum = 0.0;
            let reached = weights.iter().position(|weight| {
                sum += weight;
                sum >= enough
            });
            weights.truncate(reached.map_or(weights.len(), |at| at + 1));
        }
        // The likeliest has weight 1.
        let likely = weights.iter().take_while(|weight| **weight >= self.min_p);
        weights.truncate(likely.count().max(1));
        let mut rest = draw * weights.iter().sum::<f64>();
        for (&at, weight) in order.iter().zip(&weights) {
            rest -= weight;
            if rest < 0.0 {
                return Some(at);
            }
        }
        // Rounding may leave a rest.
        order.get(weights.len() - 1).copied()
    }
}

/// Log-probability of a token; `None` if there is no such logit. NaN logits count as impossible.
pub(super) fn log_probability(logits: &[f64], id: u32) -> Option<f64> {
    let logit = *logits.get(id as usize)?;
    Some(logit - log_sum(logits))
}

/// log Σ exp of the logits that are numbers.
pub(super) fn log_sum(logits: &[f64]) -> f64 {
    let numbers = || logits.iter().filter(|logit| !logit.is_nan());
    let largest = numbers().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest.is_infinite() {
        return largest;
    }
    let sum: f64 = numbers().map(|logit| (logit - largest).exp()).sum();
    largest + sum.ln()
}

/// A number in [0, 1) that depends on its key alone (`SplitMix64`, Steele et al. 2014).
pub fn draw(seed: u64, stream: u64, position: u64) -> f64 {
    let mut state = 0;
    for word in [seed, stream, position] {
        state = mix(state ^ word);
    }
    // The 53 bits that a double keeps.
    (state >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(word: u64) -> u64 {
    let mut mixed = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;
    const INFINITY: f64 = f64::INFINITY;

    #[track_caller]
    fn check(logits: &[f64], sampling: Sampling, allowed: &[u32]) {
        let draws = (0..200).map(|position| draw(0, 0, position));
        let choices = draws.filter_map(|draw| sampling.choose(logits, &[], &[], draw));
        let mut seen: Vec<u32> = choices.map(|choice| choice.id).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, allowed, "{logits:?} {sampling:?}");
    }

    #[test]
    fn only_what_may_be_drawn_is_drawn() {
        let plain = Sampling::PLAIN;
        let top_k = |top_k| Sampling { top_k, ..plain };
        let top_p = |top_p| Sampling { top_p, ..plain };
        let min_p = |min_p| Sampling { min_p, ..plain };
        check(&[1.0, 3.0, 2.0], Sampling::GREEDY, &[1]);
        check(&[3.0, 3.0], Sampling::GREEDY, &[0]);
        check(&[0.0, 0.1, 0.2], plain, &[0, 1, 2]);
        check(&[0.0, 0.1, 0.2], top_k(2), &[1, 2]);
        check(&[0.1, 0.1, 0.1], top_k(2), &[0, 1]);
        check(&[0.0, 0.1], top_k(7), &[0, 1]);
        check(&[0.0, 0.1, 0.2], top_p(0.0), &[2]);
        check(&[0.0, 0.1, 0.2], top_p(0.5), &[1, 2]);
        check(&[0.0, 1.0, 3.0], min_p(0.1), &[1, 2]);
        check(&[0.0, 1.0, 3.0], min_p(1.0), &[2]);
        let cold = Sampling {
            temperature: 0.1,
            ..plain
        };
        check(&[0.0, 100.0], cold, &[1]);
        check(&[NAN, 1.0], plain, &[1]);
        check(&[INFINITY, 1.0], plain, &[0]);
        check(&[-INFINITY, 1.0], plain, &[1]);
        check(&[-INFINITY, -INFINITY], plain, &[0]);
        check(&[], Sampling::GREEDY, &[]);
        check(&[NAN], plain, &[]);
    }

    #[test]
    fn repeated_tokens_lose() {
        let sampling = Sampling {
            repetition_penalty: 2.0,
            ..Sampling::GREEDY
        };
        let chosen = |logits: &[f64], ids: &[u32]| {
            sampling
                .choose(logits, ids, &[], 0.0)
                .map(|choice| choice.id)
        };
        assert_eq!(chosen(&[3.0, 2.0], &[]), Some(0));
        assert_eq!(chosen(&[3.0, 2.0], &[0, 0, 9]), Some(1));
        assert_eq!(chosen(&[-1.0, -1.5], &[0]), Some(1));
    }

    #[test]
    fn barred_tokens_are_not_chosen() {
        let choice = Sampling::GREEDY.choose(&[3.0, 2.0], &[], &[0, 99], 0.0);
        let log_probability = -(1.0 + f64::exp(1.0)).ln();
        let choice = choice.map(|choice| {
            (
                choice.id,
                (choice.log_probability - log_probability).abs() < 1e-12,
            )
        });
        assert_eq!(choice, Some((1, true)));
        assert_eq!(Sampling::GREEDY.choose(&[3.0], &[], &[0], 0.0), None);
    }

    #[test]
    fn draws_are_uniform_and_depend_on_their_key() {
        let draws: Vec<f64> = (0..1000).map(|position| draw(7, 1, position)).collect();
        assert!(draws.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = draws.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert_eq!(draw(7, 1, 3).to_bits(), draws[3].to_bits());
        let others = [draw(8, 1, 3), draw(7, 2, 3)].map(f64::to_bits);
        assert!(!others.contains(&draws[3].to_bits()));
    }

    #[test]
    fn rules_without_meaning_are_named() {
        let wrong = Sampling {
            top_p: NAN,
            ..Sampling::PLAIN
        };
        assert_eq!(wrong.check().map_err(|error| error.rule), Err("top-p"));
        let wrong = Sampling {
            temperature: -1.0,
            ..Sampling::PLAIN
        };
        assert_eq!(
            wrong.check().map_err(|error| error.rule),
            Err("a temperature")
        );
        assert_eq!(Sampling::GREEDY.check(), Ok(()));
    }
}
