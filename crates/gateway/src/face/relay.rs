//! One request's way through the upstreams: each is asked at most once, until one begins to answer.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use domain::{Clock, Failure, FailureKind, json};
use http::{HeaderMap, StatusCode, header};
use provider::{Failed, Hints, transport::Answering, watch::Watch};
use tokio::time::{Instant, timeout};

use super::{
    account::Account,
    ask::Ask,
    attempt::{Begins, Broken, attempt},
    endpoint::Call,
    exchange::Worker,
    live::{Serving, Way},
    problem::{A_MOMENT, Problem},
};
use crate::{
    Hedge,
    failover::is_upstreams_own,
    lanes::{self, Picked, Place},
    queue::Why,
};

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
