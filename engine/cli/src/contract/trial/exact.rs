//! Latency and receptive field are exact: what they leave out changes nothing, and somewhere what is
//! at their ends does.

use std::cmp::Ordering;

use girih_graph::stream::{Source, StreamResult};

use super::{LENGTH, Trial, differs, rows, text};

/// A result that says what it depends on.
struct Claim<'a> {
    result: &'a StreamResult,
    place: usize,
    latency: usize,
    /// `None` if on all before, or on more than the sequences have.
    reach: Option<usize>,
    /// Whether an output has been seen that depends on the last position that it waits for.
    ahead: bool,
    /// Whether one has been seen that depends on the first position.
    back: bool,
}

impl Trial<'_> {
    /// One position after the other becomes another one, until both ends of everything are seen.
    pub(super) fn check_exact(&self) -> Result<(), String> {
        let count = LENGTH as usize;
        let mut claims: Vec<Claim<'_>> = self.claims();
        let executable = self.backend.compile(&self.model.graph).map_err(text)?;
        // First one and last one are where most is seen.
        let order = (0..count).map(|n| if n % 2 == 0 { n / 2 } else { count - 1 - n / 2 });
        for (number, position) in order.enumerate() {
            if number >= 2 && claims.iter().all(|claim| claim.ahead && claim.back) {
                return Ok(());
            }
            let inputs = self.changed(position..position + 1)?;
            let outputs = self.run_on(executable.as_ref(), &inputs)?;
            for claim in &mut claims {
                let result = claim.result;
                let both = |range: std::ops::Range<usize>| {
                    let own = rows(&outputs, result, claim.place, range.clone())?;
                    Ok::<_, String>((own, rows(&self.whole, result, claim.place, range)?))
                };
                // Positions of a prefix read one another.
                if self.stream.prefixes.is_empty() {
                    let (own, whole) = both(0..position.saturating_sub(claim.latency))?;
                    if let Some(difference) = differs(&own, &whole) {
                        return Err(format!(
                            "`{}` depends on positions that come later: {difference}",
                            result.name
                        ));
                    }
                }
                if let Some(first) = position.checked_sub(claim.latency) {
                    let (own, whole) = both(first..first + 1)?;
                    claim.ahead |= own.bytes() != whole.bytes();
                }
                let Some(last) = claim.reach.map(|reach| position + reach) else {
                    continue;
                };
                if last >= count {
                    continue;
                }
                let (own, whole) = both(last + 1..count)?;
                if let Some(difference) = differs(&own, &whole) {
                    return Err(format!(
                        "`{}` reads further back than {} positions: {difference}",
                        result.name,
                        last - position
                    ));
                }
                let (own, whole) = both(last..last + 1)?;
                claim.back |= own.bytes() != whole.bytes();
            }
        }
        for claim in &claims {
            let name = &claim.result.name;
            if !claim.ahead {
                return Err(format!(
                    "`{name}` does not read {} positions ahead",
                    claim.latency
                ));
            }
            if let Some(reach) = claim.reach.filter(|_| !claim.back) {
                return Err(format!("`{name}` does not read {reach} positions back"));
            }
        }
        Ok(())
    }

    fn claims(&self) -> Vec<Claim<'_>> {
        let count = LENGTH as usize;
        let results = self.stream.results.iter();
        let claim = |result| self.claim(result, count);
        results.filter_map(claim).collect()
    }

    fn claim<'r>(&self, result: &'r StreamResult, count: usize) -> Option<Claim<'r>> {
        let Source::Positions(place) = result.source else {
            return None;
        };
        let latency = usize::try_from(result.latency).unwrap_or(usize::MAX);
        let reach = result.reach.and_then(|reach| usize::try_from(reach).ok());
        let reach = reach.filter(|reach| reach + 1 < count);
        let shows = self.shows(result);
        Some(Claim {
            result,
            place,
            latency,
            reach,
            ahead: latency == 0 || latency >= count || !shows,
            back: reach.is_none() || !shows,
        })
    }

    /// Whether changed inputs can be seen in a result: integers are not changed, and a constant, such as
    /// the nothing of a skipped branch, shows nothing of what it reads.
    fn shows(&self, result: &StreamResult) -> bool {
        let real = |(name, _): &(String, usize)| {
            let tensor = self.inputs.get(name);
            tensor.is_some_and(|tensor| tensor.dtype().is_real())
        };
        let all = self.whole.tensor(&result.name).map(|all| all.to_f64_vec());
        let equal = |pair: &[f64]| pair[0].partial_cmp(&pair[1]).is_some_and(Ordering::is_eq);
        let constant = all.is_ok_and(|all| all.windows(2).all(equal));
        !constant && self.stream.inputs.iter().all(real)
    }
}
