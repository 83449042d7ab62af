//! The bar: three lines that say what a person wants to know, in the width that there is.
//!
//! Everything is ASCII but for the user's own words: the usual characters for bars take one column on some terminals and
//! two on others, those of many Chinese users among them.

use super::{
    layout::{Part, columns, cut, fit},
    screen::{Line, Size, Style},
    standing::Standing,
    wording::{about, by_word, cost, duration, instead, rate, thousands},
};
use crate::lang::tr;

/// A bar of fewer cells says nothing.
const LEAST_CELLS: usize = 8;
/// From so many on, what is told beside the bar is worth more than another cell.
const ENOUGH_CELLS: usize = 20;
/// A bar of more cells says no more.
const MOST_CELLS: usize = 60;

/// Makes the lines of the bar.
pub(super) fn lines(now: &Standing, size: Size) -> Vec<Line> {
    // The last column stays empty: a character there makes some terminals wrap at once.
    let width = size.columns.saturating_sub(1);
    let mut lines = vec![done(now, width), fit(ends(now), width), fit(spent(now), width)];
    // A window of few rows shows what matters most.
    lines.truncate(size.rows.saturating_sub(1).max(1));
    lines
}

/// `label [=====>     ] 1,319/2,638 (50.0 %), 660/s, ETA 2s`
fn done(now: &Standing, width: usize) -> Line {
    // A long name leaves room for the numbers.
    let name = cut(&now.step, (width / 3).max(8)).to_owned();
    let taken = columns(&name);
    let name = Part::new(0, name).styled(Style::Bold);
    let count = match now.total {
        Some(total) => format!("{}/{}", thousands(now.settled), thousands(total)),
        None => format!("{} settled", thousands(now.settled)),
    };
    let mut parts = vec![Part::new(0, count).after(" ")];
    if let Some(percent) = now.percent {
        parts.push(Part::new(2, format!("({percent:.1} %)")).after(" "));
    }
    parts.push(Part::new(0, rate(now.rate_per_second)));
    if let Some(eta) = now.eta_seconds {
        parts.push(Part::new(1, format!("ETA {}", duration(eta))));
    }
    // Two brackets and two spaces.
    let cells = |parts: &[Part]| width.saturating_sub(taken + fit(parts.to_vec(), usize::MAX).columns() + 4);
    let overall = Part::new(5, format!("{} overall", rate(now.rate_overall_per_second)));
    if now.elapsed_seconds >= 10.0 && (cells(&parts) >= ENOUGH_CELLS + overall.columns(false) || now.percent.is_none())
    {
        parts.push(overall);
    }
    let cells = cells(&parts).min(MOST_CELLS);
    let mut all = vec![name];
    if let Some(percent) = now.percent.filter(|_| cells >= LEAST_CELLS) {
        let [done, left] = graph(percent, cells);
        all.push(Part::new(9, "[").after(" "));
        all.push(Part::new(9, done).after("").styled(Style::Good));
        all.push(Part::new(9, format!("{left}]")).after(""));
    }
    all.extend(parts);
    fit(all, width)
}

fn graph(percent: f64, cells: usize) -> [String; 2] {
    let n_done = ((percent / 100.0 * cells as f64) as usize).min(cells);
    let tip = if n_done < cells { ">" } else { "" };
    [format!("{}{tip}", "=".repeat(n_done)), " ".repeat(cells - n_done - tip.len())]
}

