//! `tidemill gateway top`: the upstreams of a gateway, seen live.

mod fetch;
mod sample;
mod table;

use std::{collections::VecDeque, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use crate::{
    args::GatewayTop,
    clock::{SystemClock, utc},
    exit::Exit,
    progress::{can_draw, screen},
    talk,
};
use fetch::Fetch;
use sample::{Rates, Sample};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// Over how many looks rates are taken: fewer jump about, more are old.
const WINDOW: usize = 10;

/// Shows how the upstreams of a gateway do, until it is interrupted.
pub(super) fn run(args: &GatewayTop) -> anyhow::Result<Exit> {
    if args.json {
        talk::in_json();
    }
    let fetch = Fetch::new(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(watch(&fetch, Showing::of(args), args.once))
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Showing {
    /// Drawn again and again.
    Screen,
    /// A table a second.
    Plain,
    /// An object a second.
    Json,
}

impl Showing {
    fn of(args: &GatewayTop) -> Self {
        match args.json {
            true => Self::Json,
            false if can_draw() && !args.once => Self::Screen,
            false => Self::Plain,
        }
    }

    fn show(self, rates: &Rates) {
        match self {
            Self::Screen => talk::show_bar(|| table::frame(rates, screen::size())),
            Self::Plain => table::rows(rates).into_iter().for_each(|row| talk::data(row.trim_end())),
            Self::Json => {
                let mut line = serde_json::to_value(rates).unwrap_or_default();
                line["time"] = utc(domain::Clock::now(&SystemClock)).into();
                talk::data(line.to_string());
            }
        }
    }
}

async fn watch(fetch: &Fetch, showing: Showing, is_once: bool) -> anyhow::Result<Exit> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // One that cannot be reached in the first place is a mistake; later it may be on its way up again.
    let mut samples = VecDeque::from([fetch.sample().await?]);
    let mut next = Instant::now();
    loop {
        next += EVERY;
        tokio::select! {
            () = sleep_until(next) => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
        match fetch.sample().await {
            Ok(sample) => add(&mut samples, sample),
            Err(error) if is_once => return Err(error),
            Err(error) => {
                talk::error(&error);
                continue;
            }
        }
        if let (Some(first), Some(last)) = (samples.front(), samples.back()) {
            showing.show(&Rates::between(first, last));
        }
        if is_once {
            return Ok(Exit::Done);
        }
    }
    talk::hide_bar();
    Ok(Exit::Done)
}

fn add(samples: &mut VecDeque<Sample>, sample: Sample) {
    // A gateway that was started again has counted nothing yet.
    if samples.back().is_some_and(|last| last.since != sample.since) {
        samples.clear();
        samples.push_back(sample.begun());
    }
    samples.push_back(sample);
    if samples.len() > WINDOW + 1 {
        samples.pop_front();
    }
}
