//! The body of an answer to a client.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::stream::Forwarding;

/// What a client gets.
pub(super) enum FaceBody {
    /// In one piece.
    Whole(Bytes),
    /// As it comes.
    Stream(Box<Forwarding>),
}

/// The connection is cut, since what is missing cannot be told in any other way.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's answer was cut")]
pub(super) struct Broken;

impl FaceBody {
    pub(super) fn whole(body: impl Into<Bytes>) -> Self {
        Self::Whole(body.into())
    }

    /// Returns how long it is, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(body) => Some(body.len() as u64),
            Self::Stream(forwarding) => forwarding.length(),
        }
    }

    /// Takes the next piece of it; nothing at its end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match self {
            Self::Whole(body) if body.is_empty() => Poll::Ready(None),
            Self::Whole(body) => Poll::Ready(Some(Ok(std::mem::take(body)))),
            Self::Stream(forwarding) => forwarding.poll_piece(cx),
        }
    }
}

impl Body for FaceBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.poll_piece(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(body) if body.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or(SizeHint::default(), SizeHint::with_exact)
    }
}

impl fmt::Debug for FaceBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Stream(_) => "Stream",
        })
    }
}
