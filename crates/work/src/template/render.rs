//! Templates into text.

use std::sync::Arc;

use domain::{Record, json};
use minijinja::{Environment, Error, Value};

use super::{
    Filter, Inputs, Seen, Wants,
    language::{environment, said, undefined_in, with_bare_record_json},
    names::{is_name, looked_up, quoted},
    reader::Trouble,
    value::Named,
};
use crate::mistake::{Mistake, Mistakes};
use domain::SkipReason;

/// The name under which the whole record stands in a template, as text.
pub(crate) const RECORD_JSON: &str = "record_json";

/// The name under which its fields can be reached whose own names are no words: `record["first name"]`.
pub(crate) const RECORD: &str = "record";

/// The templates of one kind of work, ready for records of one source.
#[derive(Debug)]
pub(crate) struct Templates {
    environment: Environment<'static>,
    wants: Wants,
    /// Fields that are passed on as they stand.
    raw: Vec<String>,
    inputs: Inputs,
    filter: Option<Filter>,
    /// Templates that name nothing: the same text for every record.
    fixed: Vec<&'static str>,
}

impl Templates {
    /// Makes ready what is called by its key in the configuration.
    pub(crate) fn new(texts: &[(&'static str, &str)], raw: Vec<String>, inputs: Inputs) -> Result<Self, Mistakes> {
        let mut environment = environment();
        let (mut wants, mut fixed) = (Wants::default(), Vec::new());
        for &(name, text) in texts {
            let mistake = |error: Error| Mistake::new(&[name], said(&error)).at_line(error.line());
            let text = with_bare_record_json(text);
            environment.add_template_owned(name, text.to_string()).map_err(mistake)?;
            let names = looked_up(&environment, &text);
            if names.is_empty() {
                fixed.push(name);
            }
            wants.add(names);
        }
        let filter = match &inputs.where_ {
            Some(text) => Some(Filter::new(text).map_err(|what| Mistake::new(&["where"], what))?),
            None => None,
        };
        Ok(Self { environment, wants, raw, inputs, filter, fixed })
    }

    /// Looks at a record: is it kept, and what do the templates see of it?
    pub(crate) fn look<'r>(&self, record: &'r Record) -> Result<Seen<'r>, Trouble> {
        if let Some(filter) = &self.filter {
            match filter.keeps(record) {
                Ok(true) => {}
                Ok(false) => return Err(Trouble::skip(SkipReason::Filtered, format!("left out by `where`: {filter}"))),
                Err(what) => return Err(Trouble::fail(what)),
            }
        }
        self.look_into(&record.bytes)
    }

    /// Looks at a record, whether it is kept or not.
    pub(crate) fn look_into<'r>(&self, bytes: &'r [u8]) -> Result<Seen<'r>, Trouble> {
        self.inputs.look(bytes, &self.wants, &self.raw)
    }

    /// Returns the text of the template `name` where that is the same for every record.
    pub(crate) fn fixed(&self, name: &str) -> Option<Result<String, Mistakes>> {
        let name = self.fixed.iter().find(|fixed| **fixed == name)?;
        let mistake = |error: Error| Mistakes::from(Mistake::new(&[name], said(&error)).at_line(error.line()));
        let rendered = self.environment.get_template(name);
        Some(rendered.and_then(|template| template.render(Value::from_object(Named::default()))).map_err(mistake))
    }

    /// Fills the template `name`.
    pub(crate) fn render(&self, name: &str, seen: &Seen<'_>) -> Result<String, Trouble> {
        let rendered = self.environment.get_template(name).and_then(|template| template.render(&seen.context));
        rendered.map_err(|error| self.trouble(name, seen, &error))
    }

    /// Tells what a failed rendering means for the record.
    #[cold]
    fn trouble(&self, name: &str, seen: &Seen<'_>, error: &Error) -> Trouble {
        let line = error.line().unwrap_or(1);
        let Some(expression) = undefined_in(error) else {
            return Trouble::fail(format!("the {name} failed at its line {line}: {}", said(error)));
        };
        let mut fields = Vec::new();
        // It was parsed a moment ago.
        let _ = json::members(seen.text, |name, _| fields.push(name.into_owned()));
        let mut missing = Vec::new();
        let mut next = Some(expression.to_owned());
        // Whatever else is missing comes to light when this is there.
        while let Some(field) = next.filter(|next| is_name(next) && !fields.contains(next) && !missing.contains(next)) {
            missing.push(field);
            let known = seen.context.downcast_object_ref::<Named>().map(|named| named.0.clone());
            let mut known = Named(known.unwrap_or_default());
            known.0.extend(missing.iter().map(|name| (Arc::from(name.as_str()), Value::from(""))));
            let tried = self.environment.get_template(name);
            let tried = tried.and_then(|template| template.render(Value::from_object(known)));
            next = tried.err().and_then(|error| undefined_in(&error).map(str::to_owned));
        }
        missing.sort();
        let what = match missing.as_slice() {
            [] if is_in_record(expression) => format!("`{expression}`"),
            [] => {
                let what = format!("the {name} needs `{expression}` (its line {line}), which the record does not have");
                return Trouble::skip(SkipReason::MissingField, what);
            }
            [field] => format!("the field `{field}`"),
            several => format!("the fields {}", quoted(several.iter().map(String::as_str))),
        };
        let fields = quoted(fields.iter().map(String::as_str));
        let what = format!("the {name} needs {what}, which the record does not have; its fields are: {fields}");
        Trouble::skip(SkipReason::MissingField, what)
    }
}

/// Returns whether a field is looked up as `record["…"]`.
fn is_in_record(expression: &str) -> bool {
    expression.strip_prefix(RECORD).is_some_and(|rest| rest.starts_with(['[', '.']))
}
