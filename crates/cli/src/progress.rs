//! Plain progress lines.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use domain::Waiting;
use engine::{Snapshot, Status};
use tokio::time::Instant;

use crate::talk;

/// How often a line is printed.
const EVERY: Duration = Duration::from_secs(2);

/// Prints where the run stands, until it is dropped.
pub(crate) async fn print(status: Arc<Status>) {
    let mut ticks = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
    let mut before = 0;
    loop {
        ticks.tick().await;
        let now = status.snapshot();
        // A step that has just begun counts from its own start.
        let rate = now.n_settled_now.saturating_sub(before) as f64 / EVERY.as_secs_f64();
        before = now.n_settled_now;
        talk::say(line(&now, rate));
    }
}

fn line(now: &Snapshot, rate: f64) -> String {
    let mut line = format!("{}: {}", now.step, thousands(now.n_settled));
    if let Some(n_records) = now.n_records.filter(|n| *n > 0) {
        let percent = now.n_settled as f64 * 100.0 / n_records as f64;
        // Writing into a string cannot fail; so for all that follow.
        let _ = write!(line, "/{} ({percent:.1} %)", thousands(n_records));
    }
    if now.is_finishing {
        line.push_str(", writing the outputs in source order");
        return line;
    }
    let _ = write!(line, ", {rate:.0}/s, {} in flight", thousands(now.n_in_flight));
    let _ = write!(line, ", {} retried", thousands(now.n_retried));
    for (kind, n) in &now.tally.failed {
        let _ = write!(line, ", {} failed ({kind})", thousands(*n));
    }
    if now.tally.n_skipped() > 0 {
        let _ = write!(line, ", {} skipped", thousands(now.tally.n_skipped()));
    }
    let waiting = match &now.waiting {
        _ if now.is_draining => Some("stopping".to_owned()),
        Some(Waiting::Throttled) => Some("waiting: the model asked us to slow down".to_owned()),
        Some(Waiting::Pause) => Some("waiting: the pipeline's pause after a failure".to_owned()),
        Some(Waiting::Outage(what)) => Some(format!("waiting: no model can be reached ({what})")),
        Some(Waiting::Backoff) => Some("waiting: the next attempts are due soon".to_owned()),
        Some(Waiting::Parked) => Some("waiting: work outside is looked at later".to_owned()),
        Some(Waiting::Paused) => Some("paused".to_owned()),
        Some(Waiting::Width) | None => None,
    };
    if let Some(waiting) = waiting {
        let _ = write!(line, "; {waiting}");
    }
    line
}

/// Writes a number with its noun: `1 record`, `2 records`, `2 stretches`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    let ending = match (n, noun.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {noun}{ending}", thousands(n))
}

/// Writes a number in groups of three digits.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(n), text);
        }
    }

    #[test]
    fn a_line_tells_what_is_done_what_failed_and_what_it_waits_for() {
        let mut now = Snapshot { step: "label".to_owned(), n_settled: 1319, n_in_flight: 64, ..Snapshot::default() };
        now.n_records = Some(2638);
        now.tally.add_n(domain::EndClass::Failed(domain::FailureKind::Timeout), 3);
        now.waiting = Some(Waiting::Throttled);
        assert_eq!(
            line(&now, 659.5),
            "label: 1,319/2,638 (50.0 %), 660/s, 64 in flight, 0 retried, 3 failed (timeout); \
             waiting: the model asked us to slow down"
        );
    }
}
