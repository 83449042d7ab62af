//! Values as they stand in cells.

use domain::json;

use super::text::push_xml;

/// The longest text that a cell can hold, in UTF-16 units
/// (<https://support.microsoft.com/office/excel-specifications-and-limits-1672b34d-7043-467e-8e27-269d656771c3>).
const TEXT_MOST: usize = 32_767;
/// More digits than this a cell does not keep of a number.
const DIGITS_MOST: usize = 15;

/// Says why a JSON value cannot be in a cell, if so.
pub(super) fn takes(value: &str) -> Result<(), String> {
    // No character takes less than one byte, in JSON neither.
    if value.len() <= TEXT_MOST { Ok(()) } else { push_content(value, b"", &mut Vec::new()) }
}

/// Appends what a JSON value is in a cell, or says why it cannot be in one.
pub(super) fn push_content(value: &str, prefix: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let element = |name: &[u8], text: &[u8], out: &mut Vec<u8>| {
        out.push(b'<');
        out.extend_from_slice(prefix);
        out.extend_from_slice(name);
        out.push(b'>');
        out.extend_from_slice(text);
        out.extend_from_slice(b"</");
        out.extend_from_slice(prefix);
        out.extend_from_slice(name);
        out.push(b'>');
    };
    match value.as_bytes().first() {
        Some(b'n') => Ok(()),
        Some(b't' | b'f') => {
            out.extend_from_slice(b" t=\"b\">");
            element(b"v", if value == "true" { b"1" } else { b"0" }, out);
            Ok(())
        }
        // A number with more digits than a cell keeps stays what it is as a text.
        Some(b'0'..=b'9' | b'-') if value.bytes().filter(u8::is_ascii_digit).count() <= DIGITS_MOST => {
            out.push(b'>');
            element(b"v", value.as_bytes(), out);
            Ok(())
        }
        Some(b'"') => {
            // Half of a surrogate pair is text in JSON alone.
            let text = serde_json::from_str(value).unwrap_or_else(|_| value.to_owned());
            push_text(&text, prefix, out)
        }
        Some(b'{' | b'[') => {
            let mut compact = String::with_capacity(value.len());
            json::compact(value, &mut compact);
            push_text(&compact, prefix, out)
        }
        _ => push_text(value, prefix, out),
    }
}

fn push_text(text: &str, prefix: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let n = if text.len() <= TEXT_MOST { 0 } else { text.encode_utf16().count() };
    if n > TEXT_MOST {
        return Err(format!(
            "the text has {n} characters, and a cell of a workbook holds {TEXT_MOST}; write to `csv` or `jsonl`: nothing is \
             asked again"
        ));
    }
    let has_edge = text.starts_with(|c: char| c.is_whitespace()) || text.ends_with(|c: char| c.is_whitespace());
    out.extend_from_slice(b" t=\"inlineStr\"><");
    for part in [prefix, b"is><", prefix, b"t"] {
        out.extend_from_slice(part);
    }
    if has_edge || text.contains("  ") || text.contains('\n') {
        out.extend_from_slice(b" xml:space=\"preserve\"");
    }
    out.push(b'>');
    push_xml(text, out);
    for part in [b"</", prefix, b"t></", prefix, b"is>"] {
        out.extend_from_slice(part);
    }
    Ok(())
}
