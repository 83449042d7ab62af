//! The append-only truth of a run.
//!
//! *What happens to one entry.* `append` puts it into the queue (bounded: the caller waits when it is full). One thread
//! takes what has gathered when 256 entries are there or the first one is 5 ms old, writes them as frames in one go,
//! syncs, and tells every caller. When a segment is full it is sealed: its index is written aside, synced and renamed,
//! and a new segment begins. Opening reads the indexes of sealed segments and scans the last one, which is the only one
//! that a crash can have torn. What was torn is kept beside the segment, and cut.
//!
//! The modules in the order in which an entry meets them: `commit` (the queue and the thread), `frame` (bytes),
//! `segment` (a file), `index` (where entries lie), `asking` (marks of what is in flight), `items` (what was begun), `recover` (opening),
//! `frames` (reading entries whose places are known), `outcomes` (reading in source order), `walk` (the same of a run that
//! may be open elsewhere).

mod asking;
mod commit;
mod frame;
mod frames;
mod index;
mod items;
mod outcomes;
mod recover;
mod segment;
mod walk;

pub use walk::{Settled, Walk};

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    BoxFuture, EndClass, Entry, Located, RecordKey, StepNumber,
    ports::{Disk, DiskFile, JournalError, Outcomes, Recovered},
};

/// How the journal commits.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The longest time that an entry waits for others to share its sync.
    pub window: Duration,
    /// The number of entries that ends the wait.
    pub group: usize,
    /// The most entries that may wait; further callers wait outside.
    pub queue: usize,
    /// The length at which a segment is sealed, in bytes.
    pub segment_bytes: u64,
    /// Whether damage that an index does not know of yet is accepted: it is told this once, and what was lost with it
    /// counts as not settled. Otherwise it is told at every opening.
    pub accept_damage: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window: Duration::from_millis(5),
            group: 256,
            queue: 8192,
            segment_bytes: 256 << 20,
            accept_damage: false,
        }
    }
}

/// The journal of one run, open for appending. Cheap to clone; the last clone that goes ends the writing thread.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    /// Segments that single entries are read from.
    reading: Mutex<HashMap<u32, Arc<dyn DiskFile>>>,
    folder: PathBuf,
    commit: commit::Commit,
    asking: asking::Marks,
}

