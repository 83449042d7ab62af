//! The readers of what strangers save, for the fuzzer, with what must hold whatever is in their files.

mod csv;
mod excel;
#[cfg(test)]
mod tests;
mod xml;

use std::{fs, path::Path};

use domain::{
    End, Outcome, Read, Timestamp,
    ports::{Sink as _, SinkError, Source as _, Starts},
};
use serde_json::{json, value::RawValue};
use tempfile::TempDir;

pub use csv::{csv, csv_seeds};
pub use excel::{package, sheet, sheet_seeds, workbook};

use crate::{AnswerColumns, FileSource, InPlace, Place, SinkConfig, SinkPlaces, SourceConfig, Taken};

/// The answer that every record gets.
const ANSWER: &str = "9";

/// A folder with a table that answers go into, as a run has it: the table, and the copy that the run reads.
struct Desk {
    folder: TempDir,
    format: &'static str,
}

impl Desk {
    /// # Panics
    /// Where there is no folder for temporary files.
    fn with(format: &'static str, table: &[u8]) -> Self {
        // In memory where there is such a folder: what is written is synced, which takes long on a disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let desk = Self { folder: folder.expect("there is a folder for temporary files"), format };
        for name in ["kept", "table"] {
            fs::write(desk.folder.path().join(name), table).expect("the folder can be written");
        }
        desk
    }

    fn place(&self, name: &str) -> Place {
        Place { path: self.folder.path().join(name), name: name.to_owned() }
    }

    /// Returns a source of the file `name` with these options.
    fn source(&self, name: &str, mut options: serde_json::Value, field: &str) -> FileSource {
        options["path"] = json!(name);
        let config: SourceConfig =
            serde_json::from_value(json!({ self.format: options })).expect("the options are a source's");
        let answers = AnswerColumns { names: vec![field.to_owned()], taken: Taken::Pending { errors: false } };
        config.source(self.place(name), 0, answers).expect("the options are sound")
    }

    /// Puts an answer into each of the records that may have one, and returns the table as it then is.
    fn answer(&self, source: &FileSource, reads: &[Read], field: &str) -> Result<Vec<u8>, SinkError> {
        let config = json!({ self.format: { "path": "table", "overwrite": true } });
        let config: SinkConfig = serde_json::from_value(config).expect("the options are a sink's");
        let in_place = Some(InPlace { note: self.place("note") });
        let places = SinkPlaces { in_place, ..SinkPlaces::beside(self.place("table"), None) };
        let mut sink = config.sink(places, &[field.to_owned()], "run", source)?;
        sink.prepare()?;
        sink.open(true)?;
        let mut merge = sink.merge()?;
        for read in reads {
            merge.write(&read.record, &outcome(source, read, field))?;
        }
        let rejected = merge.settle()?;
        merge.finish()?;
        match rejected.first() {
            Some(rejected) => Err(SinkError::new(rejected.failure.message.clone())),
            None => Ok(fs::read(self.folder.path().join("table")).expect("the table is there")),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Reads all that can be read, or says what stands in the way.
fn read(source: &FileSource) -> Result<Vec<Read>, String> {
    source.fingerprint().map_err(|error| error.0)?;
    source.rows(false).map_err(|error| error.0)?.collect::<Result<_, _>>().map_err(|error| error.0)
}

/// Reads all as a run does, which passes over what is answered.
fn read_pending(source: &FileSource) -> Vec<Read> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("there can be a runtime");
    let mut records = source.open(&Starts::new()).expect("what was read can be read again");
    let mut all = Vec::new();
    loop {
        let some = runtime.block_on(records.next(64)).expect("what was read can be read again");
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

/// Returns whether a record is worked on: it is sound, not blank, and not answered.
fn is_pending(source: &FileSource, read: &Read) -> bool {
    read.flaw.is_none() && source.inspect(&read.record).is_ok()
}

fn outcome(source: &FileSource, read: &Read, field: &str) -> Outcome {
    let skipped = read.flaw.clone().map_or_else(|| source.inspect(&read.record).map(|_| ()), Err);
    let (end, output) = match skipped {
        Err((reason, message)) => (End::Skipped { reason, message }, None),
        Ok(()) => (End::Succeeded, RawValue::from_string(json!({ field: ANSWER }).to_string()).ok()),
    };
    Outcome { output, attempts: 1, ..Outcome::of(&read.record, end, Timestamp(0)) }
}
