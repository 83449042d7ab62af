//! How a record ended.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Failure, FailureKind, Usage};

/// Why a record was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The line is empty or white space only.
    Blank,
    /// The bytes are not valid text in the source's encoding, or hold NUL bytes.
    BadText,
    /// The text is not a record in the source's format.
    BadRecord,
    /// The record is longer than the configured limit.
    TooLong,
    /// A field that the work needs is not there.
    MissingField,
    /// The user's key field repeats a value of an earlier record.
    DuplicateKey,
    /// A new field's name stands in the record already and `overwrite` is off.
    NameTaken,
    /// A filter of the pipeline left the record out.
    Filtered,
    /// Every answer column of the record holds something already, and only those that lack an answer are worked on.
    Answered,
}

impl SkipReason {
    /// Every reason, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::Blank,
        Self::BadText,
        Self::BadRecord,
        Self::TooLong,
        Self::MissingField,
        Self::DuplicateKey,
        Self::NameTaken,
        Self::Filtered,
        Self::Answered,
    ];

    /// Returns the word used in files and reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::BadText => "bad_text",
            Self::BadRecord => "bad_record",
            Self::TooLong => "too_long",
            Self::MissingField => "missing_field",
            Self::DuplicateKey => "duplicate_key",
            Self::NameTaken => "name_taken",
            Self::Filtered => "filtered",
            Self::Answered => "answered",
        }
    }

    /// Returns whether a run with such a skip did all that it was asked: nothing was there to do.
    #[must_use]
    pub fn is_expected(self) -> bool {
        matches!(self, Self::Blank | Self::Filtered | Self::Answered)
    }
}

/// What is known of an answer besides its text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerMeta {
    /// Tokens billed, where the upstream said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The model that answered, as the upstream names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The upstream's name in the models file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// From send to the whole answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Why the model stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The upstream's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How many characters the text of the answer has, or of what the model said instead where it declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub characters: Option<u64>,
}

/// What a handler brings back for one record: the raw answer, and the verdict derived from it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The new fields as one JSON object.
    pub output: Box<RawValue>,
    /// The answer as it came, kept so that it can be read again without paying.
    pub raw: Bytes,
    /// What is known besides.
    pub meta: AnswerMeta,
    /// Records made from this one (a page that fans out), each a JSON object.
    pub derived: Vec<Box<RawValue>>,
}

/// How a record ended: in exactly one of five ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The answer passed.
    Succeeded,
    /// Gave up; the failure of the last attempt.
    Failed(Failure),
    /// Never worked on, and why.
    Skipped {
        /// The reason, for counting.
        reason: SkipReason,
        /// The reason, for people: file, line, field.
        message: String,
    },
    /// The user called it off.
    Cancelled,
    /// The work came back without it.
    Missing,
}

/// The five ways, without their details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndClass {
    /// See [`End::Succeeded`].
    Succeeded,
    /// See [`End::Failed`].
    Failed(FailureKind),
    /// See [`End::Skipped`].
    Skipped(SkipReason),
    /// See [`End::Cancelled`].
    Cancelled,
    /// See [`End::Missing`].
    Missing,
}

impl End {
    /// Returns the end without its details.
    #[must_use]
    pub fn class(&self) -> EndClass {
        match self {
            Self::Succeeded => EndClass::Succeeded,
            Self::Failed(failure) => EndClass::Failed(failure.kind),
            Self::Skipped { reason, .. } => EndClass::Skipped(*reason),
            Self::Cancelled => EndClass::Cancelled,
            Self::Missing => EndClass::Missing,
        }
    }
}

/// The settled end of a record, as the journal keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Whose end.
    pub key: crate::RecordKey,
    /// The line (row) number from 1, for people.
    pub line: u64,
    /// The offset in bytes at which the record began in its part: a resumed read starts from it.
    #[serde(default)]
    pub offset: u64,
    /// The guard hash of the record's bytes.
    pub hash: u64,
    /// The hash of the request that was answered (32 hexadecimal digits).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex128")]
    pub request: Option<u128>,
    /// How it ended.
    pub end: End,
    /// The new fields, for a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// Attempts made, this one included; lane pauses are not attempts.
    pub attempts: u32,
    /// What is known of the answer.
    #[serde(default)]
    pub meta: AnswerMeta,
    /// Records made from this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<crate::Derived>,
    /// When it was settled.
    pub at: crate::Timestamp,
    /// The record whose identical request was asked, where this one was answered with its answer (`dedupe`): the raw
    /// answer lies with that one, and nothing was billed for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<crate::RecordKey>,
    /// The answer was judged again, by other rules than when it came, or the sink did not take it: it was billed before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reparsed: bool,
    /// The answer was taken back from the sink because its journal frame is damaged; the raw bytes are lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
}

impl Outcome {
    /// Makes the end of a record that was not asked about: of no request, and without an answer.
    #[must_use]
    pub fn of(record: &crate::Record, end: End, at: crate::Timestamp) -> Self {
        Self {
            key: record.key,
            line: record.origin.line,
            offset: record.origin.offset,
            hash: record.hash(),
            request: None,
            end,
            output: None,
            attempts: 0,
            meta: AnswerMeta::default(),
            derived: None,
            at,
            same_as: None,
            reparsed: false,
            restored: false,
        }
    }

    /// Returns whether the last attempt at the record ended with this: it did not if nothing was asked, or if the answer
    /// was there before.
    #[must_use]
    pub fn is_of_attempt(&self) -> bool {
        self.attempts > 0 && self.same_as.is_none() && !self.reparsed && !self.restored
    }

    /// Returns whether there is an answer that passed and that the sink did not take.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        let kind = match &self.end {
            End::Failed(failure) => Some(failure.kind),
            _ => None,
        };
        matches!(kind, Some(FailureKind::WriteRejected | FailureKind::Conflict))
    }
}

impl EndClass {
    /// Returns the class as one byte, for the journal's index. A disk format: codes are never reused.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::Cancelled => 1,
            Self::Missing => 2,
            Self::Failed(kind) => 16 + kind as u8,
            Self::Skipped(reason) => 64 + reason as u8,
        }
    }

    /// Returns the class of a code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Succeeded),
            1 => Some(Self::Cancelled),
            2 => Some(Self::Missing),
            16..64 => FailureKind::ALL.get(usize::from(code) - 16).copied().map(Self::Failed),
            64.. => SkipReason::ALL.get(usize::from(code) - 64).copied().map(Self::Skipped),
            _ => None,
        }
    }
}

mod hex128 {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(value: &Option<u128>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(hash) => serializer.collect_str(&format_args!("{hash:032x}")),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u128>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|t| u128::from_str_radix(&t, 16).map_err(serde::de::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_code_of_its_own() {
        let mut classes = vec![EndClass::Succeeded, EndClass::Cancelled, EndClass::Missing];
        classes.extend(FailureKind::ALL.map(EndClass::Failed));
        classes.extend(SkipReason::ALL.map(EndClass::Skipped));
        for class in classes {
            assert_eq!(EndClass::from_code(class.code()), Some(class));
        }
        assert_eq!(EndClass::from_code(9), None);
        assert_eq!(EndClass::from_code(255), None);
    }
}
