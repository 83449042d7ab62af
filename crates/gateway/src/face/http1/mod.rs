//! HTTP/1.1 from the answering side, in the task of its connection.
//!
//! What happens to one request: its head is read (`line`, `head`), its body is read by whoever wants it, piece by piece, and
//! only then is anybody asked. While the answer is waited for the connection is listened on, since a client that hangs up wants
//! none. What is written (`answer`) stands in an outbox (`outbox`), whole answers with their heads, streams as much as was
//! ready together; nothing more of an answer is taken before the client has taken that.
//!
//! A server of a library hands bodies over through channels and watches itself from outside to learn what goes on. What that
//! cost stands in `docs/design/2026-11-21-gateway-speed.md`.

mod answer;
mod head;
mod line;
mod outbox;

use std::{future::poll_fn, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

use super::{
    ending::Stop,
    exchange::{Heard, Worker, hear},
};
use answer::Way;
use head::Head;
use line::{Body, Line, Silence};

/// A client that has only just come, or has just got an answer, may have asked already: it is heard for so long after the
/// face has been stopped.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// How long somebody is heard who was refused.
const HEAR_OUT: Duration = Duration::from_secs(2);

/// Why a conversation ended.
enum After {
    /// Nothing is asked for now.
    Idle,
    Closed,
    /// The client may still be sending.
    Refused,
}

/// Answers requests until nothing more is asked for a while; returns the connection then.
pub(super) async fn converse(
    stream: TcpStream,
    peer: IpAddr,
    worker: &Arc<Worker>,
    stopped: &mut watch::Receiver<Stop>,
) -> Option<TcpStream> {
    let mut line = Line::new(stream, worker.live.now().settings.header_timeout);
    let after = {
        let mut talk = pin!(talk(&mut line, peer, worker));
        loop {
            tokio::select! {
                biased;
                after = &mut talk => break after,
                // Who waits looks up each time that the end comes nearer.
                Ok(()) = stopped.changed() => {}
            }
        }
    };
    match after {
        After::Idle => Some(line.stream),
        After::Closed => None,
        After::Refused => {
            Box::pin(hear_out(line.stream, stopped)).await;
            None
        }
    }
}

/// Reads on for a moment what a client sends who was refused in the middle of his request: a connection that is closed before that
/// is reset, and he would not come to read why.
async fn hear_out(mut stream: TcpStream, stopped: &mut watch::Receiver<Stop>) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut some = vec![0; 16 * 1024];
    let hear = async { while let Ok(1..) = stream.read(&mut some).await {} };
    tokio::select! {
        _ = tokio::time::timeout(HEAR_OUT, hear) => {}
        _ = stopped.wait_for(|stop| *stop == Stop::Now) => {}
    }
}

async fn talk(line: &mut Line, peer: IpAddr, worker: &Arc<Worker>) -> After {
    loop {
        let head = match poll_fn(|cx| line.poll_head(cx, &worker.ending)).await {
            Ok(head) => head,
            Err(Silence::Refused(problem)) => {
                let way = Way { is_head: false, is_1_1: true, may_stay: false };
                line.answer(problem.response(), way, worker.clock.now()).await;
                return After::Refused;
            }
            Err(Silence::Closed) => return After::Closed,
            Err(Silence::Idle) => return After::Idle,
        };
        let Head { called, is_1_1, may_stay, .. } = head;
        let is_head = called.method == Method::HEAD;
        let response = match hear(worker, peer, called, Body(line)).await {
            Heard::Answered(response) => response,
            Heard::Asks(asks) => {
                let mut answer = pin!(asks.answer(worker));
                tokio::select! {
                    biased;
                    response = &mut answer => response,
                    () = poll_fn(|cx| line.poll_gone(cx)) => return After::Closed,
                }
            }
        };
        // The rest of a body that nobody wanted is not waited for.
        let is_read = line.is_heard_out();
        let way = Way { is_head, is_1_1, may_stay: may_stay && is_read && !worker.ending.is_near() };
        let stays = line.answer(response, way, worker.clock.now()).await;
        if !is_read {
            return After::Refused;
        }
        if !stays {
            return After::Closed;
        }
    }
}
