//! Their concurrency, as a flow.

use serde_json::json;

use super::{Making, STEP, unneeded};

const KEYS: [&str; 11] = [
    "batch_size",
    "save_interval",
    "shard_size",
    "min_shard_size",
    "max_shard_size",
    "api_pause_duration",
    "api_error_trigger_window",
    "max_connections",
    "max_connections_per_host",
    "max_workers",
    "retry_limits",
];

/// The most that a step may have in flight.
const WIDEST: f64 = 100_000.0;

impl Making<'_> {
    pub(super) fn flow(&mut self) {
        let concurrency = self.top.section("datasource").and_then(|entry| entry.section("concurrency"));
        let at = |key: &str| vec!["datasource".to_owned(), "concurrency".to_owned(), key.to_owned()];
        let number = |making: &mut Self, key: &str| concurrency.as_ref()?.number(key, &mut making.remarks);
        if let Some(entry) = &concurrency {
            entry.name_unknown(&KEYS, &mut self.remarks);
        }
        let mut width = match number(self, "batch_size") {
            Some(size) if size < 1.0 => {
                self.tell_mistake(
                    &["datasource", "concurrency", "batch_size"],
                    "`batch_size` must be 1 or more: it is how many rows are asked about at the same time",
                    None,
                );
                1.0
            }
            size => size.unwrap_or(100.0),
        };
        // A row in flight holds a connection there; 0 is no bound.
        for key in ["max_connections", "max_connections_per_host"] {
            if let Some(bound) = number(self, key).filter(|bound| *bound >= 1.0) {
                width = width.min(bound);
            }
        }
        // It is between 1 and the widest.
        let width = width.min(WIDEST) as u64;
        self.draft.set(&["steps", STEP, "flow", "max_in_flight"], width, at("batch_size"));
        self.retries();
        let (lasts, window) = (number(self, "api_pause_duration"), number(self, "api_error_trigger_window"));
        self.pause(lasts, window);
        let saved = number(self, "save_interval");
        let kind = self.top.section("datasource").and_then(|entry| entry.text("type", &mut Vec::new()));
        let is_file = kind.is_none_or(|kind| matches!(kind.as_str(), "excel" | "csv"));
        if is_file {
            // Whoever looks into the file while the run goes on finds in it what there is.
            let every = span(saved.filter(|every| *every > 0.0).unwrap_or(300.0));
            self.draft.set(&["steps", STEP, "flow", "save_every"], every, at("save_interval"));
        } else if saved.is_some() {
            self.unneeded.add(at("save_interval"), "save_interval", unneeded::SAVING);
        }
        for (key, why) in [
            ("shard_size", unneeded::STREAMS),
            ("min_shard_size", unneeded::STREAMS),
            ("max_shard_size", unneeded::STREAMS),
            ("max_workers", unneeded::NEVER_READ),
        ] {
            if concurrency.as_ref().is_some_and(|entry| entry.get(key).is_some()) {
                self.unneeded.add(at(key), key, why);
            }
        }
    }

    /// Their limit of 3 came to three attempts, and their documents promise three retries, which is what is done.
    fn retries(&mut self) {
        let concurrency = self.top.section("datasource").and_then(|entry| entry.section("concurrency"));
        let limits = concurrency.and_then(|entry| entry.section("retry_limits"));
        let keys = [("api_error", "api", 3.0), ("content_error", "content", 1.0), ("system_error", "system", 2.0)];
        if let Some(limits) = &limits {
            limits.name_unknown(&keys.map(|(theirs, ..)| theirs), &mut self.remarks);
        }
        let place = ["datasource", "concurrency", "retry_limits"].map(str::to_owned).to_vec();
        for (theirs, ours, usual) in keys {
            let said = limits.as_ref().and_then(|limits| limits.number(theirs, &mut self.remarks));
            // It is cut off at the ends, and far below what a float holds exactly.
            let n = said.unwrap_or(usual).clamp(0.0, 1e6) as u32;
            let place = place.iter().cloned().chain([theirs.to_owned()]).collect();
            self.draft.set(&["steps", STEP, "flow", "retries", ours], n, place);
        }
        let note = "retries: a limit of 3 was three attempts in AI-DataFlux, and here it is three further ones";
        self.draft.note(&["steps", STEP, "flow", "retries"], note);
    }

    /// Their window began with the pause, so that with equal lengths each failure began another one. It follows the pause,
    /// as their documents say.
    fn pause(&mut self, lasts: Option<f64>, window: Option<f64>) {
        let (lasts, window) = (lasts.unwrap_or(2.0), window.unwrap_or(2.0).max(0.0));
        if lasts <= 0.0 {
            return;
        }
        let place = ["datasource", "concurrency", "api_pause_duration"].map(str::to_owned).to_vec();
        let pause = json!({ "for": span(lasts), "window": span(lasts + window) });
        self.draft.set(&["steps", STEP, "flow", "pause"], pause, place);
    }
}

/// Writes seconds as a length of time.
fn span(seconds: f64) -> String {
    // A day is longer than any pause.
    let ms = (seconds.min(86_400.0) * 1000.0).round() as u64;
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}
