//! The likeliest continuation as a whole, by beam search.

use super::sampling::log_sum;
use super::{Continuation, GenerateError, Generated, Reason, Request};

/// How a search is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beams {
    /// Continuations that are kept at once.
    pub width: usize,
    /// A continuation of n tokens is judged by its log-probability over n to this power: above 0 long
    /// ones gain (Wu et al. 2016, arXiv 1609.08144, equation 14, without its constant).
    pub length_penalty: f64,
}

impl Beams {
    /// `score` is a log-probability of `count` tokens.
    pub(super) fn judge(self, score: f64, count: usize) -> f64 {
        // The power of an exponent of 0 is 1, whatever the count.
        score / (count.max(1) as f64).powf(self.length_penalty)
    }

    /// What a continuation of `count` tokens can be judged at best in the end.
    fn bound(self, score: f64, count: usize, most: usize) -> f64 {
        // Log-probabilities only fall; dividing by more makes them larger.
        let count = if self.length_penalty > 0.0 {
            most
        } else {
            count
        };
        self.judge(score, count)
    }
}

/// A continuation that goes on.
struct Beam<C> {
    ids: Vec<u32>,
    score: f64,
    stream: C,
    logits: Vec<f64>,
}

/// One more token for one of the beams.
#[derive(Clone, Copy)]
struct Candidate {
    beam: usize,
    id: u32,
    score: f64,
}

/// The likeliest continuations of `prompt`, best first, at most `beams.width` of them.
///
/// Of `request` the ends, the forced and forbidden continuations and the number of
/// tokens apply; nothing is drawn. `stream` must be where the prompt begins.
///
/// # Errors
///
/// An empty prompt, a search without beams, and what the model says.
pub fn search<C: Continuation>(
    stream: C,
    prompt: &[u32],
    request: &Request,
    beams: Beams,
) -> Result<Vec<Generated>, GenerateError<C::Error>> {
    if prompt.is_empty() {
        return Err(GenerateError::EmptyPrompt);
    }
    if beams.width == 0 {
        return Err(GenerateError::NoBeams);
    }
    let mut finished: Vec<(f64, Generated)> = Vec::new();
    let mut running = Vec::new();
    if request.max_tokens > 0 {
        let mut stream = stream;
        let logits = stream.push(prompt)?;
        running.push(Beam {
            ids: Vec::new(),
            score: 0.0,
            stream,
            logits,
        });
    }
    for count in 1..=request.max_tokens {
        let best = running.iter().map(|beam| beam.score);
        let best = best.fold(f64::NEG_INFINITY, f64::max);
        let bound = beams.bound(best, count, request.max_tokens);
        let no_better = finished.get(beams.width - 1);
        if no_better.is_some_and(|(worst, _)| *worst >= bound) {
            break;
        }
        let candidates = candidates(&running, request, beams.width)?;
        if candidates.is_empty() && finished.is_empty() {
            return Err(GenerateError::NoChoice {
                position: prompt.len() + count - 1,
            });
        }
        let mut kept = Vec::new();
        for candidate in candidates {
            let ids = &running[candidate.beam].ids;
            let (ids, reason) = if request.ends.contains(&candidate.id) {
                (ids.clone(), Reason::End)
            } else if count == request.max_tokens {
                ([ids.as_slice(), &[candidate.id]].concat(), Reason::Length)
            } else {
                if kept.len() < beams.width {
                    kept.push(candidate);
                }
                continue;
            };
            let generated = Generated {
                ids,
                log_probability: candidate.score,
                reason,
            };
            finished.push((beams.judge(candidate.score, count), generated));
        }
        // Stable: of equal ones the earlier stays first.
        finished.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        finished.truncate(beams.width);
        running = advance(running, &kept)?;
        if running.is_empty() {
            break;
        }
    }
    Ok(finished
        .into_iter()
        .map(|(_, generated)| generated)
        .collect())
}

/// The best tokens over all beams: enough that `width` of them go on, whatever ends. Ties go to the
/// better beam, then to the lower id.
fn candidates<C, E>(
    running: &[Beam<C>],
    request: &Request,
    width: usize,
) -> Result<Vec<Candidate>, GenerateError<E>> {
    let mut all = Vec::new();
    for (at, beam) in running.iter().enumerate() {
        let sum = log_sum(&beam.logits);
        let of = |id: u32| {
            let score = beam.score + beam.logits.get(id as usize)? - sum;
            let beam = at;
            Some(Candidate { beam, id, score })
        };
        if let Some(&id) = request.forced.get(beam.ids.len()) {
            let size = beam.logits.len();
            all.push(of(id).ok_or(GenerateError::UnknownToken { id, size })?);
            continue;
        }
        let barred: Vec<u32> = request.barred(&beam.ids, 0).collect();
        let ids = (0..beam.logits.len()).filter_map(|id| u32::try_from(id).ok());
        let allowed = ids.filter(|id| !barred.contains(id)).filter_map(of);
        all.extend(allowed.filter(|candidate| !candidate.score.is_nan()));
    }
    let enough = width.saturating_mul(1 + request.ends.len());
    let better = |a: &Candidate, b: &Candidate| {
        let score = b.score.total_cmp(&a.score);
        score.then(a.beam.cmp(&b.beam)).then(a.id.cmp(&b.id))
    };
    if enough < all.len() {
        all.select_nth_unstable_by(enough, better);
        all.truncate(enough);
    }
    all.sort_unstable_by(better);
    Ok(all)
}

/// The beams that the candidates make; they read their last tokens together. A beam with several successors is forked.
fn advance<C: Continuation>(
    running: Vec<Beam<C>>,
    kept: &[Candidate],
) -> Result<Vec<Beam<C>>, C::Error> {
    let mut parents: Vec<Option<Beam<C>>> = running.into_iter().map(Some).collect();
    let mut next: Vec<Beam<C>> = Vec::with_capacity(kept.len());
    for (at, candidate) in kept.iter().enumerate() {
        let parent = &mut parents[candidate.beam];
        let again = kept[at + 1..]
            .iter()
            .any(|later| later.beam == candidate.beam);
        let (mut ids, stream) = match parent {
            Some(parent) if again => (parent.ids.clone(), parent.stream.fork()?),
            _ => match parent.take() {
                Some(parent) => (parent.ids, parent.stream),
                None => continue,
            },
        };
        ids.push(candidate.id);
        next.push(Beam {
            ids,
            score: candidate.score,
            stream,
            logits: Vec::new(),
        });
    }
    let mut reads: Vec<(&mut C, &[u32])> = Vec::with_capacity(next.len());
    for beam in &mut next {
        reads.push((&mut beam.stream, &beam.ids[beam.ids.len() - 1..]));
    }
    let logits = C::push_together(&mut reads)?;
    for (beam, logits) in next.iter_mut().zip(logits) {
        beam.logits = logits;
    }
    Ok(next)
}
