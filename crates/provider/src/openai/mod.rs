//! OpenAI's wire format, and everybody's who speaks it.
//!
//! The body is this shape already when it comes in, so encoding puts the vendor's name of the model into it, and what asks
//! for a stream, and touches nothing else, unless the vendor is known not to take something. What was read in documents and
//! not seen live is marked so in `classify`, in `lacks` and in the fixtures.
//!
//! - `encode`, `form`: the request
//! - `decode`, `stream`: the answer, whole or in pieces
//! - `classify`, `lacks`: what a refusal means
//! - `hints`: what is told of limits, with both

mod classify;
mod decode;
mod encode;
mod form;
mod hints;
mod lacks;
mod pass;
mod scan;
mod stream;
pub(crate) mod watch;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{Clock, Failure, FailureKind, Secret, json::NotAnObject, ports::Ask};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};

use crate::{
    Failed, Replied,
    abilities::{Abilities, Json, Lack},
    transport::{Endpoint, EndpointError, Form, Reply, Request, Transport, TransportError},
};
use encode::Encoded;
pub use hints::{Hints, Left};
use lacks::Refusal;
pub use pass::{Passing, Path};
pub use scan::Scan;
use stream::Read;

/// How long a streamed answer may be silent between two events, unless said otherwise.
const IDLE: Duration = Duration::from_mins(2);

/// One model behind OpenAI's wire format.
#[derive(Clone, Debug)]
pub struct OpenAi {
    endpoint: Endpoint,
    /// One request begins like the other: the key stands in each.
    chat: Arc<Form>,
    chat_stream: Arc<Form>,
    embeddings: Arc<Form>,
    authorization: Option<HeaderValue>,
    /// The vendor's name of the model, as a JSON string.
    model: String,
    key: Option<Secret>,
    idle: Duration,
    /// Members that chat completions get which lack them, as they stand in JSON.
    defaults: Arc<[(String, String)]>,
}

/// What is asked of a model, once.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What it is.
    pub ask: Ask,
    /// The request, with any name in `model`.
    pub body: &'a Bytes,
    /// How much may be asked for: what goes beyond it is taken out of the request, or told to the model in words.
    pub abilities: Abilities,
    /// When the whole answer must be here.
    pub deadline: Instant,
}

impl OpenAi {
    /// Makes the way to `model`, as the vendor names it.
    ///
    /// # Errors
    /// Where the key cannot be sent in a header, or the path is none.
    pub fn new(endpoint: Endpoint, model: &str, key: Option<Secret>) -> Result<Self, EndpointError> {
        Self::with_chat_path(endpoint, "/chat/completions", model, key)
    }

