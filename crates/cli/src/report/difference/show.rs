//! A difference for people, as Markdown.

use super::{Change, Difference, Example, Side};
use crate::{
    language::Language,
    progress::thousands,
    report::{
        document::{Block, Cell, Column, Holds, Section, Shown, Table, figures},
        markdown,
        words::{Words, filled},
    },
};

/// Writes a difference in a language.
pub(crate) fn shown(difference: &Difference, language: Language) -> String {
    let words = language.words();
    let (a, b) = (&difference.a, &difference.b);
    let title = filled(words.difference_title, &[("a", a.run.clone()), ("b", b.run.clone())]);
    let sections = [pipeline(difference, words), side_by_side(a, b, words), records(difference, words)];
    markdown::of_sections(&title, &sections)
}

fn section(heading: &str, note: &str, blocks: Vec<Block>) -> Section {
    Section { heading: heading.to_owned(), note: note.to_owned(), blocks }
}

fn text(name: &str) -> Column {
    Column { name: name.to_owned(), holds: Holds::Names }
}

fn number(name: &str) -> Column {
    Column { name: name.to_owned(), holds: Holds::Numbers }
}

fn cell(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn pipeline(difference: &Difference, words: &'static Words) -> Section {
    let mut blocks = Vec::new();
    if difference.pipeline_parts.is_empty() {
        blocks.push(Block::Text(words.difference_no_parts.to_owned()));
    } else {
        let rows = difference.pipeline_parts.iter().map(|part| {
            let change = match part.change {
                Change::Changed => words.difference_changed,
                Change::OnlyA => words.difference_only_a,
                Change::OnlyB => words.difference_only_b,
            };
            vec![Cell::Code(part.part.clone()), cell(change)]
        });
        let columns = vec![text(words.difference_part), text(words.difference_change)];
        blocks.push(Block::Table(Table { columns, rows: rows.collect() }));
    }
    if difference.pipeline_file.is_empty() {
        blocks.push(Block::Text(words.difference_same_file.to_owned()));
    } else {
        blocks.push(Block::Code("diff", difference.pipeline_file.clone()));
    }
    section(words.pipeline_heading, words.difference_parts_note, blocks)
}

/// The counts, the cost and the times of both.
fn side_by_side(a: &Side, b: &Side, words: &'static Words) -> Section {
    let columns = vec![text(""), number("A"), number("B"), number("B − A")];
    let mut rows = vec![vec![cell(words.difference_run), cell(a.run.clone()), cell(b.run.clone()), cell("")]];
    let mut count = |name: &str, a: u64, b: u64, is_shown: bool| {
        if is_shown || a + b > 0 {
            rows.push(vec![cell(name), cell(thousands(a)), cell(thousands(b)), cell(signed(a, b))]);
        }
    };
    let (of_a, of_b) = (&a.counts, &b.counts);
    count(words.settled, of_a.settled, of_b.settled, true);
    count(words.succeeded, of_a.succeeded, of_b.succeeded, true);
    count(words.failed, of_a.failed, of_b.failed, true);
    count(words.skipped, of_a.skipped, of_b.skipped, false);
    count(words.missing, of_a.missing, of_b.missing, false);
    count(words.cancelled, of_a.cancelled, of_b.cancelled, false);
    count(words.unsettled, of_a.unsettled.unwrap_or(0), of_b.unsettled.unwrap_or(0), false);
    count(words.attempts_heading, a.attempts, b.attempts, true);
    count(words.prompt_tokens, a.tokens.prompt, b.tokens.prompt, true);
    count(words.completion_tokens, a.tokens.completion, b.tokens.completion, true);
    let mut row = |name: &str, a: String, b: String| {
        if !a.is_empty() || !b.is_empty() {
            rows.push(vec![cell(name), cell(a), cell(b), cell("")]);
        }
    };
    row(words.cost, figures::amounts(&a.cost), figures::amounts(&b.cost));
    let (per_1000_a, per_1000_b) = (&a.cost_per_1000_succeeded, &b.cost_per_1000_succeeded);
    row(words.difference_per_1000, figures::amounts(per_1000_a), figures::amounts(per_1000_b));
    let ms = |ms: f64| words.duration(ms.round() as u64);
    row(words.difference_p50, ms(a.latency_p50_ms), ms(b.latency_p50_ms));
    row(words.difference_p90, ms(a.latency_p90_ms), ms(b.latency_p90_ms));
    row(words.difference_working, words.duration(a.working_ms), words.duration(b.working_ms));
    section(words.difference_counts_heading, "", vec![Block::Table(Table { columns, rows })])
}

fn records(difference: &Difference, words: &'static Words) -> Section {
    let records = &difference.records;
    let n = |n: u64| thousands(n);
    let mut blocks = vec![Block::Text(filled(
        words.difference_common,
        &[("common", n(records.common)), ("only_a", n(records.only_a)), ("only_b", n(records.only_b))],
    ))];
    for (sentence, count) in
        [(words.difference_other_content, records.other_content), (words.difference_unreadable, records.unreadable)]
    {
        if count > 0 {
            blocks.push(Block::Text(filled(sentence, &[("n", n(count))])));
        }
    }
    blocks.push(Block::Text(filled(
        words.difference_answers,
        &[("compared", n(records.compared)), ("equal", n(records.equal)), ("different", n(records.different))],
    )));
    if !records.fields.is_empty() {
        let columns = vec![
            text(words.difference_field),
            number(words.difference_changed),
            number(words.difference_only_a),
            number(words.difference_only_b),
            text(words.share),
        ];
        let rows = records.fields.iter().map(|field| {
            let all = field.changed + field.only_a + field.only_b;
            let share = figures::percent(figures::share(all, records.compared));
            let counts = [field.changed, field.only_a, field.only_b].map(|count| cell(n(count)));
            let mut row = vec![Cell::Code(field.field.clone())];
            row.extend(counts);
            row.push(cell(share));
            row
        });
        blocks.push(Block::Table(Table { columns, rows: rows.collect() }));
    }
    if !records.ends.is_empty() {
        let columns = vec![text("A"), text("B"), number(words.count)];
        let rows = records.ends.iter();
        let rows =
            rows.map(|change| vec![cell(end(change.a, words)), cell(end(change.b, words)), cell(n(change.count))]);
        blocks.push(Block::Table(Table { columns, rows: rows.collect() }));
    }
    for (title, examples) in
        [(words.difference_examples, &records.examples), (words.difference_end_examples, &records.end_examples)]
    {
        if !examples.is_empty() {
            blocks.push(Block::Examples(title.to_owned(), examples.iter().map(|e| example(e, words)).collect()));
        }
    }
    section(words.difference_records_heading, words.difference_records_note, blocks)
}

fn example(example: &Example, words: &'static Words) -> Shown {
    let mut place = vec![example.step.clone(), filled(words.example_line, &[("line", thousands(example.line))])];
    if example.sample > 0 {
        place.push(filled(words.example_sample, &[("n", example.sample.to_string())]));
    }
    place.extend(example.field.clone());
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
    let both = format!("A  {}\nB  {}", side(&example.a), side(&example.b));
    Shown { place: place.join(" · "), message: String::new(), answer: Some(("", both)) }
}

fn end(word: &'static str, words: &'static Words) -> &'static str {
    match word {
        "succeeded" => words.succeeded,
        "failed" => words.failed,
        "skipped" => words.skipped,
        "cancelled" => words.cancelled,
        _ => words.missing,
    }
}

fn signed(a: u64, b: u64) -> String {
    match b.cmp(&a) {
        std::cmp::Ordering::Equal => "0".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", thousands(b - a)),
        std::cmp::Ordering::Less => format!("−{}", thousands(a - b)),
    }
}
