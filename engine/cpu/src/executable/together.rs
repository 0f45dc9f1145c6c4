//! Several runs of one plan, launch by launch: a weight is read once for all of them.
//!
//! Runs keep their own sizes, caches and memory. Products of a few rows each with a weight that all of them
//! have are one product of all rows; what lies between two of those every run does alone, runs spread
//! over the threads. What a run gives does not depend on the number of threads.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use girih_kernels::Pool;
use girih_plan::plan::Work;
use girih_runtime::backend::{Progress, RunError, silent};

use super::lane::Lane;
use super::{Compiled, lock, tell};
use crate::frame::Frame;
use crate::launch::Joined;

/// A run and its memory.
type Own<'a> = (&'a Lane<'a>, Frame<'a>);

impl Compiled {
    /// Goes through the plan once, with all runs.
    ///
    /// # Errors
    ///
    /// What fails in one of them; what any has computed is worth nothing then.
    pub(super) fn walk(
        &self,
        lanes: &[Lane<'_>],
        progress: &mut Progress<'_>,
    ) -> Result<(), RunError> {
        let total = self.plan.root.launches.len();
        let lanes: Vec<Own<'_>> = lanes.iter().map(|lane| (lane, lane.frame())).collect();
        let joined: Vec<(usize, Joined<'_>)> = (0..total)
            .filter_map(|at| Some((at, self.joined(&lanes, at)?)))
            .collect();
        let bytes = joined.iter().map(|(_, joined)| joined.bytes()).max();
        let strip = bytes.map(|bytes| self.arena(bytes)).transpose()?;
        let mut first = 0;
        for (at, joined) in &joined {
            self.apart(&lanes, first..*at, progress)?;
            tell(progress, *at, total)?;
            for (lane, frame) in &lanes {
                self.before(lane, frame, *at)?;
            }
            if let Some(strip) = &strip {
                joined.multiply(self.level, &self.pool, strip);
            }
            first = at + 1;
        }
        self.apart(&lanes, first..total, progress)?;
        lock(&self.arenas).extend(strip);
        for (lane, frame) in &lanes {
            self.before(lane, frame, total)?;
        }
        tell(progress, total, total)
    }

    /// A launch that all lanes do as one product; `None` if each does it alone.
    fn joined<'a>(&'a self, lanes: &[Own<'a>], launch: usize) -> Option<Joined<'a>> {
        let [(first, _), _, ..] = lanes else {
            return None;
        };
        let contract = match &self.plan.root.launches[launch].work {
            Work::Contract(contract) => contract,
            Work::Kernel(_)
            | Work::Attention(_)
            | Work::Recurrence(_)
            | Work::Route(_)
            | Work::Routine(_)
            | Work::Native(_) => return None,
        };
        let same = |(lane, _): &Own<'_>| std::sync::Arc::ptr_eq(&lane.packs, &first.packs);
        if !lanes.iter().all(same) {
            return None;
        }
        let runs = lanes.iter();
        let runs = runs.map(|(lane, frame)| (&lane.bound.launches[launch], *frame));
        Joined::of(&self.weights, &first.packs, contract, runs)
    }

    /// Every lane runs some launches. Of several that fail the first one's error is given.
    fn apart(
        &self,
        lanes: &[Own<'_>],
        launches: Range<usize>,
        progress: &mut Progress<'_>,
    ) -> Result<(), RunError> {
        let total = self.plan.root.launches.len();
        let threads = self.pool.threads();
        if threads == 1 || lanes.len() < threads {
            for at in launches {
                tell(progress, at, total)?;
                for (lane, frame) in lanes {
                    self.launch(lane, frame, at, &self.pool, progress)?;
                }
            }
            return Ok(());
        }
        if launches.is_empty() {
            return Ok(());
        }
        tell(progress, launches.start, total)?;
        // A region inside one of this pool would count its threads, and launches have memory for each.
        let alone = Pool::new(1);
        let failed: Mutex<Option<(usize, RunError)>> = Mutex::new(None);
        self.pool.run(lanes.len(), &|number, _| {
            let (lane, frame) = &lanes[number];
            let mut own = launches.clone();
            let ran = own.try_for_each(|at| self.launch(lane, frame, at, &alone, &mut silent));
            if let Err(error) = ran {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(first, _)| number < *first) {
                    *failed = Some((number, error));
                }
            }
        });
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.map_or(Ok(()), |(_, error)| Err(error))
    }
}
