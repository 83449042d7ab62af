//! Connections of clients.
//!
//! One thread accepts and hands each connection to the worker that has the fewest. A worker is a thread with a runtime
//! and a pool of upstream connections of its own: a request is read, passed on and answered without another thread. Letting
//! the system spread connections over listeners would be one hand-over less, and with few clients leaves threads idle.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use domain::Clock;
use hyper::{
    Request,
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use provider::transport::{Limits, Transport};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    body::{Broken, FaceBody},
    exchange::{Worker, exchange},
    live::Live,
};

/// Connections that were accepted and not taken yet by their worker.
const HANDED: usize = 1_024;
/// After how long a connection on which nothing is asked gives back all but its socket.
const IDLE: Duration = Duration::from_secs(1);
/// How long accepting pauses when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(50);
/// How often connections to vendors that are asked no more, as after a change of the configuration, are let go.
const TIDYING: Duration = Duration::from_mins(1);
/// How an HTTP/2 connection begins, as far as it must be seen to know. No method of HTTP/1.1 is called so.
const PREFACE: &[u8] = b"PRI";
/// How much HTTP/2 clients may have on its way.
const WINDOW: u32 = 1 << 20;
/// How many requests may be open on one HTTP/2 connection.
const STREAMS: u32 = 1_000;
/// The most that is kept of the head of a request.
const HEAD: usize = 64 * 1024;

/// The face while it serves.
#[derive(Debug)]
pub struct Face {
    address: SocketAddr,
    stop: watch::Sender<Stop>,
    threads: Vec<JoinHandle<()>>,
    n_open: Arc<AtomicUsize>,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// No new requests; those that are open end in peace.
    Drain,
    /// Now.
    Now,
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
    #[must_use]
    pub fn counter(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let n_open = Arc::clone(&self.n_open);
        move || n_open.load(Ordering::Relaxed)
    }

    /// Takes no more requests, and lets those that are open end.
    pub fn drain(&self) {
        self.stop.send_if_modified(|stop| std::mem::replace(stop, Stop::Drain) == Stop::No);
    }

    /// Ends when every connection is closed.
    pub fn join(mut self) {
        self.drain();
        for thread in self.threads.drain(..) {
            // A worker that panicked has closed its connections as well.
            let _ = thread.join();
        }
    }

    /// Closes every connection, whatever it waits for.
    pub fn stop(self) {
        self.stop.send_replace(Stop::Now);
        self.join();
    }

    /// Returns what closes every connection from another thread.
    pub fn closer(&self) -> impl Fn() + Send + Sync + use<> {
        let stop = self.stop.clone();
        move || {
            stop.send_replace(Stop::Now);
        }
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
    let (stop, stopped) = watch::channel(Stop::No);
    let n_open = Arc::new(AtomicUsize::new(0));
    let (mut threads, mut desks) = (Vec::new(), Vec::new());
    for number in 0..n_workers.max(1) {
        let (hand, handed) = mpsc::channel(HANDED);
        let load = Arc::new(AtomicUsize::new(0));
        let transport = Arc::new(Transport::new(Limits::default()));
        let worker = Arc::new(Worker { live: Arc::clone(live), transport, clock: Arc::clone(clock) });
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
    Ok(Face { address, stop, threads, n_open })
}

async fn accept(
    listener: std::net::TcpListener,
    desks: Vec<(mpsc::Sender<std::net::TcpStream>, Arc<AtomicUsize>)>,
    mut stopped: watch::Receiver<Stop>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop != Stop::No) => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(NO_ROOM).await;
                    continue;
                };
                let Ok(stream) = stream.into_std() else { continue };
                let Some((desk, load)) = desks.iter().min_by_key(|(_, load)| load.load(Ordering::Relaxed)) else { return };
                load.fetch_add(1, Ordering::Relaxed);
                if desk.send(stream).await.is_err() {
                    return;
                }
            }
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
    let mut tidying = tokio::time::interval(TIDYING);
    tidying.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tidying.tick() => worker.transport.tidy(),
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
        }
    }
    tokio::select! {
        () = async { while connections.join_next().await.is_some() {} } => {}
        _ = stopped.wait_for(|stop| *stop == Stop::Now) => connections.shutdown().await,
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
            peeked = stream.peek(&mut first) => peeked,
            _ = stopped.wait_for(|stop| *stop != Stop::No) => return,
        };
        let Ok(1..) = peeked else { return };
        if first == PREFACE {
            return Box::pin(converse_2(stream, peer.ip(), worker, stopped)).await;
        }
        match Box::pin(converse_1(stream, peer.ip(), worker, &mut stopped)).await {
            Some(idle) => stream = idle,
            None => return,
        }
        first.fill(0);
    }
}

