//! The body of an answer, before it is written.

use std::time::Duration;

use bytes::Bytes;

/// The body of an answer.
#[derive(Clone)]
pub(crate) enum Body {
    /// All of it at once.
    Whole(Bytes),
    /// In events.
    Events(Events),
}

/// A streamed body.
#[derive(Clone)]
pub(crate) struct Events {
    pub(crate) bytes: Bytes,
    /// Where each event ends.
    pub(crate) ends: Vec<usize>,
    /// The wait behind each event but the last.
    pub(crate) pause: Duration,
}

/// The tokens that an answer is billed for, beside it in a response.
#[derive(Clone, Copy)]
pub(crate) struct Billed(pub(crate) usize);

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
        Body::Whole(bytes.into())
    }

    /// Events one by one, each ending where `ends` says.
    pub(crate) fn events(bytes: Bytes, ends: Vec<usize>, pause: Duration) -> Body {
        Body::Events(Events { bytes, ends, pause })
    }
}

impl Events {
    /// Returns the first `n` events; without a number, those of the first half of the bytes, and a part of one.
    pub(crate) fn first(&self, n: Option<u32>) -> Events {
        let cut_at = match n {
            Some(0) => 0,
            Some(n) => self.ends.get(n as usize - 1).copied().unwrap_or(self.bytes.len()),
            None => self.bytes.len() / 2,
        };
        let mut ends: Vec<usize> = self.ends.iter().copied().filter(|end| *end < cut_at).collect();
        if cut_at > 0 {
            ends.push(cut_at);
        }
        Events { bytes: self.bytes.slice(..cut_at), ends, pause: self.pause }
    }
}
