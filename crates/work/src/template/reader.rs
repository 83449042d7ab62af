//! What templates see of a record.

use std::{borrow::Cow, sync::Arc};

use domain::{Failure, FailureKind, SkipReason, Unplanned, json};
use minijinja::Value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    names::quoted,
    render::{RECORD, RECORD_JSON},
    value::{HalfCharacter, Named, value_of, whole_of},
};

/// The fields of a record that the work may see in `record_json`, and when a record is worth asking about.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inputs {
    /// The fields; all of them where nothing is said.
    pub fields: Option<Vec<String>>,
    /// How many of them must hold something.
    pub require: Require,
    /// An expression over the record's fields (`lang == 'zh' and score > 3`); where it is not true, the record is left
    /// out. See [`super::Filter`].
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub where_: Option<String>,
    /// Whether `record_json` leaves out fields that are null or an empty text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub omit_empty: bool,
}

/// How many of the chosen fields must hold something: neither null nor blank text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Require {
    /// Every one.
    #[default]
    All,
    /// At least one.
    Any,
}

/// The fields that templates name.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    named: Vec<Arc<str>>,
    record: bool,
    record_json: bool,
}

/// What `record_json` shows of a record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown<'a> {
    /// The fields; all of them where there is no such list.
    pub(crate) fields: Option<&'a [String]>,
    /// Whether those are left out that are null or an empty text.
    pub(crate) omit_empty: bool,
}

/// What stands in a record.
#[derive(Debug)]
pub(crate) struct Scanned<'r> {
    /// The named fields, what stands last first: of two with one name the last counts, as everywhere in JSON.
    pub(crate) named: Vec<(Arc<str>, Value)>,
    /// A named field that Unicode cannot spell.
    pub(crate) half: Option<Cow<'r, str>>,
    /// The chosen fields as they stand, side by side with their names.
    inputs: Vec<Option<&'r RawValue>>,
    /// The fields that are passed on as they stand, likewise.
    pub(crate) raw: Vec<Option<&'r RawValue>>,
}

/// A record as templates see it.
#[derive(Debug)]
pub(crate) struct Seen<'r> {
    /// Its text.
    pub(crate) text: &'r str,
    /// What templates look up.
    pub(crate) context: Value,
    /// The fields that are passed on as they stand, side by side with their names.
    pub(crate) raw: Vec<Option<&'r RawValue>>,
}

/// Why a record cannot be worked on: a sentence to be put behind its place.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// Why it is skipped; without one it fails, and would again however often it is tried.
    pub(crate) skip: Option<SkipReason>,
    pub(crate) what: String,
}

impl Trouble {
    pub(crate) fn skip(reason: SkipReason, what: impl Into<String>) -> Self {
        Self { skip: Some(reason), what: what.into() }
    }

    pub(crate) fn fail(what: impl Into<String>) -> Self {
        Self { skip: None, what: what.into() }
    }
}

impl From<Trouble> for Unplanned {
    fn from(trouble: Trouble) -> Self {
        match trouble.skip {
            Some(reason) => Self::Skip(reason, trouble.what),
            None => Self::Fail(Failure::new(FailureKind::Rejected, trouble.what)),
        }
    }
}

