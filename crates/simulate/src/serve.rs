//! The server: connections accepted, requests routed, each ask led to its end.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};

use crate::{
    answer::Schemas,
    body::{Body, Cut},
    count::{Counts, Tally},
    fault::{FaultKind, request_hash},
    limit::Window,
    openai::{
        bill::Encoding,
        chat::{ChatRequest, Identity},
        embeddings::EmbeddingsRequest,
        error::WireError,
        models,
    },
    script::{Answer, Counting, Script, ScriptError},
};

/// Room for as many clients as may arrive at once; the kernel lowers it to what it allows.
const BACKLOG: u32 = 8_192;

/// No request is longer than this.
const LONGEST_REQUEST: usize = 64 << 20;

/// How long a client is told to wait where too much is in flight: nobody knows when something ends.
const IN_FLIGHT_WAIT: Duration = Duration::from_secs(1);

/// The runtime's timer counts whole milliseconds and rounds up, twice: on average it is about this late (measured: 1.6 ms
/// at 50 ms). A script that says 50 ms should mean 50 ms on average; a single answer may come this much early.
const TIMER_LAG: Duration = Duration::from_micros(1_500);

/// How long the vendor waits before it accepts again, after the system had no file descriptor to spare.
const ACCEPT_WAIT: Duration = Duration::from_millis(20);

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a proxy sends that stands before a vendor, and knows no JSON.
const GARBAGE_BODY: &str = "<html><body><h1>It works!</h1></body></html>\n";

/// What all connections share.
pub(crate) struct Service {
    script: Script,
    fixed: Option<Arc<str>>,
    window: Option<Window>,
    schemas: Schemas,
    pub(crate) tally: Arc<Tally>,
}

/// Where a request goes that is counted.
#[derive(Clone, Copy)]
enum Endpoint {
    Chat,
    Embeddings,
}

/// What a request asks for.
enum Asked<'a> {
    Chat(ChatRequest<'a>),
    Embeddings(EmbeddingsRequest<'a>),
}

/// Opens a listener at the address, with room for thousands of clients that connect at once.
///
/// To be called within a tokio runtime.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Plays the script to whoever connects until `shutdown` ends, and returns what was asked.
///
/// Connections that are open then are closed, whatever they wait for.
pub async fn serve(
    listener: TcpListener,
    script: Script,
    shutdown: impl Future<Output = ()>,
) -> Result<Counts, ScriptError> {
    let service = Arc::new(Service::new(script)?);
    accept(listener, &service, shutdown).await;
    Ok(service.tally.counts())
}

pub(crate) async fn accept(listener: TcpListener, service: &Arc<Service>, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    service.tally.accept_connection();
                    connections.spawn(converse(Arc::clone(service), stream));
                }
                Err(_) => sleep(ACCEPT_WAIT).await,
            },
        }
    }
    connections.shutdown().await;
}

/// Answers the requests of one connection. However it ends, that is the client's matter or the script's.
async fn converse(service: Arc<Service>, stream: TcpStream) {
    // Without it an answer could wait for the client to acknowledge the one before; where it is refused, so be it.
    let _ = stream.set_nodelay(true);
    let respond = service_fn(|request| {
        let service = Arc::clone(&service);
        async move { service.respond(request).await }
    });
    let mut http = http1::Builder::new();
    // A client may keep an idle connection for as long as it likes.
    http.header_read_timeout(None);
    let _ = http.serve_connection(TokioIo::new(stream), respond).await;
}

impl Service {
    pub(crate) fn new(script: Script) -> Result<Service, ScriptError> {
        script.check()?;
        let fixed = match &script.answer {
            Answer::Fixed(text) => Some(text.as_str().into()),
            _ => None,
        };
        // Unpacking a table takes a while, which the first answer should not wait for.
        script.usage.tokenizer.map(Encoding::table);
        let window = script.limits.requests_per_second.map(Window::new);
        Ok(Service { script, fixed, window, schemas: Schemas::default(), tally: Arc::default() })
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let is_trusted = self.script.require_key.as_deref().is_none_or(|key| {
            let given = head.headers.get(AUTHORIZATION).and_then(|given| given.as_bytes().strip_prefix(b"Bearer "));
            given == Some(key.as_bytes())
        });
        match (&head.method, path.strip_prefix("/v1").unwrap_or(path)) {
            (&Method::POST, "/chat/completions") => self.ask(body, is_trusted, Endpoint::Chat).await,
            (&Method::POST, "/embeddings") => self.ask(body, is_trusted, Endpoint::Embeddings).await,
            (&Method::GET, "/simulate/counts") => {
                let counts = serde_json::to_vec(&self.tally.counts()).unwrap_or_default();
                Ok(of_type("application/json", counts))
            }
            (&Method::GET, "/simulate/asked") if self.script.counting == Counting::PerRequest => {
                Ok(of_type("application/jsonl", self.asked()))
            }
            _ if !is_trusted => Ok(WireError::unauthorized().response()),
            (&Method::GET, "/models") => Ok(models::list(&self.script.model)),
            (&Method::GET, path) if path.starts_with("/models/") => {
                Ok(models::retrieve(&self.script.model, &path["/models/".len()..]))
            }
            _ => Ok(WireError::unknown_path(head.method.as_str(), head.uri.path()).response()),
        }
    }

