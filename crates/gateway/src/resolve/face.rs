//! The gateway as a server: its keys and limits.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::{Secret, ports::Class};

use super::{ConfigMistake, Resolver};
use crate::{
    config::{FaceClass, LogFormat, ModelsFile, Size, Span},
    face,
};

const QUEUE_LENGTH: usize = 1_000;
const QUEUE_WAIT: Duration = Duration::from_mins(1);
const BODY_LIMIT: u64 = 100_000_000;
/// 5,000 clients with 100 KB each.
const BODY_MEMORY: u64 = 512_000_000;
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The gateway as a server.
#[derive(Clone, Debug)]
pub struct FaceConfig {
    /// Keys that clients show. Without any, only clients on the same machine are served.
    pub keys: Vec<FaceKey>,
    /// How many requests may wait for a place, all together.
    pub queue_length: usize,
    /// How long one may wait.
    pub queue_wait: Duration,
    /// Paths below `/v1/` that are passed through, without a slash in front; `*` stands for any characters.
    pub pass_through: Vec<String>,
    /// The longest request, in bytes.
    pub body_limit: u64,
    /// Memory for the bodies of all requests together, in bytes.
    pub body_memory: u64,
    /// How long the body of a request may take, beside a second for each 64 KiB of it that came.
    pub body_timeout: Duration,
    /// How long the head of a request may take.
    pub header_timeout: Duration,
    /// How often a comment is sent while the first event of a stream is waited for.
    pub keep_alive: Duration,
    /// How a line of the log of requests is written, if at all.
    pub log_format: LogFormat,
    /// The file of the log; standard error where there is none.
    pub log_file: Option<PathBuf>,
    /// Whether an answer's `model` is the name that was asked for.
    pub echo_model: bool,
}

/// A key that clients show.
#[derive(Clone, Debug)]
pub struct FaceKey {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// The key.
    pub key: Secret,
    /// Who goes first when places are short.
    pub class: Class,
    /// Whether it opens the admin endpoints.
    pub is_admin: bool,
}

/// Finds what the gateway needs as a server. It stands apart from [`crate::resolve()`]: a run has no use for the keys of
/// clients, and must not stop because one is missing.
///
/// # Errors
/// Every mistake, in the order of the file.
pub fn resolve_face(
    file: &ModelsFile,
    lookup: &dyn Fn(&str) -> Option<String>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<FaceConfig, Vec<ConfigMistake>> {
    let mut resolver = Resolver { lookup, read_file, mistakes: Vec::new() };
    let settings = &file.gateway;
    let path = |key: &str| vec!["gateway".to_owned(), key.to_owned()];
    let mut keys: Vec<FaceKey> = Vec::new();
    for (index, key) in settings.keys.iter().enumerate() {
        let mut at = path("keys");
        at.push(index.to_string());
        if settings.keys[..index].iter().any(|earlier| earlier.name == key.name) {
            resolver.mistake(&at, format!("a second key is named `{}`", key.name), None);
        }
        let mut place = at.clone();
        place.push("key".to_owned());
        let Some(secret) = resolver.key(&place, &key.key) else { continue };
        if let Some(earlier) = keys.iter().find(|earlier| earlier.key == secret) {
            let message = format!("the key of `{}` is that of `{}`", key.name, earlier.name);
            let help = Some("give each client a key of its own".to_owned());
            resolver.mistake(&place, message, help);
        }
        let class = match key.class {
            FaceClass::Interactive => Class::Interactive,
            FaceClass::Normal => Class::Normal,
            FaceClass::Batch => Class::Batch,
        };
        keys.push(FaceKey { name: key.name.as_str().into(), key: secret, class, is_admin: key.admin });
    }
    let mut pass_through = Vec::new();
    for (index, pattern) in settings.pass_through.iter().enumerate() {
        let bare = pattern.trim().trim_start_matches('/');
        let bare = bare.strip_prefix("v1/").unwrap_or(bare);
        if bare.is_empty() || bare.starts_with('*') || bare.split('/').any(|part| part == "..") {
            let mut at = path("pass_through");
            at.push(index.to_string());
            let help = Some("name paths below `/v1/`, such as `audio/*` or `rerank`".to_owned());
            resolver.mistake(&at, format!("`{pattern}` cannot be passed through"), help);
        }
        pass_through.push(bare.to_owned());
    }
    for (key, span, usual) in [
        ("header_timeout", settings.header_timeout, "10s"),
        ("body_timeout", settings.body_timeout, "30s"),
        ("keep_alive", settings.keep_alive, "15s"),
    ] {
        if span.is_some_and(|Span(span)| span.is_zero()) {
            let help = Some(format!("leave it out, or write `{key}: {usual}`"));
            resolver.mistake(&path(key), format!("`{key}` must be more than no time at all"), help);
        }
    }
    if settings.body_memory == Some(Size(0)) {
        let help = Some("leave it out, or write `body_memory: 512MB`".to_owned());
        resolver.mistake(&path("body_memory"), "no request would have room".to_owned(), help);
    }
    if settings.body_limit == Some(Size(0)) {
        let help = Some("leave it out, or write `body_limit: 100MB`".to_owned());
        resolver.mistake(&path("body_limit"), "no request would be short enough".to_owned(), help);
    }
    let (body_limit, body_memory) = bodies(settings.body_limit, settings.body_memory);
    let longest = face::longest_body(body_memory);
    if body_limit > longest && longest > 0 {
        let message =
            format!("three quarters of `body_memory` are for long requests, and one may have {body_limit} bytes");
        let help = Some(format!("raise `body_memory`, or write `body_limit: {longest}`"));
        resolver.mistake(&path("body_memory"), message, help);
    }
    if !resolver.mistakes.is_empty() {
        return Err(resolver.mistakes);
    }
    let span = |span: Option<Span>, usual: Duration| span.map_or(usual, |Span(span)| span);
    Ok(FaceConfig {
        keys,
        queue_length: settings.queue.length.unwrap_or(QUEUE_LENGTH),
        queue_wait: span(settings.queue.wait, QUEUE_WAIT),
        pass_through,
        body_limit,
        body_memory,
        body_timeout: span(settings.body_timeout, BODY_TIMEOUT),
        header_timeout: span(settings.header_timeout, HEADER_TIMEOUT),
        keep_alive: span(settings.keep_alive, KEEP_ALIVE),
        log_format: settings.log.as_ref().map_or(LogFormat::Off, |log| log.format),
        log_file: settings.log.as_ref().and_then(|log| log.file.clone()),
        echo_model: settings.echo_model,
    })
}

/// Returns how long a request may be, and how much memory there is for all: what is not said fits to what is.
fn bodies(limit: Option<Size>, memory: Option<Size>) -> (u64, u64) {
    match (limit, memory) {
        (Some(Size(limit)), Some(Size(memory))) => (limit, memory),
        (Some(Size(limit)), None) => (limit, BODY_MEMORY.max(limit.saturating_mul(2))),
        (None, Some(Size(memory))) => (BODY_LIMIT.min(face::longest_body(memory)), memory),
        (None, None) => (BODY_LIMIT, BODY_MEMORY),
    }
}
