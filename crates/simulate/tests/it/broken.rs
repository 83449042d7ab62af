//! Answers that break the protocol, or strain it.

use std::io::Read;

use serde_json::{Value, json};
use simulate::{FaultKind, Vendor};

use crate::client::{ask, exchange, saying, send, vendor};

fn streaming() -> Value {
    let mut request = saying("hi");
    request["stream"] = json!(true);
    request
}

/// A vendor that always fails in this way.
fn failing(mut fault: Value) -> Vendor {
    fault["rate"] = json!(1.0);
    vendor(json!({ "answer": { "fixed": "Ein Mühlrad dreht sich, 水车转动 🦀" }, "faults": [fault] }))
}

/// What arrives until the end of the connection, and how that came.
fn raw(vendor: &Vendor, headers: &str, body: &Value) -> (Vec<u8>, std::io::Result<()>) {
    let mut stream = send(vendor.address(), "POST", "/v1/chat/completions", headers, &body.to_string());
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (bytes, Ok(())),
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

/// The head, and what stands behind it.
fn parts(bytes: &[u8]) -> (String, Vec<u8>) {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    (String::from_utf8(bytes[..at].to_vec()).expect("a head of text").to_ascii_lowercase(), bytes[at + 4..].to_vec())
}

const CLOSE: &str = "connection: close\r\n";

/// Puts chunks together, each of which must be whole; the last one's end is returned with them.
fn dechunked(mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>, usize) {
    let (mut body, mut n_chunks) = (Vec::new(), 0);
    while let Some(at) = bytes.windows(2).position(|two| two == b"\r\n") {
        let Ok(size) = usize::from_str_radix(&String::from_utf8_lossy(&bytes[..at]), 16) else { break };
        body.extend_from_slice(&bytes[at + 2..at + 2 + size]);
        bytes = &bytes[at + 4 + size..];
        if size == 0 {
            break;
        }
        n_chunks += 1;
    }
    (body, bytes.to_vec(), n_chunks)
}

#[test]
fn a_reset_comes_before_the_head_or_behind_some_events() {
    let (bytes, end) = raw(&failing(json!({ "kind": "reset" })), "", &saying("hi"));
    assert!(bytes.is_empty() && end.is_err(), "{end:?}");
    let vendor = failing(json!({ "kind": "reset", "after": 2 }));
    // What was sent may be lost with the connection, so only its end is sure.
    assert!(raw(&vendor, "", &streaming()).1.is_err());
    assert_eq!(vendor.counts().faults[&FaultKind::Reset], 1);
}

#[test]
fn a_stream_breaks_off_behind_as_many_events_as_the_script_says() {
    let (bytes, end) = raw(&failing(json!({ "kind": "half", "after": 2 })), "", &streaming());
    let (_, body) = parts(&bytes);
    let (said, rest, n_chunks) = dechunked(&body);
    assert!(end.is_ok() && rest.is_empty(), "no last chunk, and no error of the system");
    assert_eq!((n_chunks, said.windows(6).filter(|six| six == b"data: ").count()), (2, 2));
}

#[test]
fn a_stream_that_ended_early_is_whole_but_for_what_it_says() {
    let (bytes, _) = raw(&failing(json!({ "kind": "ended_early", "after": 3 })), CLOSE, &streaming());
    let (said, rest, n_chunks) = dechunked(&parts(&bytes).1);
    let said = String::from_utf8(said).expect("text");
    assert!(parts(&bytes).1.ends_with(b"0\r\n\r\n") && rest.is_empty() && n_chunks == 3);
    assert!(!said.contains("[DONE]") && !said.contains("\"stop\""), "{said}");
    let reply = ask(&failing(json!({ "kind": "ended_early" })), &saying("hi"));
    assert_eq!(reply.header("content-length"), Some(&*reply.body.len().to_string()));
    assert!(serde_json::from_str::<Value>(&reply.body).is_err());
}

#[test]
fn a_stalled_answer_has_a_head_and_no_end() {
    let vendor = failing(json!({ "kind": "stall", "after": 1 }));
    let body = streaming().to_string();
    let mut stream = send(vendor.address(), "POST", "/v1/chat/completions", "", &body);
    let mut buffer = [0; 4096];
    let n = stream.read(&mut buffer).expect("a head");
    assert!(buffer[..n].starts_with(b"HTTP/1.1 200") && buffer[..n].ends_with(b"\n\n\r\n"));
    let counts = vendor.counts();
    assert_eq!((counts.streams, counts.in_flight, counts.hung_up), (1, 1, 0));
    drop(stream);
    while vendor.counts().in_flight > 0 {
        std::thread::yield_now();
    }
    let counts = vendor.stop();
    assert_eq!((counts.streams, counts.hung_up, counts.faults[&FaultKind::Stall]), (0, 1, 1));
}

#[test]
fn a_whole_answer_comes_in_odd_ways_and_is_whole() {
    let check = |fault: Value| {
        let vendor = failing(fault.clone());
        let reply = ask(&vendor, &saying("hi"));
        assert_eq!(reply.status, 200, "{fault}");
        assert_eq!(reply.content(), "Ein Mühlrad dreht sich, 水车转动 🦀", "{fault}");
        let (said, rest, _) = dechunked(&parts(&raw(&vendor, CLOSE, &streaming()).0).1);
        assert!(said.ends_with(b"data: [DONE]\n\n") && rest.is_empty(), "{fault}");
    };
    check(json!({ "kind": "slow_head", "pause": "100us" }));
    check(json!({ "kind": "split_bytes" }));
    check(json!({ "kind": "huge_head" }));
    let huge = ask(&failing(json!({ "kind": "huge_head" })), &saying("hi"));
    assert_eq!(huge.header("x-huge").map(str::len), Some(65_536));
}

#[test]
fn a_body_split_everywhere_has_a_chunk_for_each_byte() {
    let (bytes, _) = raw(&failing(json!({ "kind": "split_bytes" })), CLOSE, &streaming());
    let (said, _, n_chunks) = dechunked(&parts(&bytes).1);
    assert_eq!(said.len(), n_chunks);
}

#[test]
fn an_informational_head_comes_before_the_true_one() {
    let (bytes, _) = raw(&failing(json!({ "kind": "informational" })), CLOSE, &saying("hi"));
    let (head, rest) = parts(&bytes);
    assert!(head.starts_with("http/1.1 103 ") && head.contains("link: "), "{head}");
    let (head, body) = parts(&rest);
    assert!(head.starts_with("http/1.1 200 ") && serde_json::from_slice::<Value>(&body).is_ok(), "{head}");
}

#[test]
fn a_packed_body_says_so_and_can_be_unpacked() {
    let (bytes, _) = raw(&failing(json!({ "kind": "gzip" })), CLOSE, &saying("hi"));
    let (head, body) = parts(&bytes);
    assert!(head.contains("content-encoding: gzip") && body.starts_with(&[0x1f, 0x8b]), "{head}");
    let (bytes, _) = raw(&failing(json!({ "kind": "gzip" })), CLOSE, &streaming());
    assert!(dechunked(&parts(&bytes).1).0.starts_with(&[0x1f, 0x8b]));
}

#[test]
fn lengths_lie() {
    let vendor = failing(json!({ "kind": "excess" }));
    let (head, body) = parts(&raw(&vendor, CLOSE, &saying("hi")).0);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let length: usize = length.parse().expect("a number");
    assert!(body.len() > length && serde_json::from_slice::<Value>(&body[..length]).is_ok());

    let (_, body) = parts(&raw(&failing(json!({ "kind": "garbage_chunks" })), "", &streaming()).0);
    let (said, rest, n_chunks) = dechunked(&body);
    assert!(n_chunks == 1 && said.starts_with(b"data: {") && rest.starts_with(b"not a number\r\n"));
}

#[test]
fn errors_hide_in_answers_of_status_200() {
    let reply = ask(&failing(json!({ "kind": "error_event" })), &saying("hi"));
    assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (200, Some("server_error")));
    let reply = ask(&failing(json!({ "kind": "error_event", "after": 2 })), &streaming());
    let (body, is_whole) = reply.dechunked();
    let events: Vec<&str> = body.split_terminator("\n\n").collect();
    assert!(is_whole && events.len() == 3 && events[2].contains("\"error\""), "{events:?}");

    let reply = ask(&failing(json!({ "kind": "empty_body" })), &saying("hi"));
    assert_eq!((reply.status, &*reply.body, reply.header("content-length")), (200, "", Some("0")));

    let (body, is_whole) = ask(&failing(json!({ "kind": "no_finish" })), &streaming()).dechunked();
    assert!(is_whole && body.ends_with("data: [DONE]\n\n") && !body.contains("\"stop\""), "{body}");
    let reply = ask(&failing(json!({ "kind": "no_finish" })), &saying("hi"));
    assert!(reply.json()["choices"][0]["finish_reason"].is_null());
}

