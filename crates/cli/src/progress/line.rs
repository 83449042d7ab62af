//! A plain line of progress, for logs.

use std::fmt::Write as _;

use super::{
    layout::printable,
    standing::{Phase, Standing},
    wording::{about, by_word, cost, duration, instead, rate, thousands},
};

/// Makes a line that tells where a step stands.
pub(super) fn line(now: &Standing) -> String {
    let mut line = settled(now);
    if now.phase == Phase::Finishing {
        line.push_str(", writing the outputs in source order");
        return line;
    }
    // Writing into a string cannot fail; so for all that follow.
    let _ = write!(line, ", {}", rate(now.rate_per_second));
    if let Some(eta) = now.eta_seconds {
        let _ = write!(line, ", ETA {}", duration(eta));
    }
    let _ = write!(line, ", {} in flight", thousands(now.in_flight));
    add_ends(&mut line, now);
    if let Some((what, detail)) = instead(now) {
        let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
        let _ = write!(line, "; {what}{detail}");
    }
    printable(&line)
}

/// Makes the line that stays when a step is over.
pub(super) fn last(now: &Standing) -> String {
    let mut line = settled(now);
    let _ = write!(line, ", {} overall, {}", rate(now.rate_overall_per_second), duration(now.elapsed_seconds));
    add_ends(&mut line, now);
    printable(&line)
}

fn settled(now: &Standing) -> String {
    let mut line = format!("{}: {}", now.step, thousands(now.settled));
    if let (Some(total), Some(percent)) = (now.total, now.percent) {
        let _ = write!(line, "/{} ({percent:.1} %)", thousands(total));
    }
    line
}

fn add_ends(line: &mut String, now: &Standing) {
    let _ = write!(line, ", {} retried", thousands(now.retried));
    if !now.retried_by_reason.is_empty() {
        let _ = write!(line, " ({})", by_word(&now.retried_by_reason));
    }
    for (n, what, by) in [(now.failed, "failed", &now.failed_by_kind), (now.skipped, "skipped", &now.skipped_by_reason)]
    {
        if n > 0 {
            let _ = write!(line, ", {} {what} ({})", thousands(n), by_word(by));
        }
    }
    for (n, what) in [(now.missing, "missing"), (now.cancelled, "cancelled")] {
        if n > 0 {
            let _ = write!(line, ", {} {what}", thousands(n));
        }
    }
    let tokens = now.tokens;
    if tokens.prompt + tokens.completion > 0 {
        let _ = write!(line, ", {} tokens in, {} out", about(tokens.prompt), about(tokens.completion));
    }
    if let Some(cost) = cost(&now.cost) {
        let _ = write!(line, ", {cost}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::progress::standing::{Tokens, WaitingFor};

    fn half_way() -> Standing {
        Standing {
            step: "label".to_owned(),
            total: Some(2638),
            settled: 1319,
            percent: Some(50.0),
            rate_per_second: 659.5,
            rate_overall_per_second: 600.0,
            elapsed_seconds: 2.2,
            in_flight: 64,
            failed: 3,
            failed_by_kind: BTreeMap::from([("timeout".to_owned(), 3)]),
            ..Standing::default()
        }
    }

    #[test]
    fn a_line_tells_what_is_done_what_failed_and_what_it_waits_for() {
        let wait = WaitingFor { reason: "outage".to_owned(), detail: Some("a\nb".to_owned()), ..WaitingFor::default() };
        let mut now = Standing { phase: Phase::Waiting, waiting_for: Some(wait), ..half_way() };
        assert_eq!(
            line(&now),
            "label: 1,319/2,638 (50.0 %), 660/s, 64 in flight, 0 retried, 3 failed (timeout 3); waiting: no model can be \
             reached (a b)"
        );
        now = Standing { phase: Phase::Working, eta_seconds: Some(2.0), ..half_way() };
        now.tokens = Tokens { prompt: 131_900, completion: 2000, ..Tokens::default() };
        now.cost = BTreeMap::from([("CNY".to_owned(), 0.35)]);
        assert_eq!(
            line(&now),
            "label: 1,319/2,638 (50.0 %), 660/s, ETA 2s, 64 in flight, 0 retried, 3 failed (timeout 3), 132k tokens in, 2.0k \
             out, 0.35 CNY"
        );
        now.phase = Phase::Finishing;
        assert_eq!(line(&now), "label: 1,319/2,638 (50.0 %), writing the outputs in source order");
    }

    #[test]
    fn the_last_line_tells_how_fast_it_went() {
        assert_eq!(
            last(&half_way()),
            "label: 1,319/2,638 (50.0 %), 600/s overall, 2s, 0 retried, 3 failed (timeout 3)"
        );
    }
}
