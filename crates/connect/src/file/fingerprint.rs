//! Noticing that files are not those that they were.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

use domain::ports::{Change, Fingerprint, SourceError};
use xxhash_rust::xxh3::Xxh3;

use super::{Part, cannot};

/// The length of one sample.
const SAMPLE: u64 = 64 << 10;
/// Samples spread over the file, beside the head and the tail.
const SPREAD: u64 = 32;

/// Takes the fingerprint of the parts.
pub(crate) fn of(parts: &[Part]) -> Result<Fingerprint, SourceError> {
    let samples = parts.iter().map(|part| samples_of(part, part.length));
    Ok(Fingerprint {
        parts: parts.iter().map(|part| part.place.name.clone()).collect(),
        lengths: parts.iter().map(|part| part.length).collect(),
        samples: samples.collect::<Result<_, _>>()?,
    })
}

/// Compares the parts with an earlier fingerprint. `grown` says of a part that has grown from so many bytes why it is not
/// what it was with something behind it, if so.
pub(crate) fn compare(
    parts: &[Part],
    before: &Fingerprint,
    grown: impl Fn(&Part, u64) -> Result<Option<String>, SourceError>,
) -> Result<Change, SourceError> {
    let changed = |what: String| Ok(Change::Changed(what));
    let old = before.parts.iter().zip(&before.lengths).zip(&before.samples);
    if let ([part], [old]) = (parts, before.parts.as_slice())
        && part.place.name != *old
    {
        return changed(format!("the source is `{}`, and the run was begun with `{old}`", part.place.name));
    }
    if let Some(gone) = before.parts.iter().find(|old| !parts.iter().any(|part| part.place.name == **old)) {
        return changed(format!("`{gone}` is a part of what the run was begun with, and is not there any more"));
    }
    let is_new = |part: &&Part| !before.parts.contains(&part.place.name);
    if let Some(new) = parts.iter().take(before.parts.len()).find(is_new) {
        // Parts are numbered in order, so one that comes in between makes others of those behind it.
        return changed(format!(
            "`{}` was not there when the run was begun, and stands before other parts; new files are taken up where \
             their names come last",
            new.place.name
        ));
    }
    let mut has_more = parts.len() > before.parts.len();
    for (part, ((_, old_length), old_samples)) in parts.iter().zip(old) {
        let (name, length) = (&part.place.name, part.length);
        if length < *old_length {
            return changed(format!("`{name}` is shorter: it had {old_length} bytes and has {length}"));
        }
        // The places of the samples follow from the old length, so what was there can be compared though the file grew.
        if samples_of(part, *old_length)? != *old_samples {
            return changed(format!("the content of `{name}` differs from what the run was begun with"));
        }
        if length > *old_length {
            if let Some(why) = grown(part, *old_length)? {
                return changed(format!("{why}: it had {old_length} bytes and has {length}"));
            }
            has_more = true;
        }
    }
    if has_more { Ok(Change::Appended { now: of(parts)? }) } else { Ok(Change::Unchanged) }
}

/// Hashes samples of the first `length` bytes: all of a small file, else head, tail and evenly spaced blocks between.
fn samples_of(part: &Part, length: u64) -> Result<String, SourceError> {
    let broken = |error| SourceError(cannot("read", &part.place, &error));
    let mut file = part.file()?;
    let mut hasher = Xxh3::new();
    let n_samples = SPREAD + 2;
    if length <= SAMPLE * n_samples {
        hasher.update(&bytes_at(&mut file, 0, length).map_err(broken)?);
    } else {
        for i in 0..n_samples {
            // In 128 bits, as the product of a large file's length overflows 64.
            let offset = u128::from(length - SAMPLE) * u128::from(i) / u128::from(n_samples - 1);
            let offset = u64::try_from(offset).unwrap_or(u64::MAX);
            hasher.update(&bytes_at(&mut file, offset, SAMPLE).map_err(broken)?);
        }
    }
    Ok(format!("{:016x}", hasher.digest()))
}

fn bytes_at(file: &mut File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
