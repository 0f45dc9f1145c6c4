//! Which token comes next, given the logits of all.

use std::cmp::Ordering;

/// How a token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the largest.
    pub temperature: f64,
    /// Only so many of the likeliest are in the draw; 0 for all.
    pub top_k: usize,
    /// Only the likeliest whose probabilities sum to this are in the draw; 1 for all.
    pub top_p: f64,
}

impl Sampling {
    /// Always the likeliest.
    pub const GREEDY: Self = Self {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
    };
}

/// A sequence of draws that depends on its seed alone (`SplitMix64`, Steele et al. 2014).
#[derive(Clone, Debug)]
pub struct Draws {
    state: u64,
}

impl Draws {
    /// Starts a sequence.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The 53 bits that a double keeps.
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The index of the chosen logit; `None` where there is none that is a number. Ties go to
/// the lower index.
pub fn choose(logits: &[f64], sampling: &Sampling, draws: &mut Draws) -> Option<usize> {
    let mut order: Vec<usize> = (0..logits.len())
        .filter(|&at| !logits[at].is_nan())
        .collect();
    let by_logit = |a: &usize, b: &usize| {
        let larger = logits[*b]
            .partial_cmp(&logits[*a])
            .unwrap_or(Ordering::Equal);
        larger.then(a.cmp(b))
    };
    let is_draw = sampling.temperature > 0.0;
    if !is_draw || order.iter().any(|&at| logits[at] == f64::INFINITY) {
        return order.into_iter().min_by(by_logit);
    }
    order.sort_by(by_logit);
    if sampling.top_k > 0 {
        order.truncate(sampling.top_k);
    }
    let largest = logits[*order.first()?];
    let mut weights: Vec<f64> = order
        .iter()
        .map(|&at| ((logits[at] - largest) / sampling.temperature).exp())
        .collect();
    if sampling.top_p < 1.0 {
        let enough = sampling.top_p.max(0.0) * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let reached = weights.iter().position(|weight| {
            sum += weight;
            sum >= enough
        });
        weights.truncate(reached.map_or(weights.len(), |at| at + 1));
    }
    let mut rest = draws.uniform() * weights.iter().sum::<f64>();
    for (&at, weight) in order.iter().zip(&weights) {
        rest -= weight;
        if rest < 0.0 {
            return Some(at);
        }
    }
    order.get(weights.len().saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logits: &[f64], sampling: Sampling, allowed: &[usize]) {
        let mut seen: Vec<usize> = (0..200)
            .filter_map(|seed| choose(logits, &sampling, &mut Draws::new(seed)))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, allowed, "{logits:?} {sampling:?}");
    }

    #[test]
    fn only_what_may_be_drawn_is_drawn() {
        let draw = |temperature, top_k, top_p| Sampling {
            temperature,
            top_k,
            top_p,
        };
        check(&[1.0, 3.0, 2.0], Sampling::GREEDY, &[1]);
        check(&[3.0, 3.0], Sampling::GREEDY, &[0]);
        check(&[0.0, 0.1, 0.2], draw(1.0, 0, 1.0), &[0, 1, 2]);
        check(&[0.0, 0.1, 0.2], draw(1.0, 2, 1.0), &[1, 2]);
        check(&[0.0, 0.1, 0.2], draw(1.0, 0, 0.01), &[2]);
        check(&[0.0, 0.1, 0.2], draw(1.0, 0, 0.5), &[1, 2]);
        check(&[0.0, 100.0], draw(0.1, 0, 1.0), &[1]);
        check(&[f64::NAN, 1.0], draw(1.0, 0, 1.0), &[1]);
        check(&[f64::INFINITY, 1.0], draw(1.0, 0, 1.0), &[0]);
        check(&[f64::NEG_INFINITY, 1.0], draw(1.0, 0, 1.0), &[1]);
        check(&[], Sampling::GREEDY, &[]);
        check(&[f64::NAN], draw(1.0, 0, 1.0), &[]);
    }

    #[test]
    fn a_seed_gives_its_draws_again() {
        let draw = |seed| {
            let mut draws = Draws::new(seed);
            [draws.uniform(), draws.uniform()]
        };
        assert_eq!(draw(7).map(f64::to_bits), draw(7).map(f64::to_bits));
        assert_ne!(draw(7).map(f64::to_bits), draw(8).map(f64::to_bits));
        assert!(draw(1).iter().all(|number| (0.0..1.0).contains(number)));
    }
}
