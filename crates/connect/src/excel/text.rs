//! Text in XML, and the way back.

use crate::csv::push_json_inside;

/// Appends the text that stands between two tags as the inside of a JSON string, without its quotes.
pub(super) fn push_json_text(xml: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'&' | b'_');
    if xml.iter().all(is_plain) {
        return out.extend_from_slice(xml);
    }
    push_json_inside(&plain(xml), out);
}

/// Returns the text that stands between two tags.
///
/// Entities are what they stand for (<https://www.w3.org/TR/xml/#sec-references>), line ends are line feeds, and `_x000D_` is the
/// character of that number, as workbooks write those that XML cannot hold (ECMA-376 part 1, 22.9.2.19).
pub(super) fn plain(xml: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(xml.len());
    let mut at = 0;
    while let Some(&byte) = xml.get(at) {
        let rest = &xml[at..];
        let (character, n) = match byte {
            b'&' => entity(rest).unwrap_or(('&', 1)),
            b'_' => escaped(rest).map_or(('_', 1), |character| (character, 7)),
            b'\r' => ('\n', if rest.get(1) == Some(&b'\n') { 2 } else { 1 }),
            _ => {
                let n = memchr::memchr3(b'&', b'_', b'\r', rest).unwrap_or(rest.len());
                out.extend_from_slice(&rest[..n]);
                at += n;
                continue;
            }
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        at += n;
    }
    out
}

/// Returns what a reference stands for, and its length.
fn entity(xml: &[u8]) -> Option<(char, usize)> {
    let end = memchr::memchr(b';', &xml[..xml.len().min(12)])?;
    let name = str::from_utf8(&xml[1..end]).ok()?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let hex = number.strip_prefix(['x', 'X']);
            let number = hex.map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16));
            char::from_u32(number.ok()?)?
        }
    };
    Some((character, end + 1))
}

/// Returns the character that `_x000D_` stands for.
fn escaped(text: &[u8]) -> Option<char> {
    let [b'_', b'x', digits @ .., b'_'] = text.get(..7)? else { return None };
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let number = str::from_utf8(digits).ok().filter(|_| is_hex)?;
    char::from_u32(u32::from_str_radix(number, 16).ok()?)
}

/// Appends text as it must stand between two tags.
pub(super) fn push_xml(text: &str, out: &mut Vec<u8>) {
    let mut copied = 0;
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let stands: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'\r' => b"_x000D_",
            // Whoever writes this means it.
            b'_' if escaped(&bytes[at..]).is_some() => b"_x005F_",
            b'\t' | b'\n' | 0x20.. => continue,
            control => {
                out.extend_from_slice(&bytes[copied..at]);
                out.extend_from_slice(format!("_x{control:04X}_").as_bytes());
                copied = at + 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(stands);
        copied = at + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Appends the text of all `t` elements in `xml`, which is the inside of an `is` or `si`, as a JSON string. What is said of
/// how a word sounds (`rPh`) is no part of it.
pub(super) fn push_json_rich(xml: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut is_sound = false;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'<', &xml[at..]) {
        let tag = Tag::at(xml, at + found);
        let Some(tag) = tag else { break };
        at = tag.end;
        match (tag.name, tag.kind) {
            (b"rPh", Kind::Open) => is_sound = true,
            (b"rPh", Kind::Close) => is_sound = false,
            (b"t", Kind::Open) if !is_sound => {
                let n = memchr::memchr(b'<', &xml[at..]).unwrap_or(xml.len() - at);
                push_json_text(&xml[at..at + n], out);
                at += n;
            }
            _ => {}
        }
    }
    out.push(b'"');
}

/// A tag in XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// Without its prefix.
    pub(super) name: &'a [u8],
    pub(super) kind: Kind,
    /// What stands between its name and its end.
    pub(super) attributes: &'a [u8],
    /// Behind it.
    pub(super) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Close,
    /// Both at once.
    Empty,
}