impl Journal {
    /// Opens the journal in `folder`, creating it where there is none, and returns what it knows. `tag` identifies the
    /// run, so that segments of two runs are not mixed.
    ///
    /// # Errors
    /// Where files cannot be read or written, or belong to another run or a newer version.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        tag: u64,
        options: Options,
    ) -> Result<(Self, Recovered), JournalError> {
        let opened = recover::open(&disk, folder, tag, options.accept_damage)?;
        let asking = asking::Marks::open(&*disk, folder, opened.recovered.n_processes)
            .map_err(|e| failed(folder, "open the marks in", &e))?;
        let mut recovered = opened.recovered;
        if !opened.stopped {
            recovered.n_lost_in_flight =
                asking.n_lost(&recovered).map_err(|e| failed(folder, "read the marks in", &e))?;
        }
        let commit = commit::Commit::start(Arc::clone(&disk), folder.to_owned(), tag, options, opened.tail)
            .map_err(|e| failed(folder, "start the writing thread for", &e))?;
        let shared = Shared { disk, reading: Mutex::default(), folder: folder.to_owned(), commit, asking };
        Ok((Self { shared: Arc::new(shared) }, recovered))
    }

    /// Tells `listener` every entry that becomes durable from now on, in the order of [`Journal::replay`], and before the
    /// append of that entry ends. It is called on the writing thread, so it should be quick; one that panics is not
    /// called again. There is one listener: another one takes its place.
    pub fn tell(&self, listener: impl FnMut(&Entry) + Send + 'static) {
        self.shared.commit.tell(Box::new(listener));
    }

    /// Tells what the journal in `folder` knows without changing anything, so that it can be asked about a run that
    /// another process works on. Budgets and items in progress are left out. The flag says whether the last process
    /// stopped in good order.
    ///
    /// # Errors
    /// Where the files cannot be read.
    pub fn peek(disk: &dyn Disk, folder: &Path) -> Result<(Recovered, bool), JournalError> {
        recover::peek(disk, folder)
    }

    /// Reads every outcome of the sealed part and returns the damaged ones: seconds per ten gigabytes.
    ///
    /// # Errors
    /// Where the files cannot be read at all.
    pub fn verify(disk: &dyn Disk, folder: &Path) -> Result<Vec<domain::ports::Damage>, JournalError> {
        recover::verify(disk, folder)
    }

    /// Calls `on_entry` with every sound entry in the order in which they were appended; for export and inspection of
    /// a run that may be open elsewhere. Nothing is changed on disk.
    ///
    /// # Errors
    /// Where the files cannot be read at all.
    pub fn replay(
        disk: &dyn Disk,
        folder: &Path,
        on_entry: &mut dyn FnMut(Entry),
    ) -> Result<Vec<domain::ports::Damage>, JournalError> {
        recover::replay(disk, folder, 0, &mut |entry, _| on_entry(entry))
    }

    /// As [`Journal::replay`], from segment `from` on (the last one, if there are fewer), with the place of each entry.
    ///
    /// # Errors
    /// Where the files cannot be read at all.
    pub fn replay_from(
        disk: &dyn Disk,
        folder: &Path,
        from: u32,
        on_entry: &mut dyn FnMut(Entry, Located),
    ) -> Result<Vec<domain::ports::Damage>, JournalError> {
        recover::replay(disk, folder, from, on_entry)
    }

    /// Returns the number of the last segment; 0 where there is none.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn last_segment(disk: &dyn Disk, folder: &Path) -> Result<u32, JournalError> {
        recover::last_segment(disk, folder)
    }

    /// Returns the settled records whose last end is `wanted`, with the place of that outcome, in order. It takes memory
    /// for those alone, and nothing is changed on disk.
    ///
    /// # Errors
    /// Where the files cannot be read at all.
    pub fn ended(
        disk: &dyn Disk,
        folder: &Path,
        wanted: &dyn Fn(&RecordKey, EndClass) -> bool,
    ) -> Result<Vec<(RecordKey, Located)>, JournalError> {
        recover::ended(disk, folder, wanted)
    }

    /// Opens a walk over the last outcomes in the order of their keys. Nothing is changed on disk, so that a run that
    /// another process works on can be looked at; what it appends from now on is not seen.
    ///
    /// # Errors
    /// Where the files cannot be read at all.
    pub fn walk(disk: Arc<dyn Disk>, folder: &Path) -> Result<Walk, JournalError> {
        Walk::open(disk, folder)
    }
}

impl domain::ports::Journal for Journal {
    fn append(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<Located, JournalError>> {
        Box::pin(self.shared.commit.append(entries))
    }

    fn read(&self, at: Located) -> Result<Option<Entry>, JournalError> {
        let path = segment::path_of(&self.shared.folder, at.segment);
        let file = {
            let mut reading = self.shared.reading.lock().unwrap_or_else(PoisonError::into_inner);
            match reading.get(&at.segment) {
                Some(file) => Arc::clone(file),
                None => {
                    let file = self.shared.disk.open(&path, false).map_err(|e| failed(&path, "open", &e))?;
                    Arc::clone(reading.entry(at.segment).or_insert(Arc::from(file)))
                }
            }
        };
        segment::read_one(&*file, at.offset).map_err(|e| failed(&path, "read", &e))
    }

    fn asking(&self, slot: u32, key: &RecordKey, attempt: u32) -> Result<(), JournalError> {
        self.shared.asking.mark(slot, key, attempt).map_err(|e| failed(&self.shared.folder, "write the marks in", &e))
    }

    fn outcomes(&self, step: StepNumber) -> Result<Box<dyn Outcomes>, JournalError> {
        self.shared.commit.seal()?;
        let read = outcomes::Reading::open(Arc::clone(&self.shared.disk), &self.shared.folder, step);
        Ok(Box::new(read.map_err(|e| failed(&self.shared.folder, "index the journal in", &e))?))
    }
}

/// Words an error of the file system for people: what was tried, where, what the system says, what to do.
fn failed(path: &Path, what: &str, error: &std::io::Error) -> JournalError {
    let hint = crate::run_folder::advice(error);
    JournalError(format!("cannot {what} `{}`: {error}{hint}", path.display()))
}
