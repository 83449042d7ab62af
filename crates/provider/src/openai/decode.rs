//! Reading an answer, or a refusal.

use bytes::Bytes;
use domain::{Failure, Secret, Timestamp};
use http::HeaderMap;
use serde_json::Value;

use super::{classify, hints::Hints};
use crate::{Failed, Replied, transport::Reply};

/// What a vendor says is kept up to so many characters.
const SAID_CHARS: usize = 500;

/// Headers in which vendors give the id of a request.
const REQUEST_IDS: [&str; 2] = ["x-request-id", "request-id"];

/// Sorts what came back. Where `key` stands in it, it is blotted out before anything else sees it.
pub(super) fn read(reply: Reply, key: Option<&Secret>, now: impl Fn() -> Timestamp) -> Result<Replied, Failed> {
    let body = without(key, reply.body);
    let told = if reply.status.is_success() { told_in(&body) } else { None };
    let is_refusal = !reply.status.is_success() || told.is_some();
    let (hints, wait) = hints(&reply.headers, is_refusal.then_some(&body), now);
    if reply.status.is_success() {
        return match told {
            Some(failure) => {
                Err(Failed { failure: failure.after_ms(wait), is_reached: true, body, lacks: None, hints })
            }
            None => Ok(Replied { body, request_id: request_id(&reply.headers, key), hints }),
        };
    }
    let status = reply.status.as_u16();
    let said = Said::read(&body);
    let kind = classify::kind(status, &[&said.code, &said.kind, &said.message]);
    let reason = reply.status.canonical_reason().unwrap_or_default();
    let failure = Failure::new(kind, said.in_words(&format!("status {status}"), reason)).after_ms(wait);
    Err(Failed { failure, is_reached: true, body, lacks: None, hints })
}

/// Returns what the vendor tells of its limits, if anything, and how many milliseconds to wait.
pub(super) fn hints(
    headers: &HeaderMap,
    refusal: Option<&Bytes>,
    now: impl Fn() -> Timestamp,
) -> (Option<Box<Hints>>, Option<u64>) {
    let hints = Hints::read(headers, refusal.map(|body| &**body), now);
    let wait = hints.retry_after.map(|wait| wait.as_millis().try_into().unwrap_or(u64::MAX));
    ((!hints.is_empty()).then(|| Box::new(hints)), wait)
}

/// Returns the failure that a body tells although its status tells none: routers that have begun to answer before the model
/// failed do so. <https://openrouter.ai/docs/api/reference/errors-and-debugging>
fn told_in(body: &[u8]) -> Option<Failure> {
    // Answers do not begin like this, so none of them is read here.
    let members = body.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
    if !members.starts_with(b"\"error\"") {
        return None;
    }
    let value: Value = serde_json::from_slice(body).ok()?;
    if value["error"].is_null() || value.get("choices").is_some_and(|choices| !choices.is_null()) {
        return None;
    }
    Some(Said::read(body).failure("status 200 with an error"))
}

pub(super) fn request_id(headers: &HeaderMap, key: Option<&Secret>) -> Option<String> {
    let id = REQUEST_IDS.iter().find_map(|name| headers.get(*name)?.to_str().ok())?;
    Some(key.map_or_else(|| id.to_owned(), |key| key.redact(id)))
}

/// Vendors like to repeat a key that they do not accept, and what is returned here is kept.
pub(super) fn without(key: Option<&Secret>, body: Bytes) -> Bytes {
    match key {
        Some(key) if memchr::memmem::find(&body, key.expose().as_bytes()).is_some() => {
            key.redact(&String::from_utf8_lossy(&body)).into()
        }
        _ => body,
    }
}

/// What a refusal says in its body.
#[derive(Debug, Default)]
pub(super) struct Said {
    message: String,
    code: String,
    kind: String,
}

