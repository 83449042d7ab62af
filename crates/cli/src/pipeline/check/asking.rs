//! Checking what a step asks of models.

use domain::{Record, SkipReason, Unplanned};
use gateway::ModelsFile;
use work::prompt::Filter;

use super::{Whole, deepest};
use crate::pipeline::StepConfig;

impl Whole<'_> {
    pub(super) fn check_work(&mut self, name: &str, step: &StepConfig, models: Option<&ModelsFile>) {
        let inputs = step.inputs();
        if let Some(Err(message)) = inputs.where_.as_deref().map(Filter::new) {
            self.error(&["steps", name, "source", "where"], message);
        }
        let place = ["steps", name, "work", step.work.key()];
        for mistake in step.work.mistakes(&inputs) {
            let mut keys = place.to_vec();
            keys.extend(mistake.path.iter().map(String::as_str));
            let mut span = deepest(self.document, &keys);
            if let (Some(span), Some(line)) = (&mut span, mistake.line) {
                // A block begins behind its `|`: the first line of the template is the next line of the file.
                let is_block = self.document.is_block(&keys);
                span.line += line - usize::from(!is_block);
                (span.column, span.length) = (1, 1);
            }
            self.diagnostics.push(self.document.error(span, mistake.message));
        }
        let Some(models) = models else { return };
        for (keys, route) in step.work.asked() {
            // That a name is missing was told above.
            if route.trim().is_empty() || models.models_of(route).is_some() {
                continue;
            }
            let known = models.known_names().join(", ");
            let message = format!("the models file knows no model or route `{route}`; it has: {known}");
            let keys: Vec<&str> = place.iter().copied().chain(keys.iter().map(String::as_str)).collect();
            self.error(&keys, message);
        }
    }

    /// Warns where the first record of the source is none that the work can be planned from: often a field of the
    /// template is misspelt, and every record would be skipped.
    pub(super) fn try_record(&mut self, name: &str, step: &StepConfig, place: &str, record: &Record) {
        let what = match step.work.try_out(step.inputs(), record) {
            Err(Unplanned::Skip(SkipReason::MissingField | SkipReason::BadRecord, what)) => what,
            Err(Unplanned::Fail(failure)) => failure.message,
            Ok(()) | Err(Unplanned::Skip(..)) => return,
        };
        let keys = ["steps", name, "work", step.work.key(), step.work.text_key()];
        let warning = self.document.warning(deepest(self.document, &keys), format!("{place}: {what}"));
        self.diagnostics.push(warning.help("it is the first record; all that are like it would not be asked about"));
    }
}
