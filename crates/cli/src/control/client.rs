//! The other terminal's side of the control socket.

use std::{io, path::Path, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::{
    place,
    protocol::{Answer, Ended, Request, Verb},
};
use crate::progress::Standing;

/// A process that says nothing for so long does not work as it should: it is suspended, or its disk hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the process that works on a run.
pub(crate) struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

/// What the process said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// Where the run stands.
    Standing(Box<Standing>),
    /// Its first step has not begun.
    Starting,
    /// It did as it was told.
    Ok,
    /// It ended.
    Ended(Ended),
    /// It went away without a word.
    Gone,
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The process said so.
    #[error("{0}")]
    Said(String),
    /// The process says nothing.
    #[error("its process does not answer; it may be suspended (Ctrl-Z), or its disk may hang")]
    Silent,
    /// The connection broke.
    #[error("the connection to its process broke: {0}")]
    Broken(#[from] io::Error),
}

impl Client {
    /// Connects to whoever works on the run in `folder`; `None` where nobody listens.
    ///
    /// # Errors
    /// As the system says, where somebody may listen and cannot be reached.
    pub(crate) async fn connect(folder: &Path) -> io::Result<Option<Self>> {
        let connected = place::at(folder, |path| std::os::unix::net::UnixStream::connect(path)).and_then(|stream| {
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        });
        match connected {
            Ok(stream) => {
                let (reader, writer) = stream.into_split();
                Ok(Some(Self { reader: BufReader::new(reader), writer }))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks, and returns what was answered.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn ask(&mut self, verb: Verb) -> Result<Told, Refused> {
        let mut line = serde_json::to_vec(&Request { r#do: verb }).map_err(io::Error::from)?;
        line.push(b'\n');
        let written = timeout(PATIENCE, self.writer.write_all(&line)).await.map_err(|_| Refused::Silent)?;
        match written {
            // It may have said why before it closed.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error.into()),
        }
        self.next().await
    }

    /// Returns what is told next.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn next(&mut self) -> Result<Told, Refused> {
        let mut line = Vec::new();
        let read = timeout(PATIENCE, self.reader.read_until(b'\n', &mut line)).await.map_err(|_| Refused::Silent)?;
        match read {
            Ok(0) => return Ok(Told::Gone),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Told::Gone),
            Err(error) => return Err(error.into()),
        }
        match serde_json::from_slice(&line).map_err(io::Error::from)? {
            Answer::Error { error } => Err(Refused::Said(error)),
            Answer::Ended { ended } => Ok(Told::Ended(ended)),
            Answer::Ok { .. } => Ok(Told::Ok),
            Answer::Starting { .. } => Ok(Told::Starting),
            Answer::Standing(standing) => Ok(Told::Standing(standing)),
        }
    }
}
