//! Fields that are made from an answer, what is kept of it, and whether it is one of those that are looked for.

use std::{fmt::Write as _, sync::Arc};

use domain::{AnswerMeta, Failure, FailureKind, Reason, Record, json};
use minijinja::{Environment, Value};
use serde_json::{Value as Json, value::RawValue};

use super::{Derived, Known, Prompt, validate::quoted};
use crate::{
    mistake::{Mistake, Mistakes},
    template::{
        Expression, Inputs, Named, Shown, Wants, environment, looked_up, said, undefined_in, value_of,
        with_bare_record_json,
    },
};

const ANSWER: &str = "answer";
const TEXT: &str = "text";
const REASONING: &str = "reasoning";

/// What is known of an answer when its fields are there.
pub(super) struct Facts<'a> {
    /// All that the model said.
    pub(super) text: &'a str,
    /// What it said without its thought.
    pub(super) answer: &'a str,
    pub(super) reasoning: Option<&'a str>,
    pub(super) tool_calls: Option<&'a RawValue>,
    pub(super) meta: &'a AnswerMeta,
    pub(super) asked_model: &'a str,
    pub(super) sample: u32,
    pub(super) attempts: u32,
}

/// What is made of answers.
#[derive(Debug)]
pub(super) struct Making {
    /// Templates by the names of their fields.
    environment: Environment<'static>,
    derived: Vec<(String, How)>,
    /// What is kept, and the names of the fields as JSON strings with their colons.
    kept: Vec<(Known, String)>,
    accepts: Option<(String, Expression)>,
    /// The fields of the record that all of these name, and those that `record_json` shows.
    wants: Wants,
    chosen: Option<Vec<String>>,
    omit_empty: bool,
    /// Answers are objects; else they are text.
    has_fields: bool,
}

#[derive(Debug)]
enum How {
    Template,
    Expression(Box<Expression>),
}

impl Making {
    /// Returns nothing where nothing is made of answers.
    pub(super) fn new(prompt: &Prompt, inputs: &Inputs) -> Result<Option<Self>, Mistakes> {
        let where_ = prompt.until_accepted.as_ref().and_then(|until| until.where_.as_deref());
        if prompt.derive.is_none() && prompt.keep.is_none() && where_.is_none() {
            return Ok(None);
        }
        let mut making = Self {
            environment: environment(),
            derived: Vec::new(),
            kept: prompt.keep.iter().flat_map(|keep| &keep.0).map(|(known, name)| (*known, quoted(name))).collect(),
            accepts: None,
            wants: Wants::default(),
            chosen: inputs.fields.clone(),
            omit_empty: inputs.omit_empty,
            has_fields: prompt.output.is_some(),
        };
        let is_of_record = |name: &&str| ![ANSWER, TEXT, REASONING].contains(name);
        for (name, derived) in prompt.derive.iter().flat_map(|derive| &derive.0) {
            let how = match derived {
                Derived::Template(text) => {
                    let text = with_bare_record_json(text);
                    making.wants.add(looked_up(&making.environment, &text).into_iter().filter(is_of_record));
                    let added = making.environment.add_template_owned(name.clone(), text.into_owned());
                    added.map_err(|error| Mistake::new(&["derive", name], said(&error)).at_line(error.line()))?;
                    How::Template
                }
                Derived::Expression(expressed) => {
                    let expression = Expression::new(&expressed.value)
                        .map_err(|message| Mistake::new(&["derive", name, "value"], message))?;
                    making.wants.add(expression.names().filter(is_of_record));
                    How::Expression(Box::new(expression))
                }
            };
            making.derived.push((name.clone(), how));
        }
        if let Some(text) = where_ {
            let expression =
                Expression::new(text).map_err(|message| Mistake::new(&["until_accepted", "where"], message))?;
            making.wants.add(expression.names().filter(is_of_record));
            making.accepts = Some((text.trim().to_owned(), expression));
        }
        Ok(Some(making))
    }

    /// Makes the new fields of an answer, behind those that it has: `output`, an object without white space.
    pub(super) fn make(&self, record: &Record, output: String, facts: &Facts<'_>) -> Result<String, Failure> {
        let mut derived = Vec::with_capacity(self.derived.len());
        if !self.derived.is_empty() || self.accepts.is_some() {
            let context = self.context(record, &output, facts);
            if let Some((text, expression)) = &self.accepts {
                let is_accepted = expression.is_true(&context);
                if !matches!(is_accepted, Ok(true)) {
                    let why = is_accepted.err().map_or(String::new(), |what| format!(" ({what})"));
                    let message = format!("the answer is not one of those that are looked for: {text}{why}");
                    return Err(Failure::new(FailureKind::NotAccepted, message));
                }
            }
            for (name, how) in &self.derived {
                derived.push((name, self.value_of(name, how, &context)?));
            }
        }
        let mut made = if derived.is_empty() { output } else { with_derived(&output, &derived) };
        made.reserve(64 * self.kept.len());
        // The closing brace comes last again.
        made.pop();
        for (known, quoted) in &self.kept {
            made.push_str(if made.len() > 1 { "," } else { "" });
            made.push_str(quoted);
            push_kept(*known, facts, &mut made);
        }
        made.push('}');
        Ok(made)
    }

