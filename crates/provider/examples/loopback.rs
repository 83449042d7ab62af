//! Prints the processor time that one request costs on the client's side: a fixed 1 KB question and 300 B answer over
//! loopback, 64 in flight, against a server in a thread of its own. `cargo run --release --example loopback`.

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use domain::{Clock, Secret, Timestamp, ports::Ask};
use provider::{
    Abilities, OpenAi, Question,
    transport::{Endpoint, Limits, Transport},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const IN_FLIGHT: u64 = 64;
const EACH: u64 = 5_000;

struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (ready, address) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async move {
            let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else { return };
            let _ = ready.send(listener.local_addr());
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp));
            }
        });
    });
    let url = format!("http://{}/v1", address.recv()??);
    let model = Arc::new(OpenAi::new(Endpoint::parse(&url)?, "small", Some(Secret::new("sk-planted-4711")))?);
    let body =
        Bytes::from(format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"{}"}}]}}"#, "x".repeat(960)));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for round in 0..5 {
        let transport = Arc::new(Transport::new(Limits::default()));
        let (wall, busy) = (Instant::now(), busy()?);
        runtime.block_on(async {
            let mut all = tokio::task::JoinSet::new();
            for _ in 0..IN_FLIGHT {
                let (model, transport, body) = (Arc::clone(&model), Arc::clone(&transport), body.clone());
                all.spawn(async move {
                    for _ in 0..EACH {
                        let deadline = Instant::now() + Duration::from_secs(60);
                        let (ask, abilities) = (Ask::Chat, Abilities::default());
                        let question = Question { ask, body: &body, abilities, deadline };
                        if let Err(failed) = model.ask(&transport, question, &NoClock).await {
                            return Err(failed.failure);
                        }
                    }
                    Ok(())
                });
            }
            while let Some(one) = all.join_next().await {
                one??;
            }
            Ok::<(), Box<dyn Error>>(())
        })?;
        let n = (IN_FLIGHT * EACH) as f64;
        let (wall, busy) = (wall.elapsed(), self::busy()? - busy);
        let (cpu, rate) = (busy.as_secs_f64() * 1e6 / n, n / wall.as_secs_f64());
        println!("round {round}: {cpu:.2} us CPU per request, {rate:.0} requests/s");
    }
    Ok(())
}

/// Returns the processor time of this thread so far.
fn busy() -> Result<Duration, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?))
}

async fn serve(mut tcp: tokio::net::TcpStream) {
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 300\r\n\r\n{}", "y".repeat(300));
    let mut piece = vec![0; 16 * 1024];
    let mut read = 0;
    while let Ok(n) = tcp.read(&mut piece[read..]).await {
        read += n;
        // Every request ends like this one, and one fits into a read.
        if n == 0 {
            return;
        }
        if piece[..read].ends_with(b"\"}]}") {
            read = 0;
            if tcp.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
