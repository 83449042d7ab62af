//! HTTP/2 from the asking side: many requests on one connection, and another connection when it is nearly full.
//!
//! A server says how many streams it takes at once, commonly about 100. What goes beyond that would wait on a full
//! connection for others to end, so that here the next connection is opened before. A connection that is not needed any
//! more ages and is let go, as in the pool of HTTP/1.1.

mod exchange;

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{Builder, Connection, SendRequest},
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{
    TransportError,
    connect::{Connected, Connector, HttpVersion},
    endpoint::Endpoint,
    error,
    form::Request,
    pool::IDLE_LIMIT,
    stream::Stream,
};
pub(super) use exchange::Streaming;

/// How many streams a server takes that has not said it, or sets no limit.
const N_UNKNOWN: usize = 100;
/// How many streams a connection gets at most: what they may send before they are read adds up.
const N_MOST: usize = 256;
/// How much of one answer may come before it is read: as much as a fast connection holds on its way over an ocean.
const STREAM_WINDOW: u32 = 1 << 20;
/// How much of all answers on a connection may come. If it were less than all streams may send, a few answers that nobody
/// reads could hold up all others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * N_MOST as u32;
/// The longest head of an answer; as for HTTP/1.1.
const HEAD_MOST: u32 = 256 * 1024;
/// How long a connection with requests on it goes unasked whether the other side is still there, and how long that may
/// take. An answer may be long in coming, and a connection that broke without a word looks the same.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How often a request is sent that was surely not processed: twice is an accident, thrice is how the server is.
const N_SENT: usize = 3;

/// The connections to one origin.
#[derive(Debug, Default)]
pub(super) struct Connections {
    state: Mutex<State>,
    /// Held while a connection is opened, so that a hundred requests that come at once open one and not a hundred.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    open: Vec<Open>,
    n_opened: u64,
    /// The server was offered HTTP/2 and chose HTTP/1.1.
    speaks_http1: bool,
    n_failures: u64,
    last_failure: Option<TransportError>,
}

#[derive(Debug)]
struct Open {
    id: u64,
    sender: SendRequest<Bytes>,
    shared: Arc<Shared>,
    idle_since: Instant,
}

/// What a connection's task and those who use it both know.
#[derive(Debug, Default)]
struct Shared {
    n_in_flight: AtomicUsize,
    is_over: AtomicBool,
}

/// The right to one stream on a connection. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    sender: SendRequest<Bytes>,
    shared: Arc<Shared>,
    connections: Arc<Connections>,
}

/// What comes of a request.
pub(super) enum Opened {
    /// Its answer has begun.
    Answering(Box<http::response::Parts>, Box<Streaming>),
    /// The server speaks HTTP/1.1; perhaps a connection to it has just been opened.
    SpeaksHttp1(Option<Stream>),
}

enum Found {
    Place(Place),
    SpeaksHttp1(Option<Stream>),
}

impl Connections {
    /// Sends a request and returns when its answer begins.
    ///
    /// It is sent again, on another connection, only where HTTP/2 says for certain that it was not processed: the server
    /// refused its stream, or went away with word that it got no further than an earlier one.
    pub(super) async fn open(
        self: &Arc<Self>,
        connector: &Connector,
        endpoint: &Endpoint,
        request: &Request<'_>,
    ) -> Result<Opened, TransportError> {
        let mut n_sent = 0;
        loop {
            let place = match self.place(connector, endpoint).await? {
                Found::Place(place) => place,
                Found::SpeaksHttp1(stream) => return Ok(Opened::SpeaksHttp1(stream)),
            };
            let message = request.message(endpoint);
            match exchange::exchange(place, message, &request.body).await {
                Ok((head, body)) => return Ok(Opened::Answering(Box::new(head), Box::new(body))),
                Err((id, lost)) => {
                    n_sent += 1;
                    if !lost.is_unprocessed || n_sent == N_SENT {
                        return Err(lost.error);
                    }
                    self.state().open.retain(|open| open.id != id);
                }
            }
        }
    }

