//! The language of templates.

use std::{borrow::Cow, cmp::Ordering, fmt, sync::Arc};

use minijinja::{
    Environment, Error, ErrorKind, State, UndefinedBehavior, Value, escape_formatter,
    value::{DynObject, Enumerator, Object, ValueKind},
};

use super::value::to_json;

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

pub(crate) fn environment() -> Environment<'static> {
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
pub(crate) fn with_bare_record_json(text: &str) -> Cow<'_, str> {
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

/// Returns the expression that an error says is undefined, if that is what it says.
pub(crate) fn undefined_in(error: &Error) -> Option<&str> {
    let named = error.detail().and_then(|detail| {
        let (before, _) = detail.rsplit_once("` is undefined")?;
        Some(before.rsplit_once('`')?.1)
    });
    let shown = || error.range().and_then(|range| error.template_source()?.get(range)).unwrap_or("?");
    named.or_else(|| (error.kind() == ErrorKind::UndefinedError).then(shown))
}

/// A record, and everything in it, for trying a template: it has every field, is true, and is a list of one.
#[derive(Debug)]
pub(super) struct Anything(pub(super) u8);

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

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it twice over, all the way down, would take long to print, or to compare.
        Ok(())
    }

    fn custom_cmp(self: &Arc<Self>, _: &DynObject) -> Option<Ordering> {
        Some(Ordering::Equal)
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
pub(super) fn is_mistake(error: &Error) -> bool {
    use ErrorKind::{BadEscape, SyntaxError, UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
    matches!(error.kind(), SyntaxError | BadEscape | UnknownFilter | UnknownTest | UnknownFunction | UnknownMethod)
}

pub(crate) fn said(error: &Error) -> String {
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
