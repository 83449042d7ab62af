//! Compressed bytes.

use std::{
    io::{self, BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the bytes of a file are packed. Told by the file's ending (`.gz`, `.zst`) unless declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all, whatever the file is called.
    None,
    /// gzip, of one member or several.
    Gzip,
    /// Zstandard, of one frame or several.
    Zstd,
}

impl Compression {
    /// Returns what a file is by its ending.
    #[must_use]
    pub fn of_ending(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Returns what bytes at the beginning of a file are the sign of.
    pub(super) fn of_magic(head: &[u8]) -> Self {
        if head.starts_with(&[0x1f, 0x8b, 0x08]) {
            Self::Gzip
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Self::Zstd
        } else {
            Self::None
        }
    }

    /// Returns the word that a pipeline file has for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Unpacks what `packed` yields. An end in the middle is an error and never taken for the end.
    pub(super) fn unpack<R: Read + Send + 'static>(self, packed: R) -> io::Result<Box<dyn Read + Send>> {
        const READ_AHEAD: usize = 1 << 17;
        let packed = BufReader::with_capacity(READ_AHEAD, packed);
        Ok(match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(Unpacked { inner: MultiGzDecoder::new(packed), compression: self }),
            Self::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                Box::new(Unpacked { inner: decoder, compression: self })
            }
        })
    }
}

/// A decoder whose errors say what happened to the file.
struct Unpacked<R> {
    inner: R,
    compression: Compression,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.read(bytes).map_err(|error| {
            let word = self.compression.word();
            match error.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::other(format!(
                    "its {word} data ends in the middle: the file was cut short, or is still being written"
                )),
                io::ErrorKind::Interrupted => error,
                // What the file itself was unable to do has a code of the system.
                _ if error.raw_os_error().is_some() => error,
                _ => io::Error::other(format!(
                    "its {word} data is damaged, or it is not {word} at all ({error}); `compression:` says what it is"
                )),
            }
        })
    }
}
