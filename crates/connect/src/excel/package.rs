//! The package that a workbook is: which of its parts is what.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
};

use domain::ports::SourceError;
use flate2::{Crc, bufread::DeflateDecoder};
use zip::{CompressionMethod, ZipArchive};

use super::{
    config::SheetName,
    styles::Styles,
    text::{Kind, Tag, plain},
};
use crate::file::{Part, cannot};

/// No part of a package but sheets and shared texts is longer, in bytes.
const PART_MOST: u64 = 64 << 20;

/// Which sheet of a workbook is meant, and which of its rows names the columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) sheet: Option<SheetName>,
    /// From 1.
    pub(crate) header_row: Option<u32>,
    /// Whether every cell is read as text.
    pub(crate) text: bool,
}

/// A workbook whose parts are known.
#[derive(Debug)]
pub(super) struct Package {
    part: Part,
    /// The name of the sheet, for people.
    pub(super) sheet: String,
    /// Its place in the archive.
    pub(super) sheet_entry: Entry,
    /// That of the texts that cells share.
    strings: Option<Entry>,
    pub(super) styles: Styles,
}

/// A file in the archive.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Where its bytes begin in the archive.
    start: u64,
    /// How many there are, packed.
    n_packed: u64,
    /// And unpacked.
    pub(super) n_bytes: u64,
    /// What its bytes come to, unpacked.
    crc: u32,
    is_deflated: bool,
}

/// A sheet as the workbook lists it.
struct Listed {
    name: String,
    relation: String,
}

/// An archive that is open.
struct Archive<'a> {
    part: &'a Part,
    zip: ZipArchive<BufReader<File>>,
}

impl Package {
    /// Opens a workbook and finds the chosen sheet.
    ///
    /// # Errors
    /// Where it is no workbook, or has no such sheet.
    pub(super) fn open(part: &Part, chosen: &Chosen) -> Result<Self, SourceError> {
        let mut archive = Archive::open(part)?;
        let book = archive.target("", "_rels/.rels", "officeDocument")?;
        let Some(book) = book else { return Err(archive.wrong("it holds no workbook")) };
        let (sheets, is_1904) = archive.sheets(&book)?;
        let listed = choose(&sheets, chosen.sheet.as_ref()).map_err(|what| archive.wrong(what))?;
        let relations = relations_of(&book);
        let sheet_part = archive.target_of_id(&book, &relations, &listed.relation)?;
        let Some(sheet_part) = sheet_part else {
            return Err(archive.wrong(format!("the sheet `{}` is listed in it and is not there", listed.name)));
        };
        let strings = archive.target(&book, &relations, "sharedStrings")?;
        let strings = strings.map(|name| archive.entry(&name)).transpose()?;
        let styles = match archive.target(&book, &relations, "styles")? {
            Some(name) => Styles::of(&archive.text(&name)?, is_1904).map_err(|e| archive.wrong(e))?,
            None => Styles::none(is_1904),
        };
        let sheet_entry = archive.entry(&sheet_part)?;
        Ok(Self { part: part.clone(), sheet: listed.name.clone(), sheet_entry, strings, styles })
    }

    /// Begins to read the sheet's XML.
    pub(super) fn read_sheet(&self) -> Result<Box<dyn Read + Send>, SourceError> {
        self.read(&self.sheet_entry)
    }

    /// Begins to read the texts that cells share, where there are any.
    pub(super) fn read_strings(&self) -> Result<Option<Box<dyn Read + Send>>, SourceError> {
        self.strings.as_ref().map(|entry| self.read(entry)).transpose()
    }

