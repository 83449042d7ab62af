//! What stands at the top: sentences, alarms and the numbers that are looked for first.

use store::RunState;

use super::{
    Alarm, Setting, Tile, Tone,
    figures::{amounts, decimal, ends, moment, percent, share, total_of},
};
use crate::{
    progress::thousands,
    report::words::{fill, filled},
};

impl Setting<'_> {
    pub(super) fn lead(&self) -> Vec<String> {
        let (words, run, time) = (self.words, &self.report.run, &self.report.time);
        let values = [("pipeline", run.pipeline.as_str()), ("begun", &moment(&time.begun)), ("version", &run.version)];
        let last = time.last.as_deref().map(moment);
        let state = match (run.state, &last) {
            (RunState::Done, _) => words.done_long.to_owned(),
            (_, None) => words.empty_long.to_owned(),
            (RunState::Running, Some(last)) => fill(words.running_long, &[("last", last)]),
            (RunState::Interrupted, Some(last)) => fill(words.interrupted_long, &[("last", last)]),
        };
        let limit = run.limit.map(|limit| fill(words.limited, &[("n", &thousands(limit))]));
        [Some(fill(words.of_pipeline, &values)), Some(state), limit].into_iter().flatten().collect()
    }

    pub(super) fn alarms(&self) -> Vec<Alarm> {
        let (words, report) = (self.words, self.report);
        let alarm = |text: String| Alarm { text, details: Vec::new() };
        let mut alarms = Vec::new();
        if !report.run.simulated_models.is_empty() {
            let models = report.run.simulated_models.join(words.comma);
            alarms.push(alarm(fill(words.simulated, &[("models", &models)])));
        }
        if !report.damage.is_empty() {
            let bytes: u64 = report.damage.iter().map(|damage| damage.bytes).sum();
            let values = [("stretches", thousands(report.damage.len() as u64)), ("bytes", thousands(bytes))];
            let details = report.damage.iter().map(|damage| {
                let (offset, bytes) = (thousands(damage.offset), thousands(damage.bytes));
                fill(words.damaged_at, &[("file", &damage.file), ("offset", &offset), ("bytes", &bytes)])
            });
            alarms.push(Alarm { text: filled(words.damaged_alarm, &values), details: details.collect() });
        }
        for step in report.steps.iter().filter(|step| !step.counts.is_sound()) {
            let counts = &step.counts;
            let (name, settled) = (("step", step.name.clone()), ("settled", thousands(counts.settled)));
            let text = match counts.records {
                Some(records) if !counts.disagrees && counts.damaged == 0 => {
                    filled(words.does_not_add_up, &[name, settled, ("records", thousands(records))])
                }
                _ => filled(words.does_not_agree, &[name, settled, ("ends", thousands(ends(counts)))]),
            };
            alarms.push(Alarm { text, details: Vec::new() });
        }
        alarms
    }

    pub(super) fn tiles(&self) -> Vec<Tile> {
        let (words, report) = (self.words, self.report);
        let totals = &report.totals;
        let of = match totals.records {
            Some(records) => fill(words.of_records, &[("n", &thousands(records))]),
            None => fill(words.settled_so_far, &[("n", &thousands(totals.settled))]),
        };
        let tile =
            |value: String, label: &str, detail: String, tone| Tile { value, label: label.to_owned(), detail, tone };
        let mut tiles = vec![tile(thousands(totals.succeeded), words.succeeded, of, Tone::Good)];
        for (n, label, tone) in [
            (totals.failed, words.failed, Tone::Bad),
            (totals.skipped, words.skipped, Tone::Faint),
            (totals.missing, words.missing, Tone::Bad),
            (totals.cancelled, words.cancelled, Tone::Open),
            (totals.unsettled.unwrap_or(0), words.unsettled, Tone::Open),
        ] {
            // That nothing failed is worth a tile; that nothing was cancelled is not.
            if n > 0 || label == words.failed {
                let share = share(n, totals.records.unwrap_or(totals.settled));
                let tone = if n > 0 { tone } else { Tone::Plain };
                tiles.push(tile(thousands(n), label, percent(share), tone));
            }
        }
        let time = &report.time;
        let working = if time.working_ms == time.wall_ms {
            String::new()
        } else {
            fill(words.working_time, &[("time", &words.duration(time.working_ms))])
        };
        tiles.push(tile(words.duration(time.wall_ms), words.wall_time, working, Tone::Plain));
        let peak = report.rate.buckets.iter().map(total_of).max().unwrap_or(0);
        let peak = filled(words.peak, &[("n", thousands(peak)), ("time", words.duration(report.rate.bucket_ms))]);
        tiles.push(tile(decimal(report.rate.per_second), words.records_per_second, peak, Tone::Plain));
        let tokens = &report.bill.tokens;
        if tokens.prompt + tokens.completion > 0 {
            let values = [("prompt", thousands(tokens.prompt)), ("completion", thousands(tokens.completion))];
            let detail = filled(words.tokens_in_out, &values);
            tiles.push(tile(thousands(tokens.prompt + tokens.completion), words.tokens, detail, Tone::Plain));
        }
        if !report.bill.cost.is_empty() {
            let detail = match amounts(&report.bill.cost_per_1000_succeeded) {
                none if none.is_empty() => String::new(),
                per_1000 => fill(words.cost_per_1000, &[("cost", &per_1000)]),
            };
            tiles.push(tile(amounts(&report.bill.cost), words.cost, detail, Tone::Plain));
        }
        tiles
    }
}
