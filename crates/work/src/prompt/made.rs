//! Fields that are made from an answer, what is kept of it, and whether it is one of those that are looked for.

use std::sync::Arc;

use domain::{AnswerMeta, Failure, FailureKind, Reason, Record, json};
use minijinja::{Environment, Value};
use serde_json::{Value as Json, value::RawValue};

use super::{Derived, Known, Prompt};
use crate::{
    mistake::{Mistake, Mistakes},
    template::{Expression, Named, Wants, environment, looked_up, said, undefined_in, value_of, with_bare_record_json},
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
    kept: Vec<(Known, String)>,
    accepts: Option<(String, Expression)>,
    /// The fields of the record that all of these name, and those that `record_json` shows.
    wants: Wants,
    chosen: Option<Vec<String>>,
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
    pub(super) fn new(prompt: &Prompt, chosen: Option<Vec<String>>) -> Result<Option<Self>, Mistakes> {
        let where_ = prompt.until_accepted.as_ref().and_then(|until| until.where_.as_deref());
        if prompt.derive.is_none() && prompt.keep.is_none() && where_.is_none() {
            return Ok(None);
        }
        let mut making = Self {
            environment: environment(),
            derived: Vec::new(),
            kept: prompt.keep.as_ref().map(|keep| keep.0.clone()).unwrap_or_default(),
            accepts: None,
            wants: Wants::default(),
            chosen,
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

    /// Makes the new fields of an answer, behind those that it has.
    pub(super) fn make(&self, record: &Record, output: &RawValue, facts: &Facts<'_>) -> Result<Box<RawValue>, Failure> {
        let mut derived = Vec::with_capacity(self.derived.len());
        if !self.derived.is_empty() || self.accepts.is_some() {
            let context = self.context(record, output, facts);
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
        let mut made = Object::new(output.get().len() + 64 * (derived.len() + self.kept.len()));
        // It was made or checked a moment ago.
        let _ = json::members(output.get(), |name, value| {
            let replaced = derived.iter().find(|(derived, _)| **derived == name);
            made.push(&name, replaced.map_or(value.get(), |(_, value)| value));
        });
        for (name, value) in &derived {
            if !made.names.contains(*name) {
                made.push(name, value);
            }
        }
        for (known, name) in &self.kept {
            made.push(name, &kept(*known, facts));
        }
        made.finish()
    }

    /// What templates and expressions look up: the answer, and what of the record it does not hide.
    fn context(&self, record: &Record, output: &RawValue, facts: &Facts<'_>) -> Value {
        let answer = match (self.has_fields, facts.tool_calls) {
            (true, _) => value_of(output).unwrap_or_default(),
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
            let scanned = self.wants.scan(text, self.chosen.as_deref(), &[]);
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

fn kept(known: Known, facts: &Facts<'_>) -> String {
    let text = |text: Option<&str>| text.map_or(Json::Null, Json::from).to_string();
    let count = |count: Option<u64>| count.map_or(Json::Null, Json::from).to_string();
    let meta = facts.meta;
    let tokens = |of: fn(&domain::Usage) -> u64| count(meta.usage.as_ref().map(of));
    match known {
        Known::Answer => text(Some(facts.text)),
        Known::Reasoning => text(facts.reasoning),
        Known::ToolCalls => facts.tool_calls.map_or_else(|| "null".to_owned(), |calls| compacted(calls.get())),
        Known::FinishReason => text(meta.finish_reason.as_deref()),
        Known::Model => text(meta.model.as_deref()),
        Known::Upstream => text(meta.upstream.as_deref()),
        Known::AskedModel => text(Some(facts.asked_model)),
        Known::PromptTokens => tokens(|usage| usage.prompt_tokens),
        Known::CompletionTokens => tokens(|usage| usage.completion_tokens),
        Known::CachedTokens => tokens(|usage| usage.cached_tokens),
        Known::ReasoningTokens => tokens(|usage| usage.reasoning_tokens),
        Known::LatencyMs => count(meta.latency_ms),
        Known::Attempts => count(Some(facts.attempts.into())),
        Known::RequestId => text(meta.request_id.as_deref()),
        Known::Sample => count(Some(facts.sample.into())),
    }
}

pub(super) fn compacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    json::compact(text, &mut out);
    out
}

/// An object being written.
struct Object {
    text: String,
    names: Vec<String>,
}

impl Object {
    fn new(capacity: usize) -> Self {
        let mut text = String::with_capacity(capacity);
        text.push('{');
        Self { text, names: Vec::new() }
    }

    fn push(&mut self, name: &str, json: &str) {
        if !self.names.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(&Json::from(name).to_string());
        self.text.push(':');
        self.text.push_str(json);
        self.names.push(name.to_owned());
    }

    fn finish(mut self) -> Result<Box<RawValue>, Failure> {
        self.text.push('}');
        RawValue::from_string(self.text).map_err(|error| Failure::new(FailureKind::Internal, json::in_words(&error)))
    }
}
