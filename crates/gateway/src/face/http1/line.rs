//! A connection, and what is read of it.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, BytesMut};
use provider::transport::Framing;
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    super::{
        ending::Ending,
        patient::waited,
        problem::Problem,
        receive::{Incomplete, RequestBody, put},
    },
    LINGER,
    head::{self, Head},
    outbox::Outbox,
};

/// After how long a connection on which nothing is asked gives back all but its socket.
const IDLE: Duration = Duration::from_secs(1);
/// How much is read at once.
const READ: usize = 4 * 1024;
/// How much is read at once of a body whose length is not known.
const READ_CHUNKS: usize = 16 * 1024;
/// What a client is told that waits with its body.
const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Why there is no request.
pub(super) enum Silence {
    /// Nothing is asked for now.
    Idle,
    Closed,
    /// What came is none.
    Refused(Problem),
}

/// A connection, and what was read of it.
pub(super) struct Line {
    pub(super) stream: TcpStream,
    read: BytesMut,
    /// How much of that was looked through for the end of a head.
    n_looked: usize,
    /// What is left of the body of the request.
    framing: Framing,
    /// Whether the client waits for word that its body is welcome.
    owes_word: bool,
    pub(super) out: Outbox,
    n_requests: usize,
    /// How many there were when it was last looked whether there are more.
    n_seen: usize,
    idle: Option<Pin<Box<Sleep>>>,
    /// How long a head may take.
    limit: Duration,
    /// Until when the head must be here.
    head: Option<Pin<Box<Sleep>>>,
    /// Until when another request is waited for at the end.
    linger: Option<Pin<Box<Sleep>>>,
    /// Until when something must have been taken of what is to be written.
    pub(super) unread: Option<Pin<Box<Sleep>>>,
}

impl Line {
    pub(super) fn new(stream: TcpStream, limit: Duration) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            n_looked: 0,
            framing: Framing::Ended,
            owes_word: false,
            out: Outbox::default(),
            n_requests: 0,
            n_seen: 0,
            idle: None,
            limit,
            head: None,
            linger: None,
            unread: None,
        }
    }

    /// Reads what is there; returns how much that was, 0 at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, at_once: usize) -> Poll<io::Result<usize>> {
        // Room is made when there is something to read.
        ready!(self.stream.poll_read_ready(cx))?;
        self.read.reserve(at_once);
        pin!(self.stream.read_buf(&mut self.read)).poll(cx)
    }

    /// Reads the head of the next request.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>, ending: &Ending) -> Poll<Result<Head, Silence>> {
        loop {
            if self.n_looked < self.read.len() {
                if self.n_looked == 0 {
                    head::skip_blank(&mut self.read);
                }
                // Of a head that comes byte by byte not every beginning is read anew.
                let may_be_read =
                    self.n_looked == 0 || self.read.len() > head::MOST || head::may_end(&self.read, self.n_looked);
                if may_be_read && let Some(head) = head::read(&mut self.read).map_err(Silence::Refused)? {
                    (self.n_looked, self.head, self.linger) = (0, None, None);
                    (self.framing, self.owes_word) = (head.framing, head.waits);
                    self.n_requests += 1;
                    return Poll::Ready(Ok(head));
                }
                self.n_looked = self.read.len();
            }
            match self.poll_fill(cx, READ) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Err(Silence::Closed)),
                Poll::Pending => break,
            }
        }
        if ending.is_here() {
            return Poll::Ready(Err(Silence::Closed));
        }
        if !self.read.is_empty() {
            return waited(&mut self.head, self.limit, cx).map(|()| Err(Silence::Closed));
        }
        self.head = None;
        if ending.is_near() {
            return waited(&mut self.linger, LINGER, cx).map(|()| Err(Silence::Closed));
        }
        let next_look = || Instant::now() + IDLE;
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep_until(next_look())));
        while idle.as_mut().poll(cx).is_ready() {
            if self.n_seen == self.n_requests {
                return Poll::Ready(Err(Silence::Idle));
            }
            self.n_seen = self.n_requests;
            idle.as_mut().reset(next_look());
        }
        Poll::Pending
    }

    /// Ends when the client hangs up. What it asks meanwhile is kept for later.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.read.len() < head::MOST {
            match ready!(self.poll_fill(cx, READ)) {
                Ok(1..) => {}
                _ => return Poll::Ready(()),
            }
        }
        // It is seen when it is written to.
        Poll::Pending
    }

    /// Returns whether all of the body is here. What nobody took of it is passed over.
    pub(super) fn is_heard_out(&mut self) -> bool {
        while let Ok(Some(_)) = self.framing.take(&mut self.read) {}
        self.framing == Framing::Ended
    }
}

/// The body of the request that is being heard.
pub(super) struct Body<'a>(pub(super) &'a mut Line);

impl RequestBody for Body<'_> {
    fn announced(&self) -> Option<u64> {
        match self.0.framing {
            Framing::Ended => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked(_) | Framing::ToTheEnd => None,
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>, body: &mut BytesMut) -> Poll<Result<bool, Incomplete>> {
        let line = &mut *self.0;
        loop {
            if let Some(piece) = line.framing.take(&mut line.read).map_err(|_| Incomplete)? {
                put(body, piece);
                return Poll::Ready(Ok(true));
            }
            if line.framing == Framing::Ended {
                return Poll::Ready(Ok(false));
            }
            if std::mem::take(&mut line.owes_word) {
                line.out.text(GO_ON);
            }
            if line.out.n_bytes() > 0 {
                ready!(line.out.poll_write(cx, &mut line.stream)).map_err(|_| Incomplete)?;
            }
            let filled = match &mut line.framing {
                // Where it will end is known, so it is read to where it shall stand.
                Framing::Length(left) => {
                    ready!(line.stream.poll_read_ready(cx)).map_err(|_| Incomplete)?;
                    let n_left = usize::try_from(*left).unwrap_or(usize::MAX);
                    body.reserve(n_left);
                    let filled = ready!(pin!(line.stream.read_buf(&mut body.limit(n_left))).poll(cx));
                    *left -= *filled.as_ref().unwrap_or(&0) as u64;
                    if *left == 0 {
                        line.framing = Framing::Ended;
                    }
                    filled
                }
                _ => match ready!(line.poll_fill(cx, READ_CHUNKS)) {
                    Ok(1..) => continue,
                    ended => ended,
                },
            };
            return Poll::Ready(match filled {
                Ok(1..) => Ok(true),
                _ => Err(Incomplete),
            });
        }
    }
}
