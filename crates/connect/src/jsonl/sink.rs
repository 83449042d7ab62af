//! Writing.

use std::{fs, io, path::PathBuf};

use domain::{
    End, Record,
    ports::{Merge, Projection, Sink, SinkError},
};
use serde_json::value::RawValue;

use super::{
    SinkConfig,
    compose::Composer,
    live::{self, Live},
    merge::{Aside, JsonlMerge},
};
use crate::{
    Place,
    place::{cannot, is_same_file},
};

/// The files of a sink, resolved.
#[derive(Clone, Debug)]
pub struct SinkPlaces {
    /// The output.
    pub output: Place,
    /// The failures file; beside the output unless given.
    pub failures: Option<Place>,
    /// The file that is read, which must not be written.
    pub source: Place,
}

/// A JSON Lines file as a sink.
pub struct JsonlSink {
    composer: Composer,
    output: Place,
    failures: Place,
    live_place: Place,
    source: Place,
    run: String,
    live: Option<Live>,
    scratch: Vec<u8>,
}

impl JsonlSink {
    /// Makes a sink for the new `fields` of the run `run`, whose id becomes part of the names of passing files.
    ///
    /// # Errors
    /// Where `columns` names a field that is not there, or one name twice.
    pub fn new(config: &SinkConfig, places: SinkPlaces, fields: &[String], run: &str) -> Result<Self, SinkError> {
        let SinkPlaces { output, failures, source } = places;
        Ok(Self {
            composer: Composer::new(config, fields).map_err(SinkError)?,
            failures: failures.unwrap_or_else(|| output.beside(".failures.jsonl")),
            live_place: output.beside(".partial.jsonl"),
            output,
            source,
            run: run.to_owned(),
            live: None,
            scratch: Vec::new(),
        })
    }

    fn composed(&mut self, record: &Record, output: &RawValue) -> Result<(), SinkError> {
        self.scratch.clear();
        self.composer
            .compose(&record.bytes, output, &mut self.scratch)
            .map_err(|error| SinkError(format!("{} line {}: {error}", self.source.name, record.origin.line)))
    }

    fn live(&mut self) -> Result<&mut Live, SinkError> {
        let name = &self.live_place.name;
        self.live.as_mut().ok_or_else(|| SinkError(format!("`{name}` was not opened before it was written")))
    }
}

impl Sink for JsonlSink {
    fn prepare(&mut self) -> Result<(), SinkError> {
        for place in [&self.output, &self.failures, &self.live_place] {
            fs::create_dir_all(place.folder()).map_err(|error| {
                let folder = Place { path: place.folder().to_owned(), name: place.folder_name() };
                SinkError(cannot("create the folder", &folder, &error))
            })?;
            if is_same_file(&place.path, &self.source.path) {
                let what = if place == &self.output { "output" } else { "file" };
                return Err(SinkError(format!(
                    "the {what} `{}` is the input `{}`; a JSONL file cannot be written in place, so name another output",
                    place.name, self.source.name
                )));
            }
            check_target(place)?;
            probe(place, &self.run)?;
        }
        if is_same_file(&self.output.path, &self.failures.path) {
            let name = &self.output.name;
            return Err(SinkError(format!(
                "the output and the failures are both `{name}`; name another `failures` file"
            )));
        }
        Ok(())
    }

    fn open(&mut self, is_new: bool) -> Result<(), SinkError> {
        let live = Live::open(self.live_place.clone(), is_new)
            .map_err(|error| SinkError(cannot("write", &self.live_place, &error)))?;
        self.live = Some(live);
        Ok(())
    }

    fn project(&mut self, settled: &[Projection]) -> Result<(), SinkError> {
        for Projection { record, outcome } in settled {
            let (End::Succeeded, Some(output)) = (&outcome.end, &outcome.output) else { continue };
            self.composed(record, output)?;
            let mut line = std::mem::take(&mut self.scratch);
            let live = self.live()?;
            live.add(&mut line, record.key.position)
                .map_err(|error| SinkError(cannot("write", live.place(), &error)))?;
            self.scratch = line;
        }
        let live = self.live()?;
        live.flush().map_err(|error| SinkError(cannot("write", live.place(), &error)))
    }

    fn restore(&mut self, record: &Record) -> Result<Option<Box<RawValue>>, SinkError> {
        let live = self.live()?;
        let line = live.line_of(record.key.position);
        let Some(line) = line.map_err(|error| SinkError(cannot("read", live.place(), &error)))? else {
            return Ok(None);
        };
        let Some(output) = self.composer.output_of(&line) else { return Ok(None) };
        // The line is this record's answer only if the two make the line again, byte for byte.
        self.composed(record, &output)?;
        live::mark(&mut self.scratch, record.key.position);
        Ok((self.scratch == line.as_bytes()).then_some(output))
    }

    fn merge(&mut self) -> Result<Box<dyn Merge>, SinkError> {
        Ok(Box::new(JsonlMerge {
            composer: self.composer.clone(),
            source: self.source.name.clone(),
            output: Aside::create(&self.output, &self.run)?,
            failures: Aside::create(&self.failures, &self.run)?,
            live: self.live_place.path.clone(),
            scratch: Vec::new(),
        }))
    }
}

/// Makes sure that what stands at `place`, if anything, is a file that may be replaced.
fn check_target(place: &Place) -> Result<(), SinkError> {
    let name = &place.name;
    match fs::metadata(&place.path) {
        Ok(about) if about.is_dir() => Err(SinkError(format!("`{name}` is a folder; name a file in it"))),
        Ok(about) if !about.is_file() => Err(SinkError(format!("`{name}` is not a regular file; name another one"))),
        Ok(about) if about.permissions().readonly() => {
            Err(SinkError(format!("`{name}` is read-only; make it writable, or name another file")))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(SinkError(cannot("look at", place, &error))),
    }
}

/// Makes sure that a file can be created beside `place`: permissions do not tell about read-only mounts or quotas.
fn probe(place: &Place, run: &str) -> Result<(), SinkError> {
    let name = place.path.file_name().unwrap_or_default().to_string_lossy();
    let path: PathBuf = place.path.with_file_name(format!(".{name}.{run}.probe"));
    let tried = fs::write(&path, b"\n").and_then(|()| fs::remove_file(&path));
    tried.map_err(|error| {
        // A file that was created and could not be filled is no use to anyone.
        let _ = fs::remove_file(&path);
        SinkError(cannot("write", place, &error))
    })
}
