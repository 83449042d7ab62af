//! Answers without a message: small, and of the true shapes.

use http::Response;
use serde_json::{Value, json};

use super::{CREATED, embeddings::base64, error::WireError};
use crate::{body::Body, service::of_type};

/// What a moderation looks for: <https://platform.openai.com/docs/api-reference/moderations/object>.
const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

/// A picture of one pixel.
const PIXEL: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xff\xff?\
\0\x05\xfe\x02\xfe\xa75\x81\x84\0\0\0\0IEND\xaeB`\x82";

/// The head of a sound in WAVE format, and as much silence as a speech has here.
const WAVE: &[u8] = b"RIFF\x24\x02\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\x02\0\0";
const SILENCE: [u8; 512] = [0x80; 512];

/// Judges a text: flagged where it says so itself.
pub(crate) fn moderate(body: &[u8]) -> Result<Response<Body>, WireError> {
    let request = read(body)?;
    let inputs = match &request["input"] {
        Value::Null => return Err(WireError::invalid(Some("input"), "the request has no `input`")),
        Value::Array(inputs) if inputs.iter().all(Value::is_string) => inputs.clone(),
        input => vec![input.clone()],
    };
    let results: Vec<Value> = inputs
        .iter()
        .map(|input| {
            let is_flagged = input.to_string().contains("flag me");
            let of = |value: &dyn Fn(&str) -> Value| -> Value {
                CATEGORIES
                    .iter()
                    .map(|name| ((*name).to_owned(), value(name)))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            };
            json!({
                "flagged": is_flagged,
                "categories": of(&|name| json!(is_flagged && name == "violence")),
                "category_scores": of(&|name| json!(if is_flagged && name == "violence" { 0.9 } else { 0.01 })),
                "category_applied_input_types": of(&|_| json!(["text"])),
            })
        })
        .collect();
    let model = request["model"].as_str().unwrap_or("omni-moderation-latest");
    Ok(answer(&json!({ "id": "modr-simulated", "model": model, "results": results })))
}

/// Orders documents, those with the most words of the query first, as Jina's and Cohere's interfaces do.
pub(crate) fn rerank(body: &[u8]) -> Result<Response<Body>, WireError> {
    let request = read(body)?;
    let Some(query) = request["query"].as_str() else {
        return Err(WireError::invalid(Some("query"), "the request has no `query`"));
    };
    let Some(documents) = request["documents"].as_array() else {
        return Err(WireError::invalid(Some("documents"), "the request has no `documents`"));
    };
    let text = |document: &Value| document.as_str().or(document["text"].as_str()).unwrap_or_default().to_owned();
    let words: Vec<&str> = query.split_whitespace().collect();
    let score = |text: &str| {
        let shared = words.iter().filter(|word| text.contains(**word)).count();
        (shared as f64 + 0.01) / (words.len() as f64 + 0.02)
    };
    let mut results: Vec<(usize, f64, String)> =
        documents.iter().map(text).enumerate().map(|(index, text)| (index, score(&text), text)).collect();
    results.sort_by(|one, other| other.1.total_cmp(&one.1));
    if let Some(most) = request["top_n"].as_u64() {
        results.truncate(most as usize);
    }
    let returns_documents = request["return_documents"].as_bool().unwrap_or(false);
    let results: Vec<Value> = results
        .into_iter()
        .map(|(index, score, text)| {
            let mut result = json!({ "index": index, "relevance_score": score });
            if returns_documents {
                result["document"] = json!({ "text": text });
            }
            result
        })
        .collect();
    let tokens = super::tokens(body.len());
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    Ok(answer(&json!({ "id": "rerank-simulated", "model": request["model"], "results": results, "usage": usage })))
}

/// Draws one pixel, as often as it is asked to.
pub(crate) fn draw(body: &[u8]) -> Result<Response<Body>, WireError> {
    let request = read(body)?;
    if !request["prompt"].is_string() {
        return Err(WireError::invalid(Some("prompt"), "the request has no `prompt`"));
    }
    let mut pixel = Vec::new();
    base64(PIXEL.iter().copied(), &mut pixel);
    let pixel = String::from_utf8(pixel).unwrap_or_default();
    let n = request["n"].as_u64().unwrap_or(1).clamp(1, 10);
    let data: Vec<Value> = (0..n).map(|_| json!({ "b64_json": pixel })).collect();
    let usage = json!({
        "input_tokens": 8, "output_tokens": 16, "total_tokens": 24,
        "input_tokens_details": { "text_tokens": 8, "image_tokens": 0 },
    });
    Ok(answer(&json!({ "created": CREATED, "data": data, "usage": usage })))
}

/// Speaks: half a second of silence would be no less true.
pub(crate) fn speak(body: &[u8]) -> Result<Response<Body>, WireError> {
    if !read(body)?["input"].is_string() {
        return Err(WireError::invalid(Some("input"), "the request has no `input`"));
    }
    Ok(of_type("audio/wav", [WAVE, &SILENCE].concat()))
}

/// Hears nothing in a sound, and says how long the form was and what stood in it.
pub(crate) fn transcribe(content_type: &str, body: &[u8]) -> Result<Response<Body>, WireError> {
    let boundary = content_type.split(';').find_map(|part| part.trim().strip_prefix("boundary="));
    let Some(boundary) = boundary.filter(|_| content_type.starts_with("multipart/form-data")) else {
        return Err(WireError::invalid(None, "the body is no `multipart/form-data` with a boundary"));
    };
    let boundary = format!("--{}", boundary.trim_matches('"'));
    let part = |name: &str| {
        let mut starts = memchr::memmem::find_iter(body, boundary.as_bytes()).map(|at| &body[at + boundary.len()..]);
        starts.find_map(|part| {
            let head_end = memchr::memmem::find(part, b"\r\n\r\n")?;
            let head = String::from_utf8_lossy(&part[..head_end]);
            head.contains(&format!("name=\"{name}\"")).then_some(())?;
            let content = &part[head_end + 4..];
            let end = memchr::memmem::find(content, boundary.as_bytes())?;
            content[..end].strip_suffix(b"\r\n")
        })
    };
    let Some(file) = part("file") else {
        return Err(WireError::invalid(Some("file"), "the form has no `file`"));
    };
    if part("model").is_none() {
        return Err(WireError::invalid(Some("model"), "the form names no `model`"));
    }
    let text = format!("{} bytes of sound", file.len());
    match part("response_format") {
        Some(b"text") => Ok(of_type("text/plain; charset=utf-8", format!("{text}\n"))),
        _ => {
            let usage = json!({ "type": "duration", "seconds": 1 });
            Ok(answer(&json!({ "text": text, "usage": usage })))
        }
    }
}

fn read(body: &[u8]) -> Result<Value, WireError> {
    let request: Value = serde_json::from_slice(body)
        .map_err(|error| WireError::invalid(None, format!("the body is not a request: {error}")))?;
    if request.is_object() { Ok(request) } else { Err(WireError::invalid(None, "the body is not an object")) }
}

fn answer(value: &Value) -> Response<Body> {
    of_type("application/json", value.to_string())
}
