//! Templates into text.

use std::{borrow::Cow, sync::Arc};

use domain::{Failure, FailureKind, Record, SkipReason, Unplanned, json};
use minijinja::{
    Environment, Error, ErrorKind, State, UndefinedBehavior, Value, escape_formatter,
    value::{Enumerator, Object, ValueKind},
};
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
    /// Checks the syntax of a template, and the names of its filters, tests, functions and methods as far as they are
    /// reached: without a record, and with one that has everything.
    ///
    /// # Errors
    /// The line from 1, and what is wrong there.
    pub fn check(text: &str) -> Result<(), (usize, String)> {
        let text = with_bare_record_json(text);
        let mut environment = environment();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        let mistake = |error: &Error| is_mistake(error).then(|| (error.line().unwrap_or(1), said(error)));
        let template =
            environment.template_from_str(&text).map_err(|error| (error.line().unwrap_or(1), said(&error)))?;
        let tried = [Value::from(()), Value::from_object(Anything(0))].into_iter();
        match tried.filter_map(|record| template.render(record).err()).find_map(|error| mistake(&error)) {
            Some(mistake) => Err(mistake),
            None => Ok(()),
        }
    }
}

impl Template {
    /// Renders the templates of `prompt` for one record of `source`, to see whether they can be.
    ///
    /// # Errors
    /// Why they cannot. Mistakes of the prompt itself are none here; see [`Prompt::mistakes`].
    pub fn try_out(prompt: &Prompt, inputs: Inputs, source: &str, record: &Record) -> Result<(), Unplanned> {
        match Renderer::new(prompt, inputs, source) {
            Ok(renderer) => renderer.render(record).map(drop),
            Err(_) => Ok(()),
        }
    }
}

/// The templates of one prompt, ready for records.
#[derive(Debug)]
pub(super) struct Renderer {
    environment: Environment<'static>,
    source: String,
    /// The fields that the templates may look up; see [`names_in`].
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
            let text = with_bare_record_json(text);
            let mut names = names_in(&text);
            names.retain(|name| environment.globals().all(|(global, _)| global != *name));
            environment.add_template_owned(name, text.to_string()).map_err(mistake)?;
            let template = environment.get_template(name).map_err(mistake)?;
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
            rendered.map_err(|error| self.unplanned(record, text, name, &context, &error))
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
    fn unplanned(&self, record: &Record, text: &str, name: &str, context: &Value, error: &Error) -> Unplanned {
        let line = error.line().unwrap_or(1);
        let Some(expression) = undefined_in(error) else {
            let place = format!("{} line {}", self.source, record.origin.line);
            let message = format!("{place}: the {name} failed at its line {line}: {}", said(error));
            // It would fail again, however often it is tried.
            return Unplanned::Fail(Failure::new(FailureKind::Rejected, message));
        };
        let mut fields = Vec::new();
        // It was parsed a moment ago.
        let _ = json::members(text, |name, _| fields.push(name.into_owned()));
        let mut missing = Vec::new();
        let mut next = Some(expression.to_owned());
        // Whatever else is missing comes to light when this is there.
        while let Some(field) = next.filter(|next| is_name(next) && !fields.contains(next) && !missing.contains(next)) {
            missing.push(field);
            let mut known =
                Named(context.downcast_object_ref::<Named>().map(|named| named.0.clone()).unwrap_or_default());
            known.0.extend(missing.iter().map(|name| (Arc::from(name.as_str()), Value::from(""))));
            let tried = self.environment.get_template(name);
            let tried = tried.and_then(|template| template.render(Value::from_object(known)));
            next = tried.err().and_then(|error| undefined_in(&error).map(str::to_owned));
        }
        missing.sort();
        let what = match missing.as_slice() {
            [] => {
                let what = format!("the {name} needs `{expression}` (its line {line}), which the record does not have");
                return self.skip(record, SkipReason::MissingField, &what);
            }
            [field] => format!("the field `{field}`"),
            several => format!("the fields {}", quoted(several.iter().map(String::as_str))),
        };
        let fields = quoted(fields.iter().map(String::as_str));
        let what = format!("the {name} needs {what}, which the record does not have; its fields are: {fields}");
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

/// Returns the names that a template may look up, those of its own variables and a few more included: the engine's own
/// analysis misses what is sliced (`{{ text[:10] }}`) and what is set from itself (`{% set text = text|trim %}`).
fn names_in(text: &str) -> Vec<&str> {
    const WORDS: [&str; 20] = [
        "and", "elif", "else", "endfor", "endif", "endraw", "endset", "false", "False", "for", "if", "in", "is",
        "none", "None", "not", "or", "set", "true", "True",
    ];
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let open = rest[at + 1..].chars().next();
        rest = &rest[at + 1..];
        let close = match open {
            Some('{') => '}',
            Some('%') => '%',
            Some('#') => {
                rest = rest.find("#}").map_or("", |end| &rest[end..]);
                continue;
            }
            _ => continue,
        };
        rest = &rest[1..];
        let (mut depth, mut before) = (0_u32, ' ');
        while let Some(c) = rest.chars().next() {
            let mut length = c.len_utf8();
            match c {
                '"' | '\'' => {
                    let mut is_escaped = false;
                    let end = rest[1..].find(|next| {
                        let is_end = next == c && !is_escaped;
                        is_escaped = next == '\\' && !is_escaped;
                        is_end
                    });
                    length = end.map_or(rest.len(), |end| end + 2);
                }
                '{' => depth += 1,
                _ if c == close && depth == 0 && rest[1..].starts_with('}') => break,
                '}' => depth = depth.saturating_sub(1),
                _ if c.is_ascii_alphabetic() || c == '_' => {
                    length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                    let word = &rest[..length];
                    // Attributes and filters are looked up elsewhere.
                    if !matches!(before, '.' | '|') && !WORDS.contains(&word) {
                        names.push(word);
                    }
                }
                _ => {}
            }
            if !c.is_whitespace() {
                before = c;
            }
            rest = &rest[length..];
        }
    }
    names
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !text.as_bytes()[0].is_ascii_digit()
}

/// Returns the expression that an error says is undefined, if that is what it says.
fn undefined_in(error: &Error) -> Option<&str> {
    let named = error.detail().and_then(|detail| {
        let (before, _) = detail.rsplit_once("` is undefined")?;
        Some(before.rsplit_once('`')?.1)
    });
    let shown = || error.range().and_then(|range| error.template_source()?.get(range)).unwrap_or("?");
    named.or_else(|| (error.kind() == ErrorKind::UndefinedError).then(shown))
}

/// A record, and everything in it, for trying a template: it has every field, is true, and is a list of one.
#[derive(Debug)]
struct Anything(u8);

impl Anything {
    /// Deep enough for any template that somebody wrote, and an end for one that goes down as long as it can.
    const DEEPEST: u8 = 16;

