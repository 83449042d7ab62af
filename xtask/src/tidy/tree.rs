//! The files of the repository as the checks see them.

use std::{fs, io, path::Path};

use anyhow::Result;

use crate::shell;

/// A text file of the repository.
pub(super) struct File {
    /// Its path from the root, with slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// Returns the lines with their numbers from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// All text files that git holds or would hold, and the report of the last test run.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
    /// Paths of all files, also of those that are no text.
    pub(super) paths: Vec<String>,
    /// What nextest reported, if tests ran.
    pub(super) report: Option<String>,
}

impl Tree {
    /// Reads the repository at `root`. Files that git ignores are not part of it.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut git = shell::program(root, "git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = shell::run_quietly(&mut git)?;
        let mut files = Vec::new();
        let mut paths = Vec::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            let bytes = match fs::read(root.join(path)) {
                Ok(bytes) => bytes,
                // Deleted, but not yet in git.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(anyhow::Error::new(error).context(format!("cannot read `{path}`"))),
            };
            paths.push(path.to_owned());
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path: path.to_owned(), text });
            }
        }
        let report = fs::read_to_string(root.join(super::REPORT)).ok();
        Ok(Self { files, paths, report })
    }

    /// Creates a tree of these files, for tests.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files: Vec<File> =
            files.iter().map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() }).collect();
        let paths = files.iter().map(|file| file.path.clone()).collect();
        Self { files, paths, report: None }
    }

    /// Returns the file at `path`.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Returns the files under `folder` whose name ends with `end`.
    pub(super) fn under<'t>(&'t self, folder: &'t str, end: &'t str) -> impl Iterator<Item = &'t File> {
        self.files.iter().filter(move |file| file.path.starts_with(folder) && file.path.ends_with(end))
    }

    /// Returns whether a file or folder exists at `path`.
    pub(super) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.paths.iter().any(|known| known == path || known.starts_with(&folder))
    }
}
