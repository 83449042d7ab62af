//! What comes back from a vendor, whatever its wire format.

use bytes::Bytes;
use domain::{Failure, FailureKind};

use crate::{abilities::Lack, openai::Hints, transport::TransportError};

/// An answer.
#[derive(Clone, Debug)]
pub struct Replied {
    /// The body as it came.
    pub body: Bytes,
    /// The vendor's id of the request, from the headers.
    pub request_id: Option<String>,
    /// What the vendor told of its limits, if anything.
    pub hints: Option<Box<Hints>>,
}

/// No answer, or one that refuses.
#[derive(Clone, Debug)]
pub struct Failed {
    /// How it failed. Who pays is not decided here.
    pub failure: Failure,
    /// Whether there was a connection at all. Without one the vendor is not working on the request, and nothing was
    /// learned about it.
    pub is_reached: bool,
    /// What came back, if anything, for the journal.
    pub body: Bytes,
    /// What the upstream says that it does not take. The same request, asked for less, may be answered.
    pub lacks: Option<Lack>,
    /// What the vendor told of its limits, if anything.
    pub hints: Option<Box<Hints>>,
}

impl From<TransportError> for Failed {
    fn from(error: TransportError) -> Self {
        let kind = match error {
            TransportError::Connect { .. } | TransportError::Cut(_) | TransportError::Protocol(_) => {
                FailureKind::Unavailable
            }
            TransportError::Deadline | TransportError::Silent { .. } => FailureKind::Timeout,
            TransportError::TooLarge { .. } => FailureKind::InvalidOutput,
        };
        let is_reached = !matches!(error, TransportError::Connect { .. });
        Self {
            failure: Failure::new(kind, error.to_string()),
            is_reached,
            body: Bytes::new(),
            lacks: None,
            hints: None,
        }
    }
}
