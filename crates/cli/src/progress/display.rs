//! Showing standings in one of the ways.

use std::{io::IsTerminal as _, time::Duration};

use tokio::time::Instant;

use super::{
    Mode, bar,
    line::{last, line},
    screen,
    standing::{Phase, Standing},
};
use crate::talk;

/// A plain line is printed this often from the beginning, and from so long into a step on. Logs of a night stay short.
const CADENCE: [(Duration, Duration); 3] = [
    (Duration::ZERO, Duration::from_secs(2)),
    (Duration::from_secs(60), Duration::from_secs(10)),
    (Duration::from_secs(600), Duration::from_secs(30)),
];
/// A JSON line is printed this often.
const JSON: Duration = Duration::from_secs(1);
/// A wait of the same kind is told at once only this often: a vendor that throttles does so many times a minute.
const SAME_WAIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Bar,
    Plain,
    Json,
    Nothing,
}

/// What shows standings.
#[derive(Debug)]
pub(crate) struct Display {
    look: Look,
    /// Whether JSON is data, for standard output, and not talk.
    is_data: bool,
    is_closed: bool,
    /// The step that is over; what is still told of it comes too late.
    over: Option<String>,
    began: Option<(String, Instant)>,
    next: Instant,
    /// What was waited for when it was told last, and when that was.
    told: Option<(&'static str, Instant)>,
    instead: &'static str,
}

impl Display {
    /// Makes a display. `is_data` sends JSON to standard output.
    pub(crate) fn new(mode: Mode, is_data: bool) -> Self {
        let look = match mode {
            Mode::Auto | Mode::Bar if can_draw() => Look::Bar,
            Mode::Auto | Mode::Bar | Mode::Plain => Look::Plain,
            Mode::Json => Look::Json,
            Mode::None => Look::Nothing,
        };
        let next = Instant::now();
        Self { look, is_data, is_closed: false, over: None, began: None, next, told: None, instead: "" }
    }

    pub(super) fn is_bar(&self) -> bool {
        self.look == Look::Bar
    }

    /// Shows where the run stands, if it is time to.
    pub(super) fn show(&mut self, now: &Standing) {
        if self.is_closed || self.over.as_deref() == Some(&now.step) {
            return;
        }
        match self.look {
            Look::Bar => talk::show_bar(|| bar::lines(now, screen::size())),
            Look::Plain => {
                if self.is_time_for_a_line(now, Instant::now()) {
                    talk::say(line(now));
                }
            }
            Look::Json => {
                let at = Instant::now();
                if at >= self.next {
                    // A tick that comes a little early should not cost a second.
                    self.next = at + JSON - Duration::from_millis(100);
                    self.json(now);
                }
            }
            Look::Nothing => {}
        }
    }

    /// Shows where a step stood when it was over.
    pub(crate) fn step_over(&mut self, now: &Standing) {
        if self.is_closed || self.over.as_deref() == Some(&now.step) {
            return;
        }
        self.over = Some(now.step.clone());
        match self.look {
            Look::Bar => {
                talk::hide_bar();
                talk::say(last(now));
            }
            Look::Plain => talk::say(last(now)),
            Look::Json => self.json(now),
            Look::Nothing => {}
        }
    }

    /// Takes the bar away; nothing is shown any more.
    pub(super) fn close(&mut self) {
        if self.is_bar() && !self.is_closed {
            talk::hide_bar();
        }
        self.is_closed = true;
    }

    fn json(&self, now: &Standing) {
        // A standing is made of words and numbers: it can be written.
        let Ok(text) = serde_json::to_string(now) else { return };
        if self.is_data { talk::data(text) } else { talk::raw(&text) }
    }

