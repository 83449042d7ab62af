//! One request over HTTP/2 and its answer, in the task of whoever asks.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, header::CONTENT_LENGTH};

use super::{Place, TransportError};
use crate::transport::{Payload, error};

/// How much of an answer is put together of frames that are there already: a stream of events has one frame for each.
const TOGETHER: usize = 16 * 1024;

/// Why there is no answer.
pub(super) struct Lost {
    pub(super) error: TransportError,
    /// Whether it is certain that the server did nothing for the request.
    pub(super) is_unprocessed: bool,
}

/// A body on its way. Dropping it calls the request off.
#[derive(Debug)]
pub(in super::super) struct Streaming {
    body: RecvStream,
    /// What is left of it, where the head said how long it is.
    left: Option<u64>,
    /// What was seen behind the last piece.
    next: Option<Result<Option<Bytes>, TransportError>>,
    is_request_sent: bool,
    _place: Place,
}

/// Sends a request and returns when its answer begins.
pub(super) async fn exchange(
    place: Place,
    message: http::Request<()>,
    body: &Payload,
) -> Result<(http::response::Parts, Streaming), (u64, Lost)> {
    let sender = place.sender.clone();
    let begun = async {
        let mut sender = sender.ready().await?;
        sender.send_request(message, body.is_empty())
    };
    let (answer, upload) = match begun.await {
        Ok(begun) => begun,
        // The connection is ending: nothing of the request went out.
        Err(e) => return Err((place.id, Lost { is_unprocessed: true, ..lost(&e) })),
    };
    let (mut answer, mut is_request_sent) = (pin!(answer), body.is_empty());
    let mut is_sending = !is_request_sent;
    let mut sending = pin!(send(upload, body));
    let answer = poll_fn(|cx| {
        // A server may answer before it has taken all; then what it says counts, and no more is sent.
        if is_sending && let Poll::Ready(sent) = sending.as_mut().poll(cx) {
            (is_sending, is_request_sent) = (false, sent.is_ok());
        }
        answer.as_mut().poll(cx)
    });
    match answer.await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let left = length(&head.headers);
            Ok((head, Streaming { body, left, next: None, is_request_sent, _place: place }))
        }
        Err(e) => Err((place.id, lost(&e))),
    }
}

async fn send(mut upload: SendStream<Bytes>, body: &Payload) -> Result<(), h2::Error> {
    let mut left = body.len();
    for piece in body.pieces() {
        let mut piece = piece.clone();
        while !piece.is_empty() {
            upload.reserve_capacity(piece.len());
            let Some(n) = poll_fn(|cx| upload.poll_capacity(cx)).await.transpose()? else {
                // It was reset; why, the answer says.
                return std::future::pending().await;
            };
            let part = piece.split_to(n.min(piece.len()));
            left -= part.len();
            upload.send_data(part, left == 0)?;
        }
    }
    Ok(())
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Streaming {
    /// Polls for the next piece: all that is there, up to some size; nothing at the end.
    pub(in super::super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        let piece = match self.next.take() {
            Some(seen) => seen,
            None => ready!(self.poll_frame(cx)),
        };
        let Ok(Some(first)) = piece else { return Poll::Ready(piece) };
        let mut together = BytesMut::new();
        while first.len() + together.len() < TOGETHER {
            match self.poll_frame(cx) {
                Poll::Ready(Ok(Some(more))) => {
                    if together.is_empty() {
                        together.reserve(first.len() + more.len());
                        together.extend_from_slice(&first);
                    }
                    together.extend_from_slice(&more);
                }
                Poll::Ready(end) => {
                    self.next = Some(end);
                    break;
                }
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(Some(if together.is_empty() { first } else { together.freeze() })))
    }

    /// Returns how much is still to come, where that was announced.
    pub(in super::super) fn left(&self) -> Option<u64> {
        self.left
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        loop {
            let frame = match ready!(self.body.poll_data(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(e)) if self.is_early_end(&e) => return Poll::Ready(Ok(None)),
                Some(Err(e)) => return Poll::Ready(Err(lost(&e).error)),
                None => return Poll::Ready(Ok(None)),
            };
            // The server may send as much again.
            let released = self.body.flow_control().release_capacity(frame.len());
            released.map_err(|e| lost(&e).error)?;
            self.left = self.left.map(|left| left.saturating_sub(frame.len() as u64));
            if !frame.is_empty() {
                return Poll::Ready(Ok(Some(frame)));
            }
        }
    }

    /// Returns whether a reset only says that the rest of the request is not wanted (RFC 9113 section 8.1). Where all of
    /// it was sent, or the answer is shorter than announced, it means that the answer was cut.
    fn is_early_end(&self, error: &h2::Error) -> bool {
        let is_polite = error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        is_polite && self.left.map_or(!self.is_request_sent, |left| left == 0)
    }
}

/// Sorts what h2 reports.
pub(super) fn lost(error: &h2::Error) -> Lost {
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // A stream learns of the other side's going away only where its number is beyond the last that was looked at.
    let is_unprocessed = error.is_remote() && (is_refused || error.is_go_away());
    let error = match error.get_io() {
        Some(e) if e.kind() == std::io::ErrorKind::BrokenPipe => error::cut(),
        Some(e) => error::of_reading(e),
        None if error.is_library() => TransportError::Protocol(error::in_words(error)),
        None => TransportError::Cut(error::in_words(error)),
    };
    Lost { error, is_unprocessed }
}
