//! HTTP/1.1 from the asking side, in the task of whoever asks.
//!
//! A client library drives each connection in a task of its own and hands requests and answers over through channels:
//! every answer wakes two tasks, and every piece of a stream as well. Here whoever asks writes the request and reads the
//! answer, and a connection that nobody uses is an entry in a pool and no task. What that saves stands in
//! `docs/design/2026-11-21-gateway-speed.md`.
//!
//! Where a mistake would let one answer be taken for another, RFC 9112 is followed to the letter: lengths that contradict
//! each other, sizes that are no numbers and bytes behind the end of an answer close the connection.

mod framing;
mod head;

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    error::{self, TransportError},
    stream::Stream,
};
pub use framing::{Chunked, Framing, Misframed, announced};
pub(super) use head::{Head, write as write_head};
pub use head::{stays, write_header};

/// How much is read at once of an answer whose length is not known.
const READ: usize = 16 * 1024;
/// How much is read at once of an answer that comes in drips.
const DRIP: usize = 2 * 1024;
/// How many parts of a request are given to the system at once.
const N_SLICES: usize = 16;
/// The longest head of an answer.
const HEAD_MOST: usize = 256 * 1024;

/// A connection that waits for a request, or for the rest of an answer.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    read: BytesMut,
    body: Framing,
    /// How much is read at once.
    at_once: usize,
    /// Whether another request may follow behind this answer.
    may_stay: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// Not a byte of the request went out: it was never sent.
    Unsent,
    /// It may be worked on.
    Sent(TransportError),
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, read: BytesMut::new(), body: Framing::Ended, at_once: READ, may_stay: true }
    }

    /// Returns whether nothing has been heard on a connection that waits: what would be heard there is its end.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut room = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(Waker::noop());
        // The system is asked only where it has said before that there is something to read.
        Pin::new(&mut self.stream).poll_read(&mut cx, &mut room).is_pending()
    }

    /// Writes a request, whose parts are given, and reads the head of its answer, in pieces of `at_once` bytes.
    pub(super) async fn exchange(&mut self, parts: &[&[u8]], at_once: usize) -> Result<Head, Lost> {
        let mut written = 0;
        let sent = poll_fn(|cx| self.poll_send(cx, parts, &mut written)).await;
        if sent.is_err() && written == 0 && self.read.is_empty() {
            return Err(Lost::Unsent);
        }
        let n_all: usize = parts.iter().map(|part| part.len()).sum();
        let head = self.head(at_once, sent.err()).await.map_err(Lost::Sent)?;
        self.body = head.body;
        self.may_stay = head.may_stay && written == n_all && head.body != Framing::ToTheEnd;
        Ok(head)
    }

    /// Writes what is left of a request. A vendor may answer before it has taken all: then what it says counts, and no more
    /// is sent.
    fn poll_send(&mut self, cx: &mut Context<'_>, parts: &[&[u8]], written: &mut usize) -> Poll<io::Result<()>> {
        loop {
            let mut slices = [IoSlice::new(&[]); N_SLICES];
            let n_slices = unwritten(parts, *written, &mut slices);
            if n_slices == 0 {
                return Pin::new(&mut self.stream).poll_flush(cx);
            }
            match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..n_slices]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => *written += n,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => match ready!(self.stream.poll_fill(cx, &mut self.read, READ))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                    // Word that an answer will come is none: the vendor still waits for the rest.
                    _ if head::is_only_word(&mut self.read) => {}
                    _ => return Poll::Ready(Ok(())),
                },
            }
        }
    }

    /// Reads a head. Where the request could not be sent whole, the vendor may still have said why.
    async fn head(&mut self, at_once: usize, unsent: Option<io::Error>) -> Result<Head, TransportError> {
        loop {
            if let Some(head) = head::read(&mut self.read)? {
                return Ok(head);
            }
            if self.read.len() > HEAD_MOST {
                return Err(TransportError::Protocol(format!("its head is longer than {HEAD_MOST} bytes")));
            }
            let n = poll_fn(|cx| self.stream.poll_fill(cx, &mut self.read, at_once)).await;
            match (&n, &unsent) {
                (Ok(1..), _) => {}
                (Ok(0), None) => return Err(error::cut()),
                (Err(e), None) | (_, Some(e)) => return Err(error::of_reading(e)),
            }
        }
    }

    /// Returns the next piece of the answer: all that is there, without the marks of its chunks. Nothing at its end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        loop {
            if self.body == Framing::Ended {
                return Poll::Ready(Ok(None));
            }
            if let Some(piece) = self.body.take(&mut self.read).map_err(head::protocol)? {
                if self.at_once == DRIP && self.read.is_empty() && self.read.capacity() > 2 * DRIP {
                    // A thousand answers that come word by word need not hold a large room each.
                    self.read = BytesMut::new();
                }
                return Poll::Ready(Ok(Some(piece)));
            }
            if self.body == Framing::Ended {
                return Poll::Ready(Ok(None));
            }
            let at_once = self.at_once;
            let n = ready!(self.stream.poll_fill(cx, &mut self.read, at_once)).map_err(|e| error::of_reading(&e))?;
            self.at_once = if n < DRIP { DRIP } else { READ };
            if n == 0 {
                if self.body == Framing::ToTheEnd {
                    self.body = Framing::Ended;
                    return Poll::Ready(Ok(None));
                }
                return Poll::Ready(Err(error::cut()));
            }
        }
    }

    /// Returns the rest of an answer whose length is known and at most `limit`, in one piece that was read into one room.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TransportError>> {
        let Framing::Length(left) = self.body else { return Poll::Ready(Ok(Bytes::new())) };
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        while self.read.len() < left {
            // All of it at once: growing would hold it twice while it is moved. The system gives what is written to, so
            // somebody who announces much and sends little does not get much.
            let room = left - self.read.len();
            let n = ready!(self.stream.poll_fill(cx, &mut self.read, room)).map_err(|e| error::of_reading(&e))?;
            if n == 0 {
                return Poll::Ready(Err(error::cut()));
            }
        }
        self.body = Framing::Ended;
        Poll::Ready(Ok(self.read.split_to(left).freeze()))
    }

    /// Notes that the answer is one to `HEAD`: its headers tell of a body that does not come.
    pub(super) fn has_no_body(&mut self) {
        self.body = Framing::Ended;
    }

    /// Returns how long the body is that is still to come, where that was announced.
    pub(super) fn left(&self) -> Option<u64> {
        match self.body {
            Framing::Ended => Some(0),
            Framing::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Returns whether the answer was read to its end and another request may follow.
    pub(super) fn may_be_kept(&self) -> bool {
        // Bytes behind the end would be taken for the next answer.
        self.body == Framing::Ended && self.may_stay && self.read.is_empty()
    }
}

/// Puts what is not written yet into `slices`, as far as it has room; returns how many it took.
fn unwritten<'a>(parts: &[&'a [u8]], written: usize, slices: &mut [IoSlice<'a>]) -> usize {
    let mut skipped = written;
    let rest = parts.iter().filter_map(|part| {
        let (before, rest) = part.split_at(skipped.min(part.len()));
        skipped -= before.len();
        (!rest.is_empty()).then_some(rest)
    });
    let mut n = 0;
    for (slice, rest) in slices.iter_mut().zip(rest) {
        *slice = IoSlice::new(rest);
        n += 1;
    }
    n
}
