//! The texts that cells share: `sharedStrings.xml`, made ready to be looked up.
//!
//! A workbook keeps each different text once and cells hold its number. A million rows may have millions of them. Those of
//! a small workbook are kept in memory; of a great one they go to a file without a name, which the system removes with the
//! last who has it open, and are read again a page at a time: texts stand in the order in which rows first have them.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write as _},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use super::text::{Kind, Tag, push_json_rich};

/// How long the texts may be together to be kept in memory.
const IN_MEMORY: usize = 8 << 20;
/// How much of a file is read at once.
const PAGE: usize = 64 << 10;
/// How many pages a reader keeps.
const N_PAGES: usize = 64;
/// The length of a number in a file.
const NUMBER: u64 = 8;
/// How much of the XML is read at once.
const BLOCK: usize = 64 << 10;
/// The longest text with all its pieces.
const LONGEST: usize = 64 << 20;

/// The texts, each as a JSON string.
#[derive(Clone, Debug)]
pub(super) struct Strings(Arc<Kept>);

#[derive(Debug)]
enum Kept {
    Memory {
        texts: Vec<u8>,
        /// Where each of them ends.
        ends: Vec<u32>,
    },
    Files {
        texts: File,
        ends: File,
        n: u64,
    },
}

/// Why they cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum StringsError {
    /// The workbook cannot be read.
    #[error(transparent)]
    Read(io::Error),
    /// There is no room for them.
    #[error(
        "the texts of a great workbook go to the folder for temporary files, which cannot be written: {0}; name another one with TMPDIR"
    )]
    Spool(io::Error),
    /// They are none.
    #[error("the texts that its cells share are damaged")]
    Damaged,
}

impl Strings {
    /// Those of a workbook that has none.
    pub(super) fn none() -> Self {
        Self(Arc::new(Kept::Memory { texts: Vec::new(), ends: Vec::new() }))
    }

    /// Reads `sharedStrings.xml`.
    pub(super) fn of(mut xml: impl Read) -> Result<Self, StringsError> {
        let mut making = Making::default();
        let mut held = Vec::new();
        loop {
            // As much again as is held of a text that goes on, so that it is not looked through for its end time and again.
            let wanted = BLOCK.max(held.len()) as u64;
            let n = xml.by_ref().take(wanted).read_to_end(&mut held).map_err(StringsError::Read)?;
            let used = making.take(&held)?;
            held.drain(..used);
            if n == 0 {
                // What is left are the last tags.
                return making.end();
            }
            if held.len() > LONGEST {
                return Err(StringsError::Damaged);
            }
        }
    }

    /// Returns what looks texts up.
    pub(super) fn reader(&self) -> StringsReader {
        StringsReader { strings: self.clone(), pages: [Pages::default(), Pages::default()], number: Vec::new() }
    }
}

/// Texts that are being gathered.
#[derive(Default)]
struct Making {
    texts: Vec<u8>,
    ends: Vec<u32>,
    files: Option<Spool>,
    text: Vec<u8>,
}

struct Spool {
    texts: BufWriter<File>,
    ends: BufWriter<File>,
    n: u64,
    length: u64,
}

impl Making {
    /// Takes the texts that are whole; returns how much of `xml` that was.
    fn take(&mut self, xml: &[u8]) -> Result<usize, StringsError> {
        let mut at = 0;
        loop {
            let Some(found) = memchr::memchr(b'<', &xml[at..]) else { return Ok(at) };
            let Some(tag) = Tag::at(xml, at + found) else { return Ok(at + found) };
            match (tag.name, tag.kind) {
                (b"si", Kind::Empty) => self.add(b"")?,
                (b"si", Kind::Open) => {
                    let Some((inner, end)) = element(xml, tag.end) else { return Ok(at + found) };
                    self.add(inner)?;
                    at = end;
                    continue;
                }
                _ => {}
            }
            at = tag.end;
        }
    }

