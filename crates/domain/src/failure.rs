//! How an attempt fails, and what that costs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of failure: the one vocabulary of retries, reports and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The upstream asked us to slow down.
    Throttled,
    /// The upstream could not be reached, or answered that it is broken.
    Unavailable,
    /// No answer within the deadline.
    Timeout,
    /// An answer came, and it is not what was asked for.
    InvalidOutput,
    /// The model declined.
    Refused,
    /// The upstream says that the request itself is wrong.
    Rejected,
    /// The key is not accepted.
    Unauthorized,
    /// The account has no credit left.
    ExhaustedCredit,
    /// The sink did not take the answer; the answer is kept.
    WriteRejected,
    /// The record was changed by someone else since it was read.
    Conflict,
    /// A remote object came back without this record.
    Missing,
    /// A fault of our own.
    Internal,
    /// A candidate that the user's own predicate turned down, where records are asked for until so many are accepted.
    NotAccepted,
}

/// Why an answer is not what was asked for: the reasons within [`FailureKind::InvalidOutput`] and
/// [`FailureKind::Refused`], each counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The answer was cut off at the limit of tokens.
    Length,
    /// There is no answer, or white space alone.
    Empty,
    /// There is no JSON in the answer where some was asked for.
    NoJson,
    /// A field that was asked for is missing, or has a value that is not allowed.
    Schema,
    /// The thought that the answer must begin with is missing.
    MissingThink,
    /// The text does not match the pattern that it must match, or matches the one that it must not.
    Pattern,
    /// The model asked for a tool that it does not have.
    ToolCall,
    /// The model declined in its answer.
    Declined,
    /// The upstream's content filter stopped the answer.
    Filtered,
}

impl Reason {
    /// Every reason, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::Length,
        Self::Empty,
        Self::NoJson,
        Self::Schema,
        Self::MissingThink,
        Self::Pattern,
        Self::ToolCall,
        Self::Declined,
        Self::Filtered,
    ];

    /// Returns the word used in files and reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Empty => "empty",
            Self::NoJson => "no_json",
            Self::Schema => "schema",
            Self::MissingThink => "missing_think",
            Self::Pattern => "pattern",
            Self::ToolCall => "tool_call",
            Self::Declined => "declined",
            Self::Filtered => "filtered",
        }
    }
}

/// The groups that share a retry budget: AI-DataFlux's three classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureGroup {
    /// The way to the model.
    Api,
    /// What the model said.
    Content,
    /// Ourselves.
    System,
}

impl FailureKind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 13] = [
        Self::Throttled,
        Self::Unavailable,
        Self::Timeout,
        Self::InvalidOutput,
        Self::Refused,
        Self::Rejected,
        Self::Unauthorized,
        Self::ExhaustedCredit,
        Self::WriteRejected,
        Self::Conflict,
        Self::Missing,
        Self::Internal,
        Self::NotAccepted,
    ];

    /// Returns the group whose budget pays for asking again, or `None` where asking again cannot help.
    #[must_use]
    pub fn group(self) -> Option<FailureGroup> {
        match self {
            Self::Throttled | Self::Unavailable | Self::Timeout | Self::Missing => Some(FailureGroup::Api),
            // A refusal is final unless the pipeline says otherwise; see [`Failure::is_final`].
            Self::InvalidOutput | Self::Refused => Some(FailureGroup::Content),
            Self::Internal => Some(FailureGroup::System),
            Self::Rejected
            | Self::Unauthorized
            | Self::ExhaustedCredit
            | Self::WriteRejected
            | Self::Conflict
            | Self::NotAccepted => None,
        }
    }

    /// Returns the word used in files, flags and reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::InvalidOutput => "invalid_output",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Unauthorized => "unauthorized",
            Self::ExhaustedCredit => "exhausted_credit",
            Self::WriteRejected => "write_rejected",
            Self::Conflict => "conflict",
            Self::Missing => "missing",
            Self::Internal => "internal",
            Self::NotAccepted => "not_accepted",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Who pays for a failed attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// The record's budget.
    #[default]
    Record,
    /// The lane: it pauses, and the record goes back to the queue as if it had not been tried.
    Lane,
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Failure {
    /// The kind, which decides what happens next.
    pub kind: FailureKind,
    /// What happened, for people; never a key.
    pub message: String,
    /// How long the upstream asked us to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Who pays.
    #[serde(default)]
    pub cost: Cost,
    /// Why an answer is not what was asked for, where it is an answer that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Asking again is not wanted, whatever the kind: the pipeline says what such an answer is worth.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_final: bool,
}

impl Failure {
    /// Makes a failure that the record pays for.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after_ms: None, cost: Cost::Record, reason: None, is_final: false }
    }

    /// Adds why an answer is not what was asked for.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Makes it the last one: the record is not asked about again.
    #[must_use]
    pub fn finally(mut self) -> Self {
        self.is_final = true;
        self
    }

    /// Returns the group whose budget pays for asking again, or `None` where it is not asked again.
    #[must_use]
    pub fn group(&self) -> Option<FailureGroup> {
        if self.is_final { None } else { self.kind.group() }
    }

    /// Makes the lane pay.
    #[must_use]
    pub fn costing_the_lane(mut self) -> Self {
        self.cost = Cost::Lane;
        self
    }

    /// Adds the wait that the upstream asked for.
    #[must_use]
    pub fn after_ms(mut self, wait: Option<u64>) -> Self {
        self.retry_after_ms = wait;
        self
    }
}

/// What a record has spent of its budgets: failed attempts by group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Failed attempts of the group `api`.
    pub api: u32,
    /// Failed attempts of the group `content`.
    pub content: u32,
    /// Failed attempts of the group `system`.
    pub system: u32,
}

impl Spent {
    /// Counts one failed attempt.
    pub fn add(&mut self, group: FailureGroup) {
        *self.of_mut(group) += 1;
    }

    /// Returns the failed attempts of `group`.
    #[must_use]
    pub fn of(&self, group: FailureGroup) -> u32 {
        match group {
            FailureGroup::Api => self.api,
            FailureGroup::Content => self.content,
            FailureGroup::System => self.system,
        }
    }

    /// Takes the greater count of each group.
    pub fn raise_to(&mut self, other: Spent) {
        self.api = self.api.max(other.api);
        self.content = self.content.max(other.content);
        self.system = self.system.max(other.system);
    }

    /// Returns the failed attempts of all groups.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.api + self.content + self.system
    }

    fn of_mut(&mut self, group: FailureGroup) -> &mut u32 {
        match group {
            FailureGroup::Api => &mut self.api,
            FailureGroup::Content => &mut self.content,
            FailureGroup::System => &mut self.system,
        }
    }
}
