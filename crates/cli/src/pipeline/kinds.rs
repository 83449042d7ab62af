//! What all kinds of work have, each under its own key.

use domain::{Record, Unplanned};
use serde_json::Value;
use work::prompt::{Inputs, Mistake};

use super::{StepConfig, WorkConfig};

impl StepConfig {
    /// Returns what the work may see of a record.
    pub(crate) fn inputs(&self) -> Inputs {
        let source = &self.source;
        Inputs {
            fields: source.fields.clone(),
            require: source.require.unwrap_or_default(),
            where_: source.where_.clone(),
            omit_empty: source.omit_empty,
        }
    }
}

impl WorkConfig {
    /// Returns the key of this kind of work.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Prompt(_) => "prompt",
            Self::Embed(_) => "embed",
        }
    }

    /// Returns the key of the text that is filled from a record.
    pub(crate) fn text_key(&self) -> &'static str {
        match self {
            Self::Prompt(prompt) if prompt.template.is_none() => "messages",
            Self::Prompt(_) => "template",
            Self::Embed(_) => "input",
        }
    }

    /// Returns the names of the fields that are added to a record, in order.
    pub(crate) fn new_fields(&self) -> Vec<String> {
        match self {
            Self::Prompt(prompt) => prompt.new_fields(),
            Self::Embed(embed) => embed.new_fields(),
        }
    }

    /// Returns how often each record is asked about: models times samples, or the most candidates.
    pub(crate) fn samples(&self) -> usize {
        match self {
            Self::Prompt(prompt) => match &prompt.until_accepted {
                Some(until) => until.candidates as usize,
                None => prompt.models.as_ref().map_or(1, Vec::len) * prompt.samples.unwrap_or(1) as usize,
            },
            Self::Embed(_) => 1,
        }
    }

    /// Returns every mistake that can be seen without a record.
    pub(crate) fn mistakes(&self, inputs: &Inputs) -> Vec<Mistake> {
        match self {
            Self::Prompt(prompt) => prompt.mistakes_with(inputs),
            Self::Embed(embed) => embed.mistakes(),
        }
    }

    /// Plans one record as far as that can be done without an effect.
    ///
    /// # Errors
    /// Why it would not be worked on.
    pub(crate) fn try_out(&self, inputs: Inputs, record: &Record) -> Result<(), Unplanned> {
        match self {
            Self::Prompt(prompt) => prompt.try_out(inputs, record),
            Self::Embed(embed) => embed.try_out(inputs, record),
        }
    }

    /// Returns the models, or routes, that are asked, each with the keys under which it stands.
    pub(crate) fn asked(&self) -> Vec<(Vec<String>, &str)> {
        let one = |model| vec![(vec!["model".to_owned()], model)];
        match self {
            Self::Prompt(prompt) => {
                let mut asked = match &prompt.models {
                    Some(models) => {
                        let keys = |i: usize| vec!["models".to_owned(), i.to_string()];
                        models.iter().enumerate().map(|(i, model)| (keys(i), model.as_str())).collect()
                    }
                    None => one(prompt.model.as_str()),
                };
                let cases = prompt.by.iter().flat_map(|by| &by.cases);
                asked.extend(cases.filter_map(|(value, case)| {
                    let keys = ["by", "cases", value, "model"].map(str::to_owned).to_vec();
                    Some((keys, case.model.as_deref()?))
                }));
                asked
            }
            Self::Embed(embed) => one(embed.model.as_str()),
        }
    }

    /// Returns all that the file says of the work, key by key, as it decides answers.
    pub(crate) fn deciding(&self) -> Vec<(String, Value)> {
        let (value, undecided): (_, &[&str]) = match self {
            Self::Prompt(prompt) => (serde_json::to_value(prompt), &[]),
            // How many records share a request makes no difference to any of them.
            Self::Embed(embed) => (serde_json::to_value(embed), &["batch"]),
        };
        let Ok(Value::Object(mut keys)) = value else { return Vec::new() };
        let by = keys.remove("by");
        let mut deciding: Vec<(String, Value)> =
            keys.into_iter().filter(|(key, _)| !undecided.contains(&key.as_str())).collect();
        // Key by key here too, so that a change of one case is told as that.
        if let Some(Value::Object(by)) = by {
            deciding.push(("by.field".to_owned(), by["field"].clone()));
            for (value, case) in by["cases"].as_object().into_iter().flatten() {
                // A case that says nothing is one all the same: it decides nothing.
                let keys = case.as_object().into_iter().flatten();
                deciding.extend(keys.map(|(key, said)| (format!("by.cases.{value}.{key}"), said.clone())));
            }
        }
        deciding
    }
}
