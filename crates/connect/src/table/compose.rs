//! New fields into a record, whose own bytes stay as they are.

use std::{borrow::Cow, collections::BTreeMap};

use domain::json;
use serde_json::value::RawValue;

/// Output fields by name, with the names that they get in the file.
pub(crate) type Columns = BTreeMap<String, String>;

/// What a pipeline file says of the names of new fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming {
    pub(crate) overwrite: bool,
    pub(crate) columns: Option<Columns>,
    /// The column that says how each record ended, where there is to be one.
    pub(crate) status: Option<String>,
}

/// What the field is called that says how a record ended. No work makes one of this name.
pub(crate) const STATUS: &str = "tidemill:status";

impl Naming {
    /// Returns the names that the new `fields` get in the file, in order.
    pub(crate) fn names(&self, fields: &[String]) -> Vec<String> {
        let renamed = |field: &String| self.columns.as_ref()?.get(field).cloned();
        fields.iter().map(|field| renamed(field).unwrap_or_else(|| field.clone())).collect()
    }
}

/// Puts new fields into records.
#[derive(Clone, Debug)]
pub(crate) struct Composer {
    columns: Vec<Column>,
    overwrite: bool,
}

/// A new field.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// What the work calls it.
    pub(crate) field: String,
    /// What the file calls it.
    pub(crate) name: String,
    /// The name as a JSON string with its colon.
    quoted: String,
}