    /// Opens the archive for copying.
    pub(super) fn archive(&self) -> Result<ZipArchive<BufReader<File>>, SourceError> {
        Archive::open(&self.part).map(|archive| archive.zip)
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>, SourceError> {
        /// How much of a packed file is read at once.
        const AHEAD: usize = 1 << 17;
        let broken = |error: io::Error| SourceError(cannot("read", &self.part.place, &error));
        let mut file = self.part.file()?;
        file.seek(SeekFrom::Start(entry.start)).map_err(broken)?;
        let packed = BufReader::with_capacity(AHEAD, file).take(entry.n_packed);
        let (left, wanted) = (entry.n_bytes, entry.crc);
        Ok(if entry.is_deflated {
            Box::new(Unpacked { inner: DeflateDecoder::new(packed), left, wanted, crc: Crc::new() })
        } else {
            Box::new(Unpacked { inner: packed, left, wanted, crc: Crc::new() })
        })
    }
}

/// A file of the archive, which must be as long as it says and hold what was put into it.
struct Unpacked<R> {
    inner: R,
    left: u64,
    wanted: u32,
    crc: Crc,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let wrong =
            |what: &str| io::Error::other(format!("the workbook is damaged: {what}; open and save it in Excel"));
        let n = match self.inner.read(bytes) {
            Ok(n) => n,
            Err(e) if e.raw_os_error().is_some() || e.kind() == io::ErrorKind::Interrupted => return Err(e),
            Err(e) => return Err(wrong(&e.to_string())),
        };
        if n as u64 > self.left || (n == 0 && self.left > 0 && !bytes.is_empty()) {
            return Err(wrong("a part of it is not as long as it says"));
        }
        self.left -= n as u64;
        self.crc.update(&bytes[..n]);
        if n > 0 && self.left == 0 && self.crc.sum() != self.wanted {
            return Err(wrong("a part of it does not hold what was put into it"));
        }
        Ok(n)
    }
}

impl<'a> Archive<'a> {
    fn open(part: &'a Part) -> Result<Self, SourceError> {
        let broken = |error: io::Error| SourceError(cannot("read", &part.place, &error));
        let name = &part.place.name;
        let mut file = part.file()?;
        let mut first = Vec::new();
        file.by_ref().take(8).read_to_end(&mut first).map_err(broken)?;
        file.seek(SeekFrom::Start(0)).map_err(broken)?;
        // The old binary format and a workbook under a password come in the same wrapping.
        if first.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
            return Err(SourceError(format!(
                "cannot read `{name}`: it is a workbook of the old kind (.xls), or under a password; save it in Excel as \
                 .xlsx without one"
            )));
        }
        if !first.starts_with(b"PK") {
            return Err(SourceError(format!(
                "cannot read `{name}`: it is no Excel workbook; a table in a text file is read with `csv:`"
            )));
        }
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|e| SourceError(format!("cannot read `{name}`: the workbook is damaged or cut short ({e})")))?;
        Ok(Self { part, zip })
    }

    fn wrong(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError(format!("cannot read `{}`: {what}", self.part.place.name))
    }

    fn entry(&mut self, name: &str) -> Result<Entry, SourceError> {
        let found = self.zip.by_name(name).map(|file| {
            let is_deflated = file.compression() == CompressionMethod::Deflated;
            let is_known = is_deflated || file.compression() == CompressionMethod::Stored;
            let start = file.data_start().filter(|_| is_known && !file.encrypted());
            let (n_packed, n_bytes, crc) = (file.compressed_size(), file.size(), file.crc32());
            start.map(|start| Entry { name: name.to_owned(), start, n_packed, n_bytes, crc, is_deflated })
        });
        match found {
            Ok(Some(entry)) => Ok(entry),
            Ok(None) => Err(self.wrong(format!("`{name}` in it is packed in a way that Excel does not use"))),
            Err(e) => Err(self.wrong(format!("`{name}` is missing in it ({e})"))),
        }
    }

    fn text(&mut self, name: &str) -> Result<String, SourceError> {
        let read = |zip: &mut ZipArchive<BufReader<File>>| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            zip.by_name(name).map_err(io::Error::other)?.take(PART_MOST).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read(&mut self.zip).map_err(|e| self.wrong(format!("`{name}` in it is damaged ({e})")))?;
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes).to_vec();
        String::from_utf8(bytes).map_err(|_| self.wrong(format!("`{name}` in it is not in UTF-8")))
    }

    /// Finds the part to which a relation of a kind leads.
    fn target(&mut self, from: &str, relations: &str, kind: &str) -> Result<Option<String>, SourceError> {
        self.relation(from, relations, |_, found| found.rsplit('/').next() == Some(kind))
    }

    fn target_of_id(&mut self, from: &str, relations: &str, id: &str) -> Result<Option<String>, SourceError> {
        self.relation(from, relations, |found, _| found == id)
    }

    fn relation(
        &mut self,
        from: &str,
        relations: &str,
        is_it: impl Fn(&str, &str) -> bool,
    ) -> Result<Option<String>, SourceError> {
        if self.zip.index_for_name(relations).is_none() {
            return Err(self.wrong("it is no Excel workbook: its list of parts is missing"));
        }
        let text = self.text(relations)?;
        let mut target = None;
        elements(&text, |tag, attribute| {
            let (id, kind) = (attribute("Id"), attribute("Type"));
            let is_here = tag == "Relationship" && is_it(id.as_deref().unwrap_or(""), kind.as_deref().unwrap_or(""));
            if is_here && target.is_none() {
                target = attribute("Target");
            }
        })
        .map_err(|e| self.wrong(format!("`{relations}` in it is damaged ({e})")))?;
        Ok(target.map(|target| resolved(from, &target)))
    }

    /// Returns the sheets that hold cells, and whether days are counted from 1904.
    fn sheets(&mut self, book: &str) -> Result<(Vec<Listed>, bool), SourceError> {
        let text = self.text(book)?;
        let (mut sheets, mut is_1904) = (Vec::new(), false);
        elements(&text, |tag, attribute| match tag {
            "sheet" => {
                if let (Some(name), Some(relation)) = (attribute("name"), attribute("id")) {
                    sheets.push(Listed { name, relation });
                }
            }
            "workbookPr" => is_1904 = matches!(attribute("date1904").as_deref(), Some("1" | "true" | "on")),
            _ => {}
        })
        .map_err(|e| self.wrong(format!("`{book}` in it is damaged ({e})")))?;
        Ok((sheets, is_1904))
    }
}

