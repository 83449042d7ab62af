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

    /// Puts what comes next behind what `body` holds, which is all that came before; returns whether that was something
    /// and not the end.
    fn poll_more(&mut self, cx: &mut Context<'_>, body: &mut BytesMut) -> Poll<Result<bool, Incomplete>>;
}

/// The rest of a body will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incomplete;

impl RequestBody for Incoming {
    fn announced(&self) -> Option<u64> {
        if self.is_end_stream() { Some(0) } else { self.size_hint().exact() }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>, body: &mut BytesMut) -> Poll<Result<bool, Incomplete>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut *self).poll_frame(cx)) else { return Poll::Ready(Ok(false)) };
            // What stands behind it is passed over.
            if let Ok(piece) = frame.map_err(|_| Incomplete)?.into_data() {
                put(body, piece);
                return Poll::Ready(Ok(true));
            }
        }
    }
}

/// Puts a piece behind the others. The first one, which most often is all, is taken as it is.
pub(super) fn put(body: &mut BytesMut, piece: Bytes) {
    match piece.try_into_mut() {
        Ok(piece) if body.is_empty() => *body = piece,
        Ok(piece) => body.extend_from_slice(&piece),
        Err(piece) => body.extend_from_slice(&piece),
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
    let mut all = BytesMut::new();
    loop {
        let due = clock.due(all.len());
        let more = poll_fn(|cx| body.poll_more(cx, &mut all));
        let more = timeout_at(due, more).await.map_err(|_| too_slow(clock.limit))?;
        let is_more = more.map_err(|Incomplete| {
            let message = "the request ended before its body was complete, or its chunks are none";
            Problem::new(StatusCode::BAD_REQUEST, "incomplete_request", message)
        })?;
        if !is_more {
            return Ok(all.freeze());
        }
        let n_here = all.len() as u64;
        if n_here > limit {
            return Err(too_long(limit));
        }
        if let Some(held) = &mut growing
            && n_here > held.n_bytes()
        {
            held.grow((2 * n_here).min(limit)).or_else(|_| held.grow(n_here)).map_err(full)?;
        }
    }
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
