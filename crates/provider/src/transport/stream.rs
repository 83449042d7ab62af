//! An open connection, before anything is spoken on it.

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// Bytes to and from a vendor.
#[derive(Debug)]
pub(super) enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// Over TLS. The box keeps the state of TLS, which is large, out of those who have none.
    Tls(Box<TlsStream<TcpStream>>),
    /// Over TLS in the TLS of a proxy.
    Tunnelled(Box<TlsStream<TlsStream<TcpStream>>>),
}

impl Stream {
    /// Reads up to `n_bytes` behind what `buffer` holds; returns how many came, 0 at the end.
    ///
    /// Room is made when there is something to read, so that a connection that waits for its answer holds none.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        n_bytes: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => {
                ready!(tcp.poll_read_ready(cx))?;
                buffer.reserve(n_bytes);
                // Read in this way a part of the room tells that there is no more, and the system is not asked once again.
                pin!(tcp.read_buf(buffer)).poll(cx)
            }
            Self::Tls(tls) => {
                buffer.reserve(n_bytes);
                // A future that keeps nothing between two polls, so it can be made anew for each.
                pin!(tls.read_buf(buffer)).poll(cx)
            }
            Self::Tunnelled(tls) => {
                buffer.reserve(n_bytes);
                pin!(tls.read_buf(buffer)).poll(cx)
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
            Self::Tunnelled(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Self::Tunnelled(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
            Self::Tunnelled(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Self::Tunnelled(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::Tunnelled(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
