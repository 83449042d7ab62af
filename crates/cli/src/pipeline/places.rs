//! Where the tables of a pipeline lie: files relative to its own, and what standard input and output stand for.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use connect::{Place, SinkConfig, SinkPlaces, SourceConfig};

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

    /// Returns where a sink writes. What goes to standard output is held in `folder` until it is whole.
    pub(crate) fn sink(&self, config: &SinkConfig, folder: &Path, step: &str) -> SinkPlaces {
        let failures = config.failures().map(|path| self.place(path));
        let places = SinkPlaces::beside(self.output(config), failures);
        if !config.is_standard_output() {
            return places;
        }
        SinkPlaces {
            output: Place { path: folder.join(format!("output-{step}")), name: "standard output".to_owned() },
            stream: Some(Arc::new(Mutex::new(std::io::stdout()))),
            ..places
        }
    }

    /// Returns the file beside which lies what belongs to an output: its own, or for standard output one of the
    /// pipeline's name beside the pipeline file.
    pub(crate) fn output(&self, config: &SinkConfig) -> Place {
        if config.is_standard_output() {
            return self.place(&PathBuf::from(format!("{}.{}", self.name, config.word())));
        }
        self.place(config.path())
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }
}
