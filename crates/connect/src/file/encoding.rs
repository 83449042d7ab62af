//! Text in other encodings than UTF-8.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use encoding_rs::{
    Decoder, DecoderResult, EUC_JP, EncoderResult, Encoding, ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Stands for a byte that is not valid in the encoding: no UTF-8 text holds it, so its record is found to be no text.
pub(crate) const NOT_TEXT: u8 = 0xff;

/// The name of an encoding as a pipeline file has it, such as `gb18030`. What it means is found out when it is used, so
/// that a wrong one can be told with its line and column.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Label(pub String);

/// Names that people use, for suggestions and for editors that complete.
const USUAL: [&str; 22] = [
    "utf-8",
    "gb18030",
    "gbk",
    "gb2312",
    "big5",
    "shift_jis",
    "euc-jp",
    "iso-2022-jp",
    "euc-kr",
    "windows-1252",
    "latin1",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-15",
    "windows-1250",
    "windows-1251",
    "koi8-r",
    "windows-1253",
    "windows-1254",
    "utf-16le",
    "utf-16be",
    "utf-16",
];

impl Label {
    /// Returns the encoding, or what is wrong with the name.
    pub(crate) fn encoding(&self) -> Result<&'static Encoding, String> {
        let found = Encoding::for_label_no_replacement(self.0.as_bytes());
        found.ok_or_else(|| {
            let near = |name: &&&str| strsim::jaro_winkler(&self.0.to_lowercase(), name);
            let best = USUAL.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
            let hint = match best.filter(|name| near(name) > 0.8) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "it is one such as `utf-8`, `gb18030`, `big5`, `shift_jis` or `windows-1252`".to_owned(),
            };
            format!("`{}` is no encoding that is known; {hint}", self.0)
        })
    }
}

impl JsonSchema for Label {
    fn schema_name() -> Cow<'static, str> {
        "Encoding".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The name of a text encoding, such as `gb18030`: any that the WHATWG Encoding Standard has.",
            "type": "string",
            "examples": USUAL,
        })
    }
}

/// Returns the encoding that a byte order mark at the beginning names.
pub(super) fn of_mark(head: &[u8]) -> Option<&'static Encoding> {
    if head.starts_with(b"\xef\xbb\xbf") {
        Some(UTF_8)
    } else if head.starts_with(b"\xff\xfe") {
        Some(UTF_16LE)
    } else if head.starts_with(b"\xfe\xff") {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// Bytes of an encoding, read as UTF-8, without a byte order mark.
pub(super) struct Transcoded<R> {
    inner: R,
    decoder: Decoder,
    raw: Vec<u8>,
    raw_at: usize,
    raw_end: usize,
    out: Vec<u8>,
    out_at: usize,
    is_first: bool,
    is_over: bool,
}

impl<R: Read> Transcoded<R> {
    pub(super) fn new(inner: R, encoding: &'static Encoding) -> Self {
        const RAW: usize = 1 << 15;
        Self {
            inner,
            decoder: encoding.new_decoder_without_bom_handling(),
            raw: vec![0; RAW],
            raw_at: 0,
            raw_end: 0,
            out: Vec::with_capacity(3 * RAW),
            out_at: 0,
            is_first: true,
            is_over: false,
        }
    }

    /// Decodes more into `out`, which is used up.
    fn refill(&mut self) -> io::Result<()> {
        if self.raw_at == self.raw_end {
            self.raw_end = self.inner.read(&mut self.raw)?;
            self.raw_at = 0;
            self.is_over = self.raw_end == 0;
        }
        self.out.resize(self.out.capacity(), 0);
        let raw = &self.raw[self.raw_at..self.raw_end];
        // One byte is kept free for the sign of what is no text.
        let room = self.out.len() - 1;
        let (result, n_read, mut n_written) =
            self.decoder.decode_to_utf8_without_replacement(raw, &mut self.out[..room], self.is_over);
        self.raw_at += n_read;
        if let DecoderResult::Malformed(..) = result {
            self.out[n_written] = NOT_TEXT;
            n_written += 1;
            // There may be more in the decoder than this one sign.
            self.is_over = false;
        }
        self.out.truncate(n_written);
        self.out_at = 0;
        if n_written > 0 && std::mem::take(&mut self.is_first) && self.out.starts_with(super::BOM) {
            self.out_at = super::BOM.len();
        }
        Ok(())
    }
}

impl<R: Read> Read for Transcoded<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.out_at == self.out.len() && !self.is_over {
            self.refill()?;
        }
        let n = bytes.len().min(self.out.len() - self.out_at);
        bytes[..n].copy_from_slice(&self.out[self.out_at..self.out_at + n]);
        self.out_at += n;
        Ok(n)
    }
}

/// How text is written.
pub(super) struct Written {
    encoding: &'static Encoding,
    is_utf16: bool,
}

impl Written {
    /// Returns how to write `encoding`; nothing where it is UTF-8, which needs no turning.
    pub(super) fn new(encoding: &'static Encoding) -> Option<Self> {
        let is_utf16 = encoding == UTF_16LE || encoding == UTF_16BE;
        (encoding != UTF_8).then_some(Self { encoding, is_utf16 })
    }

    /// Appends `text` in the encoding to `out`, or says which character it has no place for, and where the text goes on.
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u8>) -> Result<(), (char, usize)> {
        if self.is_utf16 {
            let is_little = self.encoding == UTF_16LE;
            for unit in text.encode_utf16() {
                out.extend_from_slice(&if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() });
            }
            return Ok(());
        }
        // What would be written as another character stands for itself, and ends the part that can be written.
        let changed = text.char_indices().find(|(_, character)| self.changes(*character));
        let whole = text;
        let text = changed.map_or(whole, |(at, _)| &whole[..at]);
        let mut encoder = self.encoding.new_encoder();
        let mut at = 0;
        loop {
            let room = encoder.max_buffer_length_from_utf8_without_replacement(text.len() - at).unwrap_or(64).max(64);
            out.reserve(room);
            let (result, n_read) = encoder.encode_from_utf8_to_vec_without_replacement(&text[at..], out, true);
            at += n_read;
            match result {
                EncoderResult::InputEmpty => {
                    return changed.map_or(Ok(()), |(at, character)| Err((character, at + character.len_utf8())));
                }
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(character) => return Err((character, at)),
            }
        }
    }

    /// Returns whether the encoder would write another character in place of this one, which a reader would take for
    /// it: a yen sign is a backslash in `shift_jis`, and would escape what follows it.
    fn changes(&self, character: char) -> bool {
        match character {
            '\u{a5}' | '\u{203e}' => self.encoding == SHIFT_JIS || self.encoding == EUC_JP,
            '\u{2212}' => [SHIFT_JIS, EUC_JP, ISO_2022_JP].contains(&self.encoding),
            '\u{e}' | '\u{f}' | '\u{1b}' | '\u{ff61}'..='\u{ff9f}' => self.encoding == ISO_2022_JP,
            // Some characters for private use were given a public place later, and are read as that.
            '\u{e000}'..='\u{f8ff}' => {
                let text = character.to_string();
                self.encoding.decode_without_bom_handling(&self.encoding.encode(&text).0).0 != text
            }
            _ => false,
        }
    }

    /// Returns the byte order mark that a file in the encoding begins with: UTF-16 has no other sign of its byte order.
    pub(super) fn mark(&self) -> &'static [u8] {
        match self.is_utf16 {
            true if self.encoding == UTF_16LE => b"\xff\xfe",
            true => b"\xfe\xff",
            false => b"",
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.encoding.name()
    }
}
