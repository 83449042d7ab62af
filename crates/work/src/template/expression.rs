//! Expressions that decide, or make a value.
//!
//! The language is that of templates, but for comparisons. The engine orders values of different kinds by their kind:
//! to it every text is greater than every number and what is missing is less than all, so that `score > 3` would keep
//! every row of a CSV file, whose cells are text. Here a text that is a number is compared as one, and what is missing,
//! `null`, or cannot be compared is neither less nor greater than anything.

#[cfg(test)]
mod tests;

use std::{cmp::Ordering, sync::Arc};

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, value::ValueKind};

use super::{
    condition::Condition,
    language::{Anything, environment, is_mistake, said},
    names::{begins_word, looked_up},
    tokens::Tokens,
    value::{Named, to_json},
};

const CONDITION: &str = "condition";
const JSON: &str = "json";
/// What comparisons and values become; no field is called so.
const COMPARED: &str = "__compared";
const DEFINED: &str = "__defined";

/// An expression, ready for values.
#[derive(Debug)]
pub(crate) struct Expression {
    environment: Environment<'static>,
    names: Vec<Arc<str>>,
    /// The same, where it is no more than a comparison of fields.
    condition: Option<Condition>,
}

impl Expression {
    /// Makes an expression ready, and tries it without a record and with one that has everything.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let mut environment = environment();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        if text.trim().is_empty() {
            return Err("the expression is empty".to_owned());
        }
        // The engine stops at what it does not know, and would take what stands before it for the whole.
        for token in Tokens::of(text) {
            let is_spelt = token.is_ascii() || token.starts_with(['"', '\'']) || token.starts_with(begins_word);
            if !is_spelt && !token.trim().is_empty() {
                return Err(format!("`{token}` has no meaning here: quotes and marks are those of ASCII"));
            }
        }
        let whole = environment.compile_expression(text).map_err(|error| said(&error) + hint(text))?;
        let tried = [Value::from(()), Value::from_object(Anything(0))].into_iter();
        if let Some(error) = tried.filter_map(|record| whole.eval(record).err()).find(is_mistake) {
            return Err(said(&error));
        }
        let in_braces = format!("{{{{ {text} }}}}");
        let names = looked_up(&environment, &in_braces);
        let condition = Condition::read(text, &names);
        let names = names.into_iter().map(Arc::from).collect();
        environment.add_function(COMPARED, |left: &Value, operator: &str, right: &Value| is_so(left, operator, right));
        environment.add_function(DEFINED, |value: Value| match value.is_undefined() {
            true => Err(Error::new(ErrorKind::UndefinedError, "the expression has no value")),
            false => to_json(&value, None, std::iter::empty::<(&str, Value)>().collect()),
        });
        let compared = comparing(text);
        // In parentheses of their own lines: whatever the expression is, a part of it cannot end the template.
        for (name, whole) in [
            (CONDITION, format!("{{% if (\n{compared}\n) %}}1{{% endif %}}")),
            (JSON, format!("{{{{ {DEFINED}(\n{compared}\n) }}}}")),
        ] {
            environment.add_template_owned(name, whole).map_err(|error| said(&error))?;
        }
        Ok(Self { environment, names, condition })
    }

    /// Returns the names that it looks up.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Returns whether it is true.
    ///
    /// # Errors
    /// Why that cannot be said.
    pub(crate) fn is_true(&self, context: &Value) -> Result<bool, String> {
        if let (Some(condition), Some(record)) = (&self.condition, context.downcast_object_ref::<Named>()) {
            return Ok(condition.holds(record));
        }
        self.run(CONDITION, context).map(|said| !said.is_empty())
    }

    /// Returns its value as JSON.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) fn json(&self, context: &Value) -> Result<String, String> {
        self.run(JSON, context)
    }

    fn run(&self, name: &str, context: &Value) -> Result<String, String> {
        let rendered = self.environment.get_template(name).and_then(|template| template.render(context));
        rendered.map_err(|error| said(&error))
    }
}

/// Returns whether `left` and `right` are as `operator` says.
pub(super) fn is_so(left: &Value, operator: &str, right: &Value) -> bool {
    match operator {
        "==" => is_equal(left, right),
        "!=" => !is_equal(left, right),
        _ => ordering(left, right).is_some_and(|ordering| match operator {
            "<" => ordering.is_lt(),
            "<=" => ordering.is_le(),
            ">" => ordering.is_gt(),
            _ => ordering.is_ge(),
        }),
    }
}

fn is_equal(left: &Value, right: &Value) -> bool {
    match (left.kind(), right.kind()) {
        (ValueKind::Number, ValueKind::String) => number(right).is_some_and(|right| *left == right),
        (ValueKind::String, ValueKind::Number) => number(left).is_some_and(|left| left == *right),
        (ValueKind::Bool, ValueKind::String) => boolean(right) == Some(left.is_true()),
        (ValueKind::String, ValueKind::Bool) => boolean(left) == Some(right.is_true()),
        _ => left == right,
    }
}

