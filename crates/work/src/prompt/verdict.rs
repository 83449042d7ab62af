//! Whether what a model said will do, before anybody looks for fields in it.

use std::borrow::Cow;

use domain::{Failure, FailureKind, Reason};
use regex::Regex;

use super::{
    Answers, OnAnswer, OnLength, Prompt, Think,
    extract::Said,
    parse::{Finish, Message},
};
use crate::{
    mistake::{Mistake, Mistakes},
    reply::cut,
};

/// What answers are worth that fall short.
#[derive(Debug)]
pub(super) struct Policy {
    answers: Answers,
    pattern: Option<Regex>,
    reject: Option<Regex>,
    /// Asking for a tool is an answer.
    takes_tool_calls: bool,
}

impl Policy {
    pub(super) fn new(prompt: &Prompt) -> Result<Self, Mistakes> {
        let answers = prompt.answers.clone().unwrap_or_default();
        let regex = |key, pattern: &Option<String>| {
            let mistake = |error: regex::Error| Mistake::new(&["answers", key], error.to_string());
            pattern.as_deref().map(Regex::new).transpose().map_err(mistake)
        };
        Ok(Self {
            pattern: regex("pattern", &answers.pattern)?,
            reject: regex("reject", &answers.reject)?,
            answers,
            takes_tool_calls: prompt.has_tools() && prompt.output.is_none(),
        })
    }

    /// Returns whether the model is told what is wrong with an answer.
    pub(super) fn complains(&self) -> bool {
        self.answers.complain
    }

    /// Returns by how much the limit of tokens is raised for an answer that was cut off.
    pub(super) fn more_tokens(&self) -> Option<f64> {
        match self.answers.length {
            OnLength::MoreTokens(factor) => Some(factor),
            _ => None,
        }
    }

    /// Judges a refusal. One that is taken becomes the text.
    pub(super) fn declined(&self, message: &mut Message<'_>) -> Result<(), Failure> {
        let refused = |reason, what: String| {
            let failure = Failure::new(FailureKind::Refused, what).because(reason);
            fall(self.answers.refused, failure)
        };
        if let Some(refusal) = message.refusal.take() {
            refused(Reason::Declined, format!("the model declined: {}", cut(&refusal)))?;
            if message.content.trim().is_empty() {
                message.content = refusal;
            }
        }
        match message.finish {
            Finish::Filtered => {
                refused(Reason::Filtered, "the upstream's content filter stopped the answer".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Judges what was said, and whether it was said to the end.
    pub(super) fn hold(&self, message: &Message<'_>, said: &Said<'_>) -> Result<(), Failure> {
        let invalid = |reason, what: Cow<'static, str>| Failure::new(FailureKind::InvalidOutput, what).because(reason);
        let is_empty = said.answer.trim().is_empty();
        let has_thought =
            message.reasoning.is_some() || said.thought.as_ref().is_some_and(|thought| !thought.is_empty());
        if message.finish == Finish::Length {
            let what = if is_empty && has_thought {
                "the model spent all of `max_tokens` on its reasoning; raise `max_tokens` in `parameters`"
            } else {
                "the answer was cut off at `max_tokens`; raise it in `parameters`, or ask for less"
            };
            match self.answers.length {
                OnLength::Accept => {}
                OnLength::Fail => return Err(invalid(Reason::Length, what.into()).finally()),
                OnLength::Retry | OnLength::MoreTokens(_) => return Err(invalid(Reason::Length, what.into())),
            }
        }
        if is_empty {
            let asks = message.tool_calls.is_some() || message.finish == Finish::ToolCalls;
            return match asks {
                true if self.takes_tool_calls && message.tool_calls.is_some() => Ok(()),
                true => Err(invalid(Reason::ToolCall, "the model asked for a tool, and has none".into())),
                false => fall(self.answers.empty, invalid(Reason::Empty, "the answer is empty".into())),
            };
        }
        if self.answers.think == Think::Required && !has_thought {
            let what = "the answer comes without reasoning: no think block, and none beside the text";
            return Err(invalid(Reason::MissingThink, what.into()));
        }
        if let Some(pattern) = &self.pattern
            && !pattern.is_match(&said.answer)
        {
            let what = format!("the answer does not match `{pattern}`: {}", cut(said.answer.trim()));
            return Err(invalid(Reason::Pattern, what.into()));
        }
        if let Some(reject) = &self.reject
            && let Some(found) = reject.find(&said.answer)
        {
            let what = format!("the answer must not match `{reject}`, and holds `{}`", cut(found.as_str()));
            return Err(invalid(Reason::Pattern, what.into()));
        }
        Ok(())
    }
}

/// Makes of a shortfall what the pipeline says it is.
fn fall(on: OnAnswer, failure: Failure) -> Result<(), Failure> {
    match on {
        OnAnswer::Retry => Err(failure),
        OnAnswer::Fail => Err(failure.finally()),
        OnAnswer::Accept => Ok(()),
    }
}
