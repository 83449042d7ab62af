//! One request's way through the upstreams: each is asked at most once, until one begins to answer.
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

use bytes::{Bytes, BytesMut};
use domain::{Clock, Failure, FailureKind, json};
use http::{HeaderMap, HeaderName, StatusCode, header};
use provider::{
    Failed, Hints, Passing,
    transport::{Answering, Payload, Read, TransportError},
    watch::{Events, Kind, Watch},
};
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};

use super::{
    account::Account,
    ask::{self, Ask},
    endpoint::Call,
    exchange::Worker,
    form,
    live::{Serving, Way},
    problem::{A_MOMENT, Problem, RETRY_AFTER_MS},
};
use crate::{
    Hedge,
    failover::is_upstreams_own,
    lanes::{self, Picked, Place},
    queue::Why,
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

/// An answer.
pub(super) enum Answered {
    /// All of it.
    Whole(Own),
    /// Its beginning.
    Begun(Box<Begun>),
}

/// What an upstream said, whole.
pub(super) struct Own {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The beginning of what an upstream says.
pub(super) struct Begun {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) front: VecDeque<Bytes>,
    pub(super) answering: Box<Answering>,
    /// Nothing where it is not events that are known.
    pub(super) watch: Option<Watch>,
    /// Held until the end of the answer.
    pub(super) place: Place,
}

/// Why there is no answer.
pub(super) enum Refused {
    /// What an upstream said about it.
    Theirs(Own, Option<Duration>),
    /// What we say.
    Ours(Problem),
}

/// How asking one upstream failed.
struct Broken {
    failed: Failed,
    own: Option<Own>,
}

impl From<TransportError> for Box<Broken> {
    fn from(error: TransportError) -> Self {
        Self::new(Broken { failed: error.into(), own: None })
    }
}

/// Waits for a place, and passes a request on, to one upstream after the other.
pub(super) async fn relay(
    serving: &Serving,
    worker: &Worker,
    ask: &Ask,
    account: &mut Account,
) -> Result<Answered, Refused> {
    let since = Instant::now();
    let place = serving.place(ask).await;
    account.stood_in_line(since);
    relay_from((place.map_err(Refused::Ours)?, Vec::new()), serving, worker, ask, account).await
}

/// Passes a request on, to the upstream at which it has a place and then to others, but for those that were `tried`.
pub(super) async fn relay_from(
    (mut place, mut tried): (Place, Vec<usize>),
    serving: &Serving,
    worker: &Worker,
    ask: &Ask,
    account: &mut Account,
) -> Result<Answered, Refused> {
    loop {
        let sent = Instant::now();
        account.asks(place.upstream, sent);
        let hedge = if tried.is_empty() { serving.hedge(ask) } else { None };
        let Raced { place: asked, began, beaten } = match hedge {
            None => {
                Raced { began: attempt(&serving.ways[place.upstream], worker, ask, sent).await, place, beaten: None }
            }
            Some(hedge) => raced(place, hedge, (serving, worker, ask, account)).await,
        };
        tried.extend(beaten);
        let upstream = asked.upstream;
        let way = &serving.ways[upstream];
        account.upstream = Some(upstream);
        account.waited += sent.elapsed();
        let broken = match began {
            Ok(Begins::Whole(own)) => {
                heed(&asked, &own.headers, &*worker.clock);
                account.usage = provider::watch::usage_in(&own.body);
                asked.tell(Ok(lanes::Answered { first_byte: None, usage: account.usage }));
                return Ok(Answered::Whole(own));
            }
            Ok(Begins::Pieces { status, headers, front, answering, watch }) => {
                heed(&asked, &headers, &*worker.clock);
                asked.begun();
                let begun = Begun { status, headers, front, answering, watch, place: asked };
                return Ok(Answered::Begun(Box::new(begun)));
            }
            Err(broken) => broken,
        };
        broken.tell(&asked, ask);
        let Broken { failed, own } = *broken;
        account.failed(failed.failure.kind, own.as_ref().map(|own| own.status));
        if !is_upstreams_own(failed.failure.kind) {
            return Err(refused(way, &failed.failure, own, None));
        }
        tried.push(upstream);
        // Nobody waits with a place that another one could have.
        drop(asked);
        // A place that nobody uses would cost the upstream's rates.
        let may_another_help = Instant::now() < ask.deadline;
        let next = if may_another_help { Some(elsewhere(serving, ask, &tried, account).await) } else { None };
        let wait = match next {
            Some(Ok(next)) => {
                account.failed_over();
                place = next;
                continue;
            }
            Some(Err(Why::Closed(_))) | None => serving.likely(ask),
            // It waited in vain, or the line is full; where nobody knows more, a moment may help.
            Some(Err(_)) => Some(serving.likely(ask).unwrap_or(A_MOMENT)),
        };
        return Err(refused(way, &failed.failure, own, wait));
    }
}

/// Gets a place at an upstream that was not tried, if one can be had before the request may wait no longer.
async fn elsewhere(serving: &Serving, ask: &Ask, tried: &[usize], account: &mut Account) -> Result<Place, Why> {
    let now = Instant::now();
    let before = (account.in_line_since.unwrap_or(now), account.queued.unwrap_or_default());
    // Who hangs up in line leaves no upstream that is asked.
    let failed = account.upstream.take();
    let place = serving.place_again(ask, tried, before).await;
    account.upstream = failed;
    account.stood_in_line(now);
    place
}

/// What came of asking two.
struct Raced {
    place: Place,
    began: Result<Begins, Box<Broken>>,
    /// The one that failed before the other ended.
    beaten: Option<usize>,
}

/// Asks one upstream, and a second one where the first is slow; ends with the first that begins to answer.
async fn raced(
    place: Place,
    hedge: Hedge,
    (serving, worker, ask, account): (&Serving, &Worker, &Ask, &mut Account),
) -> Raced {
    let one = |place: Place| async move {
        let began = attempt(&serving.ways[place.upstream], worker, ask, Instant::now()).await;
        (place, began)
    };
    let upstream = place.upstream;
    let mut first = Box::pin(one(place));
    if let Ok((place, began)) = timeout(hedge.after, &mut first).await {
        return Raced { place, began, beaten: None };
    }
    // A place is asked for last: one that is not used would be held until the first ends.
    let second = match serving.may_ask_twice(ask, hedge).then(|| serving.another(ask, &[upstream])) {
        Some(Picked::Place(place)) => Some(place),
        Some(_) => {
            serving.did_not_ask_twice(ask);
            None
        }
        None => None,
    };
    let Some(second) = second else {
        let (place, began) = first.await;
        return Raced { place, began, beaten: None };
    };
    account.n_attempts += 1;
    serving.audience.hedged(upstream);
    let mut second = Box::pin(one(second));
    let (is_first, (place, began)) = tokio::select! {
        ended = &mut first => (true, ended),
        ended = &mut second => (false, ended),
    };
    let Err(broken) = began else {
        // The other one is dropped, which calls it off.
        return Raced { place, began, beaten: None };
    };
    broken.tell(&place, ask);
    serving.audience.failed(place.upstream, broken.failed.failure.kind);
    let beaten = Some(place.upstream);
    drop(place);
    let (place, began) = if is_first { second.await } else { first.await };
    Raced { place, began, beaten }
}

impl Broken {
    /// Tells the lanes how it failed.
    fn tell(&self, place: &Place, ask: &Ask) {
        if let Some(hints) = &self.failed.hints {
            place.hint(hints);
        }
        let Failed { failure, .. } = &self.failed;
        if failure.kind == FailureKind::Unauthorized && matches!(ask.call, Call::Passed(_)) {
            // Keys are often good for answers and not for files, or sound: that makes them no bad keys.
            let rejected = Failure::new(FailureKind::Rejected, failure.message.clone());
            place.tell(Err(&Failed { failure: rejected, ..self.failed.clone() }));
        } else {
            place.tell(Err(&self.failed));
        }
    }
}

/// Takes over what an answer says about the limits of its vendor.
fn heed(place: &Place, headers: &HeaderMap, clock: &dyn Clock) {
    let hints = Hints::read(headers, None, || clock.now());
    if !hints.is_empty() {
        place.hint(&hints);
    }
}

enum Begins {
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
async fn attempt(way: &Way, worker: &Worker, ask: &Ask, sent: Instant) -> Result<Begins, Box<Broken>> {
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

/// Says to the client why there is no answer, in the upstream's own words where it may hear them; and when to ask again,
/// which is `likely` where that is known.
fn refused(way: &Way, failure: &Failure, own: Option<Own>, likely: Option<Duration>) -> Refused {
    let ours = || {
        let message = format!("`{}`: {}", way.name, failure.message);
        let problem = Problem::of_failure(&Failure { message, ..failure.clone() });
        let said = problem.retry_after;
        Refused::Ours(problem.after(likely.or(said)))
    };
    match own {
        // Not accepting our key is between the vendor and us.
        Some(_) if matches!(failure.kind, FailureKind::Unauthorized | FailureKind::ExhaustedCredit) => ours(),
        Some(mut own) => {
            if !own.status.is_client_error() && !own.status.is_server_error() {
                own.status = StatusCode::BAD_GATEWAY;
            }
            if !is_openai_shaped(&own.body) {
                let problem = Problem::new(own.status, "upstream_error", failure.message.clone());
                own.body = problem.json().to_string().into();
                own.headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
                own.headers.remove(header::CONTENT_ENCODING);
            }
            let wait = likely.or(failure.retry_after_ms.map(Duration::from_millis));
            Refused::Theirs(own, wait)
        }
        None => ours(),
    }
}

/// Returns whether a body is `{"error": {...}}`, as clients of OpenAI expect one.
fn is_openai_shaped(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let mut is_shaped = false;
    let read = json::members(text, |name, value| is_shaped |= name == "error" && value.get().starts_with('{'));
    read.is_ok() && is_shaped
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

/// Puts the name that was asked for into an answer, as AI-DataFlux does.
pub(super) fn echoed(body: Bytes, asked: &str) -> Bytes {
    let Ok(text) = std::str::from_utf8(&body) else { return body };
    let mut at = None;
    let read = json::members(text, |name, value| {
        if name == "model" {
            let start = value.get().as_ptr() as usize - text.as_ptr() as usize;
            at = Some(start..start + value.get().len());
        }
    });
    let (Ok(()), Some(at)) = (read, at) else { return body };
    let name = serde_json::Value::from(asked).to_string();
    let mut out = BytesMut::with_capacity(body.len() + name.len());
    for part in [&body[..at.start], name.as_bytes(), &body[at.end..]] {
        out.extend_from_slice(part);
    }
    out.freeze()
}
