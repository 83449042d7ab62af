//! Answers that are there: in the journal of a run, and in the columns of the table that is read.

use domain::{Record, json};
use provider::tokens::Tokenizer;
use serde_json::value::RawValue;

use super::Spread;
use crate::pipeline::StepConfig;

/// The tokens of answers, as far as they are counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    counted: Vec<u64>,
    n: u64,
    /// The new fields with the columns that hold them.
    fields: Vec<(String, String)>,
}

impl Answers {
    /// Begins with what the journal has.
    pub(super) fn of(step: &StepConfig, in_journal: Self) -> Self {
        let fields = step.work.new_fields();
        let columns = step.sink.names(&fields);
        Self { fields: fields.into_iter().zip(columns).collect(), ..in_journal }
    }

    /// Takes an answer, as JSON of the new fields.
    pub(super) fn add(&mut self, answer: &str, most: u64, tokenizer: Tokenizer) {
        self.n += 1;
        if (self.counted.len() as u64) < most {
            self.counted.push(tokenizer.count_text(answer));
        }
    }

    /// Takes the answer that a record has already, if all of its columns hold something.
    pub(super) fn take(&mut self, record: &Record, most: u64, tokenizer: Tokenizer) {
        let mut values: Vec<Option<&RawValue>> = vec![None; self.fields.len()];
        let text = str::from_utf8(&record.bytes).unwrap_or_default();
        let read = json::members(text, |name, value| {
            if let Some(i) = self.fields.iter().position(|(_, column)| *column == name) {
                values[i] = Some(value);
            }
        });
        let filled: Vec<&RawValue> = values.into_iter().flatten().filter(|value| !json::is_empty(value)).collect();
        if read.is_err() || filled.len() < self.fields.len() || filled.is_empty() {
            return;
        }
        let members = self.fields.iter().zip(filled);
        let members =
            members.map(|((field, _), value)| format!("{}: {}", serde_json::Value::from(field.as_str()), value));
        let answer = format!("{{{}}}", members.collect::<Vec<_>>().join(", "));
        self.add(&answer, most, tokenizer);
    }

    /// Returns how they differ; nothing where there are none.
    pub(super) fn spread(self) -> Option<Spread> {
        Spread::of(self.counted, self.n)
    }
}
