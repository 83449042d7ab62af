//! The final output and the failures, written aside in source order.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use domain::{
    End, Outcome, Record, json,
    ports::{Artefact, Merge, SinkError},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::compose::Composer;
use crate::{
    Place,
    place::{cannot_sink, sync_folder},
};

/// How much of a text that is not a record is shown, in characters.
const SHOWN: usize = 2_000;

/// A merge in progress. Dropped before its end, it leaves nothing behind.
pub(super) struct JsonlMerge {
    pub(super) composer: Composer,
    /// How the source is called, for errors.
    pub(super) source: String,
    pub(super) output: Aside,
    pub(super) failures: Aside,
    /// The live output, which goes when the final one is in place.
    pub(super) live: PathBuf,
    pub(super) scratch: Vec<u8>,
}

impl Merge for JsonlMerge {
    fn write(&mut self, record: &Record, outcome: &Outcome) -> Result<(), SinkError> {
        self.scratch.clear();
        match &outcome.end {
            End::Succeeded => {
                let at = |what: &dyn std::fmt::Display| {
                    SinkError::new(format!("{} line {}: {what}", self.source, record.origin.line))
                };
                let output = outcome.output.as_deref().ok_or_else(|| at(&"the answer is not in the journal"))?;
                self.composer.compose(&record.bytes, output, &mut self.scratch).map_err(|error| at(&error))?;
                self.scratch.push(b'\n');
                self.output.add(&self.scratch)
            }
            End::Skipped { reason, .. } if reason.is_expected() => Ok(()),
            end => {
                push_failure(record, outcome, end, &mut self.scratch);
                self.failures.add(&self.scratch)
            }
        }
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Artefact>, SinkError> {
        // Both are durable before either is visible, and the live output goes last: killed in between, the next
        // process finds all it needs to do this again.
        let artefacts = vec![self.output.close()?, self.failures.close()?];
        self.failures.publish()?;
        self.output.publish()?;
        match fs::remove_file(&self.live) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let place = Place { name: self.live.display().to_string(), path: self.live.clone() };
                Err(cannot_sink("remove", &place, &error))
            }
            _ => Ok(artefacts),
        }
    }
}

/// Appends the line of a record that did not succeed.
fn push_failure(record: &Record, outcome: &Outcome, end: &End, out: &mut Vec<u8>) {
    let (status, kind, message) = match end {
        End::Succeeded => ("succeeded", "succeeded", Cow::Borrowed("")),
        End::Failed(failure) => ("failed", failure.kind.word(), Cow::Borrowed(failure.message.as_str())),
        End::Skipped { reason, message } => ("skipped", reason.word(), Cow::Borrowed(message.as_str())),
        End::Cancelled => ("cancelled", "cancelled", Cow::Borrowed("called off by the user")),
        End::Missing => ("missing", "missing", Cow::Borrowed("the work came back without this record")),
    };
    let head = format!(
        "{{\"line\":{},\"status\":\"{status}\",\"kind\":\"{kind}\",\"message\":{},\"attempts\":{},",
        outcome.line,
        Value::from(&*message),
        outcome.attempts
    );
    out.extend_from_slice(head.as_bytes());
    match str::from_utf8(&record.bytes).map(str::trim_ascii) {
        Ok(text) if json::members(text, |_, _| ()).is_ok() => {
            out.extend_from_slice(b"\"record\":");
            out.extend_from_slice(text.as_bytes());
        }
        _ => {
            out.extend_from_slice(b"\"text\":");
            out.extend_from_slice(Value::from(shown(&record.bytes)).to_string().as_bytes());
        }
    }
    out.extend_from_slice(b"}\n");
}

/// Returns what can be shown of bytes that are no record, cut where that is much.
fn shown(bytes: &[u8]) -> String {
    // A character has at most four bytes: what lies behind cannot be shown and need not be looked at.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN + 4)]);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} … (cut; {} bytes in all)", &text[..end], bytes.len()),
        None => text.into_owned(),
    }
}

/// A file that is written under another name, and gets its own when it is whole.
pub(super) struct Aside {
    /// Where it will be, through a symbolic link if the user made the output one.
    target: Place,
    aside: Place,
    file: BufWriter<Hashed>,
    n_records: u64,
    is_published: bool,
}

impl Aside {
    pub(super) fn create(place: &Place, run: &str) -> Result<Self, SinkError> {
        let target = Place {
            path: fs::canonicalize(&place.path).unwrap_or_else(|_| place.path.clone()),
            name: place.name.clone(),
        };
        let name = target.path.file_name().unwrap_or_default().to_string_lossy();
        let aside = Place { path: target.path.with_file_name(format!(".{name}.{run}.tmp")), name: place.name.clone() };
        let file = File::create(&aside.path).map_err(|error| cannot_sink("write", &aside, &error))?;
        let hashed = Hashed { file, hash: Sha256::new(), length: 0 };
        let file = BufWriter::with_capacity(1 << 18, hashed);
        Ok(Self { target, aside, file, n_records: 0, is_published: false })
    }

    fn add(&mut self, line: &[u8]) -> Result<(), SinkError> {
        self.n_records += 1;
        self.file.write_all(line).map_err(|error| cannot_sink("write", &self.aside, &error))
    }

    /// Makes the content durable under its passing name.
    fn close(&mut self) -> Result<Artefact, SinkError> {
        let broken = |error| cannot_sink("write", &self.aside, &error);
        self.file.flush().map_err(broken)?;
        let Hashed { file, hash, length } = self.file.get_mut();
        // What the user allowed or forbade on the file that is replaced holds for the new one.
        if let Ok(old) = fs::metadata(&self.target.path) {
            file.set_permissions(old.permissions()).map_err(broken)?;
        }
        file.sync_all().map_err(broken)?;
        let sha256 = hash.finalize_reset().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Artefact { path: self.target.name.clone(), records: self.n_records, bytes: *length, sha256 })
    }

    /// Puts the file in place.
    fn publish(&mut self) -> Result<(), SinkError> {
        let broken = |error| cannot_sink("put in place", &self.target, &error);
        fs::rename(&self.aside.path, &self.target.path).map_err(broken)?;
        self.is_published = true;
        sync_folder(self.target.folder()).map_err(broken)
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