    fn add(&mut self, inner: &[u8]) -> Result<(), StringsError> {
        self.text.clear();
        push_json_rich(inner, &mut self.text);
        if str::from_utf8(&self.text).is_err() {
            return Err(StringsError::Damaged);
        }
        if let Some(spool) = &mut self.files {
            return spool.add(&self.text).map_err(StringsError::Spool);
        }
        self.texts.extend_from_slice(&self.text);
        self.ends.push(u32::try_from(self.texts.len()).map_err(|_| StringsError::Damaged)?);
        if self.texts.len() > IN_MEMORY {
            let texts = std::mem::take(&mut self.texts);
            self.files = Some(Spool::of(&texts, &std::mem::take(&mut self.ends)).map_err(StringsError::Spool)?);
        }
        Ok(())
    }

    fn end(self) -> Result<Strings, StringsError> {
        let into_file = |writer: BufWriter<File>| writer.into_inner().map_err(|e| StringsError::Spool(e.into_error()));
        let kept = match self.files {
            None => Kept::Memory { texts: self.texts, ends: self.ends },
            Some(Spool { texts, ends, n, .. }) => Kept::Files { texts: into_file(texts)?, ends: into_file(ends)?, n },
        };
        Ok(Strings(Arc::new(kept)))
    }
}

/// Returns the inside of the element `si` that was opened before `from`, and where the element ends.
fn element(xml: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let mut at = from;
    loop {
        let begin = at + memchr::memchr(b'<', &xml[at..])?;
        let tag = Tag::at(xml, begin)?;
        if tag.name == b"si" {
            return Some((&xml[from..begin], tag.end));
        }
        at = tag.end;
    }
}

impl Spool {
    fn of(texts: &[u8], ends: &[u32]) -> io::Result<Self> {
        let file = || tempfile::tempfile().map(|file| BufWriter::with_capacity(1 << 18, file));
        let mut spool = Self { texts: file()?, ends: file()?, n: ends.len() as u64, length: texts.len() as u64 };
        spool.texts.write_all(texts)?;
        ends.iter().try_for_each(|end| spool.ends.write_all(&u64::from(*end).to_le_bytes()))?;
        Ok(spool)
    }

    fn add(&mut self, text: &[u8]) -> io::Result<()> {
        self.n += 1;
        self.length += text.len() as u64;
        self.texts.write_all(text)?;
        self.ends.write_all(&self.length.to_le_bytes())
    }
}

/// Looks texts up.
#[derive(Debug)]
pub(super) struct StringsReader {
    strings: Strings,
    /// Those of the ends and those of the texts.
    pages: [Pages; 2],
    /// A number as it stands in the file of the ends.
    number: Vec<u8>,
}

/// What came of looking a text up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    Found,
    Missing,
    TooLong,
}

impl StringsReader {
    /// Appends a text as a JSON string, unless there is none of that number, or it has more than `most` bytes.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn push(&mut self, number: u64, most: u64, out: &mut Vec<u8>) -> io::Result<Looked> {
        match &*self.strings.0 {
            Kept::Memory { texts, ends } => {
                let Some(index) = usize::try_from(number).ok().filter(|index| *index < ends.len()) else {
                    return Ok(Looked::Missing);
                };
                let from = if index == 0 { 0 } else { ends[index - 1] };
                if u64::from(ends[index] - from) > most {
                    return Ok(Looked::TooLong);
                }
                out.extend_from_slice(&texts[from as usize..ends[index] as usize]);
            }
            Kept::Files { texts, ends, n } => {
                if number >= *n {
                    return Ok(Looked::Missing);
                }
                let [end_pages, text_pages] = &mut self.pages;
                let mut end_of = |index: u64| {
                    self.number.clear();
                    end_pages.push(ends, index * NUMBER, NUMBER, &mut self.number)?;
                    Ok::<u64, io::Error>(self.number[..].try_into().map_or(0, u64::from_le_bytes))
                };
                let from = if number == 0 { 0 } else { end_of(number - 1)? };
                let length = end_of(number)?.saturating_sub(from);
                if length > most {
                    return Ok(Looked::TooLong);
                }
                text_pages.push(texts, from, length, out)?;
            }
        }
        Ok(Looked::Found)
    }
}

