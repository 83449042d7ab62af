//! An answer on its way.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::{
    Reply, TransportError,
    http1::{Connection, Head},
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
    kept: Option<(Connection, Arc<Pool>)>,
}

impl Answering {
    pub(super) fn new(head: Head, connection: Connection, pool: Arc<Pool>, limit: usize) -> Self {
        Self { status: head.status, headers: head.headers, limit, kept: Some((connection, pool)) }
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
        let Some((connection, _)) = &mut self.kept else { return Poll::Ready(Ok(None)) };
        let piece = ready!(connection.poll_piece(cx));
        match &piece {
            Ok(Some(_)) => {}
            Ok(None) => self.keep(),
            Err(_) => self.kept = None,
        }
        Poll::Ready(piece)
    }

    /// Returns how much of the body is still to come, where that was announced.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        self.kept.as_ref().map_or(Some(0), |(connection, _)| connection.left())
    }

    /// Reads the whole body.
    ///
    /// # Errors
    /// As [`Answering::piece`], and where it is longer than the transport takes.
    pub async fn whole(self) -> Result<Reply, TransportError> {
        self.whole_after(Bytes::new()).await
    }

    /// Reads the rest of the body, of which `first` was read before.
    pub(crate) async fn whole_after(mut self, mut first: Bytes) -> Result<Reply, TransportError> {
        let limit = self.limit;
        let announced = self.announced();
        if announced.unwrap_or(0).saturating_add(first.len() as u64) > limit as u64 {
            return Err(TransportError::TooLarge { limit });
        }
        if announced.is_some() && first.is_empty() {
            let body = match &mut self.kept {
                Some((connection, _)) => poll_fn(|cx| connection.poll_rest(cx)).await?,
                None => Bytes::new(),
            };
            self.keep();
            return Ok(Reply { status: self.status, headers: self.headers, body });
        }
        // Short answers come in one piece, which is taken as it is.
        let mut joined = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if first.len() + joined.len() + piece.len() > limit {
                return Err(TransportError::TooLarge { limit });
            }
            if first.is_empty() && joined.is_empty() {
                first = piece;
                continue;
            }
            if joined.is_empty() {
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&piece);
        }
        let body = if joined.is_empty() { first } else { joined.freeze() };
        Ok(Reply { status: self.status, headers: self.headers, body })
    }

    fn keep(&mut self) {
        if let Some((connection, pool)) = self.kept.take()
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
