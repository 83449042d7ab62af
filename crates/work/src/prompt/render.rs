//! Templates into text.

use std::{borrow::Cow, sync::Arc};

use domain::{Failure, FailureKind, Record, SkipReason, Unplanned, json};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, escape_formatter, value::ValueKind};
use serde_json::value::RawValue;

use super::{
    Inputs, Mistake, Prompt, PromptError, Require,
    record::{HalfCharacter, Named, is_empty, to_json, value_of},
};

/// The name under which the whole record stands in a template.
const RECORD_JSON: &str = "record_json";
const SYSTEM: &str = "system";
const TEMPLATE: &str = "template";

/// The language of templates.
///
/// Jinja, as minijinja speaks it, with nothing escaped and nothing undefined printed as if it were empty. Values are
/// printed as they stand in the record: `1.10`, `true`, `null`, lists and objects as JSON. A number that a machine
/// number would change (`1.10`, forty digits) is text until a filter makes it a number. The bare `{record_json}` of
/// AI-DataFlux means `{{ record_json }}`. One line end at the end of a template is left out, as a YAML block always has
/// one.
#[derive(Debug)]
pub struct Template;

impl Template {
    /// Checks the syntax of a template, and the names of its filters, tests and functions as far as they are reached
    /// without a record.
    ///
    /// # Errors
    /// The line from 1, and what is wrong there.
    pub fn check(text: &str) -> Result<(), (usize, String)> {
        let text = with_bare_record_json(text);
        let mut environment = environment();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        let tried = environment.template_from_str(&text).and_then(|template| template.render(Value::from(())));
        match tried {
            Err(error) if is_mistake(&error) => Err((error.line().unwrap_or(1), said(&error))),
            _ => Ok(()),
        }
    }
}

/// The templates of one prompt, ready for records.
#[derive(Debug)]
pub(super) struct Renderer {
    environment: Environment<'static>,
    source: String,
    /// The fields that the templates name.
    named: Vec<Arc<str>>,
    needs_record_json: bool,
    inputs: Inputs,
    system: Option<Part>,
}

/// The system message: the same for every record where it names nothing.
#[derive(Debug)]
enum Part {
    Fixed(String),
    Rendered,
}

/// The texts for one record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rendered<'a> {
    pub(super) system: Option<Cow<'a, str>>,
    pub(super) prompt: String,
}

impl Renderer {
    pub(super) fn new(prompt: &Prompt, inputs: Inputs, source: &str) -> Result<Self, PromptError> {
        let mut environment = environment();
        let mut named: Vec<Arc<str>> = Vec::new();
        let mut system = None;
        for (name, text) in [(SYSTEM, prompt.system.as_deref()), (TEMPLATE, Some(prompt.template.as_str()))] {
            let Some(text) = text else { continue };
            let mistake = |error: Error| {
                let path = vec![name.to_owned()];
                PromptError(vec![Mistake { path, line: error.line(), message: said(&error) }])
            };
            environment.add_template_owned(name, with_bare_record_json(text).into_owned()).map_err(mistake)?;
            let template = environment.get_template(name).map_err(mistake)?;
            let mut names: Vec<String> = template.undeclared_variables(false).into_iter().collect();
            names.retain(|name| environment.globals().all(|(global, _)| global != name));
            if name == SYSTEM {
                system = Some(if names.is_empty() {
                    Part::Fixed(template.render(Value::from_object(Named::default())).map_err(mistake)?)
                } else {
                    Part::Rendered
                });
            }
            named.extend(names.into_iter().map(Arc::from));
        }
        named.sort();
        named.dedup();
        let needs_record_json = named.iter().any(|name| **name == *RECORD_JSON);
        named.retain(|name| **name != *RECORD_JSON);
        Ok(Self { environment, source: source.to_owned(), named, needs_record_json, inputs, system })
    }

    /// Renders the templates for a record, or tells why not.
    pub(super) fn render(&self, record: &Record) -> Result<Rendered<'_>, Unplanned> {
        let skip = |reason, what: &str| self.skip(record, reason, what);
        let Ok(text) = str::from_utf8(&record.bytes) else {
            return Err(skip(SkipReason::BadText, "not valid UTF-8"));
        };
        let mut context = Named(Vec::with_capacity(self.named.len() + 1));
        let chosen = self.inputs.fields.as_deref();
        let mut inputs: Vec<Option<&RawValue>> = vec![None; chosen.map_or(0, <[String]>::len)];
        let mut part = String::new();
        let mut half = None;
        json::members(text, |name, raw| {
            if let Some(known) = self.named.iter().find(|known| ***known == *name) {
                match value_of(raw) {
                    Ok(value) => context.0.push((Arc::clone(known), value)),
                    Err(HalfCharacter) => half = Some(name.clone()),
                }
            }
            if let Some(i) = chosen.and_then(|chosen| chosen.iter().position(|field| *field == name)) {
                inputs[i] = Some(raw);
                if self.needs_record_json {
                    part.push(if part.is_empty() { '{' } else { ',' });
                    part.push_str(&serde_json::Value::from(&*name).to_string());
                    part.push(':');
                    json::compact(raw.get(), &mut part);
                }
            }
        })
        .map_err(|error| skip(SkipReason::BadRecord, &error.0))?;
        if let Some(name) = half {
            let what = format!("the field `{name}` holds half of a character (a lone surrogate)");
            return Err(skip(SkipReason::BadText, &what));
        }
        if let Some(chosen) = chosen {
            self.require(chosen, &inputs).map_err(|(reason, what)| skip(reason, &what))?;
        }
        if self.needs_record_json {
            let whole = if chosen.is_some() {
                part.push_str(if part.is_empty() { "{}" } else { "}" });
                part
            } else {
                let mut whole = String::with_capacity(text.len());
                json::compact(text, &mut whole);
                whole
            };
            context.0.push((Arc::from(RECORD_JSON), Value::from(whole)));
        }
        // A name that stands in the record twice counts as what stands last, as everywhere in JSON.
        context.0.reverse();