fn ordering(left: &Value, right: &Value) -> Option<Ordering> {
    match (left.kind(), right.kind()) {
        (ValueKind::Number | ValueKind::String, ValueKind::Number | ValueKind::String) => {
            match (number(left), number(right)) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ if left.kind() == right.kind() => Some(left.cmp(right)),
                _ => None,
            }
        }
        (ValueKind::Undefined | ValueKind::None, _) => None,
        (left_kind, right_kind) => (left_kind == right_kind).then(|| left.cmp(right)),
    }
}

/// Returns a number, also where it is written as text.
fn number(value: &Value) -> Option<Value> {
    let Some(text) = value.as_str() else { return (value.kind() == ValueKind::Number).then(|| value.clone()) };
    let text = text.trim();
    if let Ok(number) = text.parse::<i128>() {
        return Some(i64::try_from(number).map_or_else(|_| Value::from(number), Value::from));
    }
    // Rust reads `inf` and `nan` too, which are words here.
    let is_spelt = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    text.parse::<f64>().ok().filter(|number| is_spelt && number.is_finite()).map(Value::from)
}

fn boolean(value: &Value) -> Option<bool> {
    let text = value.as_str()?.trim();
    if text.eq_ignore_ascii_case("true") {
        return Some(true);
    }
    text.eq_ignore_ascii_case("false").then_some(false)
}

/// Returns what may have been meant by an expression that is none: other languages write conditions otherwise.
fn hint(text: &str) -> &'static str {
    let (mut last, mut depth) = ("", 0_u32);
    for token in Tokens::of(text) {
        match (last, token) {
            ("&", "&") => return "; write `and` instead of `&&`",
            ("|", "|") => return "; write `or` instead of `||`",
            ("!", _) => return "; write `not` instead of `!`",
            (_, "=") if depth == 0 => return "; write `==` to compare",
            (_, "(") => depth += 1,
            (_, ")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        last = token;
    }
    ""
}

/// Rewrites the comparisons of an expression, which is known to be one.
fn comparing(text: &str) -> String {
    Rewriting(Tokens::of(text)).group(None)
}

struct Rewriting<'t>(Tokens<'t>);

/// What stands between two words that join conditions: operands, and the comparisons between them.
#[derive(Default)]
struct Segment<'t> {
    done: Vec<(String, &'t str)>,
    operand: String,
    /// The last word was `is`: a `not` behind it belongs to it.
    is_test: bool,
    /// `in` is a comparison too, and left to the engine with all that it is chained to.
    has_in: bool,
}

impl Segment<'_> {
    fn flush(&mut self, out: &mut String) {
        let Self { done, operand, has_in, .. } = std::mem::take(self);
        if done.is_empty() || has_in {
            for (left, operator) in done {
                out.push_str(&left);
                out.push_str(operator);
            }
            out.push_str(&operand);
            return;
        }
        // A chain compares each with the next one: `1 < n < 9`.
        let rights = done.iter().skip(1).map(|(left, _)| left.as_str()).chain([operand.as_str()]);
        let pairs = done.iter().zip(rights);
        let pairs = pairs.map(|((left, operator), right)| format!("{COMPARED}({left}, '{operator}', {right})"));
        out.push_str(&format!(" ({}) ", pairs.collect::<Vec<_>>().join(" and ")));
    }
}

impl Rewriting<'_> {
    /// Rewrites up to the bracket that closes the group, or to the end.
    fn group(&mut self, closing: Option<&str>) -> String {
        let mut out = String::new();
        let mut segment = Segment::default();
        while let Some(token) = self.0.next() {
            match token {
                _ if Some(token) == closing => {
                    segment.flush(&mut out);
                    out.push_str(token);
                    return out;
                }
                "(" | "[" | "{" => {
                    let closing = match token {
                        "(" => ")",
                        "[" => "]",
                        _ => "}",
                    };
                    segment.operand.push_str(token);
                    segment.operand.push_str(&self.group(Some(closing)));
                }
                "==" | "!=" | "<" | "<=" | ">" | ">=" => {
                    let left = std::mem::take(&mut segment.operand);
                    segment.done.push((left, token));
                }
                "and" | "or" | "if" | "else" | "," | ":" | "=" => {
                    segment.flush(&mut out);
                    out.push_str(token);
                }
                "not" if !segment.is_test => {
                    segment.flush(&mut out);
                    out.push_str(token);
                }
                _ => {
                    segment.has_in |= token == "in";
                    segment.operand.push_str(token);
                }
            }
            if !token.trim().is_empty() {
                segment.is_test = token == "is";
            }
        }
        segment.flush(&mut out);
        out
    }
}
