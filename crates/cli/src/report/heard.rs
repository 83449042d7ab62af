//! What the report needs of a journal, added up while it is written: reading all of it once more costs a run a tenth of
//! its CPU.

use std::sync::{Arc, Mutex};

use store::Journal;

use super::gather::Gathered;

/// What was appended to a journal since listening began.
#[derive(Debug)]
pub(crate) struct Heard(Arc<Mutex<Gathered>>);

impl Heard {
    /// Listens to a journal that holds nothing yet.
    pub(crate) fn of(journal: &Journal) -> Self {
        let heard = Arc::new(Mutex::<Gathered>::default());
        let taking = Arc::clone(&heard);
        journal.tell(move |entry| {
            // The lock of one who failed keeps what was added up: it lacks something from then on, and is not used.
            if let Ok(mut gathered) = taking.lock() {
                gathered.take(entry);
            }
        });
        Self(heard)
    }

    /// Hands over what was added up; `None` where that failed on an entry.
    pub(super) fn taken(&self) -> Option<Gathered> {
        self.0.lock().ok().map(|mut gathered| std::mem::take(&mut *gathered))
    }
}
