//! The control socket: how another terminal watches a run and steers it.
//!
//! While a process works on a run, `control.sock` lies in the run's folder, for its owner only. A client sends a request
//! as one line of JSON, at most 4 KiB, and gets one line of JSON back:
//!
//! | request | answer |
//! | --- | --- |
//! | `{"do":"status"}` | a [`Standing`](crate::progress::Standing), or `{"starting":true}` before the first step begins |
//! | `{"do":"watch"}` | the same twice a second; then [`{"ended":{…}}`](Ended), and the connection is closed |
//! | `{"do":"pause"}`, `{"do":"unpause"}` | `{"ok":true}`: nothing new is asked; the run goes on |
//! | `{"do":"stop"}` | `{"ok":true}`: what is in flight is waited for, then the run stops and can be gone on with |
//! | `{"do":"cancel"}` | `{"ok":true}`: what is in flight is waited for, and what is left ends as cancelled |
//!
//! Whatever else is sent gets `{"error":"…"}`. A socket without a process behind it refuses connections; the next process
//! that works on the run replaces it.

mod client;
mod listen;
mod place;
mod protocol;
mod wish;

pub(crate) use client::{Client, Told};
pub(crate) use listen::ControlSocket;
pub(crate) use protocol::{Ended, Verb};
