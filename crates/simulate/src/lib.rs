//! The scripted vendor: an OpenAI-shaped HTTP server whose latencies and faults follow a script.
//!
//! It stands in for a model vendor where a real one would cost money or could not be made to fail on demand: in the
//! quickstart that needs no key, in crash tests, and in benchmarks. What it does to a request is a function of the
//! script's seed, the bytes of the request and how often that request was asked, so that a run repeats exactly; and it
//! counts what it was asked, so that a test can compare.
//!
//! It deliberately is not a model (its answers satisfy a schema and mean nothing), does not speak TLS, and is meant for
//! loopback: it trusts its client about everything but the shape of the request.
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use simulate::{Script, Vendor};
//!
//! let script: Script = serde_json::from_str(
//!     r#"{"answer": {"fixed": "hello"}, "faults": [{"kind": "throttled", "rate": 1.0, "asks": 1, "retry_after": "2s"}]}"#,
//! )?;
//! let vendor = Vendor::start(script, ([127, 0, 0, 1], 0).into())?;
//!
//! let ask = || -> std::io::Result<String> {
//!     let body = r#"{"model": "m", "messages": [{"role": "user", "content": "hi"}]}"#;
//!     let mut stream = std::net::TcpStream::connect(vendor.address())?;
//!     write!(stream, "POST /v1/chat/completions HTTP/1.1\r\nhost: simulate\r\nconnection: close\r\n")?;
//!     write!(stream, "content-length: {}\r\n\r\n{body}", body.len())?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer)?;
//!     Ok(answer)
//! };
//! assert!(ask()?.starts_with("HTTP/1.1 429"), "the script throttles the first ask");
//! assert!(ask()?.contains(r#""content":"hello""#), "and answers the second");
//! assert_eq!(vendor.counts().asked, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod duration;
mod script;

mod draw;
mod fault;
mod lack;
mod shape;

mod count;
mod endpoint;
mod limit;
mod seen;

mod answer;
mod openai;
mod ready;

mod body;
mod wire;

mod playing;
mod service;

mod serve;
mod vendor;

pub use count::Counts;
pub use duration::{Span, SpanError};
pub use fault::{Fault, FaultKind, request_hash};
pub use lack::{Lacks, Words};
pub use openai::bill::{Encoding, Usage};
pub use script::{Answer, Counting, Latency, Later, Limits, Ready, Reasoning, Script, ScriptError, Spelling};
pub use seen::Seen;
pub use serve::{listen, serve};
pub use shape::{Shape, ShapeKind};
pub use vendor::{StartError, Vendor};
