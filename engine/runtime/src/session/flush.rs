//! The end of a sequence: what results that are late still have to give.

use std::collections::BTreeMap;

use girih_graph::stream::StreamResult;

use super::{Session, SessionError, ordered};
use crate::backend::{Data, Outputs, Progress, silent};

impl Session {
    /// What the sequence gives if it ends here: the last positions of results that come late, as
    /// many as they are late, and results that are late and belong to no position. The session
    /// stays as it is, and can go on. Results that are never late are left out; before the first
    /// position there is nothing.
    ///
    /// # Errors
    ///
    /// What fails in the run.
    pub fn flush(&self, progress: &mut Progress<'_>) -> Result<Outputs, SessionError> {
        self.flushed(self.model.stream().results.iter(), progress)
    }

    /// Next values of states that are late.
    pub(super) fn flushed_updates(&self) -> Result<BTreeMap<String, Data>, SessionError> {
        let updates = &self.model.stream().updates;
        if updates.iter().all(|update| update.result.latency == 0) {
            return Ok(BTreeMap::new());
        }
        let results = updates.iter().map(|update| &update.result);
        let mut outputs = self.flushed(results, &mut silent)?;
        let late = updates.iter().filter_map(|update| {
            let output = outputs.results.remove(&update.result.name)?;
            Some((update.path.clone(), output.data))
        });
        Ok(late.collect())
    }

    fn flushed<'r>(
        &self,
        results: impl Iterator<Item = &'r StreamResult>,
        progress: &mut Progress<'_>,
    ) -> Result<Outputs, SessionError> {
        let Some(graph) = &self.model.stream().flush else {
            return Ok(Outputs::default());
        };
        if self.point.position == 0 {
            return Ok(Outputs::default());
        }
        let once = match &self.once {
            Some(once) => once.clone(),
            None => self.run_once(&self.symbols, progress)?,
        };
        let bindings = self.bindings(graph, &once, (&self.symbols, self.point.position));
        let mut outputs = self.model.run_flush(&bindings, progress)?;
        let mut own = Outputs::default();
        for result in results {
            if let Some(output) = outputs.results.remove(&result.name) {
                let output = ordered(result, output)?;
                own.results.insert(result.name.clone(), output);
            }
        }
        Ok(own)
    }
}
