//! A server of a few lines.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What the server does with a request.
pub(crate) enum Next {
    Write(String),
    WriteAndClose(String),
    WriteAndHang(String),
    /// One piece after the other, each on its way before the next is written; then the same as behind the pieces.
    Pieces(Vec<Vec<u8>>, Then),
}

/// What the server does behind pieces.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Then {
    GoOn,
    Close,
    Hang,
}

pub(crate) struct Server {
    pub(crate) n_connections: Arc<AtomicUsize>,
    pub(crate) n_requests: Arc<AtomicUsize>,
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

/// An answer with a length.
pub(crate) fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nx-request-id: req-1\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

impl Server {
    /// `script` is given the number of the request, from 1, and the request.
    pub(crate) async fn start(script: impl Fn(usize, &str) -> Next + Send + Sync + 'static) -> Self {
        Self::start_tls(None, script).await
    }

    pub(crate) async fn start_tls(
        tls: Option<TlsAcceptor>,
        script: impl Fn(usize, &str) -> Next + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"), tls, script)
    }

    pub(crate) fn on(
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        script: impl Fn(usize, &str) -> Next + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("an address");
        let (n_connections, n_requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (connections, requests) = (Arc::clone(&n_connections), Arc::clone(&n_requests));
        let script = Arc::new(script);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (requests, script, tls) = (Arc::clone(&requests), Arc::clone(&script), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, &requests, &*script).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                serve(stream, &requests, &*script).await;
                            }
                        }
                    }
                });
            }
        });
        Self { n_connections, n_requests, address, task }
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        let host = if scheme == "https" { "localhost" } else { "127.0.0.1" };
        format!("{scheme}://{host}:{}/v1", self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    n_requests: &AtomicUsize,
    script: &(impl Fn(usize, &str) -> Next + ?Sized),
) {
    let mut read = Vec::new();
    loop {
        let Some(request) = request(&mut stream, &mut read).await else { return };
        let n = n_requests.fetch_add(1, Ordering::SeqCst) + 1;
        match script(n, &request) {
            Next::Write(text) => stream.write_all(text.as_bytes()).await.unwrap_or_default(),
            Next::WriteAndClose(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
                return;
            }
            Next::Pieces(pieces, then) => {
                for piece in pieces {
                    let _ = stream.write_all(&piece).await;
                    let _ = stream.flush().await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                match then {
                    Then::GoOn => {}
                    Then::Close => {
                        let _ = stream.shutdown().await;
                        return;
                    }
                    Then::Hang => std::future::pending::<()>().await,
                }
            }
            Next::WriteAndHang(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Reads one request, as far as a content-length tells.
async fn request(stream: &mut (impl AsyncRead + Unpin), read: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let whole = head + 4 + length.and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
            if read.len() >= whole {
                return Some(String::from_utf8_lossy(&read.drain(..whole).collect::<Vec<_>>()).into_owned());
            }
        }
        let mut piece = vec![0; 64 * 1024];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => read.extend_from_slice(&piece[..n]),
        }
    }
}
