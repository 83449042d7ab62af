//! What other commands do to a run before it is worked on: open records again, judge answers anew, call it off.

use std::sync::Arc;

use domain::{EndClass, FailureKind, Header, Reason, RecordKey, ports::Recovered};
use engine::{Context, Control, Reparse, Reparsed};
use store::{Journal, LocalDisk};

use super::{Working, opening};
use crate::{
    commands::choose::JUDGING,
    compose::{models, step},
    progress::{counted, thousands},
    talk,
};

/// What is to be done before the run is worked on.
pub(crate) enum Before {
    Nothing,
    /// Open failed records again: those of these kinds or reasons, or all of them.
    Retry(Vec<String>),
    /// Judge every answer by the rules of now.
    Reparse {
        /// Whether to ask again for what fails by them.
        asks: bool,
    },
    /// End every record that is not settled as cancelled.
    CallOff,
}

impl Before {
    /// The parts of the pipeline that may differ from what the run was begun with.
    pub(crate) fn may_change(&self) -> &'static [&'static str] {
        match self {
            Self::Reparse { .. } => JUDGING,
            _ => &[],
        }
    }

    pub(super) fn control(&self) -> Control {
        if matches!(self, Self::CallOff) { Control::Cancel } else { Control::Run }
    }

    pub(super) fn changes_what_is_settled(&self) -> bool {
        matches!(self, Self::Retry(_) | Self::Reparse { .. })
    }

    pub(super) fn asks_nothing(&self) -> bool {
        matches!(self, Self::Reparse { asks: false })
    }
}

/// Entries are appended in batches of this size.
const BATCH: usize = 1024;

impl Working<'_> {
    /// Does what is to be done before, and reads from the journal what is settled now.
    pub(super) async fn apply(
        &mut self,
        before: &Before,
        context: &Context,
        models: &models::Models,
    ) -> anyhow::Result<()> {
        match before {
            Before::Nothing | Before::CallOff => return Ok(()),
            Before::Retry(kinds) => self.reopen(kinds, context).await?,
            Before::Reparse { asks } => self.reparse(*asks, context, models).await?,
        }
        let n_asked_again_before = self.recovered.n_asked_again_before;
        // Budgets and items in progress are as they were: what was opened again begins anew.
        let (peeked, _) = Journal::peek(&LocalDisk, &self.chosen.folder.journal())?;
        let spent = std::mem::take(&mut self.recovered.spent);
        let open = std::mem::take(&mut self.recovered.open);
        let refuted = std::mem::take(&mut self.recovered.refuted);
        self.recovered = Recovered { spent, open, refuted, n_asked_again_before, ..peeked };
        Ok(())
    }

    async fn reopen(&mut self, kinds: &[String], context: &Context) -> anyhow::Result<()> {
        let is_kind = |kind: FailureKind| kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind.word());
        let reasons: Vec<Reason> =
            Reason::ALL.into_iter().filter(|reason| kinds.iter().any(|wanted| wanted == reason.word())).collect();
        let wants = |word: &str| kinds.is_empty() || kinds.iter().any(|wanted| wanted == word);
        let wanted = |_: &RecordKey, class: EndClass| match class {
            EndClass::Failed(kind) => is_kind(kind) || !reasons.is_empty(),
            EndClass::Cancelled => wants("cancelled"),
            EndClass::Missing => wants("missing"),
            EndClass::Succeeded | EndClass::Skipped(_) => false,
        };
        let ended = Journal::ended(&LocalDisk, &self.chosen.folder.journal(), &wanted)?;
        let mut keys = Vec::new();
        for (key, at) in ended {
            // A reason stands in the outcome itself, which is read where one is asked for.
            let is_wanted = reasons.is_empty()
                || match context.journal.read(at)?.map(|entry| entry.header) {
                    Some(Header::Outcome(outcome)) => match &outcome.end {
                        domain::End::Failed(failure) => {
                            is_kind(failure.kind) || failure.reason.is_some_and(|reason| reasons.contains(&reason))
                        }
                        _ => true,
                    },
                    _ => false,
                };
            if is_wanted {
                keys.push(key);
            }
        }
        let now = self.clock.now();
        for batch in keys.chunks(BATCH) {
            context.journal.append(engine::reopening(batch, now)).await?;
        }
        talk::say(match keys.len() as u64 {
            0 => "no record to try again".to_owned(),
            n => format!("{} opened again", counted(n, "record")),
        });
        Ok(())
    }

    async fn reparse(&mut self, asks: bool, context: &Context, models: &models::Models) -> anyhow::Result<()> {
        // From here on the outputs may not show what the journal says, wherever this process ends.
        self.chosen.manifest.told = false;
        self.chosen.manifest.write(self.chosen.folder.path())?;
        for (number, (name, config)) in self.ready.pipeline.steps.0.iter().enumerate() {
            let number = u16::try_from(number)?;
            let folder = self.chosen.folder.clone();
            let parts = step::Parts {
                ready: self.ready,
                number,
                name,
                step: config,
                folder: &folder,
                limit: self.args.limit,
                seed: 0,
                creates: false,
            };
            let source = step::source(&parts)?;
            opening::compare(&*source, name, &mut self.chosen)?;
            let step = step::compose(&parts, Arc::clone(&source), models.gateway.clone())?;
            let limit = self.chosen.manifest.limit;
            let reparse = Reparse { number, source, handler: step.handler, limit, keeps_failures: !asks };
            let reparsed = engine::reparse(reparse, context).await?;
            tell(name, &reparsed, asks);
        }
        Ok(())
    }

    /// Returns how many records of finished steps are open again.
    pub(super) fn n_left(&self) -> u64 {
        let steps = self.ready.pipeline.steps.0.iter().enumerate();
        let of = |(number, (name, _)): (usize, &(String, _))| {
            let settled = self.recovered.settled.n_settled(u16::try_from(number).unwrap_or(u16::MAX));
            // A step that was never finished has an unknown number of records left: at least one.
            self.chosen.manifest.n_records.get(name).map_or(1, |n| n.saturating_sub(settled))
        };
        steps.map(of).sum()
    }
}

fn tell(step: &str, reparsed: &Reparsed, asks: bool) {
    let Reparsed { judged, unchanged, changed, mended, still_failed, reopened, without_answer } = *reparsed;
    let mut parts = vec![format!("{} as before", thousands(unchanged))];
    let mut add = |n: u64, what: &str| {
        if n > 0 {
            parts.push(format!("{} {what}", thousands(n)));
        }
    };
    add(changed, "with other fields");
    add(mended, "had failed and pass now");
    add(still_failed, "failed and still do");
    add(reopened, if asks { "do not pass any more and are asked again" } else { "do not pass any more" });
    add(without_answer, "without an answer in the journal");
    talk::say(format!("step {step}: {} judged again: {}", counted(judged, "answer"), parts.join(", ")));
}
