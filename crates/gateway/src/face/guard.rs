//! Whether a client may.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode, header::AUTHORIZATION};

use super::{live::Serving, problem::Problem};
use crate::FaceKey;

/// What proxies add to the requests of others.
const FORWARDED: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "via"];

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// Its number among the keys, where it showed one.
    pub(super) key: Option<usize>,
}

impl Client {
    /// Finds out who asks.
    ///
    /// # Errors
    /// Where keys are wanted and none of them was shown.
    pub(super) fn of(headers: &HeaderMap, serving: &Serving) -> Result<Self, Problem> {
        if serving.keys.is_empty() {
            return Ok(Self { key: None });
        }
        let shown = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        let shown = shown.or_else(|| headers.get("x-api-key").map(|value| value.as_bytes()));
        let Some(shown) = shown else {
            let message = "no key was given: send `Authorization: Bearer KEY` with one of this gateway's keys";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "missing_api_key", message));
        };
        match serving.keys.find(shown) {
            Some(number) => Ok(Self { key: Some(number) }),
            None => {
                let message = "the key is none of this gateway's keys";
                Err(Problem::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message))
            }
        }
    }

    /// Finds out whether a client may look behind the scenes: with a key that allows it or, where there is none, from this
    /// machine. Behind a proxy on this machine that does not say for whom it asks everybody would seem to be here, so who
    /// has such a key is asked for it.
    ///
    /// # Errors
    /// Where it may not.
    pub(super) fn admin(headers: &HeaderMap, peer: IpAddr, serving: &Serving) -> Result<(), Problem> {
        // Who comes through a proxy on this machine is somewhere else.
        let is_forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
        let has_key = serving.settings.keys.iter().any(|key| key.is_admin);
        if peer.to_canonical().is_loopback() && !is_forwarded && !has_key {
            return Ok(());
        }
        let key = Self::of(headers, serving).ok().and_then(|client| client.client_key(serving));
        match key {
            Some(key) if key.is_admin => Ok(()),
            _ => {
                let or_here = if has_key { "" } else { ", or a client on the gateway's own machine" };
                let message = format!("this wants a key with `admin: true`{or_here}");
                Err(Problem::new(StatusCode::FORBIDDEN, "admin_only", message))
            }
        }
    }

    pub(super) fn client_key(self, serving: &Serving) -> Option<&FaceKey> {
        serving.settings.keys.get(self.key?)
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}
