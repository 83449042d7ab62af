//! The identity of a record within a run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a step in its pipeline, in file order from 0.
pub type StepNumber = u16;
/// The number of a source part (one file of several) from 0.
pub type PartNumber = u32;
/// The number of a sample of one record from 0.
pub type SampleNumber = u32;

/// The identity of a record: where it stands in the source, not what it says.
///
/// Equal prompts in two rows are two records. A user's own key is checked for being unique and printed beside the
/// position, but the position identifies: sources are not allowed to change under a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// The step whose record this is.
    #[serde(rename = "s")]
    pub step: StepNumber,
    /// The part of the source.
    #[serde(rename = "f")]
    pub part: PartNumber,
    /// The number of samples of one record that were asked for before this one.
    #[serde(rename = "n")]
    pub sample: SampleNumber,
    /// The position in the part, from 0, counting every record including blank and bad ones.
    #[serde(rename = "p")]
    pub position: u64,
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}#{}", self.step, self.part, self.position, self.sample)
    }
}
