//! What can be wrong with a prompt's configuration, as far as it shows without a record.

use regex::Regex;
use serde_json::{Map, Value};

use super::{Attach, Derived, OnAnswer, OnLength, Prompt};
use crate::{
    mistake::{Mistake, Mistakes},
    prompt::{examples, fields, render::Renderer, validate::Check},
    template::{Expression, Inputs, Template},
};

impl Prompt {
    /// Returns every mistake that can be seen without a record and without its source.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        self.mistakes_with(&Inputs::default())
    }

    /// Returns every mistake that can be seen without a record; `inputs` are what the work may see of one.
    #[must_use]
    pub fn mistakes_with(&self, inputs: &Inputs) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        self.of_models(&mut mistakes);
        self.of_templates(&mut mistakes);
        self.of_parameters(&mut mistakes);
        if let Some(output) = &self.output {
            fields::mistakes(output, &mut vec!["output".to_owned()], &mut mistakes);
        } else if self.response_format.is_some() {
            mistakes.push(Mistake::new(&["response_format"], "tells of `output`, and there is none"));
        }
        if self.usual().new_fields().is_empty() {
            mistakes.push(Mistake::new(&["output"], "every field is dropped: nothing would be written"));
        }
        self.of_attachments(&mut mistakes);
        self.of_new_fields(&mut mistakes);
        self.of_answers(&mut mistakes);
        self.of_candidates(&mut mistakes);
        self.of_cases(inputs, &mut mistakes);
        // Examples are tried only where everything else is sound: a mistake of the template is told once.
        if mistakes.is_empty() && self.examples.is_some() {
            self.of_examples(inputs, &mut mistakes);
        }
        mistakes
    }

    fn of_models(&self, all: &mut Vec<Mistake>) {
        match &self.models {
            None if self.model.trim().is_empty() => {
                all.push(Mistake::new(&["model"], "names no model; leave it out for `auto`"));
            }
            None => {}
            Some(_) if self.model != super::auto() => {
                all.push(Mistake::new(&["models"], "stands beside `model`; leave one of them out"));
            }
            Some(models) if models.is_empty() => all.push(Mistake::new(&["models"], "names no model")),
            Some(models) => {
                for (i, model) in models.iter().enumerate() {
                    let path = ["models", &i.to_string()];
                    if model.trim().is_empty() {
                        all.push(Mistake::new(&path, "names no model"));
                    } else if models[..i].contains(model) {
                        let message = format!("`{model}` is there twice; `samples` asks a model several times");
                        all.push(Mistake::new(&path, message));
                    }
                }
            }
        }
        if self.samples == Some(0) {
            all.push(Mistake::new(&["samples"], "asks for no answer; the least is 1"));
        }
    }

    fn of_templates(&self, all: &mut Vec<Mistake>) {
        let mut add = |key: &str, message: &str| all.push(Mistake::new(&[key], message));
        match (&self.template, &self.messages) {
            (None, None) => add(
                "template",
                "there is nothing to ask: write a `template`, or name the field with the record's own `messages`",
            ),
            (Some(template), _) if template.trim().is_empty() => add("template", "the template is empty"),
            _ => {}
        }
        for (key, field) in [("messages", &self.messages), ("tools", &self.tools)] {
            if field.as_ref().is_some_and(|field| field.trim().is_empty()) {
                add(key, "names no field");
            }
        }
        if self.tools.is_some() && self.parameters.as_ref().is_some_and(|all| all.contains_key("tools")) {
            add("tools", "stands beside `parameters.tools`; a request has one list of tools");
        }
        if self.examples.is_some() && self.template.is_none() {
            add("examples", "need a `template`: the examples' records are rendered by it");
        }
        for (key, text) in [("system", self.system.as_deref()), ("template", self.template.as_deref())] {
            if let Some(Err((line, message))) = text.map(Template::check) {
                all.push(Mistake::new(&[key], message).at_line(Some(line)));
            }
        }
    }

    fn of_parameters(&self, all: &mut Vec<Mistake>) {
        for name in self.parameters.iter().flat_map(Map::keys) {
            let why = match name.as_str() {
                "model" => "the model stands in `model` beside `parameters`",
                "messages" => "the messages are made from `system`, `messages` and `template`",
                "stream" | "stream_options" => "answers are taken whole; `stream: true` stands beside `parameters`",
                "n" => "one answer is used for each request; `samples` asks for several",
                "response_format" if self.output.is_some() => "it is made from `output`",
                _ => continue,
            };
            all.push(Mistake::new(&["parameters", name], format!("cannot be set here: {why}")));
        }
    }

    fn of_attachments(&self, all: &mut Vec<Mistake>) {
        for (i, attach) in self.attach.iter().flatten().enumerate() {
            let mut add = |key: &str, message: &str| {
                let i = i.to_string();
                let path: Vec<&str> = ["attach", &i, key].into_iter().filter(|key| !key.is_empty()).collect();
                all.push(Mistake::new(&path, message));
            };
            match attach {
                Attach { image: Some(_), file: Some(_), .. } => add("", "is an `image` or a `file`, not both"),
                Attach { image: None, file: None, .. } => {
                    add("", "needs the field that holds it: `image: FIELD` or `file: FIELD`");
                }
                Attach { image: None, detail: Some(_), .. } => add("detail", "only an `image` has a detail"),
                _ => {}
            }
            for (key, field) in [("image", &attach.image), ("file", &attach.file)] {
                if field.as_ref().is_some_and(|field| field.trim().is_empty()) {
                    add(key, "names no field");
                }
            }
            if attach.max_bytes == Some(0) {
                add("max_bytes", "no file is so small");
            }
        }
    }

    /// Fields that are made from the answer, and those that keep what is known of it.
    fn of_new_fields(&self, all: &mut Vec<Mistake>) {
        for (name, derived) in self.derive.iter().flat_map(|derive| &derive.0) {
            if name.trim().is_empty() {
                all.push(Mistake::new(&["derive", name], "a field needs a name"));
            }
            match derived {
                Derived::Template(text) => {
                    if let Err((line, message)) = Template::check(text) {
                        all.push(Mistake::new(&["derive", name], message).at_line(Some(line)));
                    }
                }
                Derived::Expression(expressed) => {
                    if let Err(message) = Expression::new(&expressed.value) {
                        all.push(Mistake::new(&["derive", name, "value"], message));
                    }
                }
            }
        }
        let mut taken = Self { keep: None, by: None, ..self.clone() }.new_fields();
        for (known, name) in self.keep.iter().flat_map(|keep| &keep.0) {
            let path = ["keep", known.word()];
            if name.trim().is_empty() {
                all.push(Mistake::new(&path, "the new field needs a name"));
            } else if taken.contains(name) {
                all.push(Mistake::new(&path, format!("there is a new field `{name}` already; choose another name")));
            }
            taken.push(name.clone());
        }
    }

    fn of_answers(&self, all: &mut Vec<Mistake>) {
        let Some(answers) = &self.answers else { return };
        let mut add = |path: &[&str], message: String| all.push(Mistake::new(path, message));
        for (key, on) in [("empty", answers.empty), ("refused", answers.refused)] {
            if on == OnAnswer::Accept && self.output.is_some() {
                let what = if key == "empty" { "an empty answer" } else { "a refusal" };
                add(&["answers", key], format!("{what} never has the fields of `output`; choose `retry` or `fail`"));
            }
        }
        if let OnLength::MoreTokens(factor) = answers.length {
            let path = ["answers", "length", "more_tokens"];
            if !(factor > 1.0 && factor <= 100.0) {
                add(&path, format!("{factor} times the tokens are not more; write a factor such as 2"));
            }
            if !self.parameters.as_ref().is_some_and(has_limit) {
                let message =
                    "there is no limit to raise: set `max_tokens` (or `max_completion_tokens`) in `parameters`";
                add(&path, message.to_owned());
            }
        }
        for (key, pattern) in [("pattern", &answers.pattern), ("reject", &answers.reject)] {
            if let Some(Err(error)) = pattern.as_deref().map(Regex::new) {
                // The library draws the pattern with a mark under it; the last line says what is wrong.
                let error = error.to_string();
                let what = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                add(&["answers", key], format!("is not a regular expression: {what}"));
            }
        }
    }

    fn of_candidates(&self, all: &mut Vec<Mistake>) {
        let Some(until) = &self.until_accepted else { return };
        let mut add = |key: &str, message: String| all.push(Mistake::new(&["until_accepted", key], message));
        if until.accepted == 0 {
            add("accepted", "wants no answer; the least is 1".to_owned());
        }
        if until.candidates < until.accepted {
            let message = format!("asks for {} at most, and `accepted` wants {}", until.candidates, until.accepted);
            add("candidates", message);
        }
        if let Some(Err(message)) = until.where_.as_deref().map(Expression::new) {
            add("where", message);
        }
        if self.samples.is_some() {
            all.push(Mistake::new(&["samples"], "stands beside `until_accepted`, whose `candidates` say how often"));
        }
        if self.models.as_ref().is_some_and(|models| models.len() > 1) {
            let message = "candidates of `until_accepted` come from one model or route; a route may hold several";
            all.push(Mistake::new(&["models"], message));
        }
    }

    fn of_examples(&self, inputs: &Inputs, all: &mut Vec<Mistake>) {
        // What is wrong with the filter is told where it stands.
        let inputs = Inputs { where_: None, ..inputs.clone() };
        if let Err(Mistakes(more)) = Renderer::new(self, inputs) {
            all.extend(more);
        }
        let Ok(check) = Check::new(self.output.as_ref()) else { return };
        for (i, example) in self.examples.iter().flatten().enumerate() {
            if self.output.is_some()
                && let Err((_, message)) = check.output_of(&examples::text_of(&example.answer))
            {
                all.push(Mistake::new(&["examples", &i.to_string(), "answer"], message));
            }
        }
    }
}

/// The parameters that limit the tokens of an answer.
pub(in crate::prompt) const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

fn has_limit(parameters: &Map<String, Value>) -> bool {
    LIMITS.iter().any(|name| parameters.get(*name).is_some_and(Value::is_u64))
}
