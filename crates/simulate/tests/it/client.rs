//! A client that sees every byte.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use simulate::{Script, Vendor};

/// What came back over a connection until its end.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Starts a vendor on a free port that plays the script, which must be a whole one.
pub(crate) fn vendor(script: Value) -> Vendor {
    let script: Script = serde_json::from_value(script).expect("a script");
    Vendor::start(script, ([127, 0, 0, 1], 0).into()).expect("a vendor that listens")
}

/// A request that says `text`.
pub(crate) fn saying(text: &str) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })
}

/// Opens a connection and sends a request with these headers (each ending in a line break).
pub(crate) fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: simulate\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).expect("a request sent");
    stream
}

/// Sends a request and reads until the vendor closes the connection, as it is asked to.
pub(crate) fn exchange(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Reply {
    let mut stream = send(address, method, path, &format!("connection: close\r\n{headers}"), body);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer and the end of the connection");
    Reply::read(&bytes)
}

pub(crate) fn ask(vendor: &Vendor, body: &Value) -> Reply {
    exchange(vendor.address(), "POST", "/v1/chat/completions", "", &body.to_string())
}

pub(crate) fn get(vendor: &Vendor, path: &str) -> Reply {
    exchange(vendor.address(), "GET", path, "", "")
}

impl Reply {
    pub(crate) fn read(bytes: &[u8]) -> Reply {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body of JSON")
    }

    /// The text of the first choice.
    pub(crate) fn content(&self) -> String {
        self.json()["choices"][0]["message"]["content"].as_str().expect("a content").to_owned()
    }

    /// The body of a chunked answer, and whether its last chunk came.
    pub(crate) fn dechunked(&self) -> (String, bool) {
        let (mut rest, mut body) = (self.body.as_str(), String::new());
        while let Some((size, after)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
            if size == 0 {
                return (body, true);
            }
            let size = size.min(after.len());
            body.push_str(&after[..size]);
            rest = after[size..].trim_start_matches("\r\n");
        }
        (body, false)
    }
}
