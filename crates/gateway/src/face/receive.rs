//! Reading the body of a request: no longer, no slower and no more at a time than is allowed.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use super::{
    ask::far,
    bodies::{Bodies, Full, Held, SHORT, Terms, longest_body},
    problem::Problem,
};
use crate::FaceConfig;

/// A body that is on its way gets one second more for so many bytes that came. A limit over all would cut long bodies on
/// slow lines, and one between two pieces would let a byte every few seconds hold a connection and memory for good.
const BYTES_PER_SECOND: u64 = 64 * 1024;

/// The body of a request, while it comes.
pub(super) trait RequestBody: Send {
    /// Returns how long it is, where that was announced and nothing of it was taken.
    fn announced(&self) -> Option<u64>;

    /// Takes the next piece of it; nothing at its end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Incomplete>>>;
}

/// The rest of a body will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incomplete;

impl RequestBody for Incoming {
    fn announced(&self) -> Option<u64> {
        if self.is_end_stream() { Some(0) } else { self.size_hint().exact() }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Incomplete>>> {
        loop {
            return match ready!(Pin::new(&mut *self).poll_frame(cx)) {
                None => Poll::Ready(None),
                Some(Err(_)) => Poll::Ready(Some(Err(Incomplete))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => Poll::Ready(Some(Ok(piece))),
                    // What stands behind it.
                    Err(_) => continue,
                },
            };
        }
    }
}

/// The body of a request, with the memory that it has.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) body: Bytes,
    pub(super) held: Option<Held>,
}

/// Reads a body that began to come at `began`.
///
/// # Errors
/// Where it is too long or too slow, there is no memory for it in time, or the client hung up.
pub(super) async fn receive(
    body: impl RequestBody,
    bodies: &Arc<Bodies>,
    settings: &FaceConfig,
    began: Instant,
) -> Result<Received, Problem> {
    let announced = body.announced();
    if announced == Some(0) {
        return Ok(Received { body: Bytes::new(), held: None });
    }
    let limit = settings.body_limit.min(longest_body(settings.body_memory));
    if announced.is_some_and(|n| n > limit) {
        return Err(too_long(limit));
    }
    let terms = Terms { all: settings.body_memory, length: settings.queue_length, wait: settings.queue_wait };
    let n_bytes = announced.unwrap_or(SHORT.min(limit));
    let asked = Instant::now();
    let mut held = bodies.take(n_bytes, terms).await.map_err(full)?;
    // What was waited for memory is not the client's slowness.
    let clock = Clock { began: began + asked.elapsed(), limit: settings.body_timeout };
    let body = read(body, limit, clock, announced.is_none().then_some(&mut held)).await?;
    held.shrink(body.len() as u64);
    Ok(Received { body, held: Some(held) })
}

/// Until when a body must be here.
#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    limit: Duration,
}

impl Clock {
    fn due(self, n_came: usize) -> Instant {
        far(self.began, self.limit) + Duration::from_millis(n_came as u64 * 1_000 / BYTES_PER_SECOND)
    }
}

/// `growing` is the memory of a body whose length is not known.
async fn read(
    mut body: impl RequestBody,
    limit: u64,
    clock: Clock,
    mut growing: Option<&mut Held>,
) -> Result<Bytes, Problem> {
    let announced = body.announced().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    // Short requests come in one piece, which is taken as it is; of a long one every byte is copied once.
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    loop {
        let n_came = first.len() + joined.len();
        let next = poll_fn(|cx| body.poll_piece(cx));
        let Some(piece) = timeout_at(clock.due(n_came), next).await.map_err(|_| too_slow(clock.limit))? else { break };
        let piece = piece.map_err(|Incomplete| {
            let message = "the request ended before its body was complete, or its chunks are none";
            Problem::new(StatusCode::BAD_REQUEST, "incomplete_request", message)
        })?;
        let n_here = n_came + piece.len();
        if n_here as u64 > limit {
            return Err(too_long(limit));
        }
        if let Some(held) = &mut growing
            && n_here as u64 > held.n_bytes()
        {
            let n_here = n_here as u64;
            held.grow((2 * n_here).min(limit)).or_else(|_| held.grow(n_here)).map_err(full)?;
        }
        if n_came == 0 {
            first = piece;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(announced.max(n_here));
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.extend_from_slice(&piece);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

fn too_long(limit: u64) -> Problem {
    let message = format!("the request is longer than this gateway takes: {limit} bytes (`body_limit`)");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
}

fn too_slow(limit: Duration) -> Problem {
    let message = format!(
        "the body of the request came too slowly: it has {} s (`body_timeout`), and one more for each {BYTES_PER_SECOND} bytes \
         that came",
        limit.as_secs_f64()
    );
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
}

fn full(full: Full) -> Problem {
    let message = "there is no memory for the body of one more request (`body_memory`)";
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "body_memory_full", message);
    problem.after(Some(full.retry_after.max(Duration::from_secs(1))))
}
