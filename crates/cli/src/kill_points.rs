//! Where tests kill the real binary. Debug builds only: a release does not have this module.
//!
//! `TIDEMILL_KILL=before_write:7` kills the process with SIGKILL before the seventh write of a journal segment;
//! `before_sync` counts its syncs, `before_projection` the batches that reach the sink, `behind_outputs` the outputs that
//! are in place.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{
    Outcome, Record,
    ports::{Artefact, Disk, DiskFile, Merge, Projection, Rejected, Sink, SinkError},
};
use serde_json::value::RawValue;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Write,
    Sync,
    Projection,
    Outputs,
}

#[derive(Clone, Debug)]
struct Trap {
    point: Point,
    at: u64,
    seen: Arc<AtomicU64>,
}

impl Trap {
    #[expect(clippy::disallowed_methods, reason = "a hook for tests, in debug builds only")]
    fn set() -> Option<Self> {
        let text = std::env::var("TIDEMILL_KILL").ok()?;
        let (point, at) = text.split_once(':')?;
        let point = match point {
            "before_write" => Point::Write,
            "before_sync" => Point::Sync,
            "before_projection" => Point::Projection,
            "behind_outputs" => Point::Outputs,
            _ => return None,
        };
        Some(Self { point, at: at.parse().ok()?, seen: Arc::default() })
    }

    fn pass(&self, point: Point) {
        if point == self.point && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            // Nothing runs after this: no destructor, no flush.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

/// Puts the trap under the journal.
pub(crate) fn disk(inner: Arc<dyn Disk>) -> Arc<dyn Disk> {
    match Trap::set() {
        Some(trap) => Arc::new(TrapDisk { inner, trap }),
        None => inner,
    }
}

/// Puts the trap before the sink.
pub(crate) fn sink(inner: Box<dyn Sink>) -> Box<dyn Sink> {
    match Trap::set() {
        Some(trap) => Box::new(TrapSink { inner, trap }),
        None => inner,
    }
}

#[derive(Debug)]
struct TrapDisk {
    inner: Arc<dyn Disk>,
    trap: Trap,
}

impl Disk for TrapDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = self.inner.open(path, create)?;
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        Ok(if is_segment { Box::new(TrapFile { inner: file, trap: self.trap.clone() }) } else { file })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.inner.list(folder)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.inner.create_folder(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.inner.sync_folder(folder)
    }
}

#[derive(Debug)]
struct TrapFile {
    inner: Box<dyn DiskFile>,
    trap: Trap,
}

impl DiskFile for TrapFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.trap.pass(Point::Write);
        self.inner.write_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.inner.cut(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.trap.pass(Point::Sync);
        self.inner.sync()
    }
}

struct TrapSink {
    inner: Box<dyn Sink>,
    trap: Trap,
}

impl Sink for TrapSink {
    fn prepare(&mut self) -> Result<(), SinkError> {
        self.inner.prepare()
    }

    fn open(&mut self, is_new: bool) -> Result<(), SinkError> {
        self.inner.open(is_new)
    }

    fn project(&mut self, settled: &[Projection]) -> Result<(), SinkError> {
        self.trap.pass(Point::Projection);
        self.inner.project(settled)
    }

    fn held_back(&self) -> Option<String> {
        self.inner.held_back()
    }

    fn restore(&mut self, record: &Record) -> Result<Option<Box<RawValue>>, SinkError> {
        self.inner.restore(record)
    }

    fn merge(&mut self) -> Result<Box<dyn Merge>, SinkError> {
        Ok(Box::new(TrapMerge { inner: self.inner.merge()?, trap: self.trap.clone() }))
    }
}

struct TrapMerge {
    inner: Box<dyn Merge>,
    trap: Trap,
}

impl Merge for TrapMerge {
    fn write(&mut self, record: &Record, outcome: &Outcome) -> Result<(), SinkError> {
        self.inner.write(record, outcome)
    }

    fn settle(&mut self) -> Result<Vec<Rejected>, SinkError> {
        self.inner.settle()
    }

    fn may_pass(&self) -> bool {
        self.inner.may_pass()
    }

    fn finish(self: Box<Self>) -> Result<Vec<Artefact>, SinkError> {
        let artefacts = self.inner.finish()?;
        self.trap.pass(Point::Outputs);
        Ok(artefacts)
    }
}
