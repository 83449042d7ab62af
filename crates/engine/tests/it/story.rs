//! What the tests say in short.

use std::{sync::Arc, time::Duration};

use domain::{
    Reporter,
    ports::{Handler, Recovered, RequestTable},
};
use engine::{
    Backoff, Budgets, Context, Control, EngineError, Flow, Reparse, Reparsed, Step, StepAccount, StepEnd, run_step,
};
use testkit::{MemoryJournal, MemoryRequests, MemorySink, MemorySource, Reply, ScriptedHandler, Shown, SteppingClock};
use tokio::{sync::watch, time::Instant};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const S: Duration = Duration::from_secs(1);

/// A run with fakes, in paused time.
pub(crate) struct Story {
    pub(crate) source: MemorySource,
    pub(crate) handler: Arc<ScriptedHandler>,
    pub(crate) journal: MemoryJournal,
    pub(crate) shown: Shown,
    pub(crate) flow: Flow,
    pub(crate) control: watch::Sender<Control>,
}

impl Story {
    pub(crate) fn of(
        n_records: u64,
        width: usize,
        script: impl Fn(domain::RecordKey, u32) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let flow = Flow {
            budgets: Budgets { api: 3, content: 1, system: 2 },
            backoff: Backoff { first: S, max: 60 * S },
            deadline: 30 * S,
            grace: 10 * S,
            seed: 1,
            ..Flow::default()
        };
        Self {
            source: MemorySource::counting(n_records),
            handler: Arc::new(ScriptedHandler::new(width, script)),
            journal: MemoryJournal::default(),
            shown: Shown::default(),
            flow,
            control: watch::Sender::new(Control::Run),
        }
    }

    pub(crate) async fn run(&self) -> Result<StepEnd, EngineError> {
        self.run_with(Arc::new(())).await
    }

    pub(crate) async fn run_with(&self, reporter: Arc<dyn Reporter>) -> Result<StepEnd, EngineError> {
        self.run_from(&mut Recovered::default(), None, reporter).await
    }

    /// Goes on with what the journal has, as another process does.
    pub(crate) async fn goes_on(&self, requests: Option<MemoryRequests>) -> Result<StepEnd, EngineError> {
        self.run_from(&mut self.journal.recovered(), requests, Arc::new(())).await
    }

    /// Judges every answer again, by the handler's rules.
    pub(crate) async fn judges_again(&self) -> Reparsed {
        let (source, handler) = (Arc::new(self.source.clone()), self.handler.clone());
        let reparse = Reparse { number: 0, source, handler, limit: None, keeps_failures: false };
        engine::reparse(reparse, &self.context(Arc::new(()))).await.unwrap()
    }

    fn context(&self, reporter: Arc<dyn Reporter>) -> Context {
        Context {
            journal: Arc::new(self.journal.clone()),
            clock: Arc::new(SteppingClock::new(1)),
            reporter,
            control: self.control.subscribe(),
            version: "test".to_owned(),
        }
    }

    async fn run_from(
        &self,
        recovered: &mut Recovered,
        requests: Option<MemoryRequests>,
        reporter: Arc<dyn Reporter>,
    ) -> Result<StepEnd, EngineError> {
        let context = self.context(reporter);
        let mut step = step(self.source.clone(), self.handler.clone(), &self.shown, self.flow.clone());
        step.requests = requests.map(|requests| Box::new(requests) as Box<dyn RequestTable>);
        run_step(step, &context, recovered).await
    }

    pub(crate) async fn finished(&self) -> (StepAccount, Duration) {
        let begun = Instant::now();
        match self.run().await.unwrap() {
            StepEnd::Finished(account) => (account, begun.elapsed()),
            other => panic!("not finished: {other:?}"),
        }
    }

    /// Returns the attempts that the outcome of a record counts.
    pub(crate) fn attempts_of(&self, position: usize) -> u32 {
        self.shown.merged.lock().unwrap().as_ref().unwrap()[position].attempts
    }
}

pub(crate) fn step(source: MemorySource, handler: Arc<dyn Handler>, shown: &Shown, flow: Flow) -> Step {
    Step {
        number: 0,
        name: "step".to_owned(),
        source: Arc::new(source),
        handler,
        sink: Box::new(MemorySink::new(shown)),
        flow,
        limit: None,
        keys: None,
        requests: None,
    }
}
