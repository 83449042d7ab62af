//! A connection of a client, as seen from outside of the server that speaks on it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::body::{Broken, FaceBody};

/// How long a client may take nothing of what is there for it. Somebody who never reads would hold the place at the
/// upstream for as long as he likes.
pub(super) const UNREAD: Duration = Duration::from_mins(2);

/// What is known of a connection from outside.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Whether a request is being answered.
    is_busy: AtomicBool,
    /// Whether a part of a head is here.
    has_part: AtomicBool,
    /// Whether something is still to be written: the server has given away the body of an answer long before a slow client
    /// has all of it.
    has_unwritten: AtomicBool,
    n_requests: AtomicUsize,
    /// Whether the last request was refused, perhaps before all of it was here.
    was_refused: AtomicBool,
}

impl Pulse {
    /// Returns how many requests there were.
    pub(super) fn n_requests(&self) -> usize {
        self.n_requests.load(Ordering::Relaxed)
    }

    /// Returns whether the last request was refused.
    pub(super) fn was_refused(&self) -> bool {
        self.was_refused.load(Ordering::Relaxed)
    }

    /// Returns whether nothing is under way, in either direction.
    pub(super) fn is_still(&self) -> bool {
        let all = [&self.is_busy, &self.has_part, &self.has_unwritten];
        all.into_iter().all(|one| !one.load(Ordering::Relaxed))
    }
}

/// A request is being answered.
pub(super) struct Busy(Arc<Pulse>);

impl Busy {
    pub(super) fn new(pulse: &Arc<Pulse>) -> Self {
        pulse.is_busy.store(true, Ordering::Relaxed);
        // What was read of a head is this request.
        pulse.has_part.store(false, Ordering::Relaxed);
        pulse.n_requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(pulse))
    }

    /// Notes whether the request is refused.
    pub(super) fn refused(&self, is_refused: bool) {
        self.0.was_refused.store(is_refused, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is_busy.store(false, Ordering::Relaxed);
    }
}

/// The body of an answer, until whose end the connection is busy.
pub(super) struct Busily {
    body: FaceBody,
    _busy: Busy,
}

impl Busily {
    pub(super) fn new(body: FaceBody, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl Body for Busily {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose client may be idle for as long as it likes between two requests, and not within the head of one, nor
/// while an answer waits to be read.
///
/// The limit of the server below counts the time between requests as well, and sets a timer for each.
pub(super) struct Patient {
    stream: TcpStream,
    limit: Duration,
    pulse: Arc<Pulse>,
    /// Until when the head must be here.
    head: Option<Pin<Box<Sleep>>>,
    /// Until when something must have been read.
    unread: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    /// `limit` is how long the head of a request may take.
    pub(super) fn new(stream: TcpStream, limit: Duration, pulse: Arc<Pulse>) -> Self {
        Self { stream, limit, pulse, head: None, unread: None }
    }

    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Notes how a write went, and ends one that was waited for too long.
    fn wrote(&mut self, wrote: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.pulse.has_unwritten.store(true, Ordering::Relaxed);
        if wrote.is_ready() {
            self.unread = None;
            return wrote;
        }
        waited(&mut self.unread, UNREAD, cx)
    }
}

/// Ends with an error when it has been called for longer than `limit`.
fn waited<T>(timer: &mut Option<Pin<Box<Sleep>>>, limit: Duration, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
    timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pulse.is_busy.load(Ordering::Relaxed) {
            // What was read is a request by now, or belongs to one.
            self.pulse.has_part.store(false, Ordering::Relaxed);
            self.head = None;
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        if !self.pulse.has_part.load(Ordering::Relaxed) {
            self.head = None;
        }
        let n_before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match read {
            Poll::Ready(Ok(())) if buffer.filled().len() > n_before => {
                self.pulse.has_part.store(true, Ordering::Relaxed);
            }
            Poll::Pending if self.pulse.has_part.load(Ordering::Relaxed) => {
                let limit = self.limit;
                return waited(&mut self.head, limit, cx);
            }
            _ => {}
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(wrote, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(wrote, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The server asks for this behind the last byte that it has.
        self.pulse.has_unwritten.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_his_answer_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let pulse = Arc::new(Pulse::default());
        let mut patient = Patient::new(stream, Duration::from_secs(10), Arc::clone(&pulse));
        let began = Instant::now();
        let error = patient.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert!(error.kind() == io::ErrorKind::TimedOut && began.elapsed() >= UNREAD, "{error}");
        assert!(!pulse.is_still());
        drop(client);
    }
}
