//! The counts, written for Prometheus.

use std::sync::Arc;

use domain::Timestamp;

use super::{CALLS, Metrics, RESULTS, STATUSES, TOKENS, UpstreamCounts, locked, read, text::Text};
use crate::lanes::UpstreamStanding;

/// What is not counted but looked at when somebody asks.
pub(in crate::face) struct Now<'a> {
    pub(in crate::face) upstreams: &'a [UpstreamStanding],
    pub(in crate::face) since: Timestamp,
    pub(in crate::face) n_waiting: usize,
}

type Every = Vec<(Arc<str>, Arc<UpstreamCounts>)>;

impl Metrics {
    /// Writes all of it.
    pub(in crate::face) fn text(&self, now: &Now<'_>) -> String {
        let known = locked(&self.upstreams);
        let mut every: Every = known.iter().map(|(name, counts)| (Arc::clone(name), Arc::clone(counts))).collect();
        drop(known);
        every.push(("".into(), Arc::clone(&self.nowhere)));
        let mut text = Text::default();
        self.face(&mut text, now);
        requests(&mut text, &every);
        times(&mut text, &every);
        attempts(&mut text, &every);
        volume(&mut text, &every);
        standing(&mut text, now.upstreams);
        self.clients(&mut text);
        text.0
    }