#[test]
fn what_is_no_request_is_turned_away_with_a_reason() {
    use std::io::Write;

    let vendor = vendor(json!({}));
    let mut stream = std::net::TcpStream::connect(vendor.address()).expect("a connection");
    stream.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").expect("bytes sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("no request of HTTP/1.1"), "{answer}");
    assert_eq!(vendor.counts().turned_away, 1);
    let reply = exchange(vendor.address(), "POST", "/v1/chat/completions", "transfer-encoding: chunked\r\n", "zz\r\n");
    assert_eq!(reply.status, 400, "a body in chunks that is none");
}

#[test]
fn a_body_may_come_in_chunks_and_wait_to_be_wanted() {
    use std::io::Write;

    let vendor = vendor(json!({ "answer": "echo" }));
    let body = saying("hi").to_string();
    let mut stream = std::net::TcpStream::connect(vendor.address()).expect("a connection");
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n";
    write!(stream, "{head}expect: 100-continue\r\n\r\n").expect("a head sent");
    let mut buffer = [0; 64];
    let n = stream.read(&mut buffer).expect("an answer");
    assert_eq!(&buffer[..n], b"HTTP/1.1 100 Continue\r\n\r\n");
    let (one, two) = body.split_at(10);
    write!(stream, "a;x=y\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\ntrailer: t\r\n\r\n", two.len()).expect("a body sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("\"content\":\"hi\""), "{answer}");
}
