//! The script as it is played now.

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value};

use crate::{
    body::Body,
    limit::Gates,
    openai::bill::Encoding,
    ready::Made,
    script::{Answer, Counting, Latency, Script, ScriptError},
};

/// A script, and what is made of it once.
pub(crate) struct Playing {
    pub(crate) script: Script,
    /// The text of every answer, where it is fixed.
    pub(crate) fixed: Option<Arc<str>>,
    pub(crate) made: Option<Made>,
    /// Whether an answer that is made needs no more than a look at the request, and goes out in one piece.
    pub(crate) is_plain: bool,
    pub(crate) gates: Arc<Gates>,
}

/// What is played, which may change at any time.
pub(crate) struct Stage(RwLock<Arc<Playing>>);

impl Playing {
    pub(crate) fn new(script: Script) -> Result<Playing, ScriptError> {
        script.check()?;
        // Unpacking a table takes a while, which the first answer should not wait for.
        script.usage.tokenizer.map(Encoding::table);
        let fixed = match &script.answer {
            Answer::Fixed(text) => Some(text.as_str().into()),
            _ => None,
        };
        let made = match &script.answer {
            Answer::Ready(ready) => Some(Made::new(ready, &script.model, script.stream_pause.into())),
            _ => None,
        };
        let gates = Arc::new(Gates::new(script.limits));
        let is_plain = made.is_some()
            && gates.are_open()
            && script.limits.in_flight.is_none()
            && script.faults.is_empty()
            && script.latency == Latency::default()
            && script.stream_pause.0.is_zero()
            && script.counting == Counting::Totals
            && script.remember == 0
            && script.require_key.is_none();
        Ok(Playing { script, fixed, made, is_plain, gates })
    }

    /// Returns the made answer, where there is one.
    pub(crate) fn made_body(&self, is_stream: bool) -> Option<Body> {
        self.made.as_ref().map(|made| if is_stream { made.events.clone() } else { made.whole.clone() })
    }
}

impl Stage {
    pub(crate) fn new(script: Script) -> Result<Stage, ScriptError> {
        Ok(Stage(RwLock::new(Arc::new(Playing::new(script)?))))
    }

    pub(crate) fn now(&self) -> Arc<Playing> {
        // A panic elsewhere leaves it whole: a change is one assignment.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Plays another script from now on. What is being answered is answered by the old one. Limits that stay the same keep
    /// what was taken of them.
    pub(crate) fn play(&self, script: Script) -> Result<(), ScriptError> {
        let mut playing = Playing::new(script)?;
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if now.gates.limits() == playing.gates.limits() {
            playing.gates = Arc::clone(&now.gates);
        }
        *now = Arc::new(playing);
        Ok(())
    }

    /// Gives some keys of the script other values.
    pub(crate) fn change(&self, change: &Map<String, Value>) -> Result<(), ScriptError> {
        self.play(self.now().script.changed(change)?)
    }
}
