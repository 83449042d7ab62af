//! The upstreams as a table.

use super::sample::{Rates, UpstreamRates};
use crate::{
    lang::tr,
    progress::{
        about, columns, cut, duration, printable, rate,
        screen::{Line, Size, Style},
        thousands,
    },
};

const TITLES: [&str; 8] = ["model", "state", "in flight", "requests", "errors", "p50", "p99", "tokens"];
/// What stands between two columns.
const GAP: &str = "  ";
/// How much of an upstream's trouble is shown.
const TROUBLE: usize = 160;

/// Returns the lines for a screen: no more than it has, and none longer.
pub(super) fn frame(rates: &Rates, size: Size) -> Vec<Line> {
    let (cells, widths) = cells(rates);
    // The last one is left to the cursor.
    let width = size.columns.saturating_sub(1);
    let mut lines = vec![styled(&summary(rates), Style::Bold, width)];
    lines.push(styled(&joined(&titles(), &widths), Style::Plain, width));
    for (upstream, cells) in rates.upstreams.iter().zip(&cells) {
        let style = match upstream.state.as_str() {
            "well" if upstream.requests_per_second > 0.0 => Style::Good,
            "well" => Style::Plain,
            "broken" | "disabled" => Style::Bad,
            _ => Style::Wait,
        };
        lines.push(styled(&joined(cells, &widths), style, width));
        lines.extend(trouble(upstream).map(|trouble| styled(&trouble, Style::Plain, width)));
    }
    if lines.len() > size.rows {
        lines.truncate(size.rows.saturating_sub(1));
        lines.push(styled("…", Style::Plain, width));
    }
    lines
}

/// Returns the lines for a file or a pipe.
pub(super) fn rows(rates: &Rates) -> Vec<String> {
    let (cells, widths) = cells(rates);
    let mut rows = vec![summary(rates), joined(&titles(), &widths)];
    for (upstream, cells) in rates.upstreams.iter().zip(&cells) {
        rows.push(joined(cells, &widths));
        rows.extend(trouble(upstream));
    }
    rows
}

type Cells = [String; TITLES.len()];

fn titles() -> Cells {
    TITLES.map(|title| tr(title).into_owned())
}

/// Returns the cells of all upstreams, and the width of each column.
fn cells(rates: &Rates) -> (Vec<Cells>, [usize; TITLES.len()]) {
    let rows: Vec<Cells> = rates.upstreams.iter().map(cells_of).collect();
    let titles = titles();
    let mut widths = [0; TITLES.len()];
    for row in rows.iter().chain([&titles]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    (rows, widths)
}

fn cells_of(upstream: &UpstreamRates) -> Cells {
    let state = tr(state(&upstream.state));
    let state = match upstream.rest_seconds {
        Some(rest) if rest >= 0.5 => format!("{state} {}", duration(rest)),
        _ => state.into_owned(),
    };
    [
        printable(&upstream.name),
        state,
        format!("{}/{}", thousands(upstream.in_flight), thousands(upstream.width)),
        rate(upstream.requests_per_second),
        rate(upstream.errors_per_second),
        time(upstream.p50_seconds),
        time(upstream.p99_seconds),
        format!("{}/s", about(upstream.tokens_per_second.round() as u64)),
    ]
}

/// Returns a state in words for people; one of a gateway that is newer than this stays as it is.
fn state(word: &str) -> &str {
    match word {
        "well" => "ready",
        "full" => "all places taken",
        "limited" => "at its rate limit",
        "cooling" => "cooling down",
        "broken" => "out of order",
        "probe_due" => "to be tried again",
        "probing" => "being tried again",
        "disabled" => "key or credit refused",
        other => other,
    }
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 1e-3 => format!("{:.0}µs", s * 1e6),
        Some(s) if s < 1.0 => format!("{:.0}ms", s * 1e3),
        Some(s) if s < 60.0 => format!("{s:.1}s"),
        Some(s) => duration(s),
    }
}

fn summary(rates: &Rates) -> String {
    let all: f64 = rates.upstreams.iter().map(|upstream| upstream.requests_per_second).sum();
    let (in_flight, waiting) = (thousands(rates.in_flight), thousands(rates.waiting));
    let overhead = [rates.overhead_p50_seconds, rates.overhead_p99_seconds].map(time);
    let [p50, p99] = overhead;
    let told =
        format!("{}, {in_flight} in flight, {waiting} in line, the gateway's own part {p50} (p99 {p99})", rate(all));
    let mut told = tr(&told).into_owned();
    if rates.refused_per_second > 0.0 {
        told.push_str(&tr(&format!("; {} told to come back later", rate(rates.refused_per_second))));
    }
    told
}

fn trouble(upstream: &UpstreamRates) -> Option<String> {
    let trouble = upstream.trouble.as_ref().filter(|_| upstream.state != "well")?;
    Some(format!("{GAP}{}", cut(&printable(&tr(trouble)), TROUBLE)))
}

/// Puts cells into columns: names at the left, numbers at the right.
fn joined(cells: &Cells, widths: &[usize; TITLES.len()]) -> String {
    let mut line = String::new();
    for (n, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let gap = " ".repeat(width.saturating_sub(columns(cell)));
        let between = if n == 0 { "" } else { GAP };
        match n {
            0 | 1 => line.extend([between, cell, &gap]),
            _ => line.extend([between, &gap, cell]),
        }
    }
    line
}

fn styled(text: &str, style: Style, width: usize) -> Line {
    let mut line = Line::default();
    line.push(cut(text.trim_end(), width), style);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        let upstream = |name: &str, state: &str| UpstreamRates {
            name: name.to_owned(),
            available: state == "well",
            state: state.to_owned(),
            rest_seconds: (state == "cooling").then_some(12.3),
            trouble: (state == "cooling").then(|| format!("`{name}`: slow\r\n\u{1b}[2Jdown")),
            in_flight: 3,
            width: 64,
            requests_per_second: if state == "well" { 123.4 } else { 0.0 },
            errors_per_second: 0.5,
            p50_seconds: (state == "well").then_some(0.0421),
            p99_seconds: (state == "well").then_some(75.0),
            tokens_per_second: 12_345.0,
        };
        Rates {
            upstreams: vec![upstream("small", "well"), upstream("模型", "cooling")],
            in_flight: 6,
            waiting: 1,
            refused_per_second: 0.0,
            overhead_p50_seconds: Some(0.000_061),
            overhead_p99_seconds: None,
            seconds: 10.0,
        }
    }

    #[test]
    fn the_table_tells_who_does_what_and_who_rests() {
        assert_eq!(
            rows(&rates()),
            [
                "123/s, 6 in flight, 1 in line, the gateway's own part 61µs (p99 -)",
                "model  state             in flight  requests  errors   p50     p99   tokens",
                "small  ready                  3/64     123/s  30/min  42ms  1m 15s  12.3k/s",
                "模型   cooling down 12s       3/64       0/s  30/min     -       -  12.3k/s",
                "  `模型`: slow [2Jdown",
            ]
        );
    }

    #[test]
    fn a_small_screen_shows_what_fits() {
        let all = frame(&rates(), Size { columns: 40, rows: 24 });
        assert_eq!(all.len(), 5);
        assert!(all.iter().all(|line| line.columns() < 40));
        let few = frame(&rates(), Size { columns: 200, rows: 3 });
        assert_eq!(few.iter().map(Line::text).collect::<Vec<_>>()[2], "…");
    }
}
