//! The server: connections accepted, requests read, answers written.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    count::Counts,
    endpoint::Endpoint,
    openai::error::WireError,
    playing::Playing,
    ready,
    script::{Script, ScriptError},
    service::{Reaction, Service},
    wire::{Connection, Malformed, Request, deliver, write},
};

/// Room for as many clients as may arrive at once; the kernel lowers it to what it allows.
const BACKLOG: u32 = 8_192;

/// How long the vendor waits before it accepts again, after the system had no file descriptor to spare.
const ACCEPT_WAIT: Duration = Duration::from_millis(20);

/// How long a client has to read why its request was not taken, before its connection is closed.
const FAREWELL: Duration = Duration::from_secs(1);

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
    let start = Instant::now();
    let mut later = service.stage.now().script.later.clone();
    // The last one is the next one.
    later.sort_by_key(|later| std::cmp::Reverse(later.at));
    loop {
        let next = later.last().map(|later| start + later.at.0);
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            () = sleep_until(next.unwrap_or(start)), if next.is_some() => {
                if let Some(later) = later.pop() {
                    // It was tried out with the script itself; what does not go with a change from outside is left out.
                    let _ = service.stage.change(&later.change);
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    service.tally.accept_connection();
                    if !service.stage.now().script.dead {
                        connections.spawn(converse(Arc::clone(service), stream));
                    }
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
    let mut connection = Connection::new(stream);
    loop {
        let request = match connection.next().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(malformed) => return turn_away(&service, connection, &malformed).await,
        };
        let playing = service.stage.now();
        let Connection { stream, ahead } = &mut connection;
        let work = async {
            match playing.is_plain && request.method() == "POST" && request.path().ends_with("/chat/completions") {
                true => made(&service, stream, &request, &playing).await,
                false => whole(&service, stream, &request, &playing).await,
            }
        };
        let keeps = tokio::select! {
            biased;
            keeps = work => keeps,
            () = ahead.left(stream) => Err(io::ErrorKind::ConnectionAborted.into()),
        };
        match keeps {
            Ok(true) if request.keeps_alive => {}
            Ok(_) => return,
            Err(_) => return service.tally.hang_up(),
        }
    }
}

/// Leads a request to its end; returns whether the connection can be used again.
async fn whole(service: &Service, stream: &TcpStream, request: &Request, playing: &Playing) -> io::Result<bool> {
    match service.react(request, playing).await {
        Reaction::Answered { response, fault, ask } => deliver(stream, response, fault, ask).await,
        Reaction::Cut => Ok(false),
        Reaction::Reset => stream.set_zero_linger().map(|()| false),
    }
}

/// Answers with what was made before.
async fn made(service: &Service, stream: &TcpStream, request: &Request, playing: &Playing) -> io::Result<bool> {
    let Some(made) = &playing.made else { return Ok(false) };
    service.tally.goes_to(Endpoint::Chat);
    service.tally.answer_made();
    let is_stream = ready::wants_stream(&request.body);
    write(stream, if is_stream { &made.events_framed } else { &made.whole_framed }).await.map(|()| true)
}

/// Says why a request is not taken.
async fn turn_away(service: &Service, mut connection: Connection, malformed: &Malformed) {
    let error = match malformed {
        Malformed::Head => WireError::invalid(None, "this is no request of HTTP/1.1"),
        Malformed::Long => WireError::too_long(crate::wire::LONGEST),
    };
    service.tally.turn_away();
    // A connection that is closed with bytes unread is reset, and the reason lost.
    let farewell = async {
        if deliver(&connection.stream, error.response(), None, None).await.is_ok() {
            let _ = connection.stream.shutdown().await;
            while connection.ahead.fill(&connection.stream).await {
                connection.ahead.forget();
            }
        }
    };
    let _ = timeout(FAREWELL, farewell).await;
}
