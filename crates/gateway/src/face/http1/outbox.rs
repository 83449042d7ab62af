//! What is to be written to a client.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use provider::transport::write_header;
use tokio::{io::AsyncWrite, net::TcpStream};

/// Pieces that are longer are written from where they are; shorter ones are put together, which is quicker than to tell
/// the system of each.
const COPIED: usize = 4 * 1024;
/// How many pieces are given to the system at once.
const N_SLICES: usize = 16;

/// What is to be written, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Long pieces, and what stood before each.
    long: VecDeque<Bytes>,
    /// What stands behind them.
    short: BytesMut,
    n_bytes: usize,
}

/// How the end of an answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There is no body, and nothing to tell.
    NoBody,
    /// By its length.
    Length(u64),
    /// By the last chunk.
    Chunks,
    /// By the end of the connection: a client that knows HTTP/1.0 only.
    Close,
}

impl Outbox {
    /// Returns how much is still to be written.
    pub(super) fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        self.short.extend_from_slice(text);
        self.n_bytes += text.len();
    }

    pub(super) fn piece(&mut self, piece: Bytes) {
        if piece.len() <= COPIED {
            return self.text(&piece);
        }
        if !self.short.is_empty() {
            self.long.push_back(self.short.split().freeze());
        }
        self.n_bytes += piece.len();
        self.long.push_back(piece);
    }

    /// Adds a piece of a body in chunks. An empty one would be its end.
    pub(super) fn chunk(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        let mut size = [0; 16];
        let (mut at, mut rest) = (size.len(), piece.len());
        while rest > 0 {
            at -= 1;
            size[at] = b"0123456789abcdef"[rest % 16];
            rest /= 16;
        }
        self.text(&size[at..]);
        self.text(b"\r\n");
        self.piece(piece);
        self.text(b"\r\n");
    }

    /// Adds the head of an answer: its line, its headers, the date and what belongs to the connection.
    pub(super) fn head(&mut self, status: StatusCode, headers: &HeaderMap, end: End, connection: &str, date: &[u8]) {
        let n_before = self.short.len();
        self.short.reserve(512);
        let out = &mut self.short;
        // A client that knows HTTP/1.0 only reads this as well (RFC 9110 section 2.5).
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(status.as_str().as_bytes());
        out.extend_from_slice(b" ");
        out.extend_from_slice(status.canonical_reason().unwrap_or("Status").as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in headers {
            let is_ours = [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::DATE];
            if !is_ours.contains(name) {
                write_header(out, name, value);
            }
        }
        match end {
            End::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                out.extend_from_slice(length.to_string().as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            End::Chunks => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            End::NoBody | End::Close => {}
        }
        if !connection.is_empty() {
            out.extend_from_slice(b"connection: ");
            out.extend_from_slice(connection.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(date);
        out.extend_from_slice(b"\r\n\r\n");
        self.n_bytes += self.short.len() - n_before;
    }

    /// Writes until nothing is left.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut TcpStream) -> Poll<io::Result<()>> {
        while self.n_bytes > 0 {
            let written = if self.long.is_empty() {
                Pin::new(&mut *stream).poll_write(cx, &self.short)
            } else {
                let mut slices = [IoSlice::new(&[]); N_SLICES];
                let pieces = self.long.iter().map(|piece| &**piece).chain([&*self.short]);
                let n_slices = slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
                Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..n_slices])
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written(n),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, mut n: usize) {
        self.n_bytes -= n;
        while let Some(piece) = self.long.front_mut() {
            if n < piece.len() {
                return piece.advance(n);
            }
            n -= piece.len();
            self.long.pop_front();
        }
        self.short.advance(n);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_order_however_long_they_are() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut outbox, mut expected) = (Outbox::default(), Vec::new());
        for (n, byte) in [1, COPIED, COPIED + 1, 3, 1 << 20, 0, 2].into_iter().zip(b'a'..) {
            let piece = vec![byte; n];
            if n > 0 {
                expected.extend_from_slice(format!("{n:x}\r\n").as_bytes());
                expected.extend_from_slice(&piece);
                expected.extend_from_slice(b"\r\n");
            }
            outbox.chunk(piece.into());
        }
        let n_all = expected.len();
        assert_eq!(outbox.n_bytes(), n_all);
        let writes = std::future::poll_fn(|cx| outbox.poll_write(cx, &mut stream));
        let mut got = vec![0; n_all];
        let (wrote, read) = futures_util::future::join(writes, client.read_exact(&mut got)).await;
        wrote.and(read).unwrap();
        assert!(got == expected && outbox.n_bytes() == 0);
    }

    #[test]
    fn a_head_says_what_there_is_and_nothing_twice() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", "1"), ("content-length", "7"), ("connection", "x"), ("date", "never")] {
            headers.insert(name, value.parse().unwrap());
        }
        let said = |end: End, connection: &str| {
            let mut outbox = Outbox::default();
            outbox.head(StatusCode::OK, &headers, end, connection, b"D");
            String::from_utf8(outbox.short.to_vec()).unwrap()
        };
        assert_eq!(said(End::Length(30), ""), "HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 30\r\ndate: D\r\n\r\n");
        let closing = "HTTP/1.1 200 OK\r\nx-a: 1\r\ntransfer-encoding: chunked\r\nconnection: close\r\ndate: D\r\n\r\n";
        assert_eq!(said(End::Chunks, "close"), closing);
        assert_eq!(said(End::NoBody, ""), said(End::Close, ""));
    }
}
