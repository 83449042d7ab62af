//! Making standings: the engine's counts, with rates, money and what is left.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use domain::{Billed, Clock, StepNumber, Tally, Timestamp, Waiting, price::PICOS, price::Prices};
use engine::{Control, Snapshot, Status};
use tokio::{sync::watch, time::Instant};

use super::standing::{LastFailure, LatencyMs, Phase, Standing, Tag, Tokens, WaitingFor};
use crate::clock;

/// The rate that is shown is that of so long a time.
const LATELY: Duration = Duration::from_secs(10);
/// What is left is told from the rate of so long a time: answers may take a minute, and come in swarms.
const FOR_ETA: Duration = Duration::from_secs(60);
/// Rates of a shorter time than this say nothing.
const MOMENT: Duration = Duration::from_millis(200);

/// What a run knows and its events do not tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The run's id.
    pub(crate) run: String,
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// What tokens cost.
    pub(crate) prices: Prices,
    /// How the records that earlier processes settled have ended, by step.
    pub(crate) tally_before: HashMap<StepNumber, Tally>,
    /// What earlier processes were billed.
    pub(crate) billed_before: Billed,
}

/// Reads the status and the clock, and remembers enough to tell rates.
pub(super) struct Meter {
    facts: Facts,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    control: watch::Receiver<Control>,
    /// The step that the samples are of, by its beginning.
    began: Option<Instant>,
    /// When how many were settled, oldest first.
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    pub(super) fn new(
        facts: Facts,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
        control: watch::Receiver<Control>,
    ) -> Self {
        Self { facts, status, clock, control, began: None, samples: VecDeque::new() }
    }

    /// How the records of a step have ended that earlier processes settled.
    pub(super) fn begin_from(&mut self, number: StepNumber, tally: Tally) {
        self.facts.tally_before.insert(number, tally);
    }

    /// Returns where the run stands now; `None` before its first step begins.
    pub(super) fn read(&mut self) -> Option<Standing> {
        let snapshot = self.status.snapshot();
        let (began, now) = (snapshot.began?, Instant::now());
        self.sample(began, now, snapshot.n_settled_now);
        Some(self.standing(snapshot, began, now))
    }

    fn sample(&mut self, began: Instant, now: Instant, n: u64) {
        if self.began != Some(began) {
            self.began = Some(began);
            self.samples = VecDeque::from([(began, 0)]);
        }
        let is_soon = self.samples.len() > 1 && self.samples.back().is_some_and(|(at, _)| now - *at < MOMENT);
        if !is_soon {
            self.samples.push_back((now, n));
        }
        // The oldest one that is kept is the last one that is old enough.
        while self.samples.get(1).is_some_and(|(at, _)| now - *at >= FOR_ETA) {
            self.samples.pop_front();
        }
    }

    /// Records settled in a second since the youngest sample that is older than `span`.
    fn rate(&self, span: Duration, now: Instant, n: u64) -> f64 {
        let old = self.samples.iter().rev().find(|(at, _)| now - *at >= span).or_else(|| self.samples.front());
        let Some((at, before)) = old else { return 0.0 };
        per_second(n.saturating_sub(*before), now - *at)
    }

    fn standing(&self, now: Snapshot, began: Instant, at: Instant) -> Standing {
        let time = self.clock.now();
        let before = self.facts.tally_before.get(&now.number).cloned().unwrap_or_default();
        let sum = |n: u64, before: u64| n + before;
        let mut billed = self.facts.billed_before.clone();
        billed.extend(&now.billed);
        let usage = billed.total();
        let spent = self.facts.prices.cost(&billed);
        let total = now.n_records.or(now.n_counted);
        let waiting_for = (now.waiting.as_ref().and_then(|wait| waiting_for(wait, now.until, time)))
            .or_else(|| waiting_for(&Waiting::Table(now.held_back.clone()?), None, time));
        let phase = phase(&now, *self.control.borrow(), waiting_for.is_some());
        let left = total.map(|total| total.saturating_sub(now.n_settled));
        let eta_rate = self.rate(FOR_ETA, at, now.n_settled_now);
        let is_going = matches!(phase, Phase::Working | Phase::Waiting) && eta_rate > 0.0;
        let elapsed = at - began;
        Standing {
            r#type: Tag::Progress,
            time: clock::utc(time),
            run: self.facts.run.clone(),
            pipeline: self.facts.pipeline.clone(),
            phase,
            elapsed_seconds: rounded(elapsed.as_secs_f64()),
            total,
            is_total_exact: now.n_records.is_some(),
            settled: now.n_settled,
            settled_by_this_process: now.n_settled_now,
            percent: total.filter(|n| *n > 0).map(|n| rounded(now.n_settled as f64 * 100.0 / n as f64)),
            rate_per_second: rounded(self.rate(LATELY, at, now.n_settled_now)),
            rate_overall_per_second: rounded(per_second(now.n_settled_now, elapsed)),
            eta_seconds: left.filter(|_| is_going).map(|left| (left as f64 / eta_rate).round()),
            in_flight: now.n_in_flight,
            retried: now.n_retried,
            retried_by_kind: add_up(now.retried.iter().map(|((kind, _), n)| (kind.word(), *n))),
            retried_by_reason: add_up(now.retried.iter().filter_map(|((_, why), n)| Some(((*why)?.word(), *n)))),
            asked_again_after_crash: now.n_asked_again,
            succeeded: sum(now.tally.succeeded, before.succeeded),
            failed: sum(now.tally.n_failed(), before.n_failed()),
            failed_by_kind: add_up(now.tally.failed.iter().chain(&before.failed).map(|(kind, n)| (kind.word(), *n))),
            skipped: sum(now.tally.n_skipped(), before.n_skipped()),
            skipped_by_reason: add_up(
                now.tally.skipped.iter().chain(&before.skipped).map(|(reason, n)| (reason.word(), *n)),
            ),
            cancelled: sum(now.tally.cancelled, before.cancelled),
            missing: sum(now.tally.missing, before.missing),
            tokens: Tokens {
                prompt: usage.prompt_tokens,
                completion: usage.completion_tokens,
                cached: usage.cached_tokens,
                reasoning: usage.reasoning_tokens,
            },
            cost: spent.money.into_iter().map(|(currency, picos)| (currency, picos as f64 / PICOS as f64)).collect(),
            unpriced_tokens: spent.unpriced_tokens,
            latency: now.latency.map(|it| LatencyMs { p50_ms: it.p50, p90_ms: it.p90, p99_ms: it.p99 }),
            waiting_for,
            last_failure: now.last_failure.map(|(kind, message)| LastFailure { kind: kind.word().to_owned(), message }),
            step: now.step,
        }
    }
}

