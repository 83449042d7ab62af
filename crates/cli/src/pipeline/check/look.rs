//! A pipeline for those who look at what it reads, and ask nothing: whatever else is wrong with it is not their concern.

use std::path::{Path, PathBuf};

use super::{Pipeline, theirs};
use crate::config::{self, Diagnostic};

/// A pipeline, and its file, absolute.
pub(crate) struct Looked {
    pub(crate) pipeline: Pipeline,
    pub(crate) file: PathBuf,
}

/// Reads the pipeline at `file`; the mistakes in it, where it is none.
///
/// # Errors
/// Where the file cannot be read.
pub(crate) fn look(file: &Path) -> anyhow::Result<Result<Looked, Vec<Diagnostic>>> {
    let bytes = super::read(file, "pipeline")?;
    let text = match config::decode(file, &bytes) {
        Ok(text) => text,
        Err(diagnostic) => return Ok(Err(vec![*diagnostic])),
    };
    let (pipeline, diagnostics) = match theirs::read(file, text) {
        Some(made) => (made.pipeline, made.diagnostics),
        None => {
            let (pipeline, _, diagnostics) = config::read::<Pipeline>(file, text);
            (pipeline, diagnostics)
        }
    };
    let absolute = std::path::absolute(file)?;
    Ok(pipeline.map(|pipeline| Looked { pipeline, file: absolute }).ok_or(diagnostics))
}
