//! What becomes of a request: where it goes, what strikes it, and what it is answered.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header::CONTENT_TYPE};
use tokio::time::sleep;

use crate::{
    answer::Schemas,
    body::{Billed, Body},
    count::{Ask, Tally},
    endpoint::Endpoint,
    fault::{Fault, FaultKind, request_hash},
    openai::{
        chat::{ChatRequest, Identity},
        completions::CompletionsRequest,
        embeddings::EmbeddingsRequest,
        error::WireError,
        models, others,
        responses::ResponsesRequest,
    },
    playing::{Playing, Stage},
    ready,
    script::{Counting, Script, ScriptError},
    seen::Memory,
    wire::Request,
};

/// How long a client is told to wait where too much is in flight: nobody knows when something ends.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(1);

/// The runtime's timer counts whole milliseconds and rounds up, twice: on average it is about this late (measured: 1.6 ms
/// at 50 ms). A script that says 50 ms should mean 50 ms on average; a single answer may come this much early.
const TIMER_LAG: Duration = Duration::from_micros(1_500);

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a proxy sends that stands before a vendor, and knows no JSON.
const GARBAGE_BODY: &str = "<html><body><h1>It works!</h1></body></html>\n";

/// What all connections share.
pub(crate) struct Service {
    pub(crate) stage: Stage,
    pub(crate) tally: Arc<Tally>,
    pub(crate) memory: Memory,
    schemas: Schemas,
}

/// What becomes of a request.
#[expect(clippy::large_enum_variant, reason = "nearly every request ends in the large one, and there is one at a time")]
pub(crate) enum Reaction {
    /// It is answered, in the manner of a fault if there is one.
    Answered { response: Response<Body>, fault: Option<Fault>, ask: Option<Ask> },
    /// The connection is closed without a byte.
    Cut,
    /// The connection is reset without a byte.
    Reset,
}

