//! Many positions, taken in pieces.

use std::collections::BTreeMap;

use girih_graph::stream::Source;

use super::{Session, SessionError, Shown};
use crate::backend::{Data, Outputs, Progress, RunError};
use crate::tensor::Tensor;

impl Session {
    /// The piece that begins at `first` of `count` positions: the first one may be longer.
    fn end(&self, first: usize, chunk: usize, count: usize) -> Result<usize, SessionError> {
        let together = match self.point.position {
            0 => usize::try_from(self.first_piece()?).unwrap_or(usize::MAX),
            _ => 0,
        };
        Ok(first.saturating_add(chunk.max(together).max(1)).min(count))
    }

    /// Takes positions in pieces of at most `chunk`, the first as long as it must be; gives the
    /// results at the last position, and computes what only they need there alone. Of results that are late it
    /// gives what the last piece gives.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step). The session is as it was before the first piece then.
    pub fn prefill(
        &mut self,
        inputs: &BTreeMap<String, Data>,
        chunk: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Outputs, SessionError> {
        let count = usize::try_from(self.count(inputs)?).unwrap_or(usize::MAX);
        let start = (self.point.clone(), self.once.clone(), self.symbols.clone());
        let mut outputs = Outputs::default();
        let mut first = 0;
        while first < count {
            let last = self.end(first, chunk, count);
            let own = last.and_then(|last| {
                let piece = self.piece(inputs, first..last)?;
                let mut own =
                    Self::take_together(&mut [(&mut *self, &piece)], Shown::Last, progress)?;
                Ok((last, own.pop().expect("as many as step")))
            });
            match own {
                Ok(own) => (first, outputs) = own,
                Err(error) => {
                    (self.point, self.once, self.symbols) = start;
                    return Err(error);
                }
            }
        }
        Ok(outputs)
    }

    /// Takes positions in pieces of at most `chunk`, the first as long as it must be; gives the
    /// results at all of them, joined, but for those that come late.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step). The session stays behind the last piece that did not fail.
    pub fn run_all(
        &mut self,
        inputs: &BTreeMap<String, Data>,
        chunk: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Outputs, SessionError> {
        let count = usize::try_from(self.count(inputs)?).unwrap_or(usize::MAX);
        let mut pieces: BTreeMap<String, Vec<Tensor>> = BTreeMap::new();
        let mut outputs = Outputs::default();
        let mut first = 0;
        while first < count {
            let last = self.end(first, chunk, count)?;
            let piece = self.piece(inputs, first..last)?;
            outputs = self.step(&piece, progress)?;
            for result in &self.model.stream().results {
                if matches!(result.source, Source::Positions(_)) {
                    let piece = outputs.tensor(&result.name)?;
                    pieces.entry(result.name.clone()).or_default().push(piece);
                }
            }
            first = last;
        }
        for result in &self.model.stream().results {
            if let (Source::Positions(place), Some(own), Some(output)) = (
                result.source,
                pieces.get(&result.name),
                outputs.results.get_mut(&result.name),
            ) {
                let parts: Vec<&Tensor> = own.iter().collect();
                output.data = Data::Host(Tensor::concat(&parts, place)?);
            }
        }
        Ok(outputs)
    }

    /// Positions of all inputs.
    fn piece(
        &self,
        inputs: &BTreeMap<String, Data>,
        range: std::ops::Range<usize>,
    ) -> Result<BTreeMap<String, Data>, SessionError> {
        let cut = |(name, data): (&String, &Data)| {
            let data = match self.model.place(name) {
                Some(place) => Data::Host(data.to_host()?.slice(place, range.clone())?),
                None => data.clone(),
            };
            Ok::<_, RunError>((name.clone(), data))
        };
        Ok(inputs.iter().map(cut).collect::<Result<_, _>>()?)
    }

    /// Takes the last positions of a sequence in pieces of at most `chunk`; gives the results at all
    /// of them, joined, those that come late included.
    ///
    /// # Errors
    ///
    /// As [`run_all`](Self::run_all).
    pub fn run_to_end(
        &mut self,
        inputs: &BTreeMap<String, Data>,
        chunk: usize,
        progress: &mut Progress<'_>,
    ) -> Result<Outputs, SessionError> {
        let mut outputs = self.run_all(inputs, chunk, progress)?;
        let mut last = self.flush(progress)?;
        for result in &self.model.stream().results {
            let Some(mut rest) = last.results.remove(&result.name) else {
                continue;
            };
            if let (Source::Positions(place), Some(known)) =
                (result.source, outputs.results.get(&result.name))
            {
                let parts = [known.data.to_host()?, rest.data.to_host()?];
                let parts: Vec<&Tensor> = parts.iter().collect();
                rest.data = Data::Host(Tensor::concat(&parts, place)?);
            }
            outputs.results.insert(result.name.clone(), rest);
        }
        Ok(outputs)
    }
}
