//! How an exchange fails before there is an answer to read.

use std::{error::Error, io, time::Duration};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// There is no connection: the name, the route, the port or the certificate.
    #[error("cannot connect to {to}: {cause}")]
    Connect {
        /// Host and port.
        to: String,
        /// What is wrong, for people.
        cause: String,
    },
    /// The connection ended before the whole answer was here. The vendor may have worked on the request.
    #[error("the connection was cut before the answer was complete ({0})")]
    Cut(String),
    /// The deadline passed.
    #[error("no answer within the deadline")]
    Deadline,
    /// The answer began, and then nothing came for too long.
    #[error("the answer fell silent: nothing came for {}", in_seconds(limit))]
    Silent {
        /// How long was waited.
        limit: Duration,
    },
    /// What came back is not HTTP.
    #[error("the answer is not valid HTTP/1.1 ({0})")]
    Protocol(String),
    /// The answer is longer than the configured limit.
    #[error("the answer is longer than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

pub(super) fn in_seconds(limit: &Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

/// The other side has hung up.
pub(super) fn cut() -> TransportError {
    TransportError::Cut("the other side closed it".to_owned())
}

/// Sorts what the system reports on a connection that was open.
pub(super) fn of_reading(error: &io::Error) -> TransportError {
    match error.kind() {
        // TLS says so where it was closed without its farewell.
        io::ErrorKind::UnexpectedEof => cut(),
        _ => TransportError::Cut(in_words(error)),
    }
}

/// Says in words why a connection cannot be opened.
pub(super) fn of_connecting(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection is refused; nothing listens there".to_owned(),
        io::ErrorKind::TimedOut => "nothing answers there".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the other side hung up while connecting".to_owned()
        }
        _ => in_words(error),
    }
}

/// Returns an error and its causes as one line: TLS keeps the telling part at the bottom.
pub(super) fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}
