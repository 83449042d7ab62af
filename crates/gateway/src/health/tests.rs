use bytes::Bytes;

use super::*;

/// An upstream and the time, in milliseconds since the beginning.
struct Story {
    health: Health,
    jitter: Jitter,
    begin: Instant,
    now: Instant,
}

impl Story {
    fn new() -> Self {
        let now = Instant::now();
        Self { health: Health::new(), jitter: Jitter::new(7), begin: now, now }
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.now = self.begin + Duration::from_millis(ms);
        self
    }

    fn fails(&mut self, kind: FailureKind) -> Cost {
        self.fails_as(kind, None, true, self.now, false)
    }

    fn fails_as(
        &mut self,
        kind: FailureKind,
        retry_after_ms: Option<u64>,
        is_reached: bool,
        taken: Instant,
        is_probe: bool,
    ) -> Cost {
        let failure = Failure::new(kind, "words").after_ms(retry_after_ms);
        let failed = Failed { failure, is_reached, body: Bytes::new(), lacks: None, hints: None };
        self.health.failed(&failed, is_probe, taken, self.now, &mut self.jitter)
    }

    fn throttles(&mut self, retry_after_ms: Option<u64>) {
        let cost = self.fails_as(FailureKind::Throttled, retry_after_ms, true, self.now, false);
        assert_eq!(cost, Cost::Lane);
    }

    fn probe_fails(&mut self) {
        assert_eq!(self.health.standing(self.now), Standing::ProbeDue);
        self.health.begin_probe();
        assert_eq!(self.health.standing(self.now), Standing::OpenUntil(None));
        assert_eq!(self.fails_as(FailureKind::Unavailable, None, true, self.now, true), Cost::Lane);
    }

    fn waits_ms(&self) -> u64 {
        let until = match self.health.standing(self.now) {
            Standing::CoolsUntil(at) | Standing::OpenUntil(Some(at)) => at,
            _ => self.now,
        };
        (until - self.now).as_millis().try_into().unwrap()
    }
}

#[test]
fn a_stated_wait_is_kept_to_the_millisecond() {
    let mut story = Story::new();
    story.throttles(Some(2_500));
    assert_eq!(story.waits_ms(), 2_500);
    story.at(2_500);
    assert_eq!(story.health.standing(story.now), Standing::Well);
}

#[test]
fn throttles_in_a_row_lengthen_the_wait_up_to_a_minute_and_an_answer_resets_it() {
    let mut story = Story::new();
    let mut now = 0;
    for expected in [2_000, 4_000, 6_000, 8_000, 10_000, 14_000, 22_000, 38_000, 60_000, 60_000] {
        story.at(now).throttles(None);
        let waits = story.waits_ms();
        assert!((expected..expected * 5 / 4).contains(&waits), "{waits} for {expected}");
        now += waits + 1;
    }
    story.at(now).health.answered();
    story.throttles(None);
    assert!(story.waits_ms() < 2_500);
}

#[test]
fn requests_that_are_throttled_together_are_one_throttle() {
    let mut story = Story::new();
    let taken = story.now;
    for ms in 10..74 {
        story.at(ms).fails_as(FailureKind::Throttled, None, true, taken, false);
    }
    assert!(story.waits_ms() < 2_500);
    // One of them that asks for more gets it.
    story.fails_as(FailureKind::Throttled, Some(5_000), true, taken, false);
    assert_eq!(story.waits_ms(), 5_000);
}

#[test]
fn a_vendor_who_says_at_once_forever_is_asked_less_and_less() {
    let mut story = Story::new();
    let mut now = 0;
    for _ in 0..20 {
        story.at(now).throttles(Some(0));
        assert!(story.waits_ms() >= 20);
        now += story.waits_ms() + 1;
    }
    assert!(story.waits_ms() >= 60_000);
}

