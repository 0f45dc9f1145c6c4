//! The comments of the source, taken one after the other.

use crate::ast::Comment;

/// Comments that have not been written yet.
pub(super) struct Comments<'a> {
    source: &'a str,
    rest: &'a [Comment],
}

/// A comment that is to be written.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'a> Comments<'a> {
    pub(super) fn new(source: &'a str, comments: &'a [Comment]) -> Self {
        Self {
            source,
            rest: comments,
        }
    }

    /// The next comments that begin before a place.
    pub(super) fn take_before(&mut self, place: usize) -> Vec<Found<'a>> {
        let count = self
            .rest
            .iter()
            .take_while(|one| (one.span.start as usize) < place)
            .count();
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken.iter().map(found).collect()
    }

    /// Whether comments begin before a place.
    pub(super) fn any_before(&self, place: usize) -> bool {
        self.rest
            .first()
            .is_some_and(|one| (one.span.start as usize) < place)
    }

    /// The next comment, if it follows on the line of a place with at most a comma between.
    pub(super) fn take_after(&mut self, place: usize) -> Option<Found<'a>> {
        let (first, rest) = self.rest.split_first()?;
        let between = self.source.get(place..first.span.start as usize)?;
        if !between.bytes().all(|byte| matches!(byte, b' ' | b',')) {
            return None;
        }
        self.rest = rest;
        Some(found(first))
    }
}

fn found(comment: &Comment) -> Found<'_> {
    Found {
        text: &comment.text,
        start: comment.span.start as usize,
        end: comment.span.end as usize,
    }
}
