//! Where the socket lies, however deep that is.

use std::{
    io,
    os::{
        fd::AsRawFd as _,
        unix::{ffi::OsStrExt as _, net::SocketAddr},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

/// The socket's name in the run's folder.
const NAME: &str = "control.sock";

/// Calls `with` with a path of the socket in `folder` that fits into a socket's address.
///
/// An address holds some hundred bytes, and folders may be deeper than that. Then the path goes through a descriptor of
/// the folder.
///
/// # Errors
/// As `with` says, or where no path is short enough.
pub(super) fn at<T>(folder: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = folder.join(NAME);
    if SocketAddr::from_pathname(&path).is_ok() {
        return with(&path);
    }
    if let Some(path) = from_here(&path).filter(|path| SocketAddr::from_pathname(path).is_ok()) {
        return with(&path);
    }
    let descriptor = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let through = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    if !through.exists() {
        let length = path.as_os_str().as_bytes().len();
        let message =
            format!("its path is too long for a socket ({length} bytes): name a state folder nearer to the root");
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, message));
    }
    // The descriptor lives until `with` is done.
    with(&through.join(NAME))
}

/// The path as it is reached from the working folder.
fn from_here(path: &Path) -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    path.strip_prefix(here).ok().map(Path::to_path_buf)
}