/// Speaks HTTP/1.1 until nothing more is asked for a while; returns the connection then.
async fn converse_1(
    stream: TcpStream,
    peer: IpAddr,
    worker: &Arc<Worker>,
    stopped: &mut watch::Receiver<Stop>,
) -> Option<TcpStream> {
    let limit = worker.live.now().settings.header_timeout;
    let pulse = Arc::new(Pulse::default());
    let service = {
        let (worker, pulse) = (Arc::clone(worker), Arc::clone(&pulse));
        service_fn(move |request: Request<Incoming>| {
            let busy = Busy::new(&pulse);
            let worker = Arc::clone(&worker);
            async move {
                let response = exchange(&worker, peer, request).await;
                Ok::<_, std::convert::Infallible>(response.map(|body| Busily { body, _busy: busy }))
            }
        })
    };
    let io = TokioIo::new(Patient { stream, limit, pulse: Arc::clone(&pulse), timer: None });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD).half_close(false);
    let mut connection = builder.serve_connection(io, service);
    let mut n_seen = 0;
    loop {
        tokio::select! {
            biased;
            // What goes wrong on a connection is told to the request that is on it.
            _ = &mut connection => return None,
            _ = stopped.wait_for(|stop| *stop != Stop::No) => break,
            () = tokio::time::sleep(IDLE) => {
                let n = pulse.n_requests.load(Ordering::Relaxed);
                let is_busy = pulse.is_busy.load(Ordering::Relaxed) || pulse.has_part.load(Ordering::Relaxed);
                if n == n_seen && n > 0 && !is_busy {
                    let parts = connection.into_parts();
                    return parts.read_buf.is_empty().then(|| parts.io.into_inner().stream);
                }
                n_seen = n;
            }
        }
    }
    let mut connection = pin!(connection);
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
    None
}

async fn converse_2(stream: TcpStream, peer: IpAddr, worker: &Arc<Worker>, stopped: watch::Receiver<Stop>) {
    let worker = Arc::clone(worker);
    let service = service_fn(move |request: Request<Incoming>| {
        let worker = Arc::clone(&worker);
        async move { Ok::<_, std::convert::Infallible>(exchange(&worker, peer, request).await) }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).initial_stream_window_size(WINDOW).initial_connection_window_size(4 * WINDOW);
    builder.max_concurrent_streams(STREAMS).keep_alive_interval(Duration::from_secs(30));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let _ = until_stopped(stopped, connection.as_mut(), |it| it.graceful_shutdown()).await;
}

async fn until_stopped<C: Future<Output = R>, R>(
    mut stopped: watch::Receiver<Stop>,
    mut connection: Pin<&mut C>,
    close: impl FnOnce(Pin<&mut C>),
) -> R {
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = stopped.wait_for(|stop| *stop != Stop::No) => {}
    }
    close(connection.as_mut());
    connection.await
}

/// What is known of a connection from outside of the server that speaks on it.
#[derive(Debug, Default)]
struct Pulse {
    /// Whether a request is being answered.
    is_busy: AtomicBool,
    /// Whether a part of a head is here.
    has_part: AtomicBool,
    n_requests: AtomicUsize,
}

/// A request is being answered.
struct Busy(Arc<Pulse>);

impl Busy {
    fn new(pulse: &Arc<Pulse>) -> Self {
        pulse.is_busy.store(true, Ordering::Relaxed);
        pulse.n_requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(pulse))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is_busy.store(false, Ordering::Relaxed);
    }
}

/// The body of an answer, until whose end the connection is busy.
struct Busily {
    body: FaceBody,
    _busy: Busy,
}

impl Body for Busily {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose client may be idle for as long as it likes between two requests, and not within the head of one.
///
/// The limit of the server below counts the time between requests as well, and sets a timer for each.
struct Patient {
    stream: TcpStream,
    limit: Duration,
    pulse: Arc<Pulse>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pulse.is_busy.load(Ordering::Relaxed) {
            // What was read is a request by now, or belongs to one.
            self.pulse.has_part.store(false, Ordering::Relaxed);
            self.timer = None;
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let n_before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match read {
            Poll::Ready(Ok(())) if buffer.filled().len() > n_before => {
                self.pulse.has_part.store(true, Ordering::Relaxed)
            }
            Poll::Pending if self.pulse.has_part.load(Ordering::Relaxed) => {
                let limit = self.limit;
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
                if timer.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            _ => {}
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
