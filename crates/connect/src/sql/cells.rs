//! Cells into JSON and back.
//!
//! A number is its own text, so that no decimal loses a digit. Dates and times are ISO 8601 (`2026-11-22T08:30:00`), JSON
//! columns are JSON, binary is Base64, and NULL is null. What is read by these rules is written back as the same value.

use std::fmt::Write as _;

use data_encoding::BASE64;
use domain::json;
use serde_json::value::RawValue;

use super::{Cell, Column, Flavor, Kind, Value};

/// Appends a cell of `column` as JSON.
pub(crate) fn push_json(flavor: Flavor, column: &Column, cell: &Cell, out: &mut String) {
    match cell {
        Cell::Null => out.push_str("null"),
        Cell::Bytes(bytes) => push_text(&BASE64.encode(bytes), out),
        Cell::Number(text) => push_number(text, out),
        Cell::Text(text) => match column.kind {
            Kind::Integer | Kind::Decimal | Kind::Float if flavor != Flavor::Sqlite => push_number(text, out),
            Kind::Bool if matches!(text.as_str(), "t" | "true") => out.push_str("true"),
            Kind::Bool if matches!(text.as_str(), "f" | "false") => out.push_str("false"),
            Kind::Json if serde_json::from_str::<&RawValue>(text).is_ok() => json::compact(text.trim_ascii(), out),
            Kind::Binary if flavor == Flavor::Postgres => match unhex(text) {
                Some(bytes) => push_text(&BASE64.encode(&bytes), out),
                None => push_text(text, out),
            },
            Kind::DateTime => push_text(&iso(text), out),
            _ => push_text(text, out),
        },
    }
}

/// Returns a cell of `column` as JSON.
pub(crate) fn to_json(flavor: Flavor, column: &Column, cell: &Cell) -> String {
    let mut out = String::new();
    push_json(flavor, column, cell, &mut out);
    out
}

/// Returns a JSON value as what is bound for `column`.
pub(crate) fn to_value(flavor: Flavor, column: &Column, raw: &str) -> Value {
    let first = raw.as_bytes().first().copied().unwrap_or(b'n');
    if first == b'n' {
        return Value::Null;
    }
    if column.kind == Kind::Json || matches!(first, b'{' | b'[') {
        let mut compact = String::with_capacity(raw.len());
        json::compact(raw, &mut compact);
        return Value::Text(compact);
    }
    match first {
        b'"' => {
            let text: String = serde_json::from_str(raw).unwrap_or_default();
            match column.kind {
                Kind::Binary => match BASE64.decode(text.as_bytes()) {
                    Ok(bytes) => Value::Bytes(bytes),
                    Err(_) => Value::Bytes(text.into_bytes()),
                },
                // It has no time zone of its own; ours is UTC.
                Kind::DateTime if flavor == Flavor::Mysql => {
                    let plain = text.strip_suffix('Z').unwrap_or(&text);
                    Value::Text(plain.replacen('T', " ", 1))
                }
                _ => Value::Text(text),
            }
        }
        b't' | b'f' => match (column.kind, flavor) {
            (Kind::Text, _) | (Kind::Bool, Flavor::Postgres) => Value::Text(raw.to_owned()),
            _ => Value::Integer(i64::from(first == b't')),
        },
        _ if column.kind == Kind::Text => Value::Text(raw.to_owned()),
        _ => match raw.parse::<i64>() {
            Ok(number) => Value::Integer(number),
            Err(_) if flavor == Flavor::Sqlite || column.kind == Kind::Float => {
                raw.parse().map_or_else(|_| Value::Text(raw.to_owned()), Value::Real)
            }
            Err(_) if flavor == Flavor::Mysql && column.kind == Kind::Integer => {
                raw.parse().map_or_else(|_| Value::Text(raw.to_owned()), Value::Unsigned)
            }
            Err(_) => Value::Text(raw.to_owned()),
        },
    }
}

/// Returns bytes as PostgreSQL writes them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER.decode(text.strip_prefix("\\x")?.as_bytes()).ok()
}

fn push_number(text: &str, out: &mut String) {
    // Most are plain whole numbers, and every row has some.
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    if digits.first().is_some_and(|first| *first != b'0') && digits.iter().all(u8::is_ascii_digit) {
        out.push_str(text);
        return;
    }
    // Not a number, and infinity, have no place in JSON but as text.
    let is_number = text.parse::<f64>().is_ok_and(f64::is_finite) && serde_json::from_str::<&RawValue>(text).is_ok();
    if is_number { out.push_str(text) } else { push_text(text, out) }
}

/// Appends text as a JSON string.
pub(super) fn push_text(text: &str, out: &mut String) {
    // All bytes are looked at together, which is quicker than to stop at the first one.
    let is_escaped = text.bytes().fold(false, |is, byte| is | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
    if is_escaped {
        out.push_str(&serde_json::Value::from(text).to_string());
        return;
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

/// `2026-11-22 08:30:00+00` → `2026-11-22T08:30:00Z`
fn iso(text: &str) -> String {
    let text = text.replacen(' ', "T", 1);
    match text.strip_suffix("+00") {
        Some(plain) => format!("{plain}Z"),
        None => text,
    }
}