    fn face(&self, text: &mut Text, now: &Now<'_>) {
        text.family("tidemill_build_info", "gauge", "The version that runs.");
        text.sample("tidemill_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let help = "When it began to serve, in seconds since 1970.";
        text.single("tidemill_start_time_seconds", "gauge", help, now.since.0 as f64 / 1e3);
        let help = "Requests that have begun and not ended.";
        text.single("tidemill_requests_in_flight", "gauge", help, read(&self.in_flight));
        text.single("tidemill_line_length", "gauge", "Requests that wait for a place.", now.n_waiting);
        let help = "Requests that were told to come back later, since no upstream had a place for them.";
        text.single("tidemill_line_refusals_total", "counter", help, read(&self.n_refused_in_line));
        if let Some(n) = self.n_lines_dropped() {
            let help = "Lines of the log of requests that were lost.";
            text.single("tidemill_log_lines_dropped_total", "counter", help, n);
        }
        text.family("tidemill_queue_seconds", "histogram", "How long requests waited for a place.");
        text.histogram("tidemill_queue_seconds", &[], &self.queued);
        let help = "What the gateway itself takes of the time to the first byte of an answer.";
        text.family("tidemill_overhead_seconds", "histogram", help);
        text.histogram("tidemill_overhead_seconds", &[], &self.overhead);
    }

    fn clients(&self, text: &mut Text) {
        let known = locked(&self.clients);
        if known.is_empty() {
            return;
        }
        text.family("tidemill_client_requests_total", "counter", "Requests, by the client's key.");
        for (client, counts) in &*known {
            for (status, n) in STATUSES.iter().zip(&counts.requests).filter(|(_, n)| read(n) > 0) {
                let labels = [("client", &**client), ("status", *status)];
                text.sample("tidemill_client_requests_total", &labels, read(n));
            }
        }
        let help = "Tokens that upstreams counted, by the client's key. Those from a cache are prompt tokens as well, and \
                    those of reasoning completion tokens.";
        text.family("tidemill_client_tokens_total", "counter", help);
        for (client, counts) in &*known {
            for (kind, n) in TOKENS.iter().zip(&counts.tokens) {
                text.sample("tidemill_client_tokens_total", &[("client", &**client), ("kind", *kind)], read(n));
            }
        }
    }
}

fn requests(text: &mut Text, every: &Every) {
    let help = "Requests that ended, by the upstream that answered or was asked last, what was called, and the class of the \
                status (none where the client hung up first).";
    text.family("tidemill_requests_total", "counter", help);
    for (upstream, counts) in every {
        for (call, counts) in CALLS.iter().zip(&counts.requests) {
            for (status, n) in STATUSES.iter().zip(counts).filter(|(_, n)| read(n) > 0) {
                let labels = [("upstream", &**upstream), ("call", *call), ("status", *status)];
                text.sample("tidemill_requests_total", &labels, read(n));
            }
        }
    }
    let help = "Answers that broke off after they had begun.";
    text.family("tidemill_streams_cut_total", "counter", help);
    for (upstream, counts) in named(every) {
        text.sample("tidemill_streams_cut_total", &[("upstream", upstream)], read(&counts.n_cut));
    }
    let help = "Requests whose client hung up before the end.";
    text.family("tidemill_clients_hung_up_total", "counter", help);
    for (upstream, counts) in every {
        text.sample("tidemill_clients_hung_up_total", &[("upstream", upstream)], read(&counts.n_hung_up));
    }
}

fn times(text: &mut Text, every: &Every) {
    let help = "From the first byte of a request to the end of its answer.";
    text.family("tidemill_request_seconds", "histogram", help);
    for (upstream, counts) in every {
        text.histogram("tidemill_request_seconds", &[("upstream", upstream)], &counts.took);
    }
    let help = "From the first byte of a request to the first byte of its answer.";
    text.family("tidemill_time_to_first_byte_seconds", "histogram", help);
    for (upstream, counts) in named(every) {
        text.histogram("tidemill_time_to_first_byte_seconds", &[("upstream", upstream)], &counts.first_byte);
    }
}

fn attempts(text: &mut Text, every: &Every) {
    let help = "Requests that were sent to an upstream, by how they ended there.";
    text.family("tidemill_attempts_total", "counter", help);
    for (upstream, counts) in named(every) {
        for (result, n) in RESULTS.iter().zip(&counts.attempts).filter(|(_, n)| read(n) > 0) {
            text.sample("tidemill_attempts_total", &[("upstream", upstream), ("result", *result)], read(n));
        }
    }
    let help = "Attempts that failed and in whose place another upstream was asked.";
    text.family("tidemill_failovers_total", "counter", help);
    for (upstream, counts) in named(every) {
        text.sample("tidemill_failovers_total", &[("upstream", upstream)], read(&counts.n_failed_over));
    }
    let help = "Requests for which a second upstream was asked, since this one was slow.";
    text.family("tidemill_hedges_total", "counter", help);
    for (upstream, counts) in named(every) {
        text.sample("tidemill_hedges_total", &[("upstream", upstream)], read(&counts.n_hedged));
    }
}

fn volume(text: &mut Text, every: &Every) {
    let help = "Tokens that upstreams counted. Those from a cache are prompt tokens as well, and those of reasoning \
                completion tokens.";
    text.family("tidemill_tokens_total", "counter", help);
    for (upstream, counts) in named(every) {
        for (kind, n) in TOKENS.iter().zip(&counts.tokens) {
            text.sample("tidemill_tokens_total", &[("upstream", upstream), ("kind", *kind)], read(n));
        }
    }
    text.family("tidemill_request_bytes_total", "counter", "Bytes of the bodies of requests.");
    for (upstream, counts) in every {
        text.sample("tidemill_request_bytes_total", &[("upstream", upstream)], read(&counts.bytes_in));
    }
    text.family("tidemill_response_bytes_total", "counter", "Bytes of the bodies of answers.");
    for (upstream, counts) in every {
        text.sample("tidemill_response_bytes_total", &[("upstream", upstream)], read(&counts.bytes_out));
    }
}

fn standing(text: &mut Text, upstreams: &[UpstreamStanding]) {
    let mut family = |name: &str, help: &str, value: &dyn Fn(&UpstreamStanding) -> f64| {
        text.family(name, "gauge", help);
        for upstream in upstreams {
            text.sample(name, &[("upstream", &upstream.name)], value(upstream));
        }
    };
    let help = "Whether it may be asked now: 1, or 0 while it rests, is broken or its key is not accepted.";
    family("tidemill_upstream_available", help, &|upstream| f64::from(u8::from(upstream.is_available())));
    let help = "Requests that it works on, those of runs in the same process included.";
    family("tidemill_upstream_in_flight", help, &|upstream| upstream.in_flight as f64);
    let help = "How many it may work on at once.";
    family("tidemill_upstream_width", help, &|upstream| upstream.width as f64);
    let help = "How long it will not be asked; 0 where it may be now, or nobody knows.";
    family("tidemill_upstream_rest_seconds", help, &|upstream| upstream.rest.map_or(0.0, |rest| rest.as_secs_f64()));
}

/// Leaves out the requests that never came to an upstream.
fn named(every: &Every) -> impl Iterator<Item = (&str, &UpstreamCounts)> {
    every.iter().filter(|(name, _)| !name.is_empty()).map(|(name, counts)| (&**name, &**counts))
}
