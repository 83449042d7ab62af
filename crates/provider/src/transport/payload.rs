//! The bodies of requests.

use bytes::{Bytes, BytesMut};

/// The body of a request.
#[derive(Clone, Debug)]
pub enum Payload {
    /// In one piece.
    One(Bytes),
    /// In pieces that are written one behind the other.
    Pieces(Vec<Bytes>),
}

impl Payload {
    /// Returns its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces().iter().map(Bytes::len).sum()
    }

    /// Returns whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces().iter().all(Bytes::is_empty)
    }

    /// Returns all of it in one piece; more than one are copied together.
    #[must_use]
    pub fn joined(&self) -> Bytes {
        match self {
            Self::One(piece) => piece.clone(),
            Self::Pieces(pieces) => {
                let mut all = BytesMut::with_capacity(self.len());
                pieces.iter().for_each(|piece| all.extend_from_slice(piece));
                all.freeze()
            }
        }
    }

    pub(super) fn pieces(&self) -> &[Bytes] {
        match self {
            Self::One(piece) => std::slice::from_ref(piece),
            Self::Pieces(pieces) => pieces,
        }
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(piece: T) -> Self {
        Self::One(piece.into())
    }
}
