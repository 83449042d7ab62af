//! Waiting for a table that cannot be reached now: a database that restarts costs a wait and no run.
//!
//! The one place that tries again over time is the engine, so sources and sinks only say that it may pass.

use std::{sync::Arc, time::Duration};

use domain::{Event, Reporter, StepNumber, Waiting};
use tokio::{sync::watch, time::Instant};

use crate::run::Control;

/// How long a table may be away before the step ends with its error. The journal is sound, so that the same command goes on
/// whenever it is back.
const LONGEST: Duration = Duration::from_secs(600);
const FIRST: Duration = Duration::from_millis(250);
const SLOWEST: Duration = Duration::from_secs(15);

/// A wait for a table, from its first failure to the one that it is given up with.
pub(crate) struct Away {
    step: StepNumber,
    reporter: Arc<dyn Reporter>,
    gives_up_at: Option<Instant>,
    next: Duration,
}

/// It was away for too long, or the user does not want to wait.
#[derive(Debug)]
pub(crate) struct GaveUp;

impl Away {
    pub(crate) fn new(step: StepNumber, reporter: &Arc<dyn Reporter>) -> Self {
        Self { step, reporter: Arc::clone(reporter), gives_up_at: None, next: FIRST }
    }

    /// Ends when it is time to try again.
    pub(crate) async fn wait(&mut self, message: &str, control: &watch::Receiver<Control>) -> Result<(), GaveUp> {
        let now = Instant::now();
        let gives_up_at = *self.gives_up_at.get_or_insert(now + LONGEST);
        let mut control = control.clone();
        if now >= gives_up_at || *control.borrow_and_update() >= Control::Drain {
            return Err(GaveUp);
        }
        self.tell(Some(Waiting::Table(message.to_owned())));
        let wait = self.next.min(gives_up_at - now);
        self.next = (self.next * 2).min(SLOWEST);
        let is_stopped = tokio::select! {
            () = tokio::time::sleep(wait) => false,
            () = stopped(&mut control) => true,
        };
        if is_stopped { Err(GaveUp) } else { Ok(()) }
    }

    fn tell(&self, reason: Option<Waiting>) {
        self.reporter.on(&Event::Waits { step: self.step, reason, until: None });
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if self.gives_up_at.is_some() {
            self.tell(None);
        }
    }
}

/// Ends when the user wants the run to stop.
async fn stopped(control: &mut watch::Receiver<Control>) {
    if control.wait_for(|wish| *wish >= Control::Drain).await.is_err() {
        // Nobody can wish for anything any more.
        std::future::pending::<()>().await;
    }
}
