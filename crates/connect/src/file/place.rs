//! Files as the pipeline names them, and what stands in their way in words.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

use domain::ports::SinkError;

use super::Compression;

/// A file: where it is, and what the user calls it. Messages and artefacts carry the name, never the resolved path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path that is opened.
    pub path: PathBuf,
    /// The path as the pipeline file has it.
    pub name: String,
}

impl Place {
    /// Returns the file beside this one whose name is the stem with `suffix`: `out/a.jsonl` → `out/a.partial.jsonl`, and
    /// `out/a.csv.gz` → `out/a.partial.jsonl`.
    #[must_use]
    pub fn beside(&self, suffix: &str) -> Self {
        let sibling = |path: &Path| {
            let is_compressed = Compression::of_ending(path) != Compression::None;
            let inner = if is_compressed { path.with_extension("") } else { path.to_owned() };
            let mut name = inner.file_stem().unwrap_or(OsStr::new("output")).to_owned();
            name.push(suffix);
            path.with_file_name(name)
        };
        Self { path: sibling(&self.path), name: sibling(Path::new(&self.name)).to_string_lossy().into_owned() }
    }

    /// Returns where the file would be if all the folders on its way existed: `new/../a.jsonl` → `a.jsonl`.
    pub(crate) fn with_folders(&self) -> Self {
        let mut path = PathBuf::new();
        for component in self.path.components() {
            if component == Component::ParentDir && path.symlink_metadata().is_err() && path.pop() {
                continue;
            }
            path.push(component);
        }
        Self { path, name: self.name.clone() }
    }

    /// Returns the folder in which the file lies.
    pub(crate) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// Returns what the user calls the folder.
    pub(crate) fn folder_name(&self) -> String {
        match Path::new(&self.name).parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_string_lossy().into_owned(),
            _ => ".".to_owned(),
        }
    }
}

/// Returns a sentence on a file that cannot be read, written or whatever `verb` says, with what to do about it.
pub(crate) fn cannot(verb: &str, place: &Place, error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let (what, advice) = match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => (
            "the disk is full".to_owned(),
            "; free some space there and run the same command again: what is settled is kept",
        ),
        Kind::ReadOnlyFilesystem => {
            ("the file system is read-only".to_owned(), "; write to another folder, or mount it for writing")
        }
        Kind::PermissionDenied => {
            ("permission denied".to_owned(), "; change the permissions of the file or its folder, or name another one")
        }
        Kind::NotFound => ("there is no such file".to_owned(), ""),
        _ => (error.to_string(), ""),
    };
    format!("cannot {verb} `{}`: {what}{advice}", place.name)
}

/// Returns what [`cannot`] says as the error of a sink: the environment's fault, unless the path itself can be no file's.
pub(crate) fn cannot_sink(verb: &str, place: &Place, error: &io::Error) -> SinkError {
    use io::ErrorKind as Kind;
    let message = cannot(verb, place, error);
    match error.kind() {
        Kind::NotADirectory | Kind::IsADirectory | Kind::AlreadyExists | Kind::InvalidFilename | Kind::InvalidInput => {
            SinkError::new(message)
        }
        _ => SinkError::environment(message),
    }
}

/// Returns what to add to the error about a missing file: the name that was meant, if one is near.
pub(crate) fn did_you_mean(place: &Place) -> String {
    /// A folder of a million files is not worth listing for a hint.
    const LISTED: usize = 10_000;
    /// Below this, suggestions are noise (Jaro-Winkler).
    const NEAR: f64 = 0.85;
    let Ok(entries) = fs::read_dir(place.folder()) else {
        return format!("; its folder `{}` does not exist either", place.folder_name());
    };
    let wanted = place.path.file_name().unwrap_or_default().to_string_lossy();
    let mut near: Vec<(f64, String)> = entries
        .take(LISTED)
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .map(|name| (strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    near.truncate(3);
    match near.as_slice() {
        [] => format!("; nothing in `{}` has a name like it", place.folder_name()),
        found => {
            let names: Vec<String> = found
                .iter()
                .map(|(_, name)| format!("`{}`", Path::new(&place.name).with_file_name(name).display()))
                .collect();
            format!("; did you mean {}?", names.join(" or "))
        }
    }
}

/// Returns whether two paths mean one file of one name: spelled otherwise, or through symbolic links.
#[must_use]
pub fn is_same_path(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// Returns whether two paths lead to the same file, through symbolic links and hard links too.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b || is_same_inode(&a, &b),
        // A file that does not exist yet is told apart by its name alone.
        _ => a == b,
    }
}

#[cfg(unix)]
fn is_same_inode(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Elsewhere the standard library tells no file's identity; the canonical path has to do.
#[cfg(not(unix))]
fn is_same_inode(_: &Path, _: &Path) -> bool {
    false
}

/// Makes the names in a folder durable, where the system has a way to.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
