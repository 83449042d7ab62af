//! A pipeline for those who look at what it reads, and ask nothing: whatever else is wrong with it is not their concern.

use std::path::{Path, PathBuf};

use super::{Pipeline, parse};
use crate::config::Diagnostic;

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
    let absolute = std::path::absolute(file)?;
    let (pipeline, _, diagnostics) = match parse(file)? {
        Ok(parsed) => parsed.read,
        Err(diagnostic) => return Ok(Err(vec![*diagnostic])),
    };
    Ok(pipeline.map(|pipeline| Looked { pipeline, file: absolute }).ok_or(diagnostics))
}