#[test]
fn a_failed_connection_opens_the_breaker_at_once_and_probes_come_later_and_later() {
    let mut story = Story::new();
    assert_eq!(story.fails_as(FailureKind::Unavailable, None, false, story.now, false), Cost::Lane);
    let mut now = 0;
    for expected in [2_000, 4_000, 6_000, 8_000, 10_000, 14_000, 22_000, 38_000, 60_000, 60_000] {
        assert_eq!(story.waits_ms(), expected);
        now += expected;
        story.at(now).probe_fails();
    }
    assert_eq!(story.health.troubled_since(), Some(story.begin));
    story.at(now + 60_000).health.begin_probe();
    story.health.answered();
    assert_eq!((story.health.standing(story.now), story.health.troubled_since()), (Standing::Well, None));
    // The count begins anew.
    story.fails_as(FailureKind::Unavailable, None, false, story.now, false);
    assert_eq!(story.waits_ms(), 2_000);
}

#[test]
fn ten_faults_in_a_row_open_the_breaker_and_the_lane_pays_from_then_on() {
    let mut story = Story::new();
    for _ in 0..9 {
        assert_eq!(story.fails(FailureKind::Unavailable), Cost::Record);
    }
    story.health.answered();
    for _ in 0..9 {
        assert_eq!(story.fails(FailureKind::Timeout), Cost::Record);
        assert_eq!(story.health.standing(story.now), Standing::Well);
    }
    assert_eq!(story.fails(FailureKind::Unavailable), Cost::Record);
    assert_eq!(story.waits_ms(), 2_000);
    // Those that were in flight when it opened do not move the probe.
    assert_eq!(story.at(1_900).fails(FailureKind::Unavailable), Cost::Lane);
    assert_eq!(story.waits_ms(), 100);
}

#[test]
fn any_word_from_the_upstream_closes_the_breaker() {
    for kind in [FailureKind::Rejected, FailureKind::Throttled, FailureKind::InvalidOutput] {
        let mut story = Story::new();
        story.fails_as(FailureKind::Unavailable, None, false, story.now, false);
        story.at(2_000).health.begin_probe();
        story.fails_as(kind, Some(0), true, story.now, true);
        assert!(!matches!(story.health.standing(story.now), Standing::OpenUntil(_)), "{kind}");
    }
}

#[test]
fn a_probe_that_was_called_off_is_due_again() {
    let mut story = Story::new();
    story.fails_as(FailureKind::Unavailable, None, false, story.now, false);
    story.at(2_000).health.begin_probe();
    story.health.abandon_probe();
    assert_eq!(story.health.standing(story.now), Standing::ProbeDue);
}

#[test]
fn a_dead_key_stays_dead_until_somebody_says_that_it_is_worth_a_try() {
    for kind in [FailureKind::Unauthorized, FailureKind::ExhaustedCredit] {
        let mut story = Story::new();
        assert_eq!(story.fails(kind), Cost::Lane);
        let before = story.now;
        story.at(100_000_000).health.answered();
        assert_eq!(story.health.standing(story.now), Standing::Dead);
        story.health.revive(story.now);
        assert_eq!((story.health.standing(story.now), story.health.troubled_since()), (Standing::ProbeDue, None));
        assert!(story.health.last().is_some(), "people see why, until it answers");
        // What was sent before is no news, and one request finds out.
        story.fails_as(kind, None, true, before, false);
        assert_eq!(story.health.standing(story.now), Standing::ProbeDue);
        story.health.begin_probe();
        story.fails_as(kind, None, true, story.now, true);
        assert_eq!(story.health.standing(story.now), Standing::Dead);
        story.health.revive(story.now);
        story.health.begin_probe();
        story.health.answered();
        assert_eq!((story.health.standing(story.now), story.health.last()), (Standing::Well, None));
    }
}

#[test]
fn what_is_not_dead_is_as_it_was_when_the_configuration_is_read_again() {
    let mut story = Story::new();
    story.fails_as(FailureKind::Unavailable, None, false, story.now, false);
    story.health.revive(story.now);
    assert_eq!(story.waits_ms(), 2_000);
}
