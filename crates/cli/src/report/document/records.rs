//! How records ended, and why some did not succeed.

use super::{
    Block, Cell, Section, Setting, Shown, Table, Tone, cell,
    figures::{ends, share, shares},
    number, sentence, text,
};
use crate::{
    progress::thousands,
    report::{
        facts::{Counts, Example, Failed},
        words::{fill, filled},
    },
};

impl Setting<'_> {
    pub(super) fn records(&self) -> Option<Section> {
        let (words, report) = (self.words, self.report);
        let mut columns = vec![text(words.step), number(words.records), number(words.settled), number(words.succeeded)];
        let totals = &report.totals;
        // Columns that would hold nothing but zeros are left out.
        type Count = fn(&Counts) -> u64;
        let others: [(&str, Count, bool); 5] = [
            (words.failed, |c| c.failed, true),
            (words.skipped, |c| c.skipped, true),
            (words.cancelled, |c| c.cancelled, totals.cancelled > 0),
            (words.missing, |c| c.missing, totals.missing > 0),
            (words.unsettled, |c| c.unsettled.unwrap_or(0), totals.unsettled.is_some_and(|n| n > 0)),
        ];
        let others: Vec<(&str, Count)> =
            others.into_iter().filter(|(.., is_shown)| *is_shown).map(|(name, n, _)| (name, n)).collect();
        columns.extend(others.iter().map(|(name, _)| number(name)));
        columns.push(text(words.share));
        let row = |name: &str, counts: &Counts| {
            let records = counts.records.map_or_else(|| words.not_known_yet.to_owned(), thousands);
            let mut row =
                vec![cell(name), cell(records), cell(thousands(counts.settled)), cell(thousands(counts.succeeded))];
            row.extend(others.iter().map(|(_, n)| cell(thousands(n(counts)))));
            row.push(Cell::Bar(shares(counts)));
            row
        };
        let mut rows: Vec<Vec<Cell>> = report.steps.iter().map(|step| row(&step.name, &step.counts)).collect();
        if report.steps.len() > 1 {
            rows.push(row(words.all_steps, totals));
        }
        let mut blocks = vec![Block::Table(Table { columns, rows })];
        blocks.extend(self.adding_up().map(Block::Text));
        let n = |n: u64| [("n", thousands(n))];
        for (sentence, count) in [
            (words.duplicates, totals.duplicates),
            (words.reparsed, totals.reparsed),
            (words.restored, totals.restored),
            (words.damaged_records, totals.damaged),
            (words.surplus, totals.surplus),
            (words.short, totals.short.unwrap_or(0)),
        ] {
            if count > 0 {
                blocks.push(Block::Text(filled(sentence, &n(count))));
            }
        }
        Some(self.section(words.records_heading, words.records_note, blocks))
    }

    /// The sum in figures, where it is right. Where it is not, that is an alarm.
    fn adding_up(&self) -> Option<String> {
        let (words, totals) = (self.words, &self.report.totals);
        let parts = [
            (totals.succeeded, words.succeeded),
            (totals.failed, words.failed),
            (totals.skipped, words.skipped),
            (totals.cancelled, words.cancelled),
            (totals.missing, words.missing),
        ];
        let told = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", thousands(*n)));
        let sum = told.collect::<Vec<_>>().join(" + ");
        let sum = if sum.is_empty() { "0".to_owned() } else { sum };
        let agrees = ends(totals) == totals.settled && !totals.disagrees;
        match (totals.records, totals.unsettled) {
            (Some(records), Some(0)) if agrees && totals.adds_up == Some(true) => {
                let values = [("ends", sum), ("records", thousands(records + totals.surplus))];
                Some(filled(words.adds_up, &values))
            }
            (Some(records), Some(unsettled)) if agrees && totals.settled + unsettled == records + totals.surplus => {
                let sum = format!("{sum} + {} {}", thousands(unsettled), words.unsettled);
                let values = [("ends", sum), ("unsettled", thousands(unsettled)), ("records", thousands(records))];
                Some(filled(words.adds_up_open, &values))
            }
            (None, _) if agrees => {
                Some(filled(words.adds_up_unknown, &[("settled", thousands(totals.settled)), ("ends", sum)]))
            }
            _ => None,
        }
    }

    pub(super) fn failures(&self) -> Option<Section> {
        let (words, report) = (self.words, self.report);
        if report.failures.is_empty() {
            let blocks = vec![Block::Text(words.failures_none.to_owned())];
            return (report.totals.settled > 0).then(|| self.section(words.failures_heading, "", blocks));
        }
        let failed: Vec<Failed> = report.failures.iter().map(|failures| failures.failed.clone()).collect();
        let mut blocks = vec![Block::Table(self.failed(&failed))];
        for failures in &report.failures {
            let failed = &failures.failed;
            let why = match failed.reason {
                Some(reason) => format!("{}, {}", failed.kind.word(), reason.word()),
                None => failed.kind.word().to_owned(),
            };
            blocks.extend(self.examples(&why, failed.count, &failures.examples));
        }
        Some(self.section(words.failures_heading, words.failures_note, blocks))
    }

    pub(super) fn skips(&self) -> Option<Section> {
        let (words, report) = (self.words, self.report);
        if report.skips.is_empty() {
            return None;
        }
        let columns = vec![text(words.reason), number(words.count), text(words.share), sentence(words.meaning)];
        let all = report.totals.skipped;
        let rows = report.skips.iter().map(|skips| {
            let skipped = &skips.skipped;
            let bar = Cell::Bar(vec![(Tone::Faint, share(skipped.count, all))]);
            let reason = Cell::Code(skipped.reason.word().to_owned());
            vec![reason, cell(thousands(skipped.count)), bar, cell(words.skip_means(skipped.reason))]
        });
        let mut blocks = vec![Block::Table(Table { columns, rows: rows.collect() })];
        // Where there was nothing to do there is nothing to look at.
        for skips in report.skips.iter().filter(|skips| !skips.skipped.reason.is_expected()) {
            blocks.extend(self.examples(skips.skipped.reason.word(), skips.skipped.count, &skips.examples));
        }
        Some(self.section(words.skips_heading, words.skips_note, blocks))
    }

    pub(super) fn failed(&self, failed: &[Failed]) -> Table {
        let words = self.words;
        let columns =
            [text(words.kind), text(words.reason), number(words.count), text(words.share), sentence(words.meaning)];
        let all: u64 = failed.iter().map(|failed| failed.count).sum();
        let has_reasons = failed.iter().any(|failed| failed.reason.is_some());
        let rows = failed.iter().map(|failed| {
            let reason = failed.reason.map_or_else(|| cell(""), |reason| Cell::Code(reason.word().to_owned()));
            let kind_means = words.kind_means(failed.kind);
            let means = match failed.reason {
                Some(reason) => fill(words.because, &[("what", kind_means), ("why", words.reason_means(reason))]),
                None => kind_means.to_owned(),
            };
            let bar = Cell::Bar(vec![(Tone::Bad, share(failed.count, all))]);
            let row =
                [Cell::Code(failed.kind.word().to_owned()), reason, cell(thousands(failed.count)), bar, cell(means)];
            row.into_iter().enumerate().filter(|(n, _)| *n != 1 || has_reasons).map(|(_, cell)| cell).collect()
        });
        let rows = rows.collect();
        let columns = columns.into_iter().enumerate().filter(|(n, _)| *n != 1 || has_reasons);
        Table { columns: columns.map(|(_, column)| column).collect(), rows }
    }

    fn examples(&self, why: &str, n: u64, examples: &[Example]) -> Option<Block> {
        let words = self.words;
        let shown = examples.iter().map(|example| {
            let line = ("line", thousands(example.line));
            let mut place = vec![match &example.part {
                Some(part) => filled(words.example_part, &[("part", part.clone()), line]),
                None => filled(words.example_line, &[line]),
            }];
            if self.report.steps.len() > 1 {
                place.insert(0, example.step.clone());
            }
            if example.sample > 0 {
                place.push(filled(words.example_sample, &[("n", example.sample.to_string())]));
            }
            match example.attempts {
                0 => {}
                1 => place.push(words.example_attempt.to_owned()),
                n => place.push(filled(words.example_attempts, &[("n", thousands(u64::from(n)))])),
            }
            place.extend(example.upstream.clone());
            Shown {
                place: place.join(" · "),
                message: crate::lang::tr(&example.message).into_owned(),
                answer: example.answer.clone().map(|answer| (words.example_answer, answer)),
            }
        });
        let title = filled(words.example_of, &[("why", why.to_owned()), ("n", thousands(n))]);
        (!examples.is_empty()).then(|| Block::Examples(title, shown.collect()))
    }
}
