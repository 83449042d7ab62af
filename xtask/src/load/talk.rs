//! What is said: the request, and the answers of the vendor, made once.

use std::fmt::Write as _;

/// What texts of any length are made of.
const FILLER: &str = "the parcel came late and one of the cups was broken, what can you do for me? ";

/// Returns a request whose body has `length` bytes, or as few as it needs.
pub(super) fn request(host: &str, path: &str, model: &str, is_stream: bool, length: usize) -> Vec<u8> {
    let stream = if is_stream { ",\"stream\":true" } else { "" };
    let around = |content: &str| {
        format!(
            "{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"system\",\"content\":\"You label support tickets.\"}},\
             {{\"role\":\"user\",\"content\":\"{content}\"}}],\"temperature\":0.2,\"max_tokens\":256{stream}}}"
        )
    };
    let body = around(&filler(length.saturating_sub(around("").len())));
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: bench\r\naccept: */*\r\nauthorization: Bearer sk-bench\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Returns a whole answer with a body of `length` bytes, or as few as it needs.
pub(super) fn whole(length: usize) -> Vec<u8> {
    let around = |content: &str| {
        format!(
            "{{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"bench\",\
             \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{content}\"}},\"logprobs\":null,\
             \"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":150,\"completion_tokens\":200,\
             \"total_tokens\":350}}}}"
        )
    };
    let body = around(&filler(length.saturating_sub(around("").len())));
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// The head of a stream.
pub(super) const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// Returns the events of a stream, each as a chunk of its own, the last with the end of the answer behind it: a role,
/// words of about 178 bytes each, a reason with the usage, and `[DONE]`.
pub(super) fn events(n: usize) -> Vec<Vec<u8>> {
    let event = |delta: &str, rest: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
             \"model\":\"bench\",\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,{rest}}}\n\n"
        )
    };
    let mut events = vec![event("\"role\":\"assistant\",\"content\":\"\"", "\"finish_reason\":null}]")];
    while events.len() + 2 < n {
        events.push(event("\"content\":\" delivered\"", "\"finish_reason\":null}]"));
    }
    events.push(event(
        "",
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":150,\"completion_tokens\":63,\"total_tokens\":213}",
    ));
    events.push("data: [DONE]\n\n".to_owned());
    let chunk = |event: &String| format!("{:x}\r\n{event}\r\n", event.len()).into_bytes();
    let mut chunks: Vec<Vec<u8>> = events.iter().map(chunk).collect();
    if let Some(last) = chunks.last_mut() {
        last.extend_from_slice(b"0\r\n\r\n");
    }
    chunks
}

fn filler(length: usize) -> String {
    let mut text = String::with_capacity(length + FILLER.len());
    while text.len() < length {
        // Writing to a text cannot fail.
        let _ = text.write_str(FILLER);
    }
    text.truncate(length);
    text
}
