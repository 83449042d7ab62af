//! Where a host is: its addresses, in the order in which they are tried.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{net::lookup_host, time::Instant};

/// How long addresses are believed. A lookup holds a thread, and a thousand connections to one host need one.
const KNOWN: Duration = Duration::from_secs(10);

/// How long an address at which nobody answered is tried last.
const AVOIDED: Duration = Duration::from_secs(30);

type Lookup = Shared<BoxFuture<'static, (Instant, Result<Arc<[IpAddr]>, String>)>>;

/// What is known of hosts. They come from the configuration, so that there are never many.
#[derive(Default)]
pub(super) struct Addresses {
    /// By host. One lookup serves all who wait for it, and outlives those who stop waiting.
    lookups: Mutex<HashMap<String, Lookup>>,
    /// How many connections took addresses from each list that a user gave.
    turns: Mutex<HashMap<Vec<IpAddr>, usize>>,
    avoided: Mutex<HashMap<SocketAddr, Instant>>,
}

impl Addresses {
    /// Looks a host up.
    pub(super) async fn of(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        if let Ok(address) = host.parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let lookup = self.lookup(host);
        let (_, found) = lookup.await;
        let found = found?;
        Ok(self.ordered(found.iter().map(|address| SocketAddr::new(*address, port)).collect()))
    }

    /// Takes the next of `given` first, then those that follow it.
    pub(super) fn next_of(&self, given: &[IpAddr], port: u16) -> Vec<SocketAddr> {
        let turn = {
            let mut turns = locked(&self.turns);
            let turn = turns.entry(given.to_vec()).or_default();
            std::mem::replace(turn, turn.wrapping_add(1))
        };
        let n = given.len();
        self.ordered((0..n).map(|k| SocketAddr::new(given[(turn % n + k) % n], port)).collect())
    }

    /// Notes that nobody answers at an address: others of the same host are tried before it for a while.
    pub(super) fn avoid(&self, address: SocketAddr) {
        let now = Instant::now();
        let mut avoided = locked(&self.avoided);
        avoided.retain(|_, since| now - *since < AVOIDED);
        avoided.insert(address, now);
    }

    fn ordered(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let avoided = locked(&self.avoided);
        if !avoided.is_empty() && addresses.len() > 1 {
            addresses.sort_by_key(|address| avoided.get(address).is_some_and(|since| since.elapsed() < AVOIDED));
        }
        addresses
    }

    fn lookup(&self, host: &str) -> Lookup {
        let mut lookups = locked(&self.lookups);
        if let Some(lookup) = lookups.get(host) {
            match lookup.peek() {
                None => return lookup.clone(),
                Some((at, Ok(_))) if at.elapsed() < KNOWN => return lookup.clone(),
                // What failed is asked again at once by whoever needs it.
                Some(_) => {}
            }
        }
        let lookup = look_up(host.to_owned()).boxed().shared();
        lookups.insert(host.to_owned(), lookup.clone());
        lookup
    }
}

async fn look_up(host: String) -> (Instant, Result<Arc<[IpAddr]>, String>) {
    let found = match lookup_host((host.as_str(), 0)).await {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.map(|address| address.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() { Err("the name has no address".to_owned()) } else { Ok(addresses.into()) }
        }
        Err(e) => Err(format!("the name cannot be resolved ({e})")),
    };
    (Instant::now(), found)
}

/// What is under these locks is whole after any panic.
fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Addresses").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(all: &[&str]) -> Vec<IpAddr> {
        all.iter().map(|one| one.parse().unwrap()).collect()
    }

    fn firsts(addresses: &[SocketAddr]) -> String {
        addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test(start_paused = true)]
    async fn each_connection_begins_with_the_next_address_and_the_dead_come_last_for_a_while() {
        let addresses = Addresses::default();
        let pool = ips(&["10.0.0.1", "10.0.0.2", "::1"]);
        assert_eq!(firsts(&addresses.next_of(&pool, 80)), "10.0.0.1 10.0.0.2 ::1");
        // An equal list is the same list, whoever gives it.
        assert_eq!(firsts(&addresses.next_of(&pool.clone(), 80)), "10.0.0.2 ::1 10.0.0.1");
        assert_eq!(firsts(&addresses.next_of(&pool, 80)), "::1 10.0.0.1 10.0.0.2");
        addresses.avoid("10.0.0.1:80".parse().unwrap());
        assert_eq!(firsts(&addresses.next_of(&pool, 80)), "10.0.0.2 ::1 10.0.0.1");
        tokio::time::advance(AVOIDED).await;
        addresses.next_of(&pool, 80);
        addresses.next_of(&pool, 80);
        assert_eq!(firsts(&addresses.next_of(&pool, 80)), "10.0.0.1 10.0.0.2 ::1");
    }

    #[tokio::test]
    async fn one_lookup_serves_all_who_wait_and_those_who_come_soon_after() {
        let addresses = Addresses::default();
        let (first, second) = (addresses.lookup("localhost"), addresses.lookup("localhost"));
        assert!(first.ptr_eq(&second));
        let found = addresses.of("localhost", 80).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{found:?}");
        assert!(first.ptr_eq(&addresses.lookup("localhost")));
        tokio::time::pause();
        tokio::time::advance(KNOWN).await;
        assert!(!first.ptr_eq(&addresses.lookup("localhost")));
    }

    #[tokio::test]
    async fn a_name_that_was_not_found_is_looked_up_again() {
        let addresses = Addresses::default();
        let first = addresses.lookup("tidemill.invalid");
        assert!(addresses.of("tidemill.invalid", 80).await.unwrap_err().contains("cannot be resolved"));
        assert!(!first.ptr_eq(&addresses.lookup("tidemill.invalid")));
        assert_eq!(addresses.of("::1", 80).await.unwrap(), ["[::1]:80".parse().unwrap()]);
    }
}
