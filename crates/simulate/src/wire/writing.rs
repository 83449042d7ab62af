//! Answers, as they go onto a connection: well, or as a fault says.

use std::{io, io::Write as _, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName},
};
use tokio::{net::TcpStream, task::yield_now, time::sleep};

use super::gzip;
use crate::{
    body::{Body, Events},
    count::Ask,
    fault::{Fault, FaultKind},
};

/// What is longer goes out beside its head and is not copied behind it.
const MOST_COPIED: usize = 64 << 10;

/// How long the header of `huge_head` is.
const HUGE: usize = 64 << 10;

/// The wait between two bytes of a head that comes slowly.
const SLOWLY: Duration = Duration::from_millis(5);

const X_HUGE: HeaderName = HeaderName::from_static("x-huge");

const EARLY_HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\n\r\n";

/// An error in the middle of a stream, as OpenAI and those who speak its format put it.
const ERROR_EVENT: &[u8] =
    b"data: {\"error\":{\"message\":\"the vendor broke down, as the script says\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n";

/// What stands behind a body that is longer than its head says.
const EXCESS: &[u8] = b"and more than was announced";

/// Where a chunk's size should be.
const GARBAGE_CHUNK: &[u8] = b"not a number\r\ndata: {}\r\n";

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Whether the connection can be used again.
pub(crate) type Keeps = bool;

/// Writes all bytes.
pub(crate) async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes an answer in the manner of the fault. The ask ends before the last byte, as a client may look at the counts as
/// soon as it has that.
pub(crate) async fn deliver(
    stream: &TcpStream,
    mut response: Response<Body>,
    fault: Option<Fault>,
    mut ask: Option<Ask>,
) -> io::Result<Keeps> {
    let Some(fault) = fault else { return plainly(stream, response, &mut ask).await.map(|()| true) };
    match fault.kind {
        FaultKind::EmptyBody => {
            *response.body_mut() = Body::Whole(Bytes::new());
            plainly(stream, response, &mut ask).await?;
        }
        FaultKind::HugeHead => {
            // Letters are what a header may hold.
            if let Ok(value) = HeaderValue::from_bytes(&[b'h'; HUGE]) {
                response.headers_mut().insert(X_HUGE, value);
            }
            plainly(stream, response, &mut ask).await?;
        }
        FaultKind::Informational => {
            write(stream, EARLY_HINTS).await?;
            plainly(stream, response, &mut ask).await?;
        }
        FaultKind::Gzip => {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            let body = response.body_mut();
            *body = match &*body {
                Body::Whole(bytes) => Body::Whole(gzip::pack(bytes).into()),
                Body::Events(events) => {
                    let packed = Bytes::from(gzip::pack(&events.bytes));
                    let ends = vec![packed.len()];
                    Body::events(packed, ends, events.pause)
                }
            };
            plainly(stream, response, &mut ask).await?;
        }
        FaultKind::SlowHead => {
            let head = head_of(&response);
            let pause = fault.pause.map_or(SLOWLY, |pause| pause.0);
            for byte in head.chunks(1) {
                write(stream, byte).await?;
                sleep(pause).await;
            }
            body(stream, response.into_body(), Vec::new(), &mut ask).await?;
        }
        FaultKind::SplitBytes => {
            write(stream, &head_of(&response)).await?;
            let pause = fault.pause.map_or(Duration::ZERO, |pause| pause.0);
            let (bytes, is_chunked) = match response.into_body() {
                Body::Whole(bytes) => (bytes, false),
                Body::Events(events) => (events.bytes, true),
            };
            for (n, byte) in bytes.chunks(1).enumerate() {
                if n + 1 == bytes.len() {
                    end(&mut ask);
                }
                let chunk = [b'1', b'\r', b'\n', byte[0], b'\r', b'\n'];
                write(stream, if is_chunked { &chunk } else { byte }).await?;
                if pause.is_zero() { yield_now().await } else { sleep(pause).await }
            }
            if is_chunked {
                write(stream, LAST_CHUNK).await?;
            }
        }
        FaultKind::Excess => {
            plainly(stream, response, &mut ask).await?;
            write(stream, EXCESS).await?;
        }
        FaultKind::EndedEarly => {
            let body = response.body_mut();
            *body = match &*body {
                Body::Whole(bytes) => Body::Whole(bytes.slice(..bytes.len() / 2)),
                Body::Events(events) => Body::Events(events.first(fault.after)),
            };
            plainly(stream, response, &mut ask).await?;
        }
        FaultKind::ErrorEvent => {
            let body = response.body_mut();
            let told = match &*body {
                Body::Whole(_) => Body::whole(&ERROR_EVENT[b"data: ".len()..ERROR_EVENT.len() - 2]),
                Body::Events(events) => {
                    let Events { bytes, mut ends, pause } = events.first(Some(fault.after.unwrap_or(1)));
                    let bytes = [&bytes, ERROR_EVENT].concat();
                    ends.push(bytes.len());
                    Body::events(bytes.into(), ends, pause)
                }
            };
            *body = told;
            plainly(stream, response, &mut ask).await?;
        }
        FaultKind::Half | FaultKind::Reset | FaultKind::Stall | FaultKind::GarbageChunks => {
            part(stream, response, fault).await?;
            match fault.kind {
                FaultKind::Stall => std::future::pending::<()>().await,
                FaultKind::Reset => stream.set_zero_linger()?,
                FaultKind::GarbageChunks => write(stream, GARBAGE_CHUNK).await?,
                _ => {}
            }
            end(&mut ask);
            return Ok(false);
        }
        _ => plainly(stream, response, &mut ask).await?,
    }
    Ok(true)
}

