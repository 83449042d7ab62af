//! Another prompt for some records, by what a field of theirs holds.

use std::{borrow::Cow, collections::BTreeMap};

use domain::{Record, json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Answers, Derive, Example, Fields, Keep, Prompt, ResponseFormat};
use crate::{
    mistake::Mistake,
    template::{Inputs, text_of},
};

/// Which records are asked in another way.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct By {
    /// The field that is looked at. It need not be one of the source's `fields`: then it is not shown to the model, and
    /// may be empty.
    pub field: String,
    /// What is different, by the text of the field: exactly that text, or a number or `true` as it stands in the record.
    /// A record whose field is missing, empty or something else is asked as is said beside `by`.
    #[schemars(extend("minProperties" = 1))]
    pub cases: BTreeMap<String, Case>,
}

/// What is different for one case. Each key stands in the place of the one that is called the same beside `by`; what is
/// left out is as it is there.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The model, or a route of the models file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the model is told before the prompt. An empty text takes away what stands beside `by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The prompt: a Jinja template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Examples of records and their answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<Vec<Example>>,
    /// The fields of the answer, all of them. Those that only other cases have are `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Fields>,
    /// How a request tells the model of `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// Fields that are made from the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derive: Option<Derive>,
    /// What else is known of an answer, and the names of the new fields that hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// What answers are worth that are cut off, empty, refused, or not as they should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// Parameters of the request, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
}

impl Case {
    /// Returns whether a key of the prompt stands in this case.
    fn says(&self, key: &str) -> bool {
        match key {
            "model" => self.model.is_some(),
            "system" => self.system.is_some(),
            "template" => self.template.is_some(),
            "examples" => self.examples.is_some(),
            "output" => self.output.is_some(),
            "response_format" => self.response_format.is_some(),
            "derive" => self.derive.is_some(),
            "keep" => self.keep.is_some(),
            "answers" => self.answers.is_some(),
            "parameters" => self.parameters.is_some(),
            _ => false,
        }
    }
}

impl Prompt {
    /// Returns the prompt for records of no case.
    #[must_use]
    pub fn usual(&self) -> Cow<'_, Self> {
        match self.by {
            None => Cow::Borrowed(self),
            Some(_) => Cow::Owned(Self { by: None, ..self.clone() }),
        }
    }

    /// Returns the prompt of one case: what it says, and the rest as it is for all.
    pub(in crate::prompt) fn of_case(&self, case: &Case) -> Self {
        let Case { model, system, template, examples, output, response_format, derive, keep, answers, parameters } =
            case.clone();
        let system = system.or_else(|| self.system.clone());
        Self {
            by: None,
            model: model.unwrap_or_else(|| self.model.clone()),
            system: system.filter(|system| !system.is_empty()),
            template: template.or_else(|| self.template.clone()),
            examples: examples.or_else(|| self.examples.clone()),
            output: output.or_else(|| self.output.clone()),
            response_format: response_format.or(self.response_format),
            derive: derive.or_else(|| self.derive.clone()),
            keep: keep.or_else(|| self.keep.clone()),
            answers: answers.or_else(|| self.answers.clone()),
            parameters: parameters.or_else(|| self.parameters.clone()),
            ..self.clone()
        }
    }

    /// Returns the prompts of all cases by what their field holds.
    pub(in crate::prompt) fn cases(&self) -> impl Iterator<Item = (&str, Self)> {
        let cases = self.by.iter().flat_map(|by| &by.cases);
        cases.map(|(value, case)| (value.as_str(), self.of_case(case)))
    }

    /// Returns the prompt that a record is asked with.
    #[must_use]
    pub fn of_record(&self, record: &Record) -> Cow<'_, Self> {
        let case = self.by.as_ref().and_then(|by| by.cases.get(&*by.value_of(record)?));
        case.map_or_else(|| self.usual(), |case| Cow::Owned(self.of_case(case)))
    }

    /// Adds what is wrong with the cases, apart from what is wrong without them.
    pub(super) fn of_cases(&self, inputs: &Inputs, all: &mut Vec<Mistake>) {
        let Some(by) = &self.by else { return };
        if by.field.trim().is_empty() {
            all.push(Mistake::new(&["by", "field"], "names no field"));
        }
        if by.cases.is_empty() {
            all.push(Mistake::new(&["by", "cases"], "there is no case; leave `by` out"));
        }
        let usual = all.clone();
        for (value, case) in &by.cases {
            let place = ["by", "cases", value.as_str()];
            if value.is_empty() {
                let message = "an empty field is no case: such records are asked as is said beside `by`";
                all.push(Mistake::new(&place, message));
            }
            if case.model.is_some() && self.models.is_some() {
                let path = [&place[..], &["model"]].concat();
                all.push(Mistake::new(
                    &path,
                    "stands below `models`, of which every record is asked; leave one of them out",
                ));
            }
            for mistake in self.of_case(case).mistakes_with(inputs) {
                let key = mistake.path.first().map_or("", String::as_str);
                // What is wrong beside `by` is told there, and once.
                if !case.says(key) && usual.contains(&mistake) {
                    continue;
                }
                let mut path: Vec<String> = place.iter().map(|&key| key.to_owned()).collect();
                if case.says(key) {
                    path.extend(mistake.path);
                }
                all.push(Mistake { path, ..mistake });
            }
        }
    }
}

impl By {
    /// Returns what the field of a record holds, as the cases are called; nothing where it is not there.
    pub(in crate::prompt) fn value_of<'r>(&self, record: &'r Record) -> Option<Cow<'r, str>> {
        let text = str::from_utf8(&record.bytes).ok()?;
        let mut found = None;
        // What is wrong with the record is told when its prompt is made.
        json::members(text, |name, value| {
            if name == self.field {
                found = Some(value);
            }
        })
        .ok()?;
        let value = found?;
        if value.get().starts_with('"') { text_of(value).ok() } else { Some(Cow::Borrowed(value.get())) }
    }
}
