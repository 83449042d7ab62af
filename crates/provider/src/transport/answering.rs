//! An answer on its way.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, response};

use super::{
    Reply, TransportError,
    http1::{Connection, Head},
    http2::Streaming,
    pool::Pool,
};

/// An answer whose head is here and whose body is read by whoever holds this.
///
/// The connection is kept only behind a body that was read to its end; dropping this before it calls the request off.
pub struct Answering {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// How much of a body may be kept.
    pub(crate) limit: usize,
    body: Coming,
}

/// What came of reading a body whole.
#[derive(Debug)]
pub enum Read {
    /// All of it.
    Whole(Reply),
    /// It is longer than it may be: the rest is still to be read, behind what was.
    Long(Box<Answering>, Bytes),
}

/// Where the body comes from.
enum Coming {
    Http1(Connection, Arc<Pool>),
    Http2(Box<Streaming>),
    Ended,
}

impl Answering {
    pub(super) fn new(head: Head, connection: Connection, pool: Arc<Pool>, limit: usize) -> Self {
        Self { status: head.status, headers: head.headers, limit, body: Coming::Http1(connection, pool) }
    }

    pub(super) fn over_http2(head: response::Parts, body: Box<Streaming>, limit: usize) -> Self {
        Self { status: head.status, headers: head.headers, limit, body: Coming::Http2(body) }
    }

    /// Returns the next piece of the body: all that has come, as it came; nothing at its end.
    ///
    /// # Errors
    /// Where the answer is cut, or not well-formed.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, TransportError> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// Polls for the next piece of the body.
    ///
    /// # Errors
    /// As [`Answering::piece`].
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        let piece = match &mut self.body {
            Coming::Http1(connection, _) => ready!(connection.poll_piece(cx)),
            Coming::Http2(streaming) => ready!(streaming.poll_piece(cx)),
            Coming::Ended => return Poll::Ready(Ok(None)),
        };
        match &piece {
            Ok(Some(_)) => {}
            Ok(None) => self.keep(),
            Err(_) => self.body = Coming::Ended,
        }
        Poll::Ready(piece)
    }

    /// Returns how much of the body is still to come, where that was announced.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        match &self.body {
            Coming::Http1(connection, _) => connection.left(),
            Coming::Http2(streaming) => streaming.left(),
            Coming::Ended => Some(0),
        }
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// As [`Answering::piece`], and where it is longer than the transport takes.
    pub async fn whole(self) -> Result<Reply, TransportError> {
        self.whole_after(Bytes::new()).await
    }

    /// Reads the whole body, unless it turns out to be longer than `most` bytes.
    ///
    /// # Errors
    /// As [`Answering::whole`].
    pub async fn whole_or_long(mut self, most: usize) -> Result<Read, TransportError> {
        if self.announced().is_some() {
            return self.whole().await.map(Read::Whole);
        }
        let mut read = Bytes::new();
        let is_long = self.read_on(&mut read, most).await?;
        if is_long {
            return Ok(Read::Long(Box::new(self), read));
        }
        Ok(Read::Whole(Reply { status: self.status, headers: self.headers, body: read }))
    }

    /// Reads the rest of the body, of which `first` was read before.
    pub(crate) async fn whole_after(mut self, mut first: Bytes) -> Result<Reply, TransportError> {
        let limit = self.limit;
        let announced = self.announced();
        if announced.unwrap_or(0).saturating_add(first.len() as u64) > limit as u64 {
            return Err(TransportError::TooLarge { limit });
        }
        if announced.is_some()
            && first.is_empty()
            && let Coming::Http1(connection, _) = &mut self.body
        {
            let body = poll_fn(|cx| connection.poll_rest(cx)).await?;
            self.keep();
            return Ok(Reply { status: self.status, headers: self.headers, body });
        }
        if self.read_on(&mut first, limit).await? {
            return Err(TransportError::TooLarge { limit });
        }
        Ok(Reply { status: self.status, headers: self.headers, body: first })
    }

    /// Reads on behind what was read, to the end or until it is more than `most`; returns whether it is.
    async fn read_on(&mut self, read: &mut Bytes, most: usize) -> Result<bool, TransportError> {
        // Short answers come in one piece, which is taken as it is.
        let (mut first, mut joined, mut is_long) = (std::mem::take(read), BytesMut::new(), false);
        while !is_long && let Some(piece) = self.piece().await? {
            is_long = first.len() + joined.len() + piece.len() > most;
            if first.is_empty() && joined.is_empty() {
                first = piece;
                continue;
            }
            if joined.is_empty() {
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&piece);
        }
        *read = if joined.is_empty() { first } else { joined.freeze() };
        Ok(is_long)
    }

    fn keep(&mut self) {
        if let Coming::Http1(connection, pool) = std::mem::replace(&mut self.body, Coming::Ended)
            && connection.may_be_kept()
        {
            pool.put(connection);
        }
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").field("status", &self.status).finish_non_exhaustive()
    }
}
