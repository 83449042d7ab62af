//! Connections of clients.
//!
//! One thread accepts and hands each connection to the worker that has the fewest. A worker is a thread with a runtime
//! and a pool of upstream connections of its own: a request is read, passed on and answered without another thread. Letting
//! the system spread connections over listeners would be one hand-over less, and with few clients leaves threads idle.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use domain::Clock;
use hyper::{Request, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use provider::transport::{Limits, Transport};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

use super::{
    bodies::Bodies,
    ending::{Stop, Stopping, Tasks},
    exchange::{Worker, exchange},
    http1::{self, LINGER},
    live::Live,
    patient::Patient,
    untaken::{Offered, Streams},
};

/// Connections that were accepted and not taken yet by their worker.
const HANDED: usize = 1_024;
/// How long accepting pauses when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(50);
/// How long those may take to be told whose answers did not end in time.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often connections to upstreams are looked through for those that have waited too long.
const TIDY: Duration = Duration::from_secs(10);
/// How an HTTP/2 connection begins, as far as it must be seen to know. No method of HTTP/1.1 is called so.
const PREFACE: &[u8] = b"PRI";
/// How much of a request HTTP/2 clients may have on its way. What waits for memory keeps so much of its connection's share
/// from the others.
const WINDOW: u32 = 256 * 1024;
/// How often an HTTP/2 connection is asked whether somebody is there.
const PING: Duration = Duration::from_secs(30);
/// How many requests may be open on one HTTP/2 connection.
const STREAMS: u32 = 1_000;

/// The face while it serves.
#[derive(Debug)]
pub struct Face {
    address: SocketAddr,
    stopping: Stopping,
    threads: Vec<JoinHandle<()>>,
    n_open: Arc<AtomicUsize>,
}

impl Face {
    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn n_connections(&self) -> usize {
        self.n_open.load(Ordering::Relaxed)
    }

    /// Returns what tells from anywhere how many connections are open.
    pub fn counter(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let n_open = Arc::clone(&self.n_open);
        move || n_open.load(Ordering::Relaxed)
    }

    /// Takes no more requests, and lets those that are open end.
    pub fn drain(&self) {
        self.stopping.drain();
    }

    /// Ends when every connection is closed.
    pub fn join(mut self) {
        self.drain();
        for thread in self.threads.drain(..) {
            // A worker that panicked has closed its connections as well.
            let _ = thread.join();
        }
    }

    /// Closes every connection, whatever it waits for; who waits for an answer is told that there is none.
    pub fn stop(self) {
        self.stopping.now();
        self.join();
    }

    /// Returns what closes every connection from another thread.
    pub fn closer(&self) -> impl Fn() + Send + Sync + use<> {
        let stopping = self.stopping.clone();
        move || stopping.now()
    }
}

/// Serves on `listener` with so many workers, until it is drained.
///
/// # Errors
/// Where the system gives no thread or no runtime.
pub fn serve(
    listener: std::net::TcpListener,
    live: &Arc<Live>,
    n_workers: usize,
    clock: &Arc<dyn Clock>,
) -> io::Result<Face> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let (stopping, stopped) = Stopping::new();
    let n_open = Arc::new(AtomicUsize::new(0));
    let (mut threads, mut desks) = (Vec::new(), Vec::new());
    let bodies = Arc::<Bodies>::default();
    for number in 0..n_workers.max(1) {
        let (hand, handed) = mpsc::channel(HANDED);
        let load = Arc::new(AtomicUsize::new(0));
        let transport = Arc::new(Transport::new(Limits::default()));
        let worker = Arc::new(Worker {
            live: Arc::clone(live),
            transport,
            clock: Arc::clone(clock),
            ending: Arc::clone(&stopping.ending),
            bodies: Arc::clone(&bodies),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let counts = [Arc::clone(&load), Arc::clone(&n_open)];
        let stopped = stopped.clone();
        let work = move || runtime.block_on(take(handed, &worker, counts, stopped));
        threads.push(std::thread::Builder::new().name(format!("gateway-{number}")).spawn(work)?);
        desks.push((hand, load));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let accept = move || runtime.block_on(accept(listener, desks, stopped));
    threads.push(std::thread::Builder::new().name("gateway-accept".to_owned()).spawn(accept)?);
    Ok(Face { address, stopping, threads, n_open })
}

async fn accept(
    listener: std::net::TcpListener,
    desks: Vec<(mpsc::Sender<std::net::TcpStream>, Arc<AtomicUsize>)>,
    mut stopped: watch::Receiver<Stop>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let hand_over = async |stream: std::net::TcpStream| {
        let Some((desk, load)) = desks.iter().min_by_key(|(_, load)| load.load(Ordering::Relaxed)) else { return };
        load.fetch_add(1, Ordering::Relaxed);
        // A worker that is gone is one that panicked: its connections are closed.
        let _ = desk.send(stream).await;
    };
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop != Stop::No) => break,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(NO_ROOM).await;
                    continue;
                };
                let Ok(stream) = stream.into_std() else { continue };
                hand_over(stream).await;
            }
        }
    }
    // For those who stand before the door the connection is there, and some have asked already.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok() {
            hand_over(stream).await;
        }
    }
}

