//! One exchange with a client.

use std::{net::IpAddr, pin::pin, sync::Arc};

use domain::Clock;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts};
use hyper::body::Incoming;
use provider::transport::Transport;
use tokio::time::{Instant, timeout};

use super::{
    account::{Account, Outcome, turned_away},
    ask::{self, Ask},
    bodies::Bodies,
    body::FaceBody,
    ending::{self, Ending},
    endpoint::{Call, Endpoint, NotFound},
    guard::Client,
    live::{Live, Serving},
    own,
    problem::{Problem, set_retry_after},
    receive::{RequestBody, receive},
    relay::{self, Answered, Own, Refused},
    stream::{Forwarding, Relayed},
    unstreamed::as_events,
};

const MODEL: HeaderName = HeaderName::from_static("x-tidemill-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-tidemill-attempts");
const OVERHEAD: HeaderName = HeaderName::from_static("x-tidemill-overhead-us");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What the requests of one thread share.
pub(super) struct Worker {
    pub(super) live: Arc<Live>,
    pub(super) transport: Arc<Transport>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ending: Arc<Ending>,
    /// Those of all workers.
    pub(super) bodies: Arc<Bodies>,
}

/// What a client calls, before its body.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
}

/// A request of which all was heard.
pub(super) enum Heard {
    /// It has its answer, whether or not all of its body was read.
    Answered(Response<FaceBody>),
    /// Models are to be asked, for which nothing more of the connection is needed.
    Asks(Asks),
}

/// A request that models answer.
pub(super) struct Asks {
    serving: Arc<Serving>,
    ask: Arc<Ask>,
}

/// Hears a request, and answers it where no model has to be asked. There is an answer to each, if only one that says why
/// there is no other.
pub(super) async fn hear(worker: &Arc<Worker>, peer: IpAddr, called: Called, body: impl RequestBody) -> Heard {
    let began = Instant::now();
    let serving = worker.live.now();
    let Called { method, uri, headers } = called;
    let id = id(&headers, &serving);
    let path = uri.path();
    let response = match Endpoint::of(&method, path, uri.query(), &serving.settings.pass_through) {
        Ok(Endpoint::Model(call)) => {
            let name = call.name();
            let asked = {
                let asked = read(call, (method, headers, body), (&id, began), &serving, &worker.bodies);
                worker.ending.outlasts(pin!(asked)).await
            };
            match asked.unwrap_or_else(|| Err(ending::problem())) {
                Ok(ask) => return Heard::Asks(Asks { serving, ask: Arc::new(ask) }),
                Err(problem) => {
                    turned_away(&problem, name, (&id, began), &serving);
                    problem.response()
                }
            }
        }
        Ok(Endpoint::Models(name)) => match Client::of(&headers, &serving) {
            Ok(_) => own::models(&serving, name.as_deref()),
            Err(problem) => {
                turned_away(&problem, "models", (&id, began), &serving);
                problem.response()
            }
        },
        Ok(Endpoint::Own(what)) => own::answer(what, &headers, peer, &serving, &*worker.clock),
        Err(NotFound::Path) => {
            let message = format!(
                "there is no `{path}` here; paths below `/v1/` other than chat/completions, completions, embeddings, responses \
                 and models are passed through where the models file lists them under `gateway: pass_through:`"
            );
            let problem = Problem::new(StatusCode::NOT_FOUND, "unknown_path", message);
            turned_away(&problem, "unknown", (&id, began), &serving);
            problem.response()
        }
        Err(NotFound::Method(wanted)) => {
            let message = format!("`{path}` is called with {wanted}");
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", message);
            turned_away(&problem, "unknown", (&id, began), &serving);
            let mut response = problem.response();
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(wanted));
            response
        }
    };
    Heard::Answered(with_id(response, id))
}

impl Asks {
    /// Gets the answer of a model.
    pub(super) async fn answer(self, worker: &Arc<Worker>) -> Response<FaceBody> {
        let id = self.ask.id.clone();
        with_id(answer(worker, self.serving, self.ask).await, id)
    }
}

/// Hears a request and answers it.
pub(super) async fn exchange(worker: &Arc<Worker>, peer: IpAddr, request: Request<Incoming>) -> Response<FaceBody> {
    let (Parts { method, uri, headers, .. }, body) = request.into_parts();
    match hear(worker, peer, Called { method, uri, headers }, body).await {
        Heard::Answered(response) => response,
        Heard::Asks(asks) => asks.answer(worker).await,
    }
}

fn with_id(mut response: Response<FaceBody>, id: HeaderValue) -> Response<FaceBody> {
    response.headers_mut().insert(ask::REQUEST_ID, id);
    response
}

async fn read(
    call: Call,
    (method, headers, body): (Method, HeaderMap, impl RequestBody),
    (id, began): (&HeaderValue, Instant),
    serving: &Serving,
    bodies: &Arc<Bodies>,
) -> Result<Ask, Problem> {
    let client = Client::of(&headers, serving)?;
    let received = receive(body, bodies, &serving.settings, began).await?;
    Ask::new(call, method, headers, received, (client, id.clone(), began), serving)
}