    async fn place(self: &Arc<Self>, connector: &Connector, endpoint: &Endpoint) -> Result<Found, TransportError> {
        let n_failures = {
            let mut state = self.state();
            if let Some(found) = self.found(&mut state) {
                return Ok(found);
            }
            state.n_failures
        };
        let _opening = self.opening.lock().await;
        {
            let mut state = self.state();
            if let Some(found) = self.found(&mut state) {
                return Ok(found);
            }
            // Whoever waited for a connection that could not be opened has waited long enough.
            if let Some(failure) = state.last_failure.clone().filter(|_| state.n_failures != n_failures) {
                return Err(failure);
            }
        }
        let opened = connector.open(&endpoint.origin, HttpVersion::Http2).await;
        let opened = match opened {
            Ok(Connected { stream, http: HttpVersion::Http1 }) => {
                self.state().speaks_http1 = true;
                return Ok(Found::SpeaksHttp1(Some(stream)));
            }
            Ok(Connected { stream, http: HttpVersion::Http2 }) => greet(stream, endpoint).await,
            Err(error) => Err(error),
        };
        let mut state = self.state();
        match opened {
            Ok((sender, shared)) => {
                let id = state.n_opened;
                state.n_opened += 1;
                state.open.push(Open { id, sender, shared, idle_since: Instant::now() });
                let opened = state.open.last().map(|open| self.place_on(open));
                opened.map(Found::Place).ok_or_else(error::cut)
            }
            Err(error) => {
                state.n_failures += 1;
                state.last_failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Finds room on a connection that is open. The oldest are filled first, so that those beyond the need run dry.
    fn found(self: &Arc<Self>, state: &mut State) -> Option<Found> {
        if state.speaks_http1 {
            return Some(Found::SpeaksHttp1(None));
        }
        state.tidy();
        let has_room = |open: &&Open| {
            open.shared.n_in_flight.load(Ordering::Relaxed) < n_streams(open.sender.current_max_send_streams())
        };
        state.open.iter().find(has_room).map(|open| Found::Place(self.place_on(open)))
    }

    /// Takes a place; whoever calls this holds the lock.
    fn place_on(self: &Arc<Self>, open: &Open) -> Place {
        open.shared.n_in_flight.fetch_add(1, Ordering::Relaxed);
        let (sender, shared) = (open.sender.clone(), Arc::clone(&open.shared));
        Place { id: open.id, sender, shared, connections: Arc::clone(self) }
    }

    /// Lets go of connections that have waited too long or were closed meanwhile; returns whether none is left.
    pub(super) fn tidy(&self) -> bool {
        let mut state = self.state();
        state.tidy();
        state.open.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is under the lock is whole after any panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tidy(&mut self) {
        self.open.retain(|open| {
            let is_idle = open.shared.n_in_flight.load(Ordering::Relaxed) == 0;
            let is_old = is_idle && open.idle_since.elapsed() > IDLE_LIMIT;
            !is_old && !open.shared.is_over.load(Ordering::Relaxed)
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        if self.shared.n_in_flight.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(open) = state.open.iter_mut().find(|open| open.id == self.id)
        {
            open.idle_since = Instant::now();
        }
    }
}

/// Returns how many streams a connection gets whose server takes `n_allowed`: a tenth is left for those that have ended
/// here and not yet there.
fn n_streams(n_allowed: usize) -> usize {
    let n_allowed = if n_allowed > u32::MAX as usize { N_UNKNOWN } else { n_allowed.min(N_MOST) };
    (n_allowed * 9 / 10).max(1)
}

/// Begins to speak HTTP/2 on an open connection, and returns when the other side does so as well: by then it has said how
/// many streams it takes.
async fn greet(stream: Stream, endpoint: &Endpoint) -> Result<(SendRequest<Bytes>, Arc<Shared>), TransportError> {
    let greeting = async {
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(N_UNKNOWN)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_MOST);
        let (sender, connection) = builder.handshake(stream).await.map_err(|e| error::in_words(&e))?;
        let (shared, (tell, told)) = (Arc::new(Shared::default()), oneshot::channel());
        // It ends with the last who holds a sender, or an answer. What goes wrong on it is told to the requests on it.
        tokio::spawn(drive(connection, Arc::clone(&shared), tell));
        told.await.unwrap_or_else(|_| Err("the runtime is ending".to_owned()))?;
        Ok((sender, shared))
    };
    let limit = endpoint.origin.way.timeout;
    let greeted = timeout(limit, greeting).await;
    let greeted = greeted.unwrap_or_else(|_| Err(format!("no greeting within {}", error::in_seconds(&limit))));
    greeted.map_err(|cause| TransportError::Connect { to: endpoint.address(), cause: format!("HTTP/2: {cause}") })
}

async fn drive(
    mut connection: Connection<Stream, Bytes>,
    shared: Arc<Shared>,
    tell: oneshot::Sender<Result<(), String>>,
) {
    if let Some(mut ping) = connection.ping_pong() {
        let mut connection = pin!(connection);
        // The first word of a server is about its limits; the answer to this comes behind it.
        let greeted = tokio::select! {
            biased;
            ended = &mut connection => Err(match ended {
                Ok(()) => "the other side hung up".to_owned(),
                Err(e) => error::in_words(&e),
            }),
            pong = ping.ping(Ping::opaque()) => pong.map(drop).map_err(|e| error::in_words(&e)),
        };
        let is_up = greeted.is_ok();
        if tell.send(greeted).is_ok() && is_up {
            tokio::select! {
                _ = &mut connection => {}
                () = silence(ping, &shared) => {}
            }
        }
    }
    shared.is_over.store(true, Ordering::Relaxed);
}

/// Returns when the other side does not answer any more.
async fn silence(mut ping: PingPong, shared: &Shared) {
    loop {
        sleep(PING_EVERY).await;
        // A connection without requests is not kept alive: servers let go of those that are not used.
        if shared.n_in_flight.load(Ordering::Relaxed) > 0
            && !matches!(timeout(PING_EVERY, ping.ping(Ping::opaque())).await, Ok(Ok(_)))
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_nearly_filled_and_never_beyond_what_is_known() {
        for (n_allowed, n) in [(0, 1), (1, 1), (10, 9), (100, 90), (128, 115), (1_000_000, 230), (usize::MAX, 90)] {
            assert_eq!(n_streams(n_allowed), n, "{n_allowed}");
        }
    }
}