/// Takes connections for one worker until the end, and ends when the last of them has.
async fn take(
    mut handed: mpsc::Receiver<std::net::TcpStream>,
    worker: &Arc<Worker>,
    [load, n_open]: [Arc<AtomicUsize>; 2],
    mut stopped: watch::Receiver<Stop>,
) {
    let mut connections = tokio::task::JoinSet::new();
    let mut tidy = tokio::time::interval(TIDY);
    loop {
        tokio::select! {
            stream = handed.recv() => {
                let Some(stream) = stream else { break };
                let open = Open { load: Arc::clone(&load), n_open: Arc::clone(&n_open) };
                n_open.fetch_add(1, Ordering::Relaxed);
                let (worker, stopped) = (Arc::clone(worker), stopped.clone());
                connections.spawn(async move {
                    converse(stream, &worker, stopped).await;
                    drop(open);
                });
            }
            Some(_) = connections.join_next() => {}
            _ = tidy.tick() => worker.transport.tidy(),
        }
    }
    tokio::select! {
        () = async { while connections.join_next().await.is_some() {} } => {}
        _ = stopped.wait_for(|stop| *stop == Stop::Now) => {
            let told = async { while connections.join_next().await.is_some() {} };
            if tokio::time::timeout(LAST_WORDS, told).await.is_err() {
                connections.shutdown().await;
            }
        }
    }
}

/// A connection that is counted.
struct Open {
    load: Arc<AtomicUsize>,
    n_open: Arc<AtomicUsize>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.n_open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn converse(stream: std::net::TcpStream, worker: &Arc<Worker>, mut stopped: watch::Receiver<Stop>) {
    let Ok(mut stream) = TcpStream::from_std(stream) else { return };
    let Ok(peer) = stream.peer_addr() else { return };
    // Pieces are written when they are there; waiting for more to send with them would only delay them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut first = [0; PREFACE.len()];
    loop {
        // While nothing is asked, a connection is a socket and no more: there may be ten thousand of them.
        let peeked = tokio::select! {
            biased;
            peeked = stream.peek(&mut first) => peeked,
            () = lingered(&mut stopped) => return,
        };
        let Ok(1..) = peeked else { return };
        if first == PREFACE {
            return Box::pin(converse_2(stream, peer.ip(), worker, stopped)).await;
        }
        match Box::pin(http1::converse(stream, peer.ip(), worker, &mut stopped)).await {
            Some(idle) => stream = idle,
            None => return,
        }
        first.fill(0);
    }
}

/// Ends when nothing more is expected of a client who asks nothing.
async fn lingered(stopped: &mut watch::Receiver<Stop>) {
    if stopped.wait_for(|stop| *stop != Stop::No).await.is_ok_and(|stop| *stop == Stop::Drain) {
        let _ = tokio::time::timeout(LINGER, stopped.wait_for(|stop| *stop == Stop::Now)).await;
    }
}

async fn converse_2(stream: TcpStream, peer: IpAddr, worker: &Arc<Worker>, mut stopped: watch::Receiver<Stop>) {
    let (worker, streams) = (Arc::clone(worker), Streams::new(Tasks(stopped.clone())));
    let mut builder = http2::Builder::new(streams.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (worker, offer) = (Arc::clone(&worker), streams.begin());
        async move {
            let response = exchange(&worker, peer, request).await;
            Ok::<_, std::convert::Infallible>(response.map(|body| Offered::new(body, offer)))
        }
    });
    builder.timer(TokioTimer::new()).initial_stream_window_size(WINDOW).initial_connection_window_size(8 * WINDOW);
    builder.max_concurrent_streams(STREAMS).keep_alive_interval(PING);
    // Whoever reads nothing at all does not hear either that he shall.
    let io = TokioIo::new(Patient::new(stream));
    let mut connection = pin!(builder.serve_connection(io, service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stop| *stop != Stop::No) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
