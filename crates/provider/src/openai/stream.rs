//! An answer that comes in pieces, put together as if it had come whole.
//!
//! - `events`: bytes, cut anywhere, into events
//! - `pieces`: events into one completion

mod events;
mod pieces;

use std::time::Duration;

use bytes::{Buf, Bytes};
use domain::{Failure, FailureKind};

use super::decode::Said;
use crate::{
    Failed,
    transport::{Answering, TransportError},
};
use events::Events;
use pieces::Pieces;

/// How long the end of a stream may take behind its last event: it is there already, or the connection is not kept.
const END: Duration = Duration::from_millis(20);

/// What came.
#[derive(Debug)]
pub(super) enum Read {
    /// The completion, put together.
    Joined(Bytes),
    /// A body that is no stream: the vendor does not care for the wish.
    Whole(Bytes),
}

/// Reads a stream of `n_choices` choices to its end. From the first event on it may not be silent for longer than `idle`;
/// what comes before that, a model may think about for as long as the deadline lets it.
pub(super) async fn read(mut answering: Answering, idle: Duration, n_choices: usize) -> Result<Read, Failed> {
    let mut first = Bytes::new();
    while first.is_empty() {
        let Some(mut piece) = answering.piece().await? else { return Ok(Read::Whole(Bytes::new())) };
        let n_blank = piece.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        piece.advance(n_blank);
        first = piece;
    }
    if !events::may_begin(&first) {
        return Ok(Read::Whole(answering.whole_after(first).await?.body));
    }
    let mut stream = Stream { events: Events::default(), pieces: Pieces::new(n_choices), limit: answering.limit };
    let mut has_begun = stream.take(&first)?;
    while !stream.pieces.is_done {
        let piece = match has_begun {
            true => tokio::time::timeout(idle, answering.piece())
                .await
                .unwrap_or(Err(TransportError::Silent { limit: idle })),
            false => answering.piece().await,
        };
        match piece {
            Ok(Some(piece)) => has_begun |= stream.take(&piece)?,
            Ok(None) => {
                stream.end()?;
                return stream.whole("the stream was cut: it ended without a finish reason");
            }
            // The answer is whole; what is missing is at most the usage, or a farewell.
            Err(_) if stream.pieces.is_whole() => return stream.whole(""),
            Err(error) => return Err(error.into()),
        }
    }
    // Nothing comes any more but the end of the body, behind which the connection can be used again.
    let _ = tokio::time::timeout(END, answering.piece()).await;
    stream.whole("the stream was cut: the vendor ended it without a finish reason")
}

/// Puts together a stream that was read whole.
pub(super) fn join(body: &[u8]) -> Result<Bytes, Failed> {
    let mut stream = Stream { events: Events::default(), pieces: Pieces::new(1), limit: usize::MAX };
    stream.take(body)?;
    stream.end()?;
    match stream.whole("the stream was cut: it ended without a finish reason")? {
        Read::Joined(body) | Read::Whole(body) => Ok(body),
    }
}

/// Returns whether a body is a stream although none was asked for: the request said so in its own words.
pub(super) fn is_one(body: &[u8]) -> bool {
    events::may_begin(body)
}

struct Stream {
    events: Events,
    pieces: Pieces,
    limit: usize,
}

impl Stream {
    /// Takes bytes; returns whether an event was among them.
    fn take(&mut self, bytes: &[u8]) -> Result<bool, Failed> {
        let Self { events, pieces, limit } = self;
        let mut n_events = 0;
        events.feed(bytes, &mut |event| {
            n_events += 1;
            pieces.add(event).map_err(fault)
        })?;
        if events.n_bytes() + pieces.n_bytes > *limit {
            return Err(TransportError::TooLarge { limit: *limit }.into());
        }
        Ok(n_events > 0)
    }

    /// Takes what an end without a blank line leaves behind.
    fn end(&mut self) -> Result<(), Failed> {
        let Self { events, pieces, .. } = self;
        events.end(&mut |event| pieces.add(event).map_err(fault))
    }

    fn whole(self, otherwise: &str) -> Result<Read, Failed> {
        if self.pieces.is_whole() {
            return Ok(Read::Joined(self.pieces.completion()));
        }
        let failure = Failure::new(FailureKind::Unavailable, otherwise);
        Err(Failed { failure, is_reached: true, body: Bytes::new(), lacks: None, hints: None })
    }
}

/// What is wrong with an event.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// The vendor says in it that something went wrong.
    Told(Vec<u8>),
    /// It is not JSON, or not of the shape of a piece.
    Garbled(String),
}

fn fault(fault: Fault) -> Failed {
    match fault {
        Fault::Told(body) => {
            let failure = Said::read(&body).of_event();
            Failed { failure, is_reached: true, body: body.into(), lacks: None, hints: None }
        }
        Fault::Garbled(what) => {
            let failure = Failure::new(FailureKind::Unavailable, format!("the stream is garbled: an event is {what}"));
            Failed { failure, is_reached: true, body: Bytes::new(), lacks: None, hints: None }
        }
    }
}

#[cfg(test)]
mod tests;
