//! Asking one upstream, until it begins to answer.
//!
//! An answer that comes in events has begun with its first event of content: what stands before that is held, so that a
//! client sees nothing of an upstream that fails before it. An answer that comes whole has begun when all of it is here.

use std::{
    borrow::Cow,
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use domain::{Failure, FailureKind};
use http::{HeaderMap, HeaderName, StatusCode, header};
use provider::{
    Failed, Passing,
    transport::{Answering, Payload, Read, TransportError},
    watch::{Events, Kind, Watch},
};
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use super::{
    ask::{self, Ask},
    endpoint::Call,
    exchange::Worker,
    form,
    live::Way,
    problem::RETRY_AFTER_MS,
    relay::Own,
};

/// A whole answer that is longer is handed on as it comes, in bytes.
const WHOLE_MOST: u64 = 32 << 20;
/// How much of a stream is held while its first event of content is waited for.
const HELD_MOST: usize = 256 * 1024;

/// Headers of an answer that belong to the connection to the vendor (RFC 9110 section 7.6.1), or are ours to say.
static THEIRS: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::SET_COOKIE,
    HeaderName::from_static("keep-alive"),
    // What is left of the vendor's limits is shared by all clients, and is the lanes' business.
    header::RETRY_AFTER,
    RETRY_AFTER_MS,
];

/// How asking one upstream failed.
pub(super) struct Broken {
    pub(super) failed: Failed,
    pub(super) own: Option<Own>,
}

impl From<TransportError> for Box<Broken> {
    fn from(error: TransportError) -> Self {
        Self::new(Broken { failed: error.into(), own: None })
    }
}

/// How an upstream begins to answer.
pub(super) enum Begins {
    Whole(Own),
    Pieces {
        status: StatusCode,
        headers: HeaderMap,
        front: VecDeque<Bytes>,
        answering: Box<Answering>,
        watch: Option<Watch>,
    },
}

/// Asks one upstream.
pub(super) async fn attempt(way: &Way, worker: &Worker, ask: &Ask, sent: Instant) -> Result<Begins, Box<Broken>> {
    let deadline = ask.deadline.min(ask::far(sent, way.timeout));
    let first_byte = way.first_byte_timeout.map(|limit| sent + limit);
    let begun = timeout_at(deadline, begin(way, worker, ask, first_byte)).await;
    begun.unwrap_or_else(|_| Err(TransportError::Deadline.into()))
}

async fn begin(way: &Way, worker: &Worker, ask: &Ask, first_byte: Option<Instant>) -> Result<Begins, Box<Broken>> {
    let Worker { transport, clock, .. } = worker;
    let passing = Passing {
        path: ask.call.path(&ask.method),
        headers: Cow::Borrowed(&ask.headers),
        body: payload(way, ask)?,
        is_stream: ask.is_stream,
    };
    let mut answering = by(first_byte, pin!(way.model.pass(transport, passing))).await?;
    let status = answering.status;
    let kind = answering.headers.get(header::CONTENT_TYPE);
    let is_events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let may_be_long = answering.announced().map_or(matches!(ask.call, Call::Passed(_)), |n| n > WHOLE_MOST);
    if status.is_success() && (is_events || may_be_long) {
        let headers = passed_on(std::mem::take(&mut answering.headers));
        // Nobody asked for a stream that is packed, and it cannot be looked into.
        let is_packed = headers.contains_key(header::CONTENT_ENCODING);
        let mut front = VecDeque::new();
        let Some(events) = ask.call.events().filter(|_| is_events && !is_packed) else {
            return Ok(Begins::Pieces { status, headers, front, answering: Box::new(answering), watch: None });
        };
        let mut watch = Watch::new(events, ask.scan.as_ref().map_or(1, |scan| scan.n_choices));
        by(first_byte, pin!(first_content(way, &mut answering, (events, &mut watch), &mut front))).await?;
        return Ok(Begins::Pieces { status, headers, front, answering: Box::new(answering), watch: Some(watch) });
    }
    let most = usize::try_from(WHOLE_MOST).unwrap_or(usize::MAX);
    let reply = match unless_silent(way.idle_timeout, pin!(answering.whole_or_long(most))).await? {
        Read::Whole(reply) => reply,
        Read::Long(answering, front) => return long(answering, front, ask),
    };
    let refused = way.model.refused(reply.status, &reply.headers, &reply.body, &**clock);
    let own = Own { status, headers: passed_on(reply.headers), body: way.model.without_key(reply.body) };
    match refused {
        None if own.status.is_success() && !may_be_answer(&own, ask) => {
            let message = format!("status {} with a body that is no JSON object", own.status.as_u16());
            let failure = Failure::new(FailureKind::Unavailable, message);
            Err(Box::new(Broken { failed: failed(failure), own: None }))
        }
        None => Ok(Begins::Whole(own)),
        Some(failed) => Err(Box::new(Broken { failed, own: Some(own) })),
    }
}

