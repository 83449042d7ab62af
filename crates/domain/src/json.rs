//! JSON text as text: looking into an object without building one.
//!
//! What passes through Tidemill keeps its bytes (the order of keys, `1.10`, numbers of forty digits), so nothing here
//! turns a value into anything else. Sources, sinks and work all need this little, and may not import each other.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text is not a JSON object: for people, to be put behind the name of the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAnObject(pub String);

/// Calls `each` with the members of the object that `text` is, in order, names unescaped and values as they stand.
///
/// # Errors
/// Where `text` is not one JSON object; members before the error have been seen then.
pub fn members<'a>(text: &'a str, mut each: impl FnMut(Cow<'a, str>, &'a RawValue)) -> Result<(), NotAnObject> {
    // A look at the first byte tells a wrong kind from a wrong syntax, which serde's error does not.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(not_an_object(text));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Members(&mut each)).and_then(|()| json.end()).map_err(|e| NotAnObject(in_words(&e)))
}

/// Returns whether a value holds nothing: null, or text of white space alone.
#[must_use]
pub fn is_empty(value: &RawValue) -> bool {
    let text = value.get();
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return text == "null" };
    // White space may be escaped; whatever else begins otherwise.
    inner.trim().is_empty()
        || (inner.trim_start().starts_with('\\')
            && serde_json::from_str::<String>(text).is_ok_and(|text| text.trim().is_empty()))
}

/// Appends `text`, which is valid JSON, without the white space between its tokens.
pub fn compact(text: &str, out: &mut String) {
    // White space between tokens is rare in what machines write: whole stretches are copied, not bytes.
    let bytes = text.as_bytes();
    let (mut copied, mut at, mut in_string) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => {
                out.push_str(&text[copied..at]);
                copied = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    out.push_str(&text[copied..]);
}

/// Returns what is wrong with JSON in words, without the line number: a line or an answer is one text.
#[must_use]
pub fn in_words(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let full = error.to_string();
    let what = full.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&full);
    if error.is_eof() {
        format!("not valid JSON: it ends too early, at column {column} ({what})")
    } else {
        format!("not valid JSON: {what} at column {column}")
    }
}

fn not_an_object(text: &str) -> NotAnObject {
    match serde_json::from_str::<&RawValue>(text) {
        Err(error) => NotAnObject(in_words(&error)),
        Ok(value) => NotAnObject(format!("{}, not a JSON object", kind_of(value))),
    }
}

/// Returns what a JSON value is, with its article.
#[must_use]
pub fn kind_of(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

struct Members<'f, F>(&'f mut F);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> Visitor<'de> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            (self.0)(name, value);
        }
        Ok(())
    }
}

/// A name that is borrowed where it holds no escapes; serde's own `Cow` always copies.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(name))
            }
            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(name.to_owned()))
            }
        }
        deserializer.deserialize_str(Text).map(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut all = Vec::new();
        members(text, |name, value| all.push((name.into_owned(), value.get().to_owned()))).map_err(|e| e.0)?;
        Ok(all)
    }

    #[test]
    fn a_value_is_empty_if_it_holds_nothing_or_white_space_however_that_is_written() {
        let is_empty = |text: &str| is_empty(serde_json::from_str(text).unwrap());
        for empty in ["null", r#""""#, r#"" \t""#, r#"" \u3000""#, "\"\u{3000}\"", r#""\n  ""#] {
            assert!(is_empty(empty), "{empty}");
        }
        for full in ["0", "false", "[]", "{}", r#""0""#, r#"" \" ""#, r#""\\""#, r#"" \n.""#, r#""null""#] {
            assert!(!is_empty(full), "{full}");
        }
    }

    #[test]
    fn members_are_given_in_order_and_as_they_stand() {
        let found = seen(" {\"b\" : 1.10, \"a\\n\":[1, {\"x\":1e400}],\"a\\n\":12345678901234567890}\r").unwrap();
        let expected = [("b", "1.10"), ("a\n", "[1, {\"x\":1e400}]"), ("a\n", "12345678901234567890")];
        assert_eq!(found, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(seen("{}"), Ok(vec![]));
    }

    #[test]
    fn what_is_not_an_object_is_told_in_words() {
        for (text, expected) in [
            ("[1]", "an array, not a JSON object"),
            (" \"x\"", "a string, not a JSON object"),
            ("-1.5", "a number, not a JSON object"),
            ("true", "a boolean, not a JSON object"),
            ("null", "null, not a JSON object"),
            ("nul", "not valid JSON: it ends too early, at column 3 (EOF while parsing a value)"),
            ("{\"a\":1", "not valid JSON: it ends too early, at column 6 (EOF while parsing an object)"),
            ("{\"a\" 1}", "not valid JSON: expected `:` at column 6"),
            ("{\"a\":1 \"b\":2}", "not valid JSON: expected `,` or `}` at column 8"),
            ("{\"a\":1} x", "not valid JSON: trailing characters at column 9"),
            ("", "not valid JSON: it ends too early, at column 0 (EOF while parsing a value)"),
        ] {
            assert_eq!(seen(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn nesting_of_any_depth_is_passed_over() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(seen(&deep).unwrap().len(), 1);
    }

    #[test]
    fn compacting_leaves_strings_alone() {
        let mut out = String::new();
        compact("{ \"a b\" : [ 1.10 ,\t\"x \\\" { y\" ] ,\r\n\"c\\\\\" : \" \" }", &mut out);
        assert_eq!(out, "{\"a b\":[1.10,\"x \\\" { y\"],\"c\\\\\":\" \"}");
    }
}
