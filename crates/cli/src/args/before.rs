//! What is said before a run: the file, what it comes to, what it would take.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;

use super::State;
use crate::pipeline::{TokenMode, TokenSample};

/// The file that says what to do.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(crate) struct PipelineFile {
    /// The pipeline file, or AI-DataFlux's `config.yaml`.
    file: Option<PathBuf>,
    /// The same, as AI-DataFlux has it.
    #[arg(short = 'c', long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl PipelineFile {
    /// Names a file.
    pub(crate) fn of(file: PathBuf) -> Self {
        Self { file: Some(file), config: None }
    }

    /// Returns the file, in whichever way it was named.
    pub(crate) fn path(&self) -> &Path {
        self.file.as_deref().or(self.config.as_deref()).unwrap_or(Path::new(""))
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Import {
    /// The file of the other tool.
    pub(crate) file: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Estimate {
    #[command(flatten)]
    pub(crate) file: PipelineFile,
    /// Use this models file instead of the pipeline's.
    #[arg(long, value_name = "FILE")]
    pub(crate) models: Option<PathBuf>,
    /// Estimate the first N records of each source only.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Count the prompts, the answers that are there, or both. As the pipeline says, else `in`, unless given.
    #[arg(long, value_name = "WHAT")]
    pub(crate) mode: Option<TokenMode>,
    /// Count the first N records only, and reckon what all take; `all` or -1 counts every one. As the pipeline says unless
    /// given.
    #[arg(long, value_name = "N", allow_hyphen_values = true, conflicts_with = "limit")]
    pub(crate) sample: Option<TokenSample>,
    /// Reckon with answers of N tokens, where no run has answers yet.
    #[arg(long, value_name = "N")]
    pub(crate) answer_tokens: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: State,
}
