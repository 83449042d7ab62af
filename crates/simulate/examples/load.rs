//! Measures the vendor: a raw keep-alive client on one thread, the vendor on another, and the vendor's CPU time (Linux).
//!
//! `cargo run --release -p simulate --example load -- [CONNECTIONS] [SECONDS] [SCRIPT AS JSON]`
#![expect(clippy::print_stdout, reason = "an example that reports what it measured")]

use std::{error::Error, net::SocketAddr, time::Duration};

use simulate::{Script, Vendor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

/// As long a prompt as the benchmarks send.
const PROMPT_BYTES: usize = 1_024;

const SCHEMA: &str = r#"{"type":"json_schema","json_schema":{"name":"verdict","strict":true,"schema":{"type":"object","properties":{"label":{"enum":["good","bad","unclear"]},"score":{"type":"integer","minimum":1,"maximum":5},"reason":{"type":"string","minLength":120,"maxLength":200},"sure":{"type":"boolean"}},"required":["label","score","reason","sure"],"additionalProperties":false}}}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let connections: usize = arguments.next().map_or(Ok(64), |n| n.parse())?;
    let seconds: f64 = arguments.next().map_or(Ok(5.0), |n| n.parse())?;
    let script = arguments.next().unwrap_or_else(|| r#"{"counting":"totals"}"#.to_owned());
    let vendor = Vendor::start(serde_json::from_str::<Script>(&script)?, ([127, 0, 0, 1], 0).into())?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cpu_before = vendor_cpu_seconds();
    let start = Instant::now();
    let (answers, longest) = runtime.block_on(async {
        let end = start + Duration::from_secs_f64(seconds);
        let mut clients = JoinSet::new();
        for client in 0..connections {
            clients.spawn(ask_until(end, vendor.address(), client));
        }
        let (mut answers, mut longest) = (0_u64, Duration::ZERO);
        while let Some(client) = clients.join_next().await {
            let client = client.map_err(|error| error.to_string()).and_then(|client| client);
            let (n, late) = client?;
            answers += n;
            longest = longest.max(late);
        }
        Ok::<_, String>((answers, longest))
    })?;
    let elapsed = start.elapsed().as_secs_f64();
    let cpu = vendor_cpu_seconds() - cpu_before;
    println!(
        "{connections} connections, {elapsed:.2} s: {answers} answers, {:.0}/s; the vendor's thread {cpu:.2} s, {:.1} us each, \
         {:.0}/s on a core of its own; longest answer {:.0} ms",
        answers as f64 / elapsed,
        cpu * 1e6 / answers as f64,
        answers as f64 / cpu,
        longest.as_secs_f64() * 1e3,
    );
    println!("{}", serde_json::to_string(&vendor.stop())?);
    Ok(())
}

/// Asks over one connection until the time is up; returns how often, and the longest wait.
async fn ask_until(end: Instant, address: SocketAddr, client: usize) -> Result<(u64, Duration), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (mut answers, mut longest) = (0, Duration::ZERO);
    let prompt = "x".repeat(PROMPT_BYTES);
    let mut buffer = vec![0; 16 << 10];
    while Instant::now() < end {
        let start = Instant::now();
        let messages = format!(r#"[{{"role":"user","content":"{client} {answers:08} {prompt}"}}]"#);
        let body = format!(r#"{{"model":"m","messages":{messages},"response_format":{SCHEMA}}}"#);
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: simulate\r\ncontent-type: application/json\r\n";
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        let mut filled = 0;
        loop {
            let n = stream.read(&mut buffer[filled..]).await.map_err(failed)?;
            if n == 0 {
                return Err("the vendor closed the connection".to_owned());
            }
            filled += n;
            if is_whole(&buffer[..filled]) {
                break;
            }
        }
        answers += 1;
        longest = longest.max(start.elapsed());
    }
    Ok((answers, longest))
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&answer[..head]);
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|n| n.parse().ok());
    length.is_some_and(|length: usize| answer.len() >= head + 4 + length)
}

/// Returns the CPU time of the thread named `simulate`, or 0 where the system does not say.
fn vendor_cpu_seconds() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let vendor = threads.flatten().find(|thread| read(thread.path().join("comm")).trim() == "simulate");
    // The first field of `schedstat` is the time on a CPU, in nanoseconds.
    let nanos = vendor.map(|thread| read(thread.path().join("schedstat")));
    nanos.and_then(|nanos| nanos.split(' ').next()?.parse().ok()).map_or(0.0, |nanos: f64| nanos * 1e-9)
}
