//! The files of a source.

use std::{
    fs::File,
    path::{Component, Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use domain::{PartNumber, ports::SourceError};
use encoding_rs::Encoding;
use glob::{MatchOptions, Pattern};

use super::{Compression, Place, cannot, did_you_mean};

/// How the bytes of files are stored, as far as it is declared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) compression: Option<Compression>,
    pub(crate) encoding: Option<&'static Encoding>,
}

/// One file of a source, as it was when it was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) number: PartNumber,
    pub(crate) place: Place,
    /// Its length on disk, in bytes. It is read up to there, in every pass alike.
    pub(crate) length: u64,
    pub(crate) stored: Stored,
}

impl Part {
    /// Opens the file as it lies on disk.
    pub(crate) fn file(&self) -> Result<File, SourceError> {
        open(&self.place).map(|(file, _)| file)
    }

    /// Returns how its bytes are packed.
    pub(crate) fn compression(&self) -> Compression {
        self.stored.compression.unwrap_or_else(|| Compression::of_ending(&self.place.path))
    }
}

/// The files of a source: one, or those that match a pattern.
///
/// They are fixed when their fingerprint is taken or compared. What comes or grows later is a later run's.
#[derive(Debug)]
pub(crate) struct Files {
    place: Place,
    stored: Stored,
    known: RwLock<Option<Arc<[Part]>>>,
}

impl Files {
    /// Makes the files at `place`, whose path may be a pattern.
    pub(crate) fn new(place: Place, stored: Stored) -> Self {
        Self { place, stored, known: RwLock::new(None) }
    }

    /// Returns what the user calls them.
    pub(crate) fn name(&self) -> &str {
        &self.place.name
    }

    /// Returns where they are.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Returns how their bytes are stored, as far as it is declared.
    pub(crate) fn stored(&self) -> Stored {
        self.stored
    }

    /// Returns whether they are the files that match a pattern, and not one file.
    pub(crate) fn is_pattern(&self) -> bool {
        has_wildcards(&self.place.name) && self.place.path.symlink_metadata().is_err()
    }

    /// Returns whether the one file that is meant is not there.
    pub(crate) fn is_missing(&self) -> bool {
        !self.is_pattern() && matches!(self.place.path.try_exists(), Ok(false))
    }

    /// Returns the name of the one file, with what it may have been meant to be, where it is missing.
    pub(crate) fn missing(&self) -> String {
        format!("`{}` is missing{}", self.name(), did_you_mean(&self.place))
    }

    /// Returns the parts that the run has: as they were when it looked last, or as they are.
    pub(crate) fn parts(&self) -> Result<Arc<[Part]>, SourceError> {
        match &*self.known.read().unwrap_or_else(PoisonError::into_inner) {
            Some(parts) => Ok(Arc::clone(parts)),
            None => self.look().map(Into::into),
        }
    }

    /// Fixes the parts.
    pub(crate) fn keep(&self, parts: Vec<Part>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(parts.into());
    }

    /// Looks for the parts as they are now.
    pub(crate) fn look(&self) -> Result<Vec<Part>, SourceError> {
        let places = if self.is_pattern() { self.matching()? } else { vec![self.place.clone()] };
        let parts = places.into_iter().enumerate().map(|(number, place)| {
            let (_, length) = open(&place)?;
            let number = PartNumber::try_from(number).map_err(|_| SourceError("more than 2^32 files".to_owned()))?;
            Ok(Part { number, place, length, stored: self.stored })
        });
        parts.collect()
    }

    /// Returns whether a file at `path` would be one of the parts, were it there.
    pub(crate) fn would_match(&self, path: &Path) -> bool {
        if !self.is_pattern() {
            return false;
        }
        let (base, pattern) = self.split();
        let Ok(inner) = tidy(path).strip_prefix(tidy(&base)).map(Path::to_owned) else { return false };
        Pattern::new(&pattern).is_ok_and(|pattern| pattern.matches_path_with(&inner, OPTIONS))
    }

    /// Returns the folder in which the pattern begins, and the pattern. The folder may have wildcards in its own name.
    fn split(&self) -> (PathBuf, String) {
        let name = Path::new(&self.place.name);
        // A `./` is nothing, and paths that are put together lose it.
        let named: PathBuf = name.components().filter(|component| *component != Component::CurDir).collect();
        let mut base = self.place.path.clone();
        if base.ends_with(&named) {
            for _ in named.components() {
                base.pop();
            }
        }
        // A `../` before the pattern is no part of what it is matched with.
        let mut inner = PathBuf::new();
        for component in named.components() {
            match component {
                Component::ParentDir | Component::RootDir | Component::Prefix(_) if inner.as_os_str().is_empty() => {
                    base.push(component);
                }
                other => inner.push(other),
            }
        }
        (base, inner.to_string_lossy().into_owned())
    }

    fn matching(&self) -> Result<Vec<Place>, SourceError> {
        let (base, pattern) = self.split();
        let name = self.name();
        let wrong = |what: &str| SourceError(format!("`{name}` is no pattern for files: {what}"));
        let whole = Path::new(&Pattern::escape(&base.to_string_lossy())).join(&pattern);
        let found = glob::glob_with(&whole.to_string_lossy(), OPTIONS).map_err(|error| wrong(error.msg))?;
        let mut paths = Vec::new();
        for path in found {
            let path = path.map_err(|error| {
                let place = Place { path: error.path().to_owned(), name: self.called(error.path(), &base) };
                SourceError(cannot("look into", &place, error.error()))
            })?;
            if path.is_file() {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(SourceError(format!("no file matches `{name}`; see what is in its folder")));
        }
        paths.sort_unstable();
        Ok(paths.into_iter().map(|path| Place { name: self.called(&path, &base), path }).collect())
    }

    /// Returns a path that matched as the user would write it: like the pattern, relative to the same folder.
    fn called(&self, path: &Path, base: &Path) -> String {
        let Ok(inner) = path.strip_prefix(base) else { return path.display().to_string() };
        let before: PathBuf = Path::new(self.name())
            .components()
            .filter(|component| *component != Component::CurDir)
            .take_while(|part| matches!(part, Component::ParentDir | Component::RootDir | Component::Prefix(_)))
            .collect();
        before.join(inner).display().to_string()
    }
}

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

fn has_wildcards(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// Returns a path without `.` and with `..` taken back, as far as names tell.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if tidy.file_name().is_some() => {
                tidy.pop();
            }
            other => tidy.push(other),
        }
    }
    tidy
}

/// Opens a file that is read, with its length.
fn open(place: &Place) -> Result<(File, u64), SourceError> {
    let name = &place.name;
    let broken = |error| SourceError(cannot("read", place, &error));
    let file = File::open(&place.path).map_err(|error| {
        let is_missing = matches!(place.path.try_exists(), Ok(false));
        let hint = if is_missing { did_you_mean(place) } else { String::new() };
        SourceError(cannot("read", place, &error) + &hint)
    })?;
    let about = file.metadata().map_err(broken)?;
    if about.is_dir() {
        let message = format!("cannot read `{name}`: it is a folder; name a file in it, or several: `{name}/*`");
        return Err(SourceError(message));
    }
    if !about.is_file() {
        // Positions and offsets are of use only where the same bytes can be read again.
        return Err(SourceError(format!("cannot read `{name}`: it is not a regular file; save its content in one")));
    }
    Ok((file, about.len()))
}
