//! Looking into records.

use domain::{SkipReason, json, ports::Inspected};

/// What to look for.
pub(super) struct Looking<'a> {
    /// The field that names the record.
    pub(super) key: Option<&'a str>,
    /// Names that a record must not have yet.
    pub(super) forbidden: &'a [String],
    /// Whether an empty text is as good as no key.
    pub(super) is_empty_missing: bool,
}

impl Looking<'_> {
    /// Looks into a record as JSON text.
    pub(super) fn at(&self, text: &str) -> Result<Inspected, (SkipReason, String)> {
        let (mut taken, mut key) = (None, None);
        let parsed = json::members(text, |name, value| {
            if taken.is_none() && self.forbidden.iter().any(|forbidden| *forbidden == name) {
                taken = Some(name.clone());
            }
            if self.key == Some(&*name) {
                key = Some(value);
            }
        });
        parsed.map_err(|error| (SkipReason::BadRecord, error.0))?;
        if let Some(name) = taken {
            let what = format!(
                "the record already has a field `{name}`; give the new field another name with `columns:` or set \
                 `overwrite: true`"
            );
            return Err((SkipReason::NameTaken, what));
        }
        let Some(field) = self.key else { return Ok(Inspected { user_key: None }) };
        let missing = |how: &str| Err((SkipReason::MissingField, format!("the key field `{field}` is {how}")));
        let Some(value) = key else { return missing("missing") };
        match value.get().as_bytes().first() {
            Some(b'n') => missing("null"),
            Some(b'"') if self.is_empty_missing && value.get().len() == 2 => missing("empty"),
            Some(b'"') => match serde_json::from_str(value.get()) {
                Ok(text) => Ok(Inspected { user_key: Some(text) }),
                Err(error) => {
                    Err((SkipReason::BadRecord, format!("the key field `{field}`: {}", json::in_words(&error))))
                }
            },
            Some(b'{' | b'[') => {
                let what = format!("the key field `{field}` is {}, and must be text or a number", json::kind_of(value));
                Err((SkipReason::BadRecord, what))
            }
            _ => Ok(Inspected { user_key: Some(value.get().to_owned()) }),
        }
    }
}

/// Says why bytes are no text, in the words of a `noun` of a file.
pub(crate) fn as_text<'a>(
    bytes: &'a [u8],
    noun: &str,
    encoding: Option<&'static encoding_rs::Encoding>,
) -> Result<&'a str, (SkipReason, String)> {
    if let Some(at) = memchr::memchr(0, bytes) {
        return Err((SkipReason::BadText, format!("not text: a NUL byte at byte {} of the {noun}", at + 1)));
    }
    str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let what = match encoding.filter(|encoding| *encoding != encoding_rs::UTF_8) {
            // Bytes were counted before they were decoded; characters are what can be found again.
            Some(encoding) => {
                let n = String::from_utf8_lossy(&bytes[..at]).chars().count();
                format!("not valid {} behind the first {n} characters of the {noun}", encoding.name())
            }
            None => format!(
                "not valid UTF-8 from byte {} of the {noun}; convert the file to UTF-8, or say what it is in with \
                 `encoding:`",
                at + 1
            ),
        };
        (SkipReason::BadText, what)
    })
}
