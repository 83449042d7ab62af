//! The live output, in the order in which records settle.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
};

use domain::RecordKey;

use crate::Place;

/// What the record's place stands behind at the end of each line. The last two are left out where they are 0.
const POSITION: &str = "\"_position\":";
const PART: &str = ",\"_part\":";
const SAMPLE: &str = ",\"_sample\":";

/// A record's place within its step: part, position, sample.
type Mark = (u32, u64, u32);

fn mark_of(key: &RecordKey) -> Mark {
    (key.part, key.position, key.sample)
}

/// A file of lines that end in their record's place. It is a view of the journal: what it lacks is lost to nobody.
#[derive(Debug)]
pub(super) struct Live {
    place: Place,
    file: BufWriter<File>,
    length: u64,
    /// Place and offset of each line, sorted; built when first asked for, dropped when lines are added. 32 bytes a
    /// record, and only a damaged journal asks.
    index: Option<Vec<(Mark, u64)>>,
}

impl Live {
    /// Opens the file. A new one starts over; else it goes on behind the last whole line, as a process that was killed
    /// may have left half of one.
    pub(super) fn open(place: Place, is_new: bool) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(is_new).open(&place.path)?;
        let length = last_line_end(&mut file)?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Self { place, file: BufWriter::with_capacity(1 << 16, file), length, index: None })
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Adds a composed record, an object, as a line; `scratch` holds it and is used up.
    pub(super) fn add(&mut self, scratch: &mut Vec<u8>, key: &RecordKey) -> io::Result<()> {
        mark(scratch, key);
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

    /// Returns the line of a record, if there is one.
    pub(super) fn line_of(&mut self, key: &RecordKey) -> io::Result<Option<String>> {
        self.file.flush()?;
        let mut reader = BufReader::new(File::open(&self.place.path)?);
        let index = match &mut self.index {
            Some(index) => index,
            none => none.insert(index_of(&mut reader, self.length)?),
        };
        // A record that was asked again has two lines, and the later one counts.
        let behind = index.partition_point(|(of, _)| *of <= mark_of(key));
        let found = behind.checked_sub(1).map(|last| index[last]).filter(|(of, _)| *of == mark_of(key));
        let Some((_, offset)) = found else { return Ok(None) };
        reader.seek(SeekFrom::Start(offset))?;
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        line.pop();
        Ok(String::from_utf8(line).ok())
    }
}

/// Puts a record's place at the end of an object, whose last byte is its brace.
pub(super) fn mark(object: &mut Vec<u8>, key: &RecordKey) {
    object.pop();
    if object.trim_ascii() != b"{" {
        object.push(b',');
    }
    object.extend_from_slice(format!("{POSITION}{}", key.position).as_bytes());
    for (name, number) in [(PART, key.part), (SAMPLE, key.sample)] {
        if number != 0 {
            object.extend_from_slice(format!("{name}{number}").as_bytes());
        }
    }
    object.push(b'}');
}

/// Returns the place at the end of a line.
fn mark_at_end(line: &[u8]) -> Option<Mark> {
    let body = line.strip_suffix(b"}\n")?;
    // What is last is ours, and from there on backwards the names tell.
    let (body, sample) = number_behind(body, SAMPLE).unwrap_or((body, 0));
    let (body, part) = number_behind(body, PART).unwrap_or((body, 0));
    let (_, position) = number_behind(body, POSITION)?;
    Some((u32::try_from(part).ok()?, position, u32::try_from(sample).ok()?))
}

/// Takes a number off the end, where `name` stands before it.
fn number_behind<'a>(body: &'a [u8], name: &str) -> Option<(&'a [u8], u64)> {
    let digits = body.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, number) = body.split_at(body.len() - digits);
    let before = before.strip_suffix(name.as_bytes())?;
    Some((before, str::from_utf8(number).ok()?.parse().ok()?))
}

fn index_of(reader: &mut BufReader<File>, length: u64) -> io::Result<Vec<(Mark, u64)>> {
    let (mut index, mut line, mut offset) = (Vec::new(), Vec::new(), 0);
    while offset < length && reader.read_until(b'\n', &mut line)? > 0 {
        if let Some(mark) = mark_at_end(&line) {
            index.push((mark, offset));
        }
        offset += line.len() as u64;
        line.clear();
    }
    index.sort_unstable();
    Ok(index)
}

/// Returns the offset behind the last line end of a file.
pub(crate) fn last_line_end(file: &mut File) -> io::Result<u64> {
    const STEP: u64 = 1 << 16;
    let mut to = file.metadata()?.len();
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
