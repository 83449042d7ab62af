//! A part as text.

use std::{
    fs::File,
    io::{self, Read, Seek as _, SeekFrom},
};

use domain::ports::SourceError;
use encoding_rs::UTF_8;

use super::{
    Compression, Part, Place, cannot,
    encoding::{Transcoded, of_mark},
};

/// The byte order mark that some editors put before UTF-8.
pub(crate) const BOM: &[u8] = "\u{feff}".as_bytes();

/// A part that was opened, standing at an offset.
pub(crate) struct Opened {
    pub(crate) reader: Reader,
    /// The offset at which the text begins: behind a byte order mark that is not decoded away.
    pub(crate) text_start: u64,
    /// Where the reader stands.
    pub(crate) offset: u64,
    /// The byte before that, where there is one.
    pub(crate) before: Option<u8>,
}

/// The bytes of a part, decoded.
pub(crate) enum Reader {
    /// They lie in the file as they are.
    Plain(UpTo),
    /// They are unpacked or turned into UTF-8 on the way.
    Decoded {
        /// What was looked at already.
        ahead: Vec<u8>,
        /// The rest.
        rest: Box<dyn Read + Send>,
    },
}

impl Part {
    /// Opens the part where the text begins, or at `offset` if that is further. The offset counts decoded bytes.
    pub(crate) fn open(&self, offset: u64) -> Result<Opened, SourceError> {
        let broken = |error: io::Error| SourceError(cannot("read", &self.place, &error));
        let compression = self.compression();
        let mut head = self.unpacked(compression)?;
        let mut first = Vec::new();
        head.by_ref().take(4).read_to_end(&mut first).map_err(broken)?;
        let found = Compression::of_magic(&first);
        if compression == Compression::None && self.stored.compression.is_none() && found != Compression::None {
            let (name, word) = (&self.place.name, found.word());
            let message = format!("cannot read `{name}`: it is packed with {word}; say so with `compression: {word}`");
            return Err(SourceError(message));
        }
        if compression == Compression::None && first == b"PK\x03\x04" {
            let name = &self.place.name;
            let message = format!(
                "cannot read `{name}`: it is an Excel workbook, or another archive; a workbook is read with `excel:`"
            );
            return Err(SourceError(message));
        }
        // A mark is the file's own word on what it is.
        let encoding = of_mark(&first).or(self.stored.encoding).unwrap_or(UTF_8);
        let text_start = if encoding == UTF_8 && first.starts_with(BOM) { BOM.len() as u64 } else { 0 };
        let offset = offset.max(text_start);
        if compression == Compression::None && encoding == UTF_8 {
            return self.seek(text_start, offset);
        }
        let whole = io::Cursor::new(first).chain(head);
        let mut rest: Box<dyn Read + Send> =
            if encoding == UTF_8 { Box::new(whole) } else { Box::new(Transcoded::new(whole, encoding)) };
        let before = pass_over(&mut rest, offset).map_err(broken)?;
        let before = before.ok_or_else(|| {
            SourceError(format!("`{}` became shorter: it has less than {offset} bytes of text", self.place.name))
        })?;
        Ok(Opened { reader: Reader::Decoded { ahead: Vec::new(), rest }, text_start, offset, before })
    }

    /// Returns the length of the text, decoded, with a byte order mark that stays.
    pub(crate) fn text_length(&self) -> Result<u64, SourceError> {
        let Opened { reader, offset, .. } = self.open(0)?;
        match reader {
            Reader::Plain(_) => Ok(self.length),
            Reader::Decoded { mut rest, .. } => match io::copy(&mut rest, &mut io::sink()) {
                Ok(n) => Ok(offset + n),
                Err(error) => Err(SourceError(cannot("read", &self.place, &error))),
            },
        }
    }

    /// Returns whether its bytes are declared to lie in the file as they are.
    pub(crate) fn is_plain(&self) -> bool {
        let is_utf8 = self.stored.encoding.is_none_or(|encoding| encoding == UTF_8);
        is_utf8 && self.compression() == Compression::None
    }

