//! The lines that go over the control socket.

use serde::{Deserialize, Serialize};

use crate::progress::Standing;

/// A request is no longer than this, its line end included.
pub(super) const MAX_REQUEST: usize = 4096;

/// A request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// What to do.
    pub(super) r#do: Verb,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verb {
    /// Where the run stands.
    Status,
    /// Where it stands, twice a second until it ends.
    Watch,
    /// Ask nothing new.
    Pause,
    /// Go on.
    Unpause,
    /// Wait for what is in flight, and stop.
    Stop,
    /// Wait for what is in flight, and end what is left as cancelled.
    Cancel,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Error { error: String },
    Ended { ended: Ended },
    Ok { ok: bool },
    Starting { starting: bool },
    // The last one: it takes whatever the others are not.
    Standing(Box<Standing>),
}

/// How a run's process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) exit_status: u8,
    /// In words.
    pub(crate) message: String,
}
