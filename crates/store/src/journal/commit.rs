//! The queue, and the one thread that writes.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Instant,
};

use domain::{
    Entry, Located,
    ports::{Disk, DiskFile, JournalError},
};
use tokio::sync::{Semaphore, oneshot};

use super::{
    Options, failed, frame,
    index::{self, Index},
    segment,
};

/// The segment that is written to.
pub(super) struct Tail {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) number: u32,
    pub(super) end: u64,
    pub(super) index: Index,
}

type Ack = oneshot::Sender<Result<Located, JournalError>>;

/// Is told every entry that has become durable.
pub(super) type Listener = Box<dyn FnMut(&Entry) + Send>;

enum Asked {
    Append(Vec<Entry>, Ack),
    Seal(std::sync::mpsc::SyncSender<Result<(), JournalError>>),
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Asked>,
    n_entries: usize,
    closed: bool,
    failure: Option<JournalError>,
}

struct Gate {
    queue: Mutex<Queue>,
    filled: Condvar,
    listener: Mutex<Option<Listener>>,
    /// A permit for each entry that may wait: this is what bounds the queue.
    room: Semaphore,
}

impl Gate {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic of another holder leaves a queue that is still a queue.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listener(&self) -> MutexGuard<'_, Option<Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the writing thread.
pub(super) struct Commit {
    gate: Arc<Gate>,
    queue: usize,
    group: usize,
    thread: Option<JoinHandle<()>>,
}

impl Commit {
    /// Starts the thread that writes behind `tail`.
    pub(super) fn start(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        tag: u64,
        options: Options,
        tail: Tail,
    ) -> io::Result<Self> {
        let room = Semaphore::new(options.queue);
        let gate = Gate { queue: Mutex::default(), filled: Condvar::new(), listener: Mutex::default(), room };
        let gate = Arc::new(gate);
        let writer = Writer { disk, folder, tag, options, tail, gate: Arc::clone(&gate), buffer: Vec::new() };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run())?;
        Ok(Self { gate, queue: options.queue, group: options.group, thread: Some(thread) })
    }

    /// Queues entries as one unit and ends when they are durable.
    pub(super) async fn append(&self, entries: Vec<Entry>) -> Result<Located, JournalError> {
        let wanted = entries.len().clamp(1, self.queue);
        let n = u32::try_from(wanted).unwrap_or(u32::MAX);
        let Ok(room) = self.gate.room.acquire_many(n).await else { return Err(closed()) };
        room.forget();
        let (ack, acked) = oneshot::channel();
        {
            let mut queue = self.gate.queue();
            if let Some(failure) = &queue.failure {
                return Err(failure.clone());
            }
            queue.n_entries += wanted;
            queue.waiting.push_back(Asked::Append(entries, ack));
            // The thread sleeps until there is something, then until a group is full: it need not wake in between.
            if queue.waiting.len() == 1 || queue.n_entries >= self.group {
                self.gate.filled.notify_one();
            }
        }
        acked.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Tells `listener` every entry from now on, in the order of the journal and before its caller knows it durable.
    pub(super) fn tell(&self, listener: Listener) {
        *self.gate.listener() = Some(listener);
    }

    /// Seals the last segment, so that every entry is in an index.
    pub(super) fn seal(&self) -> Result<(), JournalError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.gate.queue().waiting.push_back(Asked::Seal(sender));
        self.gate.filled.notify_one();
        receiver.recv().unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        self.gate.queue().closed = true;
        self.gate.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already failed every caller.
            let _ = thread.join();
        }
    }
}

fn closed() -> JournalError {
    JournalError(
        "the journal's writing thread has ended; this is a defect of Tidemill, the journal itself is sound".to_owned(),
    )
}

struct Writer {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    tag: u64,
    options: Options,
    tail: Tail,
    gate: Arc<Gate>,
    buffer: Vec<u8>,
}

/// Tells callers that the thread is gone, however it went: nobody waits for an answer that cannot come.
struct Farewell(Arc<Gate>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.failure.get_or_insert_with(closed);
        // Dropping what waits drops the other ends of its answers.
        queue.waiting.clear();
        self.0.room.close();
    }
}

