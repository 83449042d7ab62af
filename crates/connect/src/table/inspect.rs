//! Looking into records.

use domain::{SkipReason, json, ports::Inspected};

/// What a source has to know of the columns that answers go to.
#[derive(Clone, Debug, Default)]
pub struct AnswerColumns {
    /// Their names in the sink.
    pub names: Vec<String>,
    /// What is done with a record that has one of them.
    pub taken: Taken,
}

/// What is done with a record that has an answer column already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Taken {
    /// It is skipped as `name_taken`.
    #[default]
    Refused,
    /// It is worked on, and what stands there is replaced.
    Overwritten,
    /// It is worked on if one of the columns is empty, and else skipped as `answered`.
    Pending {
        /// Whether a text that begins with `ERROR: ` counts as empty. AI-DataFlux leaves such texts where answers failed.
        errors: bool,
    },
}

/// What AI-DataFlux writes in place of an answer that it did not get.
const ERROR: &str = "ERROR: ";

/// Why a record is skipped that has an answer.
pub(crate) const ANSWERED: &str = "it is answered already";

/// Returns whether a text is an answer; with `errors`, one that AI-DataFlux left where it got none is not.
pub(crate) fn is_filled(text: &str, errors: bool) -> bool {
    let is_error = errors && text.starts_with(ERROR);
    !is_error && !text.trim().is_empty()
}

/// What to look for.
pub(super) struct Looking<'a> {
    /// The field that names the record.
    pub(super) key: Option<&'a str>,
    /// The columns that answers go to.
    pub(super) answers: &'a AnswerColumns,
    /// Whether an empty text is as good as no key.
    pub(super) is_empty_missing: bool,
}

impl Looking<'_> {
    /// Looks into a record as JSON text.
    pub(super) fn at(&self, text: &str) -> Result<Inspected, (SkipReason, String)> {
        let AnswerColumns { names, taken: how } = self.answers;
        let (mut taken, mut key, mut n_filled) = (None, None, 0);
        let parsed = json::members(text, |name, value| {
            match how {
                Taken::Overwritten => {}
                Taken::Refused if taken.is_none() && names.iter().any(|new| *new == name) => taken = Some(name.clone()),
                Taken::Refused => {}
                Taken::Pending { errors } => {
                    let is_error = || value.get().strip_prefix('"').is_some_and(|text| text.starts_with(ERROR));
                    let is_empty = || json::is_empty(value) || (*errors && is_error());
                    n_filled += usize::from(names.iter().any(|new| *new == name) && !is_empty());
                }
            }
            if self.key == Some(&*name) {
                key = Some(value);
            }
        });
        parsed.map_err(|error| (SkipReason::BadRecord, error.0))?;
        if let Some(name) = taken {
            let what = format!(
                "the record already has a field `{name}`; give the new field another name with `columns:`, set \
                 `overwrite: true`, or `pending: true` on the source to work only on records without an answer"
            );
            return Err((SkipReason::NameTaken, what));
        }
        if matches!(how, Taken::Pending { .. }) && n_filled == names.len() {
            return Err((SkipReason::Answered, ANSWERED.to_owned()));
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
