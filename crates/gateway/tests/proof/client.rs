//! A client that sees exactly what came over the wire.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// No answer takes longer in these tests; one that does is a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a client got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// Without the marks of its chunks, as far as it came.
    pub(crate) body: Vec<u8>,
    /// Whether all came that was announced.
    pub(crate) is_whole: bool,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    pub(crate) tcp: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Self { tcp, read: Vec::new() })
    }

    pub(crate) async fn send(&mut self, path: &str, headers: &str, body: &str) -> io::Result<()> {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.tcp.write_all(request.as_bytes()).await
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&mut self, path: &str, headers: &str, body: &str) -> io::Result<Got> {
        self.send(path, headers, body).await?;
        timeout(PATIENCE, self.answer()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self) -> io::Result<Got> {
        let end = loop {
            if let Some(at) = memchr::memmem::find(&self.read, b"\r\n\r\n") {
                break at + 4;
            }
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let mut got = Got { status, head, body: Vec::new(), is_whole: true };
        if got.header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked")) {
            got.is_whole = self.chunks(&mut got.body).await?;
        } else if let Some(length) = got.header("content-length").and_then(|length| length.parse().ok()) {
            got.is_whole = self.take(length, &mut got.body).await?;
        }
        Ok(got)
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let Some(line) = self.line().await? else { return Ok(false) };
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if !self.take(size, body).await? || self.line().await?.is_none() {
                return Ok(false);
            }
            if size == 0 {
                return Ok(true);
            }
        }
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.read) {
                let line: Vec<u8> = self.read.drain(..=at).collect();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.more().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn take(&mut self, length: usize, body: &mut Vec<u8>) -> io::Result<bool> {
        while self.read.len() < length {
            if self.more().await? == 0 {
                body.append(&mut self.read);
                return Ok(false);
            }
        }
        body.extend(self.read.drain(..length));
        Ok(true)
    }

    async fn more(&mut self) -> io::Result<usize> {
        let n = match self.tcp.read_buf(&mut self.read).await {
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => 0,
            other => other?,
        };
        Ok(n)
    }
}

/// Asks over a connection of its own, and gets an answer in time.
pub(crate) async fn ask(address: SocketAddr, path: &str, headers: &str, body: &str) -> Got {
    let mut connection = Connection::open(address).await.expect("a connection");
    connection.ask(path, headers, body).await.unwrap_or_else(|e| panic!("no answer to {body}: {e}"))
}

/// A chat that is like no other.
pub(crate) fn chat(model: &str, id: usize, is_stream: bool) -> String {
    format!(
        r#"{{"model":"{model}","stream":{is_stream},"messages":[{{"role":"user","content":"request-{id}- of many words"}}]}}"#
    )
}
