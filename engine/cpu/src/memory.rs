//! Which temporary buffers share memory.
//!
//! Buffers that are needed at different times may lie at one place. The largest are
//! placed first, each in the smallest gap that fits among those that are needed at
//! the same time. Offsets are multiples of a cache line.

use std::ops::RangeInclusive;

use girih_plan::plan::{BufferId, Section};

use crate::block::ALIGN;

/// A buffer to be placed.
#[derive(Clone, Debug)]
pub struct Need {
    /// Its size.
    pub bytes: usize,
    /// Launches between which it is needed.
    pub lifetime: RangeInclusive<usize>,
}

/// Where everything that a section needs for itself lies in its memory.
#[derive(Clone, Debug, Default)]
pub struct Arranged {
    /// Where each buffer starts, if it is a temporary one.
    pub places: Vec<Option<usize>>,
    /// Where each launch's own memory starts.
    pub areas: Vec<usize>,
    /// Bytes of all together.
    pub bytes: usize,
}

/// Arranges the temporaries of a section and the memory of its launches. `bytes` are those of its buffers, `areas` those
/// that each launch wants while it runs, `touched` are buffers with launches before which they are read besides.
pub fn arrange(
    section: &Section,
    bytes: &[usize],
    areas: &[usize],
    touched: &[(BufferId, usize)],
) -> Arranged {
    let mut lifetimes = section.lifetimes();
    for (buffer, at) in touched {
        if let Some(lifetime) = &mut lifetimes[buffer.index()] {
            *lifetime = *lifetime.start().min(at)..=*lifetime.end().max(at);
        }
    }
    let mut needs = Vec::new();
    let mut owners = Vec::new();
    for (at, lifetime) in lifetimes.into_iter().enumerate() {
        if let Some(lifetime) = lifetime {
            needs.push(Need {
                bytes: bytes[at],
                lifetime,
            });
            owners.push(at);
        }
    }
    let own = areas.iter().enumerate().map(|(at, bytes)| Need {
        bytes: *bytes,
        lifetime: at..=at,
    });
    needs.extend(own);
    let (offsets, total) = place(&needs);
    let mut places = vec![None; section.buffers.len()];
    for (owner, offset) in owners.iter().zip(&offsets) {
        places[*owner] = Some(*offset);
    }
    Arranged {
        places,
        areas: offsets[owners.len()..].to_vec(),
        bytes: total,
    }
}

/// Where each buffer starts, and the bytes of all together.
pub fn place(needs: &[Need]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|need| std::cmp::Reverse(needs[*need].bytes));
    let mut offsets = vec![0; needs.len()];
    // Placed buffers, by their offset: their first byte, the byte after the last, and which.
    let mut placed: Vec<(usize, usize, usize)> = Vec::new();
    let mut total = 0;
    for own in order {
        let need = &needs[own];
        let bytes = aligned(need.bytes);
        if bytes == 0 {
            continue;
        }
        let offset = gap(&placed, needs, need, bytes);
        offsets[own] = offset;
        let end = offset.saturating_add(bytes);
        total = total.max(end);
        let at = placed.partition_point(|(start, _, _)| *start <= offset);
        placed.insert(at, (offset, end, own));
    }
    (offsets, total)
}

/// The smallest gap that fits, or the end.
fn gap(placed: &[(usize, usize, usize)], needs: &[Need], need: &Need, bytes: usize) -> usize {
    let mut best: Option<(usize, usize)> = None;
    let mut end = 0;
    for (start, after, other) in placed {
        if !overlaps(&need.lifetime, &needs[*other].lifetime) {
            continue;
        }
        if let Some(room) = start.checked_sub(end)
            && room >= bytes
            && best.is_none_or(|(least, _)| room < least)
        {
            best = Some((room, end));
        }
        end = end.max(*after);
    }
    best.map_or(end, |(_, offset)| offset)
}

fn overlaps(one: &RangeInclusive<usize>, other: &RangeInclusive<usize>) -> bool {
    one.start() <= other.end() && other.start() <= one.end()
}

/// The next multiple of the alignment; saturates at the largest one.
pub fn aligned(bytes: usize) -> usize {
    bytes
        .checked_next_multiple_of(ALIGN)
        .unwrap_or(usize::MAX - (ALIGN - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(needs: &[(usize, RangeInclusive<usize>)], offsets: &[usize], total: usize) {
        let needs: Vec<Need> = needs
            .iter()
            .map(|(bytes, lifetime)| Need {
                bytes: *bytes,
                lifetime: lifetime.clone(),
            })
            .collect();
        assert_eq!(place(&needs), (offsets.to_vec(), total));
    }

    #[test]
    fn buffers_of_different_times_share_memory() {
        check(&[], &[], 0);
        check(&[(100, 0..=1), (100, 1..=2)], &[0, 128], 256);
        check(&[(100, 0..=1), (100, 2..=3)], &[0, 0], 128);
        check(&[(64, 0..=3), (0, 0..=3), (1, 0..=3)], &[0, 0, 64], 128);
    }

    #[test]
    fn the_smallest_gap_is_taken() {
        // At time 2 there are gaps of 256 and of 64 bytes below the ends of others.
        check(
            &[
                (1024, 0..=9),
                (256, 0..=1),
                (192, 0..=9),
                (128, 0..=1),
                (96, 0..=9),
                (64, 2..=2),
            ],
            &[0, 1024, 1280, 1472, 1600, 1472],
            1728,
        );
    }

    #[test]
    fn no_two_buffers_of_one_time_overlap() {
        let mut state = 1_u32;
        let mut next = |most: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize % most as usize
        };
        for _ in 0..50 {
            let needs: Vec<Need> = (0..40)
                .map(|_| {
                    let start = next(20);
                    Need {
                        bytes: next(1000),
                        lifetime: start..=start + next(6),
                    }
                })
                .collect();
            let (offsets, total) = place(&needs);
            for (own, need) in needs.iter().enumerate() {
                assert!(offsets[own] + need.bytes <= total);
                for (other, second) in needs.iter().enumerate().skip(own + 1) {
                    let apart = offsets[own] + need.bytes <= offsets[other]
                        || offsets[other] + second.bytes <= offsets[own];
                    let empty = need.bytes == 0 || second.bytes == 0;
                    assert!(apart || empty || !overlaps(&need.lifetime, &second.lifetime));
                }
            }
        }
    }
}
