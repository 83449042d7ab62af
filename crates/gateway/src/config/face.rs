//! The gateway as a server.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Key, Size, Span};

/// The gateway as a server: who may use it, how long it lets wait, what it takes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FaceSettings {
    /// Keys that clients show. Without any, only clients on the same machine are served.
    pub keys: Vec<FaceKeySettings>,
    /// The line in which requests wait for a place.
    pub queue: QueueSettings,
    /// Paths below `/v1/` that are passed through as they are, beside those that are understood: `audio/*`, `rerank`.
    pub pass_through: Vec<String>,
    /// The longest request; 100 MB unless given.
    pub body_limit: Option<Size>,
    /// Memory for the bodies of all requests together; 512 MB unless given, and twice the longest request at least.
    pub body_memory: Option<Size>,
    /// How long the body of a request may take, beside a second for each 64 KB of it that came; 30 seconds unless given.
    pub body_timeout: Option<Span>,
    /// How long the head of a request may take; 10 seconds unless given.
    pub header_timeout: Option<Span>,
    /// How often a comment is sent while the first event of a stream is waited for; every 15 seconds unless given.
    pub keep_alive: Option<Span>,
    /// The log of requests; there is none unless this is given.
    pub log: Option<LogSettings>,
    /// Whether an answer's `model` is the name that was asked for, as AI-DataFlux has it, rather than the vendor's.
    pub echo_model: bool,
}

/// A key that clients show.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaceKeySettings {
    /// Its name in logs and metrics.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Where it is found.
    pub key: Key,
    /// Who goes first when places are short.
    #[serde(default)]
    pub class: FaceClass,
    /// Whether it opens the admin endpoints. Where there is such a key, clients on the same machine need it as well.
    #[serde(default)]
    pub admin: bool,
}

/// Who goes first when places are short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FaceClass {
    /// A person waits for the answer.
    Interactive,
    /// The usual.
    #[default]
    Normal,
    /// Whenever there is room.
    Batch,
}

/// The line in which requests wait for a place.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// How many requests may wait; 1,000 unless given. With 0 none does.
    #[schemars(range(max = 1_000_000))]
    pub length: Option<usize>,
    /// How long one may wait; 60 seconds unless given.
    pub wait: Option<Span>,
}

/// The log of requests. It holds no content and no keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// How a line is written.
    pub format: LogFormat,
    /// The file it is appended to; standard error unless given.
    pub file: Option<PathBuf>,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// Nothing is written.
    Off,
}
