//! The floor: a relay that looks at nothing. Each connection of a client gets one to the vendor, and bytes are copied.
//!
//! No gateway can be had for less than its reads and writes; what is above that is what a gateway does with them.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use anyhow::Result;
use clap::Args;

use super::poll::{Poll, Watch};

/// The token of the listener, which no connection has.
const LISTENER: u64 = u64::MAX - 1;

/// How the relay is run.
#[derive(Args, Debug)]
pub(crate) struct Relay {
    /// Where bytes go.
    #[arg(long)]
    pub(super) to: SocketAddr,
    /// Threads, each with a share of the connections.
    #[arg(long, default_value_t = 2)]
    pub(super) threads: usize,
}

/// Relays until the process is killed; its address is the first line that it prints.
pub(super) fn run(relay: &Relay) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    relay_on(&listener, relay)
}

/// Relays what comes to a listener.
pub(super) fn relay_on(listener: &TcpListener, relay: &Relay) -> Result<()> {
    listener.set_nonblocking(true)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..relay.threads.max(1)).map(|_| scope.spawn(|| serve(listener, relay.to))).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread of the relay panicked"))??;
        }
        Ok(())
    })
}

/// A client and its connection to the vendor: a token is twice the index of the pair, and one more for the vendor.
type Pair = [Side; 2];

struct Side {
    stream: TcpStream,
    /// What the other side sent and this one has not taken.
    unsent: Vec<u8>,
    watch: Watch,
}

fn serve(listener: &TcpListener, to: SocketAddr) -> Result<()> {
    let mut poll = Poll::new()?;
    poll.add(listener, LISTENER)?;
    let (mut pairs, mut free): (Vec<Option<Pair>>, Vec<usize>) = (Vec::new(), Vec::new());
    let (mut ready, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        poll.wait(None, &mut ready)?;
        for &token in &ready {
            if token == LISTENER {
                while let Some(client) = accepted(listener)? {
                    let index = free.pop().unwrap_or(pairs.len());
                    let sides = [client, TcpStream::connect(to)?];
                    for (side, stream) in sides.iter().enumerate() {
                        stream.set_nonblocking(true)?;
                        stream.set_nodelay(true)?;
                        poll.add(stream, (index * 2 + side) as u64)?;
                    }
                    let pair = Some(sides.map(|stream| Side { stream, unsent: Vec::new(), watch: Watch::Read }));
                    if index == pairs.len() { pairs.push(pair) } else { pairs[index] = pair }
                }
                continue;
            }
            let (index, side) = (token as usize / 2, token as usize % 2);
            let Some(pair) = &mut pairs[index] else { continue };
            if !matches!(copy(pair, side, index, &poll, &mut buffer), Ok(true)) {
                pairs[index] = None;
                free.push(index);
            }
        }
    }
}

fn accepted(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies what a side that is ready has sent to the other one, and returns whether both are still open.
fn copy(pair: &mut Pair, side: usize, index: usize, poll: &Poll, buffer: &mut [u8]) -> io::Result<bool> {
    if !pair[side].unsent.is_empty() {
        let unsent = std::mem::take(&mut pair[side].unsent);
        give(pair, side, &unsent)?;
    } else {
        let n = match pair[side].stream.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        give(pair, 1 - side, &buffer[..n])?;
    }
    // A side whose bytes are not taken is not read until they are.
    let watches = [0, 1].map(|side| match (pair[side].unsent.is_empty(), pair[1 - side].unsent.is_empty()) {
        (true, true) => Watch::Read,
        (true, false) => Watch::Nothing,
        (false, _) => Watch::Write,
    });
    for (side, watch) in watches.into_iter().enumerate() {
        if pair[side].watch != watch {
            pair[side].watch = watch;
            poll.change(&pair[side].stream, (index * 2 + side) as u64, watch)?;
        }
    }
    Ok(true)
}

/// Writes to a side, and keeps what it does not take.
fn give(pair: &mut Pair, side: usize, bytes: &[u8]) -> io::Result<()> {
    let n = match pair[side].stream.write(bytes) {
        Ok(n) => n,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    pair[side].unsent.extend_from_slice(&bytes[n..]);
    Ok(())
}
