//! Files of one format as a sink.

use std::{path::Path, sync::Arc};

use domain::{
    End, Record,
    ports::{Merge, Projection, Sink, SinkError, Source as _},
};
use encoding_rs::Encoding;
use serde_json::value::RawValue;

use super::{
    Composer, FileSource, Layout, Naming,
    in_place::{InPlace, Standing, refuse_if_open},
    live::{self, Live},
    merge::FileMerge,
    original::Original,
};
use crate::{
    Compression, Place,
    file::{Aside, Stream, cannot_sink, check_target, create_folder, is_same_file, is_same_path, probe, try_out},
};

/// The files of a sink, resolved.
#[derive(Clone)]
pub struct SinkPlaces {
    /// The output. Where `stream` is given, a file that holds it until it is whole.
    pub output: Place,
    /// The failures file.
    pub failures: Place,
    /// The live output.
    pub live: Place,
    /// Where the output goes in place of a file: standard output.
    pub stream: Option<Stream>,
    /// Where the output is the file that the records come from: then the source is the copy that the run keeps of it.
    pub in_place: Option<InPlace>,
}

impl SinkPlaces {
    /// Returns the places of an `output` that is a file: the others beside it, unless given.
    #[must_use]
    pub fn beside(output: Place, failures: Option<Place>) -> Self {
        let failures = failures.unwrap_or_else(|| output.beside(".failures.jsonl"));
        Self { live: output.beside(".partial.jsonl"), output, failures, stream: None, in_place: None }
    }

    fn all(&self) -> [&Place; 3] {
        [&self.output, &self.failures, &self.live]
    }
}

/// How an output is stored.
#[derive(Clone, Copy)]
pub(crate) struct Storing {
    /// As the file's ending says unless given.
    pub(crate) compression: Option<Compression>,
    pub(crate) encoding: &'static Encoding,
    /// Whether every record of the source stands in the output, whatever became of it.
    pub(crate) keeps_all: bool,
}

/// Files of one format as a sink: the output, the live output, and the failures.
pub struct FileSink {
    layout: Arc<dyn Layout>,
    storing: Storing,
    composer: Composer,
    places: SinkPlaces,
    source: FileSource,
    run: String,
    live: Option<Live>,
    scratch: Vec<u8>,
}

