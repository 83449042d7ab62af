//! Figures for people.

use super::Tone;
use crate::{
    progress::thousands,
    report::facts::{Bin, Counts, Money, RateBucket},
};

/// Adds up the ends that the journal tells.
pub(in crate::report) fn ends(counts: &Counts) -> u64 {
    counts.succeeded + counts.failed + counts.skipped + counts.cancelled + counts.missing
}

pub(in crate::report) fn total_of(bucket: &RateBucket) -> u64 {
    bucket.succeeded + bucket.failed + bucket.skipped
}

pub(in crate::report) fn shares(counts: &Counts) -> Vec<(Tone, f64)> {
    let all = counts.settled + counts.unsettled.unwrap_or(0);
    let parts = [
        (Tone::Good, counts.succeeded),
        (Tone::Bad, counts.failed + counts.missing),
        (Tone::Faint, counts.skipped),
        (Tone::Open, counts.cancelled + counts.unsettled.unwrap_or(0)),
    ];
    parts.into_iter().filter(|(_, n)| *n > 0).map(|(tone, n)| (tone, share(n, all))).collect()
}

pub(in crate::report) fn share(n: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { n as f64 / of as f64 }
}

pub(in crate::report) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    // A few of millions are not none of them.
    if percent > 0.0 && percent < 0.05 { "< 0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

/// Writes a number with as many digits as say something.
pub(in crate::report) fn decimal(number: f64) -> String {
    match number {
        n if n >= 100.0 => thousands(n.round() as u64),
        n if n >= 1.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// Writes amounts of money: `1.23 USD + 0.50 CNY`.
pub(in crate::report) fn amounts(money: &[Money]) -> String {
    let amounts: Vec<String> =
        money.iter().map(|money| format!("{} {}", domain::price::amount(money.picos), money.currency)).collect();
    amounts.join(" + ")
}

/// Writes a time for people: `2026-11-21 09:15:00`.
pub(in crate::report) fn moment(utc: &str) -> String {
    utc.replace('T', " ").trim_end_matches('Z').to_owned()
}

/// Returns where a value lies in a plot whose bars are equally wide, as a share of its width.
pub(in crate::report) fn place_in(bins: &[Bin], value: f64) -> Option<f64> {
    let n = bins.iter().position(|bin| value < bin.to as f64).unwrap_or(bins.len().checked_sub(1)?);
    let bin = &bins[n];
    let within = (value - bin.from as f64) / (bin.to - bin.from).max(1) as f64;
    Some((n as f64 + within.clamp(0.0, 1.0)) / bins.len() as f64)
}
