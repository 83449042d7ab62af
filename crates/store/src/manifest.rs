//! What a run is: written when it begins, and when its outputs are in place.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use domain::{
    Timestamp,
    ports::{Artefact, Fingerprint},
    price::Prices,
};
use serde::{Deserialize, Serialize};

/// The version of the run folder's layout.
pub const FORMAT_VERSION: u32 = 1;

/// Why a manifest cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file system says no.
    #[error("cannot {what} `{path}`: {reason}{}", crate::run_folder::advice(reason))]
    Io {
        /// What was tried.
        what: &'static str,
        /// The manifest.
        path: PathBuf,
        /// The reason.
        reason: io::Error,
    },
    /// It is not a manifest.
    #[error("`{path}` is not a manifest of a run: {reason}")]
    Malformed {
        /// The manifest.
        path: PathBuf,
        /// The reason.
        reason: serde_json::Error,
    },
    /// It is from a later version.
    #[error(
        "`{path}` was written by a newer Tidemill (format {found}; this one reads up to {FORMAT_VERSION}): use that one"
    )]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// Where a run stands, computed by whoever looks: never set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// A process works on it.
    Running,
    /// It can be gone on with.
    Interrupted,
    /// Every record is settled and every output is in place.
    Done,
}

/// What a run is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the layout.
    pub format: u32,
    /// The run's id.
    pub id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline file as the user named it, absolute.
    pub file: PathBuf,
    /// The pipeline file's text when the run began.
    pub frozen: String,
    /// The hash of everything that decides answers: templates, fields, models' parameters, sources (32 digits).
    pub identity: String,
    /// What makes up the identity, in words, so that a change can be named.
    pub identity_parts: BTreeMap<String, String>,
    /// When it began.
    pub begun: Timestamp,
    /// The version that began it.
    pub version: String,
    /// The models file that the run used last, absolute.
    #[serde(default)]
    pub models_file: Option<PathBuf>,
    /// What tokens cost by that file, so that a report can be made without it.
    #[serde(default)]
    pub prices: Prices,
    /// `--limit`, if the run was given one.
    #[serde(default)]
    pub limit: Option<u64>,
    /// How many steps the pipeline has.
    #[serde(default)]
    pub n_steps: usize,
    /// Their names, in order.
    #[serde(default)]
    pub step_names: Vec<String>,
    /// The models that the built-in scripted vendor answered for when the run was last worked on; none in an honest run.
    #[serde(default)]
    pub simulated: Vec<String>,
    /// The sources, by step.
    pub inputs: BTreeMap<String, Fingerprint>,
    /// How each step's sink was configured when its outputs were written, as a hash.
    #[serde(default)]
    pub sinks: BTreeMap<String, String>,
    /// The outputs that are in place, by step.
    #[serde(default)]
    pub artefacts: BTreeMap<String, Vec<Artefact>>,
    /// Records in the sources when the outputs were written, by step: with the journal's counts it decides whether the
    /// run is done.
    #[serde(default)]
    pub n_records: BTreeMap<String, u64>,
    /// Whether the account of the outputs that are in place was written.
    #[serde(default)]
    pub told: bool,
    /// Records that have fewer accepted answers than they should, by step, where that was asked for.
    #[serde(default)]
    pub short: BTreeMap<String, u64>,
}

impl Manifest {
    /// Reads the manifest in a run's folder.
    ///
    /// # Errors
    /// Where there is none that this version can read.
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let path = path_in(folder);
        let text = fs::read(&path).map_err(|reason| ManifestError::Io { what: "read", path: path.clone(), reason })?;
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let malformed = |reason| ManifestError::Malformed { path: path.clone(), reason };
        let version: Version = serde_json::from_slice(&text).map_err(malformed)?;
        if version.format > FORMAT_VERSION {
            return Err(ManifestError::Newer { path, found: version.format });
        }
        serde_json::from_slice(&text).map_err(malformed)
    }

    /// Writes the manifest aside, syncs it and renames it into place.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(&self, folder: &Path) -> Result<(), ManifestError> {
        let path = path_in(folder);
        let wrap = |reason| ManifestError::Io { what: "write", path: path.clone(), reason };
        let text = serde_json::to_vec_pretty(self).map_err(|e| wrap(io::Error::other(e)))?;
        crate::run_folder::replace(&path, &text).map_err(wrap)
    }
}

fn path_in(folder: &Path) -> PathBuf {
    folder.join("manifest.json")
}
