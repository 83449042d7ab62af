//! Putting the vendor's name of the model into a request.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use domain::json::{self, NotAnObject};

/// How our own requests begin.
const OURS: &[u8] = br#"{"model":""#;

/// Returns `body` with `model`, a JSON string, as its model. Every other byte stays as it is.
///
/// # Errors
/// Where `body` is not a JSON object.
pub(super) fn with_model(body: &Bytes, model: &str) -> Result<Bytes, NotAnObject> {
    if let Some(value) = at_the_front(body) {
        return Ok(replaced(body, &[value], model));
    }
    let text = std::str::from_utf8(body).map_err(|e| NotAnObject(format!("not valid UTF-8 ({e})")))?;
    let mut values = Vec::new();
    let mut is_empty = true;
    json::members(text, |name, value| {
        is_empty = false;
        if name == "model" {
            let start = value.get().as_ptr() as usize - text.as_ptr() as usize;
            values.push(start..start + value.get().len());
        }
    })?;
    if !values.is_empty() {
        // Parsers differ in which of two members they believe, so all of them say the same.
        return Ok(replaced(body, &values, model));
    }
    let behind_brace = text.find('{').map_or(0, |brace| brace + 1);
    let member = format!("\"model\":{model}{}", if is_empty { "" } else { "," });
    Ok(replaced(body, std::slice::from_ref(&(behind_brace..behind_brace)), &member))
}

/// Returns where the model's name stands in a request of ours, which begins with it. Only this much of it is read: the
/// rest was written by us, and can be long.
fn at_the_front(body: &[u8]) -> Option<Range<usize>> {
    let name = body.strip_prefix(OURS)?;
    let mut end = 0;
    loop {
        end += memchr::memchr2(b'"', b'\\', &name[end..])?;
        if name[end] == b'"' {
            // With its quotes.
            return Some(OURS.len() - 1..OURS.len() + end + 1);
        }
        end += 2;
        if end > name.len() {
            return None;
        }
    }
}

fn replaced(body: &Bytes, ranges: &[Range<usize>], with: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + ranges.len() * with.len());
    let mut copied = 0;
    for range in ranges {
        out.put_slice(&body[copied..range.start]);
        out.put_slice(with.as_bytes());
        copied = range.end;
    }
    out.put_slice(&body[copied..]);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &str) {
        let out = with_model(&Bytes::copy_from_slice(body.as_bytes()), r#""m/1""#).map_err(|e| e.0);
        assert_eq!(out.as_deref(), Ok(expected.as_bytes()), "{body}");
    }

    #[test]
    fn the_name_is_replaced_and_nothing_else() {
        check(r#"{"model":"auto","n":1.10}"#, r#"{"model":"m/1","n":1.10}"#);
        check(r#"{"model":"a\"u\\","n":1}"#, r#"{"model":"m/1","n":1}"#);
        check(r#"{"model":""}"#, r#"{"model":"m/1"}"#);
        check(r#" { "model" : "auto" , "n":1 } "#, r#" { "model" : "m/1" , "n":1 } "#);
        check(r#"{"n":1e400,"model":"auto"}"#, r#"{"n":1e400,"model":"m/1"}"#);
        check(r#"{"model":null}"#, r#"{"model":"m/1"}"#);
    }

    #[test]
    fn a_model_that_is_not_the_requests_own_stays() {
        check(
            r#"{"messages":[{"model":"x","content":"\"model\":\"y\""}],"model":"auto"}"#,
            r#"{"messages":[{"model":"x","content":"\"model\":\"y\""}],"model":"m/1"}"#,
        );
        check(r#"{"x":{"model":"y"}}"#, r#"{"model":"m/1","x":{"model":"y"}}"#);
        check(r#" {} "#, r#" {"model":"m/1"} "#);
    }

    #[test]
    fn a_name_in_disguise_is_found_and_a_second_one_too() {
        check(r#"{"mod\u0065l":"a","model":"b"}"#, r#"{"mod\u0065l":"m/1","model":"m/1"}"#);
    }

    #[test]
    fn what_is_not_an_object_is_told() {
        for body in ["", "[]", r#"{"n":1"#, r#"{"model":"x"#, r#"{"model":"x\"#, "\u{feff}{}"] {
            assert!(with_model(&Bytes::copy_from_slice(body.as_bytes()), "\"m\"").is_err(), "{body}");
        }
        assert!(with_model(&Bytes::from_static(b"{\"n\":\"\xff\"}"), "\"m\"").is_err());
    }
}
