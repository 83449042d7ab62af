//! Forms with files: where the name of the model stands in one. <https://www.rfc-editor.org/rfc/rfc7578>
//!
//! A vendor is to see our name of the model and no other, as it is asked with our key. So parts are found as servers find
//! them, which are lenient: names without quotes, lines without carriage returns.

use std::ops::Range;

use http::{HeaderMap, header};

/// Returns where in a form the names of models stand, in order; nothing where it is no form.
pub(super) fn models_at(headers: &HeaderMap, body: &[u8]) -> Vec<Range<usize>> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_form = kind.trim_start().to_ascii_lowercase().starts_with("multipart/");
    let Some(boundary) = parameter(kind, "boundary").filter(|boundary| is_form && !boundary.is_empty()) else {
        return Vec::new();
    };
    let mark = format!("--{boundary}");
    let is_at_line = |at: &usize| *at == 0 || body[at - 1] == b'\n';
    let starts: Vec<usize> = memchr::memmem::find_iter(body, mark.as_bytes()).filter(is_at_line).collect();
    let ends = starts.iter().copied().skip(1).chain([body.len()]);
    let parts = starts.iter().zip(ends).map(|(start, end)| start + mark.len()..end);
    parts.filter_map(|part| model_in(body, part)).collect()
}

/// Returns where the name of the model stands in a part that is called so.
fn model_in(body: &[u8], part: Range<usize>) -> Option<Range<usize>> {
    let (mut at, mut is_model) = (part.start, false);
    // The rest of the line of the boundary comes first.
    for number in 0.. {
        let end = at + memchr::memchr(b'\n', &body[at..part.end])?;
        let line = body[at..end].trim_ascii_end();
        at = end + 1;
        if number > 0 && line.is_empty() {
            break;
        }
        let line = String::from_utf8_lossy(line);
        let Some((name, value)) = line.split_once(':') else { continue };
        let is_named = |key| parameter(value, key).is_some_and(|name| name.trim_matches('\'').ends_with("model"));
        is_model |= name.trim().eq_ignore_ascii_case("content-disposition")
            && (parameter(value, "name").as_deref() == Some("model") || is_named("name*"));
    }
    if !is_model {
        return None;
    }
    let end = memchr::memchr(b'\n', &body[at..part.end]).map_or(part.end, |end| at + end);
    let value = body[at..end].trim_ascii_end();
    Some(at..at + value.len())
}

/// Returns a parameter of the value of a header.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let parameters = value.split(';').skip(1).filter_map(|one| one.split_once('='));
    let mut found = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
    found.next().map(|(_, value)| value.trim().trim_matches('"').replace('\\', ""))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn names(kind: &'static str, body: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        models_at(&headers, body.as_bytes()).into_iter().map(|at| body[at].to_owned()).collect()
    }

    #[test]
    fn the_name_of_a_model_is_found_however_a_part_is_written_and_in_no_file() {
        let form = "multipart/form-data; boundary=b";
        let part = |head: &str, value: &str| format!("--b\r\n{head}\r\n\r\n{value}\r\n");
        let disposition = |rest: &str| format!("Content-Disposition: form-data; {rest}");
        for (name, is_model) in [
            ("name=\"model\"", true),
            ("name=model", true),
            ("filename=\"x\"; NAME = \"model\"", true),
            ("name*=utf-8''model", true),
            ("name=\"mo\\del\"", true),
            ("filename=\"model\"; name=\"file\"", false),
            ("name=\"model_id\"", false),
        ] {
            let body = format!("{}--b--\r\n", part(&disposition(name), "whisper"));
            assert_eq!(names(form, &body), if is_model { vec!["whisper"] } else { vec![] }, "{name}");
        }
        let file =
            part(&disposition("name=\"file\""), "data\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nx");
        let body = format!("{file}{}--b--\r\n", part(&disposition("name=\"model\""), "whisper"));
        assert_eq!(names(form, &body), ["whisper"]);
        assert_eq!(names("Multipart/Form-Data; charset=utf-8; Boundary=\"b\"", &body), ["whisper"]);
        assert_eq!(names(form, &body.replace("\r\n", "\n")), ["whisper", "x"].map(str::to_owned)[..1]);
        let twice = format!("{0}{0}--b--\r\n", part(&disposition("name=\"model\""), "whisper"));
        assert_eq!(names(form, &twice).len(), 2);
        for odd in ["", "--b", "--b\r\n", "--b\r\ncontent-disposition: form-data; name=model", "--b\r\n\r\n"] {
            assert!(names(form, odd).is_empty(), "{odd}");
        }
        assert!(names("application/json", &twice).is_empty() && names("multipart/form-data", &twice).is_empty());
    }
}