/// Why a record could not be composed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ComposeError {
    /// A name is taken.
    #[error(
        "the record already has a field `{0}`; give the new field another name with `columns:` or set `overwrite: true`"
    )]
    NameTaken(String),
    /// The record or the answer is not an object.
    #[error("{0}")]
    NotAnObject(#[from] json::NotAnObject),
    /// The record is not text.
    #[error("the record is not valid UTF-8")]
    NotText(#[from] std::str::Utf8Error),
}

impl Composer {
    /// Makes a composer for the new `fields`, or says which of the `columns` is wrong.
    pub(crate) fn new(naming: &Naming, fields: &[String]) -> Result<Self, String> {
        let names = naming.names(fields);
        let nothing = Columns::new();
        for (field, column) in naming.columns.as_ref().unwrap_or(&nothing) {
            if !fields.contains(field) {
                let known = fields.join("`, `");
                return Err(format!(
                    "`columns` renames `{field}`, and the work makes no such field (it makes `{known}`)"
                ));
            }
            if names.iter().filter(|name| *name == column).count() > 1 {
                return Err(format!("`columns` gives the name `{column}` to two fields"));
            }
        }
        if let Some(status) = naming.status.as_ref().filter(|status| names.contains(*status)) {
            return Err(format!("`status` names the column `{status}`, which is that of an answer"));
        }
        let answers = fields.iter().zip(names).map(|(field, name)| Column::new(field.clone(), name));
        let status = naming.status.clone().map(|name| Column::new(STATUS.to_owned(), name));
        Ok(Self { columns: answers.chain(status).collect(), overwrite: naming.overwrite })
    }

    /// Returns the same for records that may have been written before.
    pub(crate) fn overwriting(&self) -> Self {
        Self { overwrite: true, ..self.clone() }
    }

    /// Returns whether how a record ended is written too.
    pub(crate) fn has_status(&self) -> bool {
        self.columns.last().is_some_and(|column| column.field == STATUS)
    }

    /// Returns the new fields, in order.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Returns whether a new field may replace one of the record.
    pub(crate) fn overwrites(&self) -> bool {
        self.overwrite
    }

    /// Appends to `out` the `record` with the members of `output` behind its own, on one line.
    pub(crate) fn compose(&self, record: &[u8], output: &RawValue, out: &mut Vec<u8>) -> Result<(), ComposeError> {
        let record = str::from_utf8(record)?.trim_ascii();
        if memchr::memchr(b'\n', record.as_bytes()).is_none() {
            return self.compose_line(record, output, out);
        }
        // Only what was read from an array can stand over several lines, with white space between its tokens.
        let mut line = String::with_capacity(record.len());
        json::compact(record, &mut line);
        self.compose_line(&line, output, out)
    }

    fn compose_line(&self, record: &str, output: &RawValue, out: &mut Vec<u8>) -> Result<(), ComposeError> {
        if let Some(members) = self.as_they_stand(output.get()) {
            return self.append(record, members, out);
        }
        let mut new: Vec<(Cow<'_, Column>, &RawValue, bool)> = Vec::with_capacity(self.columns.len());
        json::members(output.get(), |field, value| {
            let known = self.columns.iter().find(|column| column.field == field);
            let column = known.map(Cow::Borrowed);
            let column = column.unwrap_or_else(|| Cow::Owned(Column::new(field.to_string(), field.into_owned())));
            new.push((column, value, false));
        })?;

        // `copied` is how much of the record is in `out`; `end` is where its last value ends.
        let (mut copied, mut end, mut taken) = (0, None, None);
        json::members(record, |name, value| {
            let (from, to) = span_of(value, record);
            end = Some(to);
            for (column, new_value, is_placed) in new.iter_mut().filter(|(column, ..)| column.name == name) {
                if !self.overwrite {
                    taken.get_or_insert_with(|| column.name.clone());
                } else if from >= copied {
                    out.extend_from_slice(&record.as_bytes()[copied..from]);
                    push_value(new_value, out);
                    copied = to;
                    *is_placed = true;
                }
            }
        })?;
        if let Some(name) = taken {
            return Err(ComposeError::NameTaken(name));
        }
        // In an empty object, new members go right behind the brace.
        let splice = end.unwrap_or(1);
        out.extend_from_slice(&record.as_bytes()[copied..splice]);
        let mut is_first = end.is_none();
        for (column, value, _) in new.iter().filter(|(.., is_placed)| !is_placed) {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            out.extend_from_slice(column.quoted.as_bytes());
            push_value(value, out);
        }
        out.extend_from_slice(&record.as_bytes()[splice..]);
        Ok(())
    }

    /// Returns the members of an output that are the columns in their order and by their own names, with plain values, as
    /// those of most outputs are: they need not be taken apart. `None` says that they may be anything else.
    fn as_they_stand<'o>(&self, output: &'o str) -> Option<&'o str> {
        if self.overwrite || self.columns.is_empty() {
            return None;
        }
        let members = output.strip_prefix('{')?.strip_suffix('}')?;
        let mut rest = members;
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                rest = rest.strip_prefix(',')?;
            }
            rest = behind_plain(rest.strip_prefix(&*column.quoted).filter(|_| column.field == column.name)?)?;
        }
        rest.is_empty().then_some(members)
    }

    /// Appends to `out` the `record` with `members` behind its own, which bear the names of all columns.
    fn append(&self, record: &str, members: &str, out: &mut Vec<u8>) -> Result<(), ComposeError> {
        let (mut end, mut taken) = (None, None);
        json::members(record, |name, value| {
            end = Some(span_of(value, record).1);
            taken = taken.or_else(|| self.columns.iter().find(|column| column.name == name));
        })?;
        if let Some(column) = taken {
            return Err(ComposeError::NameTaken(column.name.clone()));
        }
        // In an empty object, new members go right behind the brace.
        let (before, after) = record.split_at(end.unwrap_or(1));
        let comma = if end.is_some() { "," } else { "" };
        for part in [before, comma, members, after] {
            out.extend_from_slice(part.as_bytes());
        }
        Ok(())
    }

    /// Takes the new fields back out of a composed record: the inverse, as far as the names tell.
    pub(crate) fn output_of(&self, composed: &str) -> Option<Box<RawValue>> {
        let mut values: Vec<Option<&RawValue>> = vec![None; self.columns.len()];
        json::members(composed, |name, value| {
            if let Some(i) = self.columns.iter().position(|column| column.name == name) {
                values[i] = Some(value);
            }
        })
        .ok()?;
        let mut output = String::from("{");
        for (column, value) in self.columns.iter().zip(values) {
            let Some(value) = value else { continue };
            output.push_str(if output.len() > 1 { "," } else { "" });
            output.push_str(&quoted(&column.field));
            output.push_str(value.get());
        }
        output.push('}');
        RawValue::from_string(output).ok()
    }
}

impl Column {
    fn new(field: String, name: String) -> Self {
        Self { quoted: quoted(&name), field, name }
    }
}

fn quoted(name: &str) -> String {
    let mut quoted = serde_json::Value::from(name).to_string();
    quoted.push(':');
    quoted
}

/// Returns what follows on a string, a number or a word at the start of `text`, a part of valid JSON; `None` where
/// something else stands there.
fn behind_plain(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        let end = bytes.iter().position(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'.' | b'+' | b'-'));
        let (plain, rest) = text.split_at(end.unwrap_or(text.len()));
        return (!plain.is_empty()).then_some(rest);
    }
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return text.get(at + 1..);
        }
        at += 2;
    }
}

/// Appends a value; one that a model wrote over several lines must not break the line.
fn push_value(value: &RawValue, out: &mut Vec<u8>) {
    if memchr::memchr2(b'\n', b'\r', value.get().as_bytes()).is_none() {
        return out.extend_from_slice(value.get().as_bytes());
    }
    let mut compact = String::new();
    json::compact(value.get(), &mut compact);
    out.extend_from_slice(compact.as_bytes());
}

/// Returns where in `text` a value that was borrowed from it stands.
fn span_of(value: &RawValue, text: &str) -> (usize, usize) {
    let from = value.get().as_ptr() as usize - text.as_ptr() as usize;
    (from, from + value.get().len())
}