/// Writes the beginning of an answer under the head of the whole.
async fn part(stream: &TcpStream, mut response: Response<Body>, fault: Fault) -> io::Result<()> {
    let is_chunked = fault.kind == FaultKind::GarbageChunks;
    if is_chunked && let Body::Whole(bytes) = response.body() {
        let (bytes, ends) = (bytes.clone(), vec![bytes.len()]);
        *response.body_mut() = Body::events(bytes, ends, Duration::ZERO);
    }
    let head = head_of(&response);
    let after = match fault.kind {
        FaultKind::Stall => Some(fault.after.unwrap_or(0)),
        FaultKind::GarbageChunks => Some(fault.after.unwrap_or(1)),
        _ => fault.after,
    };
    match response.body() {
        Body::Whole(bytes) => {
            let length = if after == Some(0) { 0 } else { bytes.len() / 2 };
            write(stream, &[&head, &bytes[..length]].concat()).await
        }
        Body::Events(events) => chunks(stream, &events.first(after), head, &mut None, false).await,
    }
}

/// Writes an answer as it should be.
async fn plainly(stream: &TcpStream, response: Response<Body>, ask: &mut Option<Ask>) -> io::Result<()> {
    let head = head_of(&response);
    body(stream, response.into_body(), head, ask).await
}

/// Writes a body behind what is to go before it.
async fn body(stream: &TcpStream, body: Body, mut before: Vec<u8>, ask: &mut Option<Ask>) -> io::Result<()> {
    match body {
        Body::Whole(bytes) if bytes.len() > MOST_COPIED => {
            write(stream, &before).await?;
            end(ask);
            write(stream, &bytes).await
        }
        Body::Whole(bytes) => {
            before.extend_from_slice(&bytes);
            end(ask);
            write(stream, &before).await
        }
        Body::Events(events) => chunks(stream, &events, before, ask, true).await,
    }
}

/// Writes events, a chunk for each: all that need not wait for one another in one piece.
async fn chunks(
    stream: &TcpStream,
    events: &Events,
    mut before: Vec<u8>,
    ask: &mut Option<Ask>,
    is_whole: bool,
) -> io::Result<()> {
    let last = events.ends.len();
    let mut start = 0;
    for (n, end_at) in events.ends.iter().enumerate() {
        chunk(&events.bytes[start..*end_at], &mut before);
        start = *end_at;
        if !events.pause.is_zero() && n + 1 < last {
            write(stream, &before).await?;
            before.clear();
            sleep(events.pause).await;
        }
    }
    if is_whole {
        before.extend_from_slice(LAST_CHUNK);
    }
    end(ask);
    write(stream, &before).await
}

fn chunk(bytes: &[u8], out: &mut Vec<u8>) {
    // Writing into a vector never fails. A chunk of nothing would be the last one.
    if !bytes.is_empty() {
        let _ = write!(out, "{:x}\r\n", bytes.len());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
}

fn end(ask: &mut Option<Ask>) {
    if let Some(ask) = ask.take() {
        ask.answered();
    }
}

/// Writes the head of a whole answer.
fn head_of(response: &Response<Body>) -> Vec<u8> {
    let mut head = Vec::with_capacity(1_024);
    let status = response.status();
    // Writing into a vector never fails.
    let _ = write!(head, "HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("Unknown"));
    for (name, value) in response.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    let _ = match response.body() {
        Body::Whole(bytes) => write!(head, "content-length: {}\r\n\r\n", bytes.len()),
        Body::Events(_) => write!(head, "transfer-encoding: chunked\r\n\r\n"),
    };
    head
}

/// Returns a whole answer of status 200 as it goes onto the wire, for those that are made before anybody asks.
pub(crate) fn framed(content_type: &'static str, body: &Body) -> Bytes {
    let mut response = Response::new(body.clone());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut out = head_of(&response);
    match body {
        Body::Whole(bytes) => out.extend_from_slice(bytes),
        Body::Events(events) => {
            let mut start = 0;
            for end in &events.ends {
                chunk(&events.bytes[start..*end], &mut out);
                start = *end;
            }
            out.extend_from_slice(LAST_CHUNK);
        }
    }
    out.into()
}