    fn is_time_for_a_line(&mut self, now: &Standing, at: Instant) -> bool {
        let began = match &self.began {
            Some((step, began)) if *step == now.step => *began,
            _ => {
                self.next = at + CADENCE[0].1;
                self.began = Some((now.step.clone(), at));
                (self.told, self.instead) = (None, "");
                at
            }
        };
        let instead = instead(now);
        let has_changed = std::mem::replace(&mut self.instead, instead) != instead;
        let was_told = self.told.is_some_and(|(told, when)| told == instead && at - when < SAME_WAIT);
        let is_news = has_changed && !instead.is_empty() && !was_told;
        if !is_news && at < self.next {
            return false;
        }
        if !instead.is_empty() {
            self.told = Some((instead, at));
        }
        let since = at - began;
        let every = CADENCE.iter().rev().find(|(from, _)| since >= *from).map_or(CADENCE[0].1, |(_, every)| *every);
        self.next = at + every;
        true
    }
}

/// A word for what the run does instead of asking, if anything worth a line of its own.
fn instead(now: &Standing) -> &'static str {
    match now.phase {
        Phase::Working | Phase::Over => "",
        Phase::Paused => "paused",
        Phase::Cancelling => "cancelling",
        Phase::Draining => "draining",
        Phase::Finishing => "finishing",
        Phase::Waiting => match now.waiting_for.as_ref().map(|wait| wait.reason.as_str()) {
            Some("throttled" | "rate") => "throttled",
            Some("pause") => "pause",
            Some("outage") => "outage",
            Some("table") => "table",
            Some("parked") => "parked",
            // The next attempts are due in a moment, as a rule.
            _ => "",
        },
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "TERM is a convention of the environment, and tells of the terminal alone"
)]
pub(crate) fn can_draw() -> bool {
    let knows_sequences = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    knows_sequences && std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::standing::WaitingFor;

    const TICK: Duration = Duration::from_millis(250);

    fn waits(reason: &str) -> Standing {
        let waiting_for = Some(WaitingFor { reason: reason.to_owned(), ..WaitingFor::default() });
        Standing { phase: Phase::Waiting, waiting_for, ..Standing::default() }
    }

    /// How many lines there are while ticks go on for so long.
    async fn lines(display: &mut Display, now: &Standing, span: Duration) -> usize {
        let (mut n, end) = (0, Instant::now() + span);
        while Instant::now() < end {
            n += usize::from(display.is_time_for_a_line(now, Instant::now()));
            tokio::time::sleep(TICK).await;
        }
        n
    }

    #[tokio::test(start_paused = true)]
    async fn lines_become_rarer_as_a_step_goes_on() {
        let mut display = Display::new(Mode::Plain, false);
        let now = Standing::default();
        assert_eq!(lines(&mut display, &now, Duration::from_secs(60)).await, 29);
        assert_eq!(lines(&mut display, &now, Duration::from_secs(540)).await, 54);
        assert_eq!(lines(&mut display, &now, Duration::from_secs(8 * 3600)).await, 960);
        let next = Standing { step: "next".to_owned(), ..Standing::default() };
        assert_eq!(lines(&mut display, &next, Duration::from_secs(60)).await, 29, "another step begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_run_waits_for_is_told_at_once_and_not_over_and_over() {
        let mut display = Display::new(Mode::Plain, false);
        let works = Standing::default();
        lines(&mut display, &works, Duration::from_secs(3600)).await;
        assert_eq!(lines(&mut display, &waits("outage"), TICK).await, 1, "a new wait is news");
        assert_eq!(lines(&mut display, &waits("outage"), 20 * TICK).await, 0, "and then it is known");
        assert_eq!(lines(&mut display, &waits("throttled"), TICK).await, 1);
        let mut n = 0;
        for _ in 0..60 {
            n += lines(&mut display, &works, TICK).await;
            n += lines(&mut display, &waits("throttled"), TICK).await;
        }
        assert!(n <= 4, "thirty seconds of being throttled now and then took {n} lines");
        assert_eq!(lines(&mut display, &waits("backoff"), 4 * TICK).await, 0);
    }
}