/// `64 in flight, 12 retried (throttled 12), 3 failed (timeout 3), 5 skipped (blank 5)`
fn ends(now: &Standing) -> Vec<Part> {
    let mut parts = vec![Part::new(0, format!("{} in flight", thousands(now.in_flight)))];
    let mut add = |n: u64, what: &str, words: String, rank: u8, style: Style| {
        if n > 0 {
            parts.push(Part::new(rank, format!("{} {what}", thousands(n))).styled(style));
            if !words.is_empty() {
                parts.push(Part::new(rank + 3, format!("({words})")).after(" "));
            }
        }
    };
    add(now.failed, "failed", by_word(&now.failed_by_kind), 0, Style::Bad);
    let mut why = by_word(&now.retried_by_kind);
    let reasons = by_word(&now.retried_by_reason);
    if !reasons.is_empty() {
        why = format!("{why}: {reasons}");
    }
    add(now.retried, "retried", why, 2, Style::Plain);
    add(now.skipped, "skipped", by_word(&now.skipped_by_reason), 2, Style::Plain);
    add(now.missing, "missing", String::new(), 1, Style::Bad);
    add(now.cancelled, "cancelled", String::new(), 1, Style::Plain);
    add(now.asked_again_after_crash, "asked again after a crash", String::new(), 6, Style::Plain);
    parts
}

/// `0.0028 USD, 1.2M tokens in, 310k out, p50 52 ms, p99 110 ms, 12s elapsed`; what it waits for goes before tokens.
fn spent(now: &Standing) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(cost) = cost(&now.cost) {
        parts.push(Part::new(0, cost));
    }
    if now.unpriced_tokens > 0 && !now.cost.is_empty() {
        parts.push(Part::new(4, format!("{} tokens have no price", about(now.unpriced_tokens))));
    }
    let instead = instead(now);
    let is_waiting = instead.is_some();
    if let Some((what, detail)) = instead {
        parts.push(Part::new(0, tr(&what)).styled(Style::Wait));
        if let Some(detail) = detail {
            parts.push(Part::new(1, format!("({detail})")).after(" ").styled(Style::Wait));
        }
    }
    let tokens = now.tokens;
    if tokens.prompt + tokens.completion > 0 {
        parts.push(Part::new(2, format!("{} tokens in, {} out", about(tokens.prompt), about(tokens.completion))));
    }
    if let Some(latency) = now.latency {
        parts.push(Part::new(4, format!("p50 {}, p99 {}", milliseconds(latency.p50_ms), milliseconds(latency.p99_ms))));
    }
    parts.push(Part::new(3, format!("{} elapsed", duration(now.elapsed_seconds))));
    if let Some(failure) = now.last_failure.as_ref().filter(|_| !is_waiting) {
        parts.push(Part::new(7, format!("last failure: {}: {}", failure.kind, cut(&failure.message, 80))));
    }
    parts
}

