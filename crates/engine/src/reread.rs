//! Reading the source once more, from its beginning, as far as the run goes.

use domain::{
    Read,
    ports::{Records, Source, SourceError, Starts},
};

/// The records of a run, in order.
pub(crate) struct Reread {
    records: Box<dyn Records>,
    left: u64,
}

impl Reread {
    /// Begins at the first record and ends with the source, or behind `limit` records.
    pub(crate) fn open(source: &dyn Source, limit: Option<u64>) -> Result<Self, SourceError> {
        Ok(Self { records: source.open(&Starts::new())?, left: limit.unwrap_or(u64::MAX) })
    }

    /// Reads on: at most `max` records; an empty list is the end.
    pub(crate) async fn next(&mut self, max: usize) -> Result<Vec<Read>, SourceError> {
        let mut reads = self.records.next(max).await?;
        reads.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= reads.len() as u64;
        Ok(reads)
    }
}
