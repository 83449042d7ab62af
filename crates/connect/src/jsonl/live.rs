//! The live output, in the order in which records settle.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
};

use crate::Place;

/// What the position stands behind at the end of each line.
const MARK: &str = "\"_position\":";

/// A file of lines that end in their record's position. It is a view of the journal: what it lacks is lost to nobody.
#[derive(Debug)]
pub(super) struct Live {
    place: Place,
    file: BufWriter<File>,
    length: u64,
    /// Position and offset of each line, sorted; built when first asked for, dropped when lines are added. Sixteen
    /// bytes a record, and only a damaged journal asks.
    index: Option<Vec<(u64, u64)>>,
}

impl Live {
    /// Opens the file. A new one starts over; else it goes on behind the last whole line, as a process that was killed
    /// may have left half of one.
    pub(super) fn open(place: Place, is_new: bool) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(is_new).open(&place.path)?;
        let length = file.metadata()?.len();
        let length = last_line_end(&mut file, length)?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Self { place, file: BufWriter::with_capacity(1 << 16, file), length, index: None })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Adds a composed record, an object, as a line; `scratch` holds it and is used up.
    pub(super) fn add(&mut self, scratch: &mut Vec<u8>, position: u64) -> io::Result<()> {
        mark(scratch, position);
        scratch.push(b'\n');
        self.index = None;
        self.file.write_all(scratch)?;
        self.length += scratch.len() as u64;
        Ok(())
    }

    /// Makes what was added visible. It is not synced: after a crash of the machine the journal has it all.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Returns the line of the record at `position`, if there is one.
    pub(super) fn line_of(&mut self, position: u64) -> io::Result<Option<String>> {
        self.file.flush()?;
        let mut reader = BufReader::new(File::open(&self.place.path)?);
        let index = match &mut self.index {
            Some(index) => index,
            none => none.insert(index_of(&mut reader, self.length)?),
        };
        // A record that was asked again has two lines, and the later one counts.
        let behind = index.partition_point(|(of, _)| *of <= position);
        let found = behind.checked_sub(1).map(|last| index[last]).filter(|(of, _)| *of == position);
        let Some((_, offset)) = found else { return Ok(None) };
        reader.seek(SeekFrom::Start(offset))?;
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        line.pop();
        Ok(String::from_utf8(line).ok())
    }
}

/// Puts the position at the end of an object, whose last byte is its brace.
pub(super) fn mark(object: &mut Vec<u8>, position: u64) {
    object.pop();
    if object.trim_ascii() != b"{" {
        object.push(b',');
    }
    object.extend_from_slice(format!("{MARK}{position}}}").as_bytes());
}

/// Returns the position at the end of a line.
fn position_of(line: &[u8]) -> Option<u64> {
    let body = line.strip_suffix(b"}\n")?;
    let digits = body.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, number) = body.split_at(body.len() - digits);
    before.ends_with(MARK.as_bytes()).then(|| str::from_utf8(number).ok()?.parse().ok())?
}

fn index_of(reader: &mut BufReader<File>, length: u64) -> io::Result<Vec<(u64, u64)>> {
    let (mut index, mut line, mut offset) = (Vec::new(), Vec::new(), 0);
    while offset < length && reader.read_until(b'\n', &mut line)? > 0 {
        if let Some(position) = position_of(&line) {
            index.push((position, offset));
        }
        offset += line.len() as u64;
        line.clear();
    }
    index.sort_unstable();
    Ok(index)
}

/// Returns the offset behind the last line end of a file of `length` bytes.
fn last_line_end(file: &mut File, length: u64) -> io::Result<u64> {
    const STEP: u64 = 1 << 16;
    let mut to = length;
    while to > 0 {
        let from = to.saturating_sub(STEP);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(to - from).read_to_end(&mut bytes)?;
        if let Some(at) = memchr::memrchr(b'\n', &bytes) {
            return Ok(from + at as u64 + 1);
        }
        to = from;
    }
    Ok(0)
}
