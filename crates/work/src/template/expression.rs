//! Expressions that decide, or make a value.
//!
//! The language is that of templates, but for comparisons. The engine orders values of different kinds by their kind:
//! to it every text is greater than every number and what is missing is less than all, so that `score > 3` would keep
//! every row of a CSV file, whose cells are text. Here a text that is a number is compared as one, and what is missing,
//! `null`, or cannot be compared is neither less nor greater than anything.

use std::{cmp::Ordering, sync::Arc};

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, value::ValueKind};

use super::{
    language::{Anything, environment, is_mistake, said},
    names::looked_up,
    value::to_json,
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
        let mut tokens = Rewriting { text, at: 0 };
        while let Some(token) = tokens.next() {
            if !token.is_ascii() && !token.starts_with(['"', '\'']) && !token.trim().is_empty() {
                return Err(format!("`{token}` has no meaning here: words, quotes and marks are those of ASCII"));
            }
        }
        let whole = environment.compile_expression(text).map_err(|error| said(&error) + hint(text))?;
        let tried = [Value::from(()), Value::from_object(Anything(0))].into_iter();
        if let Some(error) = tried.filter_map(|record| whole.eval(record).err()).find(is_mistake) {
            return Err(said(&error));
        }
        let names = looked_up(&environment, &format!("{{{{ {text} }}}}")).into_iter().map(Arc::from).collect();
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
        Ok(Self { environment, names })
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
fn is_so(left: &Value, operator: &str, right: &Value) -> bool {
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
    let (mut tokens, mut last, mut depth) = (Rewriting { text, at: 0 }, "", 0_u32);
    while let Some(token) = tokens.next() {
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
    Rewriting { text, at: 0 }.group(None)
}

struct Rewriting<'t> {
    text: &'t str,
    at: usize,
}

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

impl<'t> Rewriting<'t> {
    /// Rewrites up to the bracket that closes the group, or to the end.
    fn group(&mut self, closing: Option<&str>) -> String {
        let mut out = String::new();
        let mut segment = Segment::default();
        while let Some(token) = self.next() {
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

    /// Returns the next token; white space is one.
    fn next(&mut self) -> Option<&'t str> {
        let rest = &self.text[self.at..];
        let first = rest.chars().next()?;
        let run = |is_part: &dyn Fn(char) -> bool| rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let length = match first {
            '"' | '\'' => {
                let mut is_escaped = false;
                let end = rest[1..].find(|c| {
                    let is_end = c == first && !is_escaped;
                    is_escaped = c == '\\' && !is_escaped;
                    is_end
                });
                end.map_or(rest.len(), |end| end + 2)
            }
            _ if first.is_whitespace() => run(&char::is_whitespace),
            _ if first.is_ascii_alphanumeric() || first == '_' => run(&|c| c.is_ascii_alphanumeric() || c == '_'),
            _ if ["==", "!=", "<=", ">="].iter().any(|operator| rest.starts_with(operator)) => 2,
            _ => first.len_utf8(),
        };
        self.at += length;
        Some(&rest[..length])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json, value::RawValue};

    use super::{super::value_of, *};

    /// A record as expressions see it.
    fn record(fields: &Json) -> Value {
        value_of(&RawValue::from_string(fields.to_string()).unwrap()).unwrap()
    }

    fn truth(text: &str, fields: &Json) -> Result<bool, String> {
        Expression::new(text)?.is_true(&record(fields))
    }

    #[test]
    fn a_condition_means_what_it_says_whether_numbers_stand_as_text_or_not() {
        let fields = json!({
            "n": 10, "t": "10", "nine": "9", "f": "1.10", "word": "n/a", "blank": "", "nothing": null, "lang": "zh",
            "yes": "TRUE", "list": [1, 2], "o": {"x": "7"}, "big": "12345678901234567890123"
        });
        for (text, expected) in [
            ("n > 3", true),
            ("t > 3", true),
            ("t > 11", false),
            ("3 < t", true),
            ("t == 10", true),
            ("t != 10", false),
            ("n == '10'", true),
            ("t > nine", true),
            ("f == 1.1", true),
            ("f >= 1.1 and f <= 1.2", true),
            ("word > 3", false),
            ("word < 3", false),
            ("word == 3", false),
            ("word != 3", true),
            ("blank < 3", false),
            ("nothing < 3", false),
            ("missing < 3", false),
            ("missing > 3", false),
            ("missing.deep.down == 1", false),
            ("not missing", true),
            ("missing is defined", false),
            ("missing is not defined and t is defined", true),
            ("lang == 'zh' and t > 3", true),
            ("lang == 'en' or not t > 11", true),
            ("(t > 3) == true", true),
            ("yes == true", true),
            ("lang in ['zh', 'en']", true),
            ("lang not in ['zh'] or t>3", true),
            ("t|int + 1 > 10", true),
            ("t|length > 1", true),
            ("o.x > 6 and o['x'] < 8", true),
            ("list[0] == 1 and list|length == 2", true),
            ("'a > b' == lang or \"x\\\" > \" != lang", true),
            ("(1 if t > 3 else 0) == 1", true),
            ("list|select('>', 1)|list|length == 1", true),
            ("lang is eq('zh')", true),
            ("{'a': t > 3}.a", true),
            ("big > 12345678901234567890122", true),
            ("lang > 'a'", true),
            ("record_json is defined", false),
            ("9 < t < 11", true),
            ("9 < t < nine", false),
            ("3 < t == 10 <= n", true),
            ("(lang in ['zh']) == yes", true),
            ("2 in list == true", false),
        ] {
            assert_eq!(truth(text, &fields), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_before_there_is_a_record() {
        for (text, expected) in [
            (" ", "the expression is empty"),
            ("a >", "unexpected end of input, expected expression"),
            ("a = 3", "unexpected input after expression; write `==` to compare"),
            ("a == '中' 且 b", "`且` has no meaning here: words, quotes and marks are those of ASCII"),
            ("a == “x”", "`“` has no meaning here: words, quotes and marks are those of ASCII"),
            ("(a == 'x' && b)", "unexpected end of input, expected `)`; write `and` instead of `&&`"),
            ("a %}{% if b", "unexpected `}`"),
            ("a|uper > 3", "unknown filter: filter uper is unknown"),
            (
                "a.startswith('x')",
                "values have no method `startswith`; filters do such things, as in `{{ text|trim }}`",
            ),
        ] {
            assert_eq!(Expression::new(text).map(|_| ()).unwrap_err(), expected, "{text}");
        }
    }

    /// Conditions over the numbers `a`, `b` and the list of numbers `l`.
    fn condition() -> impl Strategy<Value = String> {
        let operand = prop_oneof![
            Just("a".to_owned()),
            Just("b".to_owned()),
            (0..5_i32).prop_map(|n| n.to_string()),
            Just("-a".to_owned()),
            Just("a + b".to_owned()),
            Just("l|length".to_owned()),
            Just("l[0] * 2".to_owned()),
            Just("(b)".to_owned()),
            Just("[a, b]|max".to_owned()),
        ];
        let operator = prop_oneof![Just("<"), Just("<="), Just(">"), Just(">="), Just("=="), Just("!=")];
        let compared =
            (operand.clone(), prop::collection::vec((operator, operand.clone()), 0..3)).prop_map(|(first, rest)| {
                rest.iter().fold(first, |all, (operator, next)| format!("{all} {operator} {next}"))
            });
        let within =
            (operand, any::<bool>()).prop_map(|(one, is)| format!("{one} {}in l", if is { "" } else { "not " }));
        let leaf = prop_oneof![4 => compared, 1 => within, 1 => Just("(a is defined)".to_owned()), 1 => Just("('<' is not none)".to_owned())];
        leaf.prop_recursive(3, 24, 3, |inner| {
            let two = (inner.clone(), inner.clone());
            prop_oneof![
                two.clone().prop_map(|(one, other)| format!("{one} and {other}")),
                two.clone().prop_map(|(one, other)| format!("{one} or {other}")),
                inner.clone().prop_map(|one| format!("not {one}")),
                inner.clone().prop_map(|one| format!("({one})")),
                two.prop_map(|(one, other)| format!("({one}) == ({other})")),
                (inner.clone(), inner.clone(), inner)
                    .prop_map(|(one, other, third)| format!("({one} if {other} else {third})")),
            ]
        })
    }

    proptest! {
        /// Of numbers an expression says what the engine says, however its comparisons are rewritten.
        #[test]
        fn numbers_are_compared_as_the_engine_compares_them(text in condition(), a in 0..5, b in -2..5) {
            let fields = record(&json!({"a": a, "b": b, "l": [a, 3]}));
            let engines = environment().compile_expression(&text).unwrap().eval(&fields).unwrap().is_true();
            prop_assert_eq!(Expression::new(&text).unwrap().is_true(&fields), Ok(engines), "{}", text);
        }

        /// Whatever is written where an expression belongs, it is one or is told to be none.
        #[test]
        fn any_text_is_an_expression_or_is_told_to_be_none(text in "[ab39'\"=<>!&|(){}\\[\\]%#.,: \\\\é]{0,16}") {
            if let Ok(expression) = Expression::new(&text) {
                let fields = record(&json!({"a": 1, "b": "x"}));
                let _ = (expression.is_true(&fields), expression.json(&fields));
            }
        }
    }

    #[test]
    fn a_value_is_json_and_what_is_missing_is_none() {
        let fields = record(&json!({"tags": ["b", "a"], "n": 3}));
        let value = |text: &str| Expression::new(text).unwrap().json(&fields);
        assert_eq!(value("tags|sort").as_deref(), Ok(r#"["a","b"]"#));
        assert_eq!(value("n > 2").as_deref(), Ok("true"));
        assert_eq!(value("{'n': n + 1, 'x': none}").as_deref(), Ok(r#"{"n":4,"x":null}"#));
        assert_eq!(value("tags|join('-')").as_deref(), Ok(r#""b-a""#));
        assert!(value("m").unwrap_err().contains("has no value"));
    }
}
