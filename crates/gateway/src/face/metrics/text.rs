//! Prometheus' text format. <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
//!
//! A family is a line of help, a line with its type, and its samples, which stand together.

use std::fmt::{Display, Write as _};

use super::histogram::Histogram;

/// Names and values of labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The text as far as it is written.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string cannot fail; so for all that follow.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Writes a sample of the family that was begun.
    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if n == 0 { '{' } else { ',' });
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// Writes a family of one sample.
    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// Writes all samples of a histogram, of which some labels are known.
    pub(super) fn histogram(&mut self, name: &str, labels: Labels<'_>, histogram: &Histogram) {
        let (counts, sum) = histogram.read();
        let bucket = format!("{name}_bucket");
        let mut n = 0;
        for (at, count) in counts.iter().enumerate() {
            n += count;
            let bound = histogram.bounds.get(at).map_or("+Inf".to_owned(), |nanos| seconds(*nanos));
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.sample(&bucket, &labels, n);
        }
        self.sample(&format!("{name}_sum"), labels, seconds(sum));
        self.sample(&format!("{name}_count"), labels, n);
    }
}

/// Writes nanoseconds as seconds.
fn seconds(nanos: u64) -> String {
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:09}").trim_end_matches('0').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_label_cannot_end_it() {
        let mut text = Text::default();
        text.sample("a_total", &[("x", "a\"b\\c\nd"), ("y", "模型")], 3);
        assert_eq!(text.0, "a_total{x=\"a\\\"b\\\\c\\nd\",y=\"模型\"} 3\n");
    }

    #[test]
    fn seconds_are_written_in_full() {
        for (nanos, text) in [(0, "0"), (1_500, "0.0000015"), (1_000_000_000, "1"), (70_000_000_000, "70")] {
            assert_eq!(seconds(nanos), text);
        }
    }
}