    fn seek(&self, text_start: u64, offset: u64) -> Result<Opened, SourceError> {
        let broken = |error: io::Error| SourceError(cannot("read", &self.place, &error));
        let mut file = self.file()?;
        let length = file.metadata().map_err(broken)?.len();
        // A mark is longer than an empty file that has none.
        let needed = self.length.max(if offset > text_start { offset } else { 0 });
        if needed > length {
            let name = &self.place.name;
            return Err(SourceError(format!(
                "`{name}` became shorter while the run was going: it has {length} bytes, and {needed} were there"
            )));
        }
        let mut before = [0];
        if offset > 0 {
            file.seek(SeekFrom::Start(offset - 1)).and_then(|_| file.read_exact(&mut before)).map_err(broken)?;
        }
        let reader = Reader::Plain(UpTo { file, left: self.length.saturating_sub(offset) });
        Ok(Opened { reader, text_start, offset, before: (offset > 0).then_some(before[0]) })
    }

    fn unpacked(&self, compression: Compression) -> Result<Box<dyn Read + Send>, SourceError> {
        let file = UpTo { file: self.file()?, left: self.length };
        compression.unpack(file).map_err(|error| SourceError(cannot("read", &self.place, &error)))
    }
}

/// Reads `n` bytes and forgets them, but for the last one. Nothing where there are not so many.
fn pass_over(reader: &mut dyn Read, n: u64) -> io::Result<Option<Option<u8>>> {
    let (mut block, mut left, mut last) = (vec![0; 1 << 16], n, None);
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(block.len()).min(block.len());
        match reader.read(&mut block[..wanted]) {
            Ok(0) => return Ok(None),
            Ok(n) => {
                last = Some(block[n - 1]);
                left -= n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(last))
}

impl Reader {
    /// Reads what `inner` yields behind its first `offset` bytes, of the file at `place`.
    pub(crate) fn from_offset(
        mut inner: Box<dyn Read + Send>,
        offset: u64,
        place: &Place,
    ) -> Result<Self, SourceError> {
        let passed = pass_over(&mut inner, offset).map_err(|error| SourceError(cannot("read", place, &error)))?;
        if passed.is_none() {
            return Err(SourceError(format!(
                "`{}` became shorter: it has less than {offset} bytes of text",
                place.name
            )));
        }
        Ok(Self::Decoded { ahead: Vec::new(), rest: inner })
    }

    /// Returns up to `n` of the next bytes, which stay to be read.
    pub(crate) fn peek(&mut self, n: u64) -> io::Result<Vec<u8>> {
        let mut next = Vec::new();
        match self {
            Self::Plain(up_to) => {
                let n_read = up_to.by_ref().take(n).read_to_end(&mut next)?;
                let back = i64::try_from(n_read).map_err(io::Error::other)?;
                up_to.file.seek(SeekFrom::Current(-back))?;
                up_to.left += n_read as u64;
            }
            Self::Decoded { ahead, rest } => {
                let missing = n.saturating_sub(ahead.len() as u64);
                rest.take(missing).read_to_end(ahead)?;
                next.extend_from_slice(&ahead[..ahead.len().min(usize::try_from(n).unwrap_or(usize::MAX))]);
            }
        }
        Ok(next)
    }

    /// Reads the next block of at most `size` bytes; an empty one is the end.
    pub(crate) fn block(&mut self, size: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(up_to) => {
                let left = usize::try_from(up_to.left).unwrap_or(size);
                let mut block = vec![0; left.min(size)];
                let n = loop {
                    match up_to.read(&mut block) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        read => break read?,
                    }
                };
                block.truncate(n);
                Ok(block)
            }
            Self::Decoded { ahead, rest } => {
                let mut block = std::mem::take(ahead);
                let missing = size.saturating_sub(block.len()) as u64;
                block.reserve_exact(usize::try_from(missing).unwrap_or(0));
                // Decoders give a little at a time; records are slices of whole blocks.
                rest.take(missing).read_to_end(&mut block)?;
                Ok(block)
            }
        }
    }
}

/// A file up to the length that it had. That it ends earlier is an error, not an end.
pub(crate) struct UpTo {
    file: File,
    left: u64,
}

impl Read for UpTo {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(bytes.len()).min(bytes.len());
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.file.read(&mut bytes[..wanted])?;
        if n == 0 {
            return Err(io::Error::other("the file became shorter while it was being read"));
        }
        self.left -= n as u64;
        Ok(n)
    }
}
