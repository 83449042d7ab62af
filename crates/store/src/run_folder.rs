//! The folder of a run, and the lock that keeps two processes from working on it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

/// How often the lock is tried, and the pause between two tries.
const LOOKS: u32 = 20;
const A_LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// Why a run's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunFolderError {
    /// The file system says no.
    #[error("cannot {what} `{path}`: {reason}{}", advice(reason))]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The reason.
        reason: io::Error,
    },
    /// Someone else has it.
    #[error("the run `{id}` is being worked on by process {pid}; wait for it, or stop it first (its state is safe)")]
    Locked {
        /// The run.
        id: String,
        /// The process that holds the lock.
        pid: String,
    },
}

/// The folder of one run: `STATE/runs/ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

/// Whether somebody works on a run.
#[derive(Debug)]
pub enum Locked {
    /// We do now.
    ByUs(RunLock),
    /// Another process does; its number.
    ByOther(String),
}

/// The right to work on a run; held while this lives, and given up by the system when the process dies.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunFolder {
    /// Names the folder of run `id` below the state folder.
    #[must_use]
    pub fn new(state: &Path, id: &str) -> Self {
        Self { path: state.join("runs").join(id) }
    }

    /// Lists the runs below the state folder, by id; none where there is no such folder.
    ///
    /// # Errors
    /// As the file system says.
    pub fn list(state: &Path) -> Result<Vec<Self>, RunFolderError> {
        let runs = state.join("runs");
        let entries = match fs::read_dir(&runs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(reason) => return Err(RunFolderError::Io { what: "list", path: runs, reason }),
        };
        let mut folders: Vec<Self> = entries
            .filter_map(Result::ok)
            .map(|entry| Self { path: entry.path() })
            .filter(|folder| folder.path.join("manifest.json").is_file())
            .collect();
        folders.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(folders)
    }

    /// Creates the folder, readable by its owner only: prompts and answers are nobody else's business.
    ///
    /// # Errors
    /// As the file system says.
    pub fn create(&self) -> Result<(), RunFolderError> {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        created.map_err(|reason| RunFolderError::Io { what: "create", path: self.path.clone(), reason })
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the run's id.
    #[must_use]
    pub fn id(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Returns the folder of the journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// Takes the lock, or tells who has it.
    ///
    /// # Errors
    /// As the file system says.
    pub fn try_lock(&self) -> Result<Locked, RunFolderError> {
        let path = self.path.join("lock");
        let wrap = |reason| RunFolderError::Io { what: "lock", path: path.clone(), reason };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(wrap)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(wrap)?;
                return Ok(Locked::ByOther(pid.trim().to_owned()));
            }
            Err(error) => return Err(wrap(error.into())),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(wrap)?;
        Ok(Locked::ByUs(RunLock { _file: file }))
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// [`RunFolderError::Locked`] where another process has it.
    #[expect(clippy::disallowed_methods, reason = "a lock of the system that is waited for cannot be given up again")]
    pub fn lock(&self) -> Result<RunLock, RunFolderError> {
        let mut n_tries = 0;
        loop {
            match self.try_lock()? {
                Locked::ByUs(lock) => return Ok(lock),
                // Who only looks whether somebody works on the run has it for a moment.
                Locked::ByOther(_) if n_tries < LOOKS => {
                    n_tries += 1;
                    std::thread::sleep(A_LOOK);
                }
                Locked::ByOther(pid) => return Err(RunFolderError::Locked { id: self.id(), pid }),
            }
        }
    }

    /// Writes a small file of the run atomically.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), RunFolderError> {
        let path = self.path.join(name);
        replace(&path, content).map_err(|reason| RunFolderError::Io { what: "write", path, reason })
    }

    /// Reads a small file of the run; `None` where there is none.
    ///
    /// # Errors
    /// As the file system says.
    pub fn read(&self, name: &str) -> Result<Option<String>, RunFolderError> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(reason) => Err(RunFolderError::Io { what: "read", path, reason }),
        }
    }

    /// Returns how many bytes the run takes on disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        [self.path.clone(), self.journal()]
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flatten()
            .filter_map(Result::ok)
            .filter_map(|entry| entry.metadata().ok())
            .filter(fs::Metadata::is_file)
            .map(|metadata| metadata.len())
            .sum()
    }

    /// Removes the run with all that Tidemill keeps of it. Outputs lie elsewhere and stay.
    ///
    /// # Errors
    /// As the file system says, or where another process works on it.
    pub fn remove(&self) -> Result<(), RunFolderError> {
        let _lock = self.lock()?;
        let removed = fs::remove_dir_all(&self.path);
        removed.map_err(|reason| RunFolderError::Io { what: "remove", path: self.path.clone(), reason })
    }
}

/// Returns what to do about an error of the file system below the state folder, to be put behind it.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space and run the same command again: everything acknowledged is safe"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; make the folder writable, or choose another one with --state"
        }
        _ => "",
    }
}

/// Replaces a file: writes aside, syncs, renames, syncs the folder.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_holders_of_one_run_are_one_too_many() {
        let state = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(state.path(), "r1");
        folder.create().unwrap();
        let lock = folder.lock().unwrap();
        let error = folder.lock().unwrap_err().to_string();
        assert!(error.contains("`r1`") && error.contains(&std::process::id().to_string()), "{error}");
        drop(lock);
        folder.lock().unwrap();
    }

    #[test]
    fn who_only_looks_whether_somebody_works_on_a_run_stops_nobody() {
        let state = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(state.path(), "r1");
        folder.create().unwrap();
        let looked = folder.try_lock().unwrap();
        let (ready, go) = std::sync::mpsc::sync_channel(0);
        let looker = std::thread::spawn(move || {
            ready.send(()).unwrap();
            // As long as a look may take on a machine that is busy.
            let until = std::time::Instant::now() + A_LOOK;
            while std::time::Instant::now() < until {
                std::thread::yield_now();
            }
            drop(looked);
        });
        go.recv().unwrap();
        folder.lock().unwrap();
        looker.join().unwrap();
    }
}
