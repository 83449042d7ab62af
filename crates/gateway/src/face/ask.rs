//! A request, read and looked through.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use domain::ports::Class;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use memchr::memmem::Finder;
use provider::Scan;
use tokio::time::Instant;

use super::{bodies::Held, endpoint::Call, form, guard::Client, live::Serving, problem::Problem, receive::Received};
use crate::{Need, Session, Wants};

/// Headers that belong to a connection and not to a message (RFC 9110 section 7.6.1), and those that are ours.
static OURS: [HeaderName; 18] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::AUTHORIZATION,
    header::COOKIE,
    header::EXPECT,
    // An answer that is packed cannot be watched.
    header::ACCEPT_ENCODING,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-api-key"),
    CLASS,
    SESSION,
    CONTINUE,
];

pub(super) const CLASS: HeaderName = HeaderName::from_static("x-tidemill-class");
pub(super) const SESSION: HeaderName = HeaderName::from_static("x-tidemill-session");
pub(super) const CONTINUE: HeaderName = HeaderName::from_static("x-tidemill-continue");
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The types of parts that show an image.
static IMAGE: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| ["\"image_url\"", "\"input_image\""].map(Finder::new));

/// The route that is asked where a request names no model.
const UNNAMED: &str = "auto";

/// A client's request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) call: Call,
    pub(super) method: Method,
    /// The name that was asked for.
    pub(super) model: Arc<str>,
    /// Nothing where the body is not JSON.
    pub(super) scan: Option<Scan>,
    pub(super) body: Bytes,
    pub(super) n_bytes: u64,
    /// The memory of the body.
    _held: Option<Held>,
    /// Those that are passed on.
    pub(super) headers: HeaderMap,
    pub(super) is_stream: bool,
    pub(super) class: Class,
    pub(super) client: Client,
    pub(super) session: Option<u64>,
    /// Whether another upstream shall go on where one was cut.
    pub(super) goes_on: bool,
    pub(super) id: HeaderValue,
    pub(super) began: Instant,
    pub(super) deadline: Instant,
}

impl Ask {
    /// Looks through a request whose body was read.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn new(
        call: Call,
        method: Method,
        mut headers: HeaderMap,
        Received { body, held }: Received,
        (client, id, began): (Client, HeaderValue, Instant),
        serving: &Serving,
    ) -> Result<Self, Problem> {
        let is_json = !matches!(call, Call::Passed(_)) || may_be_json(&headers, &body);
        let scan = match is_json.then(|| scan(&body)).transpose() {
            // It looked like JSON, and nobody said that it is.
            Err(_) if matches!(call, Call::Passed(_)) && !says_json(&headers) => None,
            scan => scan?,
        };
        if let Some((param, message)) = scan.as_ref().and_then(|scan| scan.unclear.clone())
            // What other paths mean by theirs is their vendors' business.
            && (param == "model" || !matches!(call, Call::Passed(_)))
        {
            let message = format!("`{param}`: {message}");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_value", message).about(param));
        }
        let model = match &scan {
            Some(scan) => scan.model.as_deref().map(Arc::from),
            None => match &form::models_at(&headers, &body)[..] {
                [] => None,
                [at] => std::str::from_utf8(&body[at.clone()]).ok().map(Arc::from),
                _ => {
                    let message = "`model` stands twice in the form";
                    return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_value", message).about("model"));
                }
            },
        };
        let class = class(&headers, client, serving)?;
        let session = headers.get(SESSION).map(|value| xxhash(value.as_bytes()));
        let goes_on = headers.get(CONTINUE).is_some_and(|value| value.as_bytes() == b"prefill");
        drop_named_in_connection(&mut headers);
        drop_all(&mut headers, &OURS);
        headers.insert(REQUEST_ID, id.clone());
        let model: Arc<str> = model.unwrap_or_else(|| UNNAMED.into());
        let deadline = far(began, serving.patience(&model));
        let is_stream = scan.as_ref().and_then(|scan| scan.stream).unwrap_or(false);
        Ok(Self {
            call,
            method,
            model,
            scan,
            n_bytes: body.len() as u64,
            body,
            _held: held,
            headers,
            is_stream,
            class,
            client,
            session,
            goes_on,
            id,
            began,
            deadline,
        })
    }

    /// Returns the request for the rest of an answer that was cut.
    pub(super) fn going_on(&self, body: Bytes) -> Result<Self, Problem> {
        let scan = Some(scan(&body)?);
        Ok(Self { scan, body, headers: self.headers.clone(), ..self.without_body() })
    }

    /// Returns what is left to know of it when nobody will be asked any more: its body is given back.
    pub(super) fn without_body(&self) -> Self {
        let Self { call, method, model, scan, id, .. } = self;
        Self {
            call: call.clone(),
            method: method.clone(),
            model: Arc::clone(model),
            scan: scan.clone(),
            body: Bytes::new(),
            _held: None,
            headers: HeaderMap::new(),
            id: id.clone(),
            ..*self
        }
    }

    /// Returns what it needs of the one who answers it. Four bytes of text are about one token, and its answer may be as
    /// long as it says.
    pub(super) fn need(&self) -> Need {
        let wants = |scan: &Scan| Wants {
            tools: scan.has_tools,
            vision: shows_image(&self.body),
            schema: scan.wants_schema,
            // How many tokens the request itself has is not known; that its answer needs so many is.
            context: scan.max_tokens.unwrap_or(0),
        };
        let abilities = self.scan.as_ref().map(wants).unwrap_or_default();
        let answer = self.scan.as_ref().and_then(|scan| scan.max_tokens).unwrap_or(0);
        let tokens = (self.body.len() as u64 / 4).saturating_add(answer);
        Need { tokens, session: self.session.map(Session::from), abilities }
    }
}

