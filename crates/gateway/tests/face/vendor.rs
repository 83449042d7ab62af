//! A vendor of a few lines, which misbehaves exactly, and a client of a few more.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

/// What the vendor does with a request.
#[derive(Clone)]
pub(crate) enum Does {
    /// Writes this.
    Says(String),
    /// Writes one after the other, each on its way before the next, and closes.
    SaysAndCloses(Vec<String>),
    /// Writes one after the other, each on its way before the next, and closes.
    SaysBytes(Vec<Vec<u8>>),
    /// Writes this, and then nothing until the other side hangs up.
    SaysAndHangs(String),
}

pub(crate) struct Vendor {
    pub(crate) address: SocketAddr,
    /// The requests as they came.
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
    /// How often the other side hung up on a vendor that hangs.
    pub(crate) n_hung_up: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Vendor {
    /// `does` is given the number of the request, from 1.
    pub(crate) async fn start(does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (heard, n_hung_up) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (heard_there, hung_up_there, does) = (Arc::clone(&heard), Arc::clone(&n_hung_up), Arc::new(does));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, Arc::clone(&heard_there), Arc::clone(&hung_up_there), Arc::clone(&does)));
            }
        });
        Self { address, heard, n_hung_up, task }
    }

    /// A vendor that writes bytes, each piece on its way before the next, and closes.
    pub(crate) async fn start_raw(does: impl Fn(usize) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::start(move |n| Does::SaysBytes(does(n))).await
    }

    pub(crate) fn n_heard(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    pub(crate) fn last_heard(&self) -> String {
        self.heard.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut tcp: TcpStream,
    heard: Arc<Mutex<Vec<String>>>,
    n_hung_up: Arc<AtomicUsize>,
    does: Arc<impl Fn(usize) -> Does>,
) {
    let mut read = Vec::new();
    loop {
        let Some(request) = message(&mut tcp, &mut read).await else { return };
        let n = {
            let mut heard = heard.lock().unwrap();
            heard.push(request);
            heard.len()
        };
        match does(n) {
            Does::Says(text) => tcp.write_all(text.as_bytes()).await.unwrap_or_default(),
            Does::SaysAndCloses(texts) => {
                for text in texts {
                    let _ = tcp.write_all(text.as_bytes()).await;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                return;
            }
            Does::SaysBytes(pieces) => {
                for piece in pieces {
                    let _ = tcp.write_all(&piece).await;
                    tokio::task::yield_now().await;
                }
                return;
            }
            Does::SaysAndHangs(text) => {
                let _ = tcp.write_all(text.as_bytes()).await;
                if matches!(tcp.read(&mut [0; 64]).await, Ok(0) | Err(_)) {
                    n_hung_up.fetch_add(1, Ordering::SeqCst);
                }
                return;
            }
        }
    }
}

/// Reads one message, as far as its length or its chunks tell; one without either to the end.
pub(crate) async fn message(tcp: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    let mut has_ended = false;
    loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..at]).to_lowercase();
            let length: Option<usize> =
                head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            let whole = match length {
                Some(length) => Some(at + 4 + length),
                None if head.contains("transfer-encoding: chunked") => {
                    read.windows(5).position(|five| five == b"0\r\n\r\n").map(|at| at + 5)
                }
                None if head.starts_with("http/") && !has_ended => None,
                None if head.starts_with("http/") => Some(read.len()),
                None => Some(at + 4),
            };
            if let Some(whole) = whole.filter(|whole| read.len() >= *whole) {
                return Some(String::from_utf8_lossy(&read.drain(..whole).collect::<Vec<_>>()).into_owned());
            }
        }
        if has_ended {
            return None;
        }
        let mut piece = vec![0; 64 * 1024];
        match tcp.read(&mut piece).await {
            Ok(0) | Err(_) => has_ended = true,
            Ok(n) => read.extend_from_slice(&piece[..n]),
        }
    }
}

/// An answer with a length.
pub(crate) fn json_answer(status: &str, headers: &str, body: &str) -> Does {
    let length = body.len();
    Does::Says(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    ))
}

/// The head of a stream.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Text as one chunk.
pub(crate) fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// An event with a word of an answer.
pub(crate) fn word(word: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

/// What stands behind the words of a whole answer.
pub(crate) const FAREWELL: &str = concat!(
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

/// What a client got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// Without the marks of its chunks.
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)))
            .map(|(_, value)| value)
    }
}

/// Asks, over a connection of its own.
pub(crate) async fn ask(address: SocketAddr, path: &str, headers: &str, body: &str) -> Got {
    let mut tcp = TcpStream::connect(address).await.expect("a connection");
    let method = if body.is_empty() { "GET" } else { "POST" };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(request.as_bytes()).await.expect("a request that is taken");
    let mut read = Vec::new();
    let text = timeout(Duration::from_secs(20), message(&mut tcp, &mut read)).await.expect("an answer in time");
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(&read).into_owned());
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let body =
        if head.to_lowercase().contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
    Got { status, head: head.to_owned(), body }
}

fn unchunked(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            break;
        }
        out.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    out
}
