//! Where a run stands, shown: a bar on a terminal, plain lines elsewhere, JSON for programs.
//!
//! The engine's events are added up by [`engine::Status`]; the [`Meter`] makes a [`Standing`] of that four times a
//! second, with rates and money in it; the [`Display`] shows standings and knows nothing else. So another process
//! that is sent standings (`tidemill monitor`) shows what the run itself shows.

mod bar;
mod display;
mod file;
mod layout;
mod line;
mod meter;
pub(crate) mod screen;
mod standing;
mod wording;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Clock, StepNumber, Tally};
use engine::{Control, Status};
use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

pub(crate) use display::{Display, can_draw};
pub(crate) use file::ProgressFile;
pub(crate) use layout::{columns, cut, printable};
pub(crate) use meter::Facts;
use standing::Phase;
pub(crate) use standing::Standing;
pub(crate) use wording::{about, counted, duration, rate, size, thousands};

use crate::talk;
use meter::Meter;

/// How often a standing is made: often enough for a bar, and nothing beside the work.
const EVERY: Duration = Duration::from_millis(250);

/// How often it is looked whether the first step has begun.
const SOON: Duration = Duration::from_millis(20);

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// A bar on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// A bar of three lines that is drawn again and again; plain lines where standard error is no terminal.
    Bar,
    /// A line now and then: every 2 seconds at first, every 30 seconds in the end.
    Plain,
    /// A JSON object a line, every second; messages are JSON objects too.
    Json,
    /// Nothing.
    None,
}

/// The last standing; `None` before the first step begins.
pub(crate) type Watched = watch::Receiver<Option<Arc<Standing>>>;

/// The progress of a run that this process works on. Dropped, it takes the bar away.
pub(crate) struct Progress {
    meter: Arc<Mutex<Meter>>,
    standing: watch::Sender<Option<Arc<Standing>>>,
    display: Showing,
    ticking: JoinHandle<()>,
}

impl Progress {
    /// Begins to show what `status` adds up. Has to be called on the run's runtime.
    pub(crate) fn begin(
        mode: Mode,
        facts: Facts,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
        control: watch::Receiver<Control>,
    ) -> Self {
        let meter = Arc::new(Mutex::new(Meter::new(facts, status, clock, control)));
        let standing = watch::Sender::new(None);
        let ticking = tokio::spawn({
            let (meter, standing) = (Arc::clone(&meter), standing.clone());
            async move {
                loop {
                    let now = locked(&meter).read();
                    let next = if now.is_some() { EVERY } else { SOON };
                    if let Some(now) = now {
                        standing.send_replace(Some(Arc::new(now)));
                    }
                    tokio::time::sleep(next).await;
                }
            }
        });
        let display = Showing::of(Display::new(mode, false), standing.subscribe());
        Self { meter, standing, display, ticking }
    }

    /// Returns where to see the last standing.
    pub(crate) fn watched(&self) -> Watched {
        self.standing.subscribe()
    }

    /// Tells how the records of a step have ended that earlier processes settled.
    pub(crate) fn begin_from(&self, number: StepNumber, tally: Tally) {
        locked(&self.meter).begin_from(number, tally);
    }

    /// Takes the bar away and leaves a last line: the step is over, whatever it came to.
    pub(crate) fn step_over(&self) {
        if let Some(now) = locked(&self.meter).read() {
            let now = Arc::new(Standing { phase: Phase::Over, eta_seconds: None, ..now });
            self.standing.send_replace(Some(Arc::clone(&now)));
            self.display.step_over(&now);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ticking.abort();
    }
}

/// A display at work. Dropped, it takes the bar away.
pub(crate) struct Showing {
    display: Arc<Mutex<Display>>,
    task: JoinHandle<()>,
}

impl Showing {
    /// Shows every standing, on the runtime that this is called on.
    pub(crate) fn of(display: Display, watched: Watched) -> Self {
        let is_bar = display.is_bar();
        let display = Arc::new(Mutex::new(display));
        let task = tokio::spawn(show(Arc::clone(&display), watched, is_bar));
        Self { display, task }
    }

    /// Shows where a step stood when it was over.
    pub(crate) fn step_over(&self, now: &Standing) {
        locked(&self.display).step_over(now);
    }
}

impl Drop for Showing {
    fn drop(&mut self) {
        self.task.abort();
        // Whatever is still on its way to the screen finds it closed.
        locked(&self.display).close();
    }
}

async fn show(display: Arc<Mutex<Display>>, mut watched: Watched, is_bar: bool) {
    let listen = |number| if is_bar { signal(number).ok() } else { None };
    let mut resized = listen(SignalKind::window_change());
    let mut continued = listen(SignalKind::from_raw(Signal::CONT.as_raw()));
    let mut suspended = listen(SignalKind::from_raw(Signal::TSTP.as_raw()));
    loop {
        tokio::select! {
            changed = watched.changed() => if changed.is_err() { return },
            () = told(&mut resized) => {}
            // Whatever is on the screen now, the bar is not where it was.
            () = told(&mut continued) => talk::forget_bar(),
            () = told(&mut suspended) => {
                // Ctrl-Z: the shell's prompt should not stand in the middle of the bar.
                talk::hide_bar();
                // It cannot fail: the signal is for ourselves.
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
                continue;
            }
        }
        let Some(now) = watched.borrow_and_update().clone() else { continue };
        let display = Arc::clone(&display);
        // A terminal that takes nothing (Ctrl-S, a dead connection) holds up this thread, and not the run.
        let shown = tokio::task::spawn_blocking(move || locked(&display).show(&now));
        if shown.await.is_err() {
            // It panicked: there is no bar any more, and the run goes on.
            return;
        }
    }
}

async fn told(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
