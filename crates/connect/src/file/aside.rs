//! A file that is written under another name, and gets its own when it is whole.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    sync::{Arc, Mutex, PoisonError},
};

use domain::ports::{Artefact, SinkError};
use encoding_rs::Encoding;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::{Compression, Place, cannot_sink, encoding::Written, sync_folder};

/// Something that takes what a file would have held, such as standard output.
pub type Stream = Arc<Mutex<dyn Write + Send>>;

/// A file being written. Dropped before it is published, it leaves nothing behind.
pub(crate) struct Aside {
    /// Where it will be, through a symbolic link if the user made the output one.
    target: Place,
    aside: Place,
    run: String,
    /// Where the content goes in place of `target`.
    stream: Option<Stream>,
    file: Option<BufWriter<Packed>>,
    written: Option<Written>,
    encoded: Vec<u8>,
    n_records: u64,
    is_published: bool,
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AsideError {
    /// A character has no place in the encoding.
    #[error(
        "the character `{character}` does not exist in {encoding}; choose another `encoding`, such as gb18030 or utf-8"
    )]
    Unmappable {
        /// The character.
        character: char,
        /// The encoding.
        encoding: &'static str,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl Aside {
    /// Begins a file of plain UTF-8 at `place` for the run `run`, which is a part of its passing name.
    pub(crate) fn create(place: &Place, run: &str) -> Result<Self, SinkError> {
        let target = Place {
            path: fs::canonicalize(&place.path).unwrap_or_else(|_| place.path.clone()),
            name: place.name.clone(),
        };
        let name = target.path.file_name().unwrap_or_default().to_string_lossy();
        let aside = Place { path: target.path.with_file_name(format!(".{name}.{run}.tmp")), name: place.name.clone() };
        let file = File::create(&aside.path).map_err(|error| cannot_sink("write", &aside, &error))?;
        let packed = Packed::None(Hashed { file, hash: Sha256::new(), length: 0 });
        Ok(Self {
            target,
            aside,
            run: run.to_owned(),
            stream: None,
            file: Some(BufWriter::with_capacity(1 << 18, packed)),
            written: None,
            encoded: Vec::new(),
            n_records: 0,
            is_published: false,
        })
    }

    /// Begins the file that this one goes on in: `out/a.xlsx` in `out/a-2.xlsx`.
    pub(crate) fn further(&self, number: usize) -> Result<Self, SinkError> {
        let ending = self.target.path.extension().unwrap_or_default().to_string_lossy();
        Self::create(&self.target.beside(&format!("-{number}.{ending}")), &self.run)
    }

    /// Makes the content be packed and encoded; only before anything is written.
    pub(crate) fn stored(mut self, compression: Compression, encoding: &'static Encoding) -> Result<Self, SinkError> {
        let broken = |error| cannot_sink("write", &self.aside, &error);
        if let Some(file) = self.file.take() {
            let packed = file.into_inner().map_err(|error| broken(error.into_error()))?;
            let packed = packed.packed(compression).map_err(broken)?;
            self.file = Some(BufWriter::with_capacity(1 << 18, packed));
        }
        self.written = Written::new(encoding);
        if let Some(mark) = self.written.as_ref().map(Written::mark) {
            self.raw(mark)?;
        }
        Ok(self)
    }

    /// Makes the content go to `stream` when it is published, and the file away.
    pub(crate) fn to(mut self, stream: Option<Stream>) -> Self {
        self.stream = stream;
        self
    }

    /// Adds text as it is. `text` is UTF-8.
    pub(crate) fn add(&mut self, text: &[u8]) -> Result<(), AsideError> {
        self.encode(text, None)
    }

    /// Adds JSON text. A character that the encoding does not have is written with its number, which JSON can say.
    pub(crate) fn add_json(&mut self, text: &[u8]) -> Result<(), AsideError> {
        self.encode(text, Some(escape))
    }

    /// Adds bytes that are no text.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.raw(bytes)
    }

    /// Counts what was added as one more record.
    pub(crate) fn count_record(&mut self) {
        self.n_records += 1;
    }

    /// Counts anew: so many of the records are in this file.
    pub(crate) fn recount(&mut self, n: u64) {
        self.n_records = n;
    }

    /// Returns how many records were counted.
    pub(crate) fn n_records(&self) -> u64 {
        self.n_records
    }

    /// Returns what the user calls the file.
    pub(crate) fn name(&self) -> &str {
        &self.target.name
    }

    /// Returns the file that stands for this one while it is written.
    pub(crate) fn place(&self) -> &Place {
        &self.aside
    }

    fn encode(&mut self, text: &[u8], escape: Option<fn(char) -> String>) -> Result<(), AsideError> {
        let Some(written) = &self.written else { return Ok(self.raw(text)?) };
        let text = str::from_utf8(text).map_err(|error| SinkError::new(format!("the record is not text: {error}")))?;
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        let mut at = 0;
        while let Err((character, n)) = written.encode(&text[at..], &mut encoded) {
            let Some(escape) = escape else {
                return Err(AsideError::Unmappable { character, encoding: written.name() });
            };
            // The number is ASCII, which every encoding has.
            let _ = written.encode(&escape(character), &mut encoded);
            at += n;
        }
        let done = self.raw(&encoded);
        self.encoded = encoded;
        Ok(done?)
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let aside = &self.aside;
        let Some(file) = &mut self.file else {
            return Err(SinkError::new(format!("`{}` was written after it was closed", aside.name)));
        };
        file.write_all(bytes).map_err(|error| cannot_sink("write", aside, &error))
    }

    /// Makes the content durable under its passing name.
    pub(crate) fn close(&mut self) -> Result<Artefact, SinkError> {
        let broken = |error| cannot_sink("write", &self.aside, &error);
        let Some(file) = self.file.take() else {
            return Err(SinkError::new(format!("`{}` was closed twice", self.aside.name)));
        };
        let packed = file.into_inner().map_err(|error| broken(error.into_error()))?;
        let Hashed { file, mut hash, length } = packed.finish().map_err(broken)?;
        // What the user allowed or forbade on the file that is replaced holds for the new one.
        if let (None, Ok(old)) = (&self.stream, fs::metadata(&self.target.path)) {
            file.set_permissions(old.permissions()).map_err(broken)?;
        }
        file.sync_all().map_err(broken)?;
        let sha256 = hash.finalize_reset().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Artefact { path: self.target.name.clone(), records: self.n_records, bytes: length, sha256 })
    }

    /// Puts the file in place, or sends it where it was to go.
    pub(crate) fn publish(&mut self) -> Result<(), SinkError> {
        if let Some(stream) = self.stream.take() {
            return self.send(&stream);
        }
        let broken = |error| cannot_sink("put in place", &self.target, &error);
        fs::rename(&self.aside.path, &self.target.path).map_err(broken)?;
        self.is_published = true;
        sync_folder(self.target.folder()).map_err(broken)
    }

    /// Copies the content to `stream`. That nobody reads it to the end is the reader's own wish, and no error.
    fn send(&self, stream: &Stream) -> Result<(), SinkError> {
        let mut file = File::open(&self.aside.path).map_err(|error| cannot_sink("read", &self.aside, &error))?;
        let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        match io::copy(&mut file, &mut *stream).and_then(|_| stream.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_sink("write", &self.target, &error)),
            _ => Ok(()),
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.is_published {
            // Nothing can be done about a failure here; the next merge of the run writes over the file.
            let _ = fs::remove_file(&self.aside.path);
        }
    }
}

/// Writes a character as JSON does where it must not stand itself.
fn escape(character: char) -> String {
    let mut units = [0; 2];
    character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// A file that is packed on the way.
enum Packed {
    None(Hashed),
    Gzip(GzEncoder<Hashed>),
    Zstd(zstd::stream::write::Encoder<'static, Hashed>),
}

impl Packed {
    fn packed(self, compression: Compression) -> io::Result<Self> {
        let Self::None(file) = self else { return Ok(self) };
        Ok(match compression {
            Compression::None => Self::None(file),
            Compression::Gzip => Self::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            // 3 is the level that zstd itself takes where none is given.
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(file, 3)?),
        })
    }

    fn finish(self) -> io::Result<Hashed> {
        match self {
            Self::None(file) => Ok(file),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Packed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(file) => file.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(file) => file.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// A file that knows the hash and the length of what was written.
struct Hashed {
    file: File,
    hash: Sha256,
    length: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