impl<'a> Tag<'a> {
    /// Reads the tag that begins at `at`; nothing where it does not end.
    pub(super) fn at(xml: &'a [u8], at: usize) -> Option<Self> {
        let end = at + tag_end(xml.get(at..)?)?;
        let mut inner = xml.get(at + 1..end - 1)?;
        let kind = match inner {
            [b'/', ..] => {
                inner = &inner[1..];
                Kind::Close
            }
            [.., b'/'] => {
                inner = &inner[..inner.len() - 1];
                Kind::Empty
            }
            _ => Kind::Open,
        };
        let n = inner.iter().position(u8::is_ascii_whitespace).unwrap_or(inner.len());
        let (name, attributes) = inner.split_at(n);
        let name = memchr::memchr(b':', name).map_or(name, |colon| &name[colon + 1..]);
        Some(Self { name, kind, attributes, end })
    }

    /// Returns the value of an attribute, as it stands. Prefixes say nothing that is not known.
    pub(super) fn attribute(&self, wanted: &[u8]) -> Option<&'a [u8]> {
        let mut rest = self.attributes.trim_ascii_start();
        while let Some(equals) = memchr::memchr(b'=', rest) {
            let name = rest[..equals].trim_ascii();
            let name = memchr::memchr(b':', name).map_or(name, |colon| &name[colon + 1..]);
            let value = rest[equals + 1..].trim_ascii_start();
            let quote = *value.first()?;
            let end = 1 + memchr::memchr(quote, &value[1..])?;
            if name == wanted {
                return Some(&value[1..end]);
            }
            rest = value[end + 1..].trim_ascii_start();
        }
        None
    }
}

/// Returns how long the tag is that `xml` begins with. A value may hold `>`.
fn tag_end(xml: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr3(b'>', b'"', b'\'', &xml[at..])?;
        match xml[at] {
            b'>' => return Some(at + 1),
            quote => at += 2 + memchr::memchr(quote, &xml[at + 1..])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(xml: &str) -> String {
        let mut out = vec![b'"'];
        push_json_text(xml.as_bytes(), &mut out);
        out.push(b'"');
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn text_is_what_it_stands_for() {
        for (xml, expected) in [
            ("plain 中文", "plain 中文"),
            ("a &amp; b &lt;c&gt; &quot;d&apos;", "a & b <c> \"d'"),
            ("&#65;&#x4e2d; &nosuch; & &#xd800;", "A中 &nosuch; & &#xd800;"),
            ("a\r\nb\rc\td", "a\nb\nc\td"),
            ("_x000D_ _x005F_x0041_ _x00zz_ _x1_", "\r _x0041_ _x00zz_ _x1_"),
        ] {
            assert_eq!(json(xml), expected, "{xml}");
        }
    }

    #[test]
    fn text_in_pieces_is_joined_and_how_it_sounds_is_left_out() {
        let mut out = Vec::new();
        let xml = "<r><rPr><b val='>'/></rPr><t xml:space=\"preserve\">東 </t></r><x:r><x:t>京</x:t></x:r><rPh sb=\"0\"><t>トウ</t></rPh><t/>";
        push_json_rich(xml.as_bytes(), &mut out);
        assert_eq!(out, "\"東 京\"".as_bytes());
    }

    #[test]
    fn tags_tell_their_attributes() {
        let xml = b"<x:c r=\"A1\" s = '2' t=\"a>b\" />rest";
        let tag = Tag::at(xml, 0).unwrap();
        assert_eq!((tag.name, tag.kind, &xml[tag.end..]), (&b"c"[..], Kind::Empty, &b"rest"[..]));
        assert_eq!(tag.attribute(b"s"), Some(&b"2"[..]));
        assert_eq!((tag.attribute(b"t"), tag.attribute(b"u")), (Some(&b"a>b"[..]), None));
        assert_eq!(Tag::at(b"<c r=\"A1", 0), None);
        assert_eq!(Tag::at(b"> <c r=\"A1\"/>", 0), None, "no tag begins with its end");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in "[ -~\\t\\n\\r\\x01-\\x08中é_x0-9]{0,60}") {
            let mut xml = Vec::new();
            push_xml(&text, &mut xml);
            prop_assert_eq!(plain(&xml), text.as_bytes());
        }

        #[test]
        fn no_bytes_are_too_much(xml in prop::collection::vec(prop::sample::select(&b"<>/=\"' abt:&;#_x09"[..]), 0..60)) {
            let mut out = Vec::new();
            push_json_rich(&xml, &mut out);
            prop_assert!(serde_json::from_slice::<String>(&out).is_ok());
        }
    }
}
