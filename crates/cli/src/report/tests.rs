//! Reports of scripted journals.

use domain::{AnswerMeta, End, Outcome, RecordKey, Timestamp};

/// An outcome of the record at `position`, which succeeded.
pub(super) fn outcome(position: u64) -> Outcome {
    Outcome {
        key: RecordKey { step: 0, part: 0, position, sample: 0 },
        line: position + 1,
        offset: 0,
        hash: position,
        request: None,
        end: End::Succeeded,
        output: None,
        attempts: 1,
        meta: AnswerMeta::default(),
        derived: None,
        at: Timestamp(1000),
        same_as: None,
        reparsed: false,
        restored: false,
    }
}
