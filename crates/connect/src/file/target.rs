//! Whether a file can be written where it is to be.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use domain::ports::SinkError;

use super::{Place, cannot_sink};

/// Creates the folder of `place`, with those above it.
pub(crate) fn create_folder(place: &Place) -> Result<(), SinkError> {
    fs::create_dir_all(place.folder()).map_err(|error| {
        let folder = Place { path: place.folder().to_owned(), name: place.folder_name() };
        cannot_sink("create the folder", &folder, &error)
    })
}

/// Makes sure that what stands at `place`, if anything, is a file that may be replaced.
pub(crate) fn check_target(place: &Place) -> Result<(), SinkError> {
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
pub(crate) fn probe(place: &Place, run: &str) -> Result<(), SinkError> {
    try_out(&place.path, run).map_err(|error| cannot_sink("write", place, &error))
}

/// Creates, fills and removes a file beside `path`.
pub(crate) fn try_out(path: &Path, run: &str) -> io::Result<()> {
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
