//! What the upstreams take, as far as it was found out.
//!
//! It is not behind the lock of the lanes: every request reads it, and it changes a handful of times in a run.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use provider::{Abilities, Json, Lack};
use tokio::sync::mpsc;

use crate::{config::JsonSupport, resolve::Resolved};

/// Each ability is lost once, so this many notices are all that one upstream can give.
const NOTICES_EACH: usize = 3;

/// The levels of [`Json`], by the number under which they are kept.
const LEVELS: [Json; 3] = [Json::Schema, Json::Object, Json::None];

/// Something that was found out about an upstream, told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The upstream.
    pub upstream: Arc<str>,
    /// What was found out.
    pub learned: Learned,
    /// How the upstream said so.
    pub said: String,
}

/// What was found out about an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It does not take a schema, and does take the demand for some JSON object.
    ObjectOnly,
    /// It does not take any demand on the form of an answer.
    NoForm,
    /// It does not take `stream_options`, so it may not count the tokens of streamed answers.
    NoStreamOptions,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { upstream, learned, said } = self;
        match learned {
            Learned::ObjectOnly => write!(
                f,
                "`{upstream}` takes no JSON Schema as `response_format` ({said}): from now on it is asked for a JSON object, \
                 and the schema is told to the model in words; `json: object` in the models file says so from the start"
            ),
            Learned::NoForm => write!(
                f,
                "`{upstream}` takes no `response_format` ({said}): from now on the schema is told to the model in words alone; \
                 `json: none` in the models file says so from the start"
            ),
            Learned::NoStreamOptions => write!(
                f,
                "`{upstream}` takes no `stream_options` ({said}): it is asked without them from now on, and may not count the \
                 tokens of streamed answers"
            ),
        }
    }
}

/// The abilities of all upstreams.
#[derive(Debug)]
pub(crate) struct AllAbilities {
    each: Vec<Known>,
    tell: mpsc::Sender<Notice>,
    told: Mutex<Option<mpsc::Receiver<Notice>>>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    /// Whether the models file says which forms it takes.
    is_declared: bool,
    json: AtomicU8,
    stream_options: AtomicBool,
}

impl AllAbilities {
    pub(crate) fn new(resolved: &Resolved) -> Self {
        let known = |upstream: &crate::Upstream| Known {
            name: Arc::clone(&upstream.name),
            is_declared: upstream.json.is_some(),
            json: AtomicU8::new(number(upstream.json.map_or(Json::Schema, JsonSupport::level))),
            stream_options: AtomicBool::new(true),
        };
        let (tell, told) = mpsc::channel((NOTICES_EACH * resolved.upstreams.len()).max(1));
        Self { each: resolved.upstreams.iter().map(known).collect(), tell, told: Mutex::new(Some(told)) }
    }

    /// Returns what `upstream` takes, as far as it is known.
    pub(crate) fn of(&self, upstream: usize) -> Abilities {
        let known = &self.each[upstream];
        let json = LEVELS[usize::from(known.json.load(Ordering::Relaxed))];
        Abilities { json, stream_options: known.stream_options.load(Ordering::Relaxed) }
    }

    /// Returns for how much less `upstream` can be asked where it says that it lacks something; nothing where its user
    /// says that it takes it.
    pub(crate) fn less(&self, upstream: usize, asked: Abilities, lack: Lack) -> Option<Abilities> {
        let is_declared = lack == Lack::Form && self.each[upstream].is_declared;
        if is_declared { None } else { asked.without(lack) }
    }

    /// Remembers for how much `upstream` was asked when it answered at last, after these refusals.
    pub(crate) fn learn(&self, upstream: usize, answered: Abilities, refusals: &[(Lack, String)]) {
        let known = &self.each[upstream];
        let tell = |learned, lack| {
            let said = refusals.iter().rfind(|(refused, _)| *refused == lack).map_or("", |(_, said)| said);
            let notice = Notice { upstream: Arc::clone(&known.name), learned, said: said.to_owned() };
            // There is room for all that can be told; where nobody listens any more, nobody wants to know.
            let _ = self.tell.try_send(notice);
        };
        let level = number(answered.json);
        // Many requests that were in flight together learn the same; the first of them tells it.
        if known.json.fetch_max(level, Ordering::Relaxed) < level {
            let learned = if answered.json == Json::None { Learned::NoForm } else { Learned::ObjectOnly };
            tell(learned, Lack::Form);
        }
        if !answered.stream_options && known.stream_options.swap(false, Ordering::Relaxed) {
            tell(Learned::NoStreamOptions, Lack::StreamOptions);
        }
    }

    pub(crate) fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl JsonSupport {
    pub(crate) fn level(self) -> Json {
        match self {
            Self::Schema => Json::Schema,
            Self::Object => Json::Object,
            Self::None => Json::None,
        }
    }
}

fn number(json: Json) -> u8 {
    match json {
        Json::Schema => 0,
        Json::Object => 1,
        Json::None => 2,
    }
}