/// What a request asks for.
enum Asked<'a> {
    Chat(ChatRequest<'a>),
    Completions(CompletionsRequest<'a>),
    Responses(Box<ResponsesRequest<'a>>),
    Embeddings(EmbeddingsRequest<'a>),
    /// What is answered alike whatever happens.
    Settled(Response<Body>),
}

impl Service {
    pub(crate) fn new(script: Script) -> Result<Service, ScriptError> {
        Ok(Service {
            stage: Stage::new(script)?,
            tally: Arc::default(),
            memory: Memory::default(),
            schemas: Schemas::default(),
        })
    }

    pub(crate) async fn react(&self, request: &Request, playing: &Playing) -> Reaction {
        let script = &playing.script;
        let path = request.path().strip_prefix("/v1").unwrap_or(request.path());
        if let Some(path) = path.strip_prefix("/simulate/") {
            let response = self.tell(request, path, script);
            return Reaction::Answered { response, fault: None, ask: None };
        }
        if script.remember > 0 {
            self.memory.keep(request, script.remember);
        }
        let is_trusted = script.require_key.as_deref().is_none_or(|key| {
            let given = request.authorization().and_then(|given| given.strip_prefix(b"Bearer "));
            given == Some(key.as_bytes())
        });
        if let Some(endpoint) = Endpoint::of_path(path).filter(|_| request.method() == "POST") {
            return self.ask(request, playing, is_trusted, endpoint).await;
        }
        let response = match (request.method(), path) {
            _ if !is_trusted => WireError::unauthorized().response(),
            ("GET", "/models") => models::list(&script.model),
            ("GET", path) if path.starts_with("/models/") => models::retrieve(&script.model, &path["/models/".len()..]),
            (method, _) => WireError::unknown_path(method, request.path()).response(),
        };
        Reaction::Answered { response, fault: None, ask: None }
    }

    /// Leads one ask to its end.
    async fn ask(&self, request: &Request, playing: &Playing, is_trusted: bool, endpoint: Endpoint) -> Reaction {
        let script = &playing.script;
        self.tally.goes_to(endpoint);
        let request_hash = request_hash(&request.body);
        let refused = |error: WireError| {
            let response = identified(error.response(), Identity { request_hash, ask: 0 });
            Reaction::Answered { response, fault: None, ask: None }
        };
        let asked = if is_trusted { self.parse(endpoint, request, playing) } else { Err(WireError::unauthorized()) };
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => {
                self.tally.turn_away();
                return refused(error);
            }
        };

        let throttled = |message: &'static str, wait| {
            let mut response = WireError::throttled(message, Some(wait)).told(script.limits.told).response();
            if let Some(spelling) = script.limits.told {
                playing.gates.tell(spelling, response.headers_mut());
            }
            let response = identified(response, Identity { request_hash, ask: 0 });
            Reaction::Answered { response, fault: None, ask: None }
        };
        let Some(mut in_flight) = self.tally.admit(script.limits.in_flight) else {
            return throttled("too many requests are in flight", IN_FLIGHT_WAIT);
        };
        if let Err(wait) = playing.gates.admit(asked.prompt_tokens()) {
            in_flight.throttled_by_limit();
            let is_of_second = wait <= Duration::from_secs(1);
            let of_minute = "too many requests or tokens in this minute";
            return throttled(if is_of_second { "too many requests in this second" } else { of_minute }, wait);
        }

        let (ask, fault) = self.tally.ask(script, request_hash);
        let identity = Identity { request_hash, ask };
        // What has no message has none that could be spoiled, and a complaint may be heard.
        let fault = fault.copied().filter(|fault| match &asked {
            Asked::Chat(request) => !(fault.mends && request.is_complaint),
            _ => endpoint.has_message() || !fault.kind.is_about_the_message(),
        });
        if let Some(fault) = &fault {
            in_flight.struck(fault.kind);
        }
        let latency = script.latency_for(request_hash, ask);
        if !latency.is_zero() {
            let latency = match script.knee {
                Some(knee) => latency.mul_f64((in_flight.in_flight as f64 / f64::from(knee)).max(1.0)),
                None => latency,
            };
            sleep(latency.saturating_sub(TIMER_LAG)).await;
        }
        let mut response = match fault.map(|fault| fault.kind) {
            Some(FaultKind::Cut) => return Reaction::Cut,
            Some(FaultKind::Reset) if fault.is_some_and(|fault| fault.after.is_none()) => return Reaction::Reset,
            Some(FaultKind::Hang) => std::future::pending().await,
            Some(FaultKind::GarbageBody) => of_type("text/html", GARBAGE_BODY),
            kind => match fault.as_ref().and_then(WireError::of_fault) {
                Some(error) => error.told(script.limits.told).response(),
                None => asked.answer(self, playing, identity, kind),
            },
        };
        if let Some(Billed(tokens)) = response.extensions().get() {
            playing.gates.settle(*tokens);
        }
        if let Some(spelling) = script.limits.told {
            playing.gates.tell(spelling, response.headers_mut());
        }
        if matches!(response.body(), Body::Events(_)) {
            in_flight.streams();
        }
        Reaction::Answered { response: identified(response, identity), fault, ask: Some(in_flight) }
    }

    fn parse<'a>(&self, endpoint: Endpoint, request: &'a Request, playing: &Playing) -> Result<Asked<'a>, WireError> {
        let Playing { script, fixed, .. } = playing;
        let body = &request.body[..];
        if endpoint == Endpoint::Chat
            && let Some(made) = playing.made_body(ready::wants_stream(body))
        {
            return Ok(Asked::Settled(of_body(made)));
        }
        Ok(match endpoint {
            Endpoint::Chat => Asked::Chat(ChatRequest::parse(body, script, fixed.as_ref(), &self.schemas)?),
            Endpoint::Completions => Asked::Completions(CompletionsRequest::parse(body, script, fixed.as_ref())?),
            Endpoint::Responses => {
                Asked::Responses(Box::new(ResponsesRequest::parse(body, script, fixed.as_ref(), &self.schemas)?))
            }
            Endpoint::Embeddings => Asked::Embeddings(EmbeddingsRequest::parse(body, script)?),
            Endpoint::Moderations => Asked::Settled(others::moderate(body)?),
            Endpoint::Rerank => Asked::Settled(others::rerank(body)?),
            Endpoint::Images => Asked::Settled(others::draw(body)?),
            Endpoint::Speech => Asked::Settled(others::speak(body)?),
            Endpoint::Transcriptions => Asked::Settled(others::transcribe(request.content_type(), body)?),
        })
    }

    /// Tells of itself, or is told what to play.
    fn tell(&self, request: &Request, path: &str, script: &Script) -> Response<Body> {
        let json = |value: Result<Vec<u8>, serde_json::Error>| of_type("application/json", value.unwrap_or_default());
        match (request.method(), path) {
            ("GET", "counts") => json(serde_json::to_vec(&self.tally.counts())),
            ("GET", "asked") if script.counting == Counting::PerRequest => of_type("application/jsonl", self.asked()),
            ("GET", "requests") if script.remember > 0 => {
                let mut last = self.memory.last();
                if let Some(most) = request.query("last").and_then(|most| most.parse::<usize>().ok()) {
                    last.drain(..last.len().saturating_sub(most));
                }
                json(serde_json::to_vec(&last))
            }
            ("GET", "script") => json(serde_json::to_vec(script)),
            ("POST", "script") => {
                let change = serde_json::from_slice(&request.body);
                let changed = match change {
                    Ok(change) => self.stage.change(&change).map_err(|error| error.to_string()),
                    Err(error) => Err(format!("the body is not an object with keys of a script: {error}")),
                };
                match changed {
                    Ok(()) => json(serde_json::to_vec(&self.stage.now().script)),
                    Err(problem) => WireError::invalid(None, problem).response(),
                }
            }
            (method, _) => WireError::unknown_path(method, request.path()).response(),
        }
    }

    /// Writes how often each request was asked, a line for each.
    fn asked(&self) -> String {
        use std::fmt::Write as _;

        let asks = self.tally.asks();
        let mut lines = String::with_capacity(asks.len() * 64);
        for (request, asked) in &*asks {
            let _ = writeln!(lines, "{{\"request\":\"{request:032x}\",\"asked\":{asked}}}");
        }
        lines
    }
}