/// Pages of a file that were read last, each at the place that its number gives.
#[derive(Debug, Default)]
struct Pages(Vec<(u64, Vec<u8>)>);

impl Pages {
    /// Appends `length` bytes of a file.
    fn push(&mut self, file: &File, mut at: u64, length: u64, out: &mut Vec<u8>) -> io::Result<()> {
        let end = at + length;
        while at < end {
            let number = at / PAGE as u64;
            let page = self.page(file, number)?;
            let from = usize::try_from(at % PAGE as u64).unwrap_or(0);
            let n = usize::try_from(end - at).unwrap_or(PAGE).min(page.len().saturating_sub(from));
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            out.extend_from_slice(&page[from..from + n]);
            at += n as u64;
        }
        Ok(())
    }

    fn page(&mut self, file: &File, number: u64) -> io::Result<&[u8]> {
        if self.0.is_empty() {
            self.0.resize(N_PAGES, (u64::MAX, Vec::new()));
        }
        let (held, page) = &mut self.0[usize::try_from(number % N_PAGES as u64).unwrap_or(0)];
        if *held != number {
            // Until it is read the place holds nothing.
            *held = u64::MAX;
            page.resize(PAGE, 0);
            let mut n = 0;
            while n < PAGE {
                match file.read_at(&mut page[n..], number * PAGE as u64 + n as u64) {
                    Ok(0) => break,
                    Ok(more) => n += more,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            page.truncate(n);
            *held = number;
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(strings: &mut StringsReader, number: u64) -> Option<String> {
        let mut out = Vec::new();
        let looked = strings.push(number, u64::MAX, &mut out).unwrap();
        (looked == Looked::Found).then(|| serde_json::from_slice(&out).unwrap())
    }

    /// Gives a byte at a time.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(1);
            bytes[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn texts_are_found_by_their_numbers_however_they_come() {
        let xml = br#"<?xml version="1.0"?><sst count="4"><si><t>one &amp; "two"</t></si><si/><x:si><x:r><x:t>a</x:t></x:r><x:r>
            <x:t xml:space="preserve"> b</x:t></x:r></x:si><si><t/></si></sst>"#;
        for mut strings in [Strings::of(&xml[..]).unwrap().reader(), Strings::of(Drip(xml)).unwrap().reader()] {
            let all: Vec<_> = (0..5).map(|number| text(&mut strings, number)).collect();
            let expected = [Some("one & \"two\""), Some(""), Some("a b"), Some(""), None];
            assert_eq!(all, expected.map(|text| text.map(str::to_owned)));
        }
        assert_eq!(text(&mut Strings::none().reader(), 0), None);
        assert!(matches!(Strings::of(&b"<si><t>\xff</t></si>"[..]), Err(StringsError::Damaged)));
    }

    #[test]
    fn a_great_many_texts_lie_in_a_file() {
        let word = |n: u64| format!("text number {n} {}", "中".repeat(usize::try_from(n % 40).unwrap()));
        let xml: String = (0..300_000).map(|n| format!("<si><t>{}</t></si>", word(n))).collect();
        let strings = Strings::of(xml.as_bytes()).unwrap();
        assert!(matches!(&*strings.0, Kept::Files { n: 300_000, .. }));
        let mut strings = strings.reader();
        for number in (0..300_000).step_by(997).chain([299_999, 0, 299_998, 1]) {
            assert_eq!(text(&mut strings, number), Some(word(number)));
        }
        assert_eq!(text(&mut strings, 300_000), None);
    }
}
