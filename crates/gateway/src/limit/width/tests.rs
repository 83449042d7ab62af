//! The controller against a vendor that is made of time alone.

use super::*;

/// A step of the simulation.
const STEP: Duration = Duration::from_millis(5);

/// A vendor that serves up to `knee` requests at full speed; beyond, they share it.
struct Vendor {
    knee: f64,
    slows: bool,
    /// Refuses what comes while so many are in flight.
    most: Option<usize>,
    /// Seconds for which every request waits, whatever else is there.
    slower: f64,
    running: Vec<Running>,
}

#[derive(Clone, Copy)]
struct Running {
    sent: Instant,
    load: usize,
    tokens: u64,
    /// Seconds of work that are left; a refusal has none but the way there and back.
    left: f64,
    is_refused: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Lengths {
    Alike,
    Mixed,
}

struct Sim {
    vendor: Vendor,
    width: Width,
    lengths: Lengths,
    rests_until: Instant,
    /// So many want to ask at once.
    wants: usize,
    now: Instant,
    seed: u64,
    n_answered: u64,
    n_refused: u64,
    work: f64,
    /// The width at the end of each step.
    widths: Vec<usize>,
}

/// What was seen of a while.
#[derive(Debug)]
struct Looked {
    /// The work that was done in a second.
    work: f64,
    /// The part of the answers that were refusals.
    refused: f64,
    mean: f64,
    least: usize,
    most: usize,
    widths: Widths,
}

struct Widths(Vec<usize>);

impl std::fmt::Debug for Widths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "..")
    }
}

impl Looked {
    /// The part of the time for which the width was within a quarter of `knee`.
    fn near(&self, knee: f64) -> f64 {
        let near = self.widths.0.iter().filter(|width| (**width as f64 - knee).abs() <= 0.25 * knee).count();
        near as f64 / self.widths.0.len() as f64
    }
}

impl Sim {
    fn new(vendor: Vendor, width: MaxInFlight, lengths: Lengths, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            vendor,
            width: Width::new(width, now),
            lengths,
            rests_until: now,
            wants: usize::MAX,
            now,
            seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            n_answered: 0,
            n_refused: 0,
            work: 0.0,
            widths: Vec::new(),
        }
    }

    fn draw(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Sends whatever may be sent.
    fn send(&mut self) {
        while self.now >= self.rests_until && self.vendor.running.len() < self.width.places().min(self.wants) {
            let load = self.vendor.running.len() + 1;
            let tokens = match self.lengths {
                Lengths::Alike => 60.0 + 80.0 * self.draw(),
                Lengths::Mixed => 5.0 * 2.0_f64.powf(8.0 * self.draw()),
            } as u64;
            let noise = 0.85 + 0.3 * self.draw();
            let serving = self.vendor.running.iter().filter(|it| !it.is_refused).count();
            let is_refused = self.vendor.most.is_some_and(|most| serving >= most);
            let left = if is_refused { 0.02 } else { (0.2 + 0.008 * tokens as f64) * noise + self.vendor.slower };
            self.vendor.running.push(Running { sent: self.now, load, tokens, left, is_refused });
        }
    }

    fn step(&mut self) {
        self.send();
        self.now += STEP;
        let serving = self.vendor.running.iter().filter(|it| !it.is_refused).count() as f64;
        let speed = if self.vendor.slows { (self.vendor.knee / serving.max(1.0)).min(1.0) } else { 1.0 };
        for it in &mut self.vendor.running {
            it.left -= STEP.as_secs_f64() * if it.is_refused { 1.0 } else { speed };
        }
        while let Some(at) = self.vendor.running.iter().position(|it| it.left <= 0.0) {
            let in_flight = self.vendor.running.len();
            let it = self.vendor.running.remove(at);
            let how = if it.is_refused { How::Throttled } else { How::Answered };
            let tokens = (!it.is_refused).then_some(it.tokens);
            let seen = Seen { how, first_byte: None, output_tokens: tokens, tokens };
            let is_answered_to = self.width.ended(it.sent, it.load, in_flight, &seen, self.now - it.sent, self.now);
            match how {
                How::Answered => {
                    self.n_answered += 1;
                    self.work += 0.2 + 0.008 * it.tokens as f64;
                }
                _ => {
                    self.n_refused += 1;
                    if !is_answered_to {
                        self.rests_until = self.now + Duration::from_secs(1);
                    }
                }
            }
        }
        self.widths.push(self.width.places());
    }

    fn look(&mut self, seconds: u64) -> Looked {
        self.widths.clear();
        (self.n_answered, self.n_refused, self.work) = (0, 0, 0.0);
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.step();
        }
        let widths = std::mem::take(&mut self.widths);
        Looked {
            work: self.work / seconds as f64,
            refused: self.n_refused as f64 / (self.n_answered + self.n_refused).max(1) as f64,
            mean: widths.iter().sum::<usize>() as f64 / widths.len() as f64,
            least: widths.iter().copied().min().unwrap_or(0),
            most: widths.iter().copied().max().unwrap_or(0),
            widths: Widths(widths),
        }
    }
}

fn vendor(knee: usize, slows: bool, most: Option<usize>) -> Vendor {
    Vendor { knee: knee as f64, slows, most, slower: 0.0, running: Vec::new() }
}

const AUTO: MaxInFlight = MaxInFlight::Adaptive { start: 8, most: 1_024 };

/// The work per second that a fixed width of the knee gets done.
fn best(knee: usize, lengths: Lengths) -> f64 {
    let mut sim = Sim::new(vendor(knee, true, None), MaxInFlight::Fixed(knee), lengths, 99);
    sim.look(30);
    sim.look(120).work
}