impl Asked<'_> {
    /// Returns the tokens that are known before there is an answer.
    fn prompt_tokens(&self) -> usize {
        match self {
            Asked::Chat(request) => request.prompt_tokens,
            Asked::Completions(request) => request.prompt_tokens,
            Asked::Responses(request) => request.prompt_tokens,
            Asked::Embeddings(_) | Asked::Settled(_) => 0,
        }
    }

    fn answer(
        self,
        service: &Service,
        playing: &Playing,
        identity: Identity,
        fault: Option<FaultKind>,
    ) -> Response<Body> {
        let script = &playing.script;
        let is_spoiled = fault.is_some_and(FaultKind::is_about_the_message);
        let shape = || {
            let shape = script.shape_for(identity.request_hash, identity.ask).filter(|_| !is_spoiled);
            if let Some(shape) = shape {
                service.tally.shape(shape);
            }
            shape
        };
        match self {
            Asked::Chat(request) => request.answer(script, identity, fault, shape()),
            Asked::Completions(request) => request.answer(script, identity, fault, shape()),
            Asked::Responses(request) => request.answer(script, identity, fault, shape()),
            Asked::Embeddings(request) => request.answer(script),
            Asked::Settled(response) => response,
        }
    }
}

/// Returns a made answer under the content type that it has.
fn of_body(body: Body) -> Response<Body> {
    let content_type = match &body {
        Body::Whole(_) => "application/json",
        Body::Events(_) => "text/event-stream; charset=utf-8",
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(crate) fn of_type(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Names the ask in a header, as OpenAI does; an ask that was turned away has the number 0.
fn identified(mut response: Response<Body>, Identity { request_hash, ask }: Identity) -> Response<Body> {
    let id = Bytes::from(format!("req_{request_hash:032x}_{ask}"));
    if let Ok(id) = HeaderValue::from_maybe_shared(id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}
