//! Where a finished run leaves its report.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use connect::Place;
use store::RunFolder;

use super::{Format, Heard, assemble::of_heard, render};
use crate::language::Language;

/// Endings that say how a file is packed, and not what it is.
const PACKED: [&str; 3] = ["gz", "zst", "zstd"];

/// Writes the report of a run in every one of `formats` beside its first output: `out/labels.jsonl` gets
/// `out/labels.report.md` and its like. Each file is written aside, synced and renamed. Returns what was written, as the
/// pipeline would name it. `heard` is what this process heard of the journal, where that is all of it and it is sound.
///
/// # Errors
/// Where the journal cannot be read or a file cannot be written.
pub(crate) fn write(
    folder: &RunFolder,
    formats: &[Format],
    output: &Place,
    language: Language,
    heard: Option<&Heard>,
) -> anyhow::Result<Vec<String>> {
    if formats.is_empty() {
        return Ok(Vec::new());
    }
    let report = of_heard(folder, heard)?;
    let mut written = Vec::new();
    for format in formats {
        let name = beside(Path::new(&output.name), *format).display().to_string();
        // One that is named twice is written once.
        if !written.contains(&name) {
            replace(&beside(&output.path, *format), &render(&report, *format, language)?)?;
            written.push(name);
        }
    }
    Ok(written)
}

/// Replaces a file as a whole: whoever reads it sees the old one or the new one.
///
/// # Errors
/// As the file system says.
pub(crate) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let aside = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().with_context(|| format!("cannot write the report `{}`", path.display()))
}

/// Returns the name of the report beside an output.
fn beside(output: &Path, format: Format) -> PathBuf {
    let is_packed = output.extension().is_some_and(|ending| PACKED.iter().any(|packed| ending == *packed));
    let unpacked = if is_packed { output.with_extension("") } else { output.to_owned() };
    unpacked.with_extension(format!("report.{}", format.extension()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_stands_beside_the_output_and_bears_its_name() {
        for (output, report) in [
            ("out/labels.jsonl", "out/labels.report.html"),
            ("labels.csv.gz", "labels.report.html"),
            ("a.b.jsonl", "a.b.report.html"),
            ("plain", "plain.report.html"),
        ] {
            assert_eq!(beside(Path::new(output), Format::Html), Path::new(report));
        }
    }
}
