//! Attempts and answers: what they cost, how long they took, what they were like.

use super::{
    BinPlot, Block, Cell, Column, RatePlot, Section, Setting, Table, Tone, cell,
    figures::{amounts, decimal, moment, place_in, share, total_of},
    number, text,
};
use crate::{
    progress::thousands,
    report::{
        facts::{Bin, Distribution, Spread},
        words::{fill, filled},
    },
};

impl Setting<'_> {
    pub(super) fn attempts(&self) -> Option<Section> {
        let (words, attempts) = (self.words, &self.report.attempts);
        if attempts.total == 0 {
            return None;
        }
        let values = [("n", thousands(attempts.total)), ("retried", thousands(attempts.retried))];
        let mut blocks = vec![Block::Text(filled(words.attempts_total, &values))];
        if attempts.retried > 0 {
            blocks.push(Block::Table(self.failed(&attempts.retried_by)));
        }
        Some(self.section(words.attempts_heading, words.attempts_note, blocks))
    }

    pub(super) fn bill(&self) -> Option<Section> {
        let (words, bill) = (self.words, &self.report.bill);
        let (mut answers, mut billed) = (0, 0);
        for upstream in &bill.by_upstream {
            answers += upstream.answers;
            billed += upstream.billed;
        }
        if answers == 0 {
            return None;
        }
        if billed == 0 {
            let blocks = vec![Block::Text(words.bill_none.to_owned())];
            return Some(self.section(words.bill_heading, "", blocks));
        }
        let names = [
            words.answers,
            words.prompt_tokens,
            words.cached_tokens,
            words.completion_tokens,
            words.reasoning_tokens,
            words.cost,
        ];
        let mut columns = vec![text(words.upstream)];
        columns.extend(names.map(number));
        columns.push(text(words.share));
        let all = bill.tokens.prompt + bill.tokens.completion;
        let rows = bill.by_upstream.iter().map(|upstream| {
            let tokens = &upstream.tokens;
            let cost = match &upstream.cost {
                Some(cost) => amounts(std::slice::from_ref(cost)),
                None => words.no_price_known.to_owned(),
            };
            vec![
                cell(self.upstream(&upstream.name, upstream.simulated)),
                cell(thousands(upstream.answers)),
                cell(thousands(tokens.prompt)),
                cell(thousands(tokens.cached)),
                cell(thousands(tokens.completion)),
                cell(thousands(tokens.reasoning)),
                cell(cost),
                Cell::Bar(vec![(Tone::Plain, share(tokens.prompt + tokens.completion, all))]),
            ]
        });
        let mut blocks = vec![Block::Table(Table { columns, rows: rows.collect() })];
        if !bill.cost_per_1000_succeeded.is_empty() {
            let values = [("cost", amounts(&bill.cost)), ("per_1000", amounts(&bill.cost_per_1000_succeeded))];
            blocks.push(Block::Text(filled(words.cost_total, &values)));
        }
        if bill.unpriced_tokens > 0 && !bill.cost.is_empty() {
            blocks.push(Block::Text(filled(words.unpriced, &[("n", thousands(bill.unpriced_tokens))])));
        }
        if billed < answers {
            blocks.push(Block::Text(filled(words.unbilled, &[("n", thousands(answers - billed))])));
        }
        let models: Vec<String> = bill
            .by_upstream
            .iter()
            .flat_map(|upstream| &upstream.models)
            .map(|model| format!("{} ({})", model.name, thousands(model.count)))
            .collect();
        if !models.is_empty() {
            blocks.push(Block::Text(fill(words.models_answered, &[("models", &models.join(words.comma))])));
        }
        blocks.push(Block::Text(filled(words.throughput, &[("n", decimal(bill.tokens_per_second))])));
        Some(self.section(words.bill_heading, words.bill_note, blocks))
    }

    fn upstream(&self, name: &str, is_simulated: bool) -> String {
        match (name, is_simulated) {
            ("", _) => self.words.unknown_upstream.to_owned(),
            (name, true) => fill(self.words.simulated_upstream, &[("name", name)]),
            (name, false) => name.to_owned(),
        }
    }

    pub(super) fn dedupe(&self) -> Option<Section> {
        let (words, dedupe) = (self.words, self.report.dedupe.as_ref()?);
        let tokens = dedupe.tokens.prompt + dedupe.tokens.completion;
        let values = [("n", thousands(dedupe.not_asked)), ("tokens", thousands(tokens))];
        let mut blocks = vec![Block::Text(filled(words.dedupe_text, &values))];
        if !dedupe.cost.is_empty() {
            blocks.push(Block::Text(fill(words.dedupe_cost, &[("cost", &amounts(&dedupe.cost))])));
        }
        Some(self.section(words.dedupe_heading, "", blocks))
    }

    pub(super) fn latency(&self) -> Option<Section> {
        let (words, report) = (self.words, self.report);
        if report.latency.spread.count == 0 {
            return None;
        }
        let ms = |ms: f64| words.duration(ms.round() as u64);
        let rows = report.bill.by_upstream.iter().filter(|upstream| upstream.latency.count > 0);
        let rows =
            rows.map(|upstream| spread_row(self.upstream(&upstream.name, upstream.simulated), &upstream.latency, &ms));
        let blocks = vec![
            Block::Table(Table { columns: self.spread_columns(words.upstream), rows: rows.collect() }),
            self.bins(words.latency_plot, &report.latency, &|n| words.duration(n)),
        ];
        Some(self.section(words.latency_heading, words.latency_note, blocks))
    }

    fn spread_columns(&self, first: &str) -> Vec<Column> {
        let words = self.words;
        let mut columns = vec![text(first)];
        columns.extend(["p50", "p90", "p99"].map(number));
        columns.extend([words.maximum, words.minimum, words.mean, words.count].map(number));
        columns
    }

    fn bins(&self, title: &'static str, distribution: &Distribution, write: &dyn Fn(u64) -> String) -> Block {
        let bins = distribution.bins.clone();
        let ends = match (bins.first(), bins.last()) {
            (Some(first), Some(last)) => (write(first.from), write(last.to)),
            _ => Default::default(),
        };
        let spread = &distribution.spread;
        let marks = [("p50", spread.p50), ("p90", spread.p90), ("p99", spread.p99)];
        let marks = marks.into_iter().filter_map(|(name, value)| {
            Some((format!("{name} {}", write(value.round() as u64)), place_in(&bins, value)?))
        });
        let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
        let peak = filled(self.words.most_answers, &[("n", thousands(most))]);
        let label = |bin: &Bin| match bin.to - bin.from {
            1 => write(bin.from),
            _ => format!("{}–{}", write(bin.from), write(bin.to)),
        };
        let labels = bins.iter().map(label).collect();
        let title =
            if distribution.logarithmic { fill(self.words.logarithmic, &[("title", title)]) } else { title.to_owned() };
        Block::Bins(BinPlot { title, marks: marks.collect(), labels, bins, peak, ends })
    }

    pub(super) fn rate(&self) -> Option<Section> {
        let (words, rate) = (self.words, &self.report.rate);
        let peak = rate.buckets.iter().map(total_of).max().filter(|peak| *peak > 0)?;
        let bucket = words.duration(rate.bucket_ms);
        let whole = rate.bucket_ms * rate.buckets.len() as u64;
        let began = rate.processes_began_ms.iter().skip(1).map(|at| *at as f64 / whole.max(1) as f64);
        let (time, last) = (&self.report.time, self.report.time.last.as_deref().map(moment));
        let plot = RatePlot {
            title: words.rate_plot,
            buckets: rate.buckets.clone(),
            series: [(Tone::Good, words.succeeded), (Tone::Bad, words.failed), (Tone::Faint, words.skipped)],
            peak,
            peak_label: filled(words.peak, &[("n", thousands(peak)), ("time", bucket.clone())]),
            began: began.collect(),
            began_label: words.process_began,
            ends: (
                time.by_process.first().map_or_else(|| moment(&time.begun), |process| moment(&process.begun)),
                last.unwrap_or_default(),
            ),
        };
        let text = filled(words.rate_text, &[("rate", decimal(rate.per_second))]);
        let blocks = vec![Block::Rate(plot), Block::Text(text)];
        Some(self.section(words.rate_heading, &fill(words.rate_note, &[("bucket", &bucket)]), blocks))
    }

    pub(super) fn answers(&self) -> Option<Section> {
        let (words, report) = (self.words, self.report);
        let whole = |n: f64| thousands(n.round() as u64);
        let mut rows = Vec::new();
        for (name, distribution) in
            [(words.length_tokens, &report.answer_tokens), (words.length_characters, &report.answer_characters)]
        {
            if distribution.spread.count > 0 {
                rows.push(spread_row(name.to_owned(), &distribution.spread, &whole));
            }
        }
        let upstreams: Vec<_> = report.bill.by_upstream.iter().filter(|u| u.tokens_per_second.count > 0).collect();
        for upstream in &upstreams {
            let name = match upstreams.len() {
                1 => words.speed.to_owned(),
                _ => fill(words.speed_of, &[("upstream", &self.upstream(&upstream.name, false))]),
            };
            rows.push(spread_row(name, &upstream.tokens_per_second, &decimal));
        }
        if rows.is_empty() && report.finish_reasons.is_empty() {
            return None;
        }
        let mut blocks = Vec::new();
        if !rows.is_empty() {
            blocks.push(Block::Table(Table { columns: self.spread_columns(""), rows }));
        }
        if report.answer_tokens.spread.count > 0 {
            blocks.push(self.bins(words.length_plot_tokens, &report.answer_tokens, &thousands));
        } else if report.answer_characters.spread.count > 0 {
            blocks.push(self.bins(words.length_plot_characters, &report.answer_characters, &thousands));
        }
        if !report.finish_reasons.is_empty() {
            let columns = vec![text(words.finish_reason), number(words.count), text(words.share)];
            let all: u64 = report.finish_reasons.iter().map(|reason| reason.count).sum();
            let rows = report.finish_reasons.iter().map(|reason| {
                let bar = Cell::Bar(vec![(Tone::Plain, share(reason.count, all))]);
                vec![Cell::Code(reason.name.clone()), cell(thousands(reason.count)), bar]
            });
            blocks.push(Block::Table(Table { columns, rows: rows.collect() }));
        }
        Some(self.section(words.answers_heading, words.answers_note, blocks))
    }
}

fn spread_row(name: String, spread: &Spread, write: &dyn Fn(f64) -> String) -> Vec<Cell> {
    let values = [spread.p50, spread.p90, spread.p99, spread.max, spread.min, spread.mean];
    let mut row = vec![cell(name)];
    row.extend(values.map(|value| cell(write(value))));
    row.push(cell(thousands(spread.count)));
    row
}
