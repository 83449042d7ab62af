//! Where the tables of a pipeline lie: files relative to its own, and what standard input and output stand for.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use connect::{InPlace, Place, SinkConfig, SinkPlaces, SourceConfig};

use super::StepConfig;

/// The pipeline that tables are named in.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    /// The file, absolute.
    pub(crate) file: &'a Path,
    /// The pipeline's name.
    pub(crate) name: &'a str,
}

impl Named<'_> {
    /// Returns a file that the pipeline names.
    pub(crate) fn place(&self, path: &Path) -> Place {
        Place { path: self.folder().join(path), name: path.display().to_string() }
    }

    /// Returns where a source is read. Standard input is read from its copy, which lies in the run's `folder`.
    pub(crate) fn source(&self, config: &SourceConfig, folder: &Path, step: &str) -> Place {
        if config.is_standard_input() {
            return Place { path: folder.join(format!("input-{step}")), name: "standard input".to_owned() };
        }
        self.place(config.path())
    }

    /// Returns whether a step writes its answers into the file that it reads.
    pub(crate) fn is_in_place(&self, step: &StepConfig) -> bool {
        let (source, sink) = (&step.source.table, &step.sink);
        let is_database = source.is_database() || sink.is_database();
        let are_files = !is_database && !source.is_standard_input() && !sink.is_standard_output();
        are_files && connect::is_same_path(&self.place(source.path()).path, &self.place(sink.path()).path)
    }

    /// Returns where the run in `folder` keeps what it read, where the step writes its answers into the file that it reads:
    /// what is read for the second time must be what was read for the first.
    pub(crate) fn kept(&self, step: &StepConfig, folder: &Path, name: &str) -> Option<Place> {
        if !self.is_in_place(step) {
            return None;
        }
        let read = self.place(step.source.table.path());
        let file = read.path.file_name().unwrap_or_default().to_string_lossy();
        Some(Place { path: folder.join(format!("input-{name}-{file}")), name: read.name })
    }

    /// Returns where a run in `folder` notes what it puts in place of the file that a step reads.
    pub(crate) fn in_place(&self, folder: &Path, name: &str) -> InPlace {
        let path = folder.join(format!("published-{name}"));
        InPlace { note: Place { name: path.display().to_string(), path } }
    }

    /// Returns where a sink writes. What goes to standard output is held in `folder` until it is whole.
    pub(crate) fn sink(&self, step_config: &StepConfig, folder: &Path, step: &str) -> SinkPlaces {
        let config = &step_config.sink;
        let failures = config.failures().map(|path| self.place(path));
        let places = SinkPlaces::beside(self.output(config), failures);
        if self.is_in_place(step_config) {
            return SinkPlaces { in_place: Some(self.in_place(folder, step)), ..places };
        }
        if !config.is_standard_output() {
            return places;
        }
        SinkPlaces {
            output: Place { path: folder.join(format!("output-{step}")), name: "standard output".to_owned() },
            stream: Some(Arc::new(Mutex::new(std::io::stdout()))),
            ..places
        }
    }

    /// Returns the file beside which lies what belongs to an output: its own, or for standard output and for
    /// tables of databases one of the pipeline's name beside the pipeline file.
    pub(crate) fn output(&self, config: &SinkConfig) -> Place {
        if config.is_standard_output() || config.is_database() {
            return self.place(&PathBuf::from(format!("{}.{}", self.name, config.word())));
        }
        self.place(config.path())
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }
}
