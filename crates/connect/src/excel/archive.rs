//! An archive on its way out.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _, Seek, SeekFrom, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use zip::{CompressionMethod, ZipWriter, read::ZipFile, result::ZipResult, write::SimpleFileOptions};

use crate::{
    Place,
    file::{Aside, cannot_sink},
    table::PenError,
};

/// How much is copied at once.
const BLOCK: usize = 64 << 10;
/// From here on a part needs larger numbers for its length.
const LARGE: u64 = 3 << 30;
/// How hard parts are packed: as Excel does it. Twice the time would make them a few per cent smaller.
const LEVEL: i64 = 3;

/// An archive that is written beside the output, since its parts tell in front of themselves how long they are. Dropped
/// before its end, it leaves nothing behind.
pub(super) struct Archive {
    zip: Option<ZipWriter<Spool>>,
    place: Place,
    is_given_up: Arc<AtomicBool>,
}

impl Archive {
    /// Begins the archive that `out` will be.
    pub(super) fn begin(out: &Aside) -> Result<Self, PenError> {
        let place = Place { path: out.place().path.with_extension("zip"), name: out.place().name.clone() };
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&place.path);
        let file = BufWriter::with_capacity(1 << 18, file.map_err(|error| cannot_sink("write", &place, &error))?);
        let is_given_up = Arc::new(AtomicBool::new(false));
        let zip = ZipWriter::new(Spool { file, is_given_up: Arc::clone(&is_given_up), at: 0, length: 0 });
        Ok(Self { zip: Some(zip), place, is_given_up })
    }

    /// Begins a part that may become so many bytes long.
    pub(super) fn part(&mut self, name: &str, n_bytes: u64) -> Result<(), PenError> {
        let packed = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        let options = packed.compression_level(Some(LEVEL)).large_file(n_bytes > LARGE);
        self.with(|zip| zip.start_file(name, options))
    }

    /// Adds to the part that was begun.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), PenError> {
        self.with(|zip| Ok(zip.write_all(bytes)?))
    }

    /// Adds a part of another archive, packed as it is.
    pub(super) fn copy<R: io::Read>(&mut self, part: ZipFile<'_, R>) -> Result<(), PenError> {
        self.with(|zip| zip.raw_copy_file(part))
    }

    fn with(&mut self, what: impl FnOnce(&mut ZipWriter<Spool>) -> ZipResult<()>) -> Result<(), PenError> {
        let Some(zip) = &mut self.zip else { return Ok(()) };
        what(zip).map_err(|error| cannot_sink("write", &self.place, &error.into()).into())
    }

    /// Ends the archive, and hands all of it to `out`.
    pub(super) fn end(&mut self, out: &mut Aside) -> Result<(), PenError> {
        let broken = |error: io::Error| PenError::from(cannot_sink("write", &self.place, &error));
        let Some(zip) = self.zip.take() else { return Ok(()) };
        let Spool { file, .. } = zip.finish().map_err(|error| broken(error.into()))?;
        let mut file = file.into_inner().map_err(|error| broken(error.into_error()))?;
        let broken = |error: io::Error| PenError::from(cannot_sink("read", &self.place, &error));
        file.seek(SeekFrom::Start(0)).map_err(broken)?;
        let mut block = vec![0; BLOCK];
        loop {
            let n = file.read(&mut block).map_err(broken)?;
            if n == 0 {
                return Ok(());
            }
            out.add_bytes(&block[..n])?;
        }
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        // The library ends what was not ended, and says on standard error that it cannot: on a full disk it would.
        self.is_given_up.store(true, Ordering::Relaxed);
        self.zip = None;
        // Nothing can be done about a failure here; the next merge of the run writes over the file.
        let _ = fs::remove_file(&self.place.path);
    }
}

/// The file of an archive. Once it is given up nothing reaches it any more, and all seems well.
struct Spool {
    file: BufWriter<File>,
    is_given_up: Arc<AtomicBool>,
    /// Where it stands.
    at: u64,
    /// How long it is.
    length: u64,
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = if self.is_given_up.load(Ordering::Relaxed) { bytes.len() } else { self.file.write(bytes)? };
        self.at += n as u64;
        self.length = self.length.max(self.at);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_given_up.load(Ordering::Relaxed) { Ok(()) } else { self.file.flush() }
    }
}

impl Seek for Spool {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = if self.is_given_up.load(Ordering::Relaxed) {
            match to {
                SeekFrom::Start(at) => at,
                SeekFrom::End(by) => self.length.saturating_add_signed(by),
                SeekFrom::Current(by) => self.at.saturating_add_signed(by),
            }
        } else {
            self.file.seek(to)?
        };
        Ok(self.at)
    }
}
