//! The body of an answer: whole, in events, or broken off.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::count::Ask;

/// The connection is to be closed without another byte: the script says so.
#[derive(Debug)]
pub(crate) struct Cut;

/// The body of an answer, and the ask that it ends.
pub(crate) struct Body {
    rest: Rest,
    ask: Option<Ask>,
}

enum Rest {
    Nothing,
    Whole(Bytes),
    /// This much of a body of the given length, then the end of the connection.
    Half(Bytes, u64),
    Events(Events),
    /// What was sent is to be flushed before the connection is closed.
    Cut {
        is_flushed: bool,
    },
}

/// A streamed answer.
struct Events {
    bytes: Bytes,
    /// Where each event ends, the last first.
    ends: Vec<usize>,
    sent: usize,
    /// After this many bytes the connection is closed.
    cut_at: Option<usize>,
    pause: Duration,
    pausing: Option<Pin<Box<Sleep>>>,
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
        Body { rest: Rest::Whole(bytes.into()), ask: None }
    }

    /// The first half of the bytes under the length of all of them.
    pub(crate) fn half(bytes: &Bytes) -> Body {
        Body { rest: Rest::Half(bytes.slice(..bytes.len() / 2), bytes.len() as u64), ask: None }
    }

    /// Events one by one, each ending where `ends` says.
    pub(crate) fn events(bytes: Bytes, mut ends: Vec<usize>, pause: Duration) -> Body {
        ends.reverse();
        Body { rest: Rest::Events(Events { bytes, ends, sent: 0, cut_at: None, pause, pausing: None }), ask: None }
    }

    /// The first half of the events.
    pub(crate) fn half_of_events(bytes: Bytes, ends: Vec<usize>, pause: Duration) -> Body {
        let cut_at = Some(bytes.len() / 2);
        let mut body = Body::events(bytes, ends, pause);
        if let Rest::Events(events) = &mut body.rest {
            events.cut_at = cut_at;
        }
        body
    }

    /// Keeps the ask in flight until the body was handed over.
    pub(crate) fn ending(mut self, ask: Ask) -> Body {
        self.ask = Some(ask);
        self
    }

    fn end(&mut self) {
        if let Some(ask) = self.ask.take() {
            ask.answered();
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let body = &mut *self;
        match &mut body.rest {
            Rest::Nothing => Poll::Ready(None),
            Rest::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                body.rest = Rest::Nothing;
                body.end();
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Rest::Half(bytes, _) => {
                let bytes = std::mem::take(bytes);
                body.rest = Rest::Cut { is_flushed: false };
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Rest::Events(events) => match ready!(events.poll_next(context)) {
                Some(event) => {
                    if events.ends.is_empty() {
                        body.rest = Rest::Nothing;
                        body.end();
                    }
                    Poll::Ready(Some(Ok(Frame::data(event))))
                }
                None => {
                    body.rest = Rest::Cut { is_flushed: false };
                    self.poll_frame(context)
                }
            },
            // hyper flushes when the body makes it wait, and throws away what it holds when the body fails.
            Rest::Cut { is_flushed } if !*is_flushed => {
                *is_flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Rest::Cut { .. } => {
                body.end();
                Poll::Ready(Some(Err(Cut)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Rest::Nothing => SizeHint::with_exact(0),
            Rest::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Rest::Half(_, length) => SizeHint::with_exact(*length),
            Rest::Events(_) | Rest::Cut { .. } => SizeHint::default(),
        }
    }
}

impl Events {
    /// Returns the next event, or nothing where the stream is cut.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(pausing) = &mut self.pausing {
            ready!(pausing.as_mut().poll(context));
            self.pausing = None;
        }
        let end = self.ends.last().copied().unwrap_or(self.sent);
        let end = self.cut_at.map_or(end, |cut_at| end.min(cut_at));
        if end == self.sent {
            return Poll::Ready(None);
        }
        let event = self.bytes.slice(self.sent..end);
        self.sent = end;
        if self.ends.last() == Some(&end) {
            self.ends.pop();
        }
        if !self.pause.is_zero() {
            self.pausing = Some(Box::pin(sleep(self.pause)));
        }
        Poll::Ready(Some(event))
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut, as the script says")
    }
}

impl std::error::Error for Cut {}