impl Said {
    /// Takes what is there. The shape is `{"error": {"message", "type", "code"}}`; servers that speak the format write
    /// `{"error": "..."}`, `{"message": "..."}` or `{"detail": ...}` as well, and proxies answer in HTML.
    pub(super) fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self { message: String::from_utf8_lossy(body).into_owned(), ..Self::default() };
        };
        let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(&value);
        let text = |name: &str| match error.get(name) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let message = match error {
            Value::String(text) => text.clone(),
            _ => ["message", "detail", "msg"].map(text).into_iter().find(|t| !t.is_empty()).unwrap_or_default(),
        };
        let message = if message.is_empty() { error.to_string() } else { message };
        Self { message, code: text("code"), kind: text("type") }
    }

    /// Takes it as an event in the middle of an answer that began well. Its code stands for the status that came too
    /// early: <https://openrouter.ai/docs/api/reference/errors-and-debugging>.
    pub(super) fn of_event(&self) -> Failure {
        self.failure("in the middle of the answer")
    }

    /// Takes it as a failure whose status came too early to tell it.
    fn failure(&self, place: &str) -> Failure {
        let status = self.code.parse().ok().filter(|status: &u16| (400..600).contains(status));
        let kind = classify::kind_of_event(status, &[&self.code, &self.kind, &self.message]);
        let place = status.map_or(place.to_owned(), |status| format!("{place}, status {status}"));
        Failure::new(kind, self.in_words(&place, "the vendor gave up"))
    }

    fn in_words(&self, place: &str, otherwise: &str) -> String {
        let mut words = place.to_owned();
        let mut message = self.message.split_whitespace().collect::<Vec<_>>().join(" ");
        if message.is_empty() {
            message = otherwise.to_owned();
        }
        if !message.is_empty() {
            words.push_str(": ");
            words.extend(message.chars().take(SAID_CHARS));
        }
        // Numbers here repeat the status.
        if !self.code.is_empty() && self.code.parse::<i64>().is_err() && !message.contains(&self.code) {
            words.push_str(" (");
            words.extend(self.code.chars().take(SAID_CHARS));
            words.push(')');
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use domain::FailureKind;
    use http::{HeaderName, HeaderValue, StatusCode};
    use serde::Deserialize;

    use super::*;

    /// A reply as a vendor documents it, and what it must become.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fixture {
        /// Where it is written, or `live`.
        source: String,
        status: u16,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Text as it is; anything else as JSON.
        body: Value,
        expected: Expected,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expected {
        kind: Option<FailureKind>,
        message: Option<String>,
        retry_after_ms: Option<u64>,
        request_id: Option<String>,
    }

    #[test]
    fn every_fixture_becomes_what_it_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openai");
        let mut n_read = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            let fixtures: BTreeMap<String, Fixture> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            for (name, fixture) in fixtures {
                n_read += 1;
                check(&name, fixture);
            }
        }
        assert!(n_read >= 20, "{n_read} fixtures");
    }

    fn check(name: &str, fixture: Fixture) {
        assert!(!fixture.source.is_empty(), "{name}");
        let header = |(n, v): (&String, &String)| (n.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap());
        let body = match &fixture.body {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        let reply = Reply {
            status: StatusCode::from_u16(fixture.status).unwrap(),
            headers: fixture.headers.iter().map(header).collect(),
            body: body.into(),
        };
        let key = Secret::new("sk-planted-4711");
        let expected = fixture.expected;
        match read(reply, Some(&key), || Timestamp(784_111_777_000)) {
            Ok(replied) => {
                assert_eq!(expected.kind, None, "{name}");
                assert_eq!(replied.request_id, expected.request_id, "{name}");
            }
            Err(failed) => {
                assert_eq!(Some(failed.failure.kind), expected.kind, "{name}");
                assert_eq!(failed.failure.retry_after_ms, expected.retry_after_ms, "{name}");
                if let Some(message) = expected.message {
                    assert_eq!(failed.failure.message, message, "{name}");
                }
                assert!(failed.failure.message.chars().count() <= 2 * SAID_CHARS, "{name}");
                assert!(!failed.failure.message.contains(key.expose()), "{name}");
                assert!(!String::from_utf8_lossy(&failed.body).contains(key.expose()), "{name}");
            }
        }
    }
}