    /// What templates and expressions look up: the answer, and what of the record it does not hide.
    fn context(&self, record: &Record, output: &str, facts: &Facts<'_>) -> Value {
        let answer = match (self.has_fields, facts.tool_calls) {
            // It was made a moment ago.
            (true, _) => serde_json::from_str(output).ok().and_then(|raw| value_of(raw).ok()).unwrap_or_default(),
            (false, Some(calls)) if facts.answer.is_empty() => value_of(calls).unwrap_or_default(),
            (false, _) => Value::from(facts.answer),
        };
        let mut named = vec![
            (Arc::from(ANSWER), answer),
            (Arc::from(TEXT), Value::from(facts.text)),
            (Arc::from(REASONING), Value::from(facts.reasoning.unwrap_or_default())),
        ];
        if !self.wants.is_empty() {
            // It was read when it was planned.
            let text = str::from_utf8(&record.bytes).unwrap_or("{}");
            let shown = Shown { fields: self.chosen.as_deref(), omit_empty: self.omit_empty };
            let scanned = self.wants.scan(text, shown, &[]);
            named.extend(scanned.into_iter().flat_map(|scanned| scanned.named));
        }
        Value::from_object(Named(named))
    }

    /// Returns the JSON of a field that is made from the answer. An answer that it cannot be made from is not asked for
    /// again: the template is mended, and the answer judged again, for nothing.
    fn value_of(&self, name: &str, how: &How, context: &Value) -> Result<String, Failure> {
        let made = match how {
            How::Template => {
                let rendered = self.environment.get_template(name).and_then(|template| template.render(context));
                rendered.map(|text| Json::from(text).to_string()).map_err(|error| match undefined_in(&error) {
                    Some(name) => format!("neither the answer nor its record has `{name}`"),
                    None => said(&error),
                })
            }
            How::Expression(expression) => expression.json(context),
        };
        made.map_err(|what| {
            let message = format!("the field `{name}` of `derive` cannot be made: {what}");
            Failure::new(FailureKind::InvalidOutput, message).because(Reason::Schema).finally()
        })
    }
}

/// Appends what is kept as JSON.
fn push_kept(known: Known, facts: &Facts<'_>, out: &mut String) {
    let meta = facts.meta;
    let tokens = |of: fn(&domain::Usage) -> u64| meta.usage.as_ref().map(of);
    match known {
        Known::Answer => push_text(Some(facts.text), out),
        Known::Reasoning => push_text(facts.reasoning, out),
        Known::ToolCalls => match facts.tool_calls {
            Some(calls) => json::compact(calls.get(), out),
            None => out.push_str("null"),
        },
        Known::FinishReason => push_text(meta.finish_reason.as_deref(), out),
        Known::Model => push_text(meta.model.as_deref(), out),
        Known::Upstream => push_text(meta.upstream.as_deref(), out),
        Known::AskedModel => push_text(Some(facts.asked_model), out),
        Known::PromptTokens => push_count(tokens(|usage| usage.prompt_tokens), out),
        Known::CompletionTokens => push_count(tokens(|usage| usage.completion_tokens), out),
        Known::CachedTokens => push_count(tokens(|usage| usage.cached_tokens), out),
        Known::ReasoningTokens => push_count(tokens(|usage| usage.reasoning_tokens), out),
        Known::LatencyMs => push_count(meta.latency_ms, out),
        Known::Attempts => push_count(Some(facts.attempts.into()), out),
        Known::RequestId => push_text(meta.request_id.as_deref(), out),
        Known::Sample => push_count(Some(facts.sample.into()), out),
    }
}

fn push_text(text: Option<&str>, out: &mut String) {
    match text {
        None => out.push_str("null"),
        // Names and the like have nothing to escape.
        Some(plain) if plain.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') => {
            out.push('"');
            out.push_str(plain);
            out.push('"');
        }
        Some(text) => out.push_str(&Json::from(text).to_string()),
    }
}

fn push_count(count: Option<u64>, out: &mut String) {
    match count {
        // Writing into a string does not fail.
        Some(count) => drop(write!(out, "{count}")),
        None => out.push_str("null"),
    }
}

/// Returns `output` with the derived fields: in the places of those that it has, and behind them.
fn with_derived(output: &str, derived: &[(&String, String)]) -> String {
    let mut made = String::with_capacity(output.len() + 64 * derived.len());
    let mut is_placed = vec![false; derived.len()];
    made.push('{');
    let mut push = |name: &str, json: &str| {
        made.push_str(if made.len() > 1 { "," } else { "" });
        made.push_str(&quoted(name));
        made.push_str(json);
    };
    // It was made a moment ago.
    let _ = json::members(output, |name, value| {
        let replaced = derived.iter().position(|(derived, _)| **derived == name);
        replaced.into_iter().for_each(|i| is_placed[i] = true);
        push(&name, replaced.map_or(value.get(), |i| &derived[i].1));
    });
    for ((name, value), _) in derived.iter().zip(is_placed).filter(|(_, is_placed)| !is_placed) {
        push(name, value);
    }
    made.push('}');
    made
}

pub(super) fn compacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    json::compact(text, &mut out);
    out
}