        let context = Value::from_object(context);
        let run = |name| {
            let rendered = self.environment.get_template(name).and_then(|template| template.render(&context));
            rendered.map_err(|error| self.unplanned(record, text, name, &error))
        };
        let system = match &self.system {
            None => None,
            Some(Part::Fixed(text)) => Some(Cow::Borrowed(text.as_str())),
            Some(Part::Rendered) => Some(Cow::Owned(run(SYSTEM)?)),
        };
        Ok(Rendered { system, prompt: run(TEMPLATE)? })
    }

    /// Makes sure that the chosen fields hold something.
    fn require(&self, chosen: &[String], inputs: &[Option<&RawValue>]) -> Result<(), (SkipReason, String)> {
        let is_filled = |input: &Option<&RawValue>| input.is_some_and(|raw| !is_empty(raw));
        match self.inputs.require {
            Require::All => match inputs.iter().position(|input| !is_filled(input)) {
                None => Ok(()),
                Some(i) if inputs[i].is_none() => {
                    Err((SkipReason::MissingField, format!("the record has no field `{}`", chosen[i])))
                }
                Some(i) => Err((SkipReason::Filtered, format!("the field `{}` is empty", chosen[i]))),
            },
            Require::Any if chosen.is_empty() || inputs.iter().any(is_filled) => Ok(()),
            Require::Any => {
                let names = quoted(chosen.iter().map(String::as_str));
                if inputs.iter().all(Option::is_none) {
                    Err((SkipReason::MissingField, format!("the record has none of the fields {names}")))
                } else {
                    Err((SkipReason::Filtered, format!("all of the fields {names} are empty")))
                }
            }
        }
    }

    /// Tells what a failed rendering means for the record.
    #[cold]
    fn unplanned(&self, record: &Record, text: &str, template: &str, error: &Error) -> Unplanned {
        let line = error.line().unwrap_or(1);
        if error.kind() != ErrorKind::UndefinedError {
            let place = format!("{} line {}", self.source, record.origin.line);
            let message = format!("{place}: the {template} failed at its line {line}: {}", said(error));
            return Unplanned::Fail(Failure::new(FailureKind::Internal, message));
        }
        let mut fields = Vec::new();
        // It was parsed a moment ago.
        let _ = json::members(text, |name, _| fields.push(name.into_owned()));
        let missing: Vec<&str> =
            self.named.iter().map(|name| &**name).filter(|name| fields.iter().all(|field| field != name)).collect();
        let what = match missing.as_slice() {
            [] => {
                let expression = error.range().and_then(|range| error.template_source()?.get(range)).unwrap_or("?");
                return self.skip(
                    record,
                    SkipReason::MissingField,
                    &format!("the {template} needs `{expression}` (its line {line}), which the record does not have"),
                );
            }
            [field] => format!("the field `{field}`"),
            several => format!("the fields {}", quoted(several.iter().copied())),
        };
        let fields = quoted(fields.iter().map(String::as_str));
        let what = format!("the {template} needs {what}, which the record does not have; its fields are: {fields}");
        self.skip(record, SkipReason::MissingField, &what)
    }

    fn skip(&self, record: &Record, reason: SkipReason, what: &str) -> Unplanned {
        Unplanned::Skip(reason, format!("{} line {}: {what}", self.source, record.origin.line))
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // A prompt is text: no name of a template may turn escaping for HTML on.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    // Costs nothing until an error is made, which then knows the expression that it is about.
    environment.set_debug(true);
    environment.add_filter("tojson", to_json);
    environment.set_formatter(|out, state, value| match (value.kind(), value.is_true()) {
        // As they stand in the record; the engine would print Python's `True` and `None`.
        (ValueKind::Bool, true) => Ok(out.write_str("true")?),
        (ValueKind::Bool, false) => Ok(out.write_str("false")?),
        (ValueKind::None, _) => Ok(out.write_str("null")?),
        _ => escape_formatter(out, state, value),
    });
    environment
}

/// Replaces `{record_json}` by `{{ record_json }}`, where it is not that already. Lines stay as they are.
fn with_bare_record_json(text: &str) -> Cow<'_, str> {
    const BARE: &str = "{record_json}";
    if !text.contains(BARE) {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len() + 16), text);
    while let Some(at) = rest.find(BARE) {
        let (before, after) = rest.split_at(at);
        let after = &after[BARE.len()..];
        out.push_str(before);
        out.push_str(if before.ends_with('{') { BARE } else { "{{ record_json }}" });
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Returns whether an error is the template's own, whatever the record.
fn is_mistake(error: &Error) -> bool {
    use ErrorKind::{BadEscape, SyntaxError, UnknownFilter, UnknownFunction, UnknownTest};
    matches!(error.kind(), SyntaxError | BadEscape | UnknownFilter | UnknownTest | UnknownFunction)
}

fn said(error: &Error) -> String {
    match error.detail() {
        Some(detail) if error.kind() == ErrorKind::SyntaxError => detail.to_owned(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