fn milliseconds(ms: u64) -> String {
    if ms < 10_000 { format!("{} ms", thousands(ms)) } else { duration(ms as f64 / 1000.0) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::progress::standing::{LastFailure, LatencyMs, Phase, Tokens, WaitingFor};

    fn busy() -> Standing {
        let words = |pairs: &[(&str, u64)]| pairs.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect();
        Standing {
            run: "story-1".to_owned(),
            step: "label".to_owned(),
            elapsed_seconds: 75.2,
            total: Some(10_000),
            settled: 4321,
            percent: Some(43.21),
            rate_per_second: 660.4,
            rate_overall_per_second: 57.4,
            eta_seconds: Some(9.0),
            in_flight: 64,
            retried: 40,
            retried_by_kind: words(&[("throttled", 30), ("invalid_output", 10)]),
            retried_by_reason: words(&[("no_json", 10)]),
            failed: 3,
            failed_by_kind: words(&[("timeout", 1), ("refused", 2)]),
            skipped: 5,
            skipped_by_reason: words(&[("blank", 5)]),
            tokens: Tokens { prompt: 1_250_000, completion: 310_400, ..Tokens::default() },
            cost: BTreeMap::from([("USD".to_owned(), 1.236)]),
            latency: Some(LatencyMs { p50_ms: 52, p90_ms: 90, p99_ms: 11_000 }),
            last_failure: Some(LastFailure { kind: "timeout".to_owned(), message: "no end within 10s".to_owned() }),
            ..Standing::default()
        }
    }

    fn drawn(now: &Standing, columns: usize) -> Vec<String> {
        let lines = lines(now, Size { columns, rows: 24 });
        assert!(lines.iter().all(|line| line.columns() < columns), "{lines:#?}");
        lines.iter().map(Line::text).collect()
    }

    #[test]
    fn eighty_columns_show_what_matters() {
        let expected = [
            "label [========>           ] 4,321/10,000 (43.2 %), 660/s, ETA 9s, 57/s overall",
            "64 in flight, 3 failed (refused 2, timeout 1), 40 retried, 5 skipped",
            "1.24 USD, 1.2M tokens in, 310k out, p50 52 ms, p99 11s, 1m 15s elapsed",
        ];
        assert_eq!(drawn(&busy(), 80), expected);
    }

    #[test]
    fn two_hundred_columns_show_more() {
        let lines = drawn(&busy(), 200);
        assert!(lines[0].ends_with("4,321/10,000 (43.2 %), 660/s, ETA 9s, 57/s overall"), "{lines:#?}");
        assert!(lines[1].ends_with("40 retried (throttled 30, invalid_output 10: no_json 10), 5 skipped (blank 5)"));
        assert!(lines[2].ends_with("1m 15s elapsed, last failure: timeout: no end within 10s"), "{lines:#?}");
    }

    #[test]
    fn a_narrow_window_keeps_the_counts() {
        assert_eq!(
            drawn(&busy(), 40),
            [
                "label 4,321/10,000, 660/s, ETA 9s",
                "64 in flight, 3 failed, 40 retried",
                "1.24 USD, 1.2M tokens in, 310k out"
            ]
        );
        assert_eq!(drawn(&busy(), 20), ["label 4,321/10,000,", "64 in flight, 3 fai", "1.24 USD"]);
        assert_eq!(lines(&busy(), Size { columns: 80, rows: 2 }).len(), 1);
        for columns in 1..300 {
            drawn(&busy(), columns);
        }
    }

    #[test]
    fn a_chinese_name_takes_its_columns() {
        let now = Standing { step: "给客服工单打标签并写摘要".to_owned(), ..busy() };
        for columns in 1..120 {
            drawn(&now, columns);
        }
        assert!(drawn(&now, 80)[0].starts_with("给客服工单打标签并写摘要 ["));
    }

    #[test]
    fn what_it_waits_for_is_told_beside_the_money() {
        let wait = |reason: &str, detail: Option<&str>| WaitingFor {
            reason: reason.to_owned(),
            detail: detail.map(str::to_owned),
            until: None,
            seconds_left: Some(12.4),
        };
        let waiting_for = Some(wait("throttled", None));
        let mut now = Standing { phase: Phase::Waiting, waiting_for, ..busy() };
        assert_eq!(drawn(&now, 80)[2], "1.24 USD, waiting: the model asked us to slow down, 12s left");
        now.waiting_for = Some(wait("outage", Some("`gpt`, for 3 s: cannot connect\r\nto 127.0.0.1")));
        assert_eq!(drawn(&now, 60)[2], "1.24 USD, waiting: no model can be reached, 12s left");
        assert!(drawn(&now, 120)[2].contains("12s left (`gpt`, for 3 s: cannot connect to 127.0.0.1)"));
        now = Standing { phase: Phase::Paused, in_flight: 0, ..now };
        assert!(drawn(&now, 80)[2].starts_with("1.24 USD, paused; go on with: tidemill unpause story-1"));
    }

    #[test]
    fn the_end_of_the_bar_is_the_end() {
        assert_eq!(graph(0.0, 10), [">".to_owned(), " ".repeat(9)]);
        assert_eq!(graph(100.0, 10), ["=".repeat(10), String::new()]);
        // A source that was counted too low.
        assert_eq!(graph(120.0, 10), ["=".repeat(10), String::new()]);
        let now = Standing { total: None, percent: None, eta_seconds: None, ..busy() };
        assert_eq!(drawn(&now, 80)[0], "label 4,321 settled, 660/s, 57/s overall");
    }
}
