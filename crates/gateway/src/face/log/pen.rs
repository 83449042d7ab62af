//! Writing the lines down, wherever they go, and however full that is.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{atomic::Ordering, mpsc::Receiver},
    time::Duration,
};

use tokio::time::Instant;

use super::{LogTarget, LogTrouble, Shared};

/// How many bytes are gathered before they are written, while more wait.
const GATHERED: usize = 64 * 1024;
/// How often it is looked whether the file still is where it was.
const LOOK: Duration = Duration::from_secs(1);

/// What writes.
pub(super) struct Pen {
    path: Option<PathBuf>,
    /// Nothing where it could not be opened again.
    out: Option<Box<dyn Write + Send>>,
    /// Which file it is.
    identity: Option<(u64, u64)>,
    looked: Instant,
    /// Whether the last line is there in part.
    is_torn: bool,
    /// Whether the last lines were lost.
    is_losing: bool,
}

impl Pen {
    pub(super) fn new(target: LogTarget) -> io::Result<Self> {
        let mut pen =
            Self { path: None, out: None, identity: None, looked: Instant::now(), is_torn: false, is_losing: false };
        match target {
            LogTarget::Writer(out) => pen.out = Some(out),
            LogTarget::File(path) => {
                pen.path = Some(path);
                pen.reopen()?;
            }
        }
        Ok(pen)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        self.out = None;
        if let Some(folder) = path.parent() {
            // Where that fails, opening says more about it.
            let _ = std::fs::create_dir_all(folder);
        }
        let file: File = OpenOptions::new().create(true).append(true).open(path)?;
        let metadata = file.metadata()?;
        let identity = Some((metadata.dev(), metadata.ino()));
        self.is_torn &= identity == self.identity;
        self.identity = identity;
        self.out = Some(Box::new(file));
        Ok(())
    }

    fn was_moved(&mut self) -> bool {
        let Some(path) = &self.path else { return false };
        let now = Instant::now();
        if self.out.is_some() && now - self.looked < LOOK {
            return false;
        }
        self.looked = now;
        identity(path) != self.identity || self.out.is_none()
    }

    /// Writes until nobody can send any more.
    pub(super) fn write_all_of(&mut self, waiting: &Receiver<String>, shared: &Shared, trouble: &LogTrouble) {
        let mut gathered = String::new();
        while let Ok(line) = waiting.recv() {
            gathered.clear();
            gathered.push_str(&line);
            while let Some(line) = (gathered.len() < GATHERED).then(|| waiting.try_recv().ok()).flatten() {
                gathered.push_str(&line);
            }
            let reopened = if shared.must_reopen.swap(false, Ordering::Relaxed) || self.was_moved() {
                // Where it cannot be opened, these lines are lost, and the next ones try again.
                self.reopen()
            } else {
                Ok(())
            };
            let (n_lost, error) = self.write(&gathered);
            shared.n_dropped.fetch_add(n_lost, Ordering::Relaxed);
            let error = reopened.err().or(error);
            // Once and not with each line: they would drown everything else that is said.
            if error.is_some() != self.is_losing {
                self.is_losing = error.is_some();
                trouble(error.as_ref());
            }
        }
    }

    /// Writes lines; returns how many of them were lost, and why.
    fn write(&mut self, lines: &str) -> (u64, Option<io::Error>) {
        let Some(out) = &mut self.out else { return (n_lines(lines.as_bytes()), None) };
        let mut rest = lines.as_bytes();
        // What is left of a line that was cut by a full disk stays a line of its own.
        let ended = if self.is_torn { out.write_all(b"\n") } else { Ok(()) };
        self.is_torn &= ended.is_err();
        let mut error = ended.err();
        while error.is_none() && !rest.is_empty() {
            match out.write(rest) {
                Ok(0) => error = Some(io::ErrorKind::WriteZero.into()),
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => error = Some(e),
            }
        }
        let written = &lines.as_bytes()[..lines.len() - rest.len()];
        self.is_torn |= written.last().is_some_and(|byte| *byte != b'\n');
        (n_lines(rest), error.or_else(|| out.flush().err()))
    }
}

/// Each line has its end, so these are as many, the one among them that was begun included.
fn n_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc::sync_channel};

    use super::*;

    /// A disk with room for so many bytes.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (written, room) = &mut *self.0.lock().unwrap();
            let n = bytes.len().min(*room);
            if n == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            written.extend_from_slice(&bytes[..n]);
            *room -= n;
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_is_full_is_told_once_and_tears_no_line_but_one() {
        let disk = Disk(Arc::new(Mutex::new((Vec::new(), 9))));
        let mut pen = Pen::new(LogTarget::Writer(Box::new(disk.clone()))).unwrap();
        let (told, shared) = (Arc::new(Mutex::new(Vec::new())), Shared::default());
        let trouble: LogTrouble = {
            let told = Arc::clone(&told);
            Box::new(move |error| told.lock().unwrap().push(error.map(io::Error::kind)))
        };
        let mut write = |lines: &[&str]| {
            for line in lines {
                let (sender, waiting) = sync_channel(1);
                sender.send(format!("{line}\n")).unwrap();
                drop(sender);
                pen.write_all_of(&waiting, &shared, &trouble);
            }
        };
        write(&["first", "second", "third"]);
        disk.0.lock().unwrap().1 = 100;
        write(&["fourth", "fifth"]);
        assert_eq!(disk.0.lock().unwrap().0, b"first\nsec\nfourth\nfifth\n");
        assert_eq!(shared.n_dropped.load(Ordering::Relaxed), 2);
        assert_eq!(*told.lock().unwrap(), [Some(io::ErrorKind::StorageFull), None]);
    }
}
