//! Images and files that go with a prompt, as content parts of its message.

use std::borrow::Cow;

use data_encoding::BASE64;
use domain::{SkipReason, json};
use serde_json::value::RawValue;

use super::{Attach, body::push_text};
use crate::template::{Trouble, text_of};

/// The greatest file unless the pipeline says otherwise, in bytes.
const MAX_BYTES: u64 = 32 << 20;

/// The way to files that records name. Work does no I/O itself.
pub trait Attachments: Send + Sync {
    /// Reads the file at `path`, as a record has it.
    ///
    /// # Errors
    /// Why it cannot be had, or that it has more than `max_bytes`: words to be put behind the path.
    fn read(&self, path: &str, max_bytes: u64) -> Result<Vec<u8>, String>;
}

/// What goes with a prompt.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// Content parts as JSON, each with a comma before it.
    pub(super) parts: Vec<u8>,
    /// About how many tokens they take.
    pub(super) tokens: u32,
}

impl Attach {
    /// Returns the field that holds it.
    pub(super) fn field(&self) -> Option<&str> {
        self.image.as_deref().or(self.file.as_deref())
    }
}

impl Attached {
    /// Adds what a record's field holds. Without a way to files, files are passed over.
    pub(super) fn add(
        &mut self,
        attach: &Attach,
        value: Option<&RawValue>,
        files: Option<&dyn Attachments>,
    ) -> Result<(), Trouble> {
        let field = attach.field().unwrap_or_default();
        let Some(value) = value else {
            return Err(Trouble::skip(SkipReason::MissingField, format!("the record has no field `{field}`")));
        };
        for named in named_in(value).map_err(|what| {
            let what = format!("the field `{field}` holds {what}; it takes a path, a URL, or an array of them");
            Trouble::skip(SkipReason::BadRecord, what)
        })? {
            let named = named.trim();
            let file = |what: &str| match files {
                None => Ok(None),
                Some(files) => match files.read(named, attach.max_bytes.unwrap_or(MAX_BYTES)) {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(error) => Err(Trouble::fail(format!("the {what} `{named}` (field `{field}`) {error}"))),
                },
            };
            if attach.image.is_some() {
                self.add_image(attach, named, file)?;
            } else {
                self.add_file(named, file)?;
            }
        }
        Ok(())
    }

    fn add_image(
        &mut self,
        attach: &Attach,
        named: &str,
        read: impl FnOnce(&str) -> Result<Option<Vec<u8>>, Trouble>,
    ) -> Result<(), Trouble> {
        let tokens = if attach.detail == Some(super::Detail::Low) { 85 } else { 1000 };
        let at = self.parts.len();
        self.push(b",{\"type\":\"image_url\",\"image_url\":{\"url\":");
        if is_url(named) {
            push_text(named, &mut self.parts);
        } else {
            let Some(bytes) = read("image")? else {
                self.parts.truncate(at);
                return Ok(());
            };
            let Some(kind) = image_kind(&bytes) else {
                let what = "is none that models take: neither JPEG, PNG, GIF, WebP nor BMP";
                let field = attach.field().unwrap_or_default();
                return Err(Trouble::fail(format!("the image `{named}` (field `{field}`) {what}")));
            };
            self.push_data(kind, &bytes);
        }
        if let Some(detail) = attach.detail {
            self.push(format!(",\"detail\":\"{}\"", detail.word()).as_bytes());
        }
        self.push(b"}}");
        self.tokens = self.tokens.saturating_add(tokens);
        Ok(())
    }

    fn add_file(
        &mut self,
        named: &str,
        read: impl FnOnce(&str) -> Result<Option<Vec<u8>>, Trouble>,
    ) -> Result<(), Trouble> {
        if is_url(named) && !is_data(named) {
            let what = format!("the file `{named}` is behind a URL; models fetch no files: give its path");
            return Err(Trouble::fail(what));
        }
        if is_data(named) {
            self.push(b",{\"type\":\"file\",\"file\":{\"filename\":\"file\",\"file_data\":");
            push_text(named, &mut self.parts);
            self.push(b"}}");
            self.count(named.len() / 40);
            return Ok(());
        }
        let Some(bytes) = read("file")? else { return Ok(()) };
        let name = named.rsplit(['/', '\\']).next().unwrap_or(named);
        let ending = name.rsplit_once('.').map_or(String::new(), |(_, ending)| ending.to_ascii_lowercase());
        if matches!(ending.as_str(), "txt" | "md" | "csv") {
            let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes.as_slice());
            let Ok(text) = str::from_utf8(text) else {
                return Err(Trouble::fail(format!("the file `{named}` is not text in UTF-8")));
            };
            self.push(b",{\"type\":\"text\",\"text\":");
            push_text(text, &mut self.parts);
            self.push(b"}");
            self.count(text.len() / 4);
            return Ok(());
        }
        self.push(b",{\"type\":\"file\",\"file\":{\"filename\":");
        push_text(name, &mut self.parts);
        self.push(b",\"file_data\":");
        self.push_data(file_kind(&ending), &bytes);
        self.push(b"}}");
        self.count(bytes.len() / 30);
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) {
        self.parts.extend_from_slice(bytes);
    }

    /// Adds bytes as a data URL in quotes.
    fn push_data(&mut self, kind: &str, bytes: &[u8]) {
        self.push(format!("\"data:{kind};base64,").as_bytes());
        let at = self.parts.len();
        self.parts.resize(at + BASE64.encode_len(bytes.len()), 0);
        BASE64.encode_mut(bytes, &mut self.parts[at..]);
        self.push(b"\"");
    }

    fn count(&mut self, tokens: usize) {
        self.tokens = self.tokens.saturating_add(u32::try_from(tokens).unwrap_or(u32::MAX));
    }
}

/// Returns the paths and URLs that a field holds: one, or an array of them, which may be written as text.
fn named_in(value: &RawValue) -> Result<Vec<Cow<'_, str>>, String> {
    const HALF: &str = "text with half of a character";
    if json::is_empty(value) {
        return Ok(Vec::new());
    }
    match value.get().as_bytes().first() {
        Some(b'"') => {
            let text = text_of(value).map_err(|_| HALF.to_owned())?;
            // A cell of a CSV file.
            if text.trim_start().starts_with('[')
                && let Ok(all) = serde_json::from_str::<Vec<String>>(&text)
            {
                return Ok(all.into_iter().map(Cow::Owned).collect());
            }
            Ok(vec![text])
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|e| json::in_words(&e))?;
            let filled = elements.into_iter().filter(|element| !json::is_empty(element));
            filled
                .map(|element| match element.get().starts_with('"') {
                    true => text_of(element).map_err(|_| HALF.to_owned()),
                    false => Err(format!("an array with {}", json::kind_of(element))),
                })
                .collect()
        }
        _ => Err(json::kind_of(value).to_owned()),
    }
}

fn is_url(named: &str) -> bool {
    starts_with(named, "https://") || starts_with(named, "http://") || is_data(named)
}

fn is_data(named: &str) -> bool {
    starts_with(named, "data:")
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Returns the media type of an image by how it begins: endings lie, and vendors look.
fn image_kind(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        [b'B', b'M', ..] => "image/bmp",
        _ => return None,
    })
}

fn file_kind(ending: &str) -> &'static str {
    match ending {
        "pdf" => "application/pdf",
        "json" => "application/json",
        "html" | "htm" => "text/html",
        "xml" => "application/xml",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}
