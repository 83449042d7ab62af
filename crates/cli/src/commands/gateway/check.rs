//! `tidemill gateway check`.

mod table;
mod trouble;

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use domain::{FailureKind, ports::Ask};
use gateway::Upstream;
use http::{HeaderMap, Method, StatusCode};
use provider::{
    Abilities, Passing, Path, Question,
    transport::{Limits, Payload, Transport, TransportError},
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use super::opening;
use crate::{
    args::GatewayCheck,
    clock::SystemClock,
    compose::{environment, simulated},
    exit::Exit,
    progress::counted,
    talk,
};
use trouble::{Finder, Trouble};

/// How long a vendor may take to list its models, and to say one word.
const PATIENCE: Duration = Duration::from_secs(30);
/// Models that are tried out at a time. A file may name hundreds.
const AT_ONCE: usize = 16;

/// Tries out every model of a models file.
pub(super) fn run(args: &GatewayCheck) -> anyhow::Result<Exit> {
    if args.json {
        talk::in_json();
    }
    let Some(models) = opening::read(&args.config)? else { return Ok(Exit::Configuration) };
    let finder = Finder::of(&args.config, &models);
    let mut models = models;
    let _simulated = simulated::start(&mut models, &[])?;
    let folder = opening::folder_of(&args.config);
    let resolved = environment::resolve(&models, folder).map_err(opening::mistakes)?;
    environment::resolve_face(&models, folder).map_err(opening::mistakes)?;
    if args.ask {
        let models = counted(resolved.upstreams.len() as u64, "model");
        talk::say(format!("asking {models} for one token each, which vendors bill"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut tried = runtime.block_on(all(resolved.upstreams, args.ask));
    finder.find(&mut tried);
    if args.json {
        for one in &tried {
            talk::data(one.to_json().to_string());
        }
    } else {
        table::print(&tried, args.ask);
    }
    Ok(if tried.iter().all(Tried::is_well) { Exit::Done } else { Exit::Beyond })
}

/// What trying out a model brought.
struct Tried {
    model: String,
    channel: String,
    vendor_name: String,
    /// How long its vendor took to connect and answer; nothing where it cannot be reached.
    reached: Option<Duration>,
    key: Key,
    /// Whether its vendor lists it, where there is a list.
    is_listed: Option<bool>,
    /// Whether it said a word, where it was asked for one.
    answers: Option<bool>,
    trouble: Option<Trouble>,
    /// Where in the file stands what should be looked at, as `models.yaml:3:17`.
    place: Option<String>,
}

/// What became of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Accepted,
    Refused,
    /// The vendor did not say.
    Unknown,
}

impl Key {
    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl Tried {
    /// Returns whether it can be asked, as far as was seen. That it is not listed proves nothing where it answers.
    fn is_well(&self) -> bool {
        self.trouble.is_none()
    }

    fn to_json(&self) -> Value {
        let (problem, help) = self.trouble.as_ref().map(|Trouble { what, help, .. }| (what, help)).unzip();
        json!({
            "model": self.model,
            "channel": self.channel,
            "vendor_model": self.vendor_name,
            "ok": self.is_well(),
            "reached_ms": self.reached.map(|took| took.as_millis() as u64),
            "key": self.key.word(),
            "listed": self.is_listed,
            "answers": self.answers,
            "problem": problem,
            "help": help,
            "place": self.place,
        })
    }
}

/// Tries out all models, some at a time; returns what came of it in their order.
async fn all(upstreams: Vec<Upstream>, asks: bool) -> Vec<Tried> {
    // Each has a connection of its own to make: what is measured is what the first request would take.
    let mut waiting = upstreams.into_iter().enumerate();
    let mut tasks = JoinSet::new();
    let mut tried = Vec::new();
    loop {
        while tasks.len() < AT_ONCE
            && let Some((number, upstream)) = waiting.next()
        {
            tasks.spawn(async move { (number, one(&upstream, asks).await) });
        }
        let Some(ended) = tasks.join_next().await else { break };
        tried.extend(ended.ok());
    }
    tried.sort_by_key(|(number, _)| *number);
    tried.into_iter().map(|(_, tried)| tried).collect()
}

async fn one(upstream: &Upstream, asks: bool) -> Tried {
    let transport = Transport::new(Limits::default());
    let mut tried = list(upstream, &transport).await;
    if asks && tried.reached.is_some() && tried.key != Key::Refused {
        ask(upstream, &transport, &mut tried).await;
    } else if tried.is_listed == Some(false) && tried.trouble.is_none() {
        let what = format!("the vendor does not list `{}`", upstream.vendor_name);
        tried.trouble = Some(trouble::not_listed(what));
    }
    tried
}

/// Asks for the list of models, which costs nothing.
async fn list(upstream: &Upstream, transport: &Transport) -> Tried {
    let mut tried = Tried {
        model: upstream.name.to_string(),
        channel: upstream.channel.to_string(),
        vendor_name: upstream.vendor_name.to_string(),
        reached: None,
        key: Key::Unknown,
        is_listed: None,
        answers: None,
        trouble: None,
        place: None,
    };
    let began = Instant::now();
    let exchange = async {
        let path = Path::Other(&Method::GET, "/models");
        let body = Payload::from(Bytes::new());
        let passing = Passing { path, headers: Cow::Owned(HeaderMap::new()), body, is_stream: false };
        upstream.model.pass(transport, passing).await?.whole().await
    };
    let reply = match tokio::time::timeout(PATIENCE, exchange).await.unwrap_or(Err(TransportError::Deadline)) {
        Ok(reply) => reply,
        Err(error) => {
            tried.trouble = Some(Trouble::of_way(&error));
            return tried;
        }
    };
    tried.reached = Some(began.elapsed());
    let said = || {
        let refused = upstream.model.refused(reply.status, &reply.headers, &reply.body, &SystemClock);
        refused.map_or_else(|| reply.status.to_string(), |refused| refused.failure.message)
    };
    match reply.status {
        status if status.is_success() => {
            tried.key = Key::Accepted;
            tried.is_listed = lists(&reply.body, &upstream.vendor_name);
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            tried.key = Key::Refused;
            tried.trouble = Some(trouble::KEY.with(said()));
        }
        // Many have no list, and nothing is wrong with that.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {}
        StatusCode::TOO_MANY_REQUESTS => {
            tried.trouble = Some(trouble::FEWER.with(said()));
        }
        status if status.is_server_error() => {
            tried.trouble = Some(trouble::FAULT.with(said()));
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => tried.trouble = Some(trouble::PROXY_KEY.with(said())),
        _ => tried.trouble = Some(trouble::URL.with(said())),
    }
    tried
}

/// Asks for one token.
async fn ask(upstream: &Upstream, transport: &Transport, tried: &mut Tried) {
    // Newer models of OpenAI have another name for the limit, and say so.
    let mut ended = None;
    for limit in ["max_tokens", "max_completion_tokens"] {
        let body = json!({ "model": "", "messages": [{ "role": "user", "content": "Hi" }], limit: 1 }).to_string();
        let question = Question {
            ask: Ask::Chat,
            body: &Bytes::from(body),
            abilities: Abilities::default(),
            deadline: (Instant::now() + PATIENCE).into_std(),
        };
        let answer = upstream.model.ask(transport, question, &SystemClock).await;
        let is_other_name =
            answer.as_ref().is_err_and(|failed| failed.failure.message.contains("max_completion_tokens"));
        ended = Some(answer);
        if !is_other_name {
            break;
        }
    }
    let Some(ended) = ended else { return };
    let Err(failed) = ended else {
        (tried.answers, tried.key, tried.trouble) = (Some(true), Key::Accepted, None);
        return;
    };
    tried.answers = Some(false);
    let help = match failed.failure.kind {
        FailureKind::Unauthorized => {
            tried.key = Key::Refused;
            trouble::KEY
        }
        FailureKind::ExhaustedCredit => trouble::CREDIT,
        FailureKind::Throttled => trouble::FEWER,
        FailureKind::Rejected => trouble::NAME,
        _ => trouble::FAULT,
    };
    tried.trouble = Some(help.with(failed.failure.message));
}

/// Returns whether a list of models, as OpenAI words it, has this one; nothing where it is no such list.
fn lists(body: &[u8], name: &str) -> Option<bool> {
    let list: Value = serde_json::from_slice(body).ok()?;
    let ids = list["data"].as_array()?.iter().map(|model| model["id"].as_str().unwrap_or_default());
    // Google's stand below `models/`.
    Some(ids.into_iter().any(|id| id == name || id.strip_prefix("models/") == Some(name)))
}