    fn inside(&self) -> Option<Value> {
        (self.0 < Self::DEEPEST).then(|| Value::from_object(Self(self.0 + 1)))
    }
}

impl Object for Anything {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        self.inside()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.inside().into_iter().collect())
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, _: &[Value]) -> Result<Value, Error> {
        // Of another kind than the engine's: of that it would go on and look for a field of that name.
        Err(Error::new(ErrorKind::UnknownFunction, no_method(method)))
    }
}

/// Says what to write instead of a method, which Python has and templates do not.
fn no_method(method: &str) -> String {
    let filter = match method {
        "strip" | "lstrip" | "rstrip" => "trim",
        "splitlines" => "lines",
        "count" | "format" | "items" | "join" | "lower" | "replace" | "reverse" | "sort" | "split" | "title"
        | "upper" => method,
        _ => return format!("values have no method `{method}`; filters do such things, as in `{{{{ text|trim }}}}`"),
    };
    format!("values have no method `{method}`; use a filter: `|{filter}`")
}

/// Returns whether an error is the template's own, whatever the record.
fn is_mistake(error: &Error) -> bool {
    use ErrorKind::{BadEscape, SyntaxError, UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
    matches!(error.kind(), SyntaxError | BadEscape | UnknownFilter | UnknownTest | UnknownFunction | UnknownMethod)
}

fn said(error: &Error) -> String {
    match error.detail() {
        Some(detail) if let Some((_, method)) = detail.split_once("has no method named ") => {
            no_method(method.split(' ').next().unwrap_or_default())
        }
        Some(detail) if detail.starts_with("values have no method") => detail.to_owned(),
        Some(detail) if error.kind() == ErrorKind::SyntaxError => detail.to_owned(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