impl Writer {
    fn run(mut self) {
        let _farewell = Farewell(Arc::clone(&self.gate));
        while let Some(group) = self.next_group() {
            let mut appends = Vec::with_capacity(group.len());
            let mut seals = Vec::new();
            for asked in group {
                match asked {
                    Asked::Append(entries, ack) => appends.push((entries, ack)),
                    Asked::Seal(done) => seals.push(done),
                }
            }
            let n: usize = appends.iter().map(|(entries, _)| entries.len().clamp(1, self.options.queue)).sum();
            let failure = self.gate.queue().failure.clone();
            let written = match failure {
                Some(failure) => Err(failure),
                None => self.commit(&appends).map_err(|error| {
                    let path = segment::path_of(&self.folder, self.tail.number);
                    failed(&path, "write the journal", &error)
                }),
            };
            let written = match written {
                Ok(places) => {
                    for ((_, ack), place) in appends.into_iter().zip(places) {
                        // A caller that went away does not want to know.
                        let _ = ack.send(Ok(place));
                    }
                    Ok(())
                }
                Err(failure) => {
                    self.gate.queue().failure = Some(failure.clone());
                    for (_, ack) in appends {
                        let _ = ack.send(Err(failure.clone()));
                    }
                    Err(failure)
                }
            };
            self.gate.room.add_permits(n);
            for done in seals {
                let sealed = match &written {
                    Ok(()) => self.seal().map_err(|error| failed(&self.folder, "seal the journal in", &error)),
                    Err(failure) => Err(failure.clone()),
                };
                let _ = done.send(sealed);
            }
        }
    }

    /// Waits for the next group: until it is full, or its first entry is as old as the window.
    fn next_group(&self) -> Option<VecDeque<Asked>> {
        let mut queue = self.gate.queue();
        while queue.waiting.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.gate.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let begun = Instant::now();
        loop {
            let has_seal = queue.waiting.iter().any(|asked| matches!(asked, Asked::Seal(_)));
            let left = self.options.window.saturating_sub(begun.elapsed());
            if queue.n_entries >= self.options.group || left.is_zero() || queue.closed || has_seal {
                break;
            }
            queue = self.gate.filled.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.n_entries = 0;
        Some(std::mem::take(&mut queue.waiting))
    }

    /// Writes a group and syncs it. Returns for each append where the first of its entries lies.
    fn commit(&mut self, appends: &[(Vec<Entry>, Ack)]) -> io::Result<Vec<Located>> {
        let segment = self.tail.number;
        let start = u32::try_from(self.tail.end).map_err(io::Error::other)?;
        self.buffer.clear();
        let mut placed = Vec::new();
        let mut places = Vec::with_capacity(appends.len());
        for (entries, _) in appends {
            let offset = u64::from(start) + self.buffer.len() as u64;
            places.push(Located { segment, offset: u32::try_from(offset).map_err(io::Error::other)? });
            for entry in entries {
                let offset = u64::from(start) + self.buffer.len() as u64;
                let offset = u32::try_from(offset).map_err(io::Error::other)?;
                frame::encode(entry, start, &mut self.buffer).map_err(io::Error::other)?;
                placed.push((entry, offset, u64::from(start) + self.buffer.len() as u64));
            }
        }
        if placed.is_empty() {
            return Ok(places);
        }
        let written = self.tail.file.write_at(&self.buffer, u64::from(start)).and_then(|()| self.tail.file.sync());
        if let Err(error) = written {
            // Nobody was told; what was half written is taken back, or cut as a torn tail by the next start.
            let _ = self.tail.file.cut(u64::from(start));
            return Err(error);
        }
        self.tell(placed.iter().map(|(entry, ..)| *entry));
        for (entry, offset, end) in placed {
            self.tail.index.add(entry, offset, end);
        }
        self.tail.end = u64::from(start) + self.buffer.len() as u64;
        if self.buffer.capacity() > 16 << 20 {
            // One answer of many megabytes should not hold its memory for the rest of the run.
            self.buffer = Vec::new();
        }
        if self.tail.end >= self.options.segment_bytes {
            self.seal()?;
        }
        Ok(places)
    }

    fn tell<'e>(&self, entries: impl Iterator<Item = &'e Entry>) {
        let mut listener = self.gate.listener();
        let Some(tell) = listener.as_mut() else { return };
        // Who listens may fail; the journal goes on without.
        if catch_unwind(AssertUnwindSafe(|| entries.for_each(tell))).is_err() {
            *listener = None;
        }
    }

    /// Writes the index of the last segment and begins a new one. An empty segment is left open.
    fn seal(&mut self) -> io::Result<()> {
        if self.tail.end <= segment::FIRST_FRAME {
            return Ok(());
        }
        let path = segment::path_of(&self.folder, self.tail.number);
        self.tail.index.write(&*self.disk, &index::path_of(&path))?;
        let number = self.tail.number + 1;
        let next = segment::path_of(&self.folder, number);
        let file = segment::begin(&*self.disk, &next, number, self.tag)?;
        self.tail = Tail { file, number, end: segment::FIRST_FRAME, index: Index::default() };
        Ok(())
    }
}