impl Wants {
    /// Adds `names`, which a template looks up.
    pub(crate) fn add<'t>(&mut self, names: impl IntoIterator<Item = &'t str>) {
        for name in names {
            match name {
                RECORD_JSON => self.record_json = true,
                // A field that is called so comes first.
                RECORD if !self.record => {
                    self.record = true;
                    self.named.push(Arc::from(name));
                }
                _ if self.named.iter().any(|known| **known == *name) => {}
                _ => self.named.push(Arc::from(name)),
            }
        }
    }

    /// Returns whether nothing is looked up.
    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty() && !self.record_json
    }

    /// Takes what is wanted out of a record's text. `raw` are fields that are passed on as they stand.
    pub(crate) fn scan<'r>(
        &self,
        text: &'r str,
        shown: Shown<'_>,
        raw: &[String],
    ) -> Result<Scanned<'r>, json::NotAnObject> {
        let Shown { fields: chosen, omit_empty } = shown;
        let is_part = chosen.is_some() || omit_empty;
        let mut scanned = Scanned {
            named: Vec::with_capacity(self.named.len() + 2),
            half: None,
            inputs: vec![None; chosen.map_or(0, <[String]>::len)],
            raw: vec![None; raw.len()],
        };
        if self.record {
            scanned.named.push((Arc::from(RECORD), whole_of(text)));
        }
        let mut part = String::new();
        json::members(text, |name, value| {
            if let Some(known) = self.named.iter().find(|known| ***known == *name) {
                match value_of(value) {
                    Ok(value) => scanned.named.push((Arc::clone(known), value)),
                    Err(HalfCharacter) => scanned.half = Some(name.clone()),
                }
            }
            for (i, field) in raw.iter().enumerate() {
                if *field == name {
                    scanned.raw[i] = Some(value);
                }
            }
            let place = chosen.map(|chosen| chosen.iter().position(|field| *field == name));
            if let Some(Some(i)) = place {
                scanned.inputs[i] = Some(value);
            }
            if self.record_json && is_part && place != Some(None) {
                let holds_nothing = matches!(value.get(), "null" | "\"\"");
                if !(omit_empty && holds_nothing) {
                    part.push(if part.is_empty() { '{' } else { ',' });
                    part.push_str(&serde_json::Value::from(&*name).to_string());
                    part.push(':');
                    json::compact(value.get(), &mut part);
                }
            }
        })?;
        if self.record_json {
            let whole = if is_part {
                part.push_str(if part.is_empty() { "{}" } else { "}" });
                part
            } else {
                let mut whole = String::with_capacity(text.len());
                json::compact(text, &mut whole);
                whole
            };
            scanned.named.push((Arc::from(RECORD_JSON), Value::from(whole)));
        }
        scanned.named.reverse();
        Ok(scanned)
    }
}

impl Inputs {
    /// Looks at a record: is it one, does it hold what it must, and what do templates see of it?
    pub(super) fn look<'r>(&self, bytes: &'r [u8], wants: &Wants, raw: &[String]) -> Result<Seen<'r>, Trouble> {
        let Ok(text) = str::from_utf8(bytes) else {
            return Err(Trouble::skip(SkipReason::BadText, "not valid UTF-8"));
        };
        let chosen = self.fields.as_deref();
        let shown = Shown { fields: chosen, omit_empty: self.omit_empty };
        let scanned = wants.scan(text, shown, raw).map_err(|error| Trouble::skip(SkipReason::BadRecord, error.0))?;
        if let Some(name) = scanned.half {
            let what = format!("the field `{name}` holds half of a character (a lone surrogate)");
            return Err(Trouble::skip(SkipReason::BadText, what));
        }
        if let Some(chosen) = chosen {
            self.require(chosen, &scanned.inputs)?;
        }
        Ok(Seen { text, context: Value::from_object(Named(scanned.named)), raw: scanned.raw })
    }

    /// Makes sure that the chosen fields hold something.
    fn require(&self, chosen: &[String], inputs: &[Option<&RawValue>]) -> Result<(), Trouble> {
        let is_filled = |input: &Option<&RawValue>| input.is_some_and(|raw| !json::is_empty(raw));
        let missing = |what| Err(Trouble::skip(SkipReason::MissingField, what));
        let empty = |what| Err(Trouble::skip(SkipReason::Filtered, what));
        match self.require {
            Require::All => match inputs.iter().position(|input| !is_filled(input)) {
                None => Ok(()),
                Some(i) if inputs[i].is_none() => missing(format!("the record has no field `{}`", chosen[i])),
                Some(i) => empty(format!("the field `{}` is empty", chosen[i])),
            },
            Require::Any if chosen.is_empty() || inputs.iter().any(is_filled) => Ok(()),
            Require::Any => {
                let names = quoted(chosen.iter().map(String::as_str));
                if inputs.iter().all(Option::is_none) {
                    missing(format!("the record has none of the fields {names}"))
                } else {
                    empty(format!("all of the fields {names} are empty"))
                }
            }
        }
    }
}
