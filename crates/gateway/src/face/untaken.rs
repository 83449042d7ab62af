//! Answers over HTTP/2 that their client does not take.
//!
//! A client says of each stream how much it will take. While it says nothing, the server below does not ask for the next
//! piece of the answer, and nobody else can: so this looks from outside at how long ago the last one was asked for.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    body::{Body, Frame, SizeHint},
    rt::Executor,
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{ending::Tasks, patient::UNREAD};

/// The most that is handed over at a time: as much as a frame takes, so that asking for more means that something was taken.
const PIECE: usize = 16 * 1024;

/// Runs the streams of one connection, and ends those of which nothing is taken for two minutes: they are reset, and what
/// they hold is let go.
#[derive(Clone)]
pub(super) struct Streams {
    tasks: Tasks,
    /// Of the request that came last: the server runs its stream right behind calling the service.
    next: Arc<Mutex<Option<Arc<Offer>>>>,
}

/// What of an answer is on offer.
#[derive(Debug, Default)]
pub(super) struct Offer {
    /// Whether there is a piece behind which no other one was asked for.
    is_untaken: AtomicBool,
    n_pieces: AtomicUsize,
}

/// The body of an answer, of which is known how far it was taken.
pub(super) struct Offered<B> {
    body: B,
    offer: Arc<Offer>,
    /// What is left of a longer piece.
    rest: Bytes,
}

impl Streams {
    pub(super) fn new(tasks: Tasks) -> Self {
        Self { tasks, next: Arc::default() }
    }

    /// A request has come; its answer is to be [`Offered`] with what this returns.
    pub(super) fn begin(&self) -> Arc<Offer> {
        let offer = Arc::<Offer>::default();
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&offer));
        offer
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        match self.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(offer) => self.tasks.execute(unless_untaken(stream, offer)),
            None => self.tasks.execute(stream),
        }
    }
}

async fn unless_untaken(stream: impl Future<Output = ()>, offer: Arc<Offer>) {
    let mut stream = pin!(stream);
    let mut timer: Option<(usize, Pin<Box<Sleep>>)> = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !offer.is_untaken.load(Relaxed) {
            timer = None;
            return Poll::Pending;
        }
        let n = offer.n_pieces.load(Relaxed);
        let (n_timed, timer) = timer.get_or_insert_with(|| (n, Box::pin(sleep_until(Instant::now() + UNREAD))));
        if *n_timed != n {
            *n_timed = n;
            timer.as_mut().reset(Instant::now() + UNREAD);
        }
        timer.as_mut().poll(cx)
    })
    .await;
}

impl<B> Offered<B> {
    pub(super) fn new(body: B, offer: Arc<Offer>) -> Self {
        Self { body, offer, rest: Bytes::new() }
    }

    fn next_piece(&mut self) -> Bytes {
        if self.rest.len() > PIECE {
            return self.rest.split_to(PIECE);
        }
        // The last one may lie with the server for long: it does not keep all of the others.
        let rest = std::mem::take(&mut self.rest);
        if rest.len() < PIECE { Bytes::copy_from_slice(&rest) } else { rest }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Offered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.offer.is_untaken.store(false, Relaxed);
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return ended,
            }
        }
        let is_short = self.rest.len() <= PIECE;
        let piece = if is_short && self.offer.n_pieces.load(Relaxed) == 0 {
            // Nearly all answers: it is all there is.
            std::mem::take(&mut self.rest)
        } else {
            self.next_piece()
        };
        self.offer.is_untaken.store(true, Relaxed);
        self.offer.n_pieces.fetch_add(1, Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use http::{Request, Response};
    use hyper::{body::Incoming, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioIo, TokioTimer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::{super::ending::Stop, *};

    /// So many pieces of an answer, and what tells that it was let go.
    struct Answer(usize, Arc<AtomicBool>);

    impl Drop for Answer {
        fn drop(&mut self) {
            self.1.store(true, Relaxed);
        }
    }

    impl Body for Answer {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0 == 0 {
                return Poll::Ready(None);
            }
            self.0 -= 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; 40_000])))))
        }
    }

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// <https://www.rfc-editor.org/rfc/rfc7541#section-6.1>: `GET`, `http`, `/`.
    const GET: [u8; 3] = [0x82, 0x86, 0x84];

    /// Serves one connection whose client takes `window` bytes of each answer unasked.
    async fn served(window: u32, n_pieces: usize) -> (DuplexStream, Arc<AtomicBool>) {
        let (mut client, server) = duplex(1 << 20);
        let is_gone = Arc::new(AtomicBool::new(false));
        let (streams, told) = (Streams::new(Tasks(tokio::sync::watch::channel(Stop::No).1)), Arc::clone(&is_gone));
        let service = {
            let streams = streams.clone();
            service_fn(move |_: Request<Incoming>| {
                let body = Offered::new(Answer(n_pieces, Arc::clone(&told)), streams.begin());
                async move { Ok::<_, Infallible>(Response::new(body)) }
            })
        };
        let mut builder = http2::Builder::new(streams);
        builder.timer(TokioTimer::new());
        tokio::spawn(builder.serve_connection(TokioIo::new(server), service));
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        client.write_all(&frame(4, 0, 0, &settings)).await.unwrap();
        client.write_all(&frame(1, 5, 1, &GET)).await.unwrap();
        (client, is_gone)
    }

    /// Reads a frame: its kind, its stream and how long it is.
    async fn heard(client: &mut DuplexStream) -> (u8, u32, usize) {
        let mut head = [0; 9];
        client.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        client.read_exact(&mut vec![0; length]).await.unwrap();
        (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), length)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_which_nothing_is_taken_is_reset_and_lets_go_what_it_holds() {
        let (mut client, is_gone) = served(10, 3).await;
        let began = Instant::now();
        // It is told by the reset of its stream, and nothing else on the connection suffers.
        while heard(&mut client).await.0 != 3 {}
        assert!(is_gone.load(Relaxed) && began.elapsed() >= UNREAD && began.elapsed() < 2 * UNREAD);
        client.write_all(&frame(6, 0, 0, &[7; 8])).await.unwrap();
        while heard(&mut client).await != (6, 0, 8) {}
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_little_by_little_gets_all_of_it() {
        let (mut client, _) = served(20_000, 3).await;
        let mut n_got = 0;
        while n_got < 120_000 {
            let (kind, _, length) = heard(&mut client).await;
            assert_ne!(kind, 3, "after {n_got}");
            if kind != 0 || length == 0 {
                continue;
            }
            n_got += length;
            tokio::time::sleep(Duration::from_secs(50)).await;
            for stream in [0, 1] {
                let more = u32::try_from(length).unwrap().to_be_bytes();
                client.write_all(&frame(8, 0, stream, &more)).await.unwrap();
            }
        }
        assert_eq!(n_got, 120_000);
    }
}