/// Gets the answer of a model.
async fn answer(worker: &Arc<Worker>, serving: Arc<Serving>, ask: Arc<Ask>) -> Response<FaceBody> {
    let mut account = Account::new(&ask, &serving);
    if !(ask.is_stream && ask.call.events().is_some()) {
        let relayed = {
            let relayed = pin!(relay::relay(&serving, worker, &ask, &mut account));
            worker.ending.outlasts(relayed).await
        };
        let relayed = match relayed {
            Some(relayed) => relayed,
            None => Err(stopped(&mut account, &ask)),
        };
        return respond(relayed, account, ask, serving, worker);
    }
    // A stream may have to be begun before it is known who answers, so its way can be taken along into its body.
    let (serving_there, worker_there, ask_there) = (Arc::clone(&serving), Arc::clone(worker), Arc::clone(&ask));
    let mut relayed = Box::pin(async move {
        let mut account = account;
        let relayed = {
            let relayed = pin!(relay::relay(&serving_there, &worker_there, &ask_there, &mut account));
            worker_there.ending.outlasts(relayed).await
        };
        let relayed = match relayed {
            Some(relayed) => relayed,
            None => Err(stopped(&mut account, &ask_there)),
        };
        (relayed, account)
    });
    match timeout(serving.settings.keep_alive, &mut relayed).await {
        Ok((relayed, account)) => respond(relayed, account, ask, serving, worker),
        Err(_) => {
            let relayed: std::pin::Pin<Box<dyn Future<Output = Relayed> + Send>> = relayed;
            let mut response = Response::new(FaceBody::Stream(Box::new(Forwarding::waiting(
                relayed,
                ask,
                serving,
                Arc::clone(worker),
            ))));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
            stream_headers(headers);
            response
        }
    }
}

/// The gateway ends before there is an answer.
fn stopped(account: &mut Account, ask: &Ask) -> Refused {
    // It had nothing to do but to wait.
    account.waited = ask.began.elapsed();
    Refused::Ours(ending::problem())
}

fn respond(
    relayed: Result<Answered, Refused>,
    mut account: Account,
    ask: Arc<Ask>,
    serving: Arc<Serving>,
    worker: &Arc<Worker>,
) -> Response<FaceBody> {
    let mut response = match relayed {
        Ok(Answered::Whole(own)) => {
            account.outcome = Outcome::Answered;
            let own = if serving.settings.echo_model && own.status.is_success() {
                Own { body: relay::echoed(own.body, &ask.model), ..own }
            } else {
                own
            };
            let events = ask.call.events().filter(|_| ask.is_stream && own.status.is_success());
            match events.and_then(|events| as_events(events, &own.body)) {
                // Its clients would find nothing in an answer that does not come in events.
                Some(events) => {
                    let mut response = whole(Own { body: events, ..own }, &mut account);
                    let headers = response.headers_mut();
                    headers.insert(header::CONTENT_TYPE, EVENT_STREAM);
                    stream_headers(headers);
                    response
                }
                None => whole(own, &mut account),
            }
        }
        Ok(Answered::Begun(mut begun)) => {
            account.status = begun.status.as_u16();
            let headers = std::mem::take(&mut begun.headers);
            let status = begun.status;
            let is_events = begun.watch.is_some();
            let tidings = Tidings::of(&account, &serving);
            let mut response = Response::new(FaceBody::Stream(Box::new(Forwarding::new(
                *begun,
                account,
                ask,
                serving,
                Arc::clone(worker),
            ))));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            if is_events {
                stream_headers(response.headers_mut());
            }
            tidings.tell(response.headers_mut());
            return response;
        }
        Err(Refused::Theirs(own, wait)) => {
            account.outcome = Outcome::Refused;
            let wait = account.upstream.map_or(wait, |upstream| serving.retry_after(upstream, own.status, wait));
            let mut response = whole(own, &mut account);
            set_retry_after(response.headers_mut(), wait);
            response
        }
        Err(Refused::Ours(problem)) => {
            let wait = problem.retry_after;
            let wait = account.upstream.map_or(wait, |upstream| serving.retry_after(upstream, problem.status, wait));
            let problem = problem.after(wait);
            account.outcome = Outcome::Refused;
            account.status = problem.status.as_u16();
            account.trouble.get_or_insert_with(|| problem.code.to_owned());
            problem.response()
        }
    };
    Tidings::of(&account, &serving).tell(response.headers_mut());
    response
}

fn whole(own: Own, account: &mut Account) -> Response<FaceBody> {
    account.status = own.status.as_u16();
    account.bytes_out = own.body.len() as u64;
    account.answering();
    let mut response = Response::new(FaceBody::Whole(own.body));
    *response.status_mut() = own.status;
    *response.headers_mut() = own.headers;
    response
}

/// What a client is told about how its answer came to be.
struct Tidings {
    model: Option<HeaderValue>,
    n_attempts: u32,
    overhead_us: u64,
}

impl Tidings {
    fn of(account: &Account, serving: &Serving) -> Self {
        let model = account.upstream.map(|upstream| serving.ways[upstream].header.clone());
        let overhead_us = account.overhead().as_micros().try_into().unwrap_or(u64::MAX);
        Self { model, n_attempts: account.n_attempts, overhead_us }
    }

    fn tell(self, headers: &mut HeaderMap) {
        if let Some(model) = self.model {
            headers.insert(MODEL, model);
        }
        headers.insert(ATTEMPTS, HeaderValue::from(self.n_attempts));
        headers.insert(OVERHEAD, HeaderValue::from(self.overhead_us));
    }
}

fn stream_headers(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // A proxy before us that gathers what comes would undo all of it.
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
}

/// Returns the id of a request: the client's own where it can be repeated in a log, else one of ours.
fn id(headers: &HeaderMap, serving: &Serving) -> HeaderValue {
    let own = headers.get(ask::REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        (1..=128).contains(&bytes.len()) && bytes.iter().all(|byte| byte.is_ascii_graphic())
    });
    own.cloned().unwrap_or_else(|| serving.ids.next())
}