    /// Leads one ask to its end.
    async fn ask(&self, body: Incoming, is_trusted: bool, endpoint: Endpoint) -> Result<Response<Body>, Cut> {
        let body = match Limited::new(body, LONGEST_REQUEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                self.tally.turn_away();
                return Ok(WireError::too_long(LONGEST_REQUEST).response());
            }
            // The client left before the end of its request; there is nobody to answer.
            Err(_) => return Err(Cut),
        };
        let request_hash = request_hash(&body);
        let refused = |error: WireError| Ok(identified(error.response(), Identity { request_hash, ask: 0 }));
        let asked = if is_trusted { self.parse(endpoint, &body) } else { Err(WireError::unauthorized()) };
        let asked = match asked {
            Ok(asked) => asked,
            Err(error) => {
                self.tally.turn_away();
                return refused(error);
            }
        };

        let Some(mut in_flight) = self.tally.admit(self.script.limits.in_flight) else {
            return refused(WireError::throttled("too many requests are in flight", Some(IN_FLIGHT_WAIT)));
        };
        if let Some(Err(wait)) = self.window.as_ref().map(Window::admit) {
            in_flight.throttled_by_limit();
            return refused(WireError::throttled("too many requests in this second", Some(wait)));
        }

        let (ask, fault) = self.tally.ask(&self.script, request_hash);
        let identity = Identity { request_hash, ask };
        // An embedding has no message that could be spoiled, and a complaint may be heard.
        let fault = fault.filter(|fault| match &asked {
            Asked::Chat(request) => !(fault.mends && request.is_complaint),
            Asked::Embeddings(_) => !fault.kind.is_about_the_message(),
        });
        if let Some(fault) = fault {
            in_flight.struck(fault.kind);
        }
        let latency = self.script.latency_for(request_hash, ask);
        if !latency.is_zero() {
            sleep(latency.saturating_sub(TIMER_LAG)).await;
        }
        let response = match fault.map(|fault| (fault, fault.kind)) {
            Some((_, FaultKind::Cut)) => return Err(Cut),
            Some((_, FaultKind::Hang)) => std::future::pending().await,
            Some((_, FaultKind::GarbageBody)) => of_type("text/html", GARBAGE_BODY),
            fault => match fault.and_then(|(fault, _)| WireError::of_fault(fault)) {
                Some(error) => error.response(),
                None => asked.answer(self, identity, fault.map(|(_, kind)| kind)),
            },
        };
        Ok(identified(response.map(|body| body.ending(in_flight)), identity))
    }

    fn parse<'a>(&self, endpoint: Endpoint, body: &'a [u8]) -> Result<Asked<'a>, WireError> {
        match endpoint {
            Endpoint::Chat => {
                ChatRequest::parse(body, &self.script, self.fixed.as_ref(), &self.schemas).map(Asked::Chat)
            }
            Endpoint::Embeddings => EmbeddingsRequest::parse(body).map(Asked::Embeddings),
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
    fn answer(&self, service: &Service, identity: Identity, fault: Option<FaultKind>) -> Response<Body> {
        let script = &service.script;
        match self {
            Asked::Chat(request) => {
                let is_spoiled = fault.is_some_and(FaultKind::is_about_the_message);
                let shape = script.shape_for(identity.request_hash, identity.ask).filter(|_| !is_spoiled);
                if let Some(shape) = shape {
                    service.tally.shape(shape);
                }
                request.answer(script, identity, fault, shape)
            }
            Asked::Embeddings(request) => request.answer(script, fault),
        }
    }
}

fn of_type(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
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
