//! Notices that files change.
//!
//! Folders are watched, not files: editors and deployments put a new file in the place of the old one. A Kubernetes volume
//! changes a link beside the file, which is why names that begin with `..` count as well. Where the system has no such
//! means, nothing is noticed, and SIGHUP is the way.

use std::path::{Path, PathBuf};

/// Notices changes of some files.
pub(super) struct Watch {
    #[cfg(target_os = "linux")]
    events: Option<linux::Events>,
}

impl Watch {
    /// Watches `files`. It is made where a runtime is entered.
    pub(super) fn new(files: &[PathBuf]) -> Self {
        #[cfg(target_os = "linux")]
        let watch = Self { events: linux::Events::of(files).ok() };
        #[cfg(not(target_os = "linux"))]
        let watch = {
            let _ = files;
            Self {}
        };
        watch
    }

    /// Ends when one of the files may have changed, and they have been left alone for a moment since.
    pub(super) async fn changed(&self) {
        #[cfg(target_os = "linux")]
        if let Some(events) = &self.events
            && events.settled().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

/// Returns the folders in which a file is put in place: its own, and that to which a link leads.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nothing is watched there"))]
fn places(file: &Path) -> impl Iterator<Item = PathBuf> {
    [Some(file.to_owned()), file.canonicalize().ok()].into_iter().flatten()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        collections::{BTreeSet, HashSet},
        ffi::OsString,
        io,
        mem::MaybeUninit,
        os::{
            fd::OwnedFd,
            unix::ffi::{OsStrExt as _, OsStringExt as _},
        },
        path::{Path, PathBuf},
        time::Duration,
    };

    use rustix::{
        fs::inotify::{self, CreateFlags, Reader, WatchFlags},
        io::Errno,
    };
    use tokio::{
        io::unix::AsyncFd,
        time::{sleep, timeout},
    };

    /// Who writes a file often writes a second one right behind it.
    const QUIET: Duration = Duration::from_millis(100);
    /// However restless a folder is, it is looked at after so many changes.
    const RESTLESS: usize = 20;

    pub(super) struct Events {
        queue: AsyncFd<OwnedFd>,
        names: HashSet<OsString>,
    }

    impl Events {
        pub(super) fn of(files: &[PathBuf]) -> io::Result<Self> {
            let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            let (mut names, mut folders) = (HashSet::new(), BTreeSet::new());
            for place in files.iter().flat_map(|file| super::places(file)) {
                names.extend(place.file_name().map(ToOwned::to_owned));
                let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
                folders.insert(folder.unwrap_or(Path::new(".")).to_owned());
            }
            let what = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE;
            let n_watched = folders.iter().filter(|folder| inotify::add_watch(&queue, *folder, what).is_ok()).count();
            if n_watched == 0 {
                return Err(io::ErrorKind::NotFound.into());
            }
            #[expect(
                deprecated,
                reason = "the other way is unsafe; an `OwnedFd` is what it says for as long as it is here"
            )]
            let queue = AsyncFd::new(queue)?;
            Ok(Self { queue, names })
        }

        pub(super) async fn settled(&self) -> io::Result<()> {
            self.one().await?;
            for _ in 0..RESTLESS {
                sleep(QUIET).await;
                match timeout(Duration::ZERO, self.one()).await {
                    Ok(further) => further?,
                    Err(_) => break,
                }
            }
            Ok(())
        }

        /// Ends with a change of a file that is looked for.
        async fn one(&self) -> io::Result<()> {
            loop {
                let mut ready = self.queue.readable().await?;
                let mut room = [MaybeUninit::uninit(); 4_096];
                let mut events = Reader::new(self.queue.get_ref(), &mut room);
                let mut is_ours = false;
                loop {
                    match events.next() {
                        Ok(event) => {
                            let name = event.file_name().map(|name| OsString::from_vec(name.to_bytes().to_vec()));
                            // Without a name it is the folder itself, or more happened than the system could keep.
                            is_ours |= name
                                .is_none_or(|name| self.names.contains(&name) || name.as_bytes().starts_with(b".."));
                        }
                        Err(Errno::WOULDBLOCK) => break,
                        Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                ready.clear_ready();
                if is_ours {
                    return Ok(());
                }
            }
        }
    }
}