/// Returns the time so long behind another; what is longer than a year is for ever.
pub(super) fn far(from: Instant, behind: Duration) -> Instant {
    from + behind.min(Duration::from_secs(366 * 24 * 3600))
}

fn scan(body: &Bytes) -> Result<Scan, Problem> {
    let text = std::str::from_utf8(body).map_err(|e| not_json(&format!("not valid UTF-8 ({e})")))?;
    Scan::of(text).map_err(|e| not_json(&e.0))
}

/// Removes the headers that a message itself says belong to its connection (RFC 9110 section 7.6.1).
pub(super) fn drop_named_in_connection(headers: &mut HeaderMap) {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> =
        named.flat_map(|names| names.split(',')).filter_map(|n| n.trim().parse().ok()).collect();
    for name in named {
        headers.remove(name);
    }
}

/// Removes the headers of these names. Messages have few headers: each is looked for among the names, since the other way
/// round most of the work would be to find nothing.
pub(super) fn drop_all(headers: &mut HeaderMap, names: &[HeaderName]) {
    while let Some(name) = headers.keys().find_map(|name| names.iter().find(|other| *other == name)) {
        headers.remove(name);
    }
}

/// Returns whether a request shows an image: a part of a message says so of itself. A member may be called the same in the
/// schema of a tool; within a text the quotes would be escaped.
fn shows_image(body: &[u8]) -> bool {
    let is_type = |at: usize| {
        let before = body[..at].trim_ascii_end().strip_suffix(b":");
        before.is_some_and(|before| before.trim_ascii_end().ends_with(b"\"type\""))
    };
    IMAGE.iter().any(|word| word.find_iter(body).any(is_type))
}

fn not_json(what: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body of the request is {what}"))
}

/// Returns whether a server may read a body as JSON, whatever it is called: what could be must not pass by unseen, as it is
/// asked with our key.
fn may_be_json(headers: &HeaderMap, body: &[u8]) -> bool {
    // Some clients call every request JSON, also one without a body.
    if body.is_empty() {
        return false;
    }
    says_json(headers) || body.trim_ascii_start().starts_with(b"{")
}

fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    let kind = kind.as_deref().and_then(|kind| kind.split(|byte| *byte == b';').next()).unwrap_or_default();
    kind.trim_ascii().ends_with(b"json")
}

/// Returns in which class a request waits: a client may ask for less than its key allows, and not for more.
fn class(headers: &HeaderMap, client: Client, serving: &Serving) -> Result<Class, Problem> {
    let allowed = client.client_key(serving).map_or(Class::Interactive, |key| key.class);
    let asked = match headers.get(CLASS).map(|value| value.as_bytes()) {
        None => return Ok(client.client_key(serving).map_or(Class::Normal, |key| key.class)),
        Some(b"interactive") => Class::Interactive,
        Some(b"normal") => Class::Normal,
        Some(b"batch") => Class::Batch,
        Some(other) => {
            let message = format!(
                "`x-tidemill-class: {}` is no class: there are `interactive`, `normal` and `batch`",
                String::from_utf8_lossy(other)
            );
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_class", message));
        }
    };
    Ok(asked.max(allowed))
}

fn xxhash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