fn choose<'s>(sheets: &'s [Listed], wanted: Option<&SheetName>) -> Result<&'s Listed, String> {
    let names = || sheets.iter().map(|sheet| format!("`{}`", sheet.name)).collect::<Vec<_>>().join(", ");
    match wanted {
        None => sheets.first().ok_or_else(|| "it has no sheet".to_owned()),
        Some(SheetName::Number(number)) => {
            let index = usize::try_from(*number).ok().and_then(|number| number.checked_sub(1));
            index
                .and_then(|index| sheets.get(index))
                .ok_or_else(|| format!("it has no sheet {number}; there are {}: {}", sheets.len(), names()))
        }
        Some(SheetName::Name(name)) => sheets
            .iter()
            .find(|sheet| sheet.name == *name)
            .ok_or_else(|| format!("it has no sheet `{name}`; there are {}", names())),
    }
}

/// Returns where the relations of a part stand: `xl/_rels/workbook.xml.rels`.
fn relations_of(part: &str) -> String {
    let (folder, name) = part.rsplit_once('/').unwrap_or(("", part));
    let slash = if folder.is_empty() { "" } else { "/" };
    format!("{folder}{slash}_rels/{name}.rels")
}

/// Resolves the target of a relation of a part.
fn resolved(from: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut path: Vec<&str> = from.rsplit_once('/').map_or_else(Vec::new, |(folder, _)| folder.split('/').collect());
    for step in target.split('/') {
        match step {
            "." | "" => {}
            ".." => {
                path.pop();
            }
            step => path.push(step),
        }
    }
    path.join("/")
}

/// Goes through the elements of an XML text: each with the local part of its name and what finds its attributes.
///
/// # Errors
/// Where it ends within a tag.
pub(super) fn elements(
    text: &str,
    mut element: impl FnMut(&str, &dyn Fn(&str) -> Option<String>),
) -> Result<(), String> {
    let xml = text.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'<', &xml[at..]) {
        at += found;
        if xml[at..].starts_with(b"<!--") {
            at += memchr::memmem::find(&xml[at..], b"-->").unwrap_or(xml.len() - at);
            continue;
        }
        let tag = Tag::at(xml, at).ok_or("it ends within a tag")?;
        at = tag.end;
        if tag.kind != Kind::Close {
            let name = str::from_utf8(tag.name).unwrap_or("");
            element(name, &|wanted| {
                let value = plain(tag.attribute(wanted.as_bytes())?);
                String::from_utf8(value).ok()
            });
        }
    }
    Ok(())
}