/// Lets the width find a knee at 64, then 24, then 128, each within half a minute, and looks at the half minute after it.
fn follow(slows: bool, refuses: Option<f64>, lengths: Lengths) {
    let best = [64, 24, 128].map(|knee| best(knee, lengths));
    for seed in 1..=5 {
        let most = |knee: usize| refuses.map(|factor| (knee as f64 * factor) as usize);
        let mut sim = Sim::new(vendor(64, slows, most(64)), AUTO, lengths, seed);
        for (knee, best) in [64, 24, 128].into_iter().zip(best) {
            (sim.vendor.knee, sim.vendor.most) = (knee as f64, most(knee));
            let found = sim.look(30);
            let held = sim.look(30);
            let told = format!("seed {seed}, knee {knee}: found {found:?}, held {held:?}");
            let knee = knee as f64;
            assert!(held.near(knee) >= 0.9 && (held.mean - knee).abs() <= 0.25 * knee, "{told}");
            assert!(held.work >= 0.9 * best, "{told}");
            assert!(found.refused + held.refused < 2.0 * 0.02 && held.refused < 0.01, "{told}");
        }
    }
}

#[test]
fn a_knee_that_shows_in_latency_alone_is_found_and_followed() {
    follow(true, None, Lengths::Alike);
}

#[test]
fn a_knee_that_shows_in_refusals_alone_is_found_and_followed() {
    follow(false, Some(1.0), Lengths::Alike);
}

#[test]
fn a_knee_that_shows_in_both_is_found_and_followed() {
    follow(true, Some(1.2), Lengths::Alike);
}

#[test]
fn short_and_long_answers_mixed_do_not_make_it_narrow() {
    let best = best(64, Lengths::Mixed);
    for seed in 1..=3 {
        for (slows, most) in [(true, None), (false, Some(64))] {
            let mut sim = Sim::new(vendor(64, slows, most), AUTO, Lengths::Mixed, seed);
            // What takes ten seconds takes longer to be learned from.
            sim.look(120);
            let held = sim.look(120);
            assert!((held.mean - 64.0).abs() <= 16.0, "{held:?}");
            assert!(held.work >= 0.9 * best, "{held:?}");
        }
        // And where there is no knee, nothing but the file holds it up.
        let mut sim = Sim::new(vendor(1_000_000, true, None), AUTO, Lengths::Mixed, seed);
        assert_eq!(sim.look(60).most, 1_024);
    }
}

#[test]
fn a_vendor_who_becomes_slower_by_himself_is_asked_as_much_as_before() {
    for seed in 1..=3 {
        let mut sim = Sim::new(vendor(64, true, None), AUTO, Lengths::Alike, seed);
        sim.look(60);
        sim.vendor.slower = 2.0;
        sim.look(60);
        let held = sim.look(60);
        assert!(held.mean >= 56.0 && held.least >= 40, "{held:?}");
    }
}

#[test]
fn a_width_that_is_not_used_does_not_grow_and_a_fixed_one_never_changes() {
    let mut idle = Sim::new(vendor(64, true, None), AUTO, Lengths::Alike, 1);
    idle.wants = 3;
    assert_eq!(idle.look(60).most, 8);
    let mut fixed = Sim::new(vendor(64, true, Some(64)), MaxInFlight::Fixed(70), Lengths::Alike, 1);
    let seen = fixed.look(30);
    assert_eq!((seen.least, seen.most), (70, 70));
}

#[test]
fn a_width_that_had_to_become_small_becomes_wide_again() {
    for few in [1, 2, 3, 5, 6] {
        let mut sim = Sim::new(vendor(64, false, Some(few)), AUTO, Lengths::Alike, 1);
        sim.look(60);
        sim.vendor.most = Some(64);
        // With one in flight a round is long.
        sim.look(300);
        let held = sim.look(30);
        assert!(held.mean >= 48.0, "after {few}: {held:?}");
    }
}

/// The width after requests of one burst, sent at the same time, ended so one after the other.
fn after(how: How, n: usize) -> (usize, Vec<bool>) {
    let now = Instant::now();
    let mut width = Width::new(MaxInFlight::Adaptive { start: 100, most: 1_000 }, now);
    let seen = Seen { how, first_byte: None, output_tokens: None, tokens: None };
    let end = |it: usize| {
        let at = now + Duration::from_millis(100 + it as u64);
        width.ended(now, 100, 100 - it, &seen, at - now, at)
    };
    let is_answered_to = (0..n).map(end).collect();
    (width.places(), is_answered_to)
}

#[test]
fn a_burst_of_refusals_or_of_faults_is_one_reason_to_be_narrower() {
    assert_eq!(after(How::Throttled, 1), (69, vec![true]));
    assert_eq!(after(How::Throttled, 40), (69, vec![true; 40]));
    assert_eq!(after(How::Fault, 40), (90, vec![false; 40]));
    assert_eq!(after(How::Cancelled, 40), (100, vec![false; 40]));
}

#[test]
fn refusals_that_go_on_are_more_than_a_width_answers_to() {
    let mut now = Instant::now();
    let mut width = Width::new(MaxInFlight::Adaptive { start: 100, most: 1_000 }, now);
    let seen = Seen { how: How::Throttled, first_byte: None, output_tokens: None, tokens: None };
    let mut answered_to = Vec::new();
    for _ in 0..8 {
        let sent = now;
        now += Duration::from_millis(50);
        let load = width.places();
        answered_to.push(width.ended(sent, load, load, &seen, now - sent, now));
    }
    assert_eq!(answered_to, [true, true, true, true, false, false, false, false]);
    assert!(width.places() >= 1);
}
