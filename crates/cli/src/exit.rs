//! Exit statuses: a script must be able to tell what happened.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All records settled as the pipeline tolerates.
    Done = 0,
    /// Some records failed or were skipped beyond what the pipeline tolerates, or the run is not done.
    Beyond = 1,
    /// The command line or a configuration file is wrong.
    Configuration = 2,
    /// The environment does not let us: disk, permissions, a run that is in use.
    Environment = 3,
    /// Stopped early and resumable: a dead key, no credit, an outage.
    Stopped = 4,
    /// Interrupted by the user; the state is safe.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // Every status fits a byte: they are listed above.
        ExitCode::from(exit as u8)
    }
}

/// An error of configuration; everything else that fails is the environment's.
#[derive(Debug)]
pub(crate) struct ConfigurationError(pub(crate) String);

impl std::fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigurationError {}

/// Returns the status of an error.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    if error.is::<ConfigurationError>() { Exit::Configuration } else { Exit::Environment }
}