    /// The same, where chat completions are not at `/chat/completions` below the base URL but at `chat_path`.
    ///
    /// # Errors
    /// Where the key cannot be sent in a header, or the path is none.
    pub fn with_chat_path(
        endpoint: Endpoint,
        chat_path: &str,
        model: &str,
        key: Option<Secret>,
    ) -> Result<Self, EndpointError> {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let mut authorization = None;
        if let Some(key) = &key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))
                .map_err(|_| EndpointError("the key holds characters that a header cannot carry".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value.clone());
            authorization = Some(value);
        }
        let model = serde_json::Value::from(model).to_string();
        let form = |path, headers| Form::new(&endpoint, Method::POST, path, headers).map(Arc::new);
        let chat = form(chat_path, headers.clone())?;
        let embeddings = form("/embeddings", headers.clone())?;
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
        let chat_stream = form(chat_path, headers)?;
        Ok(Self {
            endpoint,
            chat,
            chat_stream,
            embeddings,
            authorization,
            model,
            key,
            idle: IDLE,
            defaults: Arc::new([]),
        })
    }

    /// Sets members that chat completions get which lack them: names, and values as they stand in JSON.
    #[must_use]
    pub fn with_defaults(mut self, defaults: Vec<(String, String)>) -> Self {
        self.defaults = defaults.into();
        self
    }

    /// Returns the members that chat completions get which lack them.
    #[must_use]
    pub fn defaults(&self) -> &[(String, String)] {
        &self.defaults
    }

    /// Sets how long a streamed answer may be silent between two events.
    #[must_use]
    pub fn with_idle_limit(mut self, limit: Duration) -> Self {
        self.idle = limit;
        self
    }

    /// Returns how long a streamed answer may be silent between two events.
    #[must_use]
    pub fn idle_limit(&self) -> Duration {
        self.idle
    }

    /// Returns whether both are the same model of the same account at the same place, however it is reached: what its
    /// vendor counts together.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.endpoint.is_same_place(&other.endpoint) && self.model == other.model && self.key == other.key
    }

    /// Asks once. The body of an answer is that of one that came whole, however it came.
    ///
    /// # Errors
    /// Where there is no answer, or one that refuses.
    pub async fn ask(
        &self,
        transport: &Transport,
        question: Question<'_>,
        clock: &dyn Clock,
    ) -> Result<Replied, Failed> {
        let Question { ask, body, abilities, deadline } = question;
        // They are those of a conversation.
        let defaults = if ask == Ask::Embeddings { &[][..] } else { &self.defaults };
        let Encoded { body: sent, adds_stream_options, lowers_form, n_choices } =
            encode::encode(body, &self.model, ask, abilities, defaults).map_err(malformed)?;
        let form = match ask {
            Ask::Chat => &self.chat,
            Ask::ChatStream => &self.chat_stream,
            Ask::Embeddings => &self.embeddings,
        };
        let request =
            Request { form, headers: Cow::Owned(HeaderMap::new()), body: sent, is_stream: ask == Ask::ChatStream };
        let answered = match ask {
            Ask::ChatStream => {
                // One box for each stream keeps those who ask for none from carrying its size about.
                let streamed = Box::pin(self.streamed(transport, request, n_choices, clock));
                tokio::time::timeout_at(deadline.into(), streamed).await.unwrap_or(Err(TransportError::Deadline.into()))
            }
            Ask::Chat | Ask::Embeddings => {
                let reply = transport.send(&self.endpoint, request, deadline).await?;
                decode::read(reply, self.key.as_ref(), || clock.now())
            }
        };
        match answered {
            // A request may ask for a stream in its own words.
            Ok(replied) if ask == Ask::Chat && stream::is_one(&replied.body) => {
                Ok(Replied { body: stream::join(&replied.body)?, ..replied })
            }
            Err(failed) => {
                let lacks = Refusal::of(failed.failure.kind, &failed.body).and_then(|refusal| {
                    if adds_stream_options && refusal.is_of_stream_options() {
                        return Some(Lack::StreamOptions);
                    }
                    let demands_form = match abilities.json {
                        Json::Schema => ask != Ask::Embeddings && encode::demands_schema(body),
                        Json::Object => lowers_form,
                        Json::None => false,
                    };
                    (demands_form && refusal.is_of_form()).then_some(Lack::Form)
                });
                Err(Failed { lacks, ..failed })
            }
            answered => answered,
        }
    }

    async fn streamed(
        &self,
        transport: &Transport,
        request: Request<'_>,
        n_choices: usize,
        clock: &dyn Clock,
    ) -> Result<Replied, Failed> {
        let answering = transport.open(&self.endpoint, request).await?;
        let key = self.key.as_ref();
        if !answering.status.is_success() {
            return decode::read(answering.whole().await?, key, || clock.now());
        }
        let (status, headers) = (answering.status, answering.headers.clone());
        let body = match stream::read(answering, self.idle, n_choices).await {
            Ok(Read::Joined(body) | Read::Whole(body)) => body,
            Err(mut failed) => {
                failed.body = decode::without(key, failed.body);
                if let Some(key) = key {
                    failed.failure.message = key.redact(&failed.failure.message);
                }
                // Only what the vendor itself tells is a refusal; a stream that was cut says nothing about waits.
                let told = Some(&failed.body).filter(|told| !told.is_empty());
                let (hints, wait) = decode::hints(&headers, told, || clock.now());
                failed.failure = failed.failure.after_ms(wait.filter(|_| told.is_some()));
                return Err(Failed { hints, ..failed });
            }
        };
        decode::read(Reply { status, headers, body }, key, || clock.now())
    }
}

fn malformed(error: NotAnObject) -> Failed {
    let failure = Failure::new(FailureKind::Rejected, format!("the request body is {error}"));
    Failed { failure, is_reached: false, body: Bytes::new(), lacks: None, hints: None }
}
