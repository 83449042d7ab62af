//! Channels: where models are reached, and how.

use std::{borrow::Cow, collections::BTreeMap, path::PathBuf};

use domain::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::Span;

/// An endpoint: exactly one of `url` and `simulated`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The base URL, up to the version: `https://api.example.com/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Setting>,
    /// The built-in scripted vendor with its script, instead of a URL.
    ///
    /// Whoever composes the process starts it and puts its address into `url` before the file is resolved: the gateway
    /// does not know that a vendor is simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<serde_json::Value>,
    /// Headers that every request on this channel carries. Keys belong into `key`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How long a streamed answer may be silent between two events before it counts as lost; 2 minutes unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Span>,
    /// How long a connection may take to come about, over all addresses of the host; 10 seconds unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Span>,
    /// How long the first byte of an answer may take from when the request was sent. No limit of its own unless given. An
    /// answer that does not come as a stream has its first byte when all of it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_timeout: Option<Span>,
    /// How long the whole answer may take before another model is asked instead. Unless given, a run has no limit but the
    /// deadline of the request, which this never makes longer; `tidemill gateway` gives it 10 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The proxy through which the endpoint is reached, such as `http://proxy.example.com:3128`. Where it wants a password,
    /// the whole URL stands in the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Setting>,
    /// A file with certificates (PEM) that are trusted besides those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Whether the certificate of the endpoint is looked at; it is, unless this says `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssl_verify: Option<bool>,
    /// Addresses of the host that new connections take in turn, instead of those that its name leads to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_pool: Vec<String>,
    /// The version of HTTP that is spoken: 1 or 2. 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpVersion>,
    /// The path of chat completions, where it is not `/chat/completions` below `url`. Only a dialect says so.
    #[serde(skip)]
    pub chat_path: Option<String>,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub enum HttpVersion {
    /// HTTP/1.1: one request at a time on each connection.
    #[default]
    One,
    /// HTTP/2: many requests on one connection.
    Two,
}

impl TryFrom<u8> for HttpVersion {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            other => Err(format!("there is no HTTP {other} here; it is 1 or 2")),
        }
    }
}

impl JsonSchema for HttpVersion {
    fn schema_name() -> Cow<'static, str> {
        "HttpVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "description": "A version of HTTP.", "minimum": 1, "maximum": 2 })
    }
}

/// A value that stands in the file, or in the environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Setting {
    /// The value itself.
    Literal(String),
    /// Where it stands.
    From(FromEnvironment),
    /// The value itself, where it may hold a password. Only a dialect makes it.
    #[serde(skip)]
    Hidden(Secret),
}

/// A value in the environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromEnvironment {
    /// The name of the variable.
    #[schemars(length(min = 1))]
    pub env: String,
    /// The value where the variable is not set, or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}
