//! Writing.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

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
    place::{cannot_sink, is_same_file},
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
            composer: Composer::new(config, fields).map_err(SinkError::new)?,
            failures: failures.unwrap_or_else(|| output.beside(".failures.jsonl")),
            live_place: output.beside(".partial.jsonl"),
            output,
            source,
            run: run.to_owned(),
            live: None,
            scratch: Vec::new(),
        })
    }

    /// Makes sure of the same as [`Sink::prepare`], as far as it can be seen without creating any folder.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn check(&self) -> Result<(), SinkError> {
        for place in [&self.output, &self.failures, &self.live_place] {
            let settled = place.with_folders();
            let folder = settled.folder();
            let existing = folder.ancestors().find(|folder| !folder.as_os_str().is_empty() && folder.exists());
            let existing = existing.unwrap_or(Path::new("."));
            if !existing.is_dir() {
                // This fails, and says why.
                create_folder(&settled)?;
            }
            self.check_place(place, &settled.path)?;
            if existing == folder {
                probe(&settled, &self.run)?;
            } else {
                let name = settled.path.file_name().unwrap_or_default();
                let wanted = Place { path: folder.to_owned(), name: place.folder_name() };
                try_out(&existing.join(name), &self.run)
                    .map_err(|error| cannot_sink("create the folder", &wanted, &error))?;
            }
        }
        self.check_apart()
    }

    /// Makes sure that what is written at `path`, which is called `place`, is not the input and may be replaced.
    fn check_place(&self, place: &Place, path: &Path) -> Result<(), SinkError> {
        if is_same_file(path, &self.source.path) {
            let what = if place == &self.output { "output" } else { "file" };
            return Err(SinkError::new(format!(
                "the {what} `{}` is the input `{}`; a JSONL file cannot be written in place, so name another output",
                place.name, self.source.name
            )));
        }
        check_target(&Place { path: path.to_owned(), name: place.name.clone() })
    }

    fn check_apart(&self) -> Result<(), SinkError> {
        if is_same_file(&self.output.path, &self.failures.path) {
            let name = &self.output.name;
            return Err(SinkError::new(format!(
                "the output and the failures are both `{name}`; name another `failures` file"
            )));
        }
        Ok(())
    }

    fn composed(&mut self, record: &Record, output: &RawValue) -> Result<(), SinkError> {
        self.scratch.clear();
        self.composer
            .compose(&record.bytes, output, &mut self.scratch)
            .map_err(|error| SinkError::new(format!("{} line {}: {error}", self.source.name, record.origin.line)))
    }

    fn live(&mut self) -> Result<&mut Live, SinkError> {
        let name = &self.live_place.name;
        self.live.as_mut().ok_or_else(|| SinkError::new(format!("`{name}` was not opened before it was written")))
    }
}

impl Sink for JsonlSink {
    fn prepare(&mut self) -> Result<(), SinkError> {
        for place in [&self.output, &self.failures, &self.live_place] {
            create_folder(place)?;
            self.check_place(place, &place.path)?;
            probe(place, &self.run)?;
        }
        self.check_apart()
    }

    fn open(&mut self, is_new: bool) -> Result<(), SinkError> {
        let live = Live::open(self.live_place.clone(), is_new)
            .map_err(|error| cannot_sink("write", &self.live_place, &error))?;
        self.live = Some(live);
        Ok(())
    }

    fn project(&mut self, settled: &[Projection]) -> Result<(), SinkError> {
        for Projection { record, outcome } in settled {
            let (End::Succeeded, Some(output)) = (&outcome.end, &outcome.output) else { continue };
            self.composed(record, output)?;
            let mut line = std::mem::take(&mut self.scratch);
            let live = self.live()?;
            live.add(&mut line, record.key.position).map_err(|error| cannot_sink("write", live.place(), &error))?;
            self.scratch = line;
        }
        let live = self.live()?;
        live.flush().map_err(|error| cannot_sink("write", live.place(), &error))
    }

    fn restore(&mut self, record: &Record) -> Result<Option<Box<RawValue>>, SinkError> {
        let live = self.live()?;
        let line = live.line_of(record.key.position);
        let Some(line) = line.map_err(|error| cannot_sink("read", live.place(), &error))? else {
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

fn create_folder(place: &Place) -> Result<(), SinkError> {
    fs::create_dir_all(place.folder()).map_err(|error| {
        let folder = Place { path: place.folder().to_owned(), name: place.folder_name() };
        cannot_sink("create the folder", &folder, &error)
    })
}

/// Makes sure that what stands at `place`, if anything, is a file that may be replaced.
fn check_target(place: &Place) -> Result<(), SinkError> {
    let name = &place.name;
    match fs::metadata(&place.path) {
        Ok(about) if about.is_dir() => Err(SinkError::new(format!("`{name}` is a folder; name a file in it"))),
        Ok(about) if !about.is_file() => {
            Err(SinkError::new(format!("`{name}` is not a regular file; name another one")))
        }
        Ok(about) if about.permissions().readonly() => {
            Err(SinkError::environment(format!("`{name}` is read-only; make it writable, or name another file")))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot_sink("look at", place, &error)),
    }
}

/// Makes sure that a file can be created beside `place`: permissions do not tell about read-only mounts or quotas.
fn probe(place: &Place, run: &str) -> Result<(), SinkError> {
    try_out(&place.path, run).map_err(|error| cannot_sink("write", place, &error))
}

/// Creates, fills and removes a file beside `path`.
fn try_out(path: &Path, run: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let path: PathBuf = path.with_file_name(format!(".{name}.{run}.probe"));
    let tried = fs::write(&path, b"\n").and_then(|()| match fs::remove_file(&path) {
        // Another process tried the same at the same time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    });
    tried.inspect_err(|_| {
        // A file that was created and could not be filled is no use to anyone.
        let _ = fs::remove_file(&path);
    })
}
