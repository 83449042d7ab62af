//! Numbers, times and reasons in words.

use std::collections::BTreeMap;

use super::standing::{Phase, Standing, WaitingFor};

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

/// Writes a number of bytes: `12.3 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut n = bytes as f64 / 1024.0;
    let mut unit = 0;
    while n >= 1023.95 && unit + 1 < UNITS.len() {
        n /= 1024.0;
        unit += 1;
    }
    format!("{n:.1} {}", UNITS[unit])
}

/// Writes a large number in three digits or so: `999`, `12.3k`, `4.56M`.
pub(crate) fn about(n: u64) -> String {
    let (value, unit) = match n {
        0..=999 => return n.to_string(),
        1000..=999_499 => (n as f64 / 1e3, "k"),
        999_500..=999_499_999 => (n as f64 / 1e6, "M"),
        _ => (n as f64 / 1e9, "B"),
    };
    if value < 100.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// Writes a time in its two greatest units: `8s`, `2m 05s`, `3h 20m`, `2d 4h`.
pub(crate) fn duration(seconds: f64) -> String {
    // Negative and absurd ones end up as 0 and as many days.
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86400 => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {}h", s / 86400, s % 86400 / 3600),
    }
}

/// Writes a rate in the unit that gives a whole number to read: `660/s`, `4.5/s`, `24/min`, `7/h`.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 9.95 => format!("{}/s", thousands(r.round() as u64)),
        r if r >= 0.995 => format!("{r:.1}/s"),
        r if r >= 0.0165 => format!("{:.0}/min", r * 60.0),
        r if r > 0.0 => format!("{:.0}/h", (r * 3600.0).max(1.0)),
        _ => "0/s".to_owned(),
    }
}

/// Writes what was spent so far, by currency; nothing where no price is known.
pub(super) fn cost(cost: &BTreeMap<String, f64>) -> Option<String> {
    let amounts = cost.iter().map(|(currency, units)| {
        let picos = (units * domain::price::PICOS as f64).round();
        format!("{} {currency}", domain::price::amount(picos as u128))
    });
    let all: Vec<String> = amounts.collect();
    (!all.is_empty()).then(|| all.join(" + "))
}

/// Writes counts by their words, the greatest first: `timeout 3, refused 1`.
pub(super) fn by_word(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<(&String, &u64)> = counts.iter().filter(|(_, n)| **n > 0).collect();
    counts.sort_by(|a, b| b.1.cmp(a.1));
    let words: Vec<String> = counts.into_iter().map(|(word, n)| format!("{word} {}", thousands(*n))).collect();
    words.join(", ")
}

/// Writes what the run does instead of asking, and more of it where there is more: it waits, is paused, stops, or writes
/// its outputs.
pub(super) fn instead(now: &Standing) -> Option<(String, Option<String>)> {
    let in_flight = || match now.in_flight {
        0 => String::new(),
        n => format!(": waiting for {} in flight", thousands(n)),
    };
    let what = match now.phase {
        Phase::Working | Phase::Over => return None,
        Phase::Waiting => return now.waiting_for.as_ref().map(|wait| (waiting(wait), wait.detail.clone())),
        Phase::Finishing => "writing the outputs in source order".to_owned(),
        Phase::Draining => format!("stopping{}", in_flight()),
        Phase::Cancelling => format!("cancelling{}", in_flight()),
        Phase::Paused if now.in_flight > 0 => format!("pausing{}", in_flight()),
        Phase::Paused => format!("paused; go on with: tidemill unpause {}", now.run),
    };
    Some((what, None))
}

fn waiting(wait: &WaitingFor) -> String {
    let why = match wait.reason.as_str() {
        "rate" => "the models' limits allow the next request later",
        "throttled" => "the model asked us to slow down",
        "pause" => "the pipeline's pause after a failure",
        "outage" => "no model can be reached",
        "table" => "a table cannot be reached; what is settled is kept",
        "backoff" => "the next attempts are due later",
        "parked" => "work outside is looked at later",
        other => other,
    };
    let left = match wait.seconds_left {
        Some(left) if left >= 0.5 => format!(", {} left", duration(left)),
        Some(_) | None => String::new(),
    };
    format!("waiting: {why}{left}")
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
    fn large_numbers_are_told_in_three_digits_or_so() {
        let table = [(0, "0"), (999, "999"), (1000, "1.0k"), (99_949, "99.9k"), (310_400, "310k"), (999_499, "999k")];
        for (n, text) in table.into_iter().chain([(999_500, "1.0M"), (1_250_000, "1.2M"), (2_500_000_000, "2.5B")]) {
            assert_eq!(about(n), text, "{n}");
        }
        for (n, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 30, "1.0 GiB"), (3 << 41, "6.0 TiB")] {
            assert_eq!(size(n), text, "{n}");
        }
    }

    #[test]
    fn times_are_told_in_two_units() {
        let table = [(0.0, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (3599.0, "59m 59s"), (3600.0, "1h 00m")];
        for (seconds, text) in table.into_iter().chain([(86_399.0, "23h 59m"), (90_000.0, "1d 1h"), (-3.0, "0s")]) {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn slow_rates_are_told_by_the_minute_and_by_the_hour() {
        let table = [(12_345.6, "12,346/s"), (9.96, "10/s"), (4.44, "4.4/s"), (1.0, "1.0/s"), (0.4, "24/min")];
        for (r, text) in table.into_iter().chain([(0.0167, "1/min"), (0.002, "7/h"), (0.0001, "1/h"), (0.0, "0/s")]) {
            assert_eq!(rate(r), text, "{r}");
        }
    }

    #[test]
    fn money_is_told_by_currency() {
        assert_eq!(cost(&BTreeMap::new()), None);
        let spent = BTreeMap::from([("USD".to_owned(), 0.00036), ("CNY".to_owned(), 1.5)]);
        assert_eq!(cost(&spent).as_deref(), Some("1.50 CNY + 0.00036 USD"));
    }
}
