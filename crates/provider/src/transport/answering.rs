//! An answer on its way.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::{
    Reply, TransportError, error,
    pool::{Pool, Sender},
};

/// An answer whose head is here and whose body is read by whoever holds this.
///
/// The connection is kept only behind a body that was read to its end.
pub(crate) struct Answering {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// How much of a body may be kept.
    pub(crate) limit: usize,
    body: Incoming,
    kept: Option<(Sender, Arc<Pool>)>,
}

impl Answering {
    pub(super) fn new(response: Response<Incoming>, sender: Sender, pool: Arc<Pool>, limit: usize) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, limit, body, kept: Some((sender, pool)) }
    }

    /// Returns the next piece of the body, as it came; nothing at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, TransportError> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(piece) = frame.map_err(|e| error::of_exchange(&e))?.into_data() {
                return Ok(Some(piece));
            }
        }
        if let Some((sender, pool)) = self.kept.take() {
            pool.put(sender);
        }
        Ok(None)
    }

    /// Reads the whole body.
    pub(crate) async fn whole(self) -> Result<Reply, TransportError> {
        self.whole_after(Bytes::new()).await
    }

    /// Reads the rest of the body, of which `first` was read before.
    pub(crate) async fn whole_after(mut self, mut first: Bytes) -> Result<Reply, TransportError> {
        let limit = self.limit;
        let announced = self.body.size_hint().lower();
        if announced.saturating_add(first.len() as u64) > limit as u64 {
            return Err(TransportError::TooLarge { limit });
        }
        // Most answers come in one piece, which is taken as it is.
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
                let whole = usize::try_from(announced).unwrap_or(limit);
                joined.reserve(whole.max(first.len() + piece.len()));
                joined.extend_from_slice(&std::mem::take(&mut first));
            }
            joined.extend_from_slice(&piece);
        }
        let body = if joined.is_empty() { first } else { joined.freeze() };
        Ok(Reply { status: self.status, headers: self.headers, body })
    }
}