fn phase(now: &Snapshot, wish: Control, is_waiting: bool) -> Phase {
    match wish {
        _ if now.is_finishing => Phase::Finishing,
        Control::Drain | Control::Stop => Phase::Draining,
        _ if now.is_draining => Phase::Draining,
        Control::Cancel => Phase::Cancelling,
        Control::Pause => Phase::Paused,
        Control::Run if is_waiting => Phase::Waiting,
        Control::Run => Phase::Working,
    }
}

fn waiting_for(wait: &Waiting, until: Option<Timestamp>, now: Timestamp) -> Option<WaitingFor> {
    let (reason, detail) = match wait {
        // A run that is as wide as it may be is busy, and waits for nothing that anybody could do something about.
        Waiting::Width => return None,
        // Nor does one that goes as fast as its models' limits allow, unless the next request is far off.
        Waiting::Rate if until.is_none_or(|until| until.0.saturating_sub(now.0) < 2_000) => return None,
        Waiting::Rate => ("rate", None),
        Waiting::Throttled => ("throttled", None),
        Waiting::Pause => ("pause", None),
        Waiting::Outage(what) => ("outage", Some(what.clone())),
        Waiting::Table(what) => ("table", Some(what.clone())),
        Waiting::Backoff => ("backoff", None),
        Waiting::Parked => ("parked", None),
        Waiting::Paused => ("paused", None),
    };
    Some(WaitingFor {
        reason: reason.to_owned(),
        detail,
        until: until.map(clock::utc),
        seconds_left: until.map(|until| until.0.saturating_sub(now.0) as f64 / 1000.0),
    })
}

fn add_up(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (word, n) in counts {
        *sums.entry(word.to_owned()).or_default() += n;
    }
    sums
}

fn per_second(n: u64, time: Duration) -> f64 {
    if time < MOMENT { 0.0 } else { n as f64 / time.as_secs_f64() }
}

