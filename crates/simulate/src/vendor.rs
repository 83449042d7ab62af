//! The vendor on a thread of its own, for tests and benchmarks.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use tokio::{net::TcpListener, runtime, sync::oneshot};

use crate::{
    count::Counts,
    script::{Script, ScriptError},
    seen::Seen,
    serve,
    service::Service,
};

/// A vendor that plays its script on a thread named `simulate`, until it is stopped or dropped.
pub struct Vendor {
    address: SocketAddr,
    service: Arc<Service>,
    /// Dropping it ends the thread; taken by then.
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why a vendor did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The script cannot be followed.
    #[error("the script cannot be followed")]
    Script(#[from] ScriptError),
    /// The address cannot be listened at.
    #[error("the simulated vendor cannot listen at `{address}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The system gave no thread or no event queue.
    #[error("the simulated vendor got no thread to run on")]
    Thread(#[source] io::Error),
}

impl Vendor {
    /// Starts a vendor and returns when it listens. Port 0 lets the system choose one.
    pub fn start(script: Script, address: SocketAddr) -> Result<Vendor, StartError> {
        let service = Arc::new(Service::new(script)?);
        let (shutdown, stopped) = oneshot::channel();
        let (report, listening) = mpsc::sync_channel(1);
        let shared = Arc::clone(&service);
        let thread = thread::Builder::new().name("simulate".to_owned()).spawn(move || {
            let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(report.send(Err(StartError::Thread(error)))),
            };
            runtime.block_on(async move {
                match open(address) {
                    Ok((listener, address)) => {
                        // Nobody waits for the report only where the starter panicked; then `stopped` ends at once.
                        let _ = report.send(Ok(address));
                        serve::accept(listener, &shared, async { drop(stopped.await) }).await;
                    }
                    Err(source) => drop(report.send(Err(StartError::Listen { address, source }))),
                }
            });
        });
        let thread = thread.map_err(StartError::Thread)?;
        let address = listening
            .recv()
            .unwrap_or_else(|_| Err(StartError::Thread(io::Error::other("the thread ended before it listened"))))?;
        Ok(Vendor { address, service, shutdown: Some(shutdown), thread: Some(thread) })
    }

    /// Returns the address that the vendor listens at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL that clients of OpenAI's API are given.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns what was asked so far, and how it ended.
    pub fn counts(&self) -> Counts {
        self.service.tally.counts()
    }

    /// Returns how often each request was asked, by its hash: under `counting: totals` only those that a fault struck.
    pub fn asked(&self) -> HashMap<u128, u32> {
        self.service.tally.asks().clone()
    }

    /// Returns the last requests, the oldest first: as many as the script says under `remember`.
    pub fn requests(&self) -> Vec<Seen> {
        self.service.memory.last()
    }

    /// Plays another script from now on. What is being answered is answered by the old one.
    ///
    /// # Errors
    /// Where the script cannot be followed; then the old one is played on.
    pub fn play(&self, script: Script) -> Result<(), ScriptError> {
        self.service.stage.play(script)
    }

    /// Stops the vendor: closes every connection, whatever it waits for, and returns the final counts.
    pub fn stop(mut self) -> Counts {
        self.end();
        self.counts()
    }

    fn end(&mut self) {
        self.shutdown = None;
        if let Some(thread) = self.thread.take() {
            // A panic on the thread was printed there, and there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vendor").field("address", &self.address).finish_non_exhaustive()
    }
}

fn open(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = serve::listen(address)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
