//! Noticing that a file is not the one that it was.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

use domain::ports::{Change, Fingerprint};
use xxhash_rust::xxh3::Xxh3;

use super::source::BOM;
use crate::Place;

/// The length of one sample.
const SAMPLE: u64 = 64 << 10;
/// Samples spread over the file, beside the head and the tail.
const SPREAD: u64 = 32;

/// Takes the fingerprint of an open file of `length` bytes.
pub(super) fn of(file: &mut File, length: u64, name: &str) -> io::Result<Fingerprint> {
    let samples = vec![format!("{:016x}", samples_of(file, length)?)];
    Ok(Fingerprint { parts: vec![name.to_owned()], lengths: vec![length], samples })
}

/// Compares an open file of `length` bytes with an earlier fingerprint.
pub(super) fn compare(file: &mut File, length: u64, place: &Place, before: &Fingerprint) -> io::Result<Change> {
    let name = &place.name;
    let ([part], [old_length], [old_samples]) =
        (before.parts.as_slice(), before.lengths.as_slice(), before.samples.as_slice())
    else {
        return Ok(Change::Changed(format!("`{name}` is one file, and the run was begun with several")));
    };
    if part != name {
        return Ok(Change::Changed(format!("the source is `{name}`, and the run was begun with `{part}`")));
    }
    if length < *old_length {
        return Ok(Change::Changed(format!("`{name}` is shorter: it had {old_length} bytes and has {length}")));
    }
    // The places of the samples follow from the old length, so what was there can be compared though the file grew.
    if format!("{:016x}", samples_of(file, *old_length)?) != *old_samples {
        return Ok(Change::Changed(format!("the content of `{name}` differs from what the run was begun with")));
    }
    if length == *old_length {
        return Ok(Change::Unchanged);
    }
    if !is_line_start(file, *old_length)? && line_end_at(file, *old_length)? == 0 {
        return Ok(Change::Changed(format!(
            "the last line of `{name}` had no line end and was continued: it had {old_length} bytes and has {length}"
        )));
    }
    Ok(Change::Appended { now: of(file, length, name)? })
}

/// Returns the length of the byte order mark, 0 where there is none.
pub(super) fn bom_length(file: &mut File) -> io::Result<u64> {
    Ok(if bytes_at(file, 0, 3)? == BOM { 3 } else { 0 })
}

/// Returns whether a line begins at `offset`: at the start, behind a byte order mark or behind a line end.
pub(super) fn is_line_start(file: &mut File, offset: u64) -> io::Result<bool> {
    match offset {
        0 => Ok(true),
        3 if bom_length(file)? == 3 => Ok(true),
        _ => Ok(bytes_at(file, offset - 1, 1)? == *b"\n"),
    }
}

/// Returns the length of the line end that stands at `offset`, 0 where there is none.
pub(super) fn line_end_at(file: &mut File, offset: u64) -> io::Result<u64> {
    let found = bytes_at(file, offset, 2)?;
    Ok(if found.starts_with(b"\n") {
        1
    } else if found == b"\r\n" {
        2
    } else {
        0
    })
}

fn bytes_at(file: &mut File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Hashes samples of the first `length` bytes: all of a small file, else head, tail and evenly spaced blocks between.
fn samples_of(file: &mut File, length: u64) -> io::Result<u64> {
    let mut hasher = Xxh3::new();
    let n_samples = SPREAD + 2;
    if length <= SAMPLE * n_samples {
        hasher.update(&bytes_at(file, 0, length)?);
    } else {
        for i in 0..n_samples {
            // In 128 bits, as the product of a large file's length overflows 64.
            let offset = u128::from(length - SAMPLE) * u128::from(i) / u128::from(n_samples - 1);
            let offset = u64::try_from(offset).unwrap_or(u64::MAX);
            hasher.update(&bytes_at(file, offset, SAMPLE)?);
        }
    }
    Ok(hasher.digest())
}