impl FileSink {
    /// Makes a sink for the new `fields` of the run `run`, whose id becomes part of the names of passing files.
    ///
    /// # Errors
    /// Where `columns` names a field that is not there, or one name twice.
    pub(crate) fn new(
        layout: impl Layout + 'static,
        storing: Storing,
        naming: &Naming,
        places: SinkPlaces,
        fields: &[String],
        run: &str,
        source: &FileSource,
    ) -> Result<Self, SinkError> {
        Ok(Self {
            layout: Arc::new(layout),
            storing,
            composer: Composer::new(naming, fields).map_err(SinkError::new)?,
            places,
            source: source.clone(),
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
        for place in self.places.all() {
            let settled = place.with_folders();
            let folder = settled.folder();
            let existing = folder.ancestors().find(|folder| !folder.as_os_str().is_empty() && folder.exists());
            let existing = existing.unwrap_or(Path::new("."));
            if !existing.is_dir() {
                // This fails, and says why.
                create_folder(&settled)?;
            }
            self.check_place(place, &settled.path)?;
            if place == &self.places.output && self.is_in_place() {
                refuse_if_open(&settled)?;
            }
            if existing == folder {
                probe(&settled, &self.run)?;
            } else {
                let name = settled.path.file_name().unwrap_or_default();
                let wanted = Place { path: folder.to_owned(), name: place.folder_name() };
                try_out(&existing.join(name), &self.run)
                    .map_err(|error| cannot_sink("create the folder", &wanted, &error))?;
            }
        }
        self.check_apart()?;
        self.layout.check(&self.composer, &self.source, self.storing.keeps_all || self.is_in_place())
    }

    /// Returns whether the output is the file that the records come from.
    fn is_in_place(&self) -> bool {
        let files = self.source.files();
        let is_one = !files.is_pattern() && self.places.stream.is_none();
        self.places.in_place.is_some()
            || (is_one
                && files.parts().is_ok_and(
                    |parts| matches!(&*parts, [part] if is_same_path(&self.places.output.path, &part.place.path)),
                ))
    }

    /// Makes sure that what is written at `path`, which is called `place`, may be replaced, and is not the input unless
    /// the output is to be.
    fn check_place(&self, place: &Place, path: &Path) -> Result<(), SinkError> {
        let is_output = place == &self.places.output;
        let what = if is_output { "output" } else { "file" };
        let files = self.source.files();
        // What cannot be read is told where it is read.
        let parts = files.parts().unwrap_or_else(|_| Arc::from([]));
        let same = parts.iter().find(|part| is_same_file(path, &part.place.path));
        if let Some(part) = same.filter(|_| !(is_output && self.is_in_place())) {
            return Err(SinkError::new(format!(
                "the {what} `{}` is the input `{}`; name another file",
                place.name, part.place.name,
            )));
        }
        let place = Place { path: path.to_owned(), name: place.name.clone() };
        match self.source.would_read(what, &place) {
            Some(message) => Err(SinkError::new(message)),
            None => check_target(&place),
        }
    }

    fn check_apart(&self) -> Result<(), SinkError> {
        if is_same_file(&self.places.output.path, &self.places.failures.path) {
            let name = &self.places.output.name;
            return Err(SinkError::new(format!(
                "the output and the failures are both `{name}`; name another `failures` file"
            )));
        }
        Ok(())
    }

    fn composed(&mut self, record: &Record, output: &RawValue) -> Result<(), SinkError> {
        self.scratch.clear();
        let composed = self.composer.compose(&record.bytes, output, &mut self.scratch);
        composed.map_err(|error| SinkError::new(format!("{}: {error}", self.source.place_of(record))))
    }

    fn live(&mut self) -> Result<&mut Live, SinkError> {
        let name = &self.places.live.name;
        self.live.as_mut().ok_or_else(|| SinkError::new(format!("`{name}` was not opened before it was written")))
    }
}

impl Sink for FileSink {
    fn prepare(&mut self) -> Result<(), SinkError> {
        for place in self.places.all() {
            create_folder(place)?;
            if place == &self.places.output && self.is_in_place() {
                refuse_if_open(place)?;
            }
            self.check_place(place, &place.path)?;
            probe(place, &self.run)?;
        }
        self.check_apart()?;
        self.layout.check(&self.composer, &self.source, self.storing.keeps_all || self.is_in_place())
    }

    fn open(&mut self, is_new: bool) -> Result<(), SinkError> {
        let place = &self.places.live;
        let live = Live::open(place.clone(), is_new).map_err(|error| cannot_sink("write", place, &error))?;
        self.live = Some(live);
        Ok(())
    }

    fn project(&mut self, settled: &[Projection]) -> Result<(), SinkError> {
        for Projection { record, outcome } in settled {
            let (End::Succeeded, Some(output)) = (&outcome.end, &outcome.output) else { continue };
            self.composed(record, output)?;
            let mut line = std::mem::take(&mut self.scratch);
            let live = self.live()?;
            live.add(&mut line, &record.key).map_err(|error| cannot_sink("write", live.place(), &error))?;
            self.scratch = line;
        }
        let live = self.live()?;
        live.flush().map_err(|error| cannot_sink("write", live.place(), &error))
    }

    fn restore(&mut self, record: &Record) -> Result<Option<Box<RawValue>>, SinkError> {
        let live = self.live()?;
        let line = live.line_of(&record.key);
        let Some(line) = line.map_err(|error| cannot_sink("read", live.place(), &error))? else {
            return Ok(None);
        };
        let Some(output) = self.composer.output_of(&line) else { return Ok(None) };
        // The line is this record's answer only if the two make the line again, byte for byte.
        self.composed(record, &output)?;
        live::mark(&mut self.scratch, &record.key);
        Ok((self.scratch == line.as_bytes()).then_some(output))
    }

    fn merge(&mut self) -> Result<Box<dyn Merge>, SinkError> {
        let SinkPlaces { output, failures, live, stream, in_place } = &self.places;
        let Storing { compression, encoding, keeps_all } = self.storing;
        let (mut source, mut composer, mut is_changed) = (self.source.clone(), self.composer.clone(), false);
        let mut published = None;
        if let Some(in_place) = in_place {
            let kept = self.source.files().place();
            let (found, standing) = in_place.look(output, kept)?;
            published = Some(found);
            if standing == Standing::Changed {
                // It was saved by somebody else since it was read, so what they saved is what answers go into.
                source = self.source.at(output.clone());
                source.fingerprint().map_err(|error| SinkError::environment(error.0))?;
                (composer, is_changed) = (composer.overwriting(), true);
            }
        }
        let compression = compression.unwrap_or_else(|| Compression::of_ending(&output.path));
        let mut aside = Aside::create(output, &self.run)?.stored(compression, encoding)?.to(stream.clone());
        let pen = self.layout.pen(&composer, &source, &mut aside).map_err(|error| error.at(&output.name))?;
        let is_read_beside = is_changed || (keeps_all && !self.layout.copies_the_rest());
        let original = match is_read_beside {
            true => Some(Original::begin(&source, is_changed.then(|| composer.clone()), pen.takes_rows())?),
            false => None,
        };
        let parts = self.source.parts().map_err(|error| SinkError::new(error.0))?;
        Ok(Box::new(FileMerge {
            source: self.source.clone(),
            parts: if parts.len() > 1 { parts } else { Vec::new() },
            pen,
            output: aside,
            failures: Aside::create(failures, &self.run)?,
            live: live.path.clone(),
            keeps_all,
            saves: keeps_all || self.layout.copies_the_rest(),
            original,
            in_place: published,
            has_status: composer.has_status(),
            rejected: Vec::new(),
            has_news: false,
            scratch: Vec::new(),
        }))
    }
}
