//! Several prompts in one: which one a record is asked with is told by a field of its.
//!
//! Each case is a prompt of its own, ready for records, and so is what is asked of all others. All of them make the same
//! new fields, so that a table has the same columns in every row: those that only other cases have are `null`.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use domain::{
    Answer, BoxFuture, Failure, FailureKind, Outcome, Planned, Record, SampleNumber, Unplanned, WorkItem, json,
    ports::{AttemptContext, Ended, Handler, ModelClient, Reserve},
};
use serde_json::value::RawValue;

use super::{By, Prompt, PromptHandler, attach::Attachments, validate::quoted};
use crate::{mistake::Mistakes, template::Inputs};

/// Asks a model about each record, with the prompt that the record's case has.
pub struct CasesHandler {
    by: By,
    usual: PromptHandler,
    cases: BTreeMap<String, PromptHandler>,
    /// The new fields of all cases.
    new_fields: Vec<String>,
}

impl CasesHandler {
    /// Makes a handler of a prompt that has cases; `None` where it has none.
    ///
    /// # Errors
    /// Every mistake in `config` and `inputs`; see [`Prompt::mistakes`].
    pub fn new(
        config: &Prompt,
        inputs: &Inputs,
        client: &Arc<dyn ModelClient>,
        attachments: &Arc<dyn Attachments>,
    ) -> Result<Option<Self>, Mistakes> {
        let Some(by) = config.by.clone() else { return Ok(None) };
        let mistakes = config.mistakes_with(inputs);
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        let handler =
            |prompt: &Prompt| PromptHandler::new(prompt, inputs.clone(), Arc::clone(client), Arc::clone(attachments));
        let cases = config.cases().map(|(value, prompt)| Ok((value.to_owned(), handler(&prompt)?)));
        Ok(Some(Self {
            usual: handler(&config.usual())?,
            cases: cases.collect::<Result<_, Mistakes>>()?,
            new_fields: config.new_fields(),
            by,
        }))
    }

    /// Returns how many accepted answers are wanted of each record; see [`PromptHandler::until`].
    #[must_use]
    pub fn until(&self) -> Option<(u32, u32)> {
        self.usual.until()
    }

    /// Returns whether identical requests are asked once.
    #[must_use]
    pub fn dedupes(&self) -> bool {
        self.usual.dedupes()
    }

    fn of(&self, record: &Record) -> &PromptHandler {
        let case = self.by.value_of(record).and_then(|value| self.cases.get(&*value));
        case.unwrap_or(&self.usual)
    }

    fn of_item(&self, item: &WorkItem) -> &PromptHandler {
        item.members.first().map_or(&self.usual, |(record, _)| self.of(record))
    }

    /// Makes an answer have the new fields of all cases.
    fn whole(&self, of: &PromptHandler, ended: Ended) -> Ended {
        match ended {
            Ended::Done(answer) if of.new_fields() != self.new_fields => match self.filled(&answer.output) {
                Ok(output) => Ended::Done(Answer { output, ..answer }),
                Err(failure) => Ended::Failed(failure, answer.raw, answer.meta),
            },
            ended => ended,
        }
    }

    fn filled(&self, output: &RawValue) -> Result<Box<RawValue>, Failure> {
        let internal = |what: String| Failure::new(FailureKind::Internal, what);
        let mut values: Vec<Option<&RawValue>> = vec![None; self.new_fields.len()];
        json::members(output.get(), |name, value| {
            if let Some(i) = self.new_fields.iter().position(|known| *known == name) {
                values[i] = Some(value);
            }
        })
        .map_err(|error| internal(error.0))?;
        let members = self.new_fields.iter().zip(values);
        let members = members.map(|(name, value)| format!("{}{}", quoted(name), value.map_or("null", RawValue::get)));
        let whole = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        RawValue::from_string(whole).map_err(|error| internal(json::in_words(&error)))
    }
}

impl Handler for CasesHandler {
    fn samples(&self) -> SampleNumber {
        self.usual.samples()
    }

    fn judge_again(&self, record: &Record, outcome: &Outcome, raw: &Bytes) -> Option<Ended> {
        let of = self.of(record);
        of.judge_again(record, outcome, raw).map(|ended| self.whole(of, ended))
    }

    fn plan(&self, record: &Record) -> Result<Planned, Unplanned> {
        self.of(record).plan(record)
    }

    fn reserve(&self, item: &WorkItem, deadline: Instant) -> Reserve {
        self.of_item(item).reserve(item, deadline)
    }

    fn width_freed(&self) -> BoxFuture<'_, ()> {
        self.usual.width_freed()
    }

    fn perform<'a>(&'a self, item: &'a WorkItem, attempt: AttemptContext<'a>) -> BoxFuture<'a, Ended> {
        let of = self.of_item(item);
        Box::pin(async move { self.whole(of, of.perform(item, attempt).await) })
    }
}
