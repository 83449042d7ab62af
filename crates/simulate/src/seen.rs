//! The last requests, for those who want to know what a client really sent.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::wire::Request;

/// Headers whose values are nobody's business, though that they came may be.
const KEYS: [&str; 6] = ["authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"];

const HIDDEN: &str = "(hidden)";

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// The headers by their names in small letters, those of one name joined by commas. The values of keys are hidden.
    pub headers: BTreeMap<String, String>,
    /// The body, byte for byte where it is text.
    pub body: String,
}

/// The last requests, as many as the script wants.
#[derive(Default)]
pub(crate) struct Memory {
    last: Mutex<VecDeque<Seen>>,
}

impl Memory {
    /// Keeps a request, and forgets the oldest where there are more than `most`.
    pub(crate) fn keep(&self, request: &Request, most: u32) {
        let mut headers = BTreeMap::new();
        for (name, value) in request.headers() {
            let value = if KEYS.contains(&&*name) { HIDDEN.to_owned() } else { value };
            let joined: &mut String = headers.entry(name).or_default();
            if !joined.is_empty() {
                joined.push_str(", ");
            }
            joined.push_str(&value);
        }
        let seen = Seen {
            method: request.method().to_owned(),
            path: request.path().to_owned(),
            headers,
            body: String::from_utf8_lossy(&request.body).into_owned(),
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.push_back(seen);
        while last.len() > most as usize {
            last.pop_front();
        }
    }

    /// Returns the last requests, the oldest first.
    pub(crate) fn last(&self) -> Vec<Seen> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