/// Returns an answer that turned out to be too long to wait for all of it.
fn long(mut answering: Box<Answering>, front: Bytes, ask: &Ask) -> Result<Begins, Box<Broken>> {
    let status = answering.status;
    let is_page = !matches!(ask.call, Call::Passed(_)) && !front.trim_ascii_start().starts_with(b"{");
    if !status.is_success() || is_page {
        let message = format!("status {} with a very long body that is no JSON object", status.as_u16());
        let failure = Failure::new(FailureKind::Unavailable, message);
        return Err(Box::new(Broken { failed: failed(failure), own: None }));
    }
    let headers = passed_on(std::mem::take(&mut answering.headers));
    Ok(Begins::Pieces { status, headers, front: VecDeque::from([front]), answering, watch: None })
}

/// Ends `work` at `limit`, where there is one: a timer that nobody needs is not set.
async fn by<T, E: From<TransportError>>(
    limit: Option<Instant>,
    work: Pin<&mut impl Future<Output = Result<T, E>>>,
) -> Result<T, E> {
    match limit {
        Some(limit) => timeout_at(limit, work).await.unwrap_or_else(|_| Err(TransportError::Deadline.into())),
        None => work.await,
    }
}

/// Reads, unless nothing comes for `limit`.
async fn unless_silent<T>(
    limit: Duration,
    mut reading: Pin<&mut impl Future<Output = Result<T, TransportError>>>,
) -> Result<T, TransportError> {
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if let Poll::Ready(read) = reading.as_mut().poll(cx) {
            return Poll::Ready(read);
        }
        // Unless it was the timer that woke us, something came. Most answers come in one piece, and need none.
        if let Some(timer) = timer.as_mut().filter(|timer| !timer.is_elapsed())
            && let Some(at) = Instant::now().checked_add(limit)
        {
            timer.as_mut().reset(at);
        }
        let timer = timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        timer.as_mut().poll(cx).map(|()| Err(TransportError::Silent { limit }))
    })
    .await
}

/// Returns whether a body can be the answer of a model: an object from its first byte to its last. Web servers say 200 and
/// show a page, or nothing, or half of it; what stands between is not looked at.
fn may_be_answer(own: &Own, ask: &Ask) -> bool {
    let is_packed = own.headers.contains_key(header::CONTENT_ENCODING);
    let body = own.body.trim_ascii();
    matches!(ask.call, Call::Passed(_)) || is_packed || (body.starts_with(b"{") && body.ends_with(b"}"))
}

/// Reads a stream up to its first event of content.
async fn first_content(
    way: &Way,
    answering: &mut Answering,
    (events, watch): (Events, &mut Watch),
    front: &mut VecDeque<Bytes>,
) -> Result<(), Box<Broken>> {
    let mut n_held = 0;
    loop {
        let Some(piece) = answering.piece().await? else {
            let failure = Failure::new(FailureKind::Unavailable, "the stream ended before it said anything");
            return Err(Box::new(Broken { failed: failed(failure), own: None }));
        };
        // The first event that is more than an opening decides.
        let (mut has_content, mut told) = (false, None);
        watch.look(&piece, &mut |data| {
            if !has_content && told.is_none() {
                match events.kind_of(data) {
                    Kind::Opening => {}
                    Kind::Content => has_content = true,
                    Kind::Error => told = Some(way.model.refused_in_stream(data)),
                }
            }
        });
        if let Some(failure) = told {
            return Err(Box::new(Broken { failed: failed(failure), own: None }));
        }
        n_held += piece.len();
        front.push_back(piece);
        if has_content || n_held > HELD_MOST {
            return Ok(());
        }
    }
}

pub(super) fn failed(failure: Failure) -> Failed {
    Failed { failure, is_reached: true, ..TransportError::Deadline.into() }
}

/// Returns the body as this upstream is to see it.
fn payload(way: &Way, ask: &Ask) -> Result<Payload, Box<Broken>> {
    let Some(scan) = &ask.scan else {
        let Some(at) = form::models_at(&ask.headers, &ask.body).into_iter().next() else {
            return Ok(ask.body.clone().into());
        };
        let model: String = serde_json::from_str(way.model.model()).unwrap_or_default();
        return Ok(Payload::Pieces(vec![ask.body.slice(..at.start), model.into(), ask.body.slice(at.end..)]));
    };
    // They are those of texts: a temperature is no part of an embedding.
    let is_text = matches!(ask.call, Call::Chat | Call::Completions | Call::Responses);
    let defaults = if is_text { &way.defaults[..] } else { &[] };
    way.model.adapt(&ask.body, scan, way.json, defaults).map_err(|e| {
        let failure = Failure::new(FailureKind::Rejected, format!("the request body is {e}"));
        Box::new(Broken { failed: Failed { is_reached: false, ..failed(failure) }, own: None })
    })
}

/// Returns those headers of an answer that a client may see.
fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    ask::drop_named_in_connection(&mut headers);
    ask::drop_all(&mut headers, &THEIRS);
    // The id is the gateway's own; the upstream's stands beside it.
    if let Some(id) = headers.remove(&ask::REQUEST_ID) {
        headers.insert(HeaderName::from_static("x-upstream-request-id"), id);
    }
    headers
}
