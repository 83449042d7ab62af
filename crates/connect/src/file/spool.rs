//! What can be read once, made into what can be read again.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write as _},
};

use domain::ports::SourceError;

use super::{Place, cannot, sync_folder};

/// Copies all that `from` yields into the file at `to`, and returns its length in bytes.
///
/// A run that is gone on with reads its source again, which standard input cannot be. The copy is written aside, synced
/// and renamed: a file at `to` is whole, and half of one is never taken for it.
///
/// # Errors
/// Where it cannot be read or written.
pub fn spool(from: &mut dyn Read, to: &Place) -> Result<u64, SourceError> {
    let aside = to.beside(".spool.tmp");
    let copied = copy(from, &aside).and_then(|n| {
        fs::rename(&aside.path, &to.path)?;
        sync_folder(to.folder())?;
        Ok(n)
    });
    copied.map_err(|error| {
        // What was copied is of no use to anyone.
        let _ = fs::remove_file(&aside.path);
        SourceError(cannot("copy", to, &error))
    })
}

fn copy(from: &mut dyn Read, aside: &Place) -> io::Result<u64> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    // It lies among what is its owner's alone.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = BufWriter::with_capacity(1 << 18, options.open(&aside.path)?);
    let n = io::copy(from, &mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(n)
}