/// To the thousandth: more is noise.
fn rounded(n: f64) -> f64 {
    (n * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{EndClass, Event, FailureKind, Reason, RecordKey, Reporter as _, Usage, price::Price};

    const S: Duration = Duration::from_secs(1);

    /// A clock that stands still.
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp(1_795_000_000_000)
        }
    }

    struct Measured {
        status: Arc<Status>,
        control: watch::Sender<Control>,
        meter: Meter,
    }

    impl Measured {
        fn of(facts: Facts) -> Self {
            let (status, control) = (Arc::new(Status::default()), watch::Sender::new(Control::Run));
            let meter = Meter::new(facts, Arc::clone(&status), Arc::new(Still), control.subscribe());
            Self { status, control, meter }
        }

        fn begin(&self, n_settled: u64) {
            self.status.on(&Event::StepStarted { step: 0, name: "label".to_owned(), n_settled, n_asked_again: 0 });
        }

        fn settle(&self, n: u64, class: EndClass) {
            let key = RecordKey { step: 0, part: 0, position: 0, sample: 0 };
            (0..n).for_each(|_| self.status.on(&Event::Settled { key, class }));
        }

        fn read(&mut self) -> Standing {
            self.meter.read().unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_that_of_the_last_ten_seconds_and_what_is_left_that_of_the_last_minute() {
        let mut measured = Measured::of(Facts::default());
        assert!(measured.meter.read().is_none(), "no step has begun");
        measured.begin(1000);
        measured.status.on(&Event::Counted { step: 0, n_records: 10_000 });
        let first = measured.read();
        assert_eq!((first.rate_per_second, first.eta_seconds, first.percent), (0.0, None, Some(10.0)));
        for _ in 0..30 {
            tokio::time::sleep(S).await;
            measured.settle(10, EndClass::Succeeded);
            measured.read();
        }
        for _ in 0..10 {
            tokio::time::sleep(S).await;
            measured.settle(50, EndClass::Succeeded);
            measured.read();
        }
        let now = measured.read();
        assert_eq!((now.settled, now.settled_by_this_process, now.total), (1800, 800, Some(10_000)));
        assert_eq!((now.rate_per_second, now.rate_overall_per_second), (50.0, 20.0));
        // 8,200 are left at 800 in 40 s.
        assert_eq!((now.eta_seconds, now.elapsed_seconds, now.is_total_exact), (Some(410.0), 40.0, false));
        for _ in 0..120 {
            tokio::time::sleep(S).await;
            measured.settle(1, EndClass::Succeeded);
            measured.read();
        }
        let now = measured.read();
        assert_eq!((now.rate_per_second, now.eta_seconds), (1.0, Some(8080.0)));
        assert!(measured.meter.samples.len() <= 62, "{}", measured.meter.samples.len());

        measured.begin(0);
        let next = measured.read();
        assert_eq!(
            (next.settled, next.rate_per_second, next.total),
            (0, 0.0, None),
            "a step counts from its own start"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_earlier_processes_did_is_in_the_counts_and_in_the_bill() {
        let mut tally = Tally::default();
        tally.add_n(EndClass::Succeeded, 4);
        tally.add_n(EndClass::Failed(FailureKind::Timeout), 2);
        let usage = Usage { prompt_tokens: 1000, completion_tokens: 10, ..Usage::default() };
        let mut billed_before = Billed::default();
        billed_before.add("a", usage);
        let price = Price { currency: "USD".to_owned(), prompt: 1_000_000, cached: 0, completion: 2_000_000 };
        let prices = Prices(BTreeMap::from([("a".to_owned(), price)]));
        let tally_before = HashMap::from([(0, tally)]);
        let mut measured = Measured::of(Facts { tally_before, billed_before, prices, ..Facts::default() });
        measured.begin(6);
        measured.settle(1, EndClass::Succeeded);
        measured.settle(1, EndClass::Failed(FailureKind::Timeout));
        for upstream in ["a", "b"] {
            measured.status.on(&Event::Billed { upstream: upstream.to_owned(), usage, latency_ms: Some(20) });
        }
        let key = RecordKey { step: 0, part: 0, position: 0, sample: 0 };
        for reason in [Some(Reason::Empty), None] {
            let (kind, message) = (FailureKind::InvalidOutput, "it is empty".to_owned());
            measured.status.on(&Event::AttemptFailed { key, kind, reason, message, next_in_ms: 0 });
        }
        let now = measured.read();
        assert_eq!((now.settled, now.succeeded, now.failed), (8, 5, 3));
        assert_eq!(now.failed_by_kind, BTreeMap::from([("timeout".to_owned(), 3)]));
        assert_eq!(now.retried_by_kind, BTreeMap::from([("invalid_output".to_owned(), 2)]));
        assert_eq!(now.retried_by_reason, BTreeMap::from([("empty".to_owned(), 1)]));
        assert_eq!((now.tokens.prompt, now.tokens.completion, now.unpriced_tokens), (3000, 30, 1010));
        assert_eq!(now.cost, BTreeMap::from([("USD".to_owned(), 0.00204)]));
        assert_eq!(now.latency.map(|it| it.p99_ms), Some(20));
        assert_eq!(now.last_failure.map(|it| it.kind).as_deref(), Some("invalid_output"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_tells_for_what_and_how_long() {
        let mut measured = Measured::of(Facts::default());
        measured.begin(0);
        let waits = |reason| Event::Waits { step: 0, reason, until: Some(Timestamp(1_795_000_012_500)) };
        measured.status.on(&waits(Some(Waiting::Throttled)));
        let now = measured.read();
        let wait = now.waiting_for.unwrap();
        assert_eq!((now.phase, wait.reason.as_str(), wait.seconds_left), (Phase::Waiting, "throttled", Some(12.5)));
        assert_eq!(wait.until.as_deref(), Some("2026-11-18T11:06:52Z"));
        measured.status.on(&waits(Some(Waiting::Width)));
        assert_eq!(measured.read().phase, Phase::Working, "being busy is no wait");
        for (wish, phase) in [
            (Control::Pause, Phase::Paused),
            (Control::Run, Phase::Working),
            (Control::Cancel, Phase::Cancelling),
            (Control::Drain, Phase::Draining),
        ] {
            measured.control.send_replace(wish);
            let now = measured.read();
            assert_eq!((now.phase, now.eta_seconds), (phase, None));
        }
        measured.status.on(&Event::Finishing { step: 0 });
        assert_eq!(measured.read().phase, Phase::Finishing);
    }
}
